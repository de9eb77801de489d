/* The contract of the account store, on either store: what is put in is found, listed in one order, counted, and given back as it
 * was. The same tests run on SQLite and on MongoDB; see store_fixture.h. */
#include "store_fixture.h"

#define OID_A "0123456789abcdef01234567"
#define OID_B "fedcba9876543210fedcba98"

static void put_account(const char *id_json, const char *rest)
{
    struct buf text = {0};

    buf_printf(&text, "{\"_id\":%s,\"platform\":\"instagram\"%s%s}", id_json, *rest ? "," : "", rest);
    fixture_put(buf_text(&text));
    buf_free(&text);
}

static void expect_find(const char *id_text, enum err_code expected, const char *key_expected)
{
    struct account account;
    struct err err = {0};
    char key[LIMIT_ID_BYTES + 4];
    enum err_code rc = store_find_account(fx.store, id_text, &account, &err);

    fixture_expect(rc, expected, &err, id_text);
    if (rc == ERR_OK && key_expected) {
        id_key(&account.id, key, sizeof key);
        if (strcmp(key, key_expected) != 0) fail_msg("%s: got %s, expected %s", id_text, key, key_expected);
    }
    account_fini(&account);
}

/* ---- find by id ---- */

static void an_account_is_found_by_every_form_of_id(void **state)
{
    char longest[LIMIT_ID_BYTES], json[LIMIT_ID_BYTES + 2], key[LIMIT_ID_BYTES + 4];

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    snprintf(json, sizeof json, "\"%s\"", longest);
    snprintf(key, sizeof key, "s:%s", longest);
    put_account("\"text\"", "");
    put_account("{\"$oid\":\"" OID_A "\"}", "");
    put_account("7", "");
    put_account("-12", "");
    put_account("0", "");
    put_account("17841400000000001", "");
    put_account("{\"$numberLong\":\"9007199254740993\"}", "");
    put_account("{\"$numberDouble\":\"42.0\"}", "");
    put_account("\"a.b $c 'd' \\\"e\\\" \\\\ \xc3\xa9\"", "");
    put_account("\"$where\"", "");
    put_account(json, "");
    expect_find("text", ERR_OK, "s:text");
    expect_find(OID_A, ERR_OK, "o:" OID_A);
    expect_find("0123456789ABCDEF01234567", ERR_OK, "o:" OID_A);
    expect_find("7", ERR_OK, "n:7");
    expect_find("-12", ERR_OK, "n:-12");
    expect_find("0", ERR_OK, "n:0");
    expect_find("17841400000000001", ERR_OK, "n:17841400000000001");
    expect_find("9007199254740993", ERR_OK, "n:9007199254740993");
    expect_find("42", ERR_OK, "n:42");
    expect_find("a.b $c 'd' \"e\" \\ \xc3\xa9", ERR_OK, "s:a.b $c 'd' \"e\" \\ \xc3\xa9");
    expect_find("$where", ERR_OK, "s:$where");
    expect_find(longest, ERR_OK, key);
}

static void texts_that_look_like_other_ids_are_found_as_texts(void **state)
{
    (void)state;
    put_account("\"" OID_B "\"", "");
    put_account("\"007\"", "");
    put_account("\"5\"", "");
    expect_find(OID_B, ERR_OK, "s:" OID_B);
    expect_find("007", ERR_OK, "s:007");
    expect_find("5", ERR_OK, "s:5");
    expect_find("7", ERR_NOT_FOUND, NULL);
}

static void an_id_that_no_account_has_is_not_found(void **state)
{
    (void)state;
    put_account("\"text\"", "");
    put_account("71", "");
    expect_find("tex", ERR_NOT_FOUND, NULL);
    expect_find("texts", ERR_NOT_FOUND, NULL);
    expect_find("TEXT", ERR_NOT_FOUND, NULL);
    expect_find("7", ERR_NOT_FOUND, NULL);
    expect_find(".*", ERR_NOT_FOUND, NULL);
    expect_find(OID_A, ERR_NOT_FOUND, NULL);
}

static void what_is_no_id_is_bad_input(void **state)
{
    char too_long[LIMIT_ID_BYTES + 1];

    (void)state;
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    expect_find("", ERR_BAD_INPUT, NULL);
    expect_find("a\nb", ERR_BAD_INPUT, NULL);
    expect_find("\xff", ERR_BAD_INPUT, NULL);
    expect_find(too_long, ERR_BAD_INPUT, NULL);
}

