/* Account documents: every form the application writes is read; what is odd is named and counts as absent; nothing is guessed. */
#include "json_fixture.h"

static void parse(const char *text, struct account *account)
{
    struct err err = {0};

    if (account_parse(fixture_json(text), account, &err) != ERR_OK)
        fail_msg("%s: refused: %s %s", text, err.place, err.text);
}

/* A document of _id, platform and ${rest}. */
static void parse_with(const char *rest, struct account *account)
{
    struct buf text = {0};

    buf_printf(&text, "{\"_id\":\"a\",\"platform\":\"instagram\"%s%s}", *rest ? "," : "", rest);
    parse(buf_text(&text), account);
    buf_free(&text);
}

static void a_whole_account_is_read(void **state)
{
    struct account a;

    (void)state;
    parse("{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"},\"workspaceId\":7,\"platform\":\"instagram\",\"username\":"
          "\"u\","
          "\"accountId\":\"178\",\"encryptedAccessToken\":{\"iv\":\"x\"},\"encryptedRefreshToken\":\"{}\","
          "\"accessToken\":\"t\","
          "\"refreshToken\":{\"a\":1},\"expiresAt\":{\"$date\":\"2027-01-02T03:04:05.678Z\"},\"tokenStatus\":\"valid\","
          "\"isActive\":true,\"needsReconnection\":false,\"lastSyncAt\":{\"$date\":\"1970-01-01T00:00:01Z\"},"
          "\"lastTokenValidation\":{\"$date\":{\"$numberLong\":\"5\"}},\"tokenHealth\":{\"state\":\"healthy\"}}",
          &a);
    assert_int_equal(a.id.type, ID_OBJECTID);
    assert_int_equal(a.workspace.type, ID_NUMBER);
    assert_string_equal(a.platform, "instagram");
    assert_string_equal(a.username, "u");
    assert_string_equal(a.provider_account_id, "178");
    fixture_expect_json(a.encrypted_access, "{\"iv\":\"x\"}", "encryptedAccessToken");
    fixture_expect_json(a.encrypted_refresh, "\"{}\"", "encryptedRefreshToken");
    fixture_expect_json(a.plain_access, "\"t\"", "accessToken");
    fixture_expect_json(a.plain_refresh, "{\"a\":1}", "refreshToken");
    assert_true(a.expires_at_ms == 1798859045678);
    assert_string_equal(a.token_status, "valid");
    assert_int_equal(a.is_active, TRI_TRUE);
    assert_int_equal(a.needs_reconnection, TRI_FALSE);
    assert_true(a.last_sync_at_ms == 1000);
    assert_true(a.last_validation_at_ms == 5);
    fixture_expect_json(a.health, "{\"state\":\"healthy\"}", "tokenHealth");
    assert_true(a.has_companion_fields);
    assert_string_equal(a.fault, "");
    account_fini(&a);
}

static void absent_and_null_are_the_same(void **state)
{
    static const char *const rests[] = {
        "", "\"workspaceId\":null,\"username\":null,\"accountId\":null,\"encryptedAccessToken\":null,"
            "\"encryptedRefreshToken\":null,"
            "\"accessToken\":null,\"refreshToken\":null,\"expiresAt\":null,\"tokenStatus\":null,\"isActive\":null,"
            "\"needsReconnection\":null,\"lastSyncAt\":null,\"lastTokenValidation\":null,\"tokenHealth\":null"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct account a;

        parse_with(rests[i], &a);
        assert_int_equal(a.workspace.type, ID_NONE);
        assert_string_equal(a.username, "");
        assert_string_equal(a.provider_account_id, "");
        assert_null(a.encrypted_access);
        assert_null(a.encrypted_refresh);
        assert_null(a.plain_access);
        assert_null(a.plain_refresh);
        assert_true(a.expires_at_ms == 0);
        assert_string_equal(a.token_status, "");
        assert_int_equal(a.is_active, TRI_ABSENT);
        assert_int_equal(a.needs_reconnection, TRI_ABSENT);
        assert_null(a.health);
        assert_false(a.has_companion_fields);
        assert_string_equal(a.fault, "");
        account_fini(&a);
    }
}

static void an_empty_plain_token_is_none(void **state)
{
    struct account a;

    (void)state;
    parse_with("\"accessToken\":\"\",\"refreshToken\":\"\"", &a);
    assert_null(a.plain_access);
    assert_null(a.plain_refresh);
    assert_string_equal(a.fault, "");
    account_fini(&a);
}

