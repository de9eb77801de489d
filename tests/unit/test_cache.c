/* The verdict cache: what is found, what is a miss, and that nothing in between is ever seen, with processes
 * that write, read and die at once. */
#include "base/clock.h"
#include "cache/cache_layout.h"
#include "shm_fixture.h"

enum { READERS = 4, WRITERS = 2, RUN_MS = 3000, KILLS = 1000, SMALL = 64, KEYS = 96 };

static uint64_t mixed(uint64_t n)
{
    n = (n ^ (n >> 30U)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27U)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31U);
}

/* All fields follow from one number, so that a mixture of two verdicts is found out. */
static struct cache_verdict verdict_of(uint64_t n)
{
    return (struct cache_verdict){.state = (uint8_t)n,
                                  .reason = (uint8_t)(n >> 8U),
                                  .action = (uint8_t)(n >> 16U),
                                  .source = (uint8_t)(n >> 24U),
                                  .attempt_reason = (uint8_t)mixed(n),
                                  .flags = (uint8_t)(mixed(n) >> 8U),
                                  .checked_at_ms = (int64_t)mixed(n + 1),
                                  .expires_at_ms = (int64_t)mixed(n + 2),
                                  .attempted_at_ms = (int64_t)mixed(n + 3),
                                  .token_print = n,
                                  .workspace_hash = mixed(n + 4)};
}

static int is_whole(const struct cache_verdict *v, uint64_t key_number)
{
    struct cache_verdict right = verdict_of(v->token_print);
    return memcmp(&right, v, sizeof right) == 0 && v->token_print >> 32U == key_number;
}

static struct cache_key key_of(const struct cache *cache, uint64_t number)
{
    char id[32];
    snprintf(id, sizeof id, "account-%llu", (unsigned long long)number);
    return cache_key_account(cache, "instagram", id);
}

static void put(struct cache *cache, struct cache_key key, uint64_t n, int64_t ttl_ms)
{
    struct cache_verdict v = verdict_of(n);
    cache_put(cache, key, &v, ttl_ms, cache_generation(cache));
}

static void an_answer_is_fresh_then_stale(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(SMALL);
    struct cache_verdict v, right = verdict_of(77);
    struct cache_key key = key_of(cache, 1);
    assert_int_equal(cache_find(cache, key, &v), CACHE_MISS);
    put(cache, key, 77, 40);
    assert_int_equal(cache_find(cache, key, &v), CACHE_FRESH);
    assert_memory_equal(&v, &right, sizeof v);
    fixture_sleep_us(60000);
    memset(&v, 0, sizeof v);
    assert_int_equal(cache_find(cache, key, &v), CACHE_STALE);
    assert_memory_equal(&v, &right, sizeof v);
    put(cache, key, 78, 60000);
    assert_int_equal(cache_find(cache, key, &v), CACHE_FRESH);
    assert_int_equal(v.token_print, 78);
    cache_close(cache);
}

static void times_to_live_at_the_edge_do_no_harm(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(SMALL);
    struct cache_verdict v;
    struct cache_key key = key_of(cache, 1);
    const struct {
        int64_t ttl_ms;
        enum cache_hit hit;
    } cases[] = {{0, CACHE_STALE}, {-1, CACHE_STALE}, {INT64_MIN, CACHE_STALE}, {INT64_MAX, CACHE_FRESH}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(cache, key, i, cases[i].ttl_ms);
        assert_int_equal(cache_find(cache, key, &v), cases[i].hit);
        assert_int_equal(v.token_print, i);
    }
    cache_close(cache);
}

