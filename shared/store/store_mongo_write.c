#include "store/ejson.h"
#include "store/store_mongo.h"
#include <stdio.h>
#include <string.h>

enum { UPDATE_TRIES = 4 };

/* ---- updates ---- */

/* What the guards and the parents of ${patch} hold now. */
static enum err_code read_held(struct mongo_store *s, const struct account_id *id, const struct patch *patch,
                               struct json **held, struct err *err)
{
    struct mongo_docs docs = {0};
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER, fields = BSON_INITIALIZER;
    enum err_code rc;

    mongo_append_id(&filter, "_id", id);
    for (int i = 0; i < patch->guard_count + patch->field_count; i++) {
        const char *path = i < patch->guard_count ? patch->guards[i].path : patch->fields[i - patch->guard_count].path;
        const int len = (int)strcspn(path, ".");
        char name[128];

        snprintf(name, sizeof name, "%.*s", len, path);
        if (!bson_has_field(&fields, name)) bson_append_int32(&fields, name, -1, 1);
    }
    bson_append_document(&opts, "projection", -1, &fields);
    bson_append_int64(&opts, "limit", -1, 1);
    rc = store_mongo_find(s, MONGO_ACCOUNTS, &filter, &opts, &docs, err);
    if (rc == ERR_OK && !docs.count) rc = err_set(err, ERR_NOT_FOUND, id->text, "there is no such account");
    if (rc == ERR_OK) rc = mongo_to_json(docs.list[0], held, err);
    mongo_docs_free(&docs);
    bson_destroy(&filter);
    bson_destroy(&opts);
    bson_destroy(&fields);
    return rc;
}

/* Loose: the primary has it, and that is all. */
static void put_concern(bson_t *opts, int loose)
{
    bson_t concern;

    if (!loose) return; /* the client's own: a majority, journaled */
    bson_append_document_begin(opts, "writeConcern", -1, &concern);
    bson_append_int32(&concern, "w", -1, 1);
    bson_append_document_end(opts, &concern);
}

/* One write. *done = 0: no document matched, or a parent of a field is no object. */
static enum err_code update_once(struct mongo_store *s, const bson_t *filter, const bson_t *change, int loose,
                                 int *done, struct err *err)
{
    bson_t opts = BSON_INITIALIZER, reply;
    bson_error_t error;
    bson_iter_t it;
    enum err_code rc = store_mongo_begin(s, err);

    *done = 0;
    if (rc != ERR_OK) return rc;
    put_concern(&opts, loose);
    if (mongoc_collection_update_one(s->accounts, filter, change, &opts, &reply, &error))
        *done = bson_iter_init_find(&it, &reply, "matchedCount") && bson_iter_as_int64(&it) == 1;
    else if (error.domain != MONGOC_ERROR_SERVER || error.code != MONGO_PATH_NOT_VIABLE)
        rc = store_mongo_fail(s, &error, &reply, err);
    bson_destroy(&opts);
    bson_destroy(&reply);
    return rc;
}

static enum err_code try_update(struct mongo_store *s, const struct account_id *id, const struct patch *patch,
                                const struct json *held, int *done, struct err *err)
{
    struct patch_parents whole = {0};
    bson_t filter = BSON_INITIALIZER, change = BSON_INITIALIZER;
    enum err_code rc = ERR_OK;

    if (held && !patch_blocked(patch, held, &whole)) rc = err_set(err, ERR_INTERNAL, id->text, "too many parents");
    if (rc == ERR_OK) rc = mongo_filter(id, patch, &whole, held, &filter, err);
    if (rc == ERR_OK) rc = mongo_change(patch, &whole, &change, err);
    if (rc == ERR_OK) rc = update_once(s, &filter, &change, patch->loose, done, err);
    bson_destroy(&filter);
    bson_destroy(&change);
    return rc;
}

/* What a later holder of the lease has written is not ours to write. */
static int is_fenced_out(const struct json *held, struct fence *fence)
{
    int64_t epoch;

    if (!fence || !ejson_int(json_get(held, MONGO_EPOCH), &epoch) || epoch <= fence->epoch) return 0;
    fence_lose(fence);
    return 1;
}

/* One write as a rule. When it did nothing, a look at the document tells why: gone, changed, or with a parent that has to be
 * replaced, which the next try does. */
static enum err_code update(struct mongo_store *s, const struct account_id *id, const struct patch *patch,
                            struct err *err)
{
    struct json *held = NULL;
    enum err_code rc = ERR_OK;
    int done = 0;

