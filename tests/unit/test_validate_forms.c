/* Accounts that hold two tokens, or one whose key is in doubt: the one that works is found, and none is lost. */
#include "base/clock.h"
#include "service_fixture.h"

#define E_ONE "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"
#define P_TWO "\"accessToken\":\"" TOKEN_TWO "\""
static const struct validate_options forced = {.fix = 1, .refresh = 1, .force = 1};

enum { HEALTHY, REVOKED, EXPIRED, LIMITED, SILENT, MISMATCH };

static void says(struct service_fixture *f, const char *token, int what)
{
    if (what == HEALTHY) double_healthy(&f->provider, token);
    if (what == REVOKED) double_revoked(&f->provider, token);
    if (what == EXPIRED) double_graph_error(&f->provider, token, 190, 463);
    if (what == LIMITED) double_graph_error(&f->provider, token, 10, 0);
    if (what == SILENT) double_says(&f->provider, token, 503, "");
    if (what == MISMATCH) double_says(&f->provider, token, 200, "{\"user_id\":\"999\"}");
}

static const struct row {
    const char *name, *members;
    int one, two; /* what the provider says of each token */
    enum state state;
    enum reason reason, attempt;
    const char *encrypted; /* the token in encryptedAccessToken afterwards; "" none or another key's */
    int plain_stays, calls;
} rows[] = {
    {"envelope works: the other is set aside unasked", "{" E_ONE "," P_TWO "}", HEALTHY, HEALTHY, STATE_HEALTHY,
     REASON_OK, 0, TOKEN_ONE, 0, 1},
    {"envelope revoked, plain works", "{" E_ONE "," P_TWO "}", REVOKED, HEALTHY, STATE_HEALTHY, REASON_OK, 0, TOKEN_TWO,
     0, 2},
    {"envelope revoked, plain lacks a permission", "{" E_ONE "," P_TWO "}", REVOKED, LIMITED, STATE_LIMITED,
     REASON_PERMISSION_MISSING, 0, TOKEN_TWO, 0, 2},
    {"envelope lacks a permission, plain works", "{" E_ONE "," P_TWO "}", LIMITED, HEALTHY, STATE_HEALTHY, REASON_OK, 0,
     TOKEN_TWO, 0, 2},
    {"envelope lacks a permission, plain too", "{" E_ONE "," P_TWO "}", LIMITED, LIMITED, STATE_LIMITED,
     REASON_PERMISSION_MISSING, 0, TOKEN_ONE, 0, 2},
    {"envelope lacks a permission, plain revoked", "{" E_ONE "," P_TWO "}", LIMITED, REVOKED, STATE_LIMITED,
     REASON_PERMISSION_MISSING, 0, TOKEN_ONE, 0, 2},
    {"envelope lacks a permission, no answer about the plain one", "{" E_ONE "," P_TWO "}", LIMITED, SILENT,
     STATE_LIMITED, REASON_PERMISSION_MISSING, 0, TOKEN_ONE, 1, 2},
    {"both refused: the envelope's reason counts", "{" E_ONE "," P_TWO "}", EXPIRED, REVOKED, STATE_BROKEN,
     REASON_EXPIRED, 0, TOKEN_ONE, 1, 2},
    {"envelope revoked, no answer about the plain one", "{" E_ONE "," P_TWO "}", REVOKED, SILENT, STATE_UNKNOWN,
     REASON_NONE, REASON_TRANSIENT, TOKEN_ONE, 1, 2},
    {"no answer about the envelope", "{" E_ONE "," P_TWO "}", SILENT, HEALTHY, STATE_UNKNOWN, REASON_NONE,
     REASON_TRANSIENT, TOKEN_ONE, 1, 1},
    {"envelope is another account's, plain works", "{" E_ONE "," P_TWO ",\"accountId\":\"1784\"}", MISMATCH, HEALTHY,
     STATE_HEALTHY, REASON_OK, 0, TOKEN_TWO, 0, 2},
    {"another key's envelope, plain works", "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}," P_TWO "}",
     HEALTHY, HEALTHY, STATE_HEALTHY, REASON_OK, 0, TOKEN_TWO, 0, 1},
    {"another key's envelope, plain revoked: the good one may be shut in",
     "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}," P_TWO "}", HEALTHY, REVOKED, STATE_BROKEN,
     REASON_UNDECRYPTABLE, 0, "", 1, 1},
    {"envelope revoked, another key's in accessToken", "{" E_ONE ",\"accessToken\":{\"$other\":\"" TOKEN_TWO "\"}}",
     REVOKED, HEALTHY, STATE_BROKEN, REASON_UNDECRYPTABLE, 0, TOKEN_ONE, 1, 1},
    {"damaged envelope, plain works", "{\"encryptedAccessToken\":{\"iv\":1}," P_TWO "}", HEALTHY, HEALTHY,
     STATE_HEALTHY, REASON_OK, 0, TOKEN_TWO, 0, 1},
    {"damaged envelope, plain revoked", "{\"encryptedAccessToken\":{\"iv\":1}," P_TWO "}", HEALTHY, REVOKED,
     STATE_BROKEN, REASON_REVOKED, 0, "", 1, 1},
    {"the same token twice is asked about once", "{" E_ONE ",\"accessToken\":\"" TOKEN_ONE "\"}", REVOKED, HEALTHY,
     STATE_BROKEN, REASON_REVOKED, 0, TOKEN_ONE, 0, 1},
    {"two envelopes, the misplaced one works", "{" E_ONE ",\"accessToken\":{\"$sealText\":\"" TOKEN_TWO "\"}}", REVOKED,
     HEALTHY, STATE_HEALTHY, REASON_OK, 0, TOKEN_TWO, 0, 2},
    {"plain token alone, no answer", "{" P_TWO "}", HEALTHY, SILENT, STATE_UNKNOWN, REASON_NONE, REASON_TRANSIENT,
     TOKEN_TWO, 0, 1},
};

