/* The account store (DESIGN 8): one interface, two stores (MongoDB, embedded SQLite), one contract test suite.
 * Both hold the same documents. Call store_open after fork. All calls block, bounded by the configured timeout; when
 * the store cannot be reached they fail with ERR_UNAVAILABLE within it and work again once it is back. A write that fails with
 * ERR_UNAVAILABLE may have been done or not: a guard tells when it is tried again. After a server that hangs has used up the
 * timeout, calls fail at once for the next second. Not thread-safe. */
#ifndef TH_STORE_H
#define TH_STORE_H
#include "store/account.h"
#include "store/lease.h"

struct store;
struct store_options {
    const char *uri;        /* "sqlite:/path" or "mongodb://…/database" ("mongodb+srv://" too) */
    const char *collection; /* "socialaccounts" */
    int64_t timeout_ms;
};
/** store_open(options, &store, err): does not need the store to be up (MongoDB); SQLite: opens or creates the file (0600),
 *  migrates the schema, WAL, busy_timeout. Fails: ERR_CONFIG (URI), ERR_UNAVAILABLE, ERR_IO, ERR_CONFIG for a schema newer than ours. */
enum err_code store_open(const struct store_options *options, struct store **store, struct err *err);
void store_close(struct store *store);             /* NULL allowed */
const char *store_kind(const struct store *store); /* "sqlite" or "mongodb" */
/** store_usage(store): calls that were made, that may change something and that cannot. */
struct store_usage {
    int64_t reads, writes;
};
struct store_usage store_usage(const struct store *store);
/** store_prepare(store, report, arg, err): create the indexes the service needs, if missing; where it may not, ${report} is
 *  called with a sentence that holds the command for the operator, and the call succeeds. */
typedef void store_report_fn(void *arg, const char *sentence);
enum err_code store_prepare(struct store *store, store_report_fn *report, void *arg, struct err *err);
/** store_ping(store, err): is it there? */
enum err_code store_ping(struct store *store, struct err *err);

/** Called for each account; the account is the callee's (account_fini when done: it may outlive the call); return 0 to stop.
 *  A document that cannot be parsed is reported in the log and passed over. */
typedef int store_account_fn(void *arg, struct account *account);
/** store_find_workspace(store, platform, workspace_text, limit, fn, arg, err): all accounts of the workspace (active or not) on the
 *  platform, by every form the id can take, in _id order; ERR_TOO_LARGE when there are more than limit (none is given then). */
enum err_code store_find_workspace(struct store *store, const char *platform, const char *workspace, int limit,
                                   store_account_fn *fn, void *arg, struct err *err);
/** store_find_account(store, id_text, account, err): by every form of the id; any platform. ERR_NOT_FOUND; ERR_CONFLICT when two
 *  documents of different id types answer to the text. account: caller's, account_fini. */
enum err_code store_find_account(struct store *store, const char *id_text, struct account *account, struct err *err);
/** store_read_account(store, id, account, err): the document of exactly this id. ERR_NOT_FOUND. account: as above. */
enum err_code store_read_account(struct store *store, const struct account_id *id, struct account *account,
                                 struct err *err);
/** store_scan(store, platform, after, limit, fn, arg, err): up to limit accounts with isActive ≠ false, in the order of _id
 *  (one total order over all id types), after ${after} (NULL: from the start). A page of a sweep: streams, memory bounded by the
 *  page. *last receives the last id seen (also of documents passed over), *count how many documents were seen: fewer than limit = the end. */
struct store_page {
    struct account_id last;
    int count;
};
enum err_code store_scan(struct store *store, const char *platform, const struct account_id *after, int limit,
                         store_account_fn *fn, void *arg, struct store_page *page, struct err *err);
/** A stretch of a platform's accounts in the order of the scan: those after ${after} up to ${to}, which is the last one of it. */
struct store_span {
    const char *platform; /* NULL: the accounts of all platforms, those that are switched off too; for scans only */
    const struct account_id *after, *to; /* NULL: from the start; to the end */
};
/** store_scan_span(store, span, limit, fn, arg, page, err): as store_scan, but not beyond the span. */
enum err_code store_scan_span(struct store *store, const struct store_span *span, int limit, store_account_fn *fn,
                              void *arg, struct store_page *page, struct err *err);
