/* A validation that somebody waits for only so long: what ends at the deadline, what does not, and that it leaves no trace. */
#include "base/clock.h"
#include "service_fixture.h"

enum { SLOW_MS = 3000, SOON_MS = 300, BARELY_MS = 1500 /* what SOON_MS may take on a busy machine */ };

#define E_ONE "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"
#define P_TWO "\"accessToken\":\"" TOKEN_TWO "\""

static struct validate_options within(int64_t ms)
{
    return (struct validate_options){
        .force = 1, .fix = 1, .refresh = 1, .deadline_mono_ms = ms ? clock_mono_ms() + ms : 0};
}

static struct kept_result validate_within(struct service_fixture *f, int64_t ms)
{
    struct validate_options options = within(ms);

    return service_fixture_validate(f, "a1", &options);
}

static void expect_late(const struct kept_result *kept, enum state state)
{
    const struct verdict *v = &kept->result.verdict;

    if (!kept->result.is_late || v->state != state || v->attempt_reason != REASON_TIMEOUT)
        fail_msg("got late %d, %s, attempt %s; expected late 1, %s, attempt timeout", kept->result.is_late,
                 state_word(v->state), reason_word(v->attempt_reason), state_word(state));
    assert_true(kept->report.is_late && !kept->report.asked && !kept->result.fixed && !kept->result.state_changed);
}

static void expect_same(struct service_fixture *f, const struct json *before)
{
    struct json *now = store_fixture_doc(&f->store, "a1");

    assert_true(json_equal(before, now));
    json_free(now);
}

/* The answer that comes later is worth nothing to us, and so the deadline nothing to anybody else. */
static void a_question_that_is_cut_off_changes_nothing_and_is_saved_nowhere(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct json *before;
    int64_t start_ms;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{" E_ONE "}");
    validate_within(&f, 0);
    before = store_fixture_doc(&f.store, "a1");
    double_about(&f.provider, TOKEN_ONE)->delay_ms = SLOW_MS;
    start_ms = clock_mono_ms();
    kept = validate_within(&f, SOON_MS);
    assert_in_range(clock_mono_ms() - start_ms, SOON_MS - 10, BARELY_MS);
    expect_late(&kept, STATE_HEALTHY);
    assert_int_equal(*f.provider.calls, 2);
    expect_same(&f, before);
    json_free(before);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 0;
    kept = validate_within(&f, 0);
    assert_true(!kept.result.is_late && kept.result.asked && kept.result.verdict.attempt_reason == REASON_NONE);
    service_fixture_close(&f);
}

static void past_the_deadline_nobody_is_asked_and_nothing_is_written(void **state)
{
    static const char *const members[] = {"{" E_ONE "}", "{" P_TWO "}", "{}"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct service_fixture f;
        struct kept_result kept;
        struct json *before;

        service_fixture_open(&f, "");
        service_fixture_put(&f, members[i]);
        before = store_fixture_doc(&f.store, "a1");
        kept = validate_within(&f, -5);
        expect_late(&kept, STATE_UNKNOWN);
        assert_int_equal(*f.provider.calls, 0);
        assert_int_equal(kept.report.has_token, i < 2);
        expect_same(&f, before);
        json_free(before);
        service_fixture_close(&f);
    }
}

