/* The contract in trouble: the store is gone, hangs, comes back; each call then ends in time, says so, and works again by itself. And
 * nothing that is secret is in what it says. */
#include "store_fixture.h"

enum { OPS = 8, SLACK_MS = 700 /* for a busy machine */, PAUSE_MS = 1000 /* in which nothing is asked after a hang */ };

static enum err_code run_op(int op, struct err *err)
{
    const struct account_id id = {ID_STRING, "a"};
    struct fixture_list list = {0};
    struct account account = {0};
    struct store_counts counts;
    struct store_page page;
    struct patch p = {0};
    struct json *doc = fixture_json("{\"_id\":\"a\",\"platform\":\"instagram\",\"workspaceId\":\"w\"}"), *value = NULL;
    enum err_code rc = ERR_OK;
    int created;

    switch (op) {
    case 0:
        rc = store_ping(fx.store, err);
        break;
    case 1:
        rc = store_find_account(fx.store, "a", &account, err);
        break;
    case 2:
        rc = store_find_workspace(fx.store, "instagram", "w", 10, fixture_collect, &list, err);
        break;
    case 3:
        rc = store_scan(fx.store, "instagram", NULL, 10, fixture_collect, &list, &page, err);
        break;
    case 4:
        patch_set_string(&p, "tokenStatus", "valid");
        rc = store_update(fx.store, &id, &p, err);
        break;
    case 5:
        rc = store_import(fx.store, doc, 1, &created, err);
        break;
    case 6:
        rc = store_count(fx.store, NULL, &counts, err);
        break;
    case 7:
        rc = store_meta_put(fx.store, "m", doc, err);
        if (rc == ERR_OK) rc = store_meta_get(fx.store, "m", &value, err);
        break;
    default:
        break;
    }
    patch_fini(&p);
    account_fini(&account);
    json_free(doc);
    json_free(value);
    buf_free(&list.text);
    return rc;
}

static void expect_op(int op, enum err_code expected, int64_t within_ms, const char *what)
{
    struct err err = {0};
    int64_t start_ms = clock_mono_ms(), took_ms;
    enum err_code rc = run_op(op, &err);
    char text[96];

    took_ms = clock_mono_ms() - start_ms;
    snprintf(text, sizeof text, "%s, operation %d", what, op);
    fixture_expect(rc, expected, &err, text);
    if (took_ms > within_ms) fail_msg("%s: took %d ms, expected %d at most", text, (int)took_ms, (int)within_ms);
}

static void expect_all(enum err_code expected, int64_t within_ms, const char *what)
{
    for (int op = 0; op < OPS; op++)
        expect_op(op, expected, within_ms, what);
}

static void put_one(void)
{
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"workspaceId\":\"w\"}");
}

/* ---- gone and back ---- */

static void a_store_that_is_gone_is_unavailable_in_time_and_works_when_it_is_back(void **state)
{
    (void)state;
    put_one();
    expect_all(ERR_OK, 60000, "at first");
    for (int i = 0; i < 2; i++) {
        fixture_take_away();
        expect_all(ERR_UNAVAILABLE, FIXTURE_TIMEOUT_MS + SLACK_MS, "while it is gone");
        fixture_bring_back();
        expect_all(ERR_OK, 60000, "when it is back");
    }
}

static void reads_do_not_notice_a_restart_between_two_calls(void **state)
{
    (void)state;
    put_one();
    for (int op = 0; op < 4; op++) {
        expect_op(op, ERR_OK, 60000, "before");
        fixture_take_away();
        fixture_bring_back();
        expect_op(op, ERR_OK, 60000, "after the restart");
    }
}

static void a_store_that_is_not_there_yet_may_be_opened(void **state)
{
    (void)state;
    put_one();
    expect_op(0, ERR_OK, 60000, "at first");
    store_close(fx.store);
    fx.store = NULL;
    fixture_take_away();
    if (!fx.is_mongo) { /* SQLite: its directory is not there */
        char away[sizeof fx.path + 8];

        snprintf(away, sizeof away, "%s.away", fx.path);
        snprintf(fx.uri, sizeof fx.uri, "sqlite:%s/later/store.db", fx.dir);
        fx.store = fixture_open();
        expect_all(ERR_UNAVAILABLE, FIXTURE_TIMEOUT_MS + SLACK_MS, "before it is there");
        snprintf(away, sizeof away, "%s/later", fx.dir);
        assert_int_equal(mkdir(away, 0700), 0);
        expect_op(5, ERR_OK, 60000, "when it is there");
    } else {
        fx.store = fixture_open();
        expect_all(ERR_UNAVAILABLE, FIXTURE_TIMEOUT_MS + SLACK_MS, "before it is there");
        fixture_bring_back();
    }
    expect_all(ERR_OK, 60000, "when it is there");
}

