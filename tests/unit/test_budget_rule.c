/* The budget's rule by tables: burst and rate, usage, blocks, the breaker, and states that cannot be. Time is a number here. */
#include "cache/budget_rule.h"
#include "shm_fixture.h"

#define S  INT64_C(1000000000)
#define MS INT64_C(1000000)
enum { START_S = 1000, PROBE_MS = 15000 };

static struct budget_state state_now;
static int64_t now_ns;

static int fresh(void **state)
{
    (void)state;
    memset(&state_now, 0, sizeof state_now);
    now_ns = START_S * S;
    return 0;
}
#define RULE_TEST(name) cmocka_unit_test_setup(name, fresh)

static struct budget_decision take(int64_t rate, enum budget_kind kind)
{
    const struct budget_limits limits = {.calls_per_second = rate, .probe_ms = PROBE_MS};
    struct budget_state next;
    struct budget_decision d = budget_rule_take(&state_now, &limits, kind, now_ns, &next);

    if ((d.why == BUDGET_GO) != (d.wait_ms == 0) || d.wait_ms < 0)
        fail_msg("%s with a wait of %lld ms", budget_why_word(d.why), (long long)d.wait_ms);
    if (d.why != BUDGET_GO) assert_memory_equal(&next, &state_now, sizeof next);
    state_now = next;
    return d;
}

static void tell(enum budget_outcome outcome, int usage_percent, int64_t block_ms)
{
    const struct budget_event event = {outcome, usage_percent, block_ms};
    struct budget_state next;

    budget_rule_apply(&state_now, &event, now_ns, &next);
    state_now = next;
}

static void assert_go(int64_t rate, enum budget_kind kind)
{
    struct budget_decision d = take(rate, kind);

    if (d.why != BUDGET_GO)
        fail_msg("at %lld ms: %s, wait %lld ms; expected go", (long long)((now_ns - START_S * S) / MS),
                 budget_why_word(d.why), (long long)d.wait_ms);
}

static void assert_waits(int64_t rate, enum budget_kind kind, enum budget_why why, int64_t wait_ms)
{
    struct budget_decision d = take(rate, kind);

    if (d.why != why || d.wait_ms != wait_ms)
        fail_msg("at %lld ms: %s, wait %lld ms; expected %s, %lld ms", (long long)((now_ns - START_S * S) / MS),
                 budget_why_word(d.why), (long long)d.wait_ms, budget_why_word(why), (long long)wait_ms);
}

static int go_count(int64_t rate, enum budget_kind kind)
{
    int count = 0;

    while (count < 100000 && take(rate, kind).why == BUDGET_GO)
        count++;
    return count;
}

/* ---- the bucket */

static void a_burst_is_a_second_and_its_last_tenth_is_for_refreshes(void **state)
{
    static const struct {
        int64_t rate;
        int checks, refreshes;
        int64_t next_ms; /* one call's time */
    } cases[] = {{1, 9, 1, 1000}, {3, 9, 1, 334},    {10, 9, 1, 100},
                 {15, 14, 1, 67}, {100, 90, 10, 10}, {1000, 900, 100, 1}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int checks, refreshes;

        fresh(state);
        checks = go_count(cases[i].rate, BUDGET_CHECK);
        refreshes = go_count(cases[i].rate, BUDGET_REFRESH);
        if (checks != cases[i].checks || refreshes != cases[i].refreshes)
            fail_msg("rate %d: %d checks, %d refreshes; expected %d, %d", (int)cases[i].rate, checks, refreshes,
                     cases[i].checks, cases[i].refreshes);
        assert_waits(cases[i].rate, BUDGET_REFRESH, BUDGET_RATE, cases[i].next_ms);
        now_ns += cases[i].next_ms * MS;
        assert_go(cases[i].rate, BUDGET_REFRESH);
    }
}

static void a_refresh_alone_may_use_the_whole_burst(void **state)
{
    (void)state;
    assert_int_equal(go_count(100, BUDGET_REFRESH), 100);
    assert_waits(100, BUDGET_CHECK, BUDGET_RATE, 110);
}

static void without_a_rate_there_is_no_bucket(void **state)
{
    (void)state;
    assert_int_equal(go_count(0, BUDGET_CHECK), 100000);
    assert_int_equal(go_count(-5, BUDGET_CHECK), 100000);
    assert_int_equal(go_count(INT64_MAX, BUDGET_REFRESH), 100000);
}

