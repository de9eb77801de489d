/* What the SQLite store promises beyond the contract of both stores: the file is private, every write is on disk when it returns, and
 * a disk that is full, a file that is locked, replaced, read-only or of another kind is an error with a reason, not a loss. */
#include "base/clock.h"
#include "json_fixture.h"
#include "store/store.h"
#include "watched_sqlite.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMEOUT_MS = 400, SLACK_MS = 700, KILLS = 25, TEST_SECONDS = 300 };

static char dir[64], path[128], uri[160];

/* ---- the store ---- */

static struct store *open_store(enum err_code *rc, struct err *err)
{
    const struct store_options options = {uri, "socialaccounts", TIMEOUT_MS};
    struct store *store = NULL;

    *rc = store_open(&options, &store, err);
    return store;
}

static struct store *open_good(void)
{
    struct err err = {0};
    enum err_code rc;
    struct store *store = open_store(&rc, &err);

    if (!store) fail_msg("store_open: %s %s", err.place, err.text);
    return store;
}

static int setup(void **state)
{
    (void)state;
    alarm(TEST_SECONDS);
    watched_write_result = SQLITE_OK;
    snprintf(dir, sizeof dir, "/tmp/token-health-sqlite-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/accounts.db", dir);
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"", "-wal", "-shm", ".other", ".other-wal", ".other-shm"};
    char file[160];

    (void)state;
    watched_write_result = SQLITE_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(file, sizeof file, "%s%s", path, names[i]);
        unlink(file);
    }
    return rmdir(dir);
}

static enum err_code put(struct store *store, const char *text, int replace, struct err *err)
{
    struct json *doc = fixture_json(text);
    int created;
    enum err_code rc = store_import(store, doc, replace, &created, err);

    json_free(doc);
    return rc;
}

static void put_good(struct store *store, const char *text)
{
    struct err err = {0};

    if (put(store, text, 1, &err) != ERR_OK) fail_msg("%s: %s", text, err.text);
}

static enum err_code set_status(struct store *store, const char *status, struct err *err)
{
    const struct account_id id = {ID_STRING, "a"};
    struct patch p = {0};
    enum err_code rc;

    patch_set_string(&p, "tokenStatus", status);
    rc = store_update(store, &id, &p, err);
    patch_fini(&p);
    return rc;
}

static void expect_status(struct store *store, const char *expected)
{
    struct account a;
    struct err err = {0};

    if (store_find_account(store, "a", &a, &err) != ERR_OK) fail_msg("find: %s", err.text);
    if (strcmp(a.token_status, expected) != 0)
        fail_msg("the status is \"%s\", expected \"%s\"", a.token_status, expected);
    account_fini(&a);
}

static const char doc_a[] = "{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenStatus\":\"old\"}";

static void expect_error(enum err_code rc, enum err_code expected, const struct err *err, const char *words)
{
    if (rc != expected || !strstr(err->text, words))
        fail_msg("got %s \"%s\", expected %s with \"%s\"", err_word(rc), err->text, err_word(expected), words);
}

/* A second connection, past the store. */
static sqlite3 *open_raw(const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    if (sql && sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return db;
}

static void expect_pragma(const char *sql, const char *expected)
{
    sqlite3 *db = open_raw(NULL);
    sqlite3_stmt *st = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), expected);
    sqlite3_finalize(st);
    sqlite3_close(db);
}

/* ---- the file ---- */

static void the_file_and_what_lies_beside_it_are_the_owners_alone(void **state)
{
    static const char *const names[] = {"", "-wal", "-shm"};
    mode_t before = umask(0);
    struct store *store = open_good();

    (void)state;
    put_good(store, doc_a);
    umask(before);
    for (size_t i = 0; i < 3; i++) {
        char file[160];
        struct stat st;

        snprintf(file, sizeof file, "%s%s", path, names[i]);
        assert_int_equal(stat(file, &st), 0);
        if ((st.st_mode & 07777) != 0600) fail_msg("%s has mode %o, expected 600", file, st.st_mode & 07777);
    }
    store_close(store);
}