static void check_row(struct service_fixture *f, const struct row *row)
{
    int before = *f->provider.calls;
    struct kept_result kept;
    struct json *doc;

    says(f, TOKEN_ONE, row->one);
    says(f, TOKEN_TWO, row->two);
    service_fixture_put(f, row->members);
    kept = service_fixture_validate(f, "a1", &forced);
    if (kept.result.verdict.state != row->state || kept.result.verdict.reason != row->reason ||
        kept.result.verdict.attempt_reason != row->attempt)
        fail_msg("%s: %s; %s, attempt %s", row->name, state_word(kept.result.verdict.state),
                 reason_word(kept.result.verdict.reason), reason_word(kept.result.verdict.attempt_reason));
    if (*f->provider.calls - before != row->calls)
        fail_msg("%s: %d calls, expected %d", row->name, *f->provider.calls - before, row->calls);
    if (strcmp(service_fixture_token(f, "a1"), row->encrypted) != 0)
        fail_msg("%s: encryptedAccessToken holds \"%s\"", row->name, service_fixture_token(f, "a1"));
    doc = store_fixture_doc(&f->store, "a1");
    if ((json_member(doc, "accessToken") != NULL) != row->plain_stays)
        fail_msg("%s: accessToken %s", row->name, row->plain_stays ? "is gone" : "stays");
    json_free(doc);
}

static void of_two_tokens_the_one_that_works_is_kept(void **state)
{
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    service_fixture_put(&f, "{\"_id\":\"a0\"," E_ONE "}"); /* an envelope that proves the key */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&f, &rows[i]);
    service_fixture_close(&f);
}

static void a_second_token_that_nobody_asked_about_is_kept_sealed(void **state)
{
    struct service_fixture f;
    struct json *doc;

    (void)state;
    service_fixture_open(&f, "");
    check_row(&f, &rows[0]);
    doc = store_fixture_doc(&f.store, "a1");
    assert_true(fixture_opens(json_at(json_get(doc, "tokenHealth.setAside"), 0), TOKEN_TWO));
    fixture_no_token(doc, rows[0].name);
    json_free(doc);
    check_row(&f, &rows[1]); /* refused: not worth keeping */
    doc = store_fixture_doc(&f.store, "a1");
    assert_null(json_get(doc, "tokenHealth.setAside"));
    json_free(doc);
    service_fixture_close(&f);
}

