/* The contract of updates: single fields, all or nothing, only if every guard holds, and nothing else of the document touched, byte
 * for byte. And of many processes at once: of those that compare and swap exactly one wins. */
#include "raw_mongo.h"
#include "raw_sqlite.h"

#define ID "\"a\""

static char *raw_get(const char *id_json)
{
    return fx.is_mongo ? raw_mongo_get(id_json) : raw_sqlite_get(id_json);
}

static void put_document(const char *rest)
{
    struct buf text = {0};

    buf_printf(&text, "{\"_id\":" ID ",\"platform\":\"instagram\"%s%s}", *rest ? "," : "", rest);
    fixture_put(buf_text(&text));
    buf_free(&text);
}

static void replace_document(const char *rest)
{
    struct buf text = {0};
    struct json *doc;
    struct err err = {0};
    int created;

    buf_printf(&text, "{\"_id\":" ID ",\"platform\":\"instagram\"%s%s}", *rest ? "," : "", rest);
    doc = fixture_json(buf_text(&text));
    fixture_expect(store_import(fx.store, doc, 1, &created, &err), ERR_OK, &err, rest);
    json_free(doc);
    buf_free(&text);
}

/* Applies and frees the patch. */
static void update(struct patch *patch, enum err_code expected, const char *what)
{
    const struct account_id id = fixture_id(ID);
    struct err err = {0};

    fixture_expect(store_update(fx.store, &id, patch, &err), expected, &err, what);
    patch_fini(patch);
}

static void set_json(struct patch *patch, const char *path, const char *value)
{
    patch_set(patch, path, fixture_json(value));
}

static void guard_json(struct patch *patch, const char *path, const char *value)
{
    struct json *json = value ? fixture_json(value) : NULL;

    patch_guard(patch, path, json);
    json_free(json);
}

/* What the account holds under ${path}, as JSON text; NULL: nothing. */
static void expect_held(const char *path, const char *expected, const char *what)
{
    struct account account;
    struct err err = {0};
    const struct json *held;
    char *text = NULL;

    fixture_expect(store_find_account(fx.store, "a", &account, &err), ERR_OK, &err, what);
    held = json_get(account.doc, path);
    if (held) text = fixture_text(held);
    if (!expected ? held != NULL : !text || strcmp(text, expected) != 0)
        fail_msg("%s: %s is %s, expected %s", what, path, text ? text : "absent", expected ? expected : "absent");
    free(text);
    account_fini(&account);
}

/* ---- what is written ---- */

static void fields_are_set_and_unset_at_any_depth(void **state)
{
    struct patch p = {0};

    (void)state;
    put_document("\"tokenStatus\":\"valid\",\"accessToken\":\"tok\",\"tokenHealth\":{\"state\":\"healthy\",\"fast\":{"
                 "\"old\":1}}");
    patch_set_string(&p, "tokenStatus", "revoked");
    patch_unset(&p, "accessToken");
    patch_set_bool(&p, "needsReconnection", 1);
    patch_set_int(&p, "tokenHealth.confirmations", 2);
    patch_set_string(&p, "tokenHealth.lastAttempt.reason", "timeout");
    set_json(&p, "tokenHealth.fast.access", "{\"v\":1,\"data\":\"ZGF0YQ==\"}");
    patch_unset(&p, "tokenHealth.fast.old");
    patch_unset(&p, "tokenHealth.never.was");
    patch_set_date(&p, "lastTokenValidation", 1700000000123);
    update(&p, ERR_OK, "update");
    expect_held("tokenStatus", "\"revoked\"", "set");
    expect_held("accessToken", NULL, "unset");
    expect_held("needsReconnection", "true", "set");
    expect_held("tokenHealth",
                "{\"state\":\"healthy\",\"fast\":{\"access\":{\"v\":1,\"data\":\"ZGF0YQ==\"}},\"confirmations\":2,"
                "\"lastAttempt\":{\"reason\":\"timeout\"}}",
                "nested");
    expect_held("lastTokenValidation", "{\"$date\":\"2023-11-14T22:13:20.123Z\"}", "date");
}

