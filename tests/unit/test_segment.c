/* The segment as an object: made, shared, refused, replaced, by many processes at once. */
#include "base/clock.h"
#include "cache/cache_layout.h"
#include "shm_fixture.h"
#include <grp.h>
#include <sys/file.h>
#include <sys/resource.h>

enum { ENTRIES = 1024, OPENERS = 8 };
static const struct cache_verdict verdict = {.state = 1, .reason = 2, .checked_at_ms = 1234, .token_print = 99};

static struct stat named(void)
{
    struct stat st = {0};
    int fd = shm_open(fixture_name, O_RDONLY, 0);
    if (fd == -1) return st;
    fstat(fd, &st);
    close(fd);
    return st;
}

static ino_t named_inode(void)
{
    return named().st_ino;
}

static mode_t named_mode(void)
{
    return named().st_mode & 07777;
}

static void write_named(const void *bytes, size_t len, off_t at)
{
    int fd = shm_open(fixture_name, O_RDWR | O_CREAT, 0660);
    assert_int_not_equal(fd, -1);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

static void cut_named(off_t bytes)
{
    int fd = shm_open(fixture_name, O_RDWR | O_CREAT, 0660);
    assert_int_not_equal(fd, -1);
    assert_int_equal(ftruncate(fd, bytes), 0);
    close(fd);
}

static void fill_random(void *at, size_t len)
{
    uint64_t state = 88172645463325252;
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint64_t word = fixture_random(&state);
        memcpy((char *)at + i, &word, 8);
    }
}

static void refresh_after_a_second(struct cache *cache)
{
    cache->look_at_mono_ms = 0;
    cache_refresh(cache);
}

static int is_usable(struct cache *cache)
{
    struct cache_verdict found;
    struct cache_key key = cache_key_account(cache, "instagram", "a");
    cache_put(cache, key, &verdict, 60000, cache_generation(cache));
    return cache_find(cache, key, &found) == CACHE_FRESH && memcmp(&found, &verdict, sizeof found) == 0;
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    const struct cache_options bad[] = {{.name = NULL, .entries = 8, .mode = 0660},
                                        {.name = "", .entries = 8, .mode = 0660},
                                        {.name = "/", .entries = 8, .mode = 0660},
                                        {.name = "x", .entries = 8, .mode = 0660},
                                        {.name = "/a/b", .entries = 8, .mode = 0660},
                                        {.name = "/x", .entries = 0, .mode = 0660},
                                        {.name = "/x", .entries = -1, .mode = 0660},
                                        {.name = "/x", .entries = CACHE_ENTRIES_MAX + 1, .mode = 0660},
                                        {.name = "/x", .entries = 8, .mode = 0060},
                                        {.name = "/x", .entries = 8, .mode = 04660},
                                        {.name = "/x", .entries = INT64_MAX, .mode = 0660}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cache *cache;
        struct err err = {0};
        assert_int_equal(cache_open(&bad[i], &cache, &err), ERR_BAD_INPUT);
        assert_null(cache);
        assert_int_not_equal(err.text[0], 0);
    }
}

static void the_second_to_open_shares_what_the_first_made(void **state)
{
    (void)state;
    struct cache *one = fixture_open(1000), *two = fixture_open(1024);
    struct cache_verdict found;
    assert_non_null(one);
    assert_non_null(two);
    assert_int_equal(one->segment.inode, two->segment.inode);
    assert_int_equal(one->segment.header.entries, 1024);
    struct cache_key key = cache_key_account(one, "instagram", "a");
    struct cache_key same = cache_key_account(two, "instagram", "a");
    assert_memory_equal(&key, &same, sizeof key);
    cache_put(one, key, &verdict, 60000, cache_generation(one));
    assert_int_equal(cache_find(two, key, &found), CACHE_FRESH);
    assert_memory_equal(&found, &verdict, sizeof found);
    cache_close(one);
    cache_close(two);
    cache_close(NULL);
}

static void the_umask_does_not_cut_the_mode(void **state)
{
    (void)state;
    mode_t old = umask(0177);
    struct cache *cache = fixture_open(ENTRIES);
    umask(old);
    assert_non_null(cache);
    assert_int_equal(named_mode(), 0660);
    cache_close(cache);
}

static void a_segment_that_others_may_write_to_is_replaced(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(ENTRIES);
    assert_non_null(cache);
    ino_t old = named_inode();
    int fd = shm_open(fixture_name, O_RDWR, 0);
    fchmod(fd, 0666);
    close(fd);
    struct cache *next = fixture_open(ENTRIES);
    assert_non_null(next);
    assert_int_not_equal(named_inode(), old);
    assert_int_equal(named_mode(), 0660);
    cache_close(cache);
    cache_close(next);
}

