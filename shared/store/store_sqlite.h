/* The SQLite store's inner parts. store_sqlite_db.c: the file, its schema and the prepared statements; store_sqlite.c: reading;
 * store_sqlite_write.c: writing; store_sqlite_lease.c: leases and the clock;
 * store_sqlite_turn.c: in which order writers come. Documents are kept as JSON text, beside the columns that queries need.
 * Private to store_sqlite*.c. */
#ifndef TH_STORE_SQLITE_H
#define TH_STORE_SQLITE_H
#include "store/store_backend.h"
#include <sqlite3.h>

enum { SQLITE_KEY_BYTES = LIMIT_ID_BYTES + 4 };

enum sqlite_statement {
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
    META_BUMP,
    META_VERSION,
    SCAN_ALL,
    LOOK_AHEAD,
    CLOCK_GET,
    CLOCK_SET,
    LEASE_CREATE,
    LEASE_LIST,
    LEASE_TAKE,
    LEASE_WRITE,
    LEASE_DELETE,
    LEASE_HELD,
    STATEMENT_COUNT
};

struct sqlite_store {
    char *path;
    int64_t timeout_ms;
    int64_t
        hasty_until_mono_ms; /* a lock was waited for in vain: the next calls try, but do not wait, until one gets it */
    int64_t wait_until_mono_ms;  /* for a lock, in the call under way */
    int64_t alone_until_mono_ms; /* the turn was waited for in vain: until then it is gone without */
    int turn_fd;                 /* -1: there is none */
    int was_open;                /* the file has been there: if it is gone it is waited for, not made anew */
    int is_loose;                /* commits are not synced now */
    sqlite3 *db;                 /* NULL: to be opened by the next call */
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/** store_sqlite_ready(s, err): the open database; opened again when its file was replaced or was away. Fails: ERR_UNAVAILABLE,
 *  ERR_NOSPACE, ERR_IO, ERR_CONFIG (newer schema). */
enum err_code store_sqlite_ready(struct sqlite_store *s, struct err *err);
void store_sqlite_disconnect(struct sqlite_store *s);
/** store_sqlite_get(s, which, &st, err): the database ready, and a statement of it, to be bound. store_sqlite_statement: just the
 *  statement, of a database that is open: a transaction must not move on to another file. store_sqlite_done: after the last step. */
enum err_code store_sqlite_get(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt **st, struct err *err);
enum err_code store_sqlite_statement(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt **st,
                                     struct err *err);
void store_sqlite_done(sqlite3_stmt *st);
/** store_sqlite_fail(s, rc, err): SQLite's error as ours. */
enum err_code store_sqlite_fail(struct sqlite_store *s, int rc, struct err *err);
int store_sqlite_version(sqlite3 *db, int *version);

/** store_sqlite_meta_version(s, name, &version, err): 0 if there is no such document. */
enum err_code store_sqlite_meta_version(struct sqlite_store *s, const char *name, int64_t *version, struct err *err);

void store_sqlite_bind_text(sqlite3_stmt *st, int at, const char *text); /* NULL allowed */
void store_sqlite_bind_id(sqlite3_stmt *st, int at, const struct account_id *id);
/** store_sqlite_json(st, column, err): a stored document; NULL if it is no JSON. Owns: caller. */
struct json *store_sqlite_json(sqlite3_stmt *st, int column, struct err *err);

/** store_sqlite_turn_take(s): wait for the turn to write, until wait_until_mono_ms and not long at all: it makes writers come one after the other, no
 *  more. store_sqlite_turn_give(s): once the write lock is held, or given up. store_sqlite_busy: SQLite's busy handler. */
void store_sqlite_turn_open(struct sqlite_store *s);
void store_sqlite_turn_close(struct sqlite_store *s);
void store_sqlite_turn_take(struct sqlite_store *s);
void store_sqlite_turn_give(struct sqlite_store *s);
int store_sqlite_busy(void *state, int tries);

/** store_sqlite_begin(s, loose, err): a transaction that writes. store_sqlite_end(s, rc, err): commits if ${rc} is ERR_OK, else takes back.
 *  store_sqlite_run(s, st, err): a statement that gives no row. */
enum err_code store_sqlite_begin(struct sqlite_store *s, int loose, struct err *err);
enum err_code store_sqlite_end(struct sqlite_store *s, enum err_code rc, struct err *err);
enum err_code store_sqlite_run(struct sqlite_store *s, sqlite3_stmt *st, struct err *err);

/* The operations of store_backend.h that write. */
enum err_code store_sqlite_update(void *state, const struct account_id *id, const struct patch *patch, struct err *err);
enum err_code store_sqlite_import(void *state, struct store_item *items, int count, int replace, struct err *err);
enum err_code store_sqlite_meta_put(void *state, const char *name, const struct json *value, struct err *err);
enum err_code store_sqlite_meta_swap(void *state, const char *name, const struct json *value, int64_t version,
                                     struct err *err);
/** store_sqlite_bump: as meta_bump, inside a transaction. */
enum err_code store_sqlite_bump(struct sqlite_store *s, const char *name, int64_t at_least, int64_t *version,
                                struct err *err);
enum err_code store_sqlite_meta_bump(void *state, const char *name, int64_t at_least, int64_t *version,
                                     struct err *err);

/** store_sqlite_fence(s, fence, err): does it hold, by the lease in the store? Inside a transaction. */
enum err_code store_sqlite_fence(struct sqlite_store *s, struct fence *fence, struct err *err);
enum err_code store_sqlite_now(void *state, int64_t *now_ms, struct err *err);
enum err_code store_sqlite_lease_create(void *state, const char *name, const struct json *value, struct fence *fence,
                                        struct err *err);
enum err_code store_sqlite_lease_list(void *state, const char *prefix, store_lease_fn *fn, void *arg, struct err *err);
enum err_code store_sqlite_lease_take(void *state, struct lease *lease, const char *owner, int64_t ttl_ms,
                                      struct err *err);
enum err_code store_sqlite_lease_write(void *state, struct lease *lease, const char *owner, struct err *err);
enum err_code store_sqlite_lease_delete(void *state, const struct lease *lease, struct err *err);

#endif
