/* The pipeline under the provider's budget: who is asked, who waits, and who ends without a call. */
#include "base/clock.h"
#include "service_fixture.h"

#define E_ONE "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}"

static const char host[] = "graph.instagram.com";
static const struct validate_options at_once = {.force = 1, .fix = 1, .refresh = 1};
static const struct validate_options patient = {.force = 1, .fix = 1, .refresh = 1, .budget_wait_ms = 20000};

static void tell(struct service_fixture *f, enum budget_outcome outcome, int percent, int64_t block_ms)
{
    budget_report(service_cache(f->service), host, &(struct budget_event){outcome, percent, block_ms});
}

static void open_breaker(struct service_fixture *f)
{
    for (int i = 0; i < BUDGET_FAILURES; i++)
        tell(f, BUDGET_FAILED, -1, 0);
}

static void expect(struct service_fixture *f, const struct kept_result *kept, enum reason attempt, const char *rule,
                   int calls)
{
    const struct verdict *v = &kept->result.verdict;

    if (v->attempt_reason != attempt || strcmp(v->attempt_rule, rule) != 0 || *f->provider.calls != calls)
        fail_msg("got attempt %s by %s, %d calls; expected %s by %s, %d calls", reason_word(v->attempt_reason),
                 v->attempt_rule, *f->provider.calls, reason_word(attempt), rule, calls);
    assert_int_equal(v->state, STATE_HEALTHY);
    assert_false(kept->result.state_changed);
}

/* A healthy account, asked once, with an open service. */
static void healthy(struct service_fixture *f, const char *settings)
{
    struct kept_result kept;

    service_fixture_open(f, settings);
    double_healthy(&f->provider, TOKEN_ONE);
    service_fixture_put(f, E_ONE);
    kept = service_fixture_validate(f, "a1", &at_once);
    assert_int_equal(kept.result.verdict.state, STATE_HEALTHY);
}

static void an_open_breaker_ends_an_account_at_once_and_without_a_call(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    healthy(&f, "");
    open_breaker(&f);
    kept = service_fixture_validate(&f, "a1", &at_once);
    expect(&f, &kept, REASON_TRANSIENT, "budget_breaker", 1);
    assert_false(kept.result.asked);
    assert_string_equal(service_fixture_text(&f, "a1", "tokenHealth.lastAttempt.rule"), "budget_breaker");
    service_fixture_close(&f);
}

static void a_sweep_sits_out_a_short_interruption_and_goes_on(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    int64_t start_ms;

    (void)state;
    healthy(&f, "");
    open_breaker(&f);
    start_ms = clock_mono_ms();
    kept = service_fixture_validate(&f, "a1", &patient);
    expect(&f, &kept, REASON_NONE, "", 2);
    assert_in_range(clock_mono_ms() - start_ms, BUDGET_OPEN_MS - 100, BUDGET_OPEN_MS + 10000);
    service_fixture_close(&f);
}

