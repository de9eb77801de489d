/* The budget in shared memory among real processes: one rate for all, one probe for all, and whoever is killed leaves nothing. */
#include "base/clock.h"
#include "cache/budget.h"
#include "cache/cache_layout.h"
#include "shm_fixture.h"
#include <sys/syscall.h>

enum {
    ENTRIES = 64,
    CALLERS = 6,
    RATE = 500,
    RUN_MS = 2000,
    PROBE_MS = 400,
    HOSTS = 40,
    KILLS = 300,
    COLLISIONS = 20000
};
static const struct budget_limits limits = {.calls_per_second = RATE, .probe_ms = PROBE_MS};
static const char host[] = "graph.example.org";
static const struct budget_event failed = {BUDGET_FAILED, -1, 0}, answered = {BUDGET_ANSWERED, -1, 0};

static enum budget_why why(struct cache *cache, const struct budget_limits *with, enum budget_kind kind)
{
    return budget_take(cache, host, with, kind).why;
}

static struct cache_slot *find_slot(const struct cache *cache, const char *name)
{
    for (int i = 0; i < CACHE_BUDGETS; i++)
        if (atomic_load(&cache->segment.at->budgets[i].name) == cache_hash(cache, name))
            return &cache->segment.at->budgets[i];
    return NULL;
}

/* Between its look at the words and its change to them the budget asks for the time: there another process can step in. */
static void (*meanwhile)(void);
static int looks_before; /* it steps in at the look after so many */
static struct cache *other;

int clock_gettime(clockid_t id, struct timespec *t)
{
    void (*act)(void) = meanwhile;

    if (act && looks_before-- == 0) {
        meanwhile = NULL;
        act();
    }
    return (int)syscall(SYS_clock_gettime, id, t);
}

static void other_takes(void)
{
    assert_int_equal(why(other, &(struct budget_limits){1, 60000}, BUDGET_REFRESH), BUDGET_GO);
}

static void other_fails(void)
{
    budget_report(other, host, &failed);
}

static void other_is_stopped(void)
{
    budget_report(other, host, &(struct budget_event){BUDGET_ANSWERED, 100, 30000});
}

static void other_checks(void)
{
    assert_int_equal(why(other, &(struct budget_limits){0, 60000}, BUDGET_CHECK), BUDGET_GO);
}

static void step_in(void (*act)(void), int after_looks)
{
    meanwhile = act;
    looks_before = after_looks;
}

static void the_last_call_and_the_probe_go_to_one_whoever_steps_in(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    const struct budget_limits one_a_second = {1, 60000}, any = {0, 60000};

    (void)state;
    other = fixture_open(ENTRIES);
    for (int i = 0; i < BUDGET_BURST_MIN - 1; i++)
        assert_int_equal(why(cache, &one_a_second, BUDGET_REFRESH), BUDGET_GO);
    step_in(other_takes, 0);
    assert_int_equal(why(cache, &one_a_second, BUDGET_REFRESH), BUDGET_RATE);
    atomic_store(&find_slot(cache, host)->word[BUDGET_BREAKER], UINT64_C(1) << 16 | BUDGET_BREAKER_OPEN);
    step_in(other_checks, 0);
    assert_int_equal(why(cache, &any, BUDGET_CHECK), BUDGET_PROBED);
    cache_close(cache);
    cache_close(other);
}

/* What was reported has sunk far under the stop since: each that asks counts. */
static void each_question_after_a_stop_counts_whoever_steps_in(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    uint64_t ago_ms = (uint64_t)clock_mono_ms() - 25 * 72000 - 1000;
    struct budget_view view;

    (void)state;
    other = fixture_open(ENTRIES);
    budget_report(cache, host, &(struct budget_event){BUDGET_ANSWERED, 95, 0});
    atomic_store(&find_slot(cache, host)->word[BUDGET_USAGE], ago_ms << 8 | (95 + 1));
    step_in(other_checks, 0);
    assert_int_equal(why(cache, &(struct budget_limits){0, 60000}, BUDGET_CHECK), BUDGET_GO);
    budget_look(cache, host, &view);
    assert_int_equal(view.usage_percent, 70 + 2);
    cache_close(cache);
    cache_close(other);
}

static void no_report_is_lost_whoever_steps_in(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);

    (void)state;
    other = fixture_open(ENTRIES);
    for (int looks = 0; looks < BUDGET_WORDS; looks++) {
        struct budget_view view;

        budget_report(cache, host, &answered);
        step_in(other_fails, looks);
        budget_report(cache, host, &failed);
        budget_look(cache, host, &view);
        if (view.failures != 2) fail_msg("stepped in at look %d: %d failures, expected 2", looks, view.failures);
        atomic_store(&find_slot(cache, host)->word[BUDGET_BLOCKED_UNTIL], 0);
        step_in(other_is_stopped, looks);
        budget_report(cache, host, &(struct budget_event){BUDGET_NO_CALL, -1, 10000});
        budget_look(cache, host, &view);
        if (view.usage_percent != 100 || view.blocked_ms < 20000)
            fail_msg("stepped in at look %d: %d %% used, blocked for %lld ms", looks, view.usage_percent,
                     (long long)view.blocked_ms);
    }
    cache_close(cache);
    cache_close(other);
}

