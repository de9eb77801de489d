/* The slots of the budget: one a host, however many processes use it first at the same time, also when there are too many hosts
 * or the bytes are damaged. */
#include "cache/budget.h"
#include "cache/cache_layout.h"
#include "shm_fixture.h"

enum { ENTRIES = 64, CALLERS = 6, HOSTS = 40, COLLISIONS = 20000 };
static const struct budget_limits limits = {.calls_per_second = 500, .probe_ms = 400};
static const char host[] = "graph.example.org";
static const struct budget_event failed = {BUDGET_FAILED, -1, 0};

static struct cache_slot *find_slot(const struct cache *cache, const char *name)
{
    for (int i = 0; i < CACHE_BUDGETS; i++)
        if (atomic_load(&cache->segment.at->budgets[i].name) == cache_hash(cache, name))
            return &cache->segment.at->budgets[i];
    return NULL;
}

static void host_name(int i, char name[32])
{
    snprintf(name, 32, "host-%d.example.org", i);
}

static int use_all_hosts(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);
    char name[32];

    if (!cache) return 9;
    fixture_meet(CALLERS);
    for (int i = 0; i < HOSTS; i++) {
        host_name((i + *(int *)arg * 7) % HOSTS, name);
        budget_report(cache, name, &failed);
    }
    return 0;
}

static void hosts_that_are_first_used_at_the_same_time_get_one_slot_each(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct cache *cache;
        pid_t pids[CALLERS];
        int who[CALLERS], used = 0;

        shm_unlink(fixture_name);
        atomic_store(&fixture_shared->arrived, 0);
        for (int i = 0; i < CALLERS; i++) {
            who[i] = i;
            pids[i] = fixture_fork(use_all_hosts, &who[i]);
        }
        for (int i = 0; i < CALLERS; i++)
            assert_int_equal(fixture_wait(pids[i]), 0);
        cache = fixture_open(ENTRIES);
        for (int i = 0; i < CACHE_BUDGETS; i++)
            used += atomic_load(&cache->segment.at->budgets[i].name) != 0;
        assert_int_equal(used, HOSTS);
        for (int i = 0; i < HOSTS; i++) {
            struct budget_view view;
            char name[32];

            host_name(i, name);
            budget_look(cache, name, &view);
            if (view.breaker != BUDGET_BREAKER_OPEN) /* six failures, in one slot */
                fail_msg("round %d: %s: %s, %d failures", round, name, budget_breaker_word(view.breaker),
                         view.failures);
        }
        cache_close(cache);
    }
}

/* Two names whose search begins at the same slot. */
static void find_names_that_collide(const struct cache *cache, char names[2][32])
{
    host_name(0, names[0]);
    for (int i = 1;; i++) {
        host_name(i, names[1]);
        if (cache_hash(cache, names[0]) % CACHE_BUDGETS == cache_hash(cache, names[1]) % CACHE_BUDGETS) return;
    }
}

static int use_a_name_that_collides(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);
    int me = *(int *)arg, faults = 0;
    char names[2][32];

    if (!cache) return 9;
    find_names_that_collide(cache, names);
    for (int round = 0; round < COLLISIONS; round++) {
        fixture_meet(2);
        budget_report(cache, names[me], &failed);
        fixture_meet(2);
        if (me) continue; /* the other looks, and clears for the next round */
        faults += !find_slot(cache, names[0]) || !find_slot(cache, names[1]);
        for (int i = 0; i < CACHE_BUDGETS; i++)
            atomic_store(&cache->segment.at->budgets[i].name, 0);
    }
    return faults != 0;
}

static void two_hosts_that_want_the_same_slot_at_the_same_time_both_get_one(void **state)
{
    int who[2] = {0, 1};
    pid_t pids[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        pids[i] = fixture_fork(use_a_name_that_collides, &who[i]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
}

static void more_hosts_than_slots_still_get_calls_and_keep_to_blocks(void **state)
{
    const struct budget_event block = {BUDGET_ANSWERED, -1, 60000};
    struct cache *cache = fixture_open(ENTRIES);
    char name[32];

    (void)state;
    for (int i = 0; i < 3 * CACHE_BUDGETS; i++) {
        host_name(i, name);
        assert_int_equal(budget_take(cache, name, &limits, BUDGET_CHECK).why, BUDGET_GO);
    }
    for (int i = 0; i < 3 * CACHE_BUDGETS; i++) {
        host_name(i, name);
        budget_report(cache, name, &block);
        assert_int_equal(budget_take(cache, name, &limits, BUDGET_CHECK).why, BUDGET_BLOCKED);
    }
    cache_close(cache);
}

static void random_bytes_in_the_slots_are_survived(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    uint64_t random = 99;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        const struct budget_event event = {BUDGET_ANSWERED, 0, 0};
        struct budget_decision d;

        for (int i = 0; i < CACHE_BUDGETS; i++) {
            struct cache_slot *slot = &cache->segment.at->budgets[i];

            atomic_store(&slot->name, fixture_random(&random));
            for (int word = 0; word < BUDGET_WORDS; word++)
                atomic_store(&slot->word[word], fixture_random(&random) >> (fixture_random(&random) % 60));
        }
        d = budget_take(cache, host, &limits, BUDGET_CHECK);
        assert_in_range(d.wait_ms, 0, BUDGET_BLOCK_MAX_MS);
        budget_report(cache, host, &event);
        assert_non_null(find_slot(cache, host));
        d = budget_take(cache, host, &limits, BUDGET_REFRESH);
        if (d.why != BUDGET_GO && d.why != BUDGET_BLOCKED && d.why != BUDGET_RATE)
            fail_msg("round %d: %s", round, budget_why_word(d.why));
    }
    cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(hosts_that_are_first_used_at_the_same_time_get_one_slot_each),
        FIXTURE_TEST(two_hosts_that_want_the_same_slot_at_the_same_time_both_get_one),
        FIXTURE_TEST(more_hosts_than_slots_still_get_calls_and_keep_to_blocks),
        FIXTURE_TEST(random_bytes_in_the_slots_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
