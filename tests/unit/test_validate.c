/* The pipeline with a real store, real shared memory and a provider in another process: what counts as an answer, what it does to
 * the document, and who is asked how often. */
#include "base/clock.h"
#include "service_fixture.h"

#define E_ONE      "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"
#define P_TWO      "\"accessToken\":\"" TOKEN_TWO "\""
#define COMPANIONS "\"tokenStatus\":\"valid\",\"needsReconnection\":false,\"lastTokenValidation\":{\"$date\":5}"
static const struct validate_options forced = {.fix = 1, .refresh = 1, .force = 1};

static int calls_of(struct service_fixture *f, const char *token)
{
    return double_about(&f->provider, token)->calls;
}

static void expect_verdict(const struct kept_result *kept, enum state state, enum reason reason, const char *what)
{
    const struct verdict *v = &kept->result.verdict;

    if (v->state != state || v->reason != reason)
        fail_msg("%s: %s; %s (attempt %s), expected %s; %s", what, state_word(v->state), reason_word(v->reason),
                 reason_word(v->attempt_reason), state_word(state), reason_word(reason));
}

/* ---- answers that decide nothing ---- */

static const struct {
    const char *name;
    int status, delay_ms;
    const char *body;
    enum reason reason;
} doubtful[] = {
    {"time-out", 200, 3000, "{\"user_id\":\"1\"}", REASON_TIMEOUT},
    {"connection closed unanswered", 0, 0, "", REASON_TRANSIENT},
    {"answer cut short", -1, 0, "{\"user_id\":\"1784\"}", REASON_TRANSIENT},
    {"500", 500, 0, "{}", REASON_TRANSIENT},
    {"500 that speaks of the token", 500, 0, "{\"error\":{\"code\":190,\"error_subcode\":458}}", REASON_TRANSIENT},
    {"502 HTML", 502, 0, "<html><body>Bad Gateway</body></html>", REASON_TRANSIENT},
    {"200 HTML", 200, 0, "<html></html>", REASON_BAD_RESPONSE},
    {"200 empty", 200, 0, "", REASON_BAD_RESPONSE},
    {"200 truncated JSON", 200, 0, "{\"user_id\":\"17", REASON_BAD_RESPONSE},
    {"200 of another shape", 200, 0, "{\"hello\":1}", REASON_BAD_RESPONSE},
    {"429", 429, 0, "{}", REASON_RATE_LIMITED},
    {"code 2", 400, 0, "{\"error\":{\"code\":2}}", REASON_TRANSIENT},
    {"app misconfigured", 400, 0, "{\"error\":{\"code\":101}}", REASON_APP_MISCONFIGURED},
    {"code that nobody has seen", 400, 0, "{\"error\":{\"code\":987654}}", REASON_BAD_RESPONSE},
    {"redirect", 302, 0, "{\"error\":{\"code\":190,\"error_subcode\":458}}", REASON_BAD_RESPONSE},
    {"code 4", 400, 0, "{\"error\":{\"code\":4}}", REASON_RATE_LIMITED}, /* the last one: it stops all calls */
};
enum { DOUBTFUL = sizeof doubtful / sizeof *doubtful, HELD = 3 };

static const char *const held_verdicts[HELD] = {
    "",
    ",\"tokenStatus\":\"valid\",\"needsReconnection\":false,\"tokenHealth\":{\"state\":\"healthy\",\"reason\":\"ok\","
    "\"action\":\"none\",\"checkedAt\":{\"$date\":\"2026-01-01T00:00:00.000Z\"}",
    ",\"tokenStatus\":\"revoked\",\"needsReconnection\":true,\"tokenHealth\":{\"state\":\"broken\",\"reason\":"
    "\"revoked\","
    "\"action\":\"reconnect\",\"confirmations\":2,\"confirmedAt\":{\"$date\":\"2026-01-01T00:00:00.000Z\"},"
    "\"checkedAt\":{\"$date\":\"2026-01-01T00:00:00.000Z\"}",
};

/* The document as the pipeline would have left it: the print is the envelope's. */
static void put_held(struct service_fixture *f, const char *held)
{
    struct buf members = {0};
    struct json *doc, *health;
    struct account account;
    struct intake in;

    buf_printf(&members, "{" E_ONE "%s%s}", held, held[0] ? "}" : "");
    doc = fixture_doc(buf_text(&members));
    assert_int_equal(account_parse(json_copy(doc), &account, NULL), ERR_OK);
    intake_describe(&account, fixture_keys, &in);
    if (held[0]) {
        health = json_copy(json_member(doc, "tokenHealth"));
        json_set(health, "print", json_new_string(in.print));
        json_set(doc, "tokenHealth", health);
    }
    store_fixture_put(&f->store, doc);
    intake_fini(&in);
    account_fini(&account);
    json_free(doc);
    buf_free(&members);
}

