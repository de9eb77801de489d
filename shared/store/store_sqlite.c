#include "store/store_sqlite.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- accounts ---- */

static void bind_forms(sqlite3_stmt *st, int at, const struct account_id *forms, int count)
{
    for (int i = 0; i < count; i++)
        store_sqlite_bind_id(st, at + i, &forms[i]); /* what is not bound is null, and equals nothing */
}

/* All rows are read before any is handed over: the callee may write to the store. They stay text until then: parsed, a workspace takes
 * several times the memory. */
struct rows {
    struct buf *list; /* each: the key, NUL, the document */
    int count, cap;
    char last[SQLITE_KEY_BYTES]; /* the key of the last one */
};

static int keep(struct rows *rows, const char *doc, size_t doc_len)
{
    struct buf *row;

    if (rows->count == rows->cap) {
        int cap = rows->cap ? 2 * rows->cap : 32;
        struct buf *list = realloc(rows->list, (size_t)cap * sizeof *list);

        if (!list) return 0;
        rows->list = list;
        rows->cap = cap;
    }
    row = &rows->list[rows->count++];
    *row = (struct buf){0};
    buf_put(row, rows->last, strlen(rows->last) + 1);
    buf_put(row, doc, doc_len);
    return !row->failed;
}

/* The statement gives doc and id. */
static enum err_code read_rows(struct sqlite_store *s, sqlite3_stmt *st, struct rows *rows, struct err *err)
{
    enum err_code code = ERR_OK;
    int rc = SQLITE_DONE;

    while (code == ERR_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *doc = (const char *)sqlite3_column_text(st, 0);

        snprintf(rows->last, sizeof rows->last, "%s", (const char *)sqlite3_column_text(st, 1));
        if (!keep(rows, doc ? doc : "", (size_t)sqlite3_column_bytes(st, 0)))
            code = err_set(err, ERR_NOMEM, NULL, "no memory for accounts");
    }
    if (code == ERR_OK && rc != SQLITE_DONE) code = store_sqlite_fail(s, rc, err);
    store_sqlite_done(st);
    return code;
}

static int give_row(const struct buf *row, store_account_fn *fn, void *arg)
{
    const char *key = buf_text(row);
    size_t at = strlen(key) + 1;
    struct json *doc = NULL;
    struct err why = {0};

    if (json_parse(key + at, row->len - at, &doc, &why) == ERR_OK) return store_give(doc, fn, arg);
    log_warn("TOKEN HEALTH", "an account document cannot be read", LOG_S("account", key), LOG_S("why", why.text));
    return 1;
}

/* Hands them over, or just frees them if ${fn} is NULL. */
static void give_rows(struct rows *rows, store_account_fn *fn, void *arg)
{
    int more = fn != NULL;

    for (int i = 0; i < rows->count; i++) {
        if (more) more = give_row(&rows->list[i], fn, arg);
        buf_free(&rows->list[i]);
    }
    free(rows->list);
}

static enum err_code find_workspace(void *state, const char *platform, const struct account_id *forms, int form_count,
                                    int limit, store_account_fn *fn, void *arg, struct err *err)
{
    struct rows rows = {0};
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_get(state, FIND_WORKSPACE, &st, err);

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, platform);
    bind_forms(st, 2, forms, form_count);
    sqlite3_bind_int(st, 5, limit + 1);
    rc = read_rows(state, st, &rows, err);
    if (rc == ERR_OK && rows.count > limit)
        rc = err_set(err, ERR_TOO_LARGE, NULL, "the workspace has more than %d accounts", limit);
    give_rows(&rows, rc == ERR_OK ? fn : NULL, arg);
    return rc;
}

static enum err_code find_ids(void *state, const struct account_id *forms, int form_count, store_account_fn *fn,
                              void *arg, struct err *err)
{
    struct rows rows = {0};
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_get(state, FIND_IDS, &st, err);

    if (rc != ERR_OK) return rc;
    bind_forms(st, 1, forms, form_count);
    rc = read_rows(state, st, &rows, err);
    give_rows(&rows, rc == ERR_OK ? fn : NULL, arg);
    return rc;
}

/* What is beyond every key: they begin with a letter. */
static const char key_end[] = "~";

static enum err_code bind_span(struct sqlite_store *s, enum sqlite_statement which, const struct store_span *span,
                               int limit, sqlite3_stmt **st, struct err *err)
{
    static const struct account_id start;
    enum err_code rc = store_sqlite_get(s, which, st, err);

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(*st, 1, span->platform);
    store_sqlite_bind_id(*st, 2, span->after ? span->after : &start);
    sqlite3_bind_int(*st, 3, limit);
    if (span->to)
        store_sqlite_bind_id(*st, 4, span->to);
    else
        store_sqlite_bind_text(*st, 4, key_end);
    return ERR_OK;
}

static enum err_code scan(void *state, const struct store_span *span, int limit, store_account_fn *fn, void *arg,
                          struct store_page *page, struct err *err)
{
    struct rows rows = {0};
    sqlite3_stmt *st;
    enum err_code rc = bind_span(state, span->platform ? SCAN : SCAN_ALL, span, limit, &st, err);