static void two_accounts_of_one_id_text_are_a_conflict(void **state)
{
    (void)state;
    put_account("\"9\"", "");
    put_account("9", "");
    expect_find("9", ERR_CONFLICT, NULL);
    if (fx.is_mongo) return; /* FerretDB, unlike MongoDB, takes an ObjectId and the text of its digits for one _id */
    put_account("\"" OID_A "\"", "");
    put_account("{\"$oid\":\"" OID_A "\"}", "");
    expect_find(OID_A, ERR_CONFLICT, NULL);
}

static void an_account_is_read_by_its_own_id_and_no_other_of_that_text(void **state)
{
    static const struct account_id ids[] = {{ID_STRING, "9"}, {ID_NUMBER, "9"}, {ID_OBJECTID, OID_A}};

    (void)state;
    put_account("\"9\"", "\"username\":\"text\"");
    put_account("9", "\"username\":\"number\"");
    for (int i = 0; i < 3; i++) {
        struct account account;
        struct err err = {0};
        enum err_code rc = store_read_account(fx.store, &ids[i], &account, &err);

        fixture_expect(rc, i < 2 ? ERR_OK : ERR_NOT_FOUND, &err, ids[i].text);
        if (i < 2) assert_string_equal(account.username, i ? "number" : "text");
        if (i < 2) assert_int_equal(account.id.type, ids[i].type);
        account_fini(&account);
    }
}

/* ---- find by workspace ---- */

static void expect_workspace(const char *platform, const char *workspace, int limit, enum err_code expected,
                             const char *list_expected)
{
    struct fixture_list list = {0};
    struct err err = {0};
    enum err_code rc = store_find_workspace(fx.store, platform, workspace, limit, fixture_collect, &list, &err);

    fixture_expect(rc, expected, &err, workspace);
    fixture_expect_list(&list, list_expected, workspace);
}

static void a_workspace_is_found_by_every_form_of_its_id(void **state)
{
    (void)state;
    put_account("\"a\"", "\"workspaceId\":\"ws-1\"");
    put_account("\"b\"", "\"workspaceId\":\"7\"");
    put_account("\"c\"", "\"workspaceId\":7");
    put_account("\"d\"", "\"workspaceId\":{\"$numberDouble\":\"7.0\"}");
    put_account("\"e\"", "\"workspaceId\":{\"$oid\":\"" OID_A "\"}");
    put_account("\"f\"", "\"workspaceId\":\"" OID_A "\"");
    put_account("\"g\"", "\"workspaceId\":17841400000000001");
    expect_workspace("instagram", "ws-1", 10, ERR_OK, "s:a");
    expect_workspace("instagram", "7", 10, ERR_OK, "s:b s:c s:d");
    expect_workspace("instagram", OID_A, 10, ERR_OK, "s:e s:f");
    expect_workspace("instagram", "17841400000000001", 10, ERR_OK, "s:g");
}

static void a_workspace_id_never_matches_in_part(void **state)
{
    (void)state;
    put_account("\"a\"", "\"workspaceId\":\"ws-1\"");
    put_account("\"b\"", "\"workspaceId\":\"ws-10\"");
    put_account("\"c\"", "\"workspaceId\":null");
    put_account("\"d\"", "");
    put_account("\"e\"", "\"workspaceId\":70");
    expect_workspace("instagram", "ws-", 10, ERR_OK, "");
    expect_workspace("instagram", "ws-1", 10, ERR_OK, "s:a");
    expect_workspace("instagram", "WS-1", 10, ERR_OK, "");
    expect_workspace("instagram", "^ws.*", 10, ERR_OK, "");
    expect_workspace("instagram", "7", 10, ERR_OK, "");
    expect_workspace("instagram", "null", 10, ERR_OK, "");
    expect_workspace("instagram", "", 10, ERR_BAD_INPUT, "");
}

static void a_workspace_lists_one_platform_active_or_not(void **state)
{
    (void)state;
    put_account("\"a\"", "\"workspaceId\":\"w\",\"isActive\":false");
    put_account("\"b\"", "\"workspaceId\":\"w\",\"isActive\":true");
    fixture_put("{\"_id\":\"c\",\"platform\":\"facebook\",\"workspaceId\":\"w\"}");
    expect_workspace("instagram", "w", 10, ERR_OK, "s:a s:b");
    expect_workspace("facebook", "w", 10, ERR_OK, "s:c");
    expect_workspace("insta", "w", 10, ERR_OK, "");
}

