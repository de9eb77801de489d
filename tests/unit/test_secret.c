/* Secrets: kept out of core files, wiped when given back, and a process that holds some leaves no core. */
#include "memory_fixture.h"
#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
enum { MOST_BYTES = 64 * 1024 };

/* The VmFlags line of the mapping that ${mem} is in. */
static void flags_of(const void *mem, char *flags, size_t size)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    unsigned long from, to, at = (unsigned long)(uintptr_t)mem;
    int inside = 0;
    char line[512];

    assert_non_null(maps);
    flags[0] = '\0';
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = at >= from && at < to;
        else if (inside && !strncmp(line, "VmFlags:", 8))
            snprintf(flags, size, "%s", line + 8);
    }
    fclose(maps);
}

static void secrets_of_every_size_lie_where_no_core_file_goes(void **state)
{
    static const size_t sizes[] = {1, 16, 127, 128, 129, 1023, 1024, 8192, 16383, 16384, 40000, MOST_BYTES};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct secret s = {0};
        char flags[512];

        assert_int_equal(secret_new(&s, sizes[i], NULL), ERR_OK);
        memset(secret_room(&s), 'x', sizes[i]);
        flags_of(secret_bytes(&s), flags, sizeof flags);
        if (!strstr(flags, " dd")) fail_msg("%zu bytes: VmFlags%s, expected dd", sizes[i], flags);
        secret_free(&s);
    }
}

static void a_new_secret_is_zero_and_ends_in_nul(void **state)
{
    struct secret s = {0};

    (void)state;
    assert_int_equal(secret_is_empty(&s), 1);
    assert_int_equal(secret_is_empty(NULL), 1);
    for (size_t len = 1; len < 3000; len += 1 + len / 7) {
        assert_int_equal(secret_new(&s, len, NULL), ERR_OK);
        assert_int_equal(s.len, len);
        for (size_t i = 0; i <= len; i++)
            assert_int_equal(secret_bytes(&s)[i], 0);
        memset(secret_room(&s), 0xff, len + 1);
    }
    secret_free(&s);
    secret_free(&s);
    secret_free(NULL);
    assert_int_equal(secret_is_empty(&s), 1);
}

static void sizes_beyond_the_limits_are_refused(void **state)
{
    static const size_t bad[] = {0, MOST_BYTES + 1, 1 << 20, SIZE_MAX, SIZE_MAX - 1};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct secret s = {0};
        struct err err = {0};

        if (secret_new(&s, bad[i], &err) != ERR_BAD_INPUT) fail_msg("%zu bytes: expected bad_request", bad[i]);
        assert_true(secret_is_empty(&s));
        assert_non_null(strstr(err.text, "1 to 65536 bytes"));
    }
}

static void what_is_given_back_is_wiped(void **state)
{
    static const size_t sizes[] = {5, 100, 1000, 9000, MOST_BYTES};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct secret s = {0};
        const unsigned char *mem;

        assert_int_equal(secret_new(&s, sizes[i], NULL), ERR_OK);
        memset(secret_room(&s), 0xa5, sizes[i]);
        mem = secret_bytes(&s);
        secret_free(&s);
        for (size_t at = 0; at < sizes[i]; at++) /* the arena stays mapped */
            if (mem[at] != 0) fail_msg("%zu bytes: byte %zu is %02x after secret_free", sizes[i], at, mem[at]);
    }
}

static void put_replaces_shrink_cuts_and_move_empties(void **state)
{
    struct secret a = {0}, b = {0};
    const unsigned char *mem;

    (void)state;
    assert_int_equal(secret_put(&a, "first secret", 12, NULL), ERR_OK);
    assert_int_equal(secret_put(&a, "second", 6, NULL), ERR_OK);
    assert_string_equal((const char *)secret_bytes(&a), "second");
    mem = secret_bytes(&a);
    secret_shrink(&a, 9);
    assert_int_equal(a.len, 6);
    secret_shrink(&a, 3);
    assert_string_equal((const char *)secret_bytes(&a), "sec");
    assert_memory_equal(mem, "sec\0\0\0", 6);
    assert_int_equal(secret_put(&b, "other", 5, NULL), ERR_OK);
    secret_move(&b, &a);
    assert_string_equal((const char *)secret_bytes(&b), "sec");
    assert_int_equal(b.len, 3);
    assert_true(secret_is_empty(&a));
    secret_move(&b, &b);
    assert_int_equal(b.len, 3);
    secret_shrink(&b, 0);
    assert_true(secret_is_empty(&b));
    secret_free(&b);
    secret_shrink(&b, 0);
}