static void an_odd_field_is_named_and_counts_as_absent(void **state)
{
    static const struct {
        const char *field, *value;
    } odd[] = {{"workspaceId", "{\"a\":1}"},
               {"workspaceId", "\"\""},
               {"username", "5"},
               {"accountId", "5.5"},
               {"accountId", "{}"},
               {"encryptedAccessToken", "5"},
               {"encryptedAccessToken", "[]"},
               {"encryptedRefreshToken", "true"},
               {"expiresAt", "\"2027-01-02T03:04:05.678Z\""},
               {"expiresAt", "5"},
               {"expiresAt", "{\"$date\":\"soon\"}"},
               {"expiresAt", "{\"$date\":{\"$numberLong\":\"x\"}}"},
               {"expiresAt", "{\"$date\":1.5}"},
               {"tokenStatus", "5"},
               {"tokenStatus", "\"a word that is longer than any of ours\""},
               {"isActive", "\"false\""},
               {"isActive", "0"},
               {"needsReconnection", "1"},
               {"lastSyncAt", "\"\""},
               {"lastTokenValidation", "[]"},
               {"tokenHealth", "\"healthy\""},
               {"tokenHealth", "[]"}};

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct account a;
        char rest[128];
        size_t len = strlen(odd[i].field);

        snprintf(rest, sizeof rest, "\"%s\":%s", odd[i].field, odd[i].value);
        parse_with(rest, &a);
        if (strncmp(a.fault, odd[i].field, len) != 0 || a.fault[len] != ' ')
            fail_msg("%s: the fault is \"%s\"", rest, a.fault);
        assert_int_equal(a.workspace.type, ID_NONE);
        assert_string_equal(a.username, "");
        assert_string_equal(a.provider_account_id, "");
        assert_null(a.encrypted_access);
        assert_null(a.encrypted_refresh);
        assert_true(a.expires_at_ms == 0);
        assert_string_equal(a.token_status, "");
        assert_int_equal(a.is_active, TRI_ABSENT);
        assert_int_equal(a.needs_reconnection, TRI_ABSENT);
        assert_null(a.health);
        account_fini(&a);
    }
}

static void a_provider_id_may_be_a_whole_number(void **state)
{
    struct account a;

    (void)state;
    parse_with("\"accountId\":17841400000000001", &a);
    assert_string_equal(a.provider_account_id, "17841400000000001");
    account_fini(&a);
    parse_with("\"pageId\":17841400000000002", &a);
    assert_string_equal(a.provider_page_id, "17841400000000002");
    account_fini(&a);
    parse_with("\"pageId\":\"1784\"", &a);
    assert_string_equal(a.provider_page_id, "1784");
    account_fini(&a);
    parse_with("\"pageId\":{}", &a);
    assert_string_equal(a.provider_page_id, "");
    assert_string_equal(a.fault, "");
    account_fini(&a);
}

static void a_name_that_does_not_fit_is_odd_and_not_cut(void **state)
{
    struct buf rest = {0};
    struct account a;

    (void)state;
    buf_puts(&rest, "\"username\":\"");
    for (int i = 0; i < LIMIT_NAME_BYTES; i++)
        buf_puts(&rest, "x");
    buf_puts(&rest, "\"");
    parse_with(buf_text(&rest), &a);
    assert_string_equal(a.username, "");
    assert_string_equal(a.fault, "username is not a text of this length");
    account_fini(&a);
    buf_free(&rest);
}

static void a_document_without_id_or_platform_is_refused(void **state)
{
    static const struct {
        const char *text, *place;
    } bad[] = {{"5", ""},
               {"[]", ""},
               {"{}", "_id"},
               {"{\"_id\":null,\"platform\":\"instagram\"}", "_id"},
               {"{\"_id\":\"\",\"platform\":\"instagram\"}", "_id"},
               {"{\"_id\":true,\"platform\":\"instagram\"}", "_id"},
               {"{\"_id\":\"a\"}", "platform"},
               {"{\"_id\":\"a\",\"platform\":null}", "platform"},
               {"{\"_id\":\"a\",\"platform\":\"\"}", "platform"},
               {"{\"_id\":\"a\",\"platform\":5}", "platform"},
               {"{\"_id\":\"a\",\"platform\":\"a name of more than 31 characters\"}", "platform"}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct account a;
        struct err err = {0};

        if (account_parse(fixture_json(bad[i].text), &a, &err) != ERR_BAD_INPUT) fail_msg("%s is taken", bad[i].text);
        assert_string_equal(err.place, bad[i].place);
        assert_null(a.doc);
        account_fini(&a);
    }
}

