/* The counters: nothing is lost among processes, and each has its name. */
#include "cache/cache_layout.h"
#include "shm_fixture.h"

enum { PROCESSES = 6, ADDS = 50000 };

static int add_many(void *arg)
{
    (void)arg;
    struct cache *cache = fixture_open(8);
    if (!cache) return 1;
    for (int i = 0; i < ADDS; i++) {
        counter_add(cache, COUNT_checks, 1);
        counter_add(cache, COUNT_sweeps, 3);
    }
    cache_close(cache);
    return 0;
}

static void no_addition_of_any_process_is_lost(void **state)
{
    (void)state;
    pid_t pids[PROCESSES];
    struct cache *cache = fixture_open(8);
    assert_non_null(cache);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = fixture_fork(add_many, NULL);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    assert_int_equal(counter_get(cache, COUNT_checks), PROCESSES * ADDS);
    assert_int_equal(counter_get(cache, COUNT_sweeps), 3 * PROCESSES * ADDS);
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (i != COUNT_checks && i != COUNT_sweeps) assert_int_equal(counter_get(cache, (enum counter)i), 0);
    cache_close(cache);
}

static void all_processes_on_one_stripe_lose_nothing_either(void **state)
{
    (void)state;
    struct cache *one = fixture_open(8), *two = fixture_open(8);
    assert_non_null(two);
    one->stripe = two->stripe = 5;
    counter_add(one, COUNT_fixes, 2);
    counter_add(two, COUNT_fixes, 40);
    assert_int_equal(counter_get(one, COUNT_fixes), 42);
    cache_close(one);
    cache_close(two);
}

static void clear_leaves_the_counters(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    assert_non_null(cache);
    counter_add(cache, COUNT_http_requests, 7);
    cache_clear(cache);
    assert_int_equal(counter_get(cache, COUNT_http_requests), 7);
    cache_close(cache);
}

static void each_counter_has_its_own_name_and_a_help_text(void **state)
{
    (void)state;
    assert_string_equal(counter_name(COUNT_http_requests), "http_requests");
    assert_string_equal(counter_name(COUNT_sweeps), "sweeps");
    for (int i = 0; i < COUNTER_COUNT; i++) {
        assert_int_not_equal(counter_help((enum counter)i)[0], 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(counter_name((enum counter)i), counter_name((enum counter)j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(no_addition_of_any_process_is_lost),
        FIXTURE_TEST(all_processes_on_one_stripe_lose_nothing_either),
        FIXTURE_TEST(clear_leaves_the_counters),
        FIXTURE_TEST(each_counter_has_its_own_name_and_a_help_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
