/* What the API says of an account: the words that front ends know, from a validation and from the document alone. */
#include "account_fixture.h"
#include "health/report.h"

#define E_ONE "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"

static const struct row {
    const char *name;
    int has_token, faults, fixed;
    enum state state;
    enum reason reason, attempt;
    const char *issue;
    int is_valid;
} rows[] = {
    {"healthy", 1, 0, 0, STATE_HEALTHY, REASON_OK, 0, NULL, 1},
    {"expiring", 1, 0, 0, STATE_EXPIRING, REASON_OK, 0, NULL, 1},
    {"limited", 1, 0, 0, STATE_LIMITED, REASON_PERMISSION_MISSING, 0, NULL, 1},
    {"healthy, last attempt failed", 1, 0, 0, STATE_HEALTHY, REASON_OK, REASON_TIMEOUT, "validation_error", 1},
    {"never decided", 1, 0, 0, STATE_UNKNOWN, REASON_NONE, REASON_TIMEOUT, "validation_error", 0},
    {"never tried", 1, 0, 0, STATE_UNKNOWN, REASON_NONE, 0, NULL, 0},
    {"revoked", 1, 0, 0, STATE_BROKEN, REASON_REVOKED, 0, "invalid_token_api_failed", 0},
    {"undecryptable", 1, 0, 0, STATE_BROKEN, REASON_UNDECRYPTABLE, 0, "validation_error", 0},
    {"nothing stored", 0, 0, 0, STATE_BROKEN, REASON_MISSING_TOKEN, 0, "missing_access_token", 0},
    {"misplaced and not fixed", 1, FAULT_ENVELOPE_IN_PLAIN_FIELD, 0, STATE_HEALTHY, REASON_OK, 0,
     "encrypted_token_in_access_field", 1},
    {"misplaced and fixed", 1, FAULT_ENVELOPE_IN_PLAIN_FIELD, FAULT_ENVELOPE_IN_PLAIN_FIELD, STATE_HEALTHY, REASON_OK,
     0, NULL, 1},
    {"misplaced and revoked, fixed", 1, FAULT_ENVELOPE_IN_PLAIN_FIELD, FAULT_ENVELOPE_IN_PLAIN_FIELD, STATE_BROKEN,
     REASON_REVOKED, 0, "invalid_token_api_failed", 0},
    {"misplaced and not fixed, something else was", 1, FAULT_ENVELOPE_IN_PLAIN_FIELD, FAULT_NO_COMPANIONS,
     STATE_HEALTHY, REASON_OK, 0, "encrypted_token_in_access_field", 1},
};

static void the_issue_is_what_most_needs_somebody(void **state)
{
    struct account account = fixture_account("{" E_ONE ",\"username\":\"u\"}");

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct finding finding = {.http_status = 400, .code = 190, .subcode = 458, .rule = "r", .message = "m"};
        struct validate_result result = {
            .account = &account,
            .verdict = {.state = row->state, .reason = row->reason, .attempt_reason = row->attempt},
            .token_format = "encrypted",
            .has_token = row->has_token,
            .faults = row->faults,
            .fixed = row->fixed,
            .asked = 1,
            .finding = &finding};
        struct account_report report;

        report_from_result(&result, &report);
        if (!report.issue != !row->issue || (row->issue && strcmp(report.issue, row->issue) != 0))
            fail_msg("%s: issue %s, expected %s", row->name, report.issue, row->issue);
        if (report.is_valid != row->is_valid) fail_msg("%s: is_valid %d", row->name, report.is_valid);
        if (report.fixed != (row->fixed != 0)) fail_msg("%s: fixed %d", row->name, report.fixed);
        assert_true(report.http_status == 400 && report.code == 190 && report.subcode == 458);
    }
    account_fini(&account);
}

static void expect_json(const struct json *j, const char *path, const char *text)
{
    char *got = json_get(j, path) ? fixture_text(json_get(j, path)) : strdup("(absent)");

    if (strcmp(got, text) != 0) fail_msg("%s: got %s, expected %s", path, got, text);
    free(got);
}

