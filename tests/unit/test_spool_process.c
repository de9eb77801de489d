/* The spool among real processes, some of which are killed: nothing acknowledged is lost, nothing is torn, and
 * nobody gets again what he has said done. */
#include "base/clock.h"
#include "spool_fixture.h"
#include <sys/syscall.h>

enum { KILLS = 500, HELD = 4, SECONDS = 4, CROWD = 8, CROWD_EACH = 20, NUMBERS = 400000 };

/* What is known of each refresh, as its process has told before it went on. */
enum told { NOTHING, RESERVED, KEPT, DONE_BEGUN, DONE, LEFT_INTENT, LEFT_RECORD };
struct shared {
    _Atomic unsigned char told[NUMBERS], said_done[NUMBERS];
    _Atomic int next;
};
static struct shared *shared;

static int enter(void **state, int (*setup)(void **state))
{
    void *at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED || setup(state) != 0) return -1;
    shared = at;
    return 0;
}

static int setup_in_memory(void **state)
{
    return enter(state, spool_fixture_setup);
}

static int setup_on_disk(void **state)
{
    return enter(state, spool_fixture_setup_on_disk);
}

static int teardown(void **state)
{
    munmap(shared, sizeof *shared);
    return spool_fixture_teardown(state);
}

static void tell(int64_t n, enum told told)
{
    atomic_store(&shared->told[n], (unsigned char)told);
}

/* ---- system calls of this program that end it, or fail, when their turn comes */

static int calls_until_kill = -1, syncs_until_failure = -1, syncs_until_removal = -1, folder_syncs;

