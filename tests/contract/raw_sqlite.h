/* The SQLite file seen past the store: for documents that the store would not write, and to see exactly what it wrote. */
#ifndef TH_RAW_SQLITE_H
#define TH_RAW_SQLITE_H
#include "store_fixture.h"
#include <sqlite3.h>

static inline sqlite3 *raw_sqlite_open(void)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(fx.path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

/** raw_sqlite_put(key, doc): a row with any text as its document, active, on instagram, in workspace ws. */
static inline void raw_sqlite_put(const char *key, const char *doc)
{
    sqlite3 *db = raw_sqlite_open();
    char *sql = sqlite3_mprintf("INSERT INTO accounts(id,platform,workspace,active,needs,state,status,doc)"
                                " VALUES(%Q,'instagram','s:ws',1,0,'','',%Q)",
                                key, doc);

    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_free(sql);
    sqlite3_close(db);
}

/** raw_sqlite_get(id): the text of the document. Owns: caller (free). */
static inline char *raw_sqlite_get(const char *id_json)
{
    const struct account_id id = fixture_id(id_json);
    sqlite3 *db = raw_sqlite_open();
    sqlite3_stmt *st = NULL;
    char key[LIMIT_ID_BYTES + 4], *text = NULL;

    id_key(&id, key, sizeof key);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT doc FROM accounts WHERE id=?1", -1, &st, NULL), SQLITE_OK);
    sqlite3_bind_text(st, 1, key, -1, SQLITE_TRANSIENT);
    if (sqlite3_step(st) == SQLITE_ROW) text = strdup((const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    sqlite3_close(db);
    return text;
}

#endif