static void a_new_token_has_not_the_verdict_of_the_old_one(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_revoked(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{" E_ONE "}");
    kept = validate_within(&f, 0);
    assert_int_equal(kept.result.verdict.state, STATE_BROKEN);
    kept = validate_within(&f, -5);
    expect_late(&kept, STATE_BROKEN);
    service_fixture_change(&f, "a1", "encryptedAccessToken", "{\"$seal\":\"" TOKEN_TWO "\"}");
    kept = validate_within(&f, -5);
    expect_late(&kept, STATE_UNKNOWN);
    service_fixture_close(&f);
}

static void a_call_that_had_its_whole_time_is_the_provider_s_failure(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_timeout_ms = SOON_MS;
    service_fixture_open(&f, "");
    service_fixture_timeout_ms = 10000;
    double_healthy(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = SLOW_MS;
    service_fixture_put(&f, "{" E_ONE "}");
    kept = validate_within(&f, 10000);
    assert_true(!kept.result.is_late && kept.result.asked && kept.result.store_error == ERR_OK);
    assert_string_equal(service_fixture_text(&f, "a1", "tokenHealth.lastAttempt.reason"), "timeout");
    service_fixture_close(&f);
}

static void who_waits_for_another_s_answer_gives_up_and_the_other_goes_on(void **state)
{
    struct validate_options patient = within(0), hasty;
    struct kept_result first, second;
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = SLOW_MS / 2;
    service_fixture_put(&f, "{" E_ONE "}");
    service_fixture_submit(&f, "a1", &patient, &first);
    hasty = within(SOON_MS);
    service_fixture_submit(&f, "a1", &hasty, &second);
    while (!second.calls)
        validator_run(service_validator(f.service), 20);
    assert_int_equal(first.calls, 0);
    expect_late(&second, STATE_UNKNOWN);
    validator_finish(service_validator(f.service));
    assert_true(first.calls == 1 && first.result.verdict.state == STATE_HEALTHY);
    assert_int_equal(*f.provider.calls, 1);
    service_fixture_close(&f);
}

/* Eight envelopes that take long to open, at the same time: the deadline comes while the first one is being opened. */
static void past_the_deadline_no_more_tokens_are_opened(void **state)
{
    struct keyring *slow = fixture_ring_of(FIXTURE_KEY, FIXTURE_SALT, LIMIT_KDF_ITERATIONS);
    int64_t start_ms = clock_mono_ms(), one_ms;
    struct json *env = fixture_sealed(slow, TOKEN_ONE, 0);
    struct validate_options options;
    struct kept_result kept[8];
    struct service_fixture f;

    (void)state;
    one_ms = clock_mono_ms() - start_ms;
    service_fixture_open(&f, "");
    options = within(50);
    for (int i = 0; i < 8; i++) {
        char id[16];
        struct json *doc = fixture_doc("{}");

        snprintf(id, sizeof id, "a%d", i);
        json_set(doc, "_id", json_new_string(id));
        json_set(doc, "encryptedAccessToken", json_copy(env));
        store_fixture_put(&f.store, doc);
        json_free(doc);
        service_fixture_submit(&f, id, &options, &kept[i]);
    }
    start_ms = clock_mono_ms();
    validator_finish(service_validator(f.service));
    if (clock_mono_ms() - start_ms > 4 * one_ms)
        fail_msg("got %lld ms for 8 accounts; expected about the %lld ms that it takes to open one",
                 (long long)(clock_mono_ms() - start_ms), (long long)one_ms);
    for (int i = 0; i < 8; i++)
        expect_late(&kept[i], STATE_UNKNOWN);
    service_fixture_close(&f);
    json_free(env);
    keyring_free(slow);
}

/* ---- checks ---- */

static void check_gives(struct service_fixture *f, enum state state, int is_stale, int calls, int64_t within_ms)
{
    int64_t start_ms = clock_mono_ms();
    struct check_result r;
    struct err err = {0};

    if (service_check(f->service, "instagram", NULL, "a1", &r, &err) != ERR_OK) fail_msg("check: %s", err.text);
    if (r.state != state || r.stale != is_stale || *f->provider.calls != calls)
        fail_msg("got %s, stale %d, %d calls; expected %s, stale %d, %d calls", state_word(r.state), r.stale,
                 *f->provider.calls, state_word(state), is_stale, calls);
    assert_in_range(clock_mono_ms() - start_ms, 0, within_ms);
}

static void checks_wait_once_for_a_provider_that_hangs_and_validations_ask_again(void **state)
{
    struct service_fixture f;
    struct json *before;
    struct kept_result kept;
    struct validate_options usual = within(0);

    (void)state;
    usual.force = 0;
    service_fixture_open(&f, "[responder]\ncheck_timeout = 300ms\n");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{" E_ONE "}");
    check_gives(&f, STATE_HEALTHY, 0, 1, 5000);
    before = store_fixture_doc(&f.store, "a1");
    service_clear_cache(f.service, "instagram", NULL, NULL);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = SLOW_MS;
    check_gives(&f, STATE_HEALTHY, 1, 2, BARELY_MS);
    for (int i = 0; i < 20; i++)
        check_gives(&f, STATE_HEALTHY, 1, 2, 250);
    expect_same(&f, before);
    json_free(before);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 0;
    kept = service_fixture_validate(&f, "a1", &usual);
    assert_true(kept.result.asked && kept.result.verdict.state == STATE_HEALTHY);
    check_gives(&f, STATE_HEALTHY, 0, 3, 250);
    service_fixture_close(&f);
}

static void a_workspace_that_was_not_checked_to_its_end_is_looked_at_again_soon(void **state)
{
    struct service_fixture f;
    struct check_result r;

    (void)state;
    service_fixture_open(&f, "ttl = 5m\ninconclusive_ttl = 500ms\n[responder]\ncheck_timeout = 300ms\n");
    double_healthy(&f.provider, TOKEN_ONE);
    double_healthy(&f.provider, TOKEN_TWO);
    double_about(&f.provider, TOKEN_TWO)->delay_ms = SLOW_MS;
    service_fixture_put(&f, "{" E_ONE "}");
    service_fixture_put(&f, "{\"_id\":\"a2\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}");
    assert_int_equal(service_check(f.service, "instagram", "w1", NULL, &r, NULL), ERR_OK);
    assert_true(r.stale && r.state == STATE_UNKNOWN && r.reason == REASON_TIMEOUT);
    assert_int_equal(service_check_cached(f.service, "instagram", "w1", NULL, &r), 1);
    assert_true(r.stale);
    double_sleep_ms(600);
    double_about(&f.provider, TOKEN_TWO)->delay_ms = 0;
    assert_int_equal(service_check(f.service, "instagram", "w1", NULL, &r, NULL), ERR_OK);
    assert_true(!r.stale && r.state == STATE_HEALTHY);
    service_fixture_close(&f);
}

/* ---- refreshes ---- */

/* A refresh that is put off must not look done to whoever has the time for it. */
static void a_refresh_is_begun_only_while_its_whole_time_is_left(void **state)
{
    char date[CLOCK_ISO_BYTES], members[512];
    struct service_fixture f;
    struct kept_result kept;
    struct validate_options usual = within(0);

    (void)state;
    usual.force = 0;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_healthy(&f.provider, TOKEN_NEW);
    snprintf(double_about(&f.provider, TOKEN_ONE)->refresh, DOUBLE_TEXT,
             "{\"access_token\":\"" TOKEN_NEW "\",\"expires_in\":5184000}");
    clock_format(clock_now_ms() + INT64_C(2) * 86400000, date);
    snprintf(members, sizeof members, "{" E_ONE ",\"expiresAt\":{\"$date\":\"%s\"}}", date);
    service_fixture_put(&f, members);
    kept = validate_within(&f, service_fixture_timeout_ms - 1);
    assert_true(!kept.result.is_late && !kept.result.refreshed && kept.result.verdict.state == STATE_EXPIRING);
    assert_int_equal(double_about(&f.provider, TOKEN_ONE)->refreshes, 0);
    kept = service_fixture_validate(&f, "a1", &usual);
    assert_true(kept.result.refreshed && kept.result.verdict.state == STATE_HEALTHY);
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_NEW);
    assert_int_equal(double_about(&f.provider, TOKEN_ONE)->refreshes, 1);
    service_fixture_close(&f);
}

/* Whoever could not refresh either has an answer in it: a crowd of checks costs one call, also while a refresh is due. */
static void checks_of_an_account_whose_refresh_is_put_off_share_one_call(void **state)
{
    char date[CLOCK_ISO_BYTES], members[512];
    struct service_fixture f;
    struct kept_result first, second;
    struct validate_options hasty;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = SOON_MS;
    clock_format(clock_now_ms() + INT64_C(2) * 86400000, date);
    snprintf(members, sizeof members, "{" E_ONE ",\"expiresAt\":{\"$date\":\"%s\"}}", date);
    service_fixture_put(&f, members);
    hasty = within(service_fixture_timeout_ms - 1);
    hasty.force = 0;
    service_fixture_submit(&f, "a1", &hasty, &first);
    service_fixture_submit(&f, "a1", &hasty, &second);
    validator_finish(service_validator(f.service));
    assert_true(first.result.asked && first.result.verdict.state == STATE_EXPIRING);
    assert_true(!second.result.is_late && second.result.verdict.state == STATE_EXPIRING);
    assert_int_equal(*f.provider.calls, 1);
    service_fixture_close(&f);
}

/* Who could not wait knows less than the cache, which is still in its time. */
static void a_forced_validation_that_ends_late_leaves_the_cached_verdict(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{" E_ONE "}");
    validate_within(&f, 0);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = SLOW_MS;
    kept = validate_within(&f, SOON_MS);
    expect_late(&kept, STATE_HEALTHY);
    check_gives(&f, STATE_HEALTHY, 0, 2, 250);
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_that_is_cut_off_changes_nothing_and_is_saved_nowhere),
        cmocka_unit_test(past_the_deadline_nobody_is_asked_and_nothing_is_written),
        cmocka_unit_test(a_new_token_has_not_the_verdict_of_the_old_one),
        cmocka_unit_test(a_call_that_had_its_whole_time_is_the_provider_s_failure),
        cmocka_unit_test(who_waits_for_another_s_answer_gives_up_and_the_other_goes_on),
        cmocka_unit_test(past_the_deadline_no_more_tokens_are_opened),
        cmocka_unit_test(checks_wait_once_for_a_provider_that_hangs_and_validations_ask_again),
        cmocka_unit_test(a_workspace_that_was_not_checked_to_its_end_is_looked_at_again_soon),
        cmocka_unit_test(a_refresh_is_begun_only_while_its_whole_time_is_left),
        cmocka_unit_test(checks_of_an_account_whose_refresh_is_put_off_share_one_call),
        cmocka_unit_test(a_forced_validation_that_ends_late_leaves_the_cached_verdict),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
