#include "base/log.h"
#include "store/store_backend.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCHEMA_VERSION = 1, KEY_BYTES = LIMIT_ID_BYTES + 4 };

static const char *const migrations[SCHEMA_VERSION] = {
    "CREATE TABLE accounts("
    " id TEXT PRIMARY KEY, platform TEXT NOT NULL, workspace TEXT, active INTEGER NOT NULL,"
    " needs INTEGER NOT NULL, state TEXT NOT NULL, status TEXT NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX accounts_workspace ON accounts(platform, workspace);"
    "CREATE INDEX accounts_sweep ON accounts(platform, active, id);"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
};

enum statement {
    FIND_WORKSPACE,
    FIND_IDS,
    SCAN,
    GET_DOC,
    UPDATE_DOC,
    INSERT,
    REPLACE,
    COUNT,
    META_PUT,
    META_GET,
    STATEMENT_COUNT
};
static const char *const statement_sql[STATEMENT_COUNT] = {
    [FIND_WORKSPACE] = "SELECT doc FROM accounts WHERE platform=?1 AND workspace IN (?2,?3,?4) ORDER BY id LIMIT ?5",
    [FIND_IDS] = "SELECT doc FROM accounts WHERE id IN (?1,?2,?3) ORDER BY id LIMIT 2",
    [SCAN] = "SELECT doc, id FROM accounts WHERE platform=?1 AND active=1 AND id>?2 ORDER BY id LIMIT ?3",
    [GET_DOC] = "SELECT doc FROM accounts WHERE id=?1",
    [UPDATE_DOC] =
        "UPDATE accounts SET platform=?2, workspace=?3, active=?4, needs=?5, state=?6, status=?7, doc=?8 WHERE id=?1",
    [INSERT] =
        "INSERT INTO accounts(id,platform,workspace,active,needs,state,status,doc) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [REPLACE] =
        "REPLACE INTO accounts(id,platform,workspace,active,needs,state,status,doc) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [COUNT] =
        "SELECT active, needs, state, status, count(*) FROM accounts WHERE ?1 IS NULL OR platform=?1 GROUP BY 1,2,3,4",
    [META_PUT] = "REPLACE INTO meta(name,value) VALUES(?1,?2)",
    [META_GET] = "SELECT value FROM meta WHERE name=?1",
};

struct sqlite_store {
    char *path;
    int64_t timeout_ms;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    dev_t device; /* of the open file: a replaced file is opened again */
    ino_t inode;
};

static enum err_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
        return ERR_UNAVAILABLE;
    case SQLITE_FULL:
        return ERR_NOSPACE;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static enum err_code fail(struct sqlite_store *s, int rc, struct err *err)
{
    return err_set(err, code_of(rc), NULL, "the store %s: %s", s->path,
                   s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static void disconnect(struct sqlite_store *s)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
}

static int user_version(sqlite3 *db, int *version)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL);

    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) *version = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Under the write lock: of two processes that start at once, the second finds the work done. */
static int migrate(struct sqlite_store *s, int *version)
{
    char set[64];
    int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (rc == SQLITE_OK) rc = user_version(s->db, version);
    for (; rc == SQLITE_OK && *version < SCHEMA_VERSION; ++*version) {
        rc = sqlite3_exec(s->db, migrations[*version], NULL, NULL, NULL);
        snprintf(set, sizeof set, "PRAGMA user_version=%d", *version + 1);
        if (rc == SQLITE_OK) rc = sqlite3_exec(s->db, set, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) return sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* Tokens are in it, if sealed: the file is the owner's alone from the first moment on. */
static enum err_code create_private(struct sqlite_store *s, struct err *err)
{
    int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        int why = errno;

        if (fd >= 0) close(fd);
        return err_set(err, why == ENOSPC ? ERR_NOSPACE : ERR_UNAVAILABLE, NULL, "the store %s: %s", s->path,
                       strerror(why));
    }
    s->device = st.st_dev;
    s->inode = st.st_ino;
    close(fd);
    return ERR_OK;
}

static enum err_code connect_db(struct sqlite_store *s, struct err *err)
{
    int version = 0, rc;
    enum err_code code = create_private(s, err);

    if (code != ERR_OK) return code;
    rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(s->db, (int)s->timeout_ms);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = user_version(s->db, &version);
    if (rc == SQLITE_OK && version < SCHEMA_VERSION) rc = migrate(s, &version);
    if (rc != SQLITE_OK)
        code = fail(s, rc, err);
    else if (version > SCHEMA_VERSION)
        code = err_set(err, ERR_CONFIG, s->path, "the schema is version %d, this program knows %d: install a newer one",
                       version, SCHEMA_VERSION);
    if (code != ERR_OK) disconnect(s);
    return code;
}

/* The open database, opened again when its file was replaced or was away. */
static enum err_code ensure(struct sqlite_store *s, struct err *err)
{
    struct stat st;

    if (s->db && (stat(s->path, &st) != 0 || st.st_ino != s->inode || st.st_dev != s->device)) disconnect(s);
    return s->db ? ERR_OK : connect_db(s, err);
}

static enum err_code get(struct sqlite_store *s, enum statement which, sqlite3_stmt **st, struct err *err)
{
    enum err_code rc = ensure(s, err);
    int result;

    if (rc != ERR_OK) return rc;
    if (!s->statements[which]) {
        result =
            sqlite3_prepare_v3(s->db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[which], NULL);
        if (result != SQLITE_OK) return fail(s, result, err);
    }
    *st = s->statements[which];
    return ERR_OK;
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    if (text)
        sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT);
    else
        sqlite3_bind_null(st, at);
}