static void put_from_itself_keeps_the_bytes(void **state)
{
    struct secret s = {0};

    (void)state;
    assert_int_equal(secret_put(&s, "thk_abcdef", 10, NULL), ERR_OK);
    assert_int_equal(secret_put(&s, secret_bytes(&s) + 4, 6, NULL), ERR_OK);
    assert_string_equal((const char *)secret_bytes(&s), "abcdef");
    secret_free(&s);
}

static void equal_looks_at_every_byte(void **state)
{
    struct secret a = {0}, b = {0}, none = {0};
    unsigned char *bytes;

    (void)state;
    assert_int_equal(secret_equal(&none, &none), 1);
    assert_int_equal(secret_new(&a, 33, NULL), ERR_OK);
    assert_int_equal(secret_new(&b, 33, NULL), ERR_OK);
    assert_int_equal(secret_equal(&a, &none), 0);
    assert_int_equal(secret_equal(&none, &a), 0);
    assert_int_equal(secret_equal(&a, &b), 1);
    bytes = secret_room(&b);
    for (size_t i = 0; i < 33; i++) {
        bytes[i] = 1;
        assert_int_equal(secret_equal(&a, &b), 0);
        bytes[i] = 0;
    }
    secret_shrink(&b, 32);
    assert_int_equal(secret_equal(&a, &b), 0);
    secret_free(&a);
    secret_free(&b);
}

/* Thousands at once, given back in another order, again and again. */
static void no_two_secrets_share_a_byte(void **state)
{
    enum { COUNT = 3000 };
    static struct secret all[COUNT];
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < COUNT; i++) {
            size_t len = 1 + (size_t)rand_r(&seed) % (i % 50 == 0 ? 20000 : 300);

            if (secret_is_empty(&all[i])) {
                assert_int_equal(secret_new(&all[i], len, NULL), ERR_OK);
                memset(secret_room(&all[i]), 1 + i % 255, len);
            }
        }
        for (int i = 0; i < COUNT; i++) {
            for (size_t at = 0; at < all[i].len; at++)
                if (secret_bytes(&all[i])[at] != 1 + i % 255) fail_msg("secret %d was overwritten at %zu", i, at);
            assert_int_equal(secret_bytes(&all[i])[all[i].len], 0);
        }
        for (int i = 0; i < COUNT; i++)
            if (round == 5 || rand_r(&seed) % 2) secret_free(&all[i]);
    }
}

static void heap_memory_is_kept_when_it_grows_and_wiped_when_it_goes(void **state)
{
    unsigned char inverted[48];
    char *mem;

    (void)state;
    for (size_t i = 0; i < sizeof inverted; i++)
        inverted[i] = (unsigned char)(i * 37 + 11);
    mem = secret_heap_realloc(NULL, sizeof inverted);
    assert_non_null(mem);
    for (size_t i = 0; i < sizeof inverted; i++)
        mem[i] = (char)~inverted[i];
    mem = secret_heap_realloc(mem, 1000);
    for (size_t i = 0; i < sizeof inverted; i++)
        assert_int_equal(mem[i], (char)~inverted[i]);
    mem = secret_heap_realloc(mem, 100000);
    assert_int_equal(mem[1], (char)~inverted[1]);
    assert_true(fixture_memory_holds(inverted, sizeof inverted));
    secret_heap_free(mem);
    secret_heap_free(NULL);
    assert_false(fixture_memory_holds(inverted + 16, sizeof inverted - 16));
}

/* ---- crashes */

/* What the crashing process holds: one secret in the arena, one text in plain memory that shows that the search works. */
static const unsigned char secret_inverted[32] =
    "\x9a\x8b\x8c\x9d\x9e\xab\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98\x9a\x8b\x8c"
    "\x9d\x9e\xac\x8f\x90\x91\x92\x93\x94\x95\x96\x97";
