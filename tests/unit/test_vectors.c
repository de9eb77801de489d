/* The envelopes of another implementation: every good one opens to the right token, every bad one is refused, with a reason, fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/limits.h"
#include "token/crypto.h"
#include "token/keyring.h"

static struct json *vectors;

/* CPU time: a busy machine must not make an envelope look slow. */
static int64_t cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int load(void **state)
{
    struct buf text = {0};
    char chunk[4096];
    size_t n;
    FILE *file = fopen("tests/vectors/envelopes.json", "r");

    (void)state;
    assert_non_null(file);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_put(&text, chunk, n);
    fclose(file);
    assert_int_equal(json_parse(buf_text(&text), text.len, &vectors, NULL), ERR_OK);
    buf_free(&text);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_free(vectors);
    return 0;
}

static struct keyring *ring_of(const struct json *vector)
{
    static struct secret key, salt;
    struct keyring_key keys[] = {{"k1", &key}};
    struct keyring_options options = {keys, 1, &salt, 0};
    struct keyring *ring = NULL;
    const char *global = json_string(json_get(vector, "global_salt"));

    assert_int_equal(json_int(json_get(vector, "default_kdf"), &options.kdf_iterations), 1);
    secret_free(&salt);
    assert_int_equal(secret_put(&key, json_string(json_get(vector, "master_key")),
                                json_string_len(json_get(vector, "master_key")), NULL), ERR_OK);
    if (*global) assert_int_equal(secret_put(&salt, global, strlen(global), NULL), ERR_OK);
    assert_int_equal(keyring_new(&options, &ring, NULL), ERR_OK);
    secret_free(&key);
    return ring;
}

static void good_envelopes_open_to_their_token(void **state)
{
    const struct json *good = json_get(vectors, "good");

    (void)state;
    assert_true(json_count(good) >= 14);
    for (size_t i = 0; i < json_count(good); i++) {
        const struct json *vector = json_at(good, i);
        struct keyring *ring = ring_of(vector);
        struct envelope env;
        struct secret token = {0};
        struct err err = {0};
        const char *kid = NULL;
        char sum[SHA256_HEX_BYTES];

        print_message("good: %s\n", json_string(json_get(vector, "name")));
        assert_int_equal(envelope_parse(json_get(vector, "envelope"), &env, &err), ERR_OK);
        assert_int_equal(keyring_open(ring, &env, &token, &kid, &err), ERR_OK);
        assert_string_equal(kid, "k1");
        crypto_sha256_hex(secret_bytes(&token), token.len, sum);
        assert_string_equal(sum, json_string(json_get(vector, "plaintext_sha256")));
        secret_free(&token);
        envelope_fini(&env);
        keyring_free(ring);
    }
}

static void bad_envelopes_are_refused_with_a_reason_in_time(void **state)
{
    const struct json *bad = json_get(vectors, "bad");
    int64_t slowest_ms = 0;

    (void)state;
    assert_true(json_count(bad) >= 28);
    for (size_t i = 0; i < json_count(bad); i++) {
        const struct json *vector = json_at(bad, i);
        struct keyring *ring = ring_of(vector);
        struct envelope env;
        struct secret token = {0};
        struct err err = {0};
        const char *kid = NULL;
        int64_t start_ms = cpu_ms(), took_ms;
        enum err_code rc = envelope_parse(json_get(vector, "envelope"), &env, &err);

        if (rc == ERR_OK) rc = keyring_open(ring, &env, &token, &kid, &err);
        took_ms = cpu_ms() - start_ms;
        if (took_ms > slowest_ms) slowest_ms = took_ms;
        print_message("bad: %s: %s (%lld ms)\n", json_string(json_get(vector, "name")), err.text, (long long)took_ms);
        assert_int_equal(rc, ERR_UNDECRYPTABLE);
        assert_true(err.text[0] != '\0');
        assert_true(took_ms < 200);
        assert_true(secret_is_empty(&token));
        envelope_fini(&env);
        keyring_free(ring);
    }
    print_message("slowest bad envelope: %lld ms\n", (long long)slowest_ms);
}

static void a_fast_envelope_opens_for_its_own_account_only(void **state)
{
    const struct json *vector = json_at(json_get(vectors, "good"), 0);
    struct keyring *ring = ring_of(vector);
    struct fast_binding own = {"a1", "instagram", "access"}, other = {"a2", "instagram", "access"};
    struct envelope env;
    struct secret token = {0}, again = {0};
    unsigned char of[32], of2[32];
    struct json *fast = NULL;
    const char *kid;

    (void)state;
    assert_int_equal(envelope_parse(json_get(vector, "envelope"), &env, NULL), ERR_OK);
    assert_int_equal(keyring_open(ring, &env, &token, &kid, NULL), ERR_OK);
    keyring_mirror(ring, &env, of);
    assert_int_equal(keyring_fast_seal(ring, &token, &own, of, &fast, NULL), ERR_OK);
    assert_int_equal(keyring_fast_open(ring, fast, &own, of, &again, NULL), ERR_OK);
    assert_true(secret_equal(&token, &again));
    assert_int_equal(keyring_fast_open(ring, fast, &other, of, &again, NULL), ERR_UNDECRYPTABLE);
    env.tag[0] ^= 1; /* the application wrote another envelope */
    keyring_mirror(ring, &env, of2);
    assert_int_equal(keyring_fast_open(ring, fast, &own, of2, &again, NULL), ERR_NOT_FOUND);
    assert_true(secret_is_empty(&again));
    json_free(fast);
    secret_free(&token);
    envelope_fini(&env);
    keyring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_envelopes_open_to_their_token),
        cmocka_unit_test(bad_envelopes_are_refused_with_a_reason_in_time),
        cmocka_unit_test(a_fast_envelope_opens_for_its_own_account_only),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