static void a_workspace_over_the_limit_is_refused_whole(void **state)
{
    (void)state;
    put_account("\"a\"", "\"workspaceId\":\"w\"");
    put_account("\"b\"", "\"workspaceId\":\"w\"");
    put_account("\"c\"", "\"workspaceId\":\"w\"");
    expect_workspace("instagram", "w", 3, ERR_OK, "s:a s:b s:c");
    expect_workspace("instagram", "w", 2, ERR_TOO_LARGE, "");
}

static int stop_at_second(void *arg, struct account *account)
{
    account_fini(account);
    return ++*(int *)arg < 2;
}

static void the_callee_ends_a_list_when_it_wants_no_more(void **state)
{
    struct err err = {0};
    struct store_page page;
    int seen = 0;

    (void)state;
    put_account("\"a\"", "\"workspaceId\":\"w\"");
    put_account("\"b\"", "\"workspaceId\":\"w\"");
    put_account("\"c\"", "\"workspaceId\":\"w\"");
    assert_int_equal(store_find_workspace(fx.store, "instagram", "w", 10, stop_at_second, &seen, &err), ERR_OK);
    assert_int_equal(seen, 2);
    seen = 0;
    assert_int_equal(store_scan(fx.store, "instagram", NULL, 10, stop_at_second, &seen, &page, &err), ERR_OK);
    assert_int_equal(seen, 2);
}

/* ---- what is read ---- */

static int keep_account(void *arg, struct account *account)
{
    *(struct account *)arg = *account;
    return 1;
}

static void an_account_reads_as_it_was_put_and_outlives_the_call(void **state)
{
    struct account a = {0};
    struct err err = {0};
    char *text;

    (void)state;
    put_account("\"a\"",
                "\"workspaceId\":5,\"username\":\"n\xc3\xa9\",\"accountId\":\"178\",\"encryptedAccessToken\":"
                "{\"iv\":\"aXY=\",\"kdf\":100000,\"encryptedData\":\"ZGF0YQ==\"},\"encryptedRefreshToken\":\"{}\","
                "\"accessToken\":\"tok\",\"refreshToken\":null,\"expiresAt\":{\"$date\":\"2027-01-02T03:04:05.678Z\"},"
                "\"tokenStatus\":\"valid\",\"isActive\":true,\"needsReconnection\":false,"
                "\"lastTokenValidation\":{\"$date\":{\"$numberLong\":\"1700000000001\"}},"
                "\"lastSyncAt\":{\"$date\":{\"$numberLong\":\"-1500\"}},"
                "\"tokenHealth\":{\"state\":\"healthy\",\"n\":9007199254740993}");
    assert_int_equal(store_find_workspace(fx.store, "instagram", "5", 1, keep_account, &a, &err), ERR_OK);
    put_account("\"b\"", "");
    assert_string_equal(a.platform, "instagram");
    assert_int_equal(a.workspace.type, ID_NUMBER);
    assert_string_equal(a.username, "n\xc3\xa9");
    assert_string_equal(a.provider_account_id, "178");
    text = fixture_text(a.encrypted_access);
    assert_string_equal(text, "{\"iv\":\"aXY=\",\"kdf\":100000,\"encryptedData\":\"ZGF0YQ==\"}");
    free(text);
    assert_string_equal(json_string(a.encrypted_refresh), "{}");
    assert_string_equal(json_string(a.plain_access), "tok");
    assert_null(a.plain_refresh);
    assert_true(a.expires_at_ms == 1798859045678);
    assert_string_equal(a.token_status, "valid");
    assert_int_equal(a.is_active, TRI_TRUE);
    assert_int_equal(a.needs_reconnection, TRI_FALSE);
    assert_true(a.last_validation_at_ms == 1700000000001);
    assert_true(a.last_sync_at_ms == -1500);
    text = fixture_text(json_member(a.health, "n"));
    assert_string_equal(text, "9007199254740993");
    free(text);
    assert_string_equal(a.fault, "");
    account_fini(&a);
}

/* ---- import ---- */