static void after_the_wait_that_was_told_it_goes(void **state)
{
    uint64_t random = 11;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        static const int64_t rates[] = {1, 7, 100, 999};
        int64_t rate = rates[fixture_random(&random) % 4];
        struct budget_decision d;

        fresh(state);
        for (uint64_t n = fixture_random(&random) % 40; n > 0; n--)
            (void)take(rate, fixture_random(&random) % 2 ? BUDGET_CHECK : BUDGET_REFRESH);
        if (fixture_random(&random) % 2) tell(BUDGET_ANSWERED, (int)(fixture_random(&random) % 101), 0);
        if (fixture_random(&random) % 4 == 0) tell(BUDGET_NO_CALL, -1, (int64_t)(fixture_random(&random) % 9000));
        for (uint64_t n = fixture_random(&random) % 7; n > 0; n--)
            tell(BUDGET_FAILED, -1, 0);
        now_ns += (int64_t)(fixture_random(&random) % (uint64_t)(2 * S));
        for (int asks = 0; (d = take(rate, BUDGET_CHECK)).why != BUDGET_GO; asks++) {
            if (asks > 8) fail_msg("case %d: still %s after %d waits", i, budget_why_word(d.why), asks);
            now_ns += d.wait_ms * MS;
        }
    }
}

/* ---- usage */

static void checks_get_slower_from_75_percent_and_refreshes_do_not(void **state)
{
    static const struct {
        int percent;
        int64_t rate;
        int checks; /* in 100 s */
    } cases[] = {{0, 20, 2000}, {74, 20, 2000}, {75, 20, 2000}, {80, 20, 1500}, {85, 20, 1000},
                 {89, 20, 600}, {80, 1, 75},    {89, 1, 30},    {89, 3, 90},    {74, 0, 100000},
                 {75, 0, 4000}, {85, 0, 2000},  {89, 0, 1200}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t checks = 0, burst = cases[i].rate > 10 ? cases[i].rate : cases[i].rate ? 10 : 40, end_ns;

        fresh(state);
        for (end_ns = now_ns + 100 * S; now_ns < end_ns && checks < 100000;) {
            struct budget_decision d;

            tell(BUDGET_ANSWERED, cases[i].percent, 0);
            d = take(cases[i].rate, BUDGET_CHECK);
            if (d.why == BUDGET_GO) checks++;
            now_ns += d.wait_ms * MS;
        }
        if (checks < cases[i].checks * 97 / 100 || checks > cases[i].checks + burst)
            fail_msg("%d %% used, rate %d: %d checks in 100 s; expected %d", cases[i].percent, (int)cases[i].rate,
                     (int)checks, cases[i].checks);
        assert_go(cases[i].rate, BUDGET_REFRESH);
    }
}

static void checks_stop_at_90_percent_and_refreshes_at_100(void **state)
{
    (void)state;
    tell(BUDGET_ANSWERED, 89, 0);
    assert_go(10, BUDGET_CHECK);
    tell(BUDGET_ANSWERED, 90, 0);
    assert_waits(10, BUDGET_CHECK, BUDGET_TOO_MUCH_USED, 72000);
    assert_go(10, BUDGET_REFRESH);
    tell(BUDGET_ANSWERED, 99, 0);
    assert_go(10, BUDGET_REFRESH);
    tell(BUDGET_ANSWERED, 100, 0);
    assert_waits(10, BUDGET_REFRESH, BUDGET_TOO_MUCH_USED, 72000);
    assert_waits(10, BUDGET_CHECK, BUDGET_TOO_MUCH_USED, 11 * 72000);
    tell(BUDGET_ANSWERED, 10000, 0);
    assert_waits(10, BUDGET_REFRESH, BUDGET_TOO_MUCH_USED, 72000);
}

static void what_was_reported_sinks_by_a_percent_in_72_seconds(void **state)
{
    struct budget_view view;

    (void)state;
    budget_rule_view(&state_now, now_ns, &view);
    assert_int_equal(view.usage_percent, -1);
    tell(BUDGET_ANSWERED, 95, 0);
    for (int percent = 95; percent >= 0; percent--) {
        budget_rule_view(&state_now, now_ns, &view);
        assert_int_equal(view.usage_percent, percent);
        assert_int_equal(take(0, BUDGET_REFRESH).why, BUDGET_GO);
        now_ns += 72 * S;
    }
    now_ns += 72 * S;
    budget_rule_view(&state_now, now_ns, &view);
    assert_int_equal(view.usage_percent, 0);
}

