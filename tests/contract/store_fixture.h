/* For the contract tests: one of the two stores, empty at the start of each test, with ways to take it away and to look past it.
 * The environment says which store: TOKEN_HEALTH_CONTRACT=sqlite or mongodb, with TOKEN_HEALTH_MONGO=the server's program.
 * The MongoDB server is a child of the test program and listens on a port of the kernel's choice. */
#ifndef TH_STORE_FIXTURE_H
#define TH_STORE_FIXTURE_H
#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIXTURE_TIMEOUT_MS = 1000, FIXTURE_START_MS = 30000, FIXTURE_SECONDS = 300 /* of a test, whatever hangs */ };

static struct fixture {
    int is_mongo, number;
    char dir[64], uri[160], path[128]; /* path: of the SQLite file */
    const char *program;               /* of the server */
    pid_t server;
    int port;
    struct store *store;
    int log_fd; /* what standard error was, while fixture_log_start..stop */
} fx = {.log_fd = -1};

/* ---- the log ---- */

static inline void fixture_log_start(void)
{
    char path[96];
    int fd;

    snprintf(path, sizeof path, "%s/log", fx.dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    fx.log_fd = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/** fixture_log_stop(text): what was logged since the start. */
static inline void fixture_log_stop(char *text, size_t size)
{
    ssize_t len = pread(STDERR_FILENO, text, size - 1, 0);

    text[len > 0 ? len : 0] = '\0';
    dup2(fx.log_fd, STDERR_FILENO);
    close(fx.log_fd);
    fx.log_fd = -1;
}

/* A test that failed in between: what it said is in there. */
static inline void fixture_log_end(void)
{
    char text[4096];

    if (fx.log_fd < 0) return;
    fixture_log_stop(text, sizeof text);
    fputs(text, stderr);
}

/* ---- the server ---- */

static inline void fixture_read_uri(int fd)
{
    char text[160] = "";
    size_t len = 0;
    struct pollfd ready = {fd, POLLIN, 0};

    while (len < sizeof text - 1 && !memchr(text, '\n', len)) {
        ssize_t got = poll(&ready, 1, FIXTURE_START_MS) == 1 ? read(fd, text + len, sizeof text - 1 - len) : 0;

        if (got <= 0) fail_msg("the MongoDB server does not start");
        len += (size_t)got;
    }
    text[len] = '\0';
    if (sscanf(text, "mongodb://127.0.0.1:%d/", &fx.port) != 1) fail_msg("the server says: %s", text);
}

static inline void fixture_start_server(void)
{
    char listen[32], data[96];
    int out[2];

    assert_int_equal(pipe(out), 0);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", fx.port);
    snprintf(data, sizeof data, "%s/mongo", fx.dir);
    fx.server = fork();
    if (fx.server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execl(fx.program, "mongo", "-listen", listen, "-dir", data, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    fixture_read_uri(out[0]);
    close(out[0]);
}

static inline void fixture_stop_server(void)
{
    if (fx.server <= 0) return;
    kill(fx.server, SIGKILL);
    waitpid(fx.server, NULL, 0);
    fx.server = 0;
}

/** fixture_stop(): the server hangs; it is stopped when this returns. SIGCONT lets it go on. */
static inline void fixture_stop(void)
{
    int status;

    kill(fx.server, SIGSTOP);
    assert_true(waitpid(fx.server, &status, WUNTRACED) == fx.server && WIFSTOPPED(status));
}

/** fixture_take_away(): the store is gone for good reasons: server killed, file moved. fixture_bring_back(): as it was. */
static inline void fixture_take_away(void)
{
    char away[sizeof fx.path + 8];

    if (fx.is_mongo) {
        fixture_stop_server();
        return;
    }
    snprintf(away, sizeof away, "%s.away", fx.path);
    assert_int_equal(rename(fx.path, away), 0);
}

static inline void fixture_bring_back(void)
{
    char away[sizeof fx.path + 8];

    if (fx.is_mongo) {
        fixture_start_server();
        return;
    }
    snprintf(away, sizeof away, "%s.away", fx.path);
    assert_int_equal(rename(away, fx.path), 0);
}

/* ---- the store ---- */

static inline struct store *fixture_open_uri(const char *uri, enum err_code *rc, struct err *err)
{
    const struct store_options options = {uri, "socialaccounts", FIXTURE_TIMEOUT_MS};
    struct store *store = NULL;

    *rc = store_open(&options, &store, err);
    return store;
}

static inline struct store *fixture_open(void)
{
    struct err err = {0};
    enum err_code rc;
    struct store *store = fixture_open_uri(fx.uri, &rc, &err);

    if (!store) fail_msg("store_open: %s %s", err.place, err.text);
    return store;
}

/* Each test has a database, or a file, of its own. */
static inline void fixture_new_place(void)
{
    fx.number++;
    snprintf(fx.path, sizeof fx.path, "%s/store%d.db", fx.dir, fx.number);
    if (fx.is_mongo)
        snprintf(fx.uri, sizeof fx.uri, "mongodb://127.0.0.1:%d/test%d", fx.port, fx.number);
    else
        snprintf(fx.uri, sizeof fx.uri, "sqlite:%s", fx.path);
}

static inline int fixture_setup(void **state)
{
    (void)state;
    alarm(FIXTURE_SECONDS);
    fixture_new_place();
    fx.store = fixture_open();
    return 0;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    fixture_log_end();
    if (fx.server > 0) kill(fx.server, SIGCONT); /* a test that failed may have left it stopped */
    store_close(fx.store);
    fx.store = NULL;
    return 0;
}

static inline int fixture_begin(void **state)
{
    const char *kind = getenv("TOKEN_HEALTH_CONTRACT");

    (void)state;
    log_setup(LOG_INFO, LOG_FORMAT_TEXT);
    snprintf(fx.dir, sizeof fx.dir, "/tmp/token-health-contract-XXXXXX");
    if (!mkdtemp(fx.dir)) return -1;
    fx.is_mongo = kind && !strcmp(kind, "mongodb");
    fx.program = getenv("TOKEN_HEALTH_MONGO");
    if (fx.is_mongo && !fx.program) return -1;
    if (fx.is_mongo) fixture_start_server();
    return 0;
}

static inline int fixture_remove(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st, (void)type, (void)place;
    return remove(path);
}

static inline int fixture_end(void **state)
{
    (void)state;
    fixture_stop_server();
    return nftw(fx.dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- documents ---- */

static inline struct json *fixture_json(const char *text)
{
    struct json *json = NULL;
    struct err err = {0};

    if (json_parse(text, strlen(text), &json, &err) != ERR_OK) fail_msg("%s: %s %s", text, err.place, err.text);
    return json;
}

/** fixture_text(json): as text; the caller frees it. */
static inline char *fixture_text(const struct json *json)
{
    struct buf text = {0};

    assert_int_equal(json_print(json, &text, NULL), ERR_OK);
    return buf_take(&text);
}

/** fixture_put(text): imports the document. */
static inline void fixture_put(const char *text)
{
    struct json *doc = fixture_json(text);
    struct err err = {0};
    int created = 0;

    if (store_import(fx.store, doc, 0, &created, &err) != ERR_OK)
        fail_msg("import %s: %s %s", text, err.place, err.text);
    assert_int_equal(created, 1);
    json_free(doc);
}

static inline struct account_id fixture_id(const char *text)
{
    struct json *json = fixture_json(text);
    struct account_id id;
    struct err err = {0};

    if (id_parse(json, &id, &err) != ERR_OK) fail_msg("%s: %s", text, err.text);
    json_free(json);
    return id;
}

/** fixture_expect(rc, expected, err, what): with all that is known about it if not so. */
static inline void fixture_expect(enum err_code rc, enum err_code expected, const struct err *err, const char *what)
{
    if (rc != expected)
        fail_msg("%s: got %s (%s: %s), expected %s", what, err_word(rc), err->place, err->text, err_word(expected));
    if (rc != ERR_OK && (err->code != rc || !err->text[0])) fail_msg("%s: %s without a reason", what, err_word(rc));
}

/* A list of ids as "n:5 s:abc o:…", in the order in which the store gave them. */
struct fixture_list {
    struct buf text;
    int count, stop_after; /* 0: take all */
};

static inline int fixture_collect(void *arg, struct account *account)
{
    struct fixture_list *list = arg;
    char key[LIMIT_ID_BYTES + 4];

    id_key(&account->id, key, sizeof key);
    buf_printf(&list->text, "%s%s", list->count ? " " : "", key);
    account_fini(account);
    return ++list->count != list->stop_after;
}

static inline void fixture_expect_list(struct fixture_list *list, const char *expected, const char *what)
{
    if (strcmp(buf_text(&list->text), expected) != 0)
        fail_msg("%s: got \"%s\", expected \"%s\"", what, buf_text(&list->text), expected);
    buf_free(&list->text);
    *list = (struct fixture_list){0};
}

#endif