static void an_unset_date_and_text_leave_no_field(void **state)
{
    struct patch p = {0};

    (void)state;
    put_document("\"expiresAt\":{\"$date\":\"2027-01-01T00:00:00.000Z\"},\"tokenStatus\":\"valid\"");
    patch_set_date(&p, "expiresAt", 0);
    patch_set_string(&p, "tokenStatus", NULL);
    update(&p, ERR_OK, "update");
    expect_held("expiresAt", NULL, "a date of 0");
    expect_held("tokenStatus", NULL, "no text");
}

static void dates_far_away_are_dates(void **state)
{
    static const int64_t dates[] = {-62135596800000, -1, 1, 253402300799999};

    (void)state;
    put_document("");
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        struct patch p = {0};
        struct account account;
        struct err err = {0};
        char what[32];

        snprintf(what, sizeof what, "%lld", (long long)dates[i]);
        patch_set_date(&p, "expiresAt", dates[i]);
        update(&p, ERR_OK, what);
        fixture_expect(store_find_account(fx.store, "a", &account, &err), ERR_OK, &err, what);
        if (account.expires_at_ms != dates[i])
            fail_msg("got %lld, expected %s", (long long)account.expires_at_ms, what);
        account_fini(&account);
    }
}

#define FOREIGN                                                                                                        \
    "\"int32\":5,\"int64\":{\"$numberLong\":\"5\"},\"big\":9007199254740993,\"double\":1.0,\"tenth\":0.1,\"tiny\":5e-" \
    "324,"                                                                                                             \
    "\"date\":{\"$date\":\"2026-01-02T03:04:05.678Z\"},\"old\":{\"$date\":{\"$numberLong\":\"-1\"}},"                  \
    "\"oid\":{\"$oid\":\"0123456789abcdef01234567\"},\"bin\":{\"$binary\":{\"base64\":\"AAEC\",\"subType\":\"04\"}},"  \
    "\"re\":{\"$regularExpression\":{\"pattern\":\"a/b\",\"options\":\"i\"}},"                                         \
    "\"list\":[1,{\"z\":1,\"a\":[]},null],\"text\":\"\\\"\\\\/"                                                        \
    "\\u0001\xc3\xa9\xf0\x9f\x98\x80\",\"nul\":null,\"empty\":{}"

#define OURS ",\"tokenHealth\":{\"state\":\"healthy\"},\"accessToken\":\"t\""
/* FerretDB refuses these, MongoDB does not. */
#define FOREIGN_MORE                                                                                                   \
    ",\"dec\":{\"$numberDecimal\":\"1.50\"},\"a.b\":1,\"$c\":{\"$d\":[[1]]},\"huge\":123456789012345678901234567890"

/* The document as text, without what the patch names. */
static char *foreign_part(char *raw)
{
    struct json *doc = fixture_json(raw);
    char *text;

    json_remove(doc, "tokenHealth");
    json_remove(doc, "tokenStatus");
    json_remove(doc, "accessToken");
    text = fixture_text(doc);
    json_free(doc);
    free(raw);
    return text;
}