static void drop_drops_one_and_clear_all(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(1024), *other = fixture_open(1024);
    struct cache_verdict v;
    for (uint64_t i = 0; i < 50; i++)
        put(cache, key_of(cache, i), i, 60000);
    cache_drop(other, key_of(cache, 7));
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(cache_find(cache, key_of(cache, i), &v), i == 7 ? CACHE_MISS : CACHE_FRESH);
    cache_clear(other);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(cache_find(cache, key_of(cache, i), &v), CACHE_MISS);
    put(cache, key_of(cache, 3), 3, 60000);
    assert_int_equal(cache_find(other, key_of(cache, 3), &v), CACHE_FRESH);
    cache_close(cache);
    cache_close(other);
}

static void an_answer_older_than_a_clear_is_not_kept(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(SMALL);
    struct cache_verdict v = verdict_of(1);
    struct cache_key key = key_of(cache, 1);
    uint32_t generation = cache_generation(cache);
    cache_clear(cache);
    cache_put(cache, key, &v, 60000, generation);
    assert_int_equal(cache_find(cache, key, &v), CACHE_MISS);
    cache_put(cache, key, &v, 60000, cache_generation(cache));
    assert_int_equal(cache_find(cache, key, &v), CACHE_FRESH);
    cache_put(cache, key, &v, 60000, generation);
    assert_int_equal(cache_find(cache, key, &v), CACHE_FRESH);
    cache_close(cache);
}

static void keys_tell_account_workspace_platform_and_id_apart(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(SMALL);
    const char *const texts[] = {
        "", "a", "b", "ab", "instagram", "5f1e2d3c4b5a69788796a5b4", "5f1e2d3c4b5a69788796a5b5", "0", "1", "ba"};
    enum { TEXTS = sizeof texts / sizeof *texts, ALL = 2 * TEXTS * TEXTS };
    struct cache_key keys[ALL];
    int count = 0;
    for (int i = 0; i < TEXTS; i++)
        for (int j = 0; j < TEXTS; j++) {
            keys[count++] = cache_key_account(cache, texts[i], texts[j]);
            keys[count++] = cache_key_workspace(cache, texts[i], texts[j]);
        }
    for (int i = 0; i < ALL; i++)
        for (int j = 0; j < i; j++)
            assert_false(keys[i].hi == keys[j].hi && keys[i].lo == keys[j].lo);
    for (uint64_t i = 0; i < 100000; i++) {
        char id[24];
        snprintf(id, sizeof id, "%llu", (unsigned long long)i);
        struct cache_key account = cache_key_account(cache, "x", id), workspace = cache_key_workspace(cache, "x", id);
        assert_int_not_equal(account.lo & 1, workspace.lo & 1);
    }
    assert_int_equal(cache_hash(cache, "w1"), cache_hash(cache, "w1"));
    assert_int_not_equal(cache_hash(cache, "w1"), cache_hash(cache, "w2"));
    assert_int_not_equal(cache_hash(cache, ""), 0);
    cache_close(cache);
}

static int is_same_key(struct cache_key a, struct cache_key b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static void ids_of_24_hex_digits_are_one_in_either_case(void **state)
{
    static const struct {
        const char *a, *b;
        int is_same;
    } table[] = {
        {"ABCDEFABCDEFABCDEFABCDEF", "abcdefabcdefabcdefabcdef", 1},
        {"5F1e2D3c4B5a69788796A5b4", "5f1E2d3C4b5A69788796a5B4", 1},
        {"ABCDEFABCDEFABCDEFABCDE", "abcdefabcdefabcdefabcde", 0},
        {"ABCDEFABCDEFABCDEFABCDEFA", "abcdefabcdefabcdefabcdefa", 0},
        {"ABCDEFABCDEFABCDEFABCDEG", "abcdefabcdefabcdefabcdeg", 0},
        {"W1", "w1", 0},
    };
    struct cache *cache = fixture_open(SMALL);

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *a = table[i].a, *b = table[i].b;
        int account = is_same_key(cache_key_account(cache, "x", a), cache_key_account(cache, "x", b)),
            workspace = is_same_key(cache_key_workspace(cache, "x", a), cache_key_workspace(cache, "x", b)),
            hash = cache_hash_id(cache, a) == cache_hash_id(cache, b);

        if (account != table[i].is_same || workspace != table[i].is_same || hash != table[i].is_same)
            fail_msg("%s, %s: account %d, workspace %d, hash %d, expected %d", a, b, account, workspace, hash,
                     table[i].is_same);
        assert_true(cache_hash(cache, a) != cache_hash(cache, b)); /* of a token's print every letter counts */
    }
    cache_close(cache);
}