static int open_as_nobody(void *arg)
{
    (void)arg;
    if (setgroups(0, NULL) == -1 || setgid(65534) == -1 || setuid(65534) == -1) return 2;
    const struct cache_options opt = {.name = fixture_name, .entries = ENTRIES, .mode = 0666};
    struct cache *cache;
    struct err err = {0};
    return cache_open(&opt, &cache, &err) == ERR_IO && cache == NULL && err.text[0] ? 0 : 1;
}

static void the_segment_of_a_stranger_is_not_used(void **state)
{
    (void)state;
    if (geteuid() != 0) skip();
    const struct cache_options opt = {.name = fixture_name, .entries = ENTRIES, .mode = 0666};
    struct cache *cache;
    assert_int_equal(cache_open(&opt, &cache, NULL), ERR_OK);
    cache_close(cache);
    int fd = shm_open(fixture_name, O_RDWR, 0);
    assert_int_equal(fchown(fd, 65533, 65533), 0);
    close(fd);
    assert_int_equal(fixture_wait(fixture_fork(open_as_nobody, NULL)), 0);
}

/* Each makes of the sound segment under the name something else. */
static void random_bytes(void)
{
    static char bytes[sizeof(struct cache_segment) + ENTRIES * sizeof(struct cache_entry)];
    fill_random(bytes, sizeof bytes);
    write_named(bytes, sizeof bytes, 0);
}
static void cut_by_a_byte(void)
{
    cut_named((off_t)(sizeof(struct cache_segment) + ENTRIES * sizeof(struct cache_entry) - 1));
}
static void cut_in_the_header(void)
{
    cut_named(20);
}
static void grown_by_a_page(void)
{
    cut_named((off_t)(sizeof(struct cache_segment) + ENTRIES * sizeof(struct cache_entry) + 4096));
}
static void another_version(void)
{
    write_named(&(uint32_t){CACHE_LAYOUT_VERSION + 1}, 4, offsetof(struct cache_header, version));
}
static void other_counters(void)
{
    write_named(&(uint64_t){1}, 8, offsetof(struct cache_header, counters_print));
}
static void a_huge_size(void)
{
    write_named(&(uint64_t){UINT64_MAX}, 8, offsetof(struct cache_header, entries));
}
static void zeroes(void)
{
    static const char zero[4096];
    write_named(zero, sizeof zero, 0);
}
static void another_seed(void)
{
    write_named(&(uint64_t){5}, 8, offsetof(struct cache_header, seed));
}

static void what_is_not_as_it_should_be_is_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*spoil)(void);
    } cases[] = {{"random bytes", random_bytes},
                 {"cut by a byte", cut_by_a_byte},
                 {"cut in the header", cut_in_the_header},
                 {"grown by a page", grown_by_a_page},
                 {"another version", another_version},
                 {"other counters", other_counters},
                 {"a huge size", a_huge_size},
                 {"zeroes", zeroes},
                 {"another seed", another_seed}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cache *before = fixture_open(ENTRIES);
        assert_non_null(before);
        cases[i].spoil();
        struct cache *after = fixture_open(ENTRIES);
        assert_non_null(after);
        if (after->segment.inode == before->segment.inode || named_inode() != after->segment.inode || !is_usable(after))
            fail_msg("%s: not replaced", cases[i].name);
        cache_close(before);
        cache_close(after);
    }
}

static void an_empty_object_is_filled(void **state)
{
    (void)state;
    cut_named(0);
    struct cache *cache = fixture_open(ENTRIES);
    assert_non_null(cache);
    assert_int_equal(named_mode(), 0660);
    assert_true(is_usable(cache));
    cache_close(cache);
}

static void any_flipped_bit_of_the_header_gets_it_replaced(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < sizeof(struct cache_header) * 8; bit++) {
        struct cache *before = fixture_open(8);
        assert_non_null(before);
        ((unsigned char *)before->segment.at)[bit / 8] ^= (unsigned char)(1U << (bit % 8));
        struct cache *after = fixture_open(8);
        assert_non_null(after);
        if (after->segment.inode == before->segment.inode) fail_msg("bit %zu", bit);
        cache_close(before);
        cache_close(after);
    }
}