static void check_untouched(const struct json *before, const struct json *now, const char *what)
{
    static const char *const fields[] = {"tokenStatus",          "needsReconnection", "lastTokenValidation",
                                         "encryptedAccessToken", "accessToken",       "updatedAt",
                                         "lastTokenFix"};
    static const char *const ours[] = {"tokenHealth.checkedAt", "tokenHealth.confirmations", "tokenHealth.confirmedAt"};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!json_equal(json_member(before, fields[i]), json_member(now, fields[i])))
            fail_msg("%s: %s changed", what, fields[i]);
    for (int i = 0; i < 3; i++)
        if (!json_equal(json_get(before, ours[i]), json_get(now, ours[i]))) fail_msg("%s: %s changed", what, ours[i]);
}

static void try_doubtful(struct service_fixture *f, int i, int held)
{
    struct json *before, *now;
    struct kept_result kept;
    struct verdict was;

    service_fixture_answers(f);
    put_held(f, held_verdicts[held]);
    before = store_fixture_doc(&f->store, "a1");
    double_says(&f->provider, TOKEN_ONE, doubtful[i].status, doubtful[i].body);
    double_about(&f->provider, TOKEN_ONE)->delay_ms = doubtful[i].delay_ms;
    kept = service_fixture_validate(f, "a1", &forced);
    verdict_parse(json_member(before, "tokenHealth"), &was);
    expect_verdict(&kept, was.state, was.reason, doubtful[i].name);
    assert_false(kept.result.state_changed);
    assert_int_equal(kept.result.verdict.needs_reconnection, held == 2);
    now = store_fixture_doc(&f->store, "a1");
    check_untouched(before, now, doubtful[i].name);
    if (kept.result.verdict.attempt_reason != doubtful[i].reason ||
        strcmp(service_fixture_text(f, "a1", "tokenHealth.lastAttempt.reason"), reason_word(doubtful[i].reason)) != 0)
        fail_msg("%s: attempt %s, stored %s, expected %s", doubtful[i].name,
                 reason_word(kept.result.verdict.attempt_reason),
                 service_fixture_text(f, "a1", "tokenHealth.lastAttempt.reason"), reason_word(doubtful[i].reason));
    json_free(before);
    json_free(now);
}

static void what_decides_nothing_changes_nothing_but_the_last_attempt(void **state)
{
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    for (int i = 1; i < DOUBTFUL; i++)
        for (int held = 0; held < HELD; held++)
            try_doubtful(&f, i, held);
    service_fixture_close(&f);
}

static void a_slow_provider_decides_nothing(void **state)
{
    struct service_fixture f;

    (void)state;
    service_fixture_timeout_ms = 500;
    service_fixture_open(&f, "");
    service_fixture_timeout_ms = 10000;
    for (int held = 0; held < HELD; held++)
        try_doubtful(&f, 0, held);
    service_fixture_close(&f);
}

static void nobody_listening_and_a_broken_handshake_decide_nothing(void **state)
{
    static const char *const urls[] = {"http", "https"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct service_fixture f;
        struct kept_result kept;
        struct config *in_force; /* the service's own, which shares its texts with ours */
        char url[64];

        service_fixture_open(&f, "");
        in_force = (struct config *)(uintptr_t)service_config(f.service);
        snprintf(url, sizeof url, "%s://127.0.0.1:%d", urls[i], i ? f.provider.port : 1);
        free(f.cfg->sandbox_url);
        in_force->sandbox_url = f.cfg->sandbox_url = strdup(url);
        put_held(&f, held_verdicts[1]);
        kept = service_fixture_validate(&f, "a1", &forced);
        expect_verdict(&kept, STATE_HEALTHY, REASON_OK, url);
        assert_int_equal(kept.result.verdict.attempt_reason, REASON_TRANSIENT);
        service_fixture_close(&f);
    }
}