/** store_look_ahead(store, span, most, at, &id, &count, err): how many documents a scan of the span would see, at most ${most}; and the id
 *  of the ${at}-th of them (from 1), or of the next one whose id can be named; ID_NONE if there is none. Reads ids, not documents. */
enum err_code store_look_ahead(struct store *store, const struct store_span *span, int most, int at,
                               struct account_id *id, int *count, struct err *err);
/** store_id_order(store, a, b): < 0, 0 or > 0: which comes first in a scan? ID_NONE comes before all. Pure. */
int store_id_order(const struct store *store, const struct account_id *a, const struct account_id *b);
/** store_update(store, id, patch, err): apply the patch to that one document in one atomic write if all guards hold.
 *  ERR_CONFLICT: a guard does not hold, nothing written. ERR_NOT_FOUND: no such document (stores may tell that as ERR_CONFLICT
 *  only if they cannot know). Never writes a whole document, never creates one. Durable when it returns, unless the patch is loose.
 *  A patch with a fence: ERR_CONFLICT, and the fence is lost, when its time is over or its lease was taken by another. SQLite looks at the
 *  lease in the same transaction. MongoDB sees it by tokenHealth.epoch, which each fenced write leaves in the account: what a
 *  later holder wrote is safe; what it did not touch yet is protected by the time alone. */
enum err_code store_update(struct store *store, const struct account_id *id, const struct patch *patch,
                           struct err *err);
/** store_import(store, doc, replace, &created, err): insert a document as it is; an existing _id: replace ≠ 0 replaces it, else ERR_CONFLICT. */
enum err_code store_import(struct store *store, const struct json *doc, int replace, int *created, struct err *err);
/** store_import_many(store, items, count, replace, err): store_import of each, in their order, in one commit where the store has such a
 *  thing; what is the matter with one is in its err and keeps none of the others out. Durable when it returns. A failure is of all: the
 *  items that are neither done nor have an err may be in the store or not (SQLite: are not). */
struct store_item {
    const struct json *doc; /* NULL: passed over */
    struct account_id id;   /* the store's own, as the next ones */
    int is_done, created;
    struct err err;
};
enum err_code store_import_many(struct store *store, struct store_item *items, int count, int replace, struct err *err);

/** Numbers over all accounts of a platform (NULL: all platforms), grouped in the store. by_state: tokenHealth.state, by_status:
 *  tokenStatus; "" = absent; words too long or too many are counted as "other". */
enum { STORE_WORDS_MAX = 16 };
struct store_word {
    char word[32];
    int64_t count;
};
struct store_counts {
    int64_t total, active, needs_reconnection;
    struct store_word by_state[STORE_WORDS_MAX], by_status[STORE_WORDS_MAX];
    int state_count, status_count;
};
enum err_code store_count(struct store *store, const char *platform, struct store_counts *counts, struct err *err);

/** Our own small documents, apart from the accounts (collection tokenhealth_meta): monitor statistics and the like.
 *  store_meta_get: *value is the caller's; ERR_NOT_FOUND if none. */
enum err_code store_meta_put(struct store *store, const char *name, const struct json *value, struct err *err);
enum err_code store_meta_get(struct store *store, const char *name, struct json **value, struct err *err);
/** store_meta_swap(store, name, value, version, err): store_meta_put, if the document's version is still ${version}; 0: if there is none. ERR_CONFLICT. */
enum err_code store_meta_swap(struct store *store, const char *name, const struct json *value, int64_t version,
                              struct err *err);
/** store_meta_bump(store, name, at_least, &version, err): each document has a version, which each write changes: put makes it one more; so does
 *  bump, which leaves the document as it is (makes it null if there is none), but never to less than ${at_least}.
 *  store_meta_versions(store, names, count, versions, err): those of so many documents, in one read; 0: no such document. */
enum err_code store_meta_bump(struct store *store, const char *name, int64_t at_least, int64_t *version,
                              struct err *err);
enum err_code store_meta_versions(struct store *store, const char *const *names, int count, int64_t *versions,
                                  struct err *err);

#endif