static void who_finds_a_probe_under_way_waits_for_its_end_or_ends_at_once(void **state)
{
    struct service_fixture f;
    struct kept_result first, second, third;

    (void)state;
    healthy(&f, "");
    service_fixture_put(&f, "{\"_id\":\"a2\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    service_fixture_put(&f, "{\"_id\":\"a3\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 700;
    open_breaker(&f);
    while (budget_take(service_cache(f.service), host, &(struct budget_limits){0, 1}, BUDGET_REFRESH).why ==
           BUDGET_OPEN)
        double_sleep_ms(50); /* the probe that it gives is never made: the next one is ours */
    double_sleep_ms(10);
    service_fixture_submit(&f, "a1", &patient, &first);
    service_fixture_submit(&f, "a2", &patient, &second);
    service_fixture_submit(&f, "a3", &at_once, &third);
    validator_finish(service_validator(f.service));
    assert_int_equal(third.result.verdict.attempt_reason, REASON_TRANSIENT);
    assert_string_equal(third.result.verdict.attempt_rule, "budget_probe");
    assert_int_equal(first.result.verdict.state, STATE_HEALTHY);
    assert_int_equal(second.result.verdict.state, STATE_HEALTHY);
    assert_int_equal(*f.provider.calls, 3);
    service_fixture_close(&f);
}

static void a_limit_of_the_app_stops_checks_and_a_longer_wait_is_not_waited_for(void **state)
{
    static const struct {
        int percent;
        int64_t block_ms;
        const char *rule;
    } limits[] = {{95, 0, "budget_usage"}, {-1, 600000, "budget_blocked"}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct service_fixture f;
        struct kept_result kept;

        healthy(&f, "");
        tell(&f, BUDGET_ANSWERED, limits[i].percent, limits[i].block_ms);
        kept = service_fixture_validate(&f, "a1", &patient);
        expect(&f, &kept, REASON_RATE_LIMITED, limits[i].rule, 1);
        service_fixture_close(&f);
    }
}

static void a_sweep_waits_for_its_turn_under_the_rate_and_a_request_does_not(void **state)
{
    enum { CALLS = BUDGET_BURST_MIN - 1 }; /* of a burst, less the reserve and the one of the beginning */
    struct service_fixture f;
    struct kept_result kept;
    int64_t start_ms;

    (void)state;
    service_fixture_open(&f, "[provider]\nmax_calls_per_second = 1\n");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, E_ONE);
    for (int i = 0; i < CALLS; i++) {
        kept = service_fixture_validate(&f, "a1", &at_once);
        assert_int_equal(kept.result.verdict.attempt_reason, REASON_NONE);
    }
    kept = service_fixture_validate(&f, "a1", &at_once);
    expect(&f, &kept, REASON_RATE_LIMITED, "budget_rate", CALLS);
    start_ms = clock_mono_ms();
    kept = service_fixture_validate(&f, "a1", &patient);
    expect(&f, &kept, REASON_NONE, "", CALLS + 1);
    assert_in_range(clock_mono_ms() - start_ms, 1, 10000);
    service_fixture_close(&f);
}

static void failures_of_the_provider_open_the_breaker_and_a_call_that_was_cut_off_does_not(void **state)
{
    struct service_fixture f;
    struct budget_view view;

    (void)state;
    healthy(&f, "");
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 2000;
    for (int i = 0; i < BUDGET_FAILURES + 1; i++) {
        struct validate_options hasty = at_once;

        hasty.deadline_mono_ms = clock_mono_ms() + 60;
        assert_true(service_fixture_validate(&f, "a1", &hasty).result.is_late);
    }
    budget_look(service_cache(f.service), host, &view);
    assert_int_equal(view.failures, 0);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 0;
    double_says(&f.provider, TOKEN_ONE, 502, "<html>");
    for (int i = 0; i < BUDGET_FAILURES; i++)
        service_fixture_validate(&f, "a1", &at_once);
    budget_look(service_cache(f.service), host, &view);
    assert_int_equal(view.breaker, BUDGET_BREAKER_OPEN);
    service_fixture_close(&f);
}

static void an_app_wide_limit_in_an_answer_stops_the_next_account_and_one_accounts_limit_does_not(void **state)
{
    static const struct {
        int code;
        int is_app_wide;
    } limits[] = {{4, 1}, {17, 0}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct service_fixture f;
        struct kept_result kept;

        healthy(&f, "");
        service_fixture_put(&f, "{\"_id\":\"a2\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}");
        double_healthy(&f.provider, TOKEN_TWO);
        double_graph_error(&f.provider, TOKEN_ONE, limits[i].code, 0);
        service_fixture_validate(&f, "a1", &at_once);
        kept = service_fixture_validate(&f, "a2", &at_once);
        if ((kept.result.verdict.attempt_reason == REASON_RATE_LIMITED) != limits[i].is_app_wide)
            fail_msg("after code %d: attempt %s by %s", limits[i].code, reason_word(kept.result.verdict.attempt_reason),
                     kept.result.verdict.attempt_rule);
        service_fixture_close(&f);
    }
}

static void an_account_that_the_provider_put_off_is_not_asked_before(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    char attempt[256], later[64];

    (void)state;
    healthy(&f, "");
    snprintf(later, sizeof later, "%lld", (long long)clock_now_ms() + 60000);
    snprintf(attempt, sizeof attempt,
             "{\"reason\":\"rate_limited\",\"rule\":\"rate_limit\",\"at\":{\"$date\":%lld},\"retryAt\":{\"$date\":%s}}",
             (long long)clock_now_ms(), later);
    {
        struct json *doc = store_fixture_doc(&f.store, "a1"), *health = json_copy(json_member(doc, "tokenHealth"));

        json_set(health, "lastAttempt", fixture_json(attempt));
        json_set(doc, "tokenHealth", health);
        store_fixture_put(&f.store, doc);
        json_free(doc);
    }
    kept = service_fixture_validate(&f, "a1", &at_once);
    expect(&f, &kept, REASON_RATE_LIMITED, "retry_at", 1);
    assert_true(llabs(kept.result.verdict.retry_at_ms - atoll(later)) < 100);
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_breaker_ends_an_account_at_once_and_without_a_call),
        cmocka_unit_test(a_sweep_sits_out_a_short_interruption_and_goes_on),
        cmocka_unit_test(who_finds_a_probe_under_way_waits_for_its_end_or_ends_at_once),
        cmocka_unit_test(a_limit_of_the_app_stops_checks_and_a_longer_wait_is_not_waited_for),
        cmocka_unit_test(a_sweep_waits_for_its_turn_under_the_rate_and_a_request_does_not),
        cmocka_unit_test(failures_of_the_provider_open_the_breaker_and_a_call_that_was_cut_off_does_not),
        cmocka_unit_test(an_app_wide_limit_in_an_answer_stops_the_next_account_and_one_accounts_limit_does_not),
        cmocka_unit_test(an_account_that_the_provider_put_off_is_not_asked_before),
    };
    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