static void after_a_stop_one_check_asks_and_the_next_waits_for_its_answer(void **state)
{
    (void)state;
    tell(BUDGET_ANSWERED, 92, 0);
    for (int i = 0; i < 5; i++) {
        assert_waits(0, BUDGET_CHECK, BUDGET_TOO_MUCH_USED, i == 0 ? 3 * 72000 : 72000);
        now_ns += (i == 0 ? 3 : 1) * 72 * S;
        assert_go(0, BUDGET_REFRESH); /* does not count */
        assert_go(0, BUDGET_CHECK);
    }
    tell(BUDGET_ANSWERED, 50, 0);
    assert_int_equal(go_count(0, BUDGET_CHECK), 100000);
    tell(BUDGET_ANSWERED, 95, 0);
    now_ns += 3600 * S; /* nobody asked for an hour: 45 %; some may ask at once */
    for (int i = 0; i < 45; i++) {
        assert_go(0, BUDGET_CHECK);
        now_ns += 100 * MS;
    }
    assert_int_equal(take(0, BUDGET_CHECK).why, BUDGET_TOO_MUCH_USED);
}

static void an_answer_that_tells_no_usage_changes_none(void **state)
{
    (void)state;
    tell(BUDGET_ANSWERED, 95, 0);
    tell(BUDGET_ANSWERED, -1, 0);
    assert_waits(0, BUDGET_CHECK, BUDGET_TOO_MUCH_USED, 6 * 72000);
    tell(BUDGET_ANSWERED, 0, 0);
    assert_go(0, BUDGET_CHECK);
}

/* ---- blocks */

static void while_blocked_nothing_goes_and_the_longest_block_counts(void **state)
{
    (void)state;
    tell(BUDGET_ANSWERED, -1, 30000);
    assert_waits(10, BUDGET_CHECK, BUDGET_BLOCKED, 30000);
    assert_waits(10, BUDGET_REFRESH, BUDGET_BLOCKED, 30000);
    tell(BUDGET_ANSWERED, -1, 10000);
    assert_waits(10, BUDGET_REFRESH, BUDGET_BLOCKED, 30000);
    tell(BUDGET_NO_CALL, -1, 60000);
    now_ns += 59999 * MS;
    assert_waits(10, BUDGET_REFRESH, BUDGET_BLOCKED, 1);
    now_ns += 1 * MS;
    assert_go(10, BUDGET_CHECK);
    tell(BUDGET_ANSWERED, -1, INT64_MAX);
    assert_waits(10, BUDGET_CHECK, BUDGET_BLOCKED, BUDGET_BLOCK_MAX_MS);
    fresh(state);
    tell(BUDGET_ANSWERED, -1, -5);
    assert_go(10, BUDGET_CHECK);
}

/* ---- the breaker */

static void fail_times(int times)
{
    for (int i = 0; i < times; i++)
        tell(BUDGET_FAILED, -1, 0);
}

static void five_failures_in_a_row_open_it_and_four_do_not(void **state)
{
    (void)state;
    fail_times(4);
    assert_go(0, BUDGET_CHECK);
    tell(BUDGET_ANSWERED, -1, 0);
    fail_times(4);
    tell(BUDGET_NO_CALL, -1, 0);
    assert_go(0, BUDGET_CHECK);
    fail_times(1);
    assert_waits(0, BUDGET_CHECK, BUDGET_OPEN, 5000);
    assert_waits(0, BUDGET_REFRESH, BUDGET_OPEN, 5000);
}

static void one_probe_goes_and_its_answer_closes(void **state)
{
    (void)state;
    fail_times(5);
    now_ns += 4999 * MS;
    assert_waits(0, BUDGET_CHECK, BUDGET_OPEN, 1);
    now_ns += 1 * MS;
    assert_go(0, BUDGET_CHECK);
    assert_waits(0, BUDGET_CHECK, BUDGET_PROBED, 500);
    assert_waits(0, BUDGET_REFRESH, BUDGET_PROBED, 500);
    now_ns += 14900 * MS;
    assert_waits(0, BUDGET_CHECK, BUDGET_PROBED, 100);
    tell(BUDGET_ANSWERED, -1, 0);
    assert_int_equal(go_count(0, BUDGET_CHECK), 100000);
    fail_times(5);
    assert_waits(0, BUDGET_CHECK, BUDGET_OPEN, 5000); /* as if for the first time */
}

static void each_failed_probe_doubles_the_time_up_to_a_minute(void **state)
{
    static const int64_t expected_ms[] = {5000, 10000, 20000, 40000, 60000, 60000, 60000};

    (void)state;
    fail_times(5);
    for (int i = 0; i < 100; i++) {
        int64_t want = expected_ms[i < 6 ? i : 6];

        assert_waits(0, BUDGET_CHECK, BUDGET_OPEN, want);
        now_ns += want * MS;
        assert_go(0, BUDGET_CHECK);
        fail_times(1);
    }
}