static void what_a_patch_does_not_name_stays_byte_for_byte(void **state)
{
    struct patch p = {0};
    char *before, *after;

    (void)state;
    put_document(fx.is_mongo ? FOREIGN OURS : FOREIGN FOREIGN_MORE OURS);
    before = foreign_part(raw_get(ID));
    assert_non_null(strstr(before, "9007199254740993"));
    patch_set_string(&p, "tokenHealth.state", "broken");
    patch_set_string(&p, "tokenStatus", "revoked");
    patch_unset(&p, "accessToken");
    update(&p, ERR_OK, "update");
    after = foreign_part(raw_get(ID));
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void parents_that_are_no_objects_become_objects(void **state)
{
    static const char *const parents[] = {"",
                                          "\"tokenHealth\":null",
                                          "\"tokenHealth\":\"text\"",
                                          "\"tokenHealth\":5",
                                          "\"tokenHealth\":[1,2]",
                                          "\"tokenHealth\":[{\"fast\":{\"access\":1}}]",
                                          "\"tokenHealth\":{\"$date\":\"2026-01-02T03:04:05.678Z\"}",
                                          "\"tokenHealth\":{\"fast\":null}",
                                          "\"tokenHealth\":{\"fast\":[]}",
                                          "\"tokenHealth\":{\"fast\":{\"access\":5}}"};

    (void)state;
    put_document("");
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        struct patch p = {0};

        replace_document(parents[i]);
        patch_set_string(&p, "tokenHealth.fast.access.data", "x");
        patch_set_string(&p, "tokenHealth.state", "healthy");
        patch_unset(&p, "tokenHealth.fast.refresh");
        patch_unset(&p, "tokenHealth.gone");
        patch_set_string(&p, "tokenStatus", "valid");
        patch_guard(&p, "accessToken", NULL);
        update(&p, ERR_OK, parents[i]);
        expect_held("tokenHealth.fast.access", "{\"data\":\"x\"}", parents[i]);
        expect_held("tokenHealth.state", "\"healthy\"", parents[i]);
        expect_held("tokenStatus", "\"valid\"", parents[i]);
    }
}

static void an_unset_below_a_parent_that_is_no_object_changes_nothing(void **state)
{
    struct patch p = {0};

    (void)state;
    put_document("\"tokenHealth\":null");
    patch_unset(&p, "tokenHealth.fast.access");
    patch_set_string(&p, "tokenStatus", "valid");
    update(&p, ERR_OK, "update");
    expect_held("tokenHealth", "null", "the parent");
    expect_held("tokenStatus", "\"valid\"", "the rest");
}

static void accounts_of_every_id_type_are_updated(void **state)
{
    static const char *const ids[] = {"\"a\"", "\"5\"", "5", "17841400000000001",
                                      "{\"$oid\":\"0123456789abcdef01234567\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const struct account_id id = fixture_id(ids[i]);
        struct patch p = {0};
        struct err err = {0};
        char text[128], *raw;

        snprintf(text, sizeof text, "{\"_id\":%s,\"platform\":\"instagram\"}", ids[i]);
        fixture_put(text);
        snprintf(text, sizeof text, "mark%zu", i);
        patch_set_string(&p, "tokenStatus", text);
        fixture_expect(store_update(fx.store, &id, &p, &err), ERR_OK, &err, ids[i]);
        patch_fini(&p);
        raw = raw_get(ids[i]);
        if (!raw || !strstr(raw, text)) fail_msg("%s: %s is not in %s", ids[i], text, raw ? raw : "nothing");
        free(raw);
    }
}

/* ---- guards ---- */

static int ferretdb_refuses(const char *text)
{
    return text && (strstr(text, "[[") || strstr(text, "a.b"));
}