static void an_import_of_a_known_id_conflicts_unless_it_replaces(void **state)
{
    struct json *doc = fixture_json("{\"_id\":\"a\",\"platform\":\"instagram\",\"username\":\"new\"}");
    struct err err = {0};
    struct account account;
    int created = 7;

    (void)state;
    put_account("\"a\"", "\"username\":\"old\",\"tokenStatus\":\"valid\"");
    fixture_expect(store_import(fx.store, doc, 0, &created, &err), ERR_CONFLICT, &err, "import");
    assert_int_equal(created, 0);
    assert_int_equal(store_find_account(fx.store, "a", &account, &err), ERR_OK);
    assert_string_equal(account.username, "old");
    account_fini(&account);
    err_clear(&err);
    fixture_expect(store_import(fx.store, doc, 1, &created, &err), ERR_OK, &err, "import --replace");
    assert_int_equal(created, 0);
    assert_int_equal(store_find_account(fx.store, "a", &account, &err), ERR_OK);
    assert_string_equal(account.username, "new");
    assert_string_equal(account.token_status, "");
    account_fini(&account);
    json_free(doc);
    doc = fixture_json("{\"_id\":\"b\",\"platform\":\"instagram\"}");
    fixture_expect(store_import(fx.store, doc, 1, &created, &err), ERR_OK, &err, "import --replace of a new one");
    assert_int_equal(created, 1);
    json_free(doc);
}

static void a_replaced_account_moves_to_its_new_workspace_and_platform(void **state)
{
    struct json *doc = fixture_json("{\"_id\":\"a\",\"platform\":\"facebook\",\"workspaceId\":\"new\"}");
    struct err err = {0};
    int created;

    (void)state;
    put_account("\"a\"", "\"workspaceId\":\"old\"");
    fixture_expect(store_import(fx.store, doc, 1, &created, &err), ERR_OK, &err, "import");
    expect_workspace("instagram", "old", 10, ERR_OK, "");
    expect_workspace("facebook", "new", 10, ERR_OK, "s:a");
    json_free(doc);
}

static void an_unusable_document_is_not_imported(void **state)
{
    static const char *const docs[] = {"[]",
                                       "5",
                                       "{}",
                                       "{\"_id\":\"a\"}",
                                       "{\"platform\":\"instagram\"}",
                                       "{\"_id\":null,\"platform\":\"instagram\"}",
                                       "{\"_id\":1.5,\"platform\":\"instagram\"}",
                                       "{\"_id\":{\"a\":1},\"platform\":\"instagram\"}",
                                       "{\"_id\":\"\",\"platform\":\"instagram\"}",
                                       "{\"_id\":\"a\",\"platform\":\"\"}",
                                       "{\"_id\":\"a\",\"platform\":5}"};
    struct store_counts counts;
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        struct json *doc = fixture_json(docs[i]);
        int created = 7;

        err_clear(&err);
        fixture_expect(store_import(fx.store, doc, 1, &created, &err), ERR_BAD_INPUT, &err, docs[i]);
        json_free(doc);
    }
    err_clear(&err);
    fixture_expect(store_count(fx.store, NULL, &counts, &err), ERR_OK, &err, "count");
    assert_int_equal(counts.total, 0);
}

/* ---- counts ---- */

static int64_t count_of(const struct store_word *words, int count, const char *word)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(words[i].word, word)) return words[i].count;
    return -1;
}

static void accounts_are_counted_by_platform_state_and_status(void **state)
{
    struct store_counts c;
    struct err err = {0};

    (void)state;
    put_account("\"a\"",
                "\"tokenHealth\":{\"state\":\"healthy\"},\"tokenStatus\":\"valid\",\"needsReconnection\":false");
    put_account("2", "\"tokenHealth\":{\"state\":\"healthy\"},\"tokenStatus\":\"valid\",\"isActive\":true");
    put_account("3", "\"tokenHealth\":{\"state\":\"broken\"},\"tokenStatus\":\"revoked\",\"needsReconnection\":true");
    put_account("4", "\"isActive\":false,\"tokenHealth\":null,\"tokenStatus\":null");
    put_account("5", "\"tokenHealth\":{\"state\":5},\"tokenStatus\":\"a word that is longer than any of ours\"");
    fixture_put("{\"_id\":\"f\",\"platform\":\"facebook\",\"isActive\":null}");
    fixture_expect(store_count(fx.store, "instagram", &c, &err), ERR_OK, &err, "count");
    assert_int_equal(c.total, 5);
    assert_int_equal(c.active, 4);
    assert_int_equal(c.needs_reconnection, 1);
    assert_int_equal(c.state_count, 4);
    assert_int_equal(count_of(c.by_state, c.state_count, "healthy"), 2);
    assert_int_equal(count_of(c.by_state, c.state_count, "broken"), 1);
    assert_int_equal(count_of(c.by_state, c.state_count, ""), 1);
    assert_int_equal(count_of(c.by_state, c.state_count, "other"), 1);
    assert_int_equal(c.status_count, 4);
    assert_int_equal(count_of(c.by_status, c.status_count, "valid"), 2);
    assert_int_equal(count_of(c.by_status, c.status_count, "revoked"), 1);
    assert_int_equal(count_of(c.by_status, c.status_count, ""), 1);
    assert_int_equal(count_of(c.by_status, c.status_count, "other"), 1);
    fixture_expect(store_count(fx.store, NULL, &c, &err), ERR_OK, &err, "count of all platforms");
    assert_int_equal(c.total, 6);
    assert_int_equal(c.active, 5);
    fixture_expect(store_count(fx.store, "threads", &c, &err), ERR_OK, &err, "count of a platform without accounts");
    assert_int_equal(c.total + c.state_count + c.status_count, 0);
}