static void a_validation_answers_with_the_fields_of_the_design(void **state)
{
    struct account account = fixture_account("{" E_ONE ",\"username\":\"u\\\"1\"}");
    struct finding finding = {
        .http_status = 400, .code = 190, .subcode = 458, .rule = "user_removed_app", .message = "no"};
    struct validate_result result = {
        .account = &account,
        .verdict = {.state = STATE_BROKEN,
                    .reason = REASON_REVOKED,
                    .action = ACTION_RECONNECT,
                    .checked_at_ms = INT64_C(1800000000000),
                    .attempt_reason = REASON_APP_MISCONFIGURED,
                    .attempted_at_ms = INT64_C(1800000000001)},
        .token_format = "encrypted",
        .has_token = 1,
        .source = SOURCE_PROVIDER,
        .asked = 1,
        .finding = &finding,
    };
    struct account_report report;
    struct json *j;

    (void)state;
    report_from_result(&result, &report);
    j = report_to_validate_json(&report);
    assert_int_equal(json_count(j), 11);
    expect_json(j, "accountId", "\"a1\"");
    expect_json(j, "username", "\"u\\\"1\"");
    expect_json(j, "workspaceId", "\"w1\"");
    expect_json(j, "isValid", "false");
    expect_json(j, "hasToken", "true");
    expect_json(j, "tokenFormat", "\"encrypted\"");
    expect_json(j, "apiResponse",
                "{\"status\":400,\"rule\":\"user_removed_app\",\"code\":190,\"subcode\":458,\"message\":\"no\"}");
    expect_json(j, "issue", "\"invalid_token_api_failed\"");
    expect_json(j, "fixed", "false");
    expect_json(j, "health",
                "{\"state\":\"broken\",\"reason\":\"revoked\",\"action\":\"reconnect\","
                "\"checkedAt\":\"2027-01-15T08:00:00.000Z\",\"expiresAt\":null,\"source\":\"provider\","
                "\"lastAttempt\":{\"reason\":\"app_misconfigured\",\"action\":\"fix_app_config\","
                "\"at\":\"2027-01-15T08:00:00.001Z\"}}");
    fixture_no_token(j, "the answer");
    json_free(j);
    report.asked = 0;
    j = report_to_validate_json(&report);
    expect_json(j, "apiResponse", "null");
    json_free(j);
    account_fini(&account);
}

static void a_status_says_what_is_stored(void **state)
{
    struct account account = fixture_account(
        "{" E_ONE ",\"accessToken\":\"" TOKEN_TWO "\",\"needsReconnection\":true,\"isActive\":true,"
        "\"lastSyncAt\":{\"$date\":\"2026-01-01T00:00:00.000Z\"},\"expiresAt\":{\"$date\":1800000000000},"
        "\"tokenHealth\":{\"state\":\"limited\",\"reason\":\"blocked\"}}");
    struct account_report report;
    struct json *j;

    (void)state;
    report_from_account(&account, &report);
    j = report_to_status_json(&report);
    assert_int_equal(json_count(j), 8);
    expect_json(j, "id", "\"a1\"");
    expect_json(j, "username", "null");
    expect_json(j, "hasToken", "true");
    expect_json(j, "tokenFormat", "\"encrypted\"");
    expect_json(j, "isActive", "true");
    expect_json(j, "lastSyncAt", "\"2026-01-01T00:00:00.000Z\"");
    expect_json(j, "needsReconnection", "true");
    expect_json(j, "health.state", "\"limited\"");
    expect_json(j, "health.action", "\"wait\"");
    expect_json(j, "health.expiresAt", "\"2027-01-15T08:00:00.000Z\"");
    expect_json(j, "health.source", "\"store\"");
    expect_json(j, "health.lastAttempt", "(absent)");
    fixture_no_token(j, "the answer");
    json_free(j);
    account_fini(&account);
}

static void a_disconnected_account_has_no_issue(void **state)
{
    struct account account =
        fixture_account("{\"isActive\":false,\"tokenHealth\":{\"state\":\"broken\",\"reason\":\"revoked\"}}");
    struct account_report report;

    (void)state;
    report_from_account(&account, &report);
    assert_int_equal(report.verdict.state, STATE_DISCONNECTED);
    assert_int_equal(report.verdict.action, ACTION_NONE);
    assert_null(report.issue);
    assert_false(report.is_valid || report.is_active);
    account_fini(&account);
}

static void a_list_grows(void **state)
{
    struct report_list list = {0};

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct account_report *r = report_push(&list);

        assert_true(r && r->has_token == 0);
        r->has_token = i + 1;
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(list.items[i].has_token, i + 1);
    report_list_fini(&list);
    assert_true(list.count == 0 && !list.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_issue_is_what_most_needs_somebody),
        cmocka_unit_test(a_validation_answers_with_the_fields_of_the_design),
        cmocka_unit_test(a_status_says_what_is_stored),
        cmocka_unit_test(a_disconnected_account_has_no_issue),
        cmocka_unit_test(a_list_grows),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