static void done(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

static void bind_forms(sqlite3_stmt *st, int at, const struct account_id *forms, int count)
{
    char key[KEY_BYTES];

    for (int i = 0; i < 3; i++) {
        if (i < count) id_key(&forms[i], key, sizeof key);
        bind_text(st, at + i, i < count ? key : NULL);
    }
}

static struct json *doc_at(sqlite3_stmt *st, int column)
{
    struct json *doc = NULL;
    struct err err = {0};

    if (json_parse((const char *)sqlite3_column_text(st, column), (size_t)sqlite3_column_bytes(st, column), &doc,
                   &err) != ERR_OK)
        log_warn("TOKEN HEALTH", "a stored document is not JSON", LOG_S("why", err.text));
    return doc;
}

/* All rows are read before any is handed over: the callee may write to the store. */
struct rows {
    struct json **docs;
    int count, cap;
};

static enum err_code read_rows(struct sqlite_store *s, sqlite3_stmt *st, struct rows *rows, char *last, size_t size,
                               struct err *err)
{
    int rc;

    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (rows->count == rows->cap) {
            int cap = rows->cap ? 2 * rows->cap : 32;
            struct json **docs = realloc(rows->docs, (size_t)cap * sizeof *docs);

            if (!docs) {
                done(st);
                return err_set(err, ERR_NOMEM, NULL, "no memory for accounts");
            }
            rows->docs = docs;
            rows->cap = cap;
        }
        if (last) snprintf(last, size, "%s", (const char *)sqlite3_column_text(st, 1));
        rows->docs[rows->count++] = doc_at(st, 0);
    }
    done(st);
    return rc == SQLITE_DONE ? ERR_OK : fail(s, rc, err);
}

static void give_rows(struct rows *rows, store_account_fn *fn, void *arg)
{
    int more = fn != NULL;

    for (int i = 0; i < rows->count; i++) {
        if (more && rows->docs[i])
            more = store_give(rows->docs[i], fn, arg);
        else
            json_free(rows->docs[i]);
    }
    free(rows->docs);
}

static enum err_code sqlite_find_workspace(void *state, const char *platform, const struct account_id *forms,
                                           int form_count, int limit, store_account_fn *fn, void *arg, struct err *err)
{
    struct sqlite_store *s = state;
    struct rows rows = {0};
    sqlite3_stmt *st;
    enum err_code rc = get(s, FIND_WORKSPACE, &st, err);

    if (rc != ERR_OK) return rc;
    bind_text(st, 1, platform);
    bind_forms(st, 2, forms, form_count);
    sqlite3_bind_int(st, 5, limit + 1);
    rc = read_rows(s, st, &rows, NULL, 0, err);
    if (rc == ERR_OK && rows.count > limit)
        rc = err_set(err, ERR_TOO_LARGE, NULL, "the workspace has more than %d accounts", limit);
    give_rows(&rows, rc == ERR_OK ? fn : NULL, arg);
    return rc;
}

static enum err_code sqlite_find_ids(void *state, const struct account_id *forms, int form_count, store_account_fn *fn,
                                     void *arg, struct err *err)
{
    struct sqlite_store *s = state;
    struct rows rows = {0};
    sqlite3_stmt *st;
    enum err_code rc = get(s, FIND_IDS, &st, err);

    if (rc != ERR_OK) return rc;
    bind_forms(st, 1, forms, form_count);
    rc = read_rows(s, st, &rows, NULL, 0, err);
    give_rows(&rows, rc == ERR_OK ? fn : NULL, arg);
    return rc;
}