    if (rc != ERR_OK) return rc;
    rc = read_rows(state, st, &rows, err);
    if (rc == ERR_OK) page->count = rows.count;
    if (rc == ERR_OK && rows.count) id_of_key(rows.last, &page->last);
    give_rows(&rows, rc == ERR_OK ? fn : NULL, arg);
    return rc;
}

static enum err_code look_ahead(void *state, const struct store_span *span, int most, int at, struct account_id *id,
                                int *count, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = bind_span(state, LOOK_AHEAD, span, most, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    while ((result = sqlite3_step(st)) == SQLITE_ROW)
        if (++*count == at) id_of_key((const char *)sqlite3_column_text(st, 0), id);
    if (result != SQLITE_DONE) rc = store_sqlite_fail(state, result, err);
    store_sqlite_done(st);
    return rc;
}

static int id_order(const struct account_id *a, const struct account_id *b)
{
    char x[SQLITE_KEY_BYTES], y[SQLITE_KEY_BYTES];

    id_key(a, x, sizeof x);
    id_key(b, y, sizeof y);
    return strcmp(x, y);
}

static enum err_code count(void *state, const char *platform, struct store_counts *counts, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_get(state, COUNT, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, platform);
    while ((result = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t n = sqlite3_column_int64(st, 4);

        counts->total += n;
        counts->active += sqlite3_column_int(st, 0) ? n : 0;
        counts->needs_reconnection += sqlite3_column_int(st, 1) ? n : 0;
        store_count_word(counts->by_state, &counts->state_count, (const char *)sqlite3_column_text(st, 2), n);
        store_count_word(counts->by_status, &counts->status_count, (const char *)sqlite3_column_text(st, 3), n);
    }
    if (result != SQLITE_DONE) rc = store_sqlite_fail(state, result, err);
    store_sqlite_done(st);
    return rc;
}

/* ---- the rest ---- */

static enum err_code meta_get(void *state, const char *name, struct json **value, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_get(state, META_GET, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, name);
    result = sqlite3_step(st);
    if (result == SQLITE_ROW && !(*value = store_sqlite_json(st, 0, NULL)))
        rc = err_set(err, ERR_IO, name, "the stored value is not JSON");
    else if (result == SQLITE_DONE)
        rc = err_set(err, ERR_NOT_FOUND, name, "nothing is stored under this name");
    else if (result != SQLITE_ROW)
        rc = store_sqlite_fail(state, result, err);
    store_sqlite_done(st);
    return rc;
}

enum err_code store_sqlite_meta_version(struct sqlite_store *s, const char *name, int64_t *version, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_statement(s, META_VERSION, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, name);
    result = sqlite3_step(st);
    *version = result == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    if (result != SQLITE_ROW && result != SQLITE_DONE) rc = store_sqlite_fail(s, result, err);
    store_sqlite_done(st);
    return rc;
}

static enum err_code meta_versions(void *state, const char *const *names, int total, int64_t *versions, struct err *err)
{
    enum err_code rc = store_sqlite_ready(state, err);

    for (int i = 0; rc == ERR_OK && i < total; i++)
        rc = store_sqlite_meta_version(state, names[i], &versions[i], err);
    return rc;
}

static enum err_code ping(void *state, struct err *err)
{
    struct sqlite_store *s = state;
    enum err_code rc = store_sqlite_ready(s, err);
    int version, result;

    if (rc != ERR_OK) return rc;
    result = store_sqlite_version(s->db, &version);
    return result == SQLITE_OK ? ERR_OK : store_sqlite_fail(s, result, err);
}

/* The indexes are part of the schema. */
static enum err_code prepare(void *state, store_report_fn *report, void *arg, struct err *err)
{
    (void)report, (void)arg;
    return ping(state, err);
}

static void close_store(void *state)
{
    struct sqlite_store *s = state;

    store_sqlite_disconnect(s);
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
    s->turn_fd = -1;
    rc = store_sqlite_ready(s, err);
    if (rc == ERR_UNAVAILABLE) {
        err_clear(err); /* it may come: each call tries again */
        rc = ERR_OK;
    }
    if (rc == ERR_OK)
        *state = s;
    else
        close_store(s);
    return rc;
}

const struct store_backend store_sqlite = {
    .kind = "sqlite",
    .close = close_store,
    .prepare = prepare,
    .ping = ping,
    .find_workspace = find_workspace,
    .find_ids = find_ids,
    .scan = scan,
    .look_ahead = look_ahead,
    .id_order = id_order,
    .update = store_sqlite_update,
    .import = store_sqlite_import,
    .count = count,
    .meta_put = store_sqlite_meta_put,
    .meta_swap = store_sqlite_meta_swap,
    .meta_get = meta_get,
    .meta_bump = store_sqlite_meta_bump,
    .meta_versions = meta_versions,
    .now = store_sqlite_now,
    .lease_create = store_sqlite_lease_create,
    .lease_list = store_sqlite_lease_list,
    .lease_take = store_sqlite_lease_take,
    .lease_write = store_sqlite_lease_write,
    .lease_delete = store_sqlite_lease_delete,
};