static void the_text_of_ids_is_not_in_the_segment(void **state)
{
    (void)state;
    static const char platform[] = "some-platform", account[] = "5f1e2d3c4b5a69788796a5b4",
                      workspace[] = "workspace-4242";
    struct cache *cache = fixture_open(SMALL);
    assert_non_null(cache);
    struct cache_verdict v = verdict_of(7);
    v.workspace_hash = cache_hash(cache, workspace);
    cache_put(cache, cache_key_account(cache, platform, account), &v, 60000, cache_generation(cache));
    cache_put(cache, cache_key_workspace(cache, platform, workspace), &v, 60000, cache_generation(cache));
    flight_claim(cache, cache_key_account(cache, platform, account), 60000);
    const char *texts[] = {platform, account, workspace};
    for (size_t i = 0; i < 3; i++)
        for (size_t len = strlen(texts[i]), at = 0; at + 6 <= len; at++)
            assert_null(memmem(cache->segment.at, cache->segment.header.segment_bytes, texts[i] + at, 6));
    cache_close(cache);
}

/* A key whose set and first way are chosen: cache.c takes the set from hi and the way from lo >> 32. */
static struct cache_key key_in_set(uint64_t set, uint64_t number)
{
    return (struct cache_key){.hi = set | (number << 40U), .lo = number << 32U};
}

static void a_full_set_loses_the_entry_that_ends_first(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(SMALL);
    struct cache_verdict v;
    for (uint64_t i = 0; i < CACHE_WAYS; i++)
        put(cache, key_in_set(3, i), i, i == 5 ? 50000 : 60000);
    for (uint64_t i = 0; i < CACHE_WAYS; i++)
        assert_int_equal(cache_find(cache, key_in_set(3, i), &v), CACHE_FRESH);
    put(cache, key_in_set(3, 100), 100, 60000);
    for (uint64_t i = 0; i < CACHE_WAYS; i++)
        assert_int_equal(cache_find(cache, key_in_set(3, i), &v), i == 5 ? CACHE_MISS : CACHE_FRESH);
    put(cache, key_in_set(3, 2), 2, 0); /* stale: goes before the fresh */
    put(cache, key_in_set(3, 101), 101, 60000);
    assert_int_equal(cache_find(cache, key_in_set(3, 2), &v), CACHE_MISS);
    cache_drop(cache, key_in_set(3, 100)); /* free: goes before the stale */
    put(cache, key_in_set(3, 0), 0, 0);
    put(cache, key_in_set(3, 102), 102, 60000);
    assert_int_equal(cache_find(cache, key_in_set(3, 0), &v), CACHE_STALE);
    assert_int_equal(cache_find(cache, key_in_set(3, 102), &v), CACHE_FRESH);
    cache_close(cache);
}

static void two_entries_of_one_key_become_one(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_entry *entries = cache->segment.at->entries;
    struct cache_verdict v;
    struct cache_key key = key_in_set(0, 2);
    for (int drop = 0; drop < 2; drop++) {
        int count = 0;
        put(cache, key, 1, 60000);
        memcpy(&entries[5], &entries[2], sizeof entries[5]);
        memcpy(&entries[1], &entries[2], sizeof entries[1]);
        if (drop) cache_drop(cache, key);
        if (!drop) put(cache, key, 2, 60000);
        for (int i = 0; i < CACHE_WAYS; i++)
            count += atomic_load(&entries[i].word[CACHE_WORD_CHECK]) != 0;
        assert_int_equal(count, drop ? 0 : 1);
        assert_int_equal(cache_find(cache, key, &v), drop ? CACHE_MISS : CACHE_FRESH);
        assert_true(drop || v.token_print == 2);
    }
    cache_close(cache);
}

