/* Single flight among real processes: one works, also when claims run out and when their owners are killed. */
#include "base/clock.h"
#include "cache/cache_layout.h"
#include "shm_fixture.h"

enum { CLAIMERS = 8, ROUNDS = 400, KEYS = 8, FIGHTERS = 4, KILLS = 600, LONG_MS = 60000 };

/* A key whose slot is chosen: flight.c takes the slot from the top of hi and 18 bits from the top of lo. */
static struct cache_key key_in_slot(uint64_t slot, uint64_t number)
{
    return (struct cache_key){.hi = slot << (64U - CACHE_FLIGHT_BITS), .lo = number << 46U};
}

static int claim_status(void *arg)
{
    const struct cache_key *key = arg;
    struct cache *cache = fixture_open(8);
    if (!cache) return 9;
    return flight_claim(cache, *key, LONG_MS) == FLIGHT_MINE ? 1 : 0;
}

/* What another process gets; its claim is void at once, as it ends. */
static enum flight claimed_by_another(struct cache_key key)
{
    int status = fixture_wait(fixture_fork(claim_status, &key));
    assert_in_range(status, 0, 1);
    return status ? FLIGHT_MINE : FLIGHT_OTHERS;
}

static void a_claim_holds_until_its_release(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_key key = cache_key_account(cache, "instagram", "a");
    assert_int_equal(flight_claim(cache, key, LONG_MS), FLIGHT_MINE);
    assert_int_equal(flight_claim(cache, key, LONG_MS), FLIGHT_OTHERS);
    assert_int_equal(claimed_by_another(key), FLIGHT_OTHERS);
    flight_release(cache, key);
    assert_int_equal(claimed_by_another(key), FLIGHT_MINE);
    assert_int_equal(flight_claim(cache, key, LONG_MS), FLIGHT_MINE);
    flight_release(cache, key);
    flight_release(cache, key);
    cache_close(cache);
}

static int release_it(void *arg)
{
    const struct cache_key *key = arg;
    struct cache *cache = fixture_open(8);
    if (!cache) return 9;
    flight_release(cache, *key);
    cache_clear(cache);
    return 0;
}

static void nobody_else_can_release_a_claim(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_key key = key_in_slot(7, 1);
    assert_int_equal(flight_claim(cache, key, LONG_MS), FLIGHT_MINE);
    assert_int_equal(fixture_wait(fixture_fork(release_it, &key)), 0);
    flight_release(cache, key_in_slot(7, 2));
    assert_int_equal(claimed_by_another(key), FLIGHT_OTHERS);
    cache_close(cache);
}