static void more_words_than_fit_are_counted_together(void **state)
{
    enum { WORDS = 2 * STORE_WORDS_MAX };
    struct store_counts c;
    struct err err = {0};
    int64_t sum = 0;

    (void)state;
    for (int i = 0; i < WORDS; i++) {
        char id[16], rest[64];

        snprintf(id, sizeof id, "%d", i);
        snprintf(rest, sizeof rest, "\"tokenStatus\":\"word%d\"", i);
        put_account(id, rest);
    }
    fixture_expect(store_count(fx.store, "instagram", &c, &err), ERR_OK, &err, "count");
    assert_int_equal(c.status_count, STORE_WORDS_MAX);
    for (int i = 0; i < c.status_count; i++)
        sum += c.by_status[i].count;
    assert_int_equal(sum, WORDS);
    assert_int_equal(count_of(c.by_status, c.status_count, "other"), WORDS - STORE_WORDS_MAX + 1);
}

/* ---- our own documents ---- */

static void our_own_documents_are_kept_by_name_exactly(void **state)
{
    static const char *const texts[] = {"{\"graph.facebook.com\":{\"$calls\":5,\"\":null},\"n\":9007199254740993,\"d\":"
                                        "0.1,\"e\":1e300,\"u\":\"\xf0\x9f\x98\x80\"}",
                                        "[1,2,3]", "\"text\"", "true"};
    struct json *value = NULL;
    struct err err = {0};

    (void)state;
    fixture_expect(store_meta_get(fx.store, "monitor", &value, &err), ERR_NOT_FOUND, &err, "get");
    assert_null(value);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json *put = fixture_json(texts[i]);
        char *got;

        err_clear(&err);
        fixture_expect(store_meta_put(fx.store, "monitor", put, &err), ERR_OK, &err, texts[i]);
        fixture_expect(store_meta_get(fx.store, "monitor", &value, &err), ERR_OK, &err, texts[i]);
        got = fixture_text(value);
        assert_string_equal(got, texts[i]);
        free(got);
        json_free(value);
        json_free(put);
    }
    fixture_expect(store_meta_get(fx.store, "monitor2", &value, &err), ERR_NOT_FOUND, &err, "another name");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_account_is_found_by_every_form_of_id),
        TEST(texts_that_look_like_other_ids_are_found_as_texts),
        TEST(an_id_that_no_account_has_is_not_found),
        TEST(what_is_no_id_is_bad_input),
        TEST(two_accounts_of_one_id_text_are_a_conflict),
        TEST(an_account_is_read_by_its_own_id_and_no_other_of_that_text),
        TEST(a_workspace_is_found_by_every_form_of_its_id),
        TEST(a_workspace_id_never_matches_in_part),
        TEST(a_workspace_lists_one_platform_active_or_not),
        TEST(a_workspace_over_the_limit_is_refused_whole),
        TEST(the_callee_ends_a_list_when_it_wants_no_more),
        TEST(an_account_reads_as_it_was_put_and_outlives_the_call),
        TEST(an_import_of_a_known_id_conflicts_unless_it_replaces),
        TEST(a_replaced_account_moves_to_its_new_workspace_and_platform),
        TEST(an_unusable_document_is_not_imported),
        TEST(accounts_are_counted_by_platform_state_and_status),
        TEST(more_words_than_fit_are_counted_together),
        TEST(our_own_documents_are_kept_by_name_exactly),
    };

    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