static void count_call(void)
{
    if (calls_until_kill == 0) raise(SIGKILL);
    if (calls_until_kill > 0) calls_until_kill--;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    count_call();
    return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

int fdatasync(int fd)
{
    count_call();
    if (syncs_until_removal == 0) unlink(spool_path); /* somebody else does */
    syncs_until_removal--;
    if (syncs_until_failure > 0) syncs_until_failure--;
    if (syncs_until_failure != 0) return (int)syscall(SYS_fdatasync, fd);
    errno = EIO;
    return -1;
}

int fsync(int fd)
{
    struct stat st;

    count_call();
    folder_syncs += fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return (int)syscall(SYS_fsync, fd);
}

/* ---- killed */

static int64_t finish(struct spool *sp, struct spool_ticket *ticket, int64_t n, uint64_t choice)
{
    int is_kept = atomic_load(&shared->told[n]) == KEPT;

    if (choice % 4 == 0) { /* left behind as it is */
        tell(n, is_kept ? LEFT_RECORD : LEFT_INTENT);
        spool_leave(sp, ticket);
        return n;
    }
    tell(n, DONE_BEGUN);
    spool_done(sp, ticket);
    tell(n, DONE);
    return n;
}

/* Several refreshes at a time, as in a sweep; from number 0 on until it is killed. */
static int refresh_until_killed(void *arg)
{
    uint64_t random = *(uint64_t *)arg | 1;
    struct spool *sp = spool_fixture_new();
    struct spool_ticket *tickets[HELD] = {NULL};
    int64_t held[HELD] = {0};

    for (int64_t n = 0; n < SPOOL_FIXTURE_SEEN; n++) {
        int i = (int)(n % HELD);

        if (tickets[i]) finish(sp, tickets[i], held[i], fixture_random(&random));
        held[i] = n;
        if (spool_fixture_reserve(sp, n, &tickets[i], NULL) != ERR_OK) return 1;
        tell(n, RESERVED);
        if (fixture_random(&random) % 8 == 0) continue;
        if (spool_fixture_keep(sp, n, tickets[i], NULL) != ERR_OK) return 2;
        tell(n, KEPT);
    }
    for (;;)
        pause();
}

/* What was told holds in the file. */
static void assert_told(const struct spool_seen *seen, const struct spool_counts *counts, int round)
{
    if (seen->wrong || counts->damaged || counts->undecryptable)
        fail_msg("round %d: %d wrong, %d damaged, %d undecryptable", round, seen->wrong, (int)counts->damaged,
                 (int)counts->undecryptable);
    for (int n = 0; n < SPOOL_FIXTURE_SEEN; n++) {
        enum told told = (enum told)atomic_load(&shared->told[n]);
        int intents = seen->intents[n], records = seen->records[n], all = intents + records;
        int is_right = all <= 1;

        if (told == RESERVED) is_right = all == 1;
        if (told == KEPT || told == LEFT_RECORD) is_right = records == 1 && intents == 0;
        if (told == LEFT_INTENT) is_right = intents == 1 && records == 0;
        if (told == DONE) is_right = all == 0;
        if (!is_right)
            fail_msg("round %d: account %d: told %d; %d intents, %d records", round, n, told, intents, records);
    }
}

/* Each somewhere in its first ${within_us}, which is time for many refreshes. */
static void kill_writers(int kills, int64_t within_us, uint64_t random)
{
    int64_t acknowledged = 0;

    for (int round = 0; round < kills; round++) {
        struct spool_seen seen = {.fate = SPOOL_DONE};
        struct spool_counts counts;
        pid_t pid;

        memset(shared, 0, sizeof *shared);
        fixture_random(&random);
        pid = fixture_fork(refresh_until_killed, &random);
        while (round % 2 && atomic_load(&shared->told[2 * HELD]) == NOTHING) /* not only at its very start */
            fixture_sleep_us(50);
        fixture_sleep_us((int64_t)(fixture_random(&random) % (uint64_t)within_us));
        fixture_kill(pid);
        counts = spool_fixture_replay(NULL, &seen);
        assert_told(&seen, &counts, round);
        for (int n = 0; n < SPOOL_FIXTURE_SEEN; n++)
            acknowledged += atomic_load(&shared->told[n]) >= KEPT;
        spool_fixture_replay(NULL, &seen);
        assert_int_equal(seen.count, 0);
    }
    printf("FIGURE: spool, %d writers killed: %lld answers acknowledged, 0 lost, 0 torn\n", kills,
           (long long)acknowledged);
    assert_true(acknowledged > kills / 2);
}

static void writers_killed_at_random_lose_nothing_acknowledged(void **state)
{
    (void)state;
    kill_writers(KILLS, 4000, 4711);
}

static void writers_killed_at_random_lose_nothing_acknowledged_on_disk(void **state)
{
    (void)state;
    kill_writers(KILLS / 5, 40000, 815);
}

/* Account 1 is kept and done, 2 is kept, 3 is an intent: 40-odd system calls. */
static int refresh_three(void *arg)
{
    struct spool *sp = spool_fixture_new();
    struct spool_ticket *tickets[4];

    calls_until_kill = *(int *)arg;
    for (int n = 1; n <= 3; n++) {
        if (spool_fixture_reserve(sp, n, &tickets[n], NULL) != ERR_OK) return 1;
        tell(n, RESERVED);
        if (n < 3 && spool_fixture_keep(sp, n, tickets[n], NULL) != ERR_OK) return 2;
        if (n < 3) tell(n, KEPT);
    }
    tell(1, DONE_BEGUN);
    spool_done(sp, tickets[1]);
    tell(1, DONE);
    return 0;
}

static void a_writer_killed_before_any_of_its_system_calls_leaves_nothing_torn(void **state)
{
    int calls = 0, status;

    (void)state;
    do {
        struct spool_seen seen = {.fate = SPOOL_DONE};
        struct spool_counts counts;
        pid_t pid;

        memset(shared, 0, sizeof *shared);
        spool_fixture_fill(10, 1, 1); /* somebody else's */
        pid = fixture_fork(refresh_three, &calls);
        while (waitpid(pid, &status, 0) == -1)
            continue;
        tell(10, LEFT_RECORD);
        counts = spool_fixture_replay(NULL, &seen);
        assert_told(&seen, &counts, calls);
        calls++;
    } while (WIFSIGNALED(status));
    assert_int_equal(status, 0);
    assert_in_range(calls, 5 * (SPOOL_PAGES + 1), 60);
}

static void a_sync_that_fails_is_told(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_ticket *ticket;
    struct err err = {0};

    (void)state;
    syncs_until_failure = 1;
    fixture_refused(spool_fixture_reserve(sp, 1, &ticket, &err), ERR_IO, &err, "an intent not on disk");
    syncs_until_failure = -1;
    assert_null(ticket);
    spool_fixture_replay(sp, &seen);
    assert_int_equal(seen.count, 0); /* a call that was not made leaves no intent */
    assert_int_equal(spool_fixture_reserve(sp, 2, &ticket, NULL), ERR_OK);
    err_clear(&err);
    syncs_until_failure = 1;
    fixture_refused(spool_fixture_keep(sp, 2, ticket, &err), ERR_IO, &err, "an answer not on disk");
    syncs_until_failure = -1;
    assert_int_equal(spool_fixture_keep(sp, 2, ticket, NULL), ERR_OK);
    spool_leave(sp, ticket);
    spool_fixture_replay(sp, &seen);
    assert_int_equal(seen.records[2], 1);
    spool_free(sp);
}

static void a_file_removed_while_it_is_written_is_made_again(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_ticket *ticket;

    (void)state;
    for (int at = 0; at < 3; at++) { /* 0: during reserve, 1: during keep, 2: not at all */
        struct spool_seen seen = {.fate = SPOOL_DONE};

        syncs_until_removal = at;
        assert_int_equal(spool_fixture_reserve(sp, at, &ticket, NULL), ERR_OK);
        assert_int_equal(access(spool_path, F_OK), 0);
        assert_int_equal(spool_fixture_keep(sp, at, ticket, NULL), ERR_OK);
        spool_leave(sp, ticket);
        spool_fixture_replay(NULL, &seen);
        if (seen.records[at] != 1) fail_msg("removed during sync %d: %d records", at, seen.records[at]);
    }
    syncs_until_removal = -1;
    spool_free(sp);
}

static void the_folder_of_a_new_file_is_synced_by_whoever_uses_it_first(void **state)
{
    struct spool *first = spool_fixture_new(), *second = spool_fixture_new();
    struct spool_ticket *tickets[2];

    (void)state;
    folder_syncs = 0;
    assert_int_equal(spool_fixture_reserve(first, 1, &tickets[0], NULL), ERR_OK);
    assert_int_equal(folder_syncs, 1);
    assert_int_equal(spool_fixture_reserve(second, 2, &tickets[1], NULL), ERR_OK);
    assert_int_equal(folder_syncs, 2);
    spool_done(first, tickets[0]);
    spool_done(second, tickets[1]);
    spool_free(first);
    spool_free(second);
}

/* ---- at once */

static int compare_with_told(int64_t n, int is_record)
{
    enum told told = (enum told)atomic_load(&shared->told[n]);

    if (told == LEFT_RECORD) return is_record;
    return told == LEFT_INTENT && !is_record;
}

struct reader {
    unsigned char mine[NUMBERS]; /* what this process has said done */
    uint64_t random;
    int given, faults;
};

static enum spool_fate take_some(void *arg, const struct json *about, const struct spool_answer *answer)
{
    struct reader *reader = arg;
    int64_t n = spool_fixture_number(about, answer);

    reader->given++;
    if (n < 0 || n >= NUMBERS || reader->mine[n] || !compare_with_told(n, answer != NULL)) {
        fprintf(stderr, "given account %lld: told %d, said done %d\n", (long long)n,
                n < 0 ? -1 : atomic_load(&shared->told[n]), n < 0 ? -1 : reader->mine[n]);
        reader->faults++;
        return SPOOL_KEEP;
    }
    if (fixture_random(&reader->random) % 4 == 0) return SPOOL_KEEP;
    reader->mine[n] = 1;
    atomic_fetch_add(&shared->said_done[n], 1);
    return SPOOL_DONE;
}

static int append_and_replay(void *arg)
{
    static struct reader reader;
    struct spool *sp = spool_fixture_new();
    int64_t until_ms = clock_mono_ms() + SECONDS * 1000;
    struct spool_ticket *ticket;

    reader.random = 77 + (uint64_t) * (int *)arg;
    while (clock_mono_ms() < until_ms) {
        int64_t n = atomic_fetch_add(&shared->next, 1);
        struct spool_counts counts;
        struct err err = {0};

        if (n >= NUMBERS) break;
        if (spool_fixture_reserve(sp, n, &ticket, &err) != ERR_OK) {
            fprintf(stderr, "reserve: %s: %s\n", err.place, err.text);
            return 1;
        }
        tell(n, RESERVED);
        if (fixture_random(&reader.random) % 8) {
            if (spool_fixture_keep(sp, n, ticket, NULL) != ERR_OK) return 2;
            tell(n, KEPT);
        }
        finish(sp, ticket, n, fixture_random(&reader.random));
        if (fixture_random(&reader.random) % 8) continue;
        if (spool_replay(sp, 3600000, take_some, &reader, &counts, NULL) != ERR_OK || counts.damaged) return 3;
    }
    spool_free(sp);
    return reader.faults ? 4 : 0;
}

static void two_that_append_and_replay_at_once_lose_nothing_and_get_nothing_twice(void **state)
{
    static struct reader last;
    struct spool *sp = spool_fixture_new();
    int who[2] = {0, 1}, left = 0;
    pid_t pids[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        pids[i] = fixture_fork(append_and_replay, &who[i]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    last.random = 5;
    do {
        last.given = 0;
        assert_int_equal(spool_replay(sp, 0, take_some, &last, NULL, NULL), ERR_OK);
    } while (last.given);
    assert_int_equal(last.faults, 0);
    for (int n = 0; n < NUMBERS; n++) {
        int want = atomic_load(&shared->told[n]) >= LEFT_INTENT;

        if (atomic_load(&shared->said_done[n]) != want)
            fail_msg("account %d: told %d, said done %d times", n, shared->told[n], shared->said_done[n]);
        left += want;
    }
    assert_true(left > 100);
    printf("FIGURE: spool, two processes for %d s: %d refreshes, %d replayed, 0 lost, 0 twice\n", SECONDS,
           atomic_load(&shared->next), left);
    spool_free(sp);
}

static int reserve_in_a_crowd(void *arg)
{
    struct spool *sp = spool_fixture_new();
    struct spool_ticket *tickets[CROWD_EACH];
    int first = *(int *)arg * CROWD_EACH;

    fixture_meet(CROWD);
    for (int i = 0; i < CROWD_EACH; i++)
        if (spool_fixture_reserve(sp, first + i, &tickets[i], NULL) != ERR_OK) return 1;
    fixture_meet(CROWD);
    for (int i = 0; i < CROWD_EACH; i++)
        if (spool_fixture_keep(sp, first + i, tickets[i], NULL) != ERR_OK) return 2;
    fixture_meet(CROWD);
    for (int i = 0; i < CROWD_EACH; i++)
        spool_leave(sp, tickets[i]);
    return 0;
}

static void a_crowd_that_starts_on_an_empty_spool_gets_a_slot_each(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct spool_seen seen = {.fate = SPOOL_DONE};
        pid_t pids[CROWD];
        int who[CROWD];

        (void)unlink(spool_path);
        for (int i = 0; i < CROWD; i++) {
            who[i] = i;
            pids[i] = fixture_fork(reserve_in_a_crowd, &who[i]);
        }
        for (int i = 0; i < CROWD; i++)
            assert_int_equal(fixture_wait(pids[i]), 0);
        spool_fixture_replay(NULL, &seen);
        assert_int_equal(seen.wrong, 0);
        for (int n = 0; n < CROWD * CROWD_EACH; n++)
            if (seen.records[n] != 1) fail_msg("round %d: account %d: %d records", round, n, seen.records[n]);
    }
}

#define PROCESS_TEST(name) cmocka_unit_test_setup_teardown(name, setup_in_memory, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(writers_killed_at_random_lose_nothing_acknowledged),
        cmocka_unit_test_setup_teardown(writers_killed_at_random_lose_nothing_acknowledged_on_disk, setup_on_disk,
                                        teardown),
        PROCESS_TEST(a_writer_killed_before_any_of_its_system_calls_leaves_nothing_torn),
        PROCESS_TEST(a_sync_that_fails_is_told),
        PROCESS_TEST(a_file_removed_while_it_is_written_is_made_again),
        PROCESS_TEST(the_folder_of_a_new_file_is_synced_by_whoever_uses_it_first),
        PROCESS_TEST(two_that_append_and_replay_at_once_lose_nothing_and_get_nothing_twice),
        PROCESS_TEST(a_crowd_that_starts_on_an_empty_spool_gets_a_slot_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