static void a_claim_ends_by_itself_but_not_early(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_key key = key_in_slot(1, 1);
    for (int64_t max_ms = 20; max_ms <= 100; max_ms += 40) {
        int64_t start_ms = clock_mono_ms();
        assert_int_equal(flight_claim(cache, key, max_ms), FLIGHT_MINE);
        while (flight_claim(cache, key, 1) == FLIGHT_OTHERS)
            fixture_sleep_us(500);
        assert_in_range(clock_mono_ms() - start_ms, max_ms, max_ms + 1000);
        fixture_sleep_us(70000);
    }
    const int64_t odd[] = {0, -1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(flight_claim(cache, key_in_slot(10 + i, 1), odd[i]), FLIGHT_MINE);
    assert_int_equal(flight_claim(cache, key_in_slot(13, 1), INT64_MAX), FLIGHT_OTHERS);
    cache_close(cache);
}

static void the_late_release_of_a_lapsed_claim_does_not_end_the_next(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_key key = key_in_slot(2, 1);
    assert_int_equal(flight_claim(cache, key, 1), FLIGHT_MINE);
    fixture_sleep_us(80000);
    assert_int_equal(flight_claim(cache, key, 1000), FLIGHT_MINE);
    flight_release(cache, key); /* of the first */
    assert_int_equal(claimed_by_another(key), FLIGHT_OTHERS);
    fixture_sleep_us(1050000);
    assert_int_equal(claimed_by_another(key), FLIGHT_MINE);
    cache_close(cache);
}

static void without_room_everybody_may_work(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_key first = key_in_slot(9, 1), second = key_in_slot(9, 2);
    assert_int_equal(flight_claim(cache, first, LONG_MS), FLIGHT_MINE);
    assert_int_equal(flight_claim(cache, second, LONG_MS), FLIGHT_MINE);
    assert_int_equal(claimed_by_another(second), FLIGHT_MINE);
    flight_release(cache, second);
    assert_int_equal(claimed_by_another(first), FLIGHT_OTHERS);
    flight_release(cache, first);
    assert_int_equal(flight_claim(cache, second, LONG_MS), FLIGHT_MINE);
    assert_int_equal(claimed_by_another(second), FLIGHT_OTHERS);
    cache_close(cache);
}

static int claim_none_of_all(void *arg)
{
    (void)arg;
    struct cache *cache = fixture_open(8);
    if (!cache) return 9;
    for (uint64_t slot = 0; slot < CACHE_FLIGHT_SLOTS; slot++)
        if (flight_claim(cache, key_in_slot(slot, slot + 1), LONG_MS) != FLIGHT_OTHERS) return 1;
    return 0;
}

static void a_process_may_hold_as_many_claims_as_there_are_slots(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    for (uint64_t slot = 0; slot < CACHE_FLIGHT_SLOTS; slot++)
        assert_int_equal(flight_claim(cache, key_in_slot(slot, slot + 1), LONG_MS), FLIGHT_MINE);
    assert_int_equal(fixture_wait(fixture_fork(claim_none_of_all, NULL)), 0);
    for (uint64_t slot = 0; slot < CACHE_FLIGHT_SLOTS; slot++) {
        flight_release(cache, key_in_slot(slot, slot + 1));
        assert_int_equal(atomic_load(&cache->segment.at->flights[slot]), 0);
    }
    cache_close(cache);
}

static int hold_and_wait(void *arg)
{
    const struct cache_key *key = arg;
    struct cache *cache = fixture_open(8);
    if (!cache || flight_claim(cache, *key, LONG_MS) != FLIGHT_MINE) return 1;
    atomic_store(&fixture_shared->word[0], 1);
    for (;;)
        pause();
}

static void the_claim_of_a_killed_process_is_taken_over_at_once(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_key key = cache_key_workspace(cache, "instagram", "w");
    pid_t pid = fixture_fork(hold_and_wait, &key);
    while (!atomic_load(&fixture_shared->word[0]))
        fixture_sleep_us(100);
    assert_int_equal(flight_claim(cache, key, LONG_MS), FLIGHT_OTHERS);
    fixture_kill(pid);
    int64_t start_ms = clock_mono_ms();
    assert_int_equal(flight_claim(cache, key, LONG_MS), FLIGHT_MINE);
    assert_in_range(clock_mono_ms() - start_ms, 0, 100);
    assert_int_equal(claimed_by_another(key), FLIGHT_OTHERS);
    cache_close(cache);
}

/* What lies in the slot before all claim at once. */
enum before { BEFORE_FREE, BEFORE_LAPSED, BEFORE_DEAD, BEFORE_GARBAGE, BEFORES };

static struct cache_key round_key(int round)
{
    return key_in_slot((uint64_t)round * 37 % CACHE_FLIGHT_SLOTS, (uint64_t)round + 1);
}

static int claim_each_round(void *arg)
{
    (void)arg;
    struct cache *cache = fixture_open(8);
    if (!cache) return 9;
    for (int round = 0; round < ROUNDS; round++) {
        fixture_meet(CLAIMERS);
        if (flight_claim(cache, round_key(round), LONG_MS) == FLIGHT_MINE)
            atomic_fetch_add(&fixture_shared->word[round], 1);
    }
    fixture_meet(CLAIMERS); /* a claim must not lapse by its owner's end before the others have tried */
    return 0;
}

static int claim_a_quarter(void *arg)
{
    const enum before *before = arg;
    struct cache *cache = fixture_open(8);
    if (!cache) return 9;
    for (int round = (int)*before; round < ROUNDS; round += BEFORES)
        flight_claim(cache, round_key(round), *before == BEFORE_LAPSED ? 1 : LONG_MS);
    cache_close(cache);
    return 0;
}

static void of_all_that_claim_at_once_exactly_one_gets_it(void **state)
{
    (void)state;
    pid_t pids[CLAIMERS];
    uint64_t random = 42;
    enum before dead = BEFORE_DEAD, lapsed = BEFORE_LAPSED;
    struct cache *cache = fixture_open(8);
    assert_non_null(cache);
    assert_int_equal(fixture_wait(fixture_fork(claim_a_quarter, &dead)), 0);
    claim_a_quarter(&lapsed);
    fixture_sleep_us(80000);
    for (int round = BEFORE_GARBAGE; round < ROUNDS; round += BEFORES) {
        /* Of this key, by a living process, but ending beyond what anybody may claim. */
        uint64_t far = (((uint64_t)clock_mono_ms() >> 5U) + 100000) & ((UINT64_C(1) << 23U) - 1);
        uint64_t word = (round_key(round).lo & ~((UINT64_C(1) << 46U) - 1)) | (far << 23U) | (uint64_t)getpid();
        atomic_store(&cache->segment.at->flights[(uint64_t)round * 37 % CACHE_FLIGHT_SLOTS],
                     fixture_random(&random) % 2 ? word : word & ~((UINT64_C(1) << 22U) - 1));
    }
    for (int i = 0; i < CLAIMERS; i++)
        pids[i] = fixture_fork(claim_each_round, NULL);
    for (int i = 0; i < CLAIMERS; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    for (int round = 0; round < ROUNDS; round++)
        if (atomic_load(&fixture_shared->word[round]) != 1)
            fail_msg("round %d: %d processes got the claim", round, (int)atomic_load(&fixture_shared->word[round]));
    cache_close(cache);
}

/* Words of fixture_shared: the pid that works on each key; then how often one got in while another was alive. */
enum { VIOLATIONS = KEYS, WORKED };

static int fight_until_stop(void *arg)
{
    uint64_t random = 0x9e3779b97f4a7c15 + (uint64_t)getpid() + *(const uint64_t *)arg;
    struct cache *cache = fixture_open(8);
    if (!cache) return 9;
    while (!atomic_load_explicit(&fixture_shared->stop, memory_order_relaxed)) {
        uint64_t number = fixture_random(&random) % KEYS;
        struct cache_key key = key_in_slot(number * 1000, number + 5);
        if (flight_claim(cache, key, LONG_MS) != FLIGHT_MINE) continue;
        int64_t before = atomic_exchange(&fixture_shared->word[number], getpid());
        if (before != 0 && kill((pid_t)before, 0) == 0) atomic_fetch_add(&fixture_shared->word[VIOLATIONS], 1);
        if (fixture_random(&random) % 4 == 0) sched_yield();
        if (atomic_exchange(&fixture_shared->word[number], 0) != getpid())
            atomic_fetch_add(&fixture_shared->word[VIOLATIONS], 1);
        atomic_fetch_add(&fixture_shared->word[WORKED], 1);
        flight_release(cache, key);
    }
    return 0;
}

static void two_never_work_on_one_key_even_while_others_are_killed(void **state)
{
    (void)state;
    pid_t pids[FIGHTERS];
    uint64_t random = 7;
    struct cache *cache = fixture_open(8);
    assert_non_null(cache);
    for (int i = 0; i < FIGHTERS; i++)
        pids[i] = fixture_fork(fight_until_stop, &random);
    for (int i = 0; i < KILLS; i++) {
        fixture_sleep_us((int64_t)(fixture_random(&random) % 3000));
        fixture_kill(pids[i % FIGHTERS]);
        pids[i % FIGHTERS] = fixture_fork(fight_until_stop, &random);
    }
    atomic_store(&fixture_shared->stop, 1);
    for (int i = 0; i < FIGHTERS; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    print_message("           worked %lld times\n", (long long)atomic_load(&fixture_shared->word[WORKED]));
    assert_int_equal(atomic_load(&fixture_shared->word[VIOLATIONS]), 0);
    for (uint64_t number = 0; number < KEYS; number++)
        assert_int_equal(flight_claim(cache, key_in_slot(number * 1000, number + 5), LONG_MS), FLIGHT_MINE);
    cache_close(cache);
}

static void any_bytes_in_the_table_hang_nobody(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    uint64_t random = 3;
    for (uint64_t slot = 0; slot < CACHE_FLIGHT_SLOTS; slot++)
        atomic_store(&cache->segment.at->flights[slot], fixture_random(&random));
    for (uint64_t slot = 0; slot < CACHE_FLIGHT_SLOTS; slot++) {
        (void)flight_claim(cache, key_in_slot(slot, slot), LONG_MS);
        flight_release(cache, key_in_slot(slot, slot));
    }
    cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_claim_holds_until_its_release),
        FIXTURE_TEST(nobody_else_can_release_a_claim),
        FIXTURE_TEST(a_claim_ends_by_itself_but_not_early),
        FIXTURE_TEST(the_late_release_of_a_lapsed_claim_does_not_end_the_next),
        FIXTURE_TEST(without_room_everybody_may_work),
        FIXTURE_TEST(a_process_may_hold_as_many_claims_as_there_are_slots),
        FIXTURE_TEST(the_claim_of_a_killed_process_is_taken_over_at_once),
        FIXTURE_TEST(of_all_that_claim_at_once_exactly_one_gets_it),
        FIXTURE_TEST(two_never_work_on_one_key_even_while_others_are_killed),
        FIXTURE_TEST(any_bytes_in_the_table_hang_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
