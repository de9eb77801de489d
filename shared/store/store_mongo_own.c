/* Our own documents, apart from the accounts.
 * tokenhealth_meta: { _id: name, value: JSON text, version }. tokenhealth_leases: { _id: name, owner, epoch, beat, ttl, state: JSON text }. As
 * text they keep names and numbers that BSON has no place for. */
#include "base/log.h"
#include "store/store_mongo.h"
#include <stdio.h>
#include <string.h>

static const char epochs[] = "lease-epoch";

/* ---- between BSON and ours ---- */

static int64_t int_of(const bson_t *doc, const char *name)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, name) ? bson_iter_as_int64(&it) : 0;
}

static void text_of(const bson_t *doc, const char *name, char *out, size_t size)
{
    bson_iter_t it;

    out[0] = '\0';
    if (bson_iter_init_find(&it, doc, name) && BSON_ITER_HOLDS_UTF8(&it))
        snprintf(out, size, "%s", bson_iter_utf8(&it, NULL));
}

/* NULL: it is no JSON. */
static struct json *json_of(const bson_t *doc, const char *name)
{
    struct json *json = NULL;
    bson_iter_t it;
    uint32_t len = 0;
    const char *text;

    if (!bson_iter_init_find(&it, doc, name) || !BSON_ITER_HOLDS_UTF8(&it)) return NULL;
    text = bson_iter_utf8(&it, &len);
    json_parse(text, len, &json, NULL);
    return json;
}

static void filter_name(bson_t *filter, const char *name)
{
    bson_append_utf8(filter, "_id", -1, name, -1);
}

/* { operator: { field: n } } */
static void change_int(bson_t *update, const char *operator, const char * field, int64_t n)
{
    bson_t inner;

    bson_append_document_begin(update, operator, - 1, &inner);
    bson_append_int64(&inner, field, -1, n);
    bson_append_document_end(update, &inner);
}

/* One update; *matched: was there such a document (or, with ${upsert}, is there now)? Of two that make a document at once one is told of
 * a duplicate: it tries again. */
static enum err_code update_one(struct mongo_store *s, enum mongo_target target, const bson_t *filter,
                                const bson_t *update, int upsert, int *matched, struct err *err)
{
    bson_t opts = BSON_INITIALIZER;
    enum err_code rc = ERR_CONFLICT;

    if (upsert) bson_append_bool(&opts, "upsert", -1, true);
    for (int i = 0; rc == ERR_CONFLICT && i < 2; i++) {
        bson_t reply;
        bson_error_t error;

        err_clear(err);
        rc = store_mongo_begin(s, err);
        if (rc != ERR_OK) break;
        if (!mongoc_collection_update_one(store_mongo_collection(s, target), filter, update, &opts, &reply, &error))
            rc = store_mongo_fail(s, &error, &reply, err);
        else
            *matched = upsert || int_of(&reply, "matchedCount") == 1;
        bson_destroy(&reply);
    }
    bson_destroy(&opts);
    return rc;
}

/* ---- meta documents ---- */

/* ${version}: as it has to be, 0: none; -1: any. To make one of a name that is there is refused as a duplicate. */
static enum err_code put_meta(struct mongo_store *s, const char *name, const struct json *value, int64_t version,
                              struct err *err)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    struct buf text = {0};
    int matched = 0;
    enum err_code rc = json_print(value, &text, err);

    filter_name(&filter, name);
    if (version >= 0) bson_append_int64(&filter, "version", -1, version);
    bson_append_document_begin(&update, "$set", -1, &set);
    bson_append_utf8(&set, "value", -1, buf_text(&text), -1);
    bson_append_document_end(&update, &set);
    change_int(&update, "$inc", "version", 1);
    if (rc == ERR_OK) rc = update_one(s, MONGO_META, &filter, &update, version <= 0, &matched, err);
    if (rc == ERR_OK && !matched) rc = err_set(err, ERR_CONFLICT, name, "somebody else has changed it meanwhile");
    buf_free(&text);
    bson_destroy(&filter);
    bson_destroy(&update);
    return rc;
}

