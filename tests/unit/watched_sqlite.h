/* SQLite's own access to files, watched: writing fails on demand, syncs are counted. */
#ifndef TH_WATCHED_SQLITE_H
#define TH_WATCHED_SQLITE_H
#include <sqlite3.h>

static int watched_write_result = SQLITE_OK, watched_sync_count;
static sqlite3_vfs watched_vfs;
static sqlite3_io_methods watched_main, watched_wal; /* the file has shared memory, its log has none */
static const sqlite3_io_methods *watched_real;       /* writing and syncing are the same for both */

static inline int watched_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    return watched_write_result == SQLITE_OK ? watched_real->xWrite(file, data, len, at) : watched_write_result;
}

static inline int watched_sync(sqlite3_file *file, int flags)
{
    watched_sync_count++;
    return watched_real->xSync(file, flags);
}

static inline int watched_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *out)
{
    sqlite3_io_methods *mine = flags & SQLITE_OPEN_MAIN_DB ? &watched_main : &watched_wal;
    int rc = sqlite3_vfs_find("unix")->xOpen(v, name, file, flags, out);

    if (rc != SQLITE_OK || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))) return rc;
    watched_real = file->pMethods;
    *mine = *watched_real;
    mine->xWrite = watched_write;
    mine->xSync = watched_sync;
    file->pMethods = mine;
    return rc;
}

static inline int watched_install(void **state)
{
    (void)state;
    watched_vfs = *sqlite3_vfs_find("unix");
    watched_vfs.zName = "watched";
    watched_vfs.xOpen = watched_open;
    watched_vfs.pNext = NULL;
    return sqlite3_vfs_register(&watched_vfs, 1) == SQLITE_OK ? 0 : -1;
}

#endif
