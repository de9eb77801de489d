/* Fast envelopes: bound to their account, and of use only while the application's envelope is the one they mirror. */
#include "keyring_fixture.h"

static const char *const both_kids[] = {"new", "old"};
static const char *const both_keys[] = {FIXTURE_KEY, FIXTURE_OLD_KEY};
static const struct fast_binding own = {"65f0c0ffee65f0c0ffee1234", "instagram", "access"};
static struct keyring *ring, *old_ring, *both_ring, *salted_ring;
static struct envelope env;
static struct secret token;
static unsigned char of[SHA256_BYTES];

static int setup(void **state)
{
    (void)state;
    ring = fixture_ring(both_kids, both_keys, 1, "", 1);
    old_ring = fixture_ring(both_kids + 1, both_keys + 1, 1, "", 1);
    both_ring = fixture_ring(both_kids, both_keys, 2, "", 1);
    salted_ring = fixture_ring(both_kids, both_keys, 1, FIXTURE_SALT, 1);
    token = fixture_secret(FIXTURE_TOKEN);
    if (keyring_seal(ring, &token, &env, NULL) != ERR_OK) return -1;
    keyring_mirror(ring, &env, of);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(&token);
    envelope_fini(&env);
    keyring_free(ring);
    keyring_free(old_ring);
    keyring_free(both_ring);
    keyring_free(salted_ring);
    return 0;
}

static struct json *sealed(const struct keyring *with, const struct fast_binding *binding)
{
    struct json *fast = NULL;
    struct err err = {0};

    if (keyring_fast_seal(with, &token, binding, of, &fast, &err) != ERR_OK) fail_msg("not sealed: %s", err.text);
    return fast;
}

static void assert_opens(const struct keyring *with, const struct json *fast, const struct fast_binding *binding)
{
    struct secret again = {0};
    struct err err = {0};

    if (keyring_fast_open(with, fast, binding, of, &again, &err) != ERR_OK) fail_msg("does not open: %s", err.text);
    assert_true(secret_equal(&token, &again));
    secret_free(&again);
}

static void assert_shut(const struct keyring *with, const struct json *fast, const struct fast_binding *binding,
                        const unsigned char mirror[32], enum err_code want)
{
    struct secret again = fixture_secret("what was here before");
    struct err err = {0};
    enum err_code rc = keyring_fast_open(with, fast, binding, mirror, &again, &err);

    fixture_refused(rc, want, &err, binding->account_id ? binding->account_id : "no account");
    assert_true(secret_is_empty(&again));
}

static void what_is_sealed_opens_again(void **state)
{
    static const char *const members[] = {"v", "kid", "salt", "iv", "tag", "data", "of"};
    struct json *fast = sealed(ring, &own), *reread;
    struct buf text = {0};
    int64_t version = 0;

    (void)state;
    assert_int_equal(json_count(fast), 7);
    for (int i = 0; i < 7; i++)
        assert_non_null(json_member(fast, members[i]));
    assert_true(json_int(json_member(fast, "v"), &version) && version == 1);
    assert_string_equal(json_string(json_member(fast, "kid")), "new");
    assert_opens(ring, fast, &own);
    assert_int_equal(json_print(fast, &text, NULL), ERR_OK);
    assert_null(strstr(buf_text(&text), FIXTURE_TOKEN));
    reread = fixture_json(buf_text(&text));
    assert_opens(ring, reread, &own);
    json_free(fast);
    json_free(reread);
    buf_free(&text);
}

