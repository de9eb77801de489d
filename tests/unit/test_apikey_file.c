/* The file of API keys: never half written, never read by others, and damage is told with its place. */
#include "apikey_fixture.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void assert_refused(const char *what, const char *reason)
{
    struct apikeys *keys = (struct apikeys *)1;
    const struct apikey_request request = {.name = "n", .scopes = SCOPE_READ};
    struct buf text = {0}, before = {0}, after = {0};
    struct err err = {0};
    char id[32];

    if (apikey_load(path, &keys, &err) != ERR_CONFIG)
        fail_msg("%s: got %s, expected bad_configuration", what, err_word(err.code));
    if (strcmp(err.place, path) != 0 || !strstr(err.text, reason))
        fail_msg("%s: got %s: %s, expected %s", what, err.place, err.text, reason);
    assert_null(keys);
    read_file(&before);
    assert_int_equal(apikey_create(path, &request, &text, id, NULL), ERR_CONFIG);
    assert_int_equal(apikey_revoke(path, "x", NULL), ERR_CONFIG);
    assert_int_equal(text.len, 0);
    read_file(&after);
    assert_string_equal(buf_text(&after), buf_text(&before));
    buf_free(&before);
    buf_free(&after);
}

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define KEY(id, name, hash, scopes, workspaces)                                                                        \
    "{\"id\":" id ",\"name\":" name ",\"sha256\":" hash ",\"scopes\":" scopes ",\"workspaces\":" workspaces "}"
#define GOOD         KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[\"*\"]")
#define FILE_OF(key) "{\"version\":1,\"keys\":[" GOOD "," key "]}"

static void damage_is_told_with_its_place(void **state)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "line 1, column 1"},
        {"{", "line 1, column 2"},
        {"{\"version\":1,\n\"keys\":[}\n", "line 2, column 9"},
        {"{\"version\":1,\"keys\":[],\"keys\":[]}", "line 1, column 24: a member name stands twice"},
        {"[]", "\"version\" is not 1"},
        {"null", "\"version\" is not 1"},
        {"{\"keys\":[]}", "\"version\" is not 1"},
        {"{\"version\":2,\"keys\":[]}", "\"version\" is not 1"},
        {"{\"version\":\"1\",\"keys\":[]}", "\"version\" is not 1"},
        {"{\"version\":1}", "\"keys\" is no list"},
        {"{\"version\":1,\"keys\":{}}", "\"keys\" is no list"},
        {"{\"version\":1,\"keys\":[1]}", "key 1: \"id\""},
        {FILE_OF("null"), "key 2: \"id\""},
        {FILE_OF("{}"), "key 2: \"id\""},
        {FILE_OF(KEY("\"\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[\"*\"]")), "key 2: \"id\""},
        {FILE_OF(KEY("7", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[\"*\"]")), "key 2: \"id\""},
        {FILE_OF(KEY("\"0123456789012345678901234567890x\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[\"*\"]")),
         "key 2: \"id\""},
        {FILE_OF(KEY("\"i\"", "null", "\"" HASH "\"", "[\"read\"]", "[\"*\"]")), "key 2: \"name\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"e3b0\"", "[\"read\"]", "[\"*\"]")), "key 2: \"sha256\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "0\"", "[\"read\"]", "[\"*\"]")), "key 2: \"sha256\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
                     "[\"read\"]", "[\"*\"]")),
         "key 2: \"sha256\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "null", "[\"read\"]", "[\"*\"]")), "key 2: \"sha256\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[]", "[\"*\"]")), "key 2: \"scopes\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "\"read\"", "[\"*\"]")), "key 2: \"scopes\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"root\"]", "[\"*\"]")), "key 2: \"scopes\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[1]", "[\"*\"]")), "key 2: \"scopes\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[]")), "key 2: \"workspaces\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "\"*\"")), "key 2: \"workspaces\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[\"\"]")), "key 2: \"workspaces\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[\"a\",7]")), "key 2: \"workspaces\""},
        {FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "null")), "key 2: \"workspaces\""}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(cases[i].text, 0600);
        assert_refused(cases[i].text, cases[i].reason);
    }
    write_file(FILE_OF(GOOD), 0600); /* the frame itself is good */
    struct apikeys *keys = load();
    assert_int_equal(apikey_count(keys), 2);
    apikey_free(keys);
}

static void a_star_beside_others_is_an_id_and_not_all(void **state)
{
    struct apikeys *keys;

    (void)state;
    write_file(FILE_OF(KEY("\"i\"", "\"n\"", "\"" HASH "\"", "[\"read\"]", "[\"*\",\"ws\"]")), 0600);
    keys = load();
    assert_int_equal(apikey_at(keys, 1)->workspace_count, 2);
    apikey_free(keys);
}

static void a_file_that_others_may_read_is_refused(void **state)
{
    static const mode_t bad[] = {0604, 0644, 0602, 0601, 0666, 0777}, good[] = {0600, 0640, 0660, 0400};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("{\"version\":1,\"keys\":[]}", bad[i]);
        assert_refused("a mode", "chmod o=");
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        fixture_clean(NULL);
        write_file("{\"version\":1,\"keys\":[]}", good[i]);
        apikey_free(load());
    }
}

