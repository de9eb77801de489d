/* The spool when there is no more room, and what it costs when there is. */
#include "base/clock.h"
#include "spool_fixture.h"
#include <sys/mount.h>
#include <sys/resource.h>

enum { SMALL_DISK_BYTES = 4 * SPOOL_SLOT_BYTES + 20000 };

static void beyond_the_limit_nothing_more_is_reserved(void **state)
{
    static struct spool_ticket *tickets[LIMIT_SPOOL_SLOTS];
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen = {.fate = SPOOL_DONE};

    (void)state;
    for (int n = 0; n < LIMIT_SPOOL_SLOTS; n++)
        assert_int_equal(spool_fixture_reserve(sp, n, &tickets[n], NULL), ERR_OK);
    spool_fixture_reserve_fails(sp, ERR_NOSPACE, "a full spool");
    for (int n = 0; n < LIMIT_SPOOL_SLOTS; n++)
        assert_int_equal(spool_fixture_keep(sp, n, tickets[n], NULL), ERR_OK);
    spool_done(sp, tickets[700]);
    spool_fixture_works(sp, 1100);
    for (int n = 0; n < LIMIT_SPOOL_SLOTS; n++)
        if (n != 700) spool_leave(sp, tickets[n]);
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, LIMIT_SPOOL_SLOTS - 1);
    assert_int_equal(seen.wrong, 0);
    spool_fixture_works(sp, 3);
    spool_free(sp);
}

/* On a disk with room for some slots, and a bit: as many can be reserved, each can be kept, and when some are done their room
 * serves again although the disk is still full. 0 if it is so. */
static int fill_the_disk(int room)
{
    struct spool_ticket *tickets[16], *none;
    struct err err = {0};
    struct spool *sp = spool_fixture_new();

    for (int n = 0; n < room; n++)
        if (spool_fixture_reserve(sp, n, &tickets[n], NULL) != ERR_OK) return 10 + n;
    for (int again = 0; again < 3; again++) {
        err_clear(&err);
        if (spool_fixture_reserve(sp, 99, &none, &err) != ERR_NOSPACE || none || !err.text[0]) return 30;
    }
    for (int n = 0; n < room; n++)
        if (spool_fixture_keep(sp, n, tickets[n], NULL) != ERR_OK) return 40 + n;
    for (int i = 0; i < 50; i++) {
        spool_done(sp, tickets[1]);
        if (spool_fixture_reserve(sp, 1, &tickets[1], NULL) != ERR_OK) return 60;
        if (spool_fixture_keep(sp, 1, tickets[1], NULL) != ERR_OK) return 61;
    }
    for (int n = 0; n < room; n++)
        spool_leave(sp, tickets[n]);
    spool_free(sp);
    return 0;
}

static int fill_up_to_a_file_size(void *arg)
{
    (void)arg;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){SMALL_DISK_BYTES, SMALL_DISK_BYTES}) != 0) return 2;
    return fill_the_disk(4);
}

static void assert_all_four_are_found(void)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_counts counts = spool_fixture_replay(NULL, &seen);

    assert_int_equal(counts.damaged, 0);
    assert_int_equal(seen.count, 4);
    for (int n = 0; n < 4; n++)
        assert_int_equal(seen.records[n], 1);
}

static void beyond_the_size_a_file_may_have_reserve_fails_and_keep_does_not(void **state)
{
    (void)state;
    assert_int_equal(fixture_wait(fixture_fork(fill_up_to_a_file_size, NULL)), 0);
    assert_all_four_are_found();
}