static void what_one_process_learns_another_obeys(void **state)
{
    const struct budget_event event = {BUDGET_ANSWERED, 95, 0}, block = {BUDGET_ANSWERED, -1, 60000};
    struct cache *one = fixture_open(ENTRIES), *two = fixture_open(ENTRIES);
    struct budget_view view;

    (void)state;
    budget_look(two, host, &view);
    assert_int_equal(view.usage_percent, -1);
    budget_report(one, host, &event);
    assert_int_equal(why(two, &limits, BUDGET_CHECK), BUDGET_TOO_MUCH_USED);
    assert_int_equal(why(two, &limits, BUDGET_REFRESH), BUDGET_GO);
    assert_int_equal(budget_take(two, "another.example.org", &limits, BUDGET_CHECK).why, BUDGET_GO);
    budget_report(two, host, &block);
    assert_int_equal(why(one, &limits, BUDGET_REFRESH), BUDGET_BLOCKED);
    budget_look(one, host, &view);
    assert_int_equal(view.usage_percent, 95);
    assert_in_range(view.blocked_ms, 50000, 60000);
    assert_int_equal(view.breaker, BUDGET_BREAKER_CLOSED);
    cache_close(one);
    cache_close(two);
}

static void no_name_is_in_the_segment(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);

    (void)state;
    (void)why(cache, &limits, BUDGET_CHECK);
    budget_report(cache, host, &failed);
    assert_non_null(find_slot(cache, host));
    for (size_t at = 0; at + 5 < sizeof host; at++)
        assert_null(memmem(cache->segment.at, cache->segment.header.segment_bytes, host + at, 5));
    cache_close(cache);
}

/* Calls as fast as it may; counts into word 0 (checks) and 1 (refreshes). */
static int call_until_stopped(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);
    enum budget_kind kind = *(enum budget_kind *)arg;

    if (!cache) return 9;
    while (!atomic_load(&fixture_shared->stop)) {
        if (why(cache, &limits, kind) == BUDGET_GO) {
            atomic_fetch_add(&fixture_shared->word[kind], 1);
            budget_report(cache, host, &answered);
        } else {
            fixture_sleep_us(200);
        }
    }
    return 0;
}

static void all_processes_together_keep_to_the_rate_and_one_killed_changes_nothing(void **state)
{
    enum budget_kind kinds[CALLERS] = {BUDGET_REFRESH};
    pid_t pids[CALLERS];
    int64_t start_ns = clock_mono_ns(), took_ns, calls;

    (void)state;
    for (int i = 0; i < CALLERS; i++)
        pids[i] = fixture_fork(call_until_stopped, &kinds[i]);
    fixture_sleep_us(RUN_MS * 500);
    fixture_kill(pids[CALLERS - 1]);
    fixture_sleep_us(RUN_MS * 500);
    atomic_store(&fixture_shared->stop, 1);
    for (int i = 0; i < CALLERS - 1; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    took_ns = clock_mono_ns() - start_ns;
    calls = atomic_load(&fixture_shared->word[0]) + atomic_load(&fixture_shared->word[1]);
    printf("FIGURE: budget, %d processes at %d/s: %lld calls in %lld ms, %lld of them refreshes\n", CALLERS, RATE,
           (long long)calls, (long long)(took_ns / 1000000), (long long)atomic_load(&fixture_shared->word[1]));
    if (calls > RATE + took_ns * RATE / 1000000000 + 1)
        fail_msg("%lld calls in %lld ms", (long long)calls, (long long)(took_ns / 1000000));
    assert_true(calls > RUN_MS * RATE / 1000 / 2);
    assert_true(atomic_load(&fixture_shared->word[1]) > RUN_MS * RATE / 1000 / 10);
}

static int take_when_all_are_there(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);

    (void)arg;
    if (!cache) return 9;
    for (int round = 0; round < 200; round++) {
        fixture_meet(CALLERS);
        if (why(cache, &(struct budget_limits){0, 60000}, BUDGET_CHECK) == BUDGET_GO)
            atomic_fetch_add(&fixture_shared->word[round], 1);
        fixture_meet(CALLERS); /* all have asked */
        if (atomic_fetch_add(&fixture_shared->word[500 + round], 1) == 0) {
            struct cache_slot *slot = find_slot(cache, host);

            /* Open, and its time is over: as the fifth failure leaves it, long ago. */
            if (slot) atomic_store(&slot->word[BUDGET_BREAKER], UINT64_C(1) << 16 | BUDGET_BREAKER_OPEN);
        }
    }
    return 0;
}