static void once_put_right_an_account_is_opened_in_microseconds_and_asked_about_once(void **state)
{
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    for (size_t i = 0; i < 2; i++) {
        struct account account;
        struct intake in;
        int before;

        check_row(&f, &rows[i]);
        before = *f.provider.calls;
        service_fixture_validate(&f, "a1", &forced);
        assert_int_equal(*f.provider.calls - before, 1);
        account = store_fixture_get(&f.store, "a1");
        intake_describe(&account, fixture_keys, &in);
        assert_int_equal(in.faults, 0);
        assert_non_null(intake_next(&account, fixture_keys, &in));
        assert_false(in.was_slow);
        intake_fini(&in);
        account_fini(&account);
    }
    service_fixture_close(&f);
}

/* ---- is our key the application's? ---- */

static void put_others(struct service_fixture *f, const char *envelope)
{
    char members[256];

    for (int i = 1; i <= 3; i++) {
        snprintf(members, sizeof members, "{\"_id\":\"b%d\",\"encryptedAccessToken\":{\"%s\":\"" TOKEN_ONE "\"}}", i,
                 envelope);
        service_fixture_put(f, members);
    }
}

static void under_a_wrong_key_no_plain_token_is_sealed(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_TWO);
    put_others(&f, "$other");
    service_fixture_put(&f, "{" P_TWO ",\"refreshToken\":\"refresh-one\"}");
    for (int i = 0; i < 2; i++) {
        kept = service_fixture_validate(&f, "a1", &forced);
        assert_int_equal(kept.result.verdict.state, STATE_HEALTHY);
        assert_int_equal(kept.result.fixed, 0);
        assert_string_equal(service_fixture_text(&f, "a1", "accessToken"), TOKEN_TWO);
        assert_string_equal(service_fixture_text(&f, "a1", "refreshToken"), "refresh-one");
    }
    /* One that opens, met on the way, settles it. */
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{\"_id\":\"b4\"," E_ONE "}");
    service_fixture_validate(&f, "b4", &forced);
    kept = service_fixture_validate(&f, "a1", &forced);
    assert_int_equal(kept.result.fixed, FAULT_PLAIN_AT_REST);
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_TWO);
    service_fixture_close(&f);
}

/* 120 plain accounts of the platform come first, more than a page; the envelopes may be of any platform. */
static void envelopes_behind_many_plain_accounts_are_found(void **state)
{
    static const char *const platforms[] = {"instagram", "facebook", "tiktok"};
    char members[256];

    (void)state;
    for (size_t p = 0; p < sizeof platforms / sizeof *platforms; p++) {
        struct service_fixture f;
        struct kept_result kept;

        service_fixture_open(&f, "");
        double_healthy(&f.provider, TOKEN_TWO);
        for (int i = 0; i < 120; i++) {
            snprintf(members, sizeof members, "{\"_id\":\"b%03d\"," P_TWO "}", i);
            service_fixture_put(&f, members);
        }
        for (int i = 0; i < 5; i++) {
            snprintf(members, sizeof members,
                     "{\"_id\":\"c%d\",\"platform\":\"%s\",\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}}", i,
                     platforms[p]);
            service_fixture_put(&f, members);
        }
        kept = service_fixture_validate(&f, "b000", &forced);
        if (kept.result.verdict.state != STATE_HEALTHY || kept.result.fixed ||
            strcmp(service_fixture_text(&f, "b000", "accessToken"), TOKEN_TWO) != 0)
            fail_msg("foreign envelopes on %s: state %s, fixed %d, accessToken \"%s\"", platforms[p],
                     state_word(kept.result.verdict.state), kept.result.fixed,
                     service_fixture_text(&f, "b000", "accessToken"));
        service_fixture_close(&f);
    }
}