static const struct guard_case {
    const char *held, *wanted; /* NULL: the field is absent; the guard wants it absent or null */
    int holds;
} guard_cases[] = {
    {NULL, NULL, 1},
    {"null", NULL, 1},
    {"\"t\"", NULL, 0},
    {"\"\"", NULL, 0},
    {"[null]", NULL, 0},
    {"false", NULL, 0},
    {"\"t\"", "\"t\"", 1},
    {"\"T\"", "\"t\"", 0},
    {"\"tt\"", "\"t\"", 0},
    {NULL, "\"t\"", 0},
    {"null", "\"t\"", 0},
    {"[\"t\"]", "\"t\"", 0},
    {"\"\"", "\"\"", 1},
    {"true", "true", 1},
    {"true", "false", 0},
    {"1", "true", 0},
    {"5", "5", 1},
    {"5.0", "5", 1},
    {"{\"$numberLong\":\"5\"}", "5", 1},
    {"5.5", "5", 0},
    {"\"5\"", "5", 0},
    {"9007199254740993", "9007199254740993", 1},
    {"9007199254740993", "9007199254740992", 0},
    {"0.1", "0.1", 1},
    {"{\"$date\":\"2026-01-02T03:04:05.678Z\"}", "{\"$date\":\"2026-01-02T03:04:05.678Z\"}", 1},
    {"{\"$date\":\"2026-01-02T03:04:05.678Z\"}", "{\"$date\":{\"$numberLong\":\"1767323045678\"}}", 1},
    {"{\"$date\":\"2026-01-02T03:04:05.678Z\"}", "{\"$date\":\"2026-01-02T03:04:05.679Z\"}", 0},
    {"{\"iv\":\"a\",\"tag\":\"b\",\"kdf\":1}", "{\"iv\":\"a\",\"tag\":\"b\",\"kdf\":1}", 1},
    {"{\"iv\":\"a\",\"tag\":\"b\",\"kdf\":1}", "{\"kdf\":1,\"tag\":\"b\",\"iv\":\"a\"}", 1},
    {"{\"iv\":\"a\",\"tag\":\"b\",\"new\":1}", "{\"iv\":\"a\",\"tag\":\"b\"}", 1},
    {"{\"iv\":\"a\"}", "{\"iv\":\"a\",\"tag\":\"b\"}", 0},
    {"{\"iv\":\"a\",\"tag\":\"c\"}", "{\"iv\":\"a\",\"tag\":\"b\"}", 0},
    {"[{\"iv\":\"a\",\"tag\":\"b\"}]", "{\"iv\":\"a\",\"tag\":\"b\"}", 0},
    {"\"{}\"", "{\"iv\":\"a\"}", 0},
    {NULL, "{\"iv\":null}", 0},
    {"{\"a\":1}", "{\"iv\":null}", 1},
    {"{\"a\":{\"c\":2,\"b\":[1,{\"d\":null}]}}", "{\"a\":{\"b\":[1,{\"d\":null}],\"c\":2}}", 1},
    {"{\"a\":{\"c\":2,\"b\":[1,2]}}", "{\"a\":{\"b\":[2,1]}}", 0},
    {"{}", "{}", 1},
    {"{\"a\":1}", "{}", 0},
    {"null", "{}", 0},
    {"[1,2]", "[1,2]", 1},
    {"[1,2,3]", "[1,2]", 0},
    {"[[1,2]]", "[1,2]", 0},
    {"{\"a.b\":1,\"$c\":2}", "{\"a.b\":1,\"$c\":2}", 1},
    {"{\"a.b\":1,\"$c\":2}", "{\"a.b\":1,\"$c\":3}", 0},
};

static void a_guard_holds_by_value_and_not_otherwise(void **state)
{

    (void)state;
    put_document("");
    for (size_t i = 0; i < sizeof guard_cases / sizeof *guard_cases; i++) {
        struct patch p = {0};
        char rest[256] = "", what[256];

        snprintf(what, sizeof what, "held %s, wanted %s", guard_cases[i].held ? guard_cases[i].held : "nothing",
                 guard_cases[i].wanted ? guard_cases[i].wanted : "nothing");
        if (fx.is_mongo && ferretdb_refuses(guard_cases[i].held)) continue;
        if (guard_cases[i].held) snprintf(rest, sizeof rest, "\"encryptedAccessToken\":%s", guard_cases[i].held);
        replace_document(rest);
        guard_json(&p, "encryptedAccessToken", guard_cases[i].wanted);
        patch_set_string(&p, "tokenHealth.state", "new");
        update(&p, guard_cases[i].holds ? ERR_OK : ERR_CONFLICT, what);
        expect_held("tokenHealth.state", guard_cases[i].holds ? "\"new\"" : NULL, what);
    }
}

static void every_guard_must_hold_or_nothing_is_written(void **state)
{
    char *before, *after;

    (void)state;
    put_document("\"accessToken\":\"t\",\"tokenHealth\":{\"lease\":{\"owner\":\"x\"}},\"isActive\":true");
    before = raw_get(ID);
    for (int wrong = 0; wrong < 3; wrong++) {
        struct patch p = {0};

        guard_json(&p, "accessToken", wrong == 0 ? "\"u\"" : "\"t\"");
        guard_json(&p, "tokenHealth.lease.owner", wrong == 1 ? "\"y\"" : "\"x\"");
        guard_json(&p, "isActive", wrong == 2 ? NULL : "true");
        patch_set_string(&p, "tokenStatus", "valid");
        patch_unset(&p, "accessToken");
        update(&p, ERR_CONFLICT, "one guard does not hold");
        after = raw_get(ID);
        assert_string_equal(after, before);
        free(after);
    }
    free(before);
}