static void tokens_of_every_length_are_taken_up_to_the_limit(void **state)
{
    static const size_t lengths[] = {1, 16, 4096, LIMIT_TOKEN_BYTES};
    struct secret any = {0}, again = {0};
    struct json *fast;
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(secret_new(&any, lengths[i], NULL), ERR_OK);
        assert_int_equal(crypto_random(secret_room(&any), lengths[i], NULL), ERR_OK);
        assert_int_equal(keyring_fast_seal(ring, &any, &own, of, &fast, NULL), ERR_OK);
        assert_int_equal(keyring_fast_open(ring, fast, &own, of, &again, NULL), ERR_OK);
        assert_true(secret_equal(&any, &again));
        json_free(fast);
    }
    secret_free(&again);
    fixture_refused(keyring_fast_seal(ring, &again, &own, of, &fast, &err), ERR_BAD_INPUT, &err, "empty");
    assert_null(fast);
    assert_int_equal(secret_new(&any, LIMIT_TOKEN_BYTES + 1, NULL), ERR_OK);
    err_clear(&err);
    fixture_refused(keyring_fast_seal(ring, &any, &own, of, &fast, &err), ERR_BAD_INPUT, &err, "too long");
    assert_null(fast);
    secret_free(&any);
}

static void sealing_draws_a_new_salt_and_iv_each_time(void **state)
{
    enum { TIMES = 50 };
    struct json *fast[TIMES];

    (void)state;
    for (int i = 0; i < TIMES; i++) {
        fast[i] = sealed(ring, &own);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(json_string(json_member(fast[i], "salt")),
                                    json_string(json_member(fast[j], "salt")));
            assert_string_not_equal(json_string(json_member(fast[i], "iv")), json_string(json_member(fast[j], "iv")));
            assert_string_not_equal(json_string(json_member(fast[i], "data")),
                                    json_string(json_member(fast[j], "data")));
        }
    }
    for (int i = 0; i < TIMES; i++)
        json_free(fast[i]);
}

static void a_copy_in_another_place_does_not_open(void **state)
{
    static const struct fast_binding others[] = {{"65f0c0ffee65f0c0ffee1235", "instagram", "access"},
                                                 {"65f0c0ffee65f0c0ffee123", "instagram", "access"},
                                                 {"65f0c0ffee65f0c0ffee1234", "facebook", "access"},
                                                 {"65f0c0ffee65f0c0ffee1234", "instagram", "refresh"},
                                                 {"65f0c0ffee65f0c0ffee1234", "instagramaccess", ""},
                                                 {"65f0c0ffee65f0c0ffee1234instagram", "", "access"},
                                                 {"65f0c0ffee65f0c0ffee1234i", "nstagram", "access"},
                                                 {"65f0c0ffee65f0c0ffee1234", "instagrama", "ccess"},
                                                 {"instagram", "65f0c0ffee65f0c0ffee1234", "access"},
                                                 {"", "", ""},
                                                 {NULL, "instagram", "access"}};
    struct json *fast = sealed(ring, &own);

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_shut(ring, fast, &others[i], of, ERR_UNDECRYPTABLE);
    assert_opens(ring, fast, &own);
    json_free(fast);
}

static void names_too_long_to_bind_to_are_refused(void **state)
{
    char id[600];
    const struct fast_binding longest = {id, "instagram", "access"};
    struct json *fast = NULL;
    struct err err = {0};

    (void)state;
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    fixture_refused(keyring_fast_seal(ring, &token, &longest, of, &fast, &err), ERR_BAD_INPUT, &err, "a long id");
    assert_null(fast);
    id[LIMIT_ID_BYTES - 1] = '\0';
    fast = sealed(ring, &longest);
    assert_opens(ring, fast, &longest);
    id[LIMIT_ID_BYTES - 2] = '\0';
    assert_shut(ring, fast, &longest, of, ERR_UNDECRYPTABLE);
    json_free(fast);
}

static void it_is_not_found_once_the_application_wrote_another_envelope(void **state)
{
    struct json *fast = sealed(ring, &own);
    unsigned char changed[32];
    static const unsigned char none[32];

    (void)state;
    for (int i = 0; i < 32; i++) {
        memcpy(changed, of, sizeof changed);
        changed[i] ^= 1;
        assert_shut(ring, fast, &own, changed, ERR_NOT_FOUND);
    }
    assert_shut(ring, fast, &own, none, ERR_NOT_FOUND);
    json_free(fast);
}