/* ---- hangs ---- */

static void a_server_that_hangs_is_unavailable_in_time_and_then_at_once(void **state)
{
    (void)state;
    if (!fx.is_mongo) return; /* a file does not hang; its locks: see test_store_sqlite */
    put_one();
    for (int op = 0; op < OPS; op++) {
        int64_t start_ms;

        expect_op(op, ERR_OK, 60000, "before");
        fixture_stop();
        expect_op(op, ERR_UNAVAILABLE, FIXTURE_TIMEOUT_MS + SLACK_MS, "while it hangs");
        start_ms = clock_mono_ms();
        expect_op(0, ERR_UNAVAILABLE, 100, "just after");
        expect_op(op, ERR_UNAVAILABLE, 100, "just after");
        while (clock_mono_ms() < start_ms + PAUSE_MS + 50)
            usleep(20000);
        expect_op(op, ERR_UNAVAILABLE, FIXTURE_TIMEOUT_MS + SLACK_MS, "a second later, by a new connection");
        kill(fx.server, SIGCONT);
        start_ms = clock_mono_ms();
        while (run_op(0, NULL) != ERR_OK)
            if (clock_mono_ms() > start_ms + PAUSE_MS + FIXTURE_TIMEOUT_MS + SLACK_MS)
                fail_msg("it does not work again after %d ms", (int)(clock_mono_ms() - start_ms));
            else
                usleep(20000);
    }
}

/* ---- secrets ---- */

static void expect_no_password(const char *text, const char *what)
{
    if (strstr(text, "s3cr") || strstr(text, "Pa55") || strstr(text, "hunter2")) fail_msg("%s: %s", what, text);
}

static void no_error_and_no_log_line_shows_the_password(void **state)
{
    static const char *const uris[] = {
        "mongodb://user:s3cr%25t-Pa55@127.0.0.1:1/db",
        "mongodb://user:s3cr%t-Pa55@127.0.0.1:1/db",
        "mongodb://user:s3cr/t-Pa55@127.0.0.1:1/db",
        "mongodb://user:s3cr@t-Pa55@127.0.0.1:1/db",
        "mongodb://user:s3cr%25t-Pa55@127.0.0.1:1",
        "mongodb://user:s3cr%25t-Pa55@/db",
        "mongodb://user:s3cr%25t-Pa55@127.0.0.1:99999/db",
        "mongodb://user:s3cr%25t-Pa55@127.0.0.1:1/db?authMechanism=nothing",
        "mongodb://user:s3cr%25t-Pa55@127.0.0.1:1/db?authMechanismProperties=AWS_SESSION_TOKEN:hunter2",
        "mongodb://127.0.0.1:1/db?s3cr=Pa55&w=hunter2&w=0&ssl=Pa55&tls=hunter2",
        "mongodb+srv://user:s3cr%25t-Pa55@",
        "mongodb+srv://user:s3cr%25t-Pa55@host.invalid:5/db",
        "postgres://user:s3cr%25t-Pa55@127.0.0.1:1/db",
        "sqlite:",
    };
    static char log[65536];

    (void)state;
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        struct err err = {0};
        enum err_code rc;
        struct store *store;

        fixture_log_start();
        store = fixture_open_uri(uris[i], &rc, &err);
        if (!store && rc != ERR_CONFIG) fail_msg("%s: %s", uris[i], err_word(rc));
        if (store && store_ping(store, &err) == ERR_OK) fail_msg("%s answers", uris[i]);
        fixture_log_stop(log, sizeof log);
        store_close(store);
        expect_no_password(err.text, "error");
        expect_no_password(err.place, "place");
        expect_no_password(log, "log");
        assert_true(err.text[0] != '\0');
    }
}