enum err_code store_mongo_meta_put(void *state, const char *name, const struct json *value, struct err *err)
{
    return put_meta(state, name, value, -1, err);
}

enum err_code store_mongo_meta_swap(void *state, const char *name, const struct json *value, int64_t version,
                                    struct err *err)
{
    return put_meta(state, name, value, version, err);
}

enum err_code store_mongo_meta_get(void *state, const char *name, struct json **value, struct err *err)
{
    struct mongo_docs docs = {0};
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER;
    enum err_code rc;

    filter_name(&filter, name);
    bson_append_int64(&opts, "limit", -1, 1);
    rc = store_mongo_find(state, MONGO_META, &filter, &opts, &docs, err);
    if (rc == ERR_OK && !docs.count) rc = err_set(err, ERR_NOT_FOUND, name, "nothing is stored under this name");
    if (rc == ERR_OK && !(*value = json_of(docs.list[0], "value")))
        rc = err_set(err, ERR_IO, name, "the stored value is not JSON");
    mongo_docs_free(&docs);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

static enum err_code find_and_bump(struct mongo_store *s, const bson_t *filter, const bson_t *update, int64_t *version,
                                   struct err *err)
{
    mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new();
    bson_t reply;
    bson_error_t error;
    bson_iter_t it, at;
    enum err_code rc = store_mongo_begin(s, err);

    mongoc_find_and_modify_opts_set_update(opts, update);
    mongoc_find_and_modify_opts_set_flags(opts, MONGOC_FIND_AND_MODIFY_RETURN_NEW);
    if (rc == ERR_OK) {
        if (!mongoc_collection_find_and_modify_with_opts(s->meta, filter, opts, &reply, &error))
            rc = store_mongo_fail(s, &error, &reply, err);
        else if (bson_iter_init(&it, &reply) && bson_iter_find_descendant(&it, "value.version", &at))
            *version = bson_iter_as_int64(&at);
        else
            rc = err_set(err, ERR_UNAVAILABLE, NULL, "a document of ours was deleted meanwhile");
        bson_destroy(&reply);
    }
    mongoc_find_and_modify_opts_destroy(opts);
    return rc;
}

/* The document is made, and raised, before: only growing, it can be raised in two steps. */
enum err_code store_mongo_meta_bump(void *state, const char *name, int64_t at_least, int64_t *version, struct err *err)
{
    bson_t filter = BSON_INITIALIZER, raise = BSON_INITIALIZER, increase = BSON_INITIALIZER, made;
    int matched;
    enum err_code rc;

    filter_name(&filter, name);
    change_int(&raise, "$max", "version", at_least > 0 ? at_least - 1 : 0);
    bson_append_document_begin(&raise, "$setOnInsert", -1, &made);
    bson_append_utf8(&made, "value", -1, "null", -1);
    bson_append_document_end(&raise, &made);
    change_int(&increase, "$inc", "version", 1);
    rc = update_one(state, MONGO_META, &filter, &raise, 1, &matched, err);
    if (rc == ERR_OK) rc = find_and_bump(state, &filter, &increase, version, err);
    bson_destroy(&filter);
    bson_destroy(&raise);
    bson_destroy(&increase);
    return rc;
}

static void filter_names(bson_t *filter, const char *const *names, int count)
{
    bson_t test, list;

    bson_append_document_begin(filter, "_id", -1, &test);
    bson_append_array_begin(&test, "$in", -1, &list);
    for (int i = 0; i < count; i++) {
        char number[16];
        const char *key;

        bson_uint32_to_string((uint32_t)i, &key, number, sizeof number);
        bson_append_utf8(&list, key, -1, names[i], -1);
    }
    bson_append_array_end(&test, &list);
    bson_append_document_end(filter, &test);
}

/* One that an older program made has no version until it is written. */
enum err_code store_mongo_meta_versions(void *state, const char *const *names, int count, int64_t *versions,
                                        struct err *err)
{
    struct mongo_docs docs = {0};
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER, fields;
    enum err_code rc;