static void an_inconclusive_call_is_tried_again(void **state)
{
    struct validate_options options = {.max_retries = 2, .retry_delay_ms = 50};
    struct service_fixture f;
    struct kept_result kept;
    int64_t start_ms;

    (void)state;
    service_fixture_open(&f, "");
    service_fixture_put(&f, "{" E_ONE "}");
    double_healthy(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->bad_first = 2;
    start_ms = clock_mono_ms();
    kept = service_fixture_validate(&f, "a1", &options);
    expect_verdict(&kept, STATE_HEALTHY, REASON_OK, "third time lucky");
    assert_int_equal(calls_of(&f, TOKEN_ONE), 3);
    assert_true(clock_mono_ms() - start_ms >= 100);

    double_about(&f.provider, TOKEN_ONE)->bad_first = 100;
    options.force = 1;
    kept = service_fixture_validate(&f, "a1", &options);
    expect_verdict(&kept, STATE_HEALTHY, REASON_OK, "the old verdict stays");
    assert_int_equal(kept.result.verdict.attempt_reason, REASON_TRANSIENT);
    assert_int_equal(calls_of(&f, TOKEN_ONE), 6);

    double_says(&f.provider, TOKEN_ONE, 429, "{}"); /* more calls would only make it worse */
    double_about(&f.provider, TOKEN_ONE)->bad_first = 0;
    service_fixture_validate(&f, "a1", &options);
    assert_int_equal(calls_of(&f, TOKEN_ONE), 7);
    service_fixture_close(&f);
}

static void who_is_in_a_hurry_does_not_try_again(void **state)
{
    struct validate_options options = {.max_retries = 5, .retry_delay_ms = 600000};
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    service_fixture_put(&f, "{" E_ONE "}");
    double_says(&f.provider, TOKEN_ONE, 500, "{}");
    service_fixture_submit(&f, "a1", &options, &kept);
    for (int i = 0; i < 100 && calls_of(&f, TOKEN_ONE) == 0; i++)
        validator_run(service_validator(f.service), 20);
    for (int i = 0; i < 10; i++)
        validator_run(service_validator(f.service), 20);
    assert_int_equal(validator_active(service_validator(f.service)), 1);
    validator_hurry(service_validator(f.service));
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.calls, 1);
    assert_int_equal(kept.result.verdict.attempt_reason, REASON_TRANSIENT);
    assert_int_equal(calls_of(&f, TOKEN_ONE), 1);
    service_fixture_close(&f);
}

/* ---- answers that decide ---- */

static void a_revocation_is_confirmed_before_the_user_is_told(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "[health]\nconfirm_interval = 300ms\n");
    service_fixture_put(&f, "{" E_ONE "}");
    double_healthy(&f.provider, TOKEN_ONE);
    kept = service_fixture_validate(&f, "a1", &forced);
    expect_verdict(&kept, STATE_HEALTHY, REASON_OK, "at first");
    assert_true(kept.result.state_changed && kept.result.fixed == FAULT_NO_COMPANIONS);
    double_revoked(&f.provider, TOKEN_ONE);
    for (int i = 0; i < 3; i++) {
        kept = service_fixture_validate(&f, "a1", &forced);
        expect_verdict(&kept, STATE_BROKEN, REASON_REVOKED, "after the revocation");
        assert_int_equal(kept.result.state_changed, i == 0);
        assert_int_equal(service_fixture_needs(&f, "a1"), 0);
        assert_string_equal(service_fixture_text(&f, "a1", "tokenStatus"), "revoked");
    }
    double_sleep_ms(300);
    kept = service_fixture_validate(&f, "a1", &forced);
    assert_true(kept.result.state_changed);
    assert_int_equal(service_fixture_needs(&f, "a1"), 1);
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_validate(&f, "a1", &forced);
    assert_int_equal(service_fixture_needs(&f, "a1"), 0);
    assert_string_equal(service_fixture_text(&f, "a1", "tokenStatus"), "valid");
    service_fixture_close(&f);
}

static void a_token_of_somebody_else_is_an_identity_mismatch(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{" E_ONE ",\"accountId\":\"1785\"}");
    kept = service_fixture_validate(&f, "a1", &forced);
    expect_verdict(&kept, STATE_BROKEN, REASON_IDENTITY_MISMATCH, "another id");
    assert_string_equal(kept.result.verdict.rule, "identity");
    assert_string_equal(service_fixture_text(&f, "a1", "tokenStatus"), "invalid");
    service_fixture_put(&f, "{" E_ONE ",\"accountId\":\"1784\"}");
    kept = service_fixture_validate(&f, "a1", &forced);
    expect_verdict(&kept, STATE_HEALTHY, REASON_OK, "the same id");
    service_fixture_put(&f, "{" E_ONE ",\"accountId\":1784}");
    kept = service_fixture_validate(&f, "a1", &forced);
    expect_verdict(&kept, STATE_HEALTHY, REASON_OK, "the same id as a number");
    service_fixture_put(&f, "{" E_ONE ",\"accountId\":\"1785\",\"pageId\":1784}");
    kept = service_fixture_validate(&f, "a1", &forced);
    expect_verdict(&kept, STATE_HEALTHY, REASON_OK, "the page's id");
    service_fixture_put(&f, "{" E_ONE ",\"accountId\":\"1785\",\"pageId\":\"1786\"}");
    kept = service_fixture_validate(&f, "a1", &forced);
    expect_verdict(&kept, STATE_BROKEN, REASON_IDENTITY_MISMATCH, "neither id");
    service_fixture_close(&f);
}