static void usage_counts_what_is_fresh(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(1000);
    int64_t used = -1, total = -1;
    cache_usage(cache, &used, &total);
    assert_int_equal(used, 0);
    assert_int_equal(total, 1024);
    for (uint64_t i = 0; i < 20; i++)
        put(cache, key_of(cache, i), i, i < 5 ? 0 : 60000);
    cache_drop(cache, key_of(cache, 19));
    cache_usage(cache, &used, &total);
    assert_int_equal(used, 14);
    cache_clear(cache);
    cache_usage(cache, &used, &total);
    assert_int_equal(used, 0);
    cache_close(cache);
}

static void any_flipped_bit_of_an_entry_is_a_miss(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(8);
    struct cache_verdict v;
    struct cache_key key = key_of(cache, 1);
    put(cache, key, 1, 60000);
    struct cache_entry *entry = cache->segment.at->entries;
    while (atomic_load(&entry->word[CACHE_WORD_CHECK]) == 0)
        entry++;
    for (int i = 0; i < CACHE_WORDS * 64; i++) {
        atomic_fetch_xor(&entry->word[i / 64], UINT64_C(1) << (i % 64));
        if (cache_find(cache, key, &v) != CACHE_MISS) fail_msg("word %d bit %d", i / 64, i % 64);
        atomic_fetch_xor(&entry->word[i / 64], UINT64_C(1) << (i % 64));
        assert_int_equal(cache_find(cache, key, &v), CACHE_FRESH);
    }
    cache_close(cache);
}

/* Words of fixture_shared. */
enum { FOUND, MISSED, TORN };

static int read_until_stop(void *arg)
{
    uint64_t random = 0x9e3779b97f4a7c15 + *(const uint64_t *)arg;
    struct cache *cache = fixture_open(SMALL);
    if (!cache) return 1;
    int64_t found = 0, missed = 0, torn = 0;
    while (!atomic_load_explicit(&fixture_shared->stop, memory_order_relaxed)) {
        struct cache_verdict v;
        uint64_t number = fixture_random(&random) % KEYS;
        if (cache_find(cache, key_of(cache, number), &v) == CACHE_MISS) {
            missed++;
            continue;
        }
        found++;
        if (!is_whole(&v, number)) torn++;
    }
    atomic_fetch_add(&fixture_shared->word[FOUND], found);
    atomic_fetch_add(&fixture_shared->word[MISSED], missed);
    atomic_fetch_add(&fixture_shared->word[TORN], torn);
    cache_close(cache);
    return torn == 0 ? 0 : 2;
}

static int write_until_stop(void *arg)
{
    uint64_t random = 0x2545f4914f6cdd1d + *(const uint64_t *)arg;
    struct cache *cache = fixture_open(SMALL);
    if (!cache) return 1;
    while (!atomic_load_explicit(&fixture_shared->stop, memory_order_relaxed)) {
        uint64_t number = fixture_random(&random) % KEYS;
        uint64_t n = (number << 32U) | (fixture_random(&random) & UINT32_MAX);
        put(cache, key_of(cache, number), n, (int64_t)(fixture_random(&random) % 60000));
        if (fixture_random(&random) % 1024 == 0) cache_drop(cache, key_of(cache, number));
    }
    cache_close(cache);
    return 0;
}

static void start_readers(pid_t pids[READERS])
{
    static uint64_t seeds[READERS];
    for (int i = 0; i < READERS; i++) {
        seeds[i] = (uint64_t)i;
        pids[i] = fixture_fork(read_until_stop, &seeds[i]);
    }
}

