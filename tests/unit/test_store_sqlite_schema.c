/* A database file that an older program made: what is in it is kept, and what is new is there. */
#include "cmocka_all.h"
#include "store/store.h"
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96], uri[128];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/token-health-schema-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/accounts.db", dir);
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    return 0;
}

static int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char file[sizeof path + 8];

    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
    return rmdir(dir);
}

static void make_file(const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static const char first_schema[] =
    "CREATE TABLE accounts(id TEXT NOT NULL UNIQUE, platform TEXT NOT NULL, workspace TEXT, active INTEGER NOT NULL,"
    " needs INTEGER NOT NULL, state TEXT NOT NULL, status TEXT NOT NULL, doc TEXT NOT NULL);"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT INTO meta VALUES('monitor','{\"pid\":7}');"
    "INSERT INTO accounts VALUES('s:a','instagram',NULL,1,0,'','old',"
    "'{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenStatus\":\"old\"}');"
    "PRAGMA user_version=1";

static void a_file_of_the_first_schema_is_brought_up_and_loses_nothing(void **state)
{
    const struct store_options options = {uri, "socialaccounts", 1000};
    const char *const names[] = {"monitor"};
    struct json *value = NULL;
    struct store *store = NULL;
    struct account account;
    int64_t version = 0, now_ms = 0;
    struct err err = {0};

    (void)state;
    make_file(first_schema);
    if (store_open(&options, &store, &err) != ERR_OK) fail_msg("open: %s", err.text);
    assert_int_equal(store_find_account(store, "a", &account, &err), ERR_OK);
    assert_string_equal(account.token_status, "old");
    assert_int_equal(store_meta_get(store, "monitor", &value, &err), ERR_OK);
    assert_non_null(json_member(value, "pid"));
    assert_int_equal(store_meta_versions(store, names, 1, &version, &err), ERR_OK);
    assert_true(version == 1);
    assert_int_equal(store_lease_create(store, "lease", value, NULL, &err), ERR_OK);
    assert_int_equal(store_now(store, &now_ms, &err), ERR_OK);
    json_free(value);
    account_fini(&account);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_of_the_first_schema_is_brought_up_and_loses_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