static void of_many_that_ask_at_the_same_time_one_makes_the_probe(void **state)
{
    pid_t pids[CALLERS];

    (void)state;
    for (int i = 0; i < CALLERS; i++)
        pids[i] = fixture_fork(take_when_all_are_there, NULL);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    assert_int_equal(atomic_load(&fixture_shared->word[0]), CALLERS); /* closed at first */
    for (int round = 1; round < 200; round++)
        if (atomic_load(&fixture_shared->word[round]) != 1)
            fail_msg("round %d: %d probes", round, (int)atomic_load(&fixture_shared->word[round]));
}

static int claim_the_probe_and_hang(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);

    (void)arg;
    if (!cache || why(cache, &limits, BUDGET_CHECK) != BUDGET_GO) return 1;
    atomic_store(&fixture_shared->word[0], 1);
    for (;;)
        pause();
}

static void a_probe_whose_process_was_killed_is_replaced_in_time(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    struct budget_view view;
    int64_t start_ms;
    pid_t pid;

    (void)state;
    for (int i = 0; i < BUDGET_FAILURES; i++)
        budget_report(cache, host, &failed);
    assert_int_equal(why(cache, &limits, BUDGET_REFRESH), BUDGET_OPEN);
    atomic_store(&find_slot(cache, host)->word[BUDGET_BREAKER], UINT64_C(1) << 16 | BUDGET_BREAKER_OPEN);
    start_ms = clock_mono_ms();
    pid = fixture_fork(claim_the_probe_and_hang, NULL);
    while (!atomic_load(&fixture_shared->word[0]))
        fixture_sleep_us(100);
    budget_look(cache, host, &view);
    assert_int_equal(view.breaker, BUDGET_BREAKER_HALF_OPEN);
    fixture_kill(pid);
    while (why(cache, &limits, BUDGET_CHECK) != BUDGET_GO)
        fixture_sleep_us(1000);
    assert_in_range(clock_mono_ms() - start_ms, PROBE_MS, PROBE_MS + 10000);
    assert_int_equal(why(cache, &limits, BUDGET_CHECK), BUDGET_PROBED);
    budget_report(cache, host, &answered);
    assert_int_equal(why(cache, &limits, BUDGET_CHECK), BUDGET_GO);
    cache_close(cache);
}

static int do_all_until_killed(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);
    const struct budget_event used = {BUDGET_ANSWERED, 50, 0};

    (void)arg;
    if (!cache) return 9;
    for (;;) {
        (void)why(cache, &limits, BUDGET_CHECK);
        budget_report(cache, host, &failed);
        budget_report(cache, host, &used);
    }
}

static void killed_at_random_they_leave_a_budget_that_works(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    uint64_t random = 4711;

    (void)state;
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = fixture_fork(do_all_until_killed, NULL);
        int64_t until_ms;

        fixture_sleep_us((int64_t)(fixture_random(&random) % 1500));
        fixture_kill(pid);
        budget_report(cache, host, &answered);
        until_ms = clock_mono_ms() + 1000;
        while (why(cache, &limits, BUDGET_REFRESH) != BUDGET_GO) {
            if (clock_mono_ms() > until_ms) fail_msg("kill %d: no call goes any more", i);
            fixture_sleep_us(500);
        }
    }
    cache_close(cache);
}

static void taking_is_cheap(void **state)
{
    enum { TIMES = 200000 };
    struct cache *cache = fixture_open(ENTRIES);
    const struct budget_limits much = {100000000, PROBE_MS};
    int64_t start_ns = clock_mono_ns(), ns;

    (void)state;
    for (int i = 0; i < TIMES; i++)
        assert_int_equal(why(cache, &much, BUDGET_CHECK), BUDGET_GO);
    ns = (clock_mono_ns() - start_ns) / TIMES;
    printf("FIGURE: budget, taking a call: %lld ns\n", (long long)ns);
    assert_in_range(ns, 1, 100000);
    cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(what_one_process_learns_another_obeys),
        FIXTURE_TEST(the_last_call_and_the_probe_go_to_one_whoever_steps_in),
        FIXTURE_TEST(each_question_after_a_stop_counts_whoever_steps_in),
        FIXTURE_TEST(no_report_is_lost_whoever_steps_in),
        FIXTURE_TEST(no_name_is_in_the_segment),
        FIXTURE_TEST(all_processes_together_keep_to_the_rate_and_one_killed_changes_nothing),
        FIXTURE_TEST(of_many_that_ask_at_the_same_time_one_makes_the_probe),
        FIXTURE_TEST(a_probe_whose_process_was_killed_is_replaced_in_time),
        FIXTURE_TEST(killed_at_random_they_leave_a_budget_that_works),
        FIXTURE_TEST(taking_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