static void every_write_is_synced_unless_it_is_loose(void **state)
{
    static const int loose[] = {0, 0, 1, 1, 0, 1, 0};
    const struct account_id id = {ID_STRING, "a"};
    struct store *store = open_good();

    (void)state;
    put_good(store, doc_a);
    expect_pragma("PRAGMA journal_mode", "wal");
    for (size_t i = 0; i < sizeof loose / sizeof *loose; i++) {
        struct patch p = {.loose = loose[i]};
        struct err err = {0};

        patch_set_int(&p, "tokenHealth.n", (int64_t)i);
        watched_sync_count = 0;
        assert_int_equal(store_update(store, &id, &p, &err), ERR_OK);
        if ((watched_sync_count == 0) != loose[i]) fail_msg("write %zu: %d syncs", i, watched_sync_count);
        patch_fini(&p);
    }
    watched_sync_count = 0;
    put_good(store, doc_a);
    assert_true(watched_sync_count > 0);
    store_close(store);
}

static void the_schema_has_its_version(void **state)
{
    struct store *store = open_good();

    (void)state;
    expect_pragma("PRAGMA user_version", "2");
    store_close(store);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct err err = {0};
    enum err_code rc;

    (void)state;
    store_close(open_good());
    sqlite3_close(open_raw("PRAGMA user_version=99"));
    assert_null(open_store(&rc, &err));
    expect_error(rc, ERR_CONFIG, &err, "99");
    expect_pragma("PRAGMA user_version", "99");
}

static void a_file_of_another_kind_is_refused_and_left_alone(void **state)
{
    static const char text[] = "this is somebody's letter, and by far longer than the header of a database would be, "
                               "so that it is read as one";
    char back[sizeof text] = "";
    struct err err = {0};
    enum err_code rc;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    assert_null(open_store(&rc, &err));
    expect_error(rc, ERR_IO, &err, "not a database");
    assert_int_equal(pread(fd, back, sizeof back, 0), sizeof back);
    assert_string_equal(back, text);
    close(fd);
}

static void a_file_that_vanished_is_waited_for_and_not_made_anew(void **state)
{
    char other[160];
    struct store *store = open_good();
    struct err err = {0};

    (void)state;
    put_good(store, doc_a);
    snprintf(other, sizeof other, "%s.other", path);
    assert_int_equal(rename(path, other), 0);
    expect_error(set_status(store, "lost", &err), ERR_UNAVAILABLE, &err, path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rename(other, path), 0);
    expect_status(store, "old");
    err_clear(&err);
    assert_int_equal(set_status(store, "new", &err), ERR_OK);
    expect_status(store, "new");
    store_close(store);
}

static void a_file_that_was_replaced_is_opened_anew(void **state)
{
    char other[160];
    struct store *store = open_good(), *second;
    struct err err = {0};

    (void)state;
    put_good(store, doc_a);
    store_close(store);
    snprintf(other, sizeof other, "%s.other", path);
    assert_int_equal(rename(path, other), 0);
    store = open_good();
    put_good(store, "{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenStatus\":\"second\"}");
    second = open_good();
    store_close(second);
    sqlite3_close(open_raw("PRAGMA wal_checkpoint(TRUNCATE)"));
    assert_int_equal(rename(other, path), 0);
    expect_status(store, "old");
    assert_int_equal(set_status(store, "new", &err), ERR_OK);
    expect_status(store, "new");
    store_close(store);
}

/* ---- failing ---- */

static void a_full_disk_is_said_and_loses_nothing(void **state)
{
    struct store *store = open_good();
    struct err err = {0};

    (void)state;
    put_good(store, doc_a);
    watched_write_result = SQLITE_FULL;
    expect_error(set_status(store, "new", &err), ERR_NOSPACE, &err, "full");
    err_clear(&err);
    expect_error(put(store, "{\"_id\":\"b\",\"platform\":\"instagram\"}", 0, &err), ERR_NOSPACE, &err, "full");
    expect_status(store, "old");
    watched_write_result = SQLITE_OK;
    expect_status(store, "old");
    err_clear(&err);
    assert_int_equal(set_status(store, "new", &err), ERR_OK);
    expect_status(store, "new");
    store_close(store);
}