static void random_bytes_over_a_mapped_segment_are_misses_until_refresh(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(ENTRIES);
    struct cache_verdict found;
    int64_t used, total;
    assert_non_null(cache);
    uint64_t old = cache->segment.inode;
    struct cache_key key = cache_key_account(cache, "instagram", "a");
    cache_put(cache, key, &verdict, 60000, cache_generation(cache));
    fill_random(cache->segment.at, cache->segment.header.segment_bytes);
    for (int i = 0; i < 10000; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        struct cache_key other = cache_key_account(cache, "instagram", id);
        assert_int_equal(cache_find(cache, other, &found), CACHE_MISS);
        (void)flight_claim(cache, other, 1000);
        flight_release(cache, other);
        cache_drop(cache, other);
    }
    assert_int_equal(cache_find(cache, key, &found), CACHE_MISS);
    cache_usage(cache, &used, &total);
    assert_int_equal(used, 0);
    assert_int_equal(total, ENTRIES);
    counter_add(cache, COUNT_checks, 1);
    (void)counter_get(cache, COUNT_checks);
    refresh_after_a_second(cache);
    assert_int_not_equal(cache->segment.inode, old);
    assert_int_equal(cache->segment.inode, named_inode());
    assert_true(is_usable(cache));
    assert_int_equal(counter_get(cache, COUNT_checks), 0);
    cache_close(cache);
}

static void refresh_looks_at_most_once_a_second(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(ENTRIES);
    assert_non_null(cache);
    uint64_t old = cache->segment.inode;
    assert_int_equal(cache_unlink(fixture_name, NULL), ERR_OK);
    cache_refresh(cache);
    assert_int_equal(cache->segment.inode, old);
    fixture_sleep_us(1050000);
    assert_true(cache_is_outdated(cache));
    assert_true(cache_is_outdated(cache)); /* remembered between two looks, and only told */
    assert_int_equal(cache->segment.inode, old);
    cache_refresh(cache);
    assert_int_not_equal(cache->segment.inode, old);
    assert_false(cache_is_outdated(cache));
    cache_close(cache);
}

static void all_follow_to_the_segment_of_another_size(void **state)
{
    (void)state;
    struct cache *one = fixture_open(64), *two = fixture_open(64);
    struct cache *bigger = fixture_open(4096);
    assert_non_null(bigger);
    refresh_after_a_second(one);
    refresh_after_a_second(two);
    refresh_after_a_second(bigger);
    assert_int_equal(one->segment.inode, bigger->segment.inode);
    assert_int_equal(two->segment.inode, bigger->segment.inode);
    assert_int_equal(bigger->segment.inode, named_inode());
    assert_int_equal(one->segment.header.entries, 4096);
    assert_true(is_usable(one));
    cache_close(one);
    cache_close(two);
    cache_close(bigger);
}

static void a_sound_segment_is_kept_while_the_new_one_is_of_no_use(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(ENTRIES);
    assert_non_null(cache);
    assert_int_equal(cache_unlink(fixture_name, NULL), ERR_OK);
    random_bytes();
    ino_t garbage = named_inode();
    refresh_after_a_second(cache);
    assert_int_equal(named_inode(), garbage);
    assert_true(is_usable(cache));
    struct cache *other = fixture_open(ENTRIES);
    refresh_after_a_second(cache);
    assert_int_equal(cache->segment.inode, other->segment.inode);
    cache_close(cache);
    cache_close(other);
}

static void refresh_does_not_wait_for_who_is_opening(void **state)
{
    (void)state;
    struct cache *cache = fixture_open(ENTRIES);
    assert_non_null(cache);
    uint64_t old = cache->segment.inode;
    memset(cache->segment.at, 0, 64);
    int fd = shm_open(fixture_name, O_RDWR, 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    int64_t start_ms = clock_mono_ms();
    refresh_after_a_second(cache);
    assert_in_range(clock_mono_ms() - start_ms, 0, 500);
    assert_int_equal(cache->segment.inode, old);
    close(fd);
    refresh_after_a_second(cache);
    assert_int_not_equal(cache->segment.inode, old);
    assert_true(is_usable(cache));
    assert_int_equal(cache->segment.inode, named_inode());
    cache_close(cache);
}

static void unlink_says_when_there_is_nothing(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(cache_unlink(fixture_name, &err), ERR_NOT_FOUND);
    cache_close(fixture_open(8));
    assert_int_equal(cache_unlink(fixture_name, NULL), ERR_OK);
    assert_int_equal(named_inode(), 0);
}

static int open_with_no_room(void *arg)
{
    (void)arg;
    struct cache *cache;
    struct err err = {0};
    const struct cache_options opt = {.name = fixture_name, .entries = 4096, .mode = 0660};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096});
    enum err_code code = cache_open(&opt, &cache, &err);
    return (code == ERR_IO || code == ERR_NOMEM) && cache == NULL && err.text[0] ? 0 : 1;
}

