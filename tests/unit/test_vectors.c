/* The envelopes of another implementation: every good one opens to the right token, every bad one is refused, with a
 * reason, fast. */
#include "keyring_fixture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LIMIT_MS = 1000 }; /* OpenSSL allocates in every round of PBKDF2, and a sanitizer watches each */
#else
enum { LIMIT_MS = 200 };
#endif

static struct json *vectors;

static int load(void **state)
{
    struct buf text = {0};
    struct err err = {0};
    char chunk[4096];
    size_t n;
    FILE *file = fopen("tests/vectors/envelopes.json", "re");

    (void)state;
    if (!file) fail_msg("tests/vectors/envelopes.json cannot be opened");
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_put(&text, chunk, n);
    fclose(file);
    if (json_parse(buf_text(&text), text.len, &vectors, &err) != ERR_OK) fail_msg("%s: %s", err.place, err.text);
    buf_free(&text);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_free(vectors);
    return 0;
}

static const char *word_of(const struct json *vector, const char *name)
{
    const char *word = json_string(json_member(vector, name));

    if (!word) fail_msg("a vector has no %s", name);
    return word ? word : "";
}

static struct keyring *ring_of(const struct json *vector)
{
    int64_t kdf = 0;

    assert_int_equal(json_int(json_member(vector, "default_kdf"), &kdf), 1);
    return fixture_ring_of(word_of(vector, "master_key"), word_of(vector, "global_salt"), kdf);
}

static void good_envelopes_open_to_their_token(void **state)
{
    const struct json *good = json_member(vectors, "good");

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

        if (envelope_parse(json_member(vector, "envelope"), &env, &err) != ERR_OK ||
            keyring_open(ring, &env, &token, &kid, &err) != ERR_OK)
            fail_msg("%s: %s", word_of(vector, "name"), err.text);
        assert_string_equal(kid, "k1");
        crypto_sha256_hex(secret_bytes(&token), token.len, sum);
        assert_string_equal(sum, word_of(vector, "plaintext_sha256"));
        secret_free(&token);
        envelope_fini(&env);
        keyring_free(ring);
    }
}

static void bad_envelopes_are_refused_with_a_reason_in_time(void **state)
{
    const struct json *bad = json_member(vectors, "bad");
    const char *slowest = "";
    int64_t slowest_ms = -1;

    (void)state;
    assert_true(json_count(bad) >= 28);
    for (size_t i = 0; i < json_count(bad); i++) {
        const struct json *vector = json_at(bad, i);
        const char *name = word_of(vector, "name");
        struct keyring *ring = ring_of(vector);
        struct envelope env;
        struct secret token = {0};
        struct err err = {0};
        int64_t start_ms = fixture_cpu_ms(), took_ms;
        enum err_code rc = envelope_parse(json_member(vector, "envelope"), &env, &err);

        if (rc == ERR_OK) rc = keyring_open(ring, &env, &token, NULL, &err);
        took_ms = fixture_cpu_ms() - start_ms;
        print_message("%s: %s (%lld ms)\n", name, err.text, (long long)took_ms);
        fixture_refused(rc, ERR_UNDECRYPTABLE, &err, name);
        if (took_ms >= LIMIT_MS) fail_msg("%s: took %lld ms, expected under %d", name, (long long)took_ms, LIMIT_MS);
        if (took_ms > slowest_ms) {
            slowest_ms = took_ms;
            slowest = name;
        }
        assert_true(secret_is_empty(&token));
        envelope_fini(&env);
        keyring_free(ring);
    }
    print_message("FIGURE: slowest of %zu bad envelopes: %lld ms (%s), limit %d\n", json_count(bad),
                  (long long)slowest_ms, slowest, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_envelopes_open_to_their_token),
        cmocka_unit_test(bad_envelopes_are_refused_with_a_reason_in_time),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