static void a_failing_disk_is_said_and_loses_nothing(void **state)
{
    struct store *store = open_good();
    struct err err = {0};

    (void)state;
    put_good(store, doc_a);
    watched_write_result = SQLITE_IOERR_WRITE;
    expect_error(set_status(store, "new", &err), ERR_IO, &err, path);
    watched_write_result = SQLITE_OK;
    expect_status(store, "old");
    err_clear(&err);
    assert_int_equal(set_status(store, "new", &err), ERR_OK);
    store_close(store);
}

/* As a user who may only read, in a child. Exit status 0: each write was an error with a reason. */
static int read_only_child(void)
{
    struct err err = {0};
    enum err_code rc;
    struct store *store;

    if (getuid() == 0 && setuid(65534) != 0) return 2;
    store = open_store(&rc, &err);
    if (!store) return rc != ERR_OK && err.text[0] ? 0 : 3;
    rc = set_status(store, "new", &err);
    store_close(store);
    return rc != ERR_OK && strstr(err.text, path) ? 0 : 4;
}

static void a_file_that_may_only_be_read_is_not_written_and_says_so(void **state)
{
    for (int with_writable_dir = 0; with_writable_dir < 2; with_writable_dir++) {
        struct store *store = open_good();
        int status;
        pid_t pid;

        (void)state;
        put_good(store, doc_a);
        store_close(store);
        assert_int_equal(chmod(path, 0444), 0);
        assert_int_equal(chmod(dir, with_writable_dir ? 0777 : 0555), 0);
        pid = fork();
        if (pid == 0) _exit(read_only_child());
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
        assert_int_equal(chmod(dir, 0700), 0);
        assert_int_equal(chmod(path, 0600), 0);
        store = open_good();
        expect_status(store, "old");
        store_close(store);
    }
}

static void a_writer_waits_for_another_no_longer_than_the_timeout_and_readers_go_on(void **state)
{
    struct store *store = open_good();
    struct err err = {0};
    sqlite3 *other;
    int64_t start_ms, took_ms;

    (void)state;
    put_good(store, doc_a);
    other = open_raw("BEGIN IMMEDIATE");
    start_ms = clock_mono_ms();
    expect_error(set_status(store, "new", &err), ERR_UNAVAILABLE, &err, "locked");
    took_ms = clock_mono_ms() - start_ms;
    if (took_ms < TIMEOUT_MS / 2 || took_ms > TIMEOUT_MS + SLACK_MS) fail_msg("waited %d ms", (int)took_ms);
    expect_status(store, "old");
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    err_clear(&err);
    assert_int_equal(set_status(store, "new", &err), ERR_OK);
    store_close(store);
}

/* ---- durable ---- */

/* A child that writes 1, 2, 3 … and tells each number once it is written. */
static void write_numbers(int out)
{
    struct store *store = open_good();
    const struct account_id id = {ID_STRING, "a"};

    for (int n = 1;; n++) {
        struct patch p = {0};
        struct err err = {0};

        patch_set_int(&p, "tokenHealth.n", n);
        patch_set_int(&p, "tokenHealth.twin", n);
        if (store_update(store, &id, &p, &err) != ERR_OK || write(out, &n, sizeof n) != sizeof n) _exit(1);
        patch_fini(&p);
    }
}

static int kill_in_the_middle(int after_us)
{
    int pipe_fds[2], n, told = 0, status;
    pid_t pid;

    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pipe_fds[0]);
        write_numbers(pipe_fds[1]);
    }
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &told, sizeof told), sizeof told);
    usleep((useconds_t)after_us);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    while (read(pipe_fds[0], &n, sizeof n) == sizeof n)
        told = n;
    close(pipe_fds[0]);
    return told;
}