static enum err_code sqlite_scan(void *state, const char *platform, const struct account_id *after, int limit,
                                 store_account_fn *fn, void *arg, struct store_page *page, struct err *err)
{
    struct sqlite_store *s = state;
    struct rows rows = {0};
    char last[KEY_BYTES] = "";
    sqlite3_stmt *st;
    enum err_code rc = get(s, SCAN, &st, err);

    if (rc != ERR_OK) return rc;
    if (after) id_key(after, last, sizeof last);
    bind_text(st, 1, platform);
    bind_text(st, 2, last);
    sqlite3_bind_int(st, 3, limit);
    rc = read_rows(s, st, &rows, last, sizeof last, err);
    page->count = rows.count;
    if (last[0]) {
        page->last.type = last[0] == 'o' ? ID_OBJECTID : last[0] == 'n' ? ID_NUMBER : ID_STRING;
        snprintf(page->last.text, sizeof page->last.text, "%.*s", LIMIT_ID_BYTES - 1, last + 2);
    }
    give_rows(&rows, rc == ERR_OK ? fn : NULL, arg);
    return rc;
}

/* ---- writing ---- */

static enum err_code run(struct sqlite_store *s, sqlite3_stmt *st, struct err *err)
{
    int rc = sqlite3_step(st);
    enum err_code code = rc == SQLITE_DONE                  ? ERR_OK
                         : (rc & 0xff) == SQLITE_CONSTRAINT ? ERR_CONFLICT
                                                            : fail(s, rc, err);

    done(st);
    return code;
}

static void bind_account(sqlite3_stmt *st, const struct account *a, const char *text)
{
    char key[KEY_BYTES];
    const char *state = json_string(json_get(a->health, "state"));

    id_key(&a->id, key, sizeof key);
    bind_text(st, 1, key);
    bind_text(st, 2, a->platform);
    if (a->workspace.type) id_key(&a->workspace, key, sizeof key);
    bind_text(st, 3, a->workspace.type ? key : NULL);
    sqlite3_bind_int(st, 4, a->is_active != TRI_FALSE);
    sqlite3_bind_int(st, 5, a->needs_reconnection == TRI_TRUE);
    bind_text(st, 6, state ? state : "");
    bind_text(st, 7, a->token_status);
    bind_text(st, 8, text);
}

static enum err_code write_doc(struct sqlite_store *s, enum statement which, const struct json *doc, struct err *err)
{
    struct account account;
    struct buf text = {0};
    sqlite3_stmt *st;
    enum err_code rc = account_parse(json_copy(doc), &account, err);

    if (rc == ERR_OK) rc = json_print(doc, &text, err);
    if (rc == ERR_OK) rc = get(s, which, &st, err);
    if (rc == ERR_OK) {
        bind_account(st, &account, buf_text(&text));
        rc = run(s, st, err);
    }
    buf_free(&text);
    account_fini(&account);
    return rc;
}

static enum err_code read_doc(struct sqlite_store *s, const struct account_id *id, struct json **doc, struct err *err)
{
    char key[KEY_BYTES];
    sqlite3_stmt *st;
    enum err_code rc = get(s, GET_DOC, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    id_key(id, key, sizeof key);
    bind_text(st, 1, key);
    result = sqlite3_step(st);
    if (result == SQLITE_DONE)
        rc = err_set(err, ERR_NOT_FOUND, id->text, "there is no such account");
    else if (result != SQLITE_ROW)
        rc = fail(s, result, err);
    else if (!(*doc = doc_at(st, 0)))
        rc = err_set(err, ERR_IO, id->text, "the stored document is not JSON");
    done(st);
    return rc;
}

static enum err_code update_locked(struct sqlite_store *s, const struct account_id *id, const struct patch *patch,
                                   struct err *err)
{
    struct json *doc = NULL;
    enum err_code rc = read_doc(s, id, &doc, err);

    if (rc == ERR_OK && !patch_guards_hold(doc, patch))
        rc = err_set(err, ERR_CONFLICT, id->text, "the account was changed meanwhile");
    if (rc == ERR_OK && !patch_apply(doc, patch)) rc = err_set(err, ERR_NOMEM, id->text, "no memory for the account");
    if (rc == ERR_OK) rc = write_doc(s, UPDATE_DOC, doc, err);
    json_free(doc);
    return rc;
}

static enum err_code sqlite_update(void *state, const struct account_id *id, const struct patch *patch, struct err *err)
{
    struct sqlite_store *s = state;
    enum err_code rc = ensure(s, err);
    int result;