static void a_mirror_of_zeros_stands_for_none(void **state)
{
    static const unsigned char none[32];
    struct json *fast = sealed(ring, &own), *zero = NULL;
    struct err err = {0};

    (void)state;
    fixture_refused(keyring_fast_seal(ring, &token, &own, none, &zero, &err), ERR_CRYPTO, &err, "zeros");
    assert_null(zero);
    json_set(fast, "of", json_new_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    assert_shut(ring, fast, &own, none, ERR_NOT_FOUND);
    json_free(fast);
}

/* Each byte of a Base64 member flipped, one at a time. */
static void flip_member(struct json *fast, const char *name, enum err_code want)
{
    unsigned char bytes[256];
    char *before = strdup(json_string(json_member(fast, name)));
    size_t len = 0;

    assert_non_null(before);
    assert_int_equal(b64_decode(before, strlen(before), bytes, sizeof bytes, &len), 1);
    for (size_t i = 0; i < len; i++) {
        struct buf text = {0};

        bytes[i] ^= 0x40;
        b64_encode(bytes, len, &text);
        bytes[i] ^= 0x40;
        json_set(fast, name, json_new_string(buf_text(&text)));
        assert_shut(ring, fast, &own, of, want);
        buf_free(&text);
    }
    json_set(fast, name, json_new_string(before));
    assert_opens(ring, fast, &own);
    free(before);
}

static void one_flipped_bit_anywhere_is_refused(void **state)
{
    struct json *fast = sealed(ring, &own);

    (void)state;
    flip_member(fast, "salt", ERR_UNDECRYPTABLE);
    flip_member(fast, "iv", ERR_UNDECRYPTABLE);
    flip_member(fast, "tag", ERR_UNDECRYPTABLE);
    flip_member(fast, "data", ERR_UNDECRYPTABLE);
    flip_member(fast, "of", ERR_NOT_FOUND);
    json_free(fast);
}

static void a_damaged_one_is_refused_whatever_is_in_it(void **state)
{
    static const char *const names[] = {"v", "kid", "of", "salt", "iv", "tag", "data"};
    static const char *const values[] = {"null",  "true",     "2",           "0",        "-1", "1.5", "\"\"",
                                         "\"A\"", "\"AA==\"", "\"unknown\"", "\"!!!!\"", "[]", "{}",  "{\"a\":1}"};

    (void)state;
    for (int n = 0; n < 7; n++)
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            struct json *fast = sealed(ring, &own);

            json_set(fast, names[n], fixture_json(values[i]));
            assert_shut(ring, fast, &own, of, n < 3 ? ERR_NOT_FOUND : ERR_UNDECRYPTABLE);
            json_free(fast);
        }
}

static void what_is_no_fast_envelope_is_not_found(void **state)
{
    static const char *const values[] = {"null", "true", "1", "\"x\"", "[]", "{}", "[1,2]"};

    (void)state;
    assert_shut(ring, NULL, &own, of, ERR_NOT_FOUND);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct json *value = fixture_json(values[i]);

        assert_shut(ring, value, &own, of, ERR_NOT_FOUND);
        json_free(value);
    }
}

static void old_keys_are_read_and_an_unknown_one_is_not_found(void **state)
{
    struct json *old = sealed(old_ring, &own), *fast = sealed(both_ring, &own);

    (void)state;
    assert_opens(both_ring, old, &own);
    assert_shut(ring, old, &own, of, ERR_NOT_FOUND);
    assert_string_equal(json_string(json_member(fast, "kid")), "new");
    assert_opens(ring, fast, &own);
    json_set(fast, "kid", json_new_string("old")); /* another key of the ring than the one it was sealed with */
    assert_shut(both_ring, fast, &own, of, ERR_UNDECRYPTABLE);
    json_free(old);
    json_free(fast);
}