    filter_names(&filter, names, count);
    bson_append_document_begin(&opts, "projection", -1, &fields);
    bson_append_int32(&fields, "version", -1, 1);
    bson_append_document_end(&opts, &fields);
    rc = store_mongo_find(state, MONGO_META, &filter, &opts, &docs, err);
    for (int i = 0; rc == ERR_OK && i < docs.count; i++) {
        char name[128];

        text_of(docs.list[i], "_id", name, sizeof name);
        for (int k = 0; k < count; k++)
            if (!strcmp(names[k], name)) versions[k] = int_of(docs.list[i], "version");
    }
    mongo_docs_free(&docs);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

/* ---- the clock ---- */

enum err_code store_mongo_now(void *state, int64_t *now_ms, struct err *err)
{
    struct mongo_store *s = state;
    bson_t command = BSON_INITIALIZER, reply;
    bson_error_t error;
    int tries = 0;
    enum err_code rc;

    bson_append_int32(&command, "hello", -1, 1);
    do {
        bson_iter_t it;

        rc = store_mongo_begin(s, err);
        if (rc != ERR_OK) continue;
        if (!mongoc_client_command_simple(s->client, "admin", &command, NULL, &reply, &error))
            rc = store_mongo_fail(s, &error, &reply, err);
        else if (bson_iter_init_find(&it, &reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME(&it))
            *now_ms = bson_iter_date_time(&it);
        else
            rc = err_set(err, ERR_IO, NULL, "MongoDB does not tell the time");
        bson_destroy(&reply);
    } while (store_mongo_again(s, rc, &tries, err));
    bson_destroy(&command);
    return rc;
}

/* ---- leases ---- */

enum err_code store_mongo_lease_create(void *state, const char *name, const struct json *value, struct fence *fence,
                                       struct err *err)
{
    struct mongo_store *s = state;
    bson_t doc = BSON_INITIALIZER, reply;
    struct buf text = {0};
    bson_error_t error;
    enum err_code rc = json_print(value, &text, err);

    (void)fence; /* there is no transaction to look at it in: its time alone counts */
    filter_name(&doc, name);
    bson_append_utf8(&doc, "owner", -1, "", -1);
    bson_append_int64(&doc, "epoch", -1, 0);
    bson_append_int64(&doc, "beat", -1, 0);
    bson_append_int64(&doc, "ttl", -1, 0);
    bson_append_utf8(&doc, "state", -1, buf_text(&text), -1);
    if (rc == ERR_OK) rc = store_mongo_begin(s, err);
    if (rc == ERR_OK) {
        if (!mongoc_collection_insert_one(s->leases, &doc, NULL, &reply, &error))
            rc = store_mongo_fail(s, &error, &reply, err);
        bson_destroy(&reply);
    }
    buf_free(&text);
    bson_destroy(&doc);
    return rc;
}

static void give_lease(const bson_t *doc, const char *prefix, store_lease_fn *fn, void *arg)
{
    struct lease lease = {.epoch = int_of(doc, "epoch"), .beat = int_of(doc, "beat"), .ttl_ms = int_of(doc, "ttl")};

    text_of(doc, "_id", lease.name, sizeof lease.name);
    text_of(doc, "owner", lease.owner, sizeof lease.owner);
    if (strncmp(lease.name, prefix, strlen(prefix)) != 0) return;
    lease.state = json_of(doc, "state");
    if (lease.state)
        fn(arg, &lease);
    else
        log_warn("TOKEN HEALTH", "a lease cannot be read", LOG_S("lease", lease.name));
}

enum err_code store_mongo_lease_list(void *state, const char *prefix, store_lease_fn *fn, void *arg, struct err *err)
{
    struct mongo_docs docs = {0};
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER, range;
    enum err_code rc;