static void a_writer_that_stopped_with_the_turn_in_its_hand_holds_up_nobody(void **state)
{
    struct store *store = open_good();
    int turn = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t start_ms = clock_mono_ms();

    (void)state;
    assert_int_equal(flock(turn, LOCK_EX | LOCK_NB), 0);
    for (int i = 0; i < 40; i++)
        put_good(store, doc_a);
    if (clock_mono_ms() - start_ms > 10 * TIMEOUT_MS) fail_msg("%d ms", (int)(clock_mono_ms() - start_ms));
    close(turn);
    store_close(store);
}

static void what_was_written_survives_a_kill_at_any_moment(void **state)
{
    struct store *store = open_good();

    (void)state;
    put_good(store, doc_a);
    store_close(store);
    for (int i = 0; i < KILLS; i++) {
        int told = kill_in_the_middle(i * 700);
        struct account a;
        struct err err = {0};
        int64_t n = 0, twin = 0;

        store = open_good();
        assert_int_equal(store_find_account(store, "a", &a, &err), ERR_OK);
        json_int(json_member(a.health, "n"), &n);
        json_int(json_member(a.health, "twin"), &twin);
        if (n < told || n > told + 1 || n != twin) fail_msg("told %d, stored %d and %d", told, (int)n, (int)twin);
        account_fini(&a);
        store_close(store);
        expect_pragma("PRAGMA integrity_check", "ok");
    }
}

static void a_plain_token_that_was_unset_is_not_left_in_the_file(void **state)
{
    static const char token[] = "IGAAcanary0123456789";
    static char bytes[1 << 20];
    char text[512];
    const struct account_id id = {ID_STRING, "a"};
    struct store *store = open_good();
    struct patch p = {0};
    struct err err = {0};
    ssize_t len;
    int fd;

    (void)state;
    snprintf(text, sizeof text,
             "{\"accessToken\":\"%s\",\"_id\":\"a\",\"platform\":\"instagram\",\"tokenStatus\":\"%0200d\"}", token, 0);
    put_good(store, text);
    sqlite3_close(open_raw("PRAGMA wal_checkpoint(TRUNCATE)"));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    len = pread(fd, bytes, sizeof bytes, 0);
    assert_true(len > 0 && memmem(bytes, (size_t)len, token, sizeof token - 1));
    patch_unset(&p, "accessToken");
    patch_set_string(&p, "tokenStatus", "valid"); /* shorter: the place of the token is not written again */
    assert_int_equal(store_update(store, &id, &p, &err), ERR_OK);
    patch_fini(&p);
    store_close(store);
    len = pread(fd, bytes, sizeof bytes, 0);
    assert_true(len > 0 && !memmem(bytes, (size_t)len, token, sizeof token - 1));
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_file_and_what_lies_beside_it_are_the_owners_alone),
        TEST(every_write_is_synced_unless_it_is_loose),
        TEST(the_schema_has_its_version),
        TEST(a_newer_schema_is_refused_and_left_alone),
        TEST(a_file_of_another_kind_is_refused_and_left_alone),
        TEST(a_file_that_vanished_is_waited_for_and_not_made_anew),
        TEST(a_file_that_was_replaced_is_opened_anew),
        TEST(a_full_disk_is_said_and_loses_nothing),
        TEST(a_failing_disk_is_said_and_loses_nothing),
        TEST(a_file_that_may_only_be_read_is_not_written_and_says_so),
        TEST(a_writer_waits_for_another_no_longer_than_the_timeout_and_readers_go_on),
        TEST(a_writer_that_stopped_with_the_turn_in_its_hand_holds_up_nobody),
        TEST(what_was_written_survives_a_kill_at_any_moment),
        TEST(a_plain_token_that_was_unset_is_not_left_in_the_file),
    };

    return cmocka_run_group_tests(tests, watched_install, NULL);
}
