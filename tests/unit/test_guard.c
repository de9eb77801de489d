/* The guards in shared memory: real processes that count at the same time, orders, damage. */
#include "cache/cache_layout.h"
#include "cache/guard.h"
#include "shm_fixture.h"

enum { ENTRIES = 1024, PROCESSES = 4, EACH = 20000, INTERVAL = 604800000 /* one window for the whole test */ };
static const char name[] = "instagram/instagram";

static int count_bad_and_good(void *arg)
{
    struct cache *cache = fixture_open(ENTRIES);

    if (!cache) return 9;
    for (int i = 0; i < EACH; i++) {
        const enum guard_turn turn = guard_count(cache, name, i % 10 == 0, INTERVAL);

        if (turn == GUARD_TRIPS) atomic_fetch_add(&fixture_shared->word[0], 1);
        if (turn == GUARD_RECOVERS) atomic_fetch_add(&fixture_shared->word[1], 1);
    }
    cache_close(cache);
    return *(int *)arg;
}

static void processes_that_count_at_the_same_time_lose_nothing_and_one_is_told(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    struct guard_view view;
    pid_t pids[PROCESSES];
    int well = 0;

    (void)state;
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = fixture_fork(count_bad_and_good, &well);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    guard_look(cache, name, INTERVAL, &view);
    assert_int_equal(view.answers, PROCESSES * EACH);
    assert_int_equal(view.bad, PROCESSES * EACH / 10);
    assert_int_equal(view.mode, GUARD_TRIPPED);
    assert_int_equal(atomic_load(&fixture_shared->word[0]), 1);
    assert_int_equal(atomic_load(&fixture_shared->word[1]), 0);
    cache_close(cache);
}

static void apps_are_apart_and_orders_are_for_one(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    struct guard_view view;

    (void)state;
    for (int i = 0; i < 20; i++) {
        guard_count(cache, name, 1, INTERVAL);
        guard_count(cache, "instagram/facebook", 0, INTERVAL);
    }
    assert_int_equal(guard_holds(cache, name, 0, INTERVAL), 1);
    assert_int_equal(guard_holds(cache, "instagram/facebook", 0, INTERVAL), 0);
    guard_obey(cache, "instagram/facebook", GUARD_CONFIRM, 60000);
    assert_int_equal(guard_holds(cache, name, 0, INTERVAL), 1);
    guard_obey(cache, name, GUARD_CONFIRM, 60000);
    assert_int_equal(guard_holds(cache, name, 0, INTERVAL), 0);
    guard_look(cache, name, INTERVAL, &view);
    assert_int_equal(view.mode, GUARD_CONFIRMING);
    assert_in_range(view.mode_ms, 30000, 60000);
    guard_obey(cache, name, GUARD_RELEASE, 60000);
    guard_look(cache, name, INTERVAL, &view);
    assert_true(view.mode == GUARD_OPEN && view.answers == 0);
    cache_close(cache);
}

static void what_was_obeyed_is_noted_for_the_whole_host(void **state)
{
    struct cache *cache = fixture_open(ENTRIES), *other = fixture_open(ENTRIES);

    (void)state;
    assert_int_equal(guard_note_get(cache, "tiktok", GUARD_NOTE_ORDER), 0);
    assert_true(guard_note_change(cache, "tiktok", GUARD_NOTE_ORDER, 0, 77));
    assert_false(guard_note_change(other, "tiktok", GUARD_NOTE_ORDER, 0, 78));
    assert_int_equal(guard_note_get(other, "tiktok", GUARD_NOTE_ORDER), 77);
    guard_note_put(other, "tiktok", GUARD_NOTE_VERSION, 5);
    assert_int_equal(guard_note_get(cache, "tiktok", GUARD_NOTE_VERSION), 5);
    assert_int_equal(guard_note_get(cache, "threads", GUARD_NOTE_VERSION), 0);
    cache_close(other);
    cache_close(cache);
}

static void random_bytes_in_the_slots_are_survived(void **state)
{
    struct cache *cache = fixture_open(ENTRIES);
    uint64_t random = 7;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct guard_view view;

        for (int i = 0; i < CACHE_GUARDS; i++) {
            struct cache_slot *slot = &cache->segment.at->guards[i];

            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            atomic_store(&slot->word[round % CACHE_SLOT_WORDS], random >> (random & 63));
        }
        guard_count(cache, name, round & 1, 1000);
        guard_holds(cache, name, 0, 1000);
        guard_look(cache, name, 1000, &view);
        if (view.bad > view.answers || view.bad < 0 || view.mode > GUARD_CONFIRMING)
            fail_msg("round %d: %lld of %lld, mode %d", round, (long long)view.bad, (long long)view.answers,
                     (int)view.mode);
    }
    cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(processes_that_count_at_the_same_time_lose_nothing_and_one_is_told),
        FIXTURE_TEST(apps_are_apart_and_orders_are_for_one),
        FIXTURE_TEST(what_was_obeyed_is_noted_for_the_whole_host),
        FIXTURE_TEST(random_bytes_in_the_slots_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
