/* The key ring and the application's envelopes: what one key seals it opens, and nothing that was changed opens. */
#include "keyring_fixture.h"
#include "memory_fixture.h"

static const char *const both_kids[] = {"new", "old"};
static const char *const both_keys[] = {FIXTURE_KEY, FIXTURE_OLD_KEY};
static struct keyring *ring, *old_ring, *both_ring, *salted_ring;

static int setup(void **state)
{
    (void)state;
    ring = fixture_ring(both_kids, both_keys, 1, "", 1);
    old_ring = fixture_ring(both_kids + 1, both_keys + 1, 1, "", 1);
    both_ring = fixture_ring(both_kids, both_keys, 2, "", 1);
    salted_ring = fixture_ring(both_kids, both_keys, 1, FIXTURE_SALT, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    keyring_free(ring);
    keyring_free(old_ring);
    keyring_free(both_ring);
    keyring_free(salted_ring);
    keyring_free(NULL);
    return 0;
}

static struct envelope sealed(const struct keyring *with, const char *text)
{
    struct secret token = fixture_secret(text);
    struct envelope env;

    assert_int_equal(keyring_seal(with, &token, &env, NULL), ERR_OK);
    secret_free(&token);
    return env;
}

static void assert_opens(const struct keyring *with, const struct envelope *env, const char *want_kid, const char *want)
{
    struct secret token = {0};
    struct err err = {0};
    const char *kid = NULL;

    if (keyring_open(with, env, &token, &kid, &err) != ERR_OK) fail_msg("does not open: %s", err.text);
    assert_string_equal(kid, want_kid);
    assert_int_equal(token.len, strlen(want));
    assert_memory_equal(secret_bytes(&token), want, token.len);
    assert_int_equal(secret_bytes(&token)[token.len], 0);
    secret_free(&token);
}

static void assert_shut(const struct keyring *with, const struct envelope *env, const char *what)
{
    struct secret token = fixture_secret("what was here before");
    struct err err = {0};
    const char *kid = NULL;
    enum err_code rc = keyring_open(with, env, &token, &kid, &err);

    fixture_refused(rc, ERR_UNDECRYPTABLE, &err, what);
    assert_true(secret_is_empty(&token));
    assert_null(kid);
}

static void what_is_sealed_opens_again_at_every_length(void **state)
{
    static const size_t lengths[] = {1, 2, 15, 16, 17, 200, 4096, LIMIT_TOKEN_BYTES};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct secret token = {0}, again = {0};
        struct envelope env;

        assert_int_equal(secret_new(&token, lengths[i], NULL), ERR_OK);
        assert_int_equal(crypto_random(secret_room(&token), lengths[i], NULL), ERR_OK); /* any bytes, NUL too */
        assert_int_equal(keyring_seal(ring, &token, &env, NULL), ERR_OK);
        assert_int_equal(env.data_len, lengths[i]);
        assert_int_equal(env.kdf, 1);
        assert_int_equal(keyring_open(ring, &env, &again, NULL, NULL), ERR_OK);
        assert_true(secret_equal(&token, &again));
        secret_free(&token);
        secret_free(&again);
        envelope_fini(&env);
    }
}

static void an_empty_or_too_long_token_is_not_sealed(void **state)
{
    struct secret token = {0};
    struct envelope env;
    struct err err = {0};

    (void)state;
    fixture_refused(keyring_seal(ring, &token, &env, &err), ERR_BAD_INPUT, &err, "empty");
    assert_null(env.data);
    assert_int_equal(secret_new(&token, LIMIT_TOKEN_BYTES + 1, NULL), ERR_OK);
    err_clear(&err);
    fixture_refused(keyring_seal(ring, &token, &env, &err), ERR_BAD_INPUT, &err, "too long");
    assert_null(env.data);
    secret_free(&token);
}

static void sealing_draws_a_new_salt_and_iv_each_time(void **state)
{
    enum { TIMES = 50 };
    struct envelope env[TIMES];

    (void)state;
    for (int i = 0; i < TIMES; i++) {
        env[i] = sealed(ring, FIXTURE_TOKEN);
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(env[i].salt, env[j].salt, sizeof env[i].salt);
            assert_memory_not_equal(env[i].iv, env[j].iv, sizeof env[i].iv);
            assert_memory_not_equal(env[i].data, env[j].data, env[i].data_len);
        }
    }
    for (int i = 0; i < TIMES; i++)
        envelope_fini(&env[i]);
}

static void flip_every_byte(struct envelope *env, unsigned char *part, size_t len, const char *what)
{
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 1; bit < 256; bit <<= 7U) {
            part[i] ^= (unsigned char)bit;
            assert_shut(ring, env, what);
            part[i] ^= (unsigned char)bit;
        }
}