static void a_patch_without_fields_only_looks_whether_its_guards_hold(void **state)
{
    struct patch p = {0};

    (void)state;
    put_document("\"tokenStatus\":\"valid\"");
    guard_json(&p, "tokenStatus", "\"valid\"");
    update(&p, ERR_OK, "holds");
    guard_json(&p, "tokenStatus", "\"revoked\"");
    update(&p, ERR_CONFLICT, "does not hold");
}

static void an_account_that_is_not_there_is_not_found_and_not_made(void **state)
{
    struct patch p = {0};
    struct account account;
    struct err err = {0};

    (void)state;
    patch_set_string(&p, "tokenStatus", "valid");
    update(&p, ERR_NOT_FOUND, "without guards");
    patch_set_string(&p, "tokenStatus", "valid");
    patch_guard(&p, "accessToken", NULL);
    update(&p, ERR_NOT_FOUND, "with a guard");
    fixture_expect(store_find_account(fx.store, "a", &account, &err), ERR_NOT_FOUND, &err, "find");
}

static void a_patch_that_contradicts_itself_is_refused(void **state)
{
    struct patch p = {0};

    (void)state;
    put_document("");
    patch_set_int(&p, "tokenHealth", 1);
    patch_set_int(&p, "tokenHealth.state", 2);
    update(&p, ERR_INTERNAL, "one path inside the other");
    patch_set(&p, "tokenHealth", NULL);
    update(&p, ERR_INTERNAL, "a value that could not be made");
    expect_held("tokenHealth", NULL, "nothing was written");
}

static void the_same_patch_may_be_applied_twice(void **state)
{
    (void)state;
    put_document("");
    for (int i = 0; i < 2; i++) {
        struct patch p = {0};

        patch_set_string(&p, "tokenHealth.state", "healthy");
        patch_unset(&p, "accessToken");
        update(&p, ERR_OK, "again");
    }
    expect_held("tokenHealth", "{\"state\":\"healthy\"}", "after both");
}

static void a_loose_patch_is_written_and_guarded_as_any_other(void **state)
{
    struct patch p = {0};

    (void)state;
    put_document("\"tokenHealth\":null");
    p.loose = 1;
    guard_json(&p, "accessToken", "\"t\"");
    patch_set_string(&p, "tokenHealth.state", "healthy");
    update(&p, ERR_CONFLICT, "a guard does not hold");
    expect_held("tokenHealth", "null", "nothing was written");
    p.loose = 1;
    patch_guard(&p, "accessToken", NULL);
    patch_set_string(&p, "tokenHealth.state", "healthy");
    update(&p, ERR_OK, "update");
    expect_held("tokenHealth.state", "\"healthy\"", "written");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fields_are_set_and_unset_at_any_depth),
        TEST(an_unset_date_and_text_leave_no_field),
        TEST(dates_far_away_are_dates),
        TEST(what_a_patch_does_not_name_stays_byte_for_byte),
        TEST(parents_that_are_no_objects_become_objects),
        TEST(an_unset_below_a_parent_that_is_no_object_changes_nothing),
        TEST(accounts_of_every_id_type_are_updated),
        TEST(a_guard_holds_by_value_and_not_otherwise),
        TEST(every_guard_must_hold_or_nothing_is_written),
        TEST(a_patch_without_fields_only_looks_whether_its_guards_hold),
        TEST(an_account_that_is_not_there_is_not_found_and_not_made),
        TEST(a_patch_that_contradicts_itself_is_refused),
        TEST(the_same_patch_may_be_applied_twice),
        TEST(a_loose_patch_is_written_and_guarded_as_any_other),
    };

    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