/* The whole in a child with mounts of its own: nothing is left mounted whatever happens to it. */
static int fill_a_small_disk(void *arg)
{
    char size[32], filler[sizeof spool_folder + 16];
    int fd, result;

    (void)arg;
    snprintf(size, sizeof size, "size=%d", 40 * SPOOL_PAGE_BYTES);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", spool_folder, "tmpfs", 0, size) != 0)
        return 250;
    /* Other people's data: 40 pages but 10 are for 4 slots of 7 and 2 pages beside (tmpfs rounds and counts folders). */
    snprintf(filler, sizeof filler, "%s/filler", spool_folder);
    if (mkdir(spool_fixture_folder(), 0700) != 0) return 3;
    fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)10 * SPOOL_PAGE_BYTES) != 0) return 4;
    close(fd);
    result = fill_the_disk(4);
    if (result) return result;
    fd = open(filler, O_WRONLY | O_APPEND | O_CLOEXEC);
    for (char page[SPOOL_PAGE_BYTES] = {0}; write(fd, page, sizeof page) > 0;)
        continue;
    close(fd); /* not a byte is left now */
    struct spool_seen seen = {.fate = SPOOL_KEEP};
    struct spool *sp = spool_fixture_new();
    struct spool_ticket *ticket;
    if (spool_replay(sp, 0, spool_fixture_see, &seen, NULL, NULL) != ERR_OK || seen.count != 4 || seen.wrong) return 5;
    seen.fate = SPOOL_DONE;
    if (spool_replay(sp, 0, spool_fixture_see, &seen, NULL, NULL) != ERR_OK || seen.count != 8) return 6;
    if (spool_fixture_reserve(sp, 1, &ticket, NULL) != ERR_OK || spool_fixture_keep(sp, 1, ticket, NULL) != ERR_OK)
        return 7;
    spool_done(sp, ticket);
    spool_free(sp);
    return 0;
}

static void on_a_full_disk_reserve_fails_and_keep_does_not(void **state)
{
    int result;

    (void)state;
    spool_fixture_need_root();
    result = fixture_wait(fixture_fork(fill_a_small_disk, NULL));
    if (result == 250) {
        printf("SKIPPED: may not mount a small disk here (the file size limit is tested instead)\n");
        skip();
    }
    assert_int_equal(result, 0);
}

/* ---- cost */

enum { TIMES = 500 };

static int compare_int64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t median(int64_t *ns, int count)
{
    qsort(ns, (size_t)count, sizeof *ns, compare_int64);
    return ns[count / 2];
}

/* In memory a sync costs nothing: what is left is our own work. On disk the sync is measured beside it. */
static void measure(const char *where, int64_t bound_ns)
{
    static int64_t reserve_ns[TIMES], keep_ns[TIMES], done_ns[TIMES], sync_ns[TIMES];
    struct spool *sp = spool_fixture_new();
    char other[sizeof spool_path + 8], page[SPOOL_PAGE_BYTES] = {0};
    int fd;

    snprintf(other, sizeof other, "%s/other", spool_folder);
    fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < TIMES; i++) {
        struct spool_ticket *ticket;
        int64_t start, reserved, kept;

        for (int p = 0; p < SPOOL_PAGES; p++)
            assert_int_equal(pwrite(fd, page, sizeof page, (off_t)p * SPOOL_PAGE_BYTES), sizeof page);
        start = clock_mono_ns();
        assert_int_equal(fdatasync(fd), 0);
        sync_ns[i] = clock_mono_ns() - start;
        start = clock_mono_ns();
        assert_int_equal(spool_fixture_reserve(sp, i % 1000, &ticket, NULL), ERR_OK);
        reserved = clock_mono_ns();
        assert_int_equal(spool_fixture_keep(sp, i % 1000, ticket, NULL), ERR_OK);
        kept = clock_mono_ns();
        spool_done(sp, ticket);
        reserve_ns[i] = reserved - start;
        keep_ns[i] = kept - reserved;
        done_ns[i] = clock_mono_ns() - kept;
    }
    close(fd);
    printf("FIGURE: spool %s, median of %d: reserve %.0f us, keep %.0f us, done %.0f us; fdatasync of a slot alone "
           "%.0f us\n",
           where, TIMES, (double)median(reserve_ns, TIMES) / 1e3, (double)median(keep_ns, TIMES) / 1e3,
           (double)median(done_ns, TIMES) / 1e3, (double)median(sync_ns, TIMES) / 1e3);
    assert_in_range(median(reserve_ns, TIMES) + median(keep_ns, TIMES), 1, bound_ns);
    spool_free(sp);
}

static void a_refresh_costs_little_more_than_its_two_syncs_in_memory(void **state)
{
    (void)state;
    measure("in memory", 10000000);
}

static void a_refresh_costs_little_more_than_its_two_syncs_on_disk(void **state)
{
    (void)state;
    measure("on disk", 500000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(beyond_the_limit_nothing_more_is_reserved),
        SPOOL_TEST(beyond_the_size_a_file_may_have_reserve_fails_and_keep_does_not),
        SPOOL_TEST(on_a_full_disk_reserve_fails_and_keep_does_not),
        SPOOL_TEST(a_refresh_costs_little_more_than_its_two_syncs_in_memory),
        SPOOL_TEST_ON_DISK(a_refresh_costs_little_more_than_its_two_syncs_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
