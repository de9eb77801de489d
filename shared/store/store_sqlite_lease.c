#include "base/clock.h"
#include "base/log.h"
#include "store/store_sqlite.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BOOT_BYTES = 40 };
static const char epochs[] = "lease-epoch";

/* ---- the clock: what the wall clock was when the store was first asked in this boot, and the time since ---- */

static enum err_code boot_id(char out[BOOT_BYTES], struct err *err)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, out, BOOT_BYTES - 1);

    if (fd >= 0) close(fd);
    if (len <= 0) return err_set(err, ERR_IO, "/proc/sys/kernel/random/boot_id", "it cannot be read");
    out[len] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return ERR_OK;
}

static enum err_code read_clock(struct sqlite_store *s, const char *boot, int64_t *base_ms, int *known, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_statement(s, CLOCK_GET, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, boot);
    result = sqlite3_step(st);
    *known = result == SQLITE_ROW;
    if (*known) *base_ms = sqlite3_column_int64(st, 0);
    if (!*known && result != SQLITE_DONE) rc = store_sqlite_fail(s, result, err);
    store_sqlite_done(st);
    return rc;
}

static enum err_code set_clock(struct sqlite_store *s, const char *boot, int64_t base_ms, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_statement(s, CLOCK_SET, &st, err);

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, boot);
    sqlite3_bind_int64(st, 2, base_ms);
    return store_sqlite_run(s, st, err);
}

/* Of two processes that come first in a boot, the second finds it set. */
static enum err_code start_clock(struct sqlite_store *s, const char *boot, int64_t *base_ms, struct err *err)
{
    int known = 0;
    enum err_code rc = store_sqlite_begin(s, 0, err);

    if (rc != ERR_OK) return rc;
    rc = read_clock(s, boot, base_ms, &known, err);
    if (rc == ERR_OK && !known) {
        *base_ms = clock_now_ms() - clock_boot_ms();
        rc = set_clock(s, boot, *base_ms, err);
    }
    return store_sqlite_end(s, rc, err);
}

enum err_code store_sqlite_now(void *state, int64_t *now_ms, struct err *err)
{
    char boot[BOOT_BYTES];
    int64_t base_ms = 0;
    int known = 0;
    enum err_code rc = boot_id(boot, err);

    if (rc == ERR_OK) rc = store_sqlite_ready(state, err);
    if (rc == ERR_OK) rc = read_clock(state, boot, &base_ms, &known, err);
    if (rc == ERR_OK && !known) rc = start_clock(state, boot, &base_ms, err);
    *now_ms = base_ms + clock_boot_ms();
    return rc;
}

/* ---- leases ---- */

enum err_code store_sqlite_fence(struct sqlite_store *s, struct fence *fence, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_statement(s, LEASE_HELD, &st, err);
    int result;

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, fence->lease);
    sqlite3_bind_int64(st, 2, fence->epoch);
    result = sqlite3_step(st);
    if (result == SQLITE_DONE) {
        fence_lose(fence);
        rc = err_set(err, ERR_CONFLICT, fence->lease, "%s", store_lost_lease);
    } else if (result != SQLITE_ROW) {
        rc = store_sqlite_fail(s, result, err);
    }
    store_sqlite_done(st);
    return rc;
}

static enum err_code create(struct sqlite_store *s, const char *name, const char *text, struct fence *fence,
                            struct err *err)
{
    sqlite3_stmt *st = NULL;
    enum err_code rc = fence ? store_sqlite_fence(s, fence, err) : ERR_OK;

    if (rc == ERR_OK) rc = store_sqlite_statement(s, LEASE_CREATE, &st, err);
    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, name);
    store_sqlite_bind_text(st, 2, text);
    rc = store_sqlite_run(s, st, err);
    return rc == ERR_CONFLICT ? err_set(err, rc, name, "there is such a lease") : rc;
}

enum err_code store_sqlite_lease_create(void *state, const char *name, const struct json *value, struct fence *fence,
                                        struct err *err)
{
    struct buf text = {0};
    enum err_code rc = json_print(value, &text, err);

    if (rc == ERR_OK) rc = store_sqlite_begin(state, 0, err);
    if (rc == ERR_OK) rc = store_sqlite_end(state, create(state, name, buf_text(&text), fence, err), err);
    buf_free(&text);
    return rc;
}

/* All are read before any is handed over: the callee may use the store. */
struct leases {
    struct lease *list;
    int count, cap;
};

static struct lease *add(struct leases *all)
{
    if (all->count == all->cap) {
        int cap = all->cap ? 2 * all->cap : 16;
        struct lease *list = realloc(all->list, (size_t)cap * sizeof *list);

        if (!list) return NULL;
        all->list = list;
        all->cap = cap;
    }
    all->list[all->count] = (struct lease){0};
    return &all->list[all->count++];
}