static void a_refused_login_is_an_error_without_the_password(void **state)
{
    static char log[65536];
    struct err err = {0};
    enum err_code rc;
    struct store *store;
    char uri[128];

    (void)state;
    if (!fx.is_mongo) return; /* a file has no password */
    snprintf(uri, sizeof uri, "mongodb://user:s3cr%%25t-Pa55@127.0.0.1:%d/db?authMechanism=SCRAM-SHA-256", fx.port);
    fixture_log_start();
    store = fixture_open_uri(uri, &rc, &err);
    assert_non_null(store);
    rc = store_ping(store, &err);
    fixture_log_stop(log, sizeof log);
    store_close(store);
    fixture_expect(rc, ERR_UNAVAILABLE, &err, "ping"); /* FerretDB takes no SCRAM logins */
    assert_non_null(strstr(err.text, "refuses"));
    expect_no_password(err.text, "error");
    expect_no_password(log, "log");
}

static void an_error_shows_nothing_of_a_document(void **state)
{
    const struct account_id id = {ID_STRING, "a"};
    struct patch p = {0};
    struct err err = {0};
    struct json *doc = fixture_json("{\"_id\":\"a\",\"platform\":\"instagram\",\"accessToken\":\"hunter2\"}");
    int created;

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenHealth\":\"hunter2\",\"accessToken\":\"hunter2\"}");
    fixture_expect(store_import(fx.store, doc, 0, &created, &err), ERR_CONFLICT, &err, "import");
    expect_no_password(err.text, "import");
    err_clear(&err);
    patch_guard(&p, "accessToken", json_member(doc, "platform"));
    patch_set(&p, "tokenHealth.x", json_new_string("hunter2"));
    fixture_expect(store_update(fx.store, &id, &p, &err), ERR_CONFLICT, &err, "update");
    expect_no_password(err.text, "update");
    patch_fini(&p);
    json_free(doc);
}

/* ---- start ---- */

static void fail_report(void *arg, const char *sentence)
{
    (void)arg;
    fprintf(stderr, "%s\n", sentence);
    abort();
}

static void the_store_may_be_prepared_again_and_again(void **state)
{
    struct err err = {0};

    (void)state;
    for (int i = 0; i < 2; i++)
        fixture_expect(store_prepare(fx.store, fail_report, NULL, &err), ERR_OK, &err, "prepare");
    put_one();
    fixture_expect(store_prepare(fx.store, fail_report, NULL, &err), ERR_OK, &err, "prepare");
    expect_all(ERR_OK, 60000, "then");
}

static void keep_report(void *arg, const char *sentence)
{
    buf_puts(arg, sentence);
    buf_puts(arg, "\n");
}

static void an_index_that_may_not_be_made_is_reported_with_the_command(void **state)
{
    const struct store_options options = {fx.uri, "so$cial", FIXTURE_TIMEOUT_MS}; /* a name that the server refuses */
    struct store *store = NULL;
    struct buf said = {0};
    struct err err = {0};

    (void)state;
    if (!fx.is_mongo) return; /* SQLite's indexes are part of its schema */
    assert_int_equal(store_open(&options, &store, &err), ERR_OK);
    fixture_expect(store_prepare(store, keep_report, &said, &err), ERR_OK, &err, "prepare");
    store_close(store);
    if (!strstr(buf_text(&said), "db.getCollection('so$cial').createIndex({platform: 1, workspaceId: 1}") ||
        !strstr(buf_text(&said), "db.getCollection('so$cial').createIndex({platform: 1, _id: 1}"))
        fail_msg("the report: %s", buf_text(&said));
    buf_free(&said);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_that_is_gone_is_unavailable_in_time_and_works_when_it_is_back),
        TEST(reads_do_not_notice_a_restart_between_two_calls),
        TEST(a_store_that_is_not_there_yet_may_be_opened),
        TEST(a_server_that_hangs_is_unavailable_in_time_and_then_at_once),
        TEST(no_error_and_no_log_line_shows_the_password),
        TEST(a_refused_login_is_an_error_without_the_password),
        TEST(an_error_shows_nothing_of_a_document),
        TEST(the_store_may_be_prepared_again_and_again),
        TEST(an_index_that_may_not_be_made_is_reported_with_the_command),
    };

    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