static void a_probe_that_never_comes_back_is_replaced(void **state)
{
    (void)state;
    fail_times(5);
    now_ns += 5 * S;
    for (int i = 0; i < 5; i++) {
        assert_go(0, BUDGET_CHECK);
        now_ns += PROBE_MS * MS - 1;
        assert_waits(0, BUDGET_CHECK, BUDGET_PROBED, 1);
        now_ns += 1;
    }
}

static void what_was_under_way_when_it_opened_neither_prolongs_nor_keeps_it_open(void **state)
{
    (void)state;
    fail_times(5);
    now_ns += 3 * S;
    fail_times(60);
    assert_waits(0, BUDGET_CHECK, BUDGET_OPEN, 2000);
    tell(BUDGET_ANSWERED, -1, 0);
    assert_go(0, BUDGET_CHECK);
}

static void a_probe_has_to_keep_to_rate_usage_and_blocks(void **state)
{
    (void)state;
    fail_times(5);
    now_ns += 5 * S;
    tell(BUDGET_NO_CALL, 95, 0);
    assert_int_equal(take(10, BUDGET_CHECK).why, BUDGET_TOO_MUCH_USED);
    assert_go(10, BUDGET_REFRESH); /* the one probe */
    assert_int_equal(take(10, BUDGET_REFRESH).why, BUDGET_PROBED);
    tell(BUDGET_NO_CALL, 0, 1000);
    assert_int_equal(take(10, BUDGET_REFRESH).why, BUDGET_BLOCKED);
}

/* ---- what the operator hears */

static unsigned news_of(enum budget_outcome outcome, int usage_percent, int64_t block_ms)
{
    struct budget_state before = state_now;

    tell(outcome, usage_percent, block_ms);
    return budget_rule_news(&before, &state_now);
}

static void assert_news(unsigned got, unsigned expected, const char *what)
{
    if (got != expected) fail_msg("%s: news %u, expected %u", what, got, expected);
}

static void a_breaker_is_told_once_however_long_the_outage_is(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_news(news_of(BUDGET_FAILED, -1, 0), 0, "a failure");
    assert_news(news_of(BUDGET_FAILED, -1, 0), BUDGET_NEWS_OPENED, "the fifth");
    for (int i = 0; i < 20; i++) {
        assert_news(news_of(BUDGET_FAILED, -1, 0), 0, "one more");
        now_ns += 60 * S;
        assert_go(0, BUDGET_CHECK);
        assert_news(news_of(BUDGET_FAILED, -1, 0), 0, "a probe");
    }
    now_ns += 60 * S;
    assert_go(0, BUDGET_CHECK);
    assert_news(news_of(BUDGET_ANSWERED, -1, 0), BUDGET_NEWS_CLOSED, "an answer");
    assert_news(news_of(BUDGET_ANSWERED, -1, 0), 0, "another one");
}

static void a_stop_is_told_when_it_begins_and_when_an_answer_shows_its_end(void **state)
{
    (void)state;
    assert_news(news_of(BUDGET_ANSWERED, 89, 0), 0, "89 %");
    assert_news(news_of(BUDGET_ANSWERED, 90, 0), BUDGET_NEWS_STOPPED, "90 %");
    assert_news(news_of(BUDGET_ANSWERED, 100, 30000), 0, "a block, too");
    assert_news(news_of(BUDGET_ANSWERED, 88, 0), 0, "88 %");
    now_ns += 30 * S;
    assert_news(news_of(BUDGET_NO_CALL, -1, 0), 0, "no call");
    assert_news(news_of(BUDGET_ANSWERED, 92, 0), 0, "92 %");
    assert_news(news_of(BUDGET_ANSWERED, 74, 0), BUDGET_NEWS_FREE, "74 %");
    assert_news(news_of(BUDGET_ANSWERED, -1, 1000), BUDGET_NEWS_STOPPED, "a block");
    assert_news(news_of(BUDGET_ANSWERED, -1, 0), 0, "an answer to a call from before");
    now_ns += 1 * S;
    assert_news(news_of(BUDGET_ANSWERED, -1, 2000), 0, "blocked on");
    now_ns += 2 * S;
    assert_news(news_of(BUDGET_FAILED, -1, 0), 0, "a failure");
    assert_news(news_of(BUDGET_ANSWERED, -1, 0), BUDGET_NEWS_FREE, "an answer");
}

