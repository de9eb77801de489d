/* API keys: made, found, listed, revoked; only hashes are kept. */
#include "apikey_fixture.h"
#include "token/crypto.h"

static void a_new_key_is_found_by_its_text_and_by_nothing_else(void **state)
{
    struct buf text = {0};
    struct apikeys *keys;
    const struct apikey *key;
    char id[32] = "";

    (void)state;
    buf_puts(&text, "before ");
    create("first", SCOPE_READ, NULL, &text, id);
    assert_int_equal(text.len, 7 + 4 + 43);
    assert_memory_equal(text.data, "before thk_", 11);
    assert_int_equal(strspn(text.data + 11, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    keys = load();
    assert_int_equal(apikey_count(keys), 1);
    key = apikey_find(keys, text.data + 7, 47);
    assert_ptr_equal(key, apikey_at(keys, 0));
    assert_string_equal(key->id, id);
    assert_string_equal(key->name, "first");
    assert_int_equal(strlen(id), 12);
    for (size_t i = 7; i < text.len; i++) { /* one bit anywhere */
        text.data[i] ^= 1;
        if (apikey_find(keys, text.data + 7, 47)) fail_msg("found although byte %zu is another", i - 7);
        text.data[i] ^= 1;
    }
    assert_null(apikey_find(keys, text.data + 7, 46));
    assert_null(apikey_find(keys, text.data + 6, 48));
    assert_null(apikey_find(keys, "", 0));
    assert_non_null(apikey_find(keys, text.data + 7, 47));
    apikey_free(keys);
    apikey_free(NULL);
    buf_free(&text);
}

static void each_of_many_is_found_wherever_it_stands(void **state)
{
    enum { COUNT = 25 };
    struct buf texts[COUNT] = {0};
    char ids[COUNT][32];
    struct apikeys *keys;

    (void)state;
    for (int i = 0; i < COUNT; i++)
        create("one of many", SCOPE_WRITE, "ws", &texts[i], ids[i]);
    keys = load();
    assert_int_equal(apikey_count(keys), COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_ptr_equal(apikey_find(keys, texts[i].data, texts[i].len), apikey_at(keys, i));
        assert_string_equal(apikey_at(keys, i)->id, ids[i]);
        for (int other = 0; other < i; other++)
            assert_string_not_equal(ids[i], ids[other]);
        buf_free(&texts[i]);
    }
    apikey_free(keys);
}

static void the_file_has_the_hash_and_never_the_key(void **state)
{
    struct buf text = {0}, content = {0};
    char id[32], hash[SHA256_HEX_BYTES];

    (void)state;
    create("secretive", SCOPE_ADMIN, NULL, &text, id);
    read_file(&content);
    crypto_sha256_hex(text.data, text.len, hash);
    assert_non_null(strstr(buf_text(&content), hash));
    for (size_t i = 4; i + 8 <= text.len; i++) {
        char piece[9];

        snprintf(piece, sizeof piece, "%.8s", text.data + i);
        if (strstr(buf_text(&content), piece)) fail_msg("a piece of the key is in the file");
    }
    buf_free(&text);
    buf_free(&content);
}

static void scopes_include_the_lower_ones(void **state)
{
    static const struct {
        const char *list;
        unsigned scopes; /* 0: refused */
    } cases[] = {{"read", SCOPE_READ},
                 {"write", SCOPE_READ | SCOPE_WRITE},
                 {"admin", SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN},
                 {"read,write", SCOPE_READ | SCOPE_WRITE},
                 {"read,read", SCOPE_READ},
                 {"", 0},
                 {",", 0},
                 {"Read", 0},
                 {"read,", SCOPE_READ},
                 {"read,,write", 0},
                 {"read write", 0},
                 {"reads", 0},
                 {"rea", 0},
                 {"*", 0},
                 {"root", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned scopes = 77;

        if (apikey_parse_scopes(cases[i].list, &scopes) != (cases[i].scopes != 0) ||
            (cases[i].scopes && scopes != cases[i].scopes))
            fail_msg("\"%s\": got %u, expected %u", cases[i].list, scopes, cases[i].scopes);
    }
}

static void scopes_and_workspaces_come_back_from_the_file(void **state)
{
    static const struct {
        const char *workspaces;
        int count;
    } cases[] = {{NULL, 0}, {"*", 0}, {"ws-1", 1}, {"ws-1,65f000000000000000000001,J\xc3\xa4ne", 3}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = {0};
        struct apikeys *keys;
        struct json *shown;
        char id[32];

        fixture_clean(NULL);
        create("J\xc3\xa4ne's \"key\"", SCOPE_READ | SCOPE_WRITE, cases[i].workspaces, &text, id);
        keys = load();
        assert_int_equal(apikey_at(keys, 0)->scopes, SCOPE_READ | SCOPE_WRITE);
        assert_int_equal(apikey_at(keys, 0)->workspace_count, cases[i].count);
        assert_int_equal(apikey_at(keys, 0)->workspaces == NULL, cases[i].count == 0);
        if (cases[i].count == 3) assert_string_equal(apikey_at(keys, 0)->workspaces[1], "65f000000000000000000001");
        shown = apikey_to_json(apikey_at(keys, 0));
        assert_string_equal(json_string(json_member(shown, "name")), "J\xc3\xa4ne's \"key\"");
        assert_string_equal(json_string(json_get(shown, "workspaces.0")), cases[i].count ? "ws-1" : "*");
        assert_int_equal(json_count(json_member(shown, "workspaces")), cases[i].count ? cases[i].count : 1);
        assert_null(json_member(shown, "sha256"));
        json_free(shown);
        apikey_free(keys);
        buf_free(&text);
    }
}

/* Above all: an empty list of workspaces is not all of them. */
static void a_request_that_makes_no_sense_makes_no_key(void **state)
{
    static char long_name[65], long_id[LIMIT_ID_BYTES + 1];
    const struct apikey_request bad[] = {{"n", "", SCOPE_READ},
                                         {"n", ",", SCOPE_READ},
                                         {"n", "a,", SCOPE_READ},
                                         {"n", ",a", SCOPE_READ},
                                         {"n", "a,,b", SCOPE_READ},
                                         {"n", "a,*", SCOPE_READ},
                                         {"n", "*,a", SCOPE_READ},
                                         {"n", long_id, SCOPE_READ},
                                         {"n", "a\nb", SCOPE_READ},
                                         {"n", "\xff", SCOPE_READ},
                                         {"n", NULL, 0},
                                         {"n", NULL, 8},
                                         {"", NULL, SCOPE_READ},
                                         {NULL, NULL, SCOPE_READ},
                                         {long_name, NULL, SCOPE_READ},
                                         {"a\nb", NULL, SCOPE_READ},
                                         {"\x1b[2J", NULL, SCOPE_READ},
                                         {"\xff", NULL, SCOPE_READ}};
    struct stat st;

    (void)state;
    memset(long_name, 'n', 64);
    memset(long_id, 'i', LIMIT_ID_BYTES);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf text = {0};
        struct err err = {0};
        char id[32];

        buf_puts(&text, "kept");
        if (apikey_create(path, &bad[i], &text, id, &err) != ERR_BAD_INPUT)
            fail_msg("request %zu: got %s, expected bad_request", i, err_word(err.code));
        assert_string_not_equal(err.text, "");
        assert_string_equal(buf_text(&text), "kept");
        buf_free(&text);
    }
    assert_int_equal(stat(path, &st), -1);
}

static void a_revoked_key_is_gone_and_the_others_stay(void **state)
{
    struct buf texts[3] = {0};
    char ids[3][32];
    struct apikeys *keys;
    struct err err = {0};

    (void)state;
    for (int i = 0; i < 3; i++)
        create("k", SCOPE_READ, NULL, &texts[i], ids[i]);
    assert_int_equal(apikey_revoke(path, ids[1], NULL), ERR_OK);
    assert_int_equal(apikey_revoke(path, ids[1], &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, ids[1]));
    assert_int_equal(apikey_revoke(path, "", NULL), ERR_NOT_FOUND);
    keys = load();
    assert_int_equal(apikey_count(keys), 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(apikey_find(keys, texts[i].data, texts[i].len) != NULL, i != 1);
        buf_free(&texts[i]);
    }
    apikey_free(keys);
    fixture_clean(NULL);
    assert_int_equal(apikey_revoke(path, "x", NULL), ERR_NOT_FOUND); /* no file at all */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fixture_clean)
    const struct CMUnitTest tests[] = {
        TEST(a_new_key_is_found_by_its_text_and_by_nothing_else),
        TEST(each_of_many_is_found_wherever_it_stands),
        TEST(the_file_has_the_hash_and_never_the_key),
        TEST(scopes_include_the_lower_ones),
        TEST(scopes_and_workspaces_come_back_from_the_file),
        TEST(a_request_that_makes_no_sense_makes_no_key),
        TEST(a_revoked_key_is_gone_and_the_others_stay),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