static void a_file_that_is_not_there_is_told(void **state)
{
    struct apikeys *keys = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(apikey_load(path, &keys, &err), ERR_CONFIG);
    assert_string_equal(err.place, path);
    assert_non_null(strstr(err.text, "No such file"));
}

static void the_mode_is_kept_and_a_new_file_is_private(void **state)
{
    struct buf text = {0};
    struct stat st;
    char id[32];

    (void)state;
    umask(0);
    create("k", SCOPE_READ, NULL, &text, id);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    chmod(path, 0640);
    create("k", SCOPE_READ, NULL, &text, id);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(stat(leftover, &st), -1);
    buf_free(&text);
}

/* The name of the temporary file is known: what lies there must not be followed or kept. */
static void what_a_killed_process_left_behind_is_no_obstacle(void **state)
{
    struct buf text = {0};
    char id[32], target[128];
    struct stat st;

    (void)state;
    snprintf(target, sizeof target, "%s/target", dir);
    assert_int_equal(symlink(target, leftover), 0);
    create("k", SCOPE_READ, NULL, &text, id);
    assert_int_equal(lstat(leftover, &st), -1);
    assert_int_equal(lstat(target, &st), -1);
    apikey_free(load());
    buf_free(&text);
}

/* In a process that may not write more than a few bytes a file. */
static void a_full_disk_changes_nothing_and_gives_no_key(void **state)
{
    struct buf text = {0}, before = {0}, after = {0};
    char id[32];
    struct stat st;
    int status = 0;
    pid_t pid;

    (void)state;
    create("k", SCOPE_READ, NULL, &text, id);
    read_file(&before);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct apikey_request request = {.name = "n", .scopes = SCOPE_READ};
        struct rlimit limit = {100, 100};
        struct buf none = {0};

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(apikey_create(path, &request, &none, id, NULL) == ERR_IO && none.len == 0 &&
                      apikey_revoke(path, "none", NULL) == ERR_NOT_FOUND
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    read_file(&after);
    assert_string_equal(buf_text(&after), buf_text(&before));
    assert_int_equal(stat(leftover, &st), -1);
    buf_free(&text);
    buf_free(&before);
    buf_free(&after);
}

/* ---- many at once */

enum { PROCESSES = 8, KEYS_EACH = 15 };

static void create_and_revoke(void)
{
    for (int i = 0; i < KEYS_EACH; i++) {
        struct buf text = {0};
        char id[32];

        create("concurrent", SCOPE_READ, NULL, &text, id);
        if (i % 3 == 0 && apikey_revoke(path, id, NULL) != ERR_OK) _exit(1);
        buf_free(&text);
    }
    _exit(0);
}

static void keys_made_by_many_processes_at_once_are_all_there(void **state)
{
    struct apikeys *keys;
    struct buf text = {0};
    char id[32];
    int left = PROCESSES, status;

    (void)state;
    create("first", SCOPE_READ, NULL, &text, id);
    for (int i = 0; i < PROCESSES; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) create_and_revoke();
    }
    while (left > 0) { /* whoever reads meanwhile finds a whole file each time */
        pid_t pid = waitpid(-1, &status, WNOHANG);

        assert_true(pid >= 0);
        if (pid > 0) {
            assert_int_equal(status, 0);
            left--;
        }
        keys = load();
        assert_non_null(apikey_find(keys, text.data, text.len));
        apikey_free(keys);
    }
    keys = load();
    assert_int_equal(apikey_count(keys), 1 + PROCESSES * KEYS_EACH * 2 / 3);
    apikey_free(keys);
    buf_free(&text);
}

static void there_is_a_limit_to_the_number_of_keys(void **state)
{
    const struct apikey_request request = {.name = "n", .scopes = SCOPE_READ};
    struct buf text = {0}, file = {0};
    struct err err = {0};
    char id[32];

    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        buf_reset(&file);
        buf_puts(&file, "{\"version\":1,\"keys\":[" GOOD);
        for (int i = 1; i < LIMIT_API_KEYS + extra; i++)
            buf_puts(&file, "," GOOD);
        buf_puts(&file, "]}");
        write_file(buf_text(&file), 0600);
        if (extra) {
            assert_refused("too many keys", "no list of at most 1024");
            continue;
        }
        apikey_free(load());
        assert_int_equal(apikey_create(path, &request, &text, id, &err), ERR_BAD_INPUT);
        assert_string_equal(err.text, "there are 1024 keys already");
    }
    buf_free(&file);
    buf_free(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fixture_clean)
    const struct CMUnitTest tests[] = {
        TEST(damage_is_told_with_its_place),
        TEST(a_star_beside_others_is_an_id_and_not_all),
        TEST(a_file_that_others_may_read_is_refused),
        TEST(a_file_that_is_not_there_is_told),
        TEST(the_mode_is_kept_and_a_new_file_is_private),
        TEST(what_a_killed_process_left_behind_is_no_obstacle),
        TEST(a_full_disk_changes_nothing_and_gives_no_key),
        TEST(keys_made_by_many_processes_at_once_are_all_there),
        TEST(there_is_a_limit_to_the_number_of_keys),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