static void another_global_salt_gives_other_keys(void **state)
{
    struct json *fast = sealed(salted_ring, &own);

    (void)state;
    assert_opens(salted_ring, fast, &own);
    assert_shut(ring, fast, &own, of, ERR_UNDECRYPTABLE);
    json_free(fast);
}

static void object_and_text_have_the_same_mirror(void **state)
{
    struct json *object = envelope_to_json(&env), *text, *prefixed;
    struct buf printed = {0}, with_prefix = {0};
    struct json *forms[3];

    (void)state;
    assert_int_equal(json_print_pretty(object, &printed, NULL), ERR_OK);
    buf_printf(&with_prefix, "aes-256-gcm:%s", buf_text(&printed));
    text = json_new_string(buf_text(&printed));
    prefixed = json_new_string(buf_text(&with_prefix));
    forms[0] = object;
    forms[1] = text;
    forms[2] = prefixed;
    for (int i = 0; i < 3; i++) {
        unsigned char mirror[32];
        struct envelope again;

        assert_int_equal(envelope_parse(forms[i], &again, NULL), ERR_OK);
        keyring_mirror(ring, &again, mirror);
        assert_memory_equal(mirror, of, sizeof mirror);
        envelope_fini(&again);
        json_free(forms[i]);
    }
    buf_free(&printed);
    buf_free(&with_prefix);
}

static void assert_other_mirror(const struct keyring *with)
{
    unsigned char mirror[32];

    keyring_mirror(with, &env, mirror);
    assert_memory_not_equal(mirror, of, sizeof mirror);
}

static void every_part_of_the_envelope_counts_in_its_mirror(void **state)
{
    unsigned char *parts[] = {env.iv, env.salt, env.tag, env.data};
    const size_t lengths[] = {sizeof env.iv, sizeof env.salt, sizeof env.tag, env.data_len};

    (void)state;
    for (int n = 0; n < 4; n++)
        for (size_t i = 0; i < lengths[n]; i++) {
            parts[n][i] ^= 1;
            assert_other_mirror(ring);
            parts[n][i] ^= 1;
        }
    env.data_len--;
    assert_other_mirror(ring);
    env.data_len++;
    env.kdf++;
    assert_other_mirror(ring);
    env.kdf--;
    assert_other_mirror(old_ring); /* another write key */
    assert_other_mirror(salted_ring);
}

static void a_plain_token_has_a_print_of_its_own(void **state)
{
    struct secret other = fixture_secret(FIXTURE_TOKEN "x");
    unsigned char a[32], b[32];

    (void)state;
    keyring_print(ring, &token, a);
    keyring_print(ring, &token, b);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, of, sizeof a);
    keyring_print(ring, &other, b);
    assert_memory_not_equal(a, b, sizeof a);
    keyring_print(old_ring, &token, b); /* keyed: nobody can try tokens against it */
    assert_memory_not_equal(a, b, sizeof a);
    secret_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_again),
        cmocka_unit_test(tokens_of_every_length_are_taken_up_to_the_limit),
        cmocka_unit_test(sealing_draws_a_new_salt_and_iv_each_time),
        cmocka_unit_test(a_copy_in_another_place_does_not_open),
        cmocka_unit_test(names_too_long_to_bind_to_are_refused),
        cmocka_unit_test(it_is_not_found_once_the_application_wrote_another_envelope),
        cmocka_unit_test(a_mirror_of_zeros_stands_for_none),
        cmocka_unit_test(one_flipped_bit_anywhere_is_refused),
        cmocka_unit_test(a_damaged_one_is_refused_whatever_is_in_it),
        cmocka_unit_test(what_is_no_fast_envelope_is_not_found),
        cmocka_unit_test(old_keys_are_read_and_an_unknown_one_is_not_found),
        cmocka_unit_test(another_global_salt_gives_other_keys),
        cmocka_unit_test(object_and_text_have_the_same_mirror),
        cmocka_unit_test(every_part_of_the_envelope_counts_in_its_mirror),
        cmocka_unit_test(a_plain_token_has_a_print_of_its_own),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