    for (int i = 0; rc == ERR_OK && !done && i < UPDATE_TRIES; i++) {
        if (patch->field_count) rc = try_update(s, id, patch, held, &done, err);
        if (rc != ERR_OK || done) break;
        json_free(held);
        held = NULL;
        rc = read_held(s, id, patch, &held, err);
        if (rc == ERR_OK && is_fenced_out(held, patch->fence))
            rc = err_set(err, ERR_CONFLICT, id->text, "%s", store_lost_lease);
        else if (rc == ERR_OK && !patch_guards_hold(held, patch))
            rc = err_set(err, ERR_CONFLICT, id->text, "the account was changed meanwhile");
        else if (!patch->field_count)
            done = 1;
    }
    json_free(held);
    if (rc == ERR_OK && !done) rc = err_set(err, ERR_CONFLICT, id->text, "the account keeps being changed");
    return rc;
}

enum err_code store_mongo_update(void *state, const struct account_id *id, const struct patch *patch, struct err *err)
{
    struct patch fenced = *patch; /* its values are the caller's, but for the last one */
    struct json *epoch;
    enum err_code rc;

    if (!patch->fence || !patch->field_count) return update(state, id, patch, err);
    epoch = json_new_int(patch->fence->epoch);
    patch_set(&fenced, MONGO_EPOCH, epoch);
    rc = patch_is_sound(&fenced) ? update(state, id, &fenced, err) : err_set(err, ERR_INTERNAL, id->text, "no room");
    if (!fenced.overflow) json_free(epoch);
    return rc;
}

/* ---- indexes ---- */

static const struct index {
    const char *name, *second; /* the key: platform, then this */
} indexes[] = {{"tokenhealth_workspace", "workspaceId"}, {"tokenhealth_sweep", "_id"}};

static void build_index(bson_t *command, const char *collection, const struct index *index)
{
    bson_t list, spec, key;

    bson_append_utf8(command, "createIndexes", -1, collection, -1);
    bson_append_array_begin(command, "indexes", -1, &list);
    bson_append_document_begin(&list, "0", -1, &spec);
    bson_append_document_begin(&spec, "key", -1, &key);
    bson_append_int32(&key, "platform", -1, 1);
    bson_append_int32(&key, index->second, -1, 1);
    bson_append_document_end(&spec, &key);
    bson_append_utf8(&spec, "name", -1, index->name, -1);
    bson_append_document_end(&list, &spec);
    bson_append_array_end(command, &list);
}

/* An index of this key, or name, that somebody made by himself, is left as it is. */
static int exists_otherwise(const bson_error_t *error)
{
    return error->domain == MONGOC_ERROR_SERVER && (error->code == 85 || error->code == 86);
}

static enum err_code create_index(struct mongo_store *s, const struct index *index, int *refused, struct err *err)
{
    bson_t command = BSON_INITIALIZER, reply;
    bson_error_t error;
    enum err_code rc = store_mongo_begin(s, err);

    *refused = 0;
    if (rc != ERR_OK) return rc;
    build_index(&command, s->collection, index);
    if (!mongoc_client_write_command_with_opts(s->client, mongoc_uri_get_database(s->uri), &command, NULL, &reply,
                                               &error) &&
        !exists_otherwise(&error)) {
        *refused = error.domain == MONGOC_ERROR_SERVER;
        rc = store_mongo_fail(s, &error, &reply, err);
    }
    bson_destroy(&command);
    bson_destroy(&reply);
    return rc;
}

enum err_code store_mongo_prepare(void *state, store_report_fn *report, void *arg, struct err *err)
{
    struct mongo_store *s = state;
    char sentence[640];

    for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++) {
        struct err why = {0};
        int refused = 0;
        enum err_code rc = create_index(s, &indexes[i], &refused, &why);

        if (rc == ERR_OK) continue;
        if (!refused || rc == ERR_UNAVAILABLE) return err_set(err, rc, why.place, "%s", why.text);
        snprintf(sentence, sizeof sentence,
                 "an index that makes lookups fast cannot be created (%s); an administrator can: "
                 "db.getCollection('%s').createIndex({platform: 1, %s: 1}, {name: '%s'})",
                 why.text, s->collection, indexes[i].second, indexes[i].name);
        report(arg, sentence);
    }
    return ERR_OK;
}