static void after_a_stop_that_nobody_told_the_end_of_time_and_an_answer_end_it(void **state)
{
    (void)state;
    assert_news(news_of(BUDGET_ANSWERED, 100, 0), BUDGET_NEWS_STOPPED, "100 %");
    now_ns += 11 * 72 * S;
    assert_go(0, BUDGET_CHECK); /* a question: the stop is still told as one */
    assert_news(news_of(BUDGET_ANSWERED, -1, 0), 0, "an answer at 88 %");
    now_ns += 40 * 72 * S;
    assert_news(news_of(BUDGET_ANSWERED, -1, 0), BUDGET_NEWS_FREE, "an answer at 48 %");
}

/* ---- states that cannot be */

static void random_states_are_survived_and_never_stop_all_for_longer_than_a_day(void **state)
{
    uint64_t random = 4711;

    (void)state;
    for (int i = 0; i < 1000000; i++) {
        struct budget_view view;
        struct budget_decision d;

        now_ns = (int64_t)(fixture_random(&random) >> (1 + fixture_random(&random) % 30));
        for (int word = 0; word < BUDGET_WORDS; word++)
            state_now.word[word] = fixture_random(&random) >> (fixture_random(&random) % 40);
        d = take((int64_t)(fixture_random(&random) % 50), i % 2 ? BUDGET_CHECK : BUDGET_REFRESH);
        if (d.wait_ms > BUDGET_BLOCK_MAX_MS) fail_msg("case %d: waits %lld ms", i, (long long)d.wait_ms);
        tell((enum budget_outcome)(i % 3), (int)(fixture_random(&random) % 200) - 1, 0);
        budget_rule_view(&state_now, now_ns, &view);
        assert_in_range(view.usage_percent + 1, 0, 101);
        assert_in_range(view.blocked_ms, 0, BUDGET_BLOCK_MAX_MS);
        assert_in_range(view.breaker_ms, 0, BUDGET_PROBE_MAX_MS + 1);
        assert_non_null(budget_breaker_word(view.breaker));
    }
}

static void each_word_follows_from_itself_alone(void **state)
{
    uint64_t random = 815;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        const struct budget_event event = {(enum budget_outcome)(fixture_random(&random) % 3),
                                           (int)(fixture_random(&random) % 102) - 1,
                                           (int64_t)(fixture_random(&random) % 1000)};
        struct budget_state one, other, next_one, next_other;
        int same = i % BUDGET_WORDS;

        now_ns = (START_S + i) * S;
        for (int word = 0; word < BUDGET_WORDS; word++) {
            one.word[word] = fixture_random(&random) >> (fixture_random(&random) % 40);
            other.word[word] = word == same ? one.word[word] : fixture_random(&random);
        }
        budget_rule_apply(&one, &event, now_ns, &next_one);
        budget_rule_apply(&other, &event, now_ns, &next_other);
        assert_int_equal(next_one.word[same], next_other.word[same]);
        assert_int_equal(next_one.word[BUDGET_PAID_UNTIL], one.word[BUDGET_PAID_UNTIL]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE_TEST(a_burst_is_a_second_and_its_last_tenth_is_for_refreshes),
        RULE_TEST(a_refresh_alone_may_use_the_whole_burst),
        RULE_TEST(without_a_rate_there_is_no_bucket),
        RULE_TEST(after_the_wait_that_was_told_it_goes),
        RULE_TEST(checks_get_slower_from_75_percent_and_refreshes_do_not),
        RULE_TEST(checks_stop_at_90_percent_and_refreshes_at_100),
        RULE_TEST(what_was_reported_sinks_by_a_percent_in_72_seconds),
        RULE_TEST(after_a_stop_one_check_asks_and_the_next_waits_for_its_answer),
        RULE_TEST(an_answer_that_tells_no_usage_changes_none),
        RULE_TEST(while_blocked_nothing_goes_and_the_longest_block_counts),
        RULE_TEST(five_failures_in_a_row_open_it_and_four_do_not),
        RULE_TEST(one_probe_goes_and_its_answer_closes),
        RULE_TEST(each_failed_probe_doubles_the_time_up_to_a_minute),
        RULE_TEST(a_probe_that_never_comes_back_is_replaced),
        RULE_TEST(what_was_under_way_when_it_opened_neither_prolongs_nor_keeps_it_open),
        RULE_TEST(a_probe_has_to_keep_to_rate_usage_and_blocks),
        RULE_TEST(a_breaker_is_told_once_however_long_the_outage_is),
        RULE_TEST(a_stop_is_told_when_it_begins_and_when_an_answer_shows_its_end),
        RULE_TEST(after_a_stop_that_nobody_told_the_end_of_time_and_an_answer_end_it),
        RULE_TEST(random_states_are_survived_and_never_stop_all_for_longer_than_a_day),
        RULE_TEST(each_word_follows_from_itself_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