static void one_flipped_bit_anywhere_is_refused(void **state)
{
    struct envelope env = sealed(ring, FIXTURE_TOKEN);

    (void)state;
    flip_every_byte(&env, env.iv, sizeof env.iv, "iv");
    flip_every_byte(&env, env.salt, sizeof env.salt, "salt");
    flip_every_byte(&env, env.tag, sizeof env.tag, "tag");
    flip_every_byte(&env, env.data, env.data_len, "data");
    env.kdf = 2;
    assert_shut(ring, &env, "kdf");
    env.kdf = 1;
    env.data_len--;
    assert_shut(ring, &env, "data cut short");
    env.data_len = 0;
    assert_shut(ring, &env, "no data");
    env.data_len = strlen(FIXTURE_TOKEN);
    assert_opens(ring, &env, "new", FIXTURE_TOKEN);
    envelope_fini(&env);
}

static void without_kdf_the_configured_count_is_meant(void **state)
{
    struct keyring *other = fixture_ring_of(FIXTURE_KEY, "", 3);
    struct envelope env = sealed(other, FIXTURE_TOKEN);

    (void)state;
    assert_int_equal(env.kdf, 3);
    assert_opens(ring, &env, "new", FIXTURE_TOKEN); /* the envelope's own count comes first */
    env.kdf = 0;
    assert_opens(other, &env, "k1", FIXTURE_TOKEN);
    assert_shut(ring, &env, "another default");
    envelope_fini(&env);
    keyring_free(other);
}

static void old_keys_are_read_and_the_first_one_is_written_with(void **state)
{
    struct envelope old = sealed(old_ring, "token of the old key"), env = sealed(both_ring, FIXTURE_TOKEN);

    (void)state;
    assert_string_equal(keyring_write_kid(both_ring), "new");
    assert_opens(both_ring, &old, "old", "token of the old key");
    assert_opens(both_ring, &env, "new", FIXTURE_TOKEN);
    assert_opens(ring, &env, "new", FIXTURE_TOKEN);
    assert_shut(old_ring, &env, "written with the new key");
    assert_shut(ring, &old, "the old key is gone");
    envelope_fini(&old);
    envelope_fini(&env);
}

static void the_global_salt_counts(void **state)
{
    struct envelope plain = sealed(ring, FIXTURE_TOKEN), salted = sealed(salted_ring, FIXTURE_TOKEN);

    (void)state;
    assert_opens(salted_ring, &salted, "new", FIXTURE_TOKEN);
    assert_shut(ring, &salted, "without global salt");
    assert_shut(salted_ring, &plain, "with a global salt too many");
    envelope_fini(&plain);
    envelope_fini(&salted);
}

static void assert_no_ring(const struct keyring_key *keys, int count, int64_t kdf, const char *what)
{
    struct keyring_options options = {keys, count, NULL, kdf};
    struct keyring *made = NULL;
    struct err err = {0};
    int64_t start_ms = fixture_cpu_ms();

    fixture_refused(keyring_new(&options, &made, &err), ERR_CONFIG, &err, what);
    assert_null(made);
    assert_true(fixture_cpu_ms() - start_ms < 100); /* before any key is derived */
}

static void a_ring_that_makes_no_sense_is_refused_at_once(void **state)
{
    char long_kid[65], kids[17][12];
    struct secret key = fixture_secret(FIXTURE_KEY), empty = {0};
    const struct keyring_key no_content[] = {{"a", &key}, {"b", &empty}}, null_content[] = {{"a", NULL}},
                             doubled[] = {{"a", &key}, {"b", &key}, {"a", &key}}, no_kid[] = {{"", &key}},
                             null_kid[] = {{NULL, &key}}, long_one[] = {{long_kid, &key}}, fine[] = {{"a", &key}};
    struct keyring_key many[17];

    (void)state;
    memset(long_kid, 'k', sizeof long_kid - 1);
    long_kid[sizeof long_kid - 1] = '\0';
    for (int i = 0; i < 17; i++) {
        snprintf(kids[i], sizeof kids[i], "%d", i);
        many[i] = (struct keyring_key){kids[i], &key};
    }
    assert_no_ring(NULL, 0, 100000, "no key");
    assert_no_ring(no_content, 2, 100000, "an empty key");
    assert_no_ring(null_content, 1, 100000, "a key that is not there");
    assert_no_ring(doubled, 3, 100000, "a doubled kid");
    assert_no_ring(no_kid, 1, 100000, "an empty kid");
    assert_no_ring(null_kid, 1, 100000, "no kid");
    assert_no_ring(long_one, 1, 100000, "a long kid");
    assert_no_ring(many, 17, 100000, "too many keys");
    assert_no_ring(fine, 1, 0, "no iterations");
    assert_no_ring(fine, 1, LIMIT_KDF_ITERATIONS + 1, "too many iterations");
    secret_free(&key);
}

