#include "base/clock.h"
#include "store/store_sqlite.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SCHEMA_VERSION = 2, HASTY_MS = 1000 };

/* migrations[n] leads from version n to n + 1; those that were ever shipped stay as they are. */
static const char *const migrations[SCHEMA_VERSION] = {
    "CREATE TABLE accounts("
    " id TEXT NOT NULL UNIQUE, platform TEXT NOT NULL, workspace TEXT, active INTEGER NOT NULL,"
    " needs INTEGER NOT NULL, state TEXT NOT NULL, status TEXT NOT NULL, doc TEXT NOT NULL);"
    "CREATE INDEX accounts_workspace ON accounts(platform, workspace, id);"
    "CREATE INDEX accounts_sweep ON accounts(platform, active, id);"
    "CREATE INDEX accounts_count ON accounts(platform, active, needs, state, status);"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
    "ALTER TABLE meta ADD COLUMN version INTEGER NOT NULL DEFAULT 1;"
    "CREATE TABLE leases(name TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, beat INTEGER NOT NULL,"
    " ttl INTEGER NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE clock(one INTEGER PRIMARY KEY CHECK(one=1), boot TEXT NOT NULL, base INTEGER NOT NULL);",
};

static const char *const statement_sql[STATEMENT_COUNT] = {
    [FIND_WORKSPACE] =
        "SELECT doc, id FROM accounts WHERE platform=?1 AND workspace IN (?2,?3,?4) ORDER BY id LIMIT ?5",
    [FIND_IDS] = "SELECT doc, id FROM accounts WHERE id IN (?1,?2,?3) ORDER BY id LIMIT 2",
    [SCAN] = "SELECT doc, id FROM accounts WHERE platform=?1 AND active=1 AND id>?2 AND id<=?4 ORDER BY id LIMIT ?3",
    [SCAN_ALL] = "SELECT doc, id FROM accounts WHERE ?1 IS NULL AND id>?2 AND id<=?4 ORDER BY id LIMIT ?3",
    [LOOK_AHEAD] = "SELECT id FROM accounts WHERE platform=?1 AND active=1 AND id>?2 AND id<=?4 ORDER BY id LIMIT ?3",
    [GET_DOC] = "SELECT doc FROM accounts WHERE id=?1",
    [UPDATE_DOC] =
        "UPDATE accounts SET platform=?2, workspace=?3, active=?4, needs=?5, state=?6, status=?7, doc=?8 WHERE id=?1",
    [INSERT] =
        "INSERT INTO accounts(id,platform,workspace,active,needs,state,status,doc) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [REPLACE] =
        "REPLACE INTO accounts(id,platform,workspace,active,needs,state,status,doc) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [COUNT] =
        "SELECT active, needs, state, status, count(*) FROM accounts WHERE ?1 IS NULL OR platform=?1 GROUP BY 1,2,3,4",
    [META_PUT] =
        "INSERT INTO meta(name,value) VALUES(?1,?2) ON CONFLICT DO UPDATE SET value=excluded.value, version=version+1",
    [META_BUMP] = "INSERT INTO meta VALUES(?1,'null',max(?2,1)) ON CONFLICT DO UPDATE SET version=max(version+1,?2)",
    [META_VERSION] = "SELECT version FROM meta WHERE name=?1",
    [META_GET] = "SELECT value FROM meta WHERE name=?1",
    [CLOCK_GET] = "SELECT base FROM clock WHERE boot=?1",
    [CLOCK_SET] = "REPLACE INTO clock(one,boot,base) VALUES(1,?1,?2)",
    [LEASE_CREATE] = "INSERT INTO leases(name,owner,epoch,beat,ttl,state) VALUES(?1,'',0,0,0,?2)",
    [LEASE_LIST] = "SELECT name, owner, epoch, beat, ttl, state FROM leases WHERE substr(name,1,length(?1))=?1",
    [LEASE_TAKE] = "UPDATE leases SET owner=?2, epoch=?3, beat=beat+1, ttl=?4 WHERE name=?1 AND epoch=?5 AND beat=?6",
    [LEASE_WRITE] = "UPDATE leases SET owner=?2, beat=beat+1, state=?3 WHERE name=?1 AND epoch=?4 AND owner=?5",
    [LEASE_DELETE] = "DELETE FROM leases WHERE name=?1 AND epoch=?2 AND owner=?3",
    [LEASE_HELD] = "SELECT 1 FROM leases WHERE name=?1 AND epoch=?2 AND owner<>''",
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

enum err_code store_sqlite_fail(struct sqlite_store *s, int rc, struct err *err)
{
    const int64_t now = clock_mono_ms();

    if ((rc & 0xff) == SQLITE_BUSY && now >= s->hasty_until_mono_ms) s->hasty_until_mono_ms = now + HASTY_MS;
    return err_set(err, code_of(rc), NULL, "the store %s: %s", s->path,
                   s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

void store_sqlite_disconnect(struct sqlite_store *s)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
    store_sqlite_turn_close(s);
    s->is_loose = 0;
}

int store_sqlite_version(sqlite3 *db, int *version)
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

    if (rc == SQLITE_OK) rc = store_sqlite_version(s->db, version);
    for (; rc == SQLITE_OK && *version < SCHEMA_VERSION; ++*version) {
        rc = sqlite3_exec(s->db, migrations[*version], NULL, NULL, NULL);
        snprintf(set, sizeof set, "PRAGMA user_version=%d", *version + 1);
        if (rc == SQLITE_OK) rc = sqlite3_exec(s->db, set, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) return sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* Tokens are in it, if sealed: the file is the owner's alone from the first moment on, and SQLite gives its -wal and -shm the same
 * mode. An existing file is not opened here: close() would drop the locks that SQLite holds on it in this process. */
static enum err_code create_private(const struct sqlite_store *s, struct err *err)
{
    int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int why = errno;

    if (fd >= 0) close(fd);
    if (fd >= 0 || why == EEXIST) return ERR_OK;
    return err_set(err, why == ENOSPC || why == EDQUOT ? ERR_NOSPACE : ERR_UNAVAILABLE, NULL, "the store %s: %s",
                   s->path, strerror(why));
}

/* Changing to WAL does not always wait for the lock, whatever the busy timeout says. */
static int use_wal(const struct sqlite_store *s)
{
    int rc;

    while ((rc = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL)) == SQLITE_BUSY &&
           clock_mono_ms() < s->wait_until_mono_ms)
        sqlite3_sleep(10);
    return rc;
}

static enum err_code connect_db(struct sqlite_store *s, struct err *err)
{
    int version = 0, rc;
    enum err_code code = s->was_open ? ERR_OK : create_private(s, err);

    if (code != ERR_OK) return code;
    rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_busy_handler(s->db, store_sqlite_busy, s);
    if (rc == SQLITE_OK) rc = use_wal(s);
    if (rc == SQLITE_OK) rc = sqlite3_exec(s->db, "PRAGMA synchronous=FULL; PRAGMA secure_delete=ON", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = store_sqlite_version(s->db, &version);
    if (rc == SQLITE_OK && version < SCHEMA_VERSION) rc = migrate(s, &version);
    if (rc != SQLITE_OK)
        code = store_sqlite_fail(s, rc, err);
    else if (version > SCHEMA_VERSION)
        code = err_set(err, ERR_CONFIG, s->path, "the schema is version %d, this program knows %d: install a newer one",
                       version, SCHEMA_VERSION);
    if (code != ERR_OK)
        store_sqlite_disconnect(s);
    else
        store_sqlite_turn_open(s);
    s->was_open |= code == ERR_OK;
    return code;
}

enum err_code store_sqlite_ready(struct sqlite_store *s, struct err *err)
{
    const int64_t now = clock_mono_ms();
    enum err_code rc;
    int moved = 0;

    if (s->db && (sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK || moved))
        store_sqlite_disconnect(s);
    s->wait_until_mono_ms = now < s->hasty_until_mono_ms ? now : now + s->timeout_ms;
    if (!s->db && (rc = connect_db(s, err)) != ERR_OK) return rc;
    return ERR_OK;
}

enum err_code store_sqlite_statement(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt **st,
                                     struct err *err)
{
    int result;

    if (!s->statements[which]) {
        result =
            sqlite3_prepare_v3(s->db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[which], NULL);
        if (result != SQLITE_OK) return store_sqlite_fail(s, result, err);
    }
    *st = s->statements[which];
    return ERR_OK;
}

enum err_code store_sqlite_get(struct sqlite_store *s, enum sqlite_statement which, sqlite3_stmt **st, struct err *err)
{
    enum err_code rc = store_sqlite_ready(s, err);

    *st = NULL;
    return rc == ERR_OK ? store_sqlite_statement(s, which, st, err) : rc;
}

void store_sqlite_done(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

void store_sqlite_bind_text(sqlite3_stmt *st, int at, const char *text)
{
    if (text)
        sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT);
    else
        sqlite3_bind_null(st, at);
}

void store_sqlite_bind_id(sqlite3_stmt *st, int at, const struct account_id *id)
{
    char key[SQLITE_KEY_BYTES];

    id_key(id, key, sizeof key);
    store_sqlite_bind_text(st, at, key);
}

struct json *store_sqlite_json(sqlite3_stmt *st, int column, struct err *err)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    struct json *doc = NULL;

    if (text) json_parse(text, (size_t)sqlite3_column_bytes(st, column), &doc, err);
    return doc;
}
