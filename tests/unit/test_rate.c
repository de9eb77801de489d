/* How often somebody may do something: the rule, and the table that all processes share. */
#include "cache/cache_layout.h"
#include "cache/rate.h"
#include "shm_fixture.h"

enum { ENTRIES = 64, CALLERS = 4 };
#define SECOND UINT64_C(1000000000)
static const struct rate ten_a_second = {10, 1000}, hour = {100, 3600000}, none = {0, 1000};

static void as_many_as_are_allowed_at_once_then_one_after_the_other(void **state)
{
    uint64_t due = 0, now = 1000 * SECOND;
    int64_t wait_ms;

    (void)state;
    for (int i = 0; i < 10; i++) {
        due = rate_next(due, now, &ten_a_second, &wait_ms);
        assert_int_equal(wait_ms, 0);
    }
    assert_int_equal(rate_next(due, now, &ten_a_second, &wait_ms), due);
    assert_in_range(wait_ms, 100, 101);
    now += SECOND / 10;
    due = rate_next(due, now, &ten_a_second, &wait_ms);
    assert_int_equal(wait_ms, 0);
    rate_next(due, now, &ten_a_second, &wait_ms);
    assert_in_range(wait_ms, 100, 101);
}

static void in_the_long_run_no_more_than_the_rate(void **state)
{
    uint64_t due = 0, now = 5 * SECOND, random = 42;
    int64_t wait_ms, done = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        now += fixture_random(&random) % (SECOND / 100);
        due = rate_next(due, now, &ten_a_second, &wait_ms);
        done += wait_ms == 0;
    }
    assert_in_range(done, (now - 5 * SECOND) / SECOND * 10 - 10, (now - 5 * SECOND) / SECOND * 10 + 20);
}

static void a_damaged_time_locks_nobody_out(void **state)
{
    int64_t wait_ms;

    (void)state;
    rate_next(UINT64_MAX, 1000 * SECOND, &ten_a_second, &wait_ms);
    assert_in_range(wait_ms, 1, 1001);
}

static void no_limit_counts_nothing(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rate_take(cache, 7, &none), 0);
    assert_int_equal(rate_wait_ms(cache, 7, &none), 0);
    cache_close(cache);
}

static void one_is_not_held_up_by_another_and_asking_is_not_taking(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    uint64_t greedy = cache_hash(cache, "greedy"), modest = cache_hash(cache, "modest");

    (void)state;
    for (int i = 0; i < 200; i++)
        assert_int_equal(rate_wait_ms(cache, greedy, &hour), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rate_take(cache, greedy, &hour), 0);
    assert_true(rate_take(cache, greedy, &hour) > 0);
    assert_true(rate_wait_ms(cache, greedy, &hour) > 0);
    assert_int_equal(rate_take(cache, modest, &hour), 0);
    cache_close(cache);
}

static void whoever_is_held_up_is_not_forgotten_for_those_who_hardly_come(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    uint64_t greedy = cache_hash(cache, "greedy");

    (void)state;
    while (rate_take(cache, greedy, &hour) == 0)
        continue;
    for (uint64_t i = 1; i <= 1000; i++) /* all in its set */
        assert_int_equal(rate_take(cache, greedy + i * CACHE_RATE_SETS, &hour), 0);
    assert_true(rate_take(cache, greedy, &hour) > 0);
    cache_close(cache);
}

static int take_all(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);

    (void)arg;
    if (!cache) return 9;
    rate_wait_ms(cache, 99, &hour);
    fixture_meet(CALLERS);
    for (int i = 0; i < 100; i++)
        if (rate_take(cache, 99, &hour) == 0) atomic_fetch_add(&fixture_shared->word[0], 1);
    return 0;
}

static void processes_share_what_is_allowed(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    pid_t pids[CALLERS];

    (void)state;
    assert_int_equal(rate_take(cache, 99, &hour), 0);
    for (int i = 0; i < CALLERS; i++)
        pids[i] = fixture_fork(take_all, NULL);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    assert_int_equal(atomic_load(&fixture_shared->word[0]), 99);
    cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_are_allowed_at_once_then_one_after_the_other),
        cmocka_unit_test(in_the_long_run_no_more_than_the_rate),
        cmocka_unit_test(a_damaged_time_locks_nobody_out),
        FIXTURE_TEST(no_limit_counts_nothing),
        FIXTURE_TEST(one_is_not_held_up_by_another_and_asking_is_not_taking),
        FIXTURE_TEST(whoever_is_held_up_is_not_forgotten_for_those_who_hardly_come),
        FIXTURE_TEST(processes_share_what_is_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