static void a_disconnected_account_is_neither_asked_about_nor_written(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct json *before, *now;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{\"accessToken\":\"" TOKEN_ONE "\",\"isActive\":false}");
    before = store_fixture_doc(&f.store, "a1");
    kept = service_fixture_validate(&f, "a1", &forced);
    assert_int_equal(kept.result.verdict.state, STATE_DISCONNECTED);
    now = store_fixture_doc(&f.store, "a1");
    assert_true(json_equal(before, now));
    assert_int_equal(*f.provider.calls, 0);
    json_free(before);
    json_free(now);
    service_fixture_close(&f);
}

static void what_is_no_token_is_never_sent(void **state)
{
    static const struct {
        const char *members;
        enum state state;
        enum reason reason;
        const char *status;
    } cases[] = {
        {"{}", STATE_BROKEN, REASON_MISSING_TOKEN, "missing"},
        {"{\"accessToken\":\"  \"}", STATE_BROKEN, REASON_MISSING_TOKEN, "missing"},
        {"{\"accessToken\":\"{\\\"a\\\":1}\"}", STATE_BROKEN, REASON_UNDECRYPTABLE, ""},
        {"{\"accessToken\":\"IGAA\\u0007\"}", STATE_BROKEN, REASON_UNDECRYPTABLE, ""},
        {"{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}}", STATE_BROKEN, REASON_UNDECRYPTABLE, ""},
        {"{\"encryptedAccessToken\":{\"iv\":1},\"tokenStatus\":\"valid\"}", STATE_BROKEN, REASON_UNDECRYPTABLE,
         "valid"},
    };
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kept_result kept;

        service_fixture_put(&f, cases[i].members);
        kept = service_fixture_validate(&f, "a1", &forced);
        expect_verdict(&kept, cases[i].state, cases[i].reason, cases[i].members);
        if (strcmp(service_fixture_text(&f, "a1", "tokenStatus"), cases[i].status) != 0)
            fail_msg("%s: tokenStatus %s", cases[i].members, service_fixture_text(&f, "a1", "tokenStatus"));
        assert_int_not_equal(service_fixture_needs(&f, "a1"), 1);
    }
    assert_int_equal(*f.provider.calls, 0);
    service_fixture_close(&f);
}

static void with_fixing_off_the_verdict_is_written_and_nothing_else(void **state)
{
    const struct validate_options off = {.force = 1};
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_TWO);
    service_fixture_put(&f, "{" P_TWO ",\"tokenStatus\":\"expired\",\"refreshToken\":\"refresh-one\"}");
    kept = service_fixture_validate(&f, "a1", &off);
    expect_verdict(&kept, STATE_HEALTHY, REASON_OK, "fixing off");
    assert_int_equal(kept.result.fixed, 0);
    assert_true(kept.result.faults & FAULT_PLAIN_AT_REST && kept.result.faults & FAULT_STALE_STATUS);
    assert_string_equal(service_fixture_text(&f, "a1", "accessToken"), TOKEN_TWO);
    assert_string_equal(service_fixture_text(&f, "a1", "refreshToken"), "refresh-one");
    assert_string_equal(service_fixture_text(&f, "a1", "tokenStatus"), "valid");
    assert_string_equal(service_fixture_text(&f, "a1", "tokenHealth.state"), "healthy");
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_decides_nothing_changes_nothing_but_the_last_attempt),
        cmocka_unit_test(a_slow_provider_decides_nothing),
        cmocka_unit_test(nobody_listening_and_a_broken_handshake_decide_nothing),
        cmocka_unit_test(an_inconclusive_call_is_tried_again),
        cmocka_unit_test(who_is_in_a_hurry_does_not_try_again),
        cmocka_unit_test(a_revocation_is_confirmed_before_the_user_is_told),
        cmocka_unit_test(a_token_of_somebody_else_is_an_identity_mismatch),
        cmocka_unit_test(a_disconnected_account_is_neither_asked_about_nor_written),
        cmocka_unit_test(what_is_no_token_is_never_sent),
        cmocka_unit_test(with_fixing_off_the_verdict_is_written_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