static void use_and_drop(const struct secret *key, const struct secret *token)
{
    const struct keyring_key keys[] = {{"k1", key}, {"k2", key}};
    const struct keyring_options options = {keys, 2, key, 1}; /* the global salt is a secret, too */
    const struct fast_binding own = {"a1", "instagram", "access"}, other = {"a2", "instagram", "access"};
    struct keyring *made = NULL;
    struct secret again = {0};
    struct envelope env;
    struct json *fast = NULL;
    unsigned char of[32];

    assert_int_equal(keyring_new(&options, &made, NULL), ERR_OK);
    assert_int_equal(keyring_seal(made, token, &env, NULL), ERR_OK);
    assert_int_equal(keyring_open(made, &env, &again, NULL, NULL), ERR_OK);
    keyring_mirror(made, &env, of);
    keyring_print(made, token, of);
    assert_int_equal(keyring_fast_seal(made, token, &own, of, &fast, NULL), ERR_OK);
    assert_int_equal(keyring_fast_open(made, fast, &own, of, &again, NULL), ERR_OK);
    secret_free(&again);
    assert_int_equal(keyring_fast_open(made, fast, &other, of, &again, NULL), ERR_UNDECRYPTABLE);
    env.tag[0] ^= 1;
    assert_int_equal(keyring_open(made, &env, &again, NULL, NULL), ERR_UNDECRYPTABLE);
    json_free(fast);
    envelope_fini(&env);
    keyring_free(made);
}

static void no_key_and_no_token_stays_in_memory(void **state)
{
    unsigned char key_inverted[48], token_inverted[64];
    struct secret key, token;

    (void)state;
    assert_int_equal(crypto_random(key_inverted, sizeof key_inverted, NULL), ERR_OK);
    assert_int_equal(crypto_random(token_inverted, sizeof token_inverted, NULL), ERR_OK);
    key = fixture_inverted(key_inverted, sizeof key_inverted);
    token = fixture_inverted(token_inverted, sizeof token_inverted);
    use_and_drop(&key, &token);
    assert_true(fixture_memory_holds(key_inverted, sizeof key_inverted)); /* the search does find */
    assert_true(fixture_memory_holds(token_inverted, sizeof token_inverted));
    secret_free(&key);
    secret_free(&token);
    for (size_t at = 0; at + 16 <= sizeof key_inverted; at += 16)
        assert_false(fixture_memory_holds(key_inverted + at, 16));
    for (size_t at = 0; at + 16 <= sizeof token_inverted; at += 16)
        assert_false(fixture_memory_holds(token_inverted + at, 16));
}

static void a_shut_print_fits_the_same_envelope_and_ring_alone(void **state)
{
    static const char *const other_kids[] = {"another name"};
    struct envelope env = sealed(ring, FIXTURE_TOKEN), other = sealed(ring, FIXTURE_TOKEN);
    struct keyring *same = fixture_ring(other_kids, both_keys, 1, "", 1),
                   *slower = fixture_ring(both_kids, both_keys, 1, "", 2);
    unsigned char prints[8][32];

    (void)state;
    keyring_shut_print(ring, &env, 7, prints[0]);
    keyring_shut_print(same, &env, 7, prints[1]);
    assert_memory_equal(prints[0], prints[1], 32); /* a key's name does not make it open anything */
    keyring_shut_print(ring, &env, 8, prints[1]);
    keyring_shut_print(ring, &other, 7, prints[2]);
    keyring_shut_print(old_ring, &env, 7, prints[3]);  /* another key */
    keyring_shut_print(both_ring, &env, 7, prints[4]); /* one key more */
    keyring_shut_print(salted_ring, &env, 7, prints[5]);
    keyring_shut_print(slower, &env, 7, prints[6]);
    keyring_mirror(ring, &env, prints[7]);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < i; j++)
            if (!memcmp(prints[i], prints[j], 32)) fail_msg("prints %d and %d are the same", i, j);
    keyring_free(same);
    keyring_free(slower);
    envelope_fini(&env);
    envelope_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_again_at_every_length),
        cmocka_unit_test(an_empty_or_too_long_token_is_not_sealed),
        cmocka_unit_test(sealing_draws_a_new_salt_and_iv_each_time),
        cmocka_unit_test(one_flipped_bit_anywhere_is_refused),
        cmocka_unit_test(without_kdf_the_configured_count_is_meant),
        cmocka_unit_test(old_keys_are_read_and_the_first_one_is_written_with),
        cmocka_unit_test(the_global_salt_counts),
        cmocka_unit_test(a_ring_that_makes_no_sense_is_refused_at_once),
        cmocka_unit_test(no_key_and_no_token_stays_in_memory),
        cmocka_unit_test(a_shut_print_fits_the_same_envelope_and_ring_alone),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