static const unsigned char plain_inverted[32] =
    "\x8a\x8b\x8c\x9d\x9e\xab\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98\x9a\x8b\x8c"
    "\x9d\x9e\xac\x8f\x90\x91\x92\x93\x94\x95\x96\x96";
static volatile unsigned char plain_memory[32];

static void crash_with_a_secret(const char *dir, int hardened)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    struct secret s = fixture_inverted(secret_inverted, sizeof secret_inverted);

    for (size_t i = 0; i < sizeof plain_memory; i++)
        plain_memory[i] = (unsigned char)~plain_inverted[i];
    setrlimit(RLIMIT_CORE, &all);
    if (hardened) secret_harden_process();
    if (chdir(dir) != 0 || secret_is_empty(&s)) _exit(3);
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* Runs the crash in a folder of its own; gives the status. The core, if there is one, is at ${path}, else that is empty. */
static int crash(int hardened, char *dir, char *path, size_t size)
{
    struct dirent *entry;
    int status = 0;
    pid_t pid;
    DIR *d;

    assert_non_null(mkdtemp(dir));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) crash_with_a_secret(dir, hardened);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    path[0] = '\0';
    d = opendir(dir);
    assert_non_null(d);
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.') snprintf(path, size, "%s/%s", dir, entry->d_name);
    closedir(d);
    return status;
}

static int file_holds(const char *path, const unsigned char *inverted, size_t len)
{
    struct stat st;
    void *content;
    int fd = open(path, O_RDONLY | O_CLOEXEC), found;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    content = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(content != MAP_FAILED);
    found = fixture_page_holds(content, (size_t)st.st_size, inverted, len);
    munmap(content, (size_t)st.st_size);
    close(fd);
    return found;
}

static void clean(const char *dir, const char *path)
{
    if (*path) unlink(path);
    rmdir(dir);
}

/* Where the system writes cores elsewhere (core_pattern), the flags of the mapping, tested above, must do. */
static void a_core_file_has_no_secret_in_it(void **state)
{
    char dir[] = "/tmp/th-core-XXXXXX", path[512];
    int status, had_core;

    (void)state;
    if (SANITIZED) {
        print_message("a sanitizer writes no core files; the mapping's flags are tested\n");
        return;
    }
    status = crash(0, dir, path, sizeof path);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    had_core = *path != '\0';
    if (had_core) {
        assert_true(file_holds(path, plain_inverted, sizeof plain_inverted));
        assert_false(file_holds(path, secret_inverted, sizeof secret_inverted));
        assert_false(file_holds(path, secret_inverted, 16));
    }
    clean(dir, path);
    print_message("a core file %s\n",
                  had_core ? "was searched" : "goes elsewhere on this system; the mapping's flags are tested");
}

static void a_hardened_process_leaves_no_core_and_cannot_be_looked_into(void **state)
{
    char dir[] = "/tmp/th-core-XXXXXX", path[512];
    int status = crash(1, dir, path, sizeof path);
    pid_t pid;

    (void)state;
    clean(dir, path);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (WCOREDUMP(status) || *path) fail_msg("a core was written: %s", path);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit limit = {1, 1};

        secret_harden_process();
        getrlimit(RLIMIT_CORE, &limit);
        _exit(limit.rlim_cur == 0 && limit.rlim_max == 0 && (SANITIZED || prctl(PR_GET_DUMPABLE) == 0) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_of_every_size_lie_where_no_core_file_goes),
        cmocka_unit_test(a_new_secret_is_zero_and_ends_in_nul),
        cmocka_unit_test(sizes_beyond_the_limits_are_refused),
        cmocka_unit_test(what_is_given_back_is_wiped),
        cmocka_unit_test(put_replaces_shrink_cuts_and_move_empties),
        cmocka_unit_test(put_from_itself_keeps_the_bytes),
        cmocka_unit_test(equal_looks_at_every_byte),
        cmocka_unit_test(no_two_secrets_share_a_byte),
        cmocka_unit_test(heap_memory_is_kept_when_it_grows_and_wiped_when_it_goes),
        cmocka_unit_test(a_core_file_has_no_secret_in_it),
        cmocka_unit_test(a_hardened_process_leaves_no_core_and_cannot_be_looked_into),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