static void read_lease(sqlite3_stmt *st, struct lease *lease)
{
    snprintf(lease->name, sizeof lease->name, "%s", (const char *)sqlite3_column_text(st, 0));
    snprintf(lease->owner, sizeof lease->owner, "%s", (const char *)sqlite3_column_text(st, 1));
    lease->epoch = sqlite3_column_int64(st, 2);
    lease->beat = sqlite3_column_int64(st, 3);
    lease->ttl_ms = sqlite3_column_int64(st, 4);
    lease->state = store_sqlite_json(st, 5, NULL);
    if (!lease->state) log_warn("TOKEN HEALTH", "a lease cannot be read", LOG_S("lease", lease->name));
}

enum err_code store_sqlite_lease_list(void *state, const char *prefix, store_lease_fn *fn, void *arg, struct err *err)
{
    struct leases all = {0};
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_get(state, LEASE_LIST, &st, err);
    int result = SQLITE_DONE;

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, prefix);
    while (rc == ERR_OK && (result = sqlite3_step(st)) == SQLITE_ROW) {
        struct lease *lease = add(&all);

        if (!lease) rc = err_set(err, ERR_NOMEM, NULL, "no memory for leases");
        if (lease) read_lease(st, lease);
    }
    if (rc == ERR_OK && result != SQLITE_DONE) rc = store_sqlite_fail(state, result, err);
    store_sqlite_done(st);
    for (int i = 0; i < all.count; i++) {
        if (rc == ERR_OK && all.list[i].state)
            fn(arg, &all.list[i]);
        else
            lease_fini(&all.list[i]);
    }
    free(all.list);
    return rc;
}

/* Nothing changed: the lease is not as it was thought to be. */
static enum err_code change(struct sqlite_store *s, sqlite3_stmt *st, const char *name, struct err *err)
{
    enum err_code rc = store_sqlite_run(s, st, err);

    if (rc == ERR_OK && sqlite3_changes(s->db) == 0) rc = err_set(err, ERR_CONFLICT, name, "%s", store_lost_lease);
    return rc;
}

static enum err_code take(struct sqlite_store *s, const struct lease *lease, const char *owner, int64_t ttl_ms,
                          int64_t *epoch, struct err *err)
{
    sqlite3_stmt *st = NULL;
    enum err_code rc = store_sqlite_bump(s, epochs, lease->epoch + 1, epoch, err);

    if (rc == ERR_OK) rc = store_sqlite_statement(s, LEASE_TAKE, &st, err);
    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, lease->name);
    store_sqlite_bind_text(st, 2, owner);
    sqlite3_bind_int64(st, 3, *epoch);
    sqlite3_bind_int64(st, 4, ttl_ms);
    sqlite3_bind_int64(st, 5, lease->epoch);
    sqlite3_bind_int64(st, 6, lease->beat);
    return change(s, st, lease->name, err);
}

enum err_code store_sqlite_lease_take(void *state, struct lease *lease, const char *owner, int64_t ttl_ms,
                                      struct err *err)
{
    int64_t epoch = 0;
    enum err_code rc = store_sqlite_begin(state, 0, err);

    if (rc == ERR_OK) rc = store_sqlite_end(state, take(state, lease, owner, ttl_ms, &epoch, err), err);
    if (rc != ERR_OK) return rc;
    snprintf(lease->owner, sizeof lease->owner, "%s", owner);
    lease->epoch = epoch;
    lease->ttl_ms = ttl_ms;
    lease->beat++;
    return ERR_OK;
}

static enum err_code write_lease(struct sqlite_store *s, const struct lease *lease, const char *owner, const char *text,
                                 struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_statement(s, LEASE_WRITE, &st, err);

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, lease->name);
    store_sqlite_bind_text(st, 2, owner);
    store_sqlite_bind_text(st, 3, text);
    sqlite3_bind_int64(st, 4, lease->epoch);
    store_sqlite_bind_text(st, 5, lease->owner);
    return change(s, st, lease->name, err);
}

/* Not synced: a power cut ends all who could hold a lease, and where a pass was is only where it goes on. */
enum err_code store_sqlite_lease_write(void *state, struct lease *lease, const char *owner, struct err *err)
{
    struct buf text = {0};
    enum err_code rc = json_print(lease->state, &text, err);

    if (rc == ERR_OK) rc = store_sqlite_begin(state, 1, err);
    if (rc == ERR_OK) rc = store_sqlite_end(state, write_lease(state, lease, owner, buf_text(&text), err), err);
    buf_free(&text);
    if (rc == ERR_OK) lease->beat++;
    return rc;
}

static enum err_code delete_lease(struct sqlite_store *s, const struct lease *lease, struct err *err)
{
    sqlite3_stmt *st;
    enum err_code rc = store_sqlite_statement(s, LEASE_DELETE, &st, err);

    if (rc != ERR_OK) return rc;
    store_sqlite_bind_text(st, 1, lease->name);
    sqlite3_bind_int64(st, 2, lease->epoch);
    store_sqlite_bind_text(st, 3, lease->owner);
    return change(s, st, lease->name, err);
}

enum err_code store_sqlite_lease_delete(void *state, const struct lease *lease, struct err *err)
{
    enum err_code rc = store_sqlite_begin(state, 1, err);

    return rc == ERR_OK ? store_sqlite_end(state, delete_lease(state, lease, err), err) : rc;
}