static void a_plain_token_is_sealed_where_the_key_is_proven_or_nothing_speaks_against_it(void **state)
{
    (void)state;
    for (int others = 0; others <= 1; others++) {
        struct service_fixture f;
        struct kept_result kept;

        service_fixture_open(&f, "");
        double_healthy(&f.provider, TOKEN_TWO);
        if (others) put_others(&f, "$seal");
        service_fixture_put(&f, "{" P_TWO "}");
        kept = service_fixture_validate(&f, "a1", &forced);
        assert_int_equal(kept.result.fixed, FAULT_PLAIN_AT_REST);
        assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_TWO);
        service_fixture_close(&f);
    }
}

/* ---- refreshed on the way ---- */

static void put_due(struct service_fixture *f, const char *tokens, int days)
{
    char date[CLOCK_ISO_BYTES], members[512];

    clock_format(clock_now_ms() + (int64_t)days * 86400000, date);
    snprintf(members, sizeof members, "{%s,\"expiresAt\":{\"$date\":\"%s\"}}", tokens, date);
    service_fixture_put(f, members);
}

static void a_token_that_is_due_is_refreshed_and_stored_sealed(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    snprintf(double_about(&f.provider, TOKEN_ONE)->refresh, DOUBLE_TEXT,
             "{\"access_token\":\"" TOKEN_NEW "\",\"expires_in\":5184000}");
    put_due(&f, E_ONE, 2);
    kept = service_fixture_validate(&f, "a1", &forced);
    assert_int_equal(kept.result.verdict.state, STATE_HEALTHY);
    assert_true(kept.result.refreshed && kept.result.expires_at_ms > clock_now_ms() + INT64_C(59) * 86400000);
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_NEW);
    double_healthy(&f.provider, TOKEN_NEW);
    kept = service_fixture_validate(&f, "a1", &forced); /* our own new token: no verdict is dropped */
    assert_false(kept.result.state_changed || kept.result.refreshed);
    assert_int_equal(double_about(&f.provider, TOKEN_ONE)->refreshes, 1);
    service_fixture_close(&f);
}

static void a_refused_refresh_leaves_a_live_token_alone(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    put_due(&f, E_ONE, 2);
    kept = service_fixture_validate(&f, "a1", &forced);
    assert_int_equal(kept.result.verdict.state, STATE_EXPIRING);
    assert_int_equal(kept.result.verdict.reason, REASON_OK);
    assert_string_equal(service_fixture_text(&f, "a1", "tokenStatus"), "valid");
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_ONE);
    assert_int_equal(service_fixture_needs(&f, "a1"), 0);
    snprintf(double_about(&f.provider, TOKEN_ONE)->refresh, DOUBLE_TEXT,
             "{\"access_token\":\" \",\"expires_in\":5184000}");
    service_fixture_change(&f, "a1", "tokenHealth", NULL); /* else it would wait a quarter of an hour */
    kept = service_fixture_validate(&f, "a1", &forced);
    assert_int_equal(kept.result.verdict.state, STATE_EXPIRING);
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_ONE);
    assert_int_equal(counter_get(service_cache(f.service), COUNT_refresh_failures), 2);
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_tokens_the_one_that_works_is_kept),
        cmocka_unit_test(a_second_token_that_nobody_asked_about_is_kept_sealed),
        cmocka_unit_test(once_put_right_an_account_is_opened_in_microseconds_and_asked_about_once),
        cmocka_unit_test(under_a_wrong_key_no_plain_token_is_sealed),
        cmocka_unit_test(envelopes_behind_many_plain_accounts_are_found),
        cmocka_unit_test(a_plain_token_is_sealed_where_the_key_is_proven_or_nothing_speaks_against_it),
        cmocka_unit_test(a_token_that_is_due_is_refreshed_and_stored_sealed),
        cmocka_unit_test(a_refused_refresh_leaves_a_live_token_alone),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