    if (rc != ERR_OK) return rc;
    result = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (result != SQLITE_OK) return fail(s, result, err);
    rc = update_locked(s, id, patch, err);
    if (rc == ERR_OK) {
        result = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
        if (result != SQLITE_OK) rc = fail(s, result, err);
    }
    if (rc != ERR_OK && s->db && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static enum err_code sqlite_import(void *state, const struct json *doc, const struct account *account, int replace,
                                   int *created, struct err *err)
{
    struct sqlite_store *s = state;
    enum err_code rc = write_doc(s, INSERT, doc, err);

    *created = rc == ERR_OK;
    if (rc != ERR_CONFLICT) return rc;
    if (!replace)
        return err_set(err, ERR_CONFLICT, account->id.text, "an account with this _id exists; --replace replaces it");
    return write_doc(s, REPLACE, doc, err);
}

/* ---- the rest ---- */

static enum err_code sqlite_count(void *state, const char *platform, struct store_counts *counts, struct err *err)
{
    struct sqlite_store *s = state;
    sqlite3_stmt *st;
    enum err_code rc = get(s, COUNT, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    bind_text(st, 1, platform);
    while ((result = sqlite3_step(st)) == SQLITE_ROW) {
        const char *state_word = (const char *)sqlite3_column_text(st, 2),
                   *status = (const char *)sqlite3_column_text(st, 3);
        int64_t n = sqlite3_column_int64(st, 4);

        counts->total += n;
        counts->active += sqlite3_column_int(st, 0) ? n : 0;
        counts->needs_reconnection += sqlite3_column_int(st, 1) ? n : 0;
        store_count_word(counts->by_state, &counts->state_count, state_word, n);
        store_count_word(counts->by_status, &counts->status_count, status, n);
    }
    done(st);
    return result == SQLITE_DONE ? ERR_OK : fail(s, result, err);
}

static enum err_code sqlite_meta_put(void *state, const char *name, const struct json *value, struct err *err)
{
    struct sqlite_store *s = state;
    struct buf text = {0};
    sqlite3_stmt *st;
    enum err_code rc = json_print(value, &text, err);

    if (rc == ERR_OK) rc = get(s, META_PUT, &st, err);
    if (rc == ERR_OK) {
        bind_text(st, 1, name);
        bind_text(st, 2, buf_text(&text));
        rc = run(s, st, err);
    }
    buf_free(&text);
    return rc;
}

static enum err_code sqlite_meta_get(void *state, const char *name, struct json **value, struct err *err)
{
    struct sqlite_store *s = state;
    sqlite3_stmt *st;
    enum err_code rc = get(s, META_GET, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    bind_text(st, 1, name);
    result = sqlite3_step(st);
    if (result == SQLITE_ROW) *value = doc_at(st, 0);
    done(st);
    if (result == SQLITE_ROW) return *value ? ERR_OK : err_set(err, ERR_IO, name, "the stored value is not JSON");
    return result == SQLITE_DONE ? err_set(err, ERR_NOT_FOUND, name, "nothing is stored under this name")
                                 : fail(s, result, err);
}

static enum err_code sqlite_ping(void *state, struct err *err)
{
    struct sqlite_store *s = state;
    enum err_code rc = ensure(s, err);
    int version, result;

    if (rc != ERR_OK) return rc;
    result = user_version(s->db, &version);
    return result == SQLITE_OK ? ERR_OK : fail(s, result, err);
}

/* The indexes are part of the schema. */
static enum err_code sqlite_prepare(void *state, store_report_fn *report, void *arg, struct err *err)
{
    (void)report, (void)arg;
    return sqlite_ping(state, err);
}

static void sqlite_close(void *state)
{
    struct sqlite_store *s = state;

    disconnect(s);
    free(s->path);
    free(s);
}

enum err_code store_sqlite_open(const struct store_options *options, const char *path, void **state, struct err *err)
{
    struct sqlite_store *s = calloc(1, sizeof *s);
    enum err_code rc;

    if (s) s->path = strdup(path);
    if (!s || !s->path) {
        free(s);
        return err_set(err, ERR_NOMEM, NULL, "no memory for the store");
    }
    s->timeout_ms = options->timeout_ms;
    rc = connect_db(s, err);
    if (rc == ERR_UNAVAILABLE) {
        err_clear(err); /* it may come back: each call tries again */
        rc = ERR_OK;
    }
    if (rc == ERR_OK)
        *state = s;
    else
        sqlite_close(s);
    return rc;
}

const struct store_backend store_sqlite = {
    .kind = "sqlite",
    .close = sqlite_close,
    .prepare = sqlite_prepare,
    .ping = sqlite_ping,
    .find_workspace = sqlite_find_workspace,
    .find_ids = sqlite_find_ids,
    .scan = sqlite_scan,
    .update = sqlite_update,
    .import = sqlite_import,
    .count = sqlite_count,
    .meta_put = sqlite_meta_put,
    .meta_get = sqlite_meta_get,
};