    bson_append_document_begin(&filter, "_id", -1, &range);
    bson_append_utf8(&range, "$gte", -1, prefix, -1);
    bson_append_document_end(&filter, &range);
    rc = store_mongo_find(state, MONGO_LEASES, &filter, &opts, &docs, err);
    for (int i = 0; rc == ERR_OK && i < docs.count; i++)
        give_lease(docs.list[i], prefix, fn, arg);
    mongo_docs_free(&docs);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

static void filter_lease(bson_t *filter, const struct lease *lease)
{
    filter_name(filter, lease->name);
    bson_append_int64(filter, "epoch", -1, lease->epoch);
}

enum err_code store_mongo_lease_take(void *state, struct lease *lease, const char *owner, int64_t ttl_ms,
                                     struct err *err)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    int64_t now_ms = 0, epoch = 0;
    int matched = 0;
    enum err_code rc = store_mongo_now(state, &now_ms, err);

    /* Not less than the time: should the counter be deleted, the next one is still more than all that accounts hold. */
    if (rc == ERR_OK)
        rc = store_mongo_meta_bump(state, epochs, now_ms > lease->epoch ? now_ms : lease->epoch + 1, &epoch, err);
    filter_lease(&filter, lease);
    bson_append_int64(&filter, "beat", -1, lease->beat);
    bson_append_document_begin(&update, "$set", -1, &set);
    bson_append_utf8(&set, "owner", -1, owner, -1);
    bson_append_int64(&set, "epoch", -1, epoch);
    bson_append_int64(&set, "ttl", -1, ttl_ms);
    bson_append_document_end(&update, &set);
    change_int(&update, "$inc", "beat", 1);
    if (rc == ERR_OK) rc = update_one(state, MONGO_LEASES, &filter, &update, 0, &matched, err);
    if (rc == ERR_OK && !matched) rc = err_set(err, ERR_CONFLICT, lease->name, "%s", store_lost_lease);
    bson_destroy(&filter);
    bson_destroy(&update);
    if (rc != ERR_OK) return rc;
    snprintf(lease->owner, sizeof lease->owner, "%s", owner);
    lease->epoch = epoch;
    lease->ttl_ms = ttl_ms;
    lease->beat++;
    return ERR_OK;
}

enum err_code store_mongo_lease_write(void *state, struct lease *lease, const char *owner, struct err *err)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    struct buf text = {0};
    int matched = 0;
    enum err_code rc = json_print(lease->state, &text, err);

    filter_lease(&filter, lease);
    bson_append_utf8(&filter, "owner", -1, lease->owner, -1);
    bson_append_document_begin(&update, "$set", -1, &set);
    bson_append_utf8(&set, "owner", -1, owner, -1);
    bson_append_utf8(&set, "state", -1, buf_text(&text), -1);
    bson_append_document_end(&update, &set);
    change_int(&update, "$inc", "beat", 1);
    if (rc == ERR_OK) rc = update_one(state, MONGO_LEASES, &filter, &update, 0, &matched, err);
    if (rc == ERR_OK && !matched) rc = err_set(err, ERR_CONFLICT, lease->name, "%s", store_lost_lease);
    buf_free(&text);
    bson_destroy(&filter);
    bson_destroy(&update);
    if (rc == ERR_OK) lease->beat++;
    return rc;
}

enum err_code store_mongo_lease_delete(void *state, const struct lease *lease, struct err *err)
{
    struct mongo_store *s = state;
    bson_t filter = BSON_INITIALIZER, reply;
    bson_error_t error;
    enum err_code rc = store_mongo_begin(s, err);

    if (rc != ERR_OK) return rc;
    filter_lease(&filter, lease);
    bson_append_utf8(&filter, "owner", -1, lease->owner, -1);
    if (!mongoc_collection_delete_one(s->leases, &filter, NULL, &reply, &error))
        rc = store_mongo_fail(s, &error, &reply, err);
    else if (int_of(&reply, "deletedCount") != 1)
        rc = err_set(err, ERR_CONFLICT, lease->name, "%s", store_lost_lease);
    bson_destroy(&filter);
    bson_destroy(&reply);
    return rc;
}