static void stop_readers(const pid_t pids[READERS])
{
    atomic_store(&fixture_shared->stop, 1);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    print_message("           found %lld, missed %lld, torn %lld\n", (long long)fixture_shared->word[FOUND],
                  (long long)fixture_shared->word[MISSED], (long long)fixture_shared->word[TORN]);
    assert_int_equal(fixture_shared->word[TORN], 0);
    assert_true(fixture_shared->word[FOUND] > 1000);
}

static void readers_never_see_half_an_answer_of_two_writers(void **state)
{
    (void)state;
    pid_t readers[READERS], writers[WRITERS];
    uint64_t seeds[WRITERS];
    start_readers(readers);
    for (int i = 0; i < WRITERS; i++) {
        seeds[i] = (uint64_t)i;
        writers[i] = fixture_fork(write_until_stop, &seeds[i]);
    }
    fixture_sleep_us(RUN_MS * 1000);
    stop_readers(readers);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(fixture_wait(writers[i]), 0);
}

static void writers_killed_at_any_point_do_no_harm(void **state)
{
    (void)state;
    pid_t readers[READERS];
    uint64_t random = 20260102;
    struct cache *cache = fixture_open(SMALL);
    assert_non_null(cache);
    start_readers(readers);
    for (uint64_t i = 0; i < KILLS; i++) {
        pid_t pid = fixture_fork(write_until_stop, &i);
        fixture_sleep_us((int64_t)(fixture_random(&random) % 1000));
        fixture_kill(pid);
    }
    struct cache_verdict v;
    for (uint64_t i = 0; i < KEYS; i++) {
        put(cache, key_of(cache, i), i << 32U, 60000);
        assert_int_equal(cache_find(cache, key_of(cache, i), &v), CACHE_FRESH);
        assert_true(is_whole(&v, i));
    }
    stop_readers(readers);
    cache_close(cache);
}

static int clear_and_check(void *arg)
{
    (void)arg;
    struct cache *cache = fixture_open(SMALL);
    if (!cache) return 1;
    struct cache_key key = key_of(cache, 5);
    for (int i = 0; i < 20000; i++) {
        struct cache_verdict v = verdict_of(5);
        uint32_t generation = cache_generation(cache);
        cache_clear(cache);
        cache_put(cache, key, &v, 60000, generation);
        if (cache_find(cache, key, &v) != CACHE_MISS) return 2;
    }
    cache_close(cache);
    return 0;
}

static void nothing_older_than_its_own_clear_is_found_by_two_that_clear(void **state)
{
    (void)state;
    pid_t one = fixture_fork(clear_and_check, NULL), two = fixture_fork(clear_and_check, NULL);
    assert_int_equal(fixture_wait(one), 0);
    assert_int_equal(fixture_wait(two), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(an_answer_is_fresh_then_stale),
        FIXTURE_TEST(times_to_live_at_the_edge_do_no_harm),
        FIXTURE_TEST(drop_drops_one_and_clear_all),
        FIXTURE_TEST(an_answer_older_than_a_clear_is_not_kept),
        FIXTURE_TEST(keys_tell_account_workspace_platform_and_id_apart),
        FIXTURE_TEST(ids_of_24_hex_digits_are_one_in_either_case),
        FIXTURE_TEST(the_text_of_ids_is_not_in_the_segment),
        FIXTURE_TEST(a_full_set_loses_the_entry_that_ends_first),
        FIXTURE_TEST(two_entries_of_one_key_become_one),
        FIXTURE_TEST(usage_counts_what_is_fresh),
        FIXTURE_TEST(any_flipped_bit_of_an_entry_is_a_miss),
        FIXTURE_TEST(readers_never_see_half_an_answer_of_two_writers),
        FIXTURE_TEST(writers_killed_at_any_point_do_no_harm),
        FIXTURE_TEST(nothing_older_than_its_own_clear_is_found_by_two_that_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
