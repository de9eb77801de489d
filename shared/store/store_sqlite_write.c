#include "store/store_sqlite.h"
#include <stdio.h>
#include <string.h>

/* A commit that is not synced stays whole and in order; only a power cut can take it, with those after it, and the next synced one
 * takes it to the disk. That spares a sweep one fsync an account. */
enum err_code store_sqlite_begin(struct sqlite_store *s, int loose, struct err *err)
{
    enum err_code rc = store_sqlite_ready(s, err);
    int result = SQLITE_OK;

    if (rc != ERR_OK) return rc;
    if (s->is_loose != loose)
        result = sqlite3_exec(s->db, loose ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (result == SQLITE_OK) s->is_loose = loose;
    if (result != SQLITE_OK) return store_sqlite_fail(s, result, err);
    store_sqlite_turn_take(s);
    result = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    store_sqlite_turn_give(s);
    if (result != SQLITE_OK) return store_sqlite_fail(s, result, err);
    s->hasty_until_mono_ms = 0;
    return ERR_OK;
}

enum err_code store_sqlite_end(struct sqlite_store *s, enum err_code rc, struct err *err)
{
    if (rc == ERR_OK) {
        int result = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);

        if (result != SQLITE_OK) rc = store_sqlite_fail(s, result, err);
    }
    if (rc != ERR_OK && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

enum err_code store_sqlite_run(struct sqlite_store *s, sqlite3_stmt *st, struct err *err)
{
    int rc = sqlite3_step(st);
    enum err_code code = rc == SQLITE_DONE                  ? ERR_OK
                         : (rc & 0xff) == SQLITE_CONSTRAINT ? ERR_CONFLICT
                                                            : store_sqlite_fail(s, rc, err);

    store_sqlite_done(st);
    return code;
}

/* A word of the document, for the counts. What is no text counts as the other store counts it. */
static const char *word_of(const struct json *j)
{
    if (json_string(j)) return json_string(j);
    return json_type(j) == JSON_ABSENT || json_type(j) == JSON_NULL ? "" : "other";
}

static enum err_code write_doc(struct sqlite_store *s, enum sqlite_statement which, const struct json *doc,
                               struct err *err)
{
    struct account a;
    struct buf text = {0};
    sqlite3_stmt *st = NULL;
    enum err_code rc = account_parse(json_copy(doc), &a, err);

    if (rc != ERR_OK) return rc;
    rc = json_print(doc, &text, err);
    if (rc == ERR_OK) rc = store_sqlite_statement(s, which, &st, err);
    if (rc == ERR_OK) {
        store_sqlite_bind_id(st, 1, &a.id);
        store_sqlite_bind_text(st, 2, a.platform);
        if (a.workspace.type != ID_NONE) store_sqlite_bind_id(st, 3, &a.workspace);
        sqlite3_bind_int(st, 4, a.is_active != TRI_FALSE);
        sqlite3_bind_int(st, 5, a.needs_reconnection == TRI_TRUE);
        store_sqlite_bind_text(st, 6, word_of(json_member(a.health, "state")));
        store_sqlite_bind_text(st, 7, word_of(json_member(doc, "tokenStatus")));
        store_sqlite_bind_text(st, 8, buf_text(&text));
        rc = store_sqlite_run(s, st, err);
    }
    buf_free(&text);
    account_fini(&a);
    return rc;
}

static enum err_code read_doc(struct sqlite_store *s, const struct account_id *id, struct json **doc, struct err *err)
{
    struct err why = {0};
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_statement(s, GET_DOC, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_id(st, 1, id);
    result = sqlite3_step(st);
    if (result == SQLITE_DONE)
        rc = err_set(err, ERR_NOT_FOUND, id->text, "there is no such account");
    else if (result != SQLITE_ROW)
        rc = store_sqlite_fail(s, result, err);
    else if (!(*doc = store_sqlite_json(st, 0, &why)))
        rc = err_set(err, ERR_IO, id->text, "the stored document is not JSON: %s", why.text);
    store_sqlite_done(st);
    return rc;
}

static enum err_code update_locked(struct sqlite_store *s, const struct account_id *id, const struct patch *patch,
                                   struct err *err)
{
    struct json *doc = NULL;
    enum err_code rc = patch->fence ? store_sqlite_fence(s, patch->fence, err) : ERR_OK;

    if (rc == ERR_OK) rc = read_doc(s, id, &doc, err);
    if (rc == ERR_OK && !patch_guards_hold(doc, patch))
        rc = err_set(err, ERR_CONFLICT, id->text, "the account was changed meanwhile");
    if (rc == ERR_OK && !patch_apply(doc, patch)) rc = err_set(err, ERR_NOMEM, id->text, "no memory for the account");
    if (rc == ERR_OK) rc = write_doc(s, UPDATE_DOC, doc, err);
    json_free(doc);
    return rc;
}

/* A plain token that the patch took out is still in older pages, of the file and of its log: a checkpoint overwrites the one and cuts
 * the other. Readers in its way may keep it from that; then the next one does it. */
static void forget(struct sqlite_store *s, const struct patch *patch)
{
    for (int i = 0; i < patch->field_count; i++) {
        const struct patch_field *field = &patch->fields[i];

        if (field->op == PATCH_UNSET && (!strcmp(field->path, "accessToken") || !strcmp(field->path, "refreshToken"))) {
            store_sqlite_turn_take(s);
            sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
            store_sqlite_turn_give(s);
            return;
        }
    }
}

enum err_code store_sqlite_update(void *state, const struct account_id *id, const struct patch *patch, struct err *err)
{
    enum err_code rc = store_sqlite_begin(state, patch->loose, err);

    if (rc == ERR_OK) rc = store_sqlite_end(state, update_locked(state, id, patch, err), err);
    if (rc == ERR_OK) forget(state, patch);
    return rc;
}

/* 0: the store itself fails, so that the whole transaction has to be given up. */
static int import_one(struct sqlite_store *s, struct store_item *item, int replace)
{
    enum err_code rc = write_doc(s, INSERT, item->doc, &item->err);

    item->created = rc == ERR_OK;
    if (rc == ERR_CONFLICT && replace)
        rc = write_doc(s, REPLACE, item->doc, &item->err);
    else if (rc == ERR_CONFLICT)
        store_item_exists(item);
    item->is_done = rc == ERR_OK;
    return rc == ERR_OK || rc == ERR_CONFLICT || rc == ERR_BAD_INPUT;
}

enum err_code store_sqlite_import(void *state, struct store_item *items, int count, int replace, struct err *err)
{
    enum err_code rc = store_sqlite_begin(state, 0, err);

    if (rc != ERR_OK) return rc;
    for (int i = 0; rc == ERR_OK && i < count; i++) {
        if (!store_item_waits(&items[i]) || import_one(state, &items[i], replace)) continue;
        rc = err_set(err, items[i].err.code, items[i].err.place, "%s", items[i].err.text);
        err_clear(&items[i].err);
    }
    rc = store_sqlite_end(state, rc, err);
    for (int i = 0; rc != ERR_OK && i < count; i++)
        items[i].is_done = items[i].created = 0;
    return rc;
}

/* ${version}: as it has to be; -1: any. */
static enum err_code put_meta(struct sqlite_store *s, const char *name, const char *text, int64_t version,
                              struct err *err)
{
    sqlite3_stmt *st = NULL;
    int64_t held = version;
    enum err_code rc = version < 0 ? ERR_OK : store_sqlite_meta_version(s, name, &held, err);

    if (rc == ERR_OK && held != version)
        rc = err_set(err, ERR_CONFLICT, name, "somebody else has changed it meanwhile");
    if (rc == ERR_OK) rc = store_sqlite_statement(s, META_PUT, &st, err);
    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, name);
    store_sqlite_bind_text(st, 2, text);
    return store_sqlite_run(s, st, err);
}

enum err_code store_sqlite_meta_swap(void *state, const char *name, const struct json *value, int64_t version,
                                     struct err *err)
{
    struct buf text = {0};
    enum err_code rc = json_print(value, &text, err);

    if (rc == ERR_OK) rc = store_sqlite_begin(state, 0, err);
    if (rc == ERR_OK) {
        rc = put_meta(state, name, buf_text(&text), version, err);
        rc = store_sqlite_end(state, rc, err);
    }
    buf_free(&text);
    return rc;
}

enum err_code store_sqlite_meta_put(void *state, const char *name, const struct json *value, struct err *err)
{
    return store_sqlite_meta_swap(state, name, value, -1, err);
}

enum err_code store_sqlite_bump(struct sqlite_store *s, const char *name, int64_t at_least, int64_t *version,
                                struct err *err)
{
    sqlite3_stmt *st = NULL;
    enum err_code rc = store_sqlite_statement(s, META_BUMP, &st, err);

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, name);
    sqlite3_bind_int64(st, 2, at_least);
    rc = store_sqlite_run(s, st, err);
    return rc == ERR_OK ? store_sqlite_meta_version(s, name, version, err) : rc;
}

enum err_code store_sqlite_meta_bump(void *state, const char *name, int64_t at_least, int64_t *version, struct err *err)
{
    enum err_code rc = store_sqlite_begin(state, 0, err);

    return rc == ERR_OK ? store_sqlite_end(state, store_sqlite_bump(state, name, at_least, version, err), err) : rc;
}