static void what_a_document_lacks_is_said(void **state)
{
    static const char *const texts[] = {"{}", "{\"_id\":null,\"platform\":\"instagram\"}", "{\"_id\":\"a\"}",
                                        "{\"_id\":\"a\",\"platform\":null}"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct account a;
        struct err err = {0};

        assert_int_equal(account_parse(fixture_json(texts[i]), &a, &err), ERR_BAD_INPUT);
        if (strcmp(err.text, "is missing") != 0)
            fail_msg("%s: got \"%s\", expected \"is missing\"", texts[i], err.text);
    }
}

static void an_import_is_refused_for_any_odd_field(void **state)
{
    static const struct {
        const char *text, *place; /* NULL: good */
    } docs[] = {{"{\"_id\":\"a\",\"platform\":\"instagram\"}", NULL},
                {"{\"_id\":\"a\",\"platform\":\"instagram\",\"expiresAt\":null,\"foreign\":[{}]}", NULL},
                {"{\"_id\":\"a\",\"platform\":\"instagram\",\"expiresAt\":\"soon\"}", "expiresAt"},
                {"{\"_id\":\"a\",\"platform\":\"instagram\",\"isActive\":\"yes\"}", "isActive"},
                {"{\"_id\":\"a\",\"platform\":5}", "platform"},
                {"{\"platform\":\"instagram\"}", "_id"},
                {"[]", ""}};

    (void)state;
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        struct json *doc = fixture_json(docs[i].text);
        struct err err = {0};
        enum err_code rc = account_check_import(doc, &err);

        if (rc != (docs[i].place ? ERR_BAD_INPUT : ERR_OK)) fail_msg("%s: got %s", docs[i].text, err_word(rc));
        if (docs[i].place) assert_string_equal(err.place, docs[i].place);
        json_free(doc);
    }
}

static void every_form_of_a_date_is_read(void **state)
{
    static const struct {
        const char *text;
        int64_t at_ms;
    } dates[] = {{"{\"$date\":\"2026-01-02T03:04:05.678Z\"}", 1767323045678},
                 {"{\"$date\":\"2026-01-02T03:04:05Z\"}", 1767323045000},
                 {"{\"$date\":\"2026-01-02T04:04:05.678+01:00\"}", 1767323045678},
                 {"{\"$date\":{\"$numberLong\":\"1767323045678\"}}", 1767323045678},
                 {"{\"$date\":{\"$numberLong\":\"-1\"}}", -1},
                 {"{\"$date\":1767323045678}", 1767323045678}};

    (void)state;
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        struct json *json = fixture_json(dates[i].text);
        int64_t at_ms = 0;

        if (!account_date(json, &at_ms) || at_ms != dates[i].at_ms)
            fail_msg("%s: got %lld, expected %lld", dates[i].text, (long long)at_ms, (long long)dates[i].at_ms);
        json_free(json);
    }
}

static void every_field_that_is_read_is_asked_for(void **state)
{
    static const char *const read[] = {"_id",
                                       "workspaceId",
                                       "platform",
                                       "username",
                                       "accountId",
                                       "encryptedAccessToken",
                                       "encryptedRefreshToken",
                                       "accessToken",
                                       "refreshToken",
                                       "expiresAt",
                                       "tokenStatus",
                                       "isActive",
                                       "needsReconnection",
                                       "lastSyncAt",
                                       "lastTokenValidation",
                                       "tokenHealth"};

    (void)state;
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        const char *const *name = account_fields;

        while (*name && strcmp(*name, read[i]) != 0)
            name++;
        if (!*name) fail_msg("%s is not in account_fields", read[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_account_is_read),
        cmocka_unit_test(absent_and_null_are_the_same),
        cmocka_unit_test(an_empty_plain_token_is_none),
        cmocka_unit_test(an_odd_field_is_named_and_counts_as_absent),
        cmocka_unit_test(a_provider_id_may_be_a_whole_number),
        cmocka_unit_test(a_name_that_does_not_fit_is_odd_and_not_cut),
        cmocka_unit_test(a_document_without_id_or_platform_is_refused),
        cmocka_unit_test(what_a_document_lacks_is_said),
        cmocka_unit_test(an_import_is_refused_for_any_odd_field),
        cmocka_unit_test(every_form_of_a_date_is_read),
        cmocka_unit_test(every_field_that_is_read_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
