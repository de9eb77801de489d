/* The MongoDB store's inner parts. mongo_*: between our documents (Extended JSON) and BSON; pure. store_mongo_*: the connection
 * and what each operation does with it. Private to store_mongo*.c.
 *
 * The driver's buffers hold tokens: store_mongo_open gives it an allocator that wipes what it frees. */
#ifndef TH_STORE_MONGO_H
#define TH_STORE_MONGO_H
#include "store/store_backend.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* inside bson-atomic.h */
#include <mongoc/mongoc.h>
#pragma GCC diagnostic pop

/** mongo_from_json(json, err): an object as BSON. Owns: caller (bson_destroy). NULL: err says why, without quoting it. */
bson_t *mongo_from_json(const struct json *json, struct err *err);
/** mongo_to_json(doc, &json, err): relaxed Extended JSON. Owns: caller. Fails: ERR_BAD_INPUT (text with NUL, nested too deep). */
enum err_code mongo_to_json(const bson_t *doc, struct json **json, struct err *err);
/** mongo_append_id(to, key, id), mongo_read_id(doc, &id): an id as BSON; 0 if the _id of ${doc} is none of ours. */
void mongo_append_id(bson_t *to, const char *key, const struct account_id *id);
int mongo_read_id(const bson_t *doc, struct account_id *id);

/** mongo_filter(id, patch, whole, held, &filter, err): the document ${id}, if the guards of the patch hold. Objects are compared
 *  member by member, so that their order does not matter. whole: parents that will be replaced; each must still be as in ${held}. */
enum err_code mongo_filter(const struct account_id *id, const struct patch *patch, const struct patch_parents *whole,
                           const struct json *held, bson_t *filter, struct err *err);
/** mongo_change(patch, whole, &update, err): $set and $unset. The fields below a parent in ${whole} are set as one new object. */
enum err_code mongo_change(const struct patch *patch, const struct patch_parents *whole, bson_t *update,
                           struct err *err);

struct mongo_store {
    mongoc_uri_t *uri;
    char *collection;
    int64_t timeout_ms;
    mongoc_client_t *client; /* NULL: to be connected. Dropped with each failed connection: a new one tries at once */
    mongoc_collection_t *accounts, *meta, *leases;
    int64_t started_mono_ms;    /* of the call that is running */
    int64_t not_before_mono_ms; /* after a server that hung: no call until then */
};
/* In each account: the epoch of the last write that had a fence. */
#define MONGO_EPOCH "tokenHealth.epoch"
enum { MONGO_PATH_NOT_VIABLE = 28, MONGO_DUPLICATE_KEY = 11000 };

/** store_mongo_begin(s, err): a client to call with. store_mongo_fail(s, error, reply, err): turns the driver's error into ours
 *  (never with the server's own words: they quote commands, and commands hold tokens) and drops a broken connection.
 *  store_mongo_again(s, rc, &tries, err): may a failed read be tried once more, on a new connection? */
enum err_code store_mongo_begin(struct mongo_store *s, struct err *err);
enum err_code store_mongo_fail(struct mongo_store *s, const bson_error_t *error, const bson_t *reply, struct err *err);
int store_mongo_again(const struct mongo_store *s, enum err_code rc, int *tries, struct err *err);

/* Documents that a query brought, all read before any is handed over: the callee may use the store. */
struct mongo_docs {
    bson_t **list;
    int count, cap;
};
/** store_mongo_find(s, target, filter, opts, docs, err), store_mongo_group(s, pipeline, …): add what is found to ${docs}; the caller frees
 *  them, also after a failure. Tried once more if the connection turns out to be broken. */
enum mongo_target { MONGO_ACCOUNTS, MONGO_META, MONGO_LEASES };
mongoc_collection_t *store_mongo_collection(const struct mongo_store *s, enum mongo_target target);
enum err_code store_mongo_find(struct mongo_store *s, enum mongo_target target, const bson_t *filter,
                               const bson_t *opts, struct mongo_docs *docs, struct err *err);
enum err_code store_mongo_group(struct mongo_store *s, const bson_t *pipeline, struct mongo_docs *docs,
                                struct err *err);
void mongo_docs_free(struct mongo_docs *docs);

/* The operations of store_backend.h. */
enum err_code store_mongo_find_workspace(void *state, const char *platform, const struct account_id *forms,
                                         int form_count, int limit, store_account_fn *fn, void *arg, struct err *err);
enum err_code store_mongo_find_ids(void *state, const struct account_id *forms, int form_count, store_account_fn *fn,
                                   void *arg, struct err *err);
enum err_code store_mongo_scan(void *state, const struct store_span *span, int limit, store_account_fn *fn, void *arg,
                               struct store_page *page, struct err *err);
enum err_code store_mongo_look_ahead(void *state, const struct store_span *span, int most, int at,
                                     struct account_id *id, int *count, struct err *err);
int store_mongo_id_order(const struct account_id *a, const struct account_id *b);
enum err_code store_mongo_count(void *state, const char *platform, struct store_counts *counts, struct err *err);
enum err_code store_mongo_update(void *state, const struct account_id *id, const struct patch *patch, struct err *err);
enum err_code store_mongo_import(void *state, struct store_item *items, int count, int replace, struct err *err);
enum err_code store_mongo_meta_put(void *state, const char *name, const struct json *value, struct err *err);
enum err_code store_mongo_meta_swap(void *state, const char *name, const struct json *value, int64_t version,
                                    struct err *err);
enum err_code store_mongo_meta_get(void *state, const char *name, struct json **value, struct err *err);
enum err_code store_mongo_meta_bump(void *state, const char *name, int64_t at_least, int64_t *version, struct err *err);
enum err_code store_mongo_meta_versions(void *state, const char *const *names, int count, int64_t *versions,
                                        struct err *err);
enum err_code store_mongo_now(void *state, int64_t *now_ms, struct err *err);
enum err_code store_mongo_lease_create(void *state, const char *name, const struct json *value, struct fence *fence,
                                       struct err *err);
enum err_code store_mongo_lease_list(void *state, const char *prefix, store_lease_fn *fn, void *arg, struct err *err);
enum err_code store_mongo_lease_take(void *state, struct lease *lease, const char *owner, int64_t ttl_ms,
                                     struct err *err);
enum err_code store_mongo_lease_write(void *state, struct lease *lease, const char *owner, struct err *err);
enum err_code store_mongo_lease_delete(void *state, const struct lease *lease, struct err *err);
enum err_code store_mongo_prepare(void *state, store_report_fn *report, void *arg, struct err *err);

#endif