static void without_room_nothing_is_left_behind(void **state)
{
    (void)state;
    assert_int_equal(fixture_wait(fixture_fork(open_with_no_room, NULL)), 0);
    assert_int_equal(named_inode(), 0);
}

static int open_once_all_are_there(void *arg)
{
    int *index = arg;
    fixture_meet(OPENERS);
    struct cache *cache = fixture_open(ENTRIES);
    if (!cache) return 1;
    atomic_store(&fixture_shared->word[*index], (int64_t)cache->segment.inode);
    atomic_store(&fixture_shared->word[OPENERS + *index], (int64_t)cache_hash(cache, "the same seed"));
    counter_add(cache, COUNT_checks, 1);
    fixture_meet(OPENERS);
    int seen = (int)counter_get(cache, COUNT_checks);
    return seen == OPENERS ? 0 : 2;
}

static void eight_that_open_at_once_share_one_segment(void **state)
{
    (void)state;
    void (*const before[])(void) = {NULL, random_bytes, another_version, cut_in_the_header};
    for (int round = 0; round < 60; round++) {
        pid_t pids[OPENERS];
        int index[OPENERS];
        shm_unlink(fixture_name);
        if (round % 4) cache_close(fixture_open(ENTRIES));
        if (before[round % 4]) before[round % 4]();
        atomic_store(&fixture_shared->arrived, 0);
        for (int i = 0; i < OPENERS; i++) {
            index[i] = i;
            pids[i] = fixture_fork(open_once_all_are_there, &index[i]);
        }
        for (int i = 0; i < OPENERS; i++)
            assert_int_equal(fixture_wait(pids[i]), 0);
        for (int i = 0; i < OPENERS; i++) {
            assert_int_equal(atomic_load(&fixture_shared->word[i]), named_inode());
            assert_int_equal(atomic_load(&fixture_shared->word[OPENERS + i]), fixture_shared->word[OPENERS]);
        }
    }
}

static int open_and_remove_until_killed(void *arg)
{
    (void)arg;
    while (!atomic_load(&fixture_shared->stop)) {
        cache_close(fixture_open(ENTRIES));
        cache_unlink(fixture_name, NULL);
    }
    return 0;
}

static void who_is_killed_while_opening_leaves_what_the_next_repairs(void **state)
{
    (void)state;
    uint64_t random = 4711;
    for (int i = 0; i < 300; i++) {
        pid_t pid = fixture_fork(open_and_remove_until_killed, NULL);
        fixture_sleep_us((int64_t)(fixture_random(&random) % 1500));
        fixture_kill(pid);
        struct cache *cache = fixture_open(ENTRIES);
        assert_non_null(cache);
        assert_int_equal(cache->segment.inode, named_inode());
        assert_true(is_usable(cache));
        cache_close(cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(bad_options_are_refused),
        FIXTURE_TEST(the_second_to_open_shares_what_the_first_made),
        FIXTURE_TEST(the_umask_does_not_cut_the_mode),
        FIXTURE_TEST(a_segment_that_others_may_write_to_is_replaced),
        FIXTURE_TEST(the_segment_of_a_stranger_is_not_used),
        FIXTURE_TEST(what_is_not_as_it_should_be_is_replaced),
        FIXTURE_TEST(an_empty_object_is_filled),
        FIXTURE_TEST(any_flipped_bit_of_the_header_gets_it_replaced),
        FIXTURE_TEST(random_bytes_over_a_mapped_segment_are_misses_until_refresh),
        FIXTURE_TEST(refresh_looks_at_most_once_a_second),
        FIXTURE_TEST(all_follow_to_the_segment_of_another_size),
        FIXTURE_TEST(a_sound_segment_is_kept_while_the_new_one_is_of_no_use),
        FIXTURE_TEST(refresh_does_not_wait_for_who_is_opening),
        FIXTURE_TEST(unlink_says_when_there_is_nothing),
        FIXTURE_TEST(without_room_nothing_is_left_behind),
        FIXTURE_TEST(eight_that_open_at_once_share_one_segment),
        FIXTURE_TEST(who_is_killed_while_opening_leaves_what_the_next_repairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
