/* The connection: every failure that may come from it drops the client, and the next call makes a new one. The driver's own
 * reconnecting waits five seconds between attempts; a new client does not. */
#include "store/store_mongo.h"
#include "base/clock.h"
#include "base/log.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HANG_PAUSE_MS = 1000 };

/* ---- the driver ---- */

static void wipe_free(void *mem)
{
    if (mem) secret_wipe(mem, malloc_usable_size(mem));
    free(mem);
}

static void *wipe_realloc(void *mem, size_t size)
{
    size_t had = mem ? malloc_usable_size(mem) : 0;
    void *fresh = malloc(size);

    if (fresh && mem) {
        memcpy(fresh, mem, had < size ? had : size);
        wipe_free(mem);
    }
    return fresh;
}

/* What the driver logs may quote the URI, password and all; what matters comes back as an error, too. */
static void say_nothing(mongoc_log_level_t level, const char *domain, const char *message, void *arg)
{
    (void)level, (void)domain, (void)message, (void)arg;
}

/* As soon as it is loaded the driver makes a file for its counters, which a process that is killed would leave behind. */
__attribute__((constructor)) static void drop_counters(void)
{
    char name[32];

    snprintf(name, sizeof name, "/mongoc-%d", (int)getpid());
    shm_unlink(name);
}

static void setup_driver(void)
{
    static const bson_mem_vtable_t memory = {
        .malloc = malloc, .calloc = calloc, .realloc = wipe_realloc, .free = wipe_free};
    static int done;

    if (done) return;
    done = 1;
    bson_mem_set_vtable(&memory);
    mongoc_log_set_handler(say_nothing, NULL);
    /* A DNS that is gone takes 10 s and more by default, and no time-out of the driver ends that. The environment may say otherwise. */
    setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
    mongoc_init();
}

/* ---- the connection ---- */

static void disconnect(struct mongo_store *s)
{
    mongoc_collection_destroy(s->accounts);
    mongoc_collection_destroy(s->meta);
    mongoc_collection_destroy(s->leases);
    mongoc_client_destroy(s->client);
    s->accounts = s->meta = s->leases = NULL;
    s->client = NULL;
}

enum err_code store_mongo_begin(struct mongo_store *s, struct err *err)
{
    const char *database = mongoc_uri_get_database(s->uri);
    bson_error_t error;

    s->started_mono_ms = clock_mono_ms();
    if (s->client) return ERR_OK;
    if (s->started_mono_ms < s->not_before_mono_ms)
        return err_set(err, ERR_UNAVAILABLE, NULL, "MongoDB did not answer in time; it is asked again in a second");
    s->client = mongoc_client_new_from_uri_with_error(s->uri, &error); /* mongodb+srv: asks the DNS */
    if (!s->client) return store_mongo_fail(s, &error, NULL, err);
    mongoc_client_set_error_api(s->client, MONGOC_ERROR_API_VERSION_2);
    s->accounts = mongoc_client_get_collection(s->client, database, s->collection);
    s->meta = mongoc_client_get_collection(s->client, database, "tokenhealth_meta");
    s->leases = mongoc_client_get_collection(s->client, database, "tokenhealth_leases");
    return ERR_OK;
}

/* Codes of MongoDB's error_codes.yml that mean: not now, not here. */
static int is_passing(uint32_t code)
{
    static const uint32_t passing[] = {6,   7,   63,    64,    89,    91,    100,   112,   133,  134,
                                       189, 262, 10107, 11600, 11602, 13388, 13435, 13436, 9001, 50};

    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (passing[i] == code) return 1;
    return 0;
}

static enum err_code code_of(uint32_t code)
{
    enum {
        UNAUTHORIZED = 13,
        AUTHENTICATION_FAILED = 18,
        OUT_OF_DISK = 14031,
        TOO_LARGE = 10334,
        TOO_LARGE_UPDATE = 17419
    };

    if (is_passing(code)) return ERR_UNAVAILABLE;
    switch (code) {
    case UNAUTHORIZED:
    case AUTHENTICATION_FAILED:
        return ERR_CONFIG;
    case OUT_OF_DISK:
        return ERR_NOSPACE;
    case TOO_LARGE:
    case TOO_LARGE_UPDATE:
        return ERR_TOO_LARGE;
    case MONGO_DUPLICATE_KEY:
        return ERR_CONFLICT;
    default:
        return ERR_IO;
    }
}

enum err_code store_mongo_fail(struct mongo_store *s, const bson_error_t *error, const bson_t *reply, struct err *err)
{
    const int64_t now = clock_mono_ms();
    const char *name = "";
    bson_iter_t it;

    if (error->domain == MONGOC_ERROR_SERVER || error->domain == MONGOC_ERROR_WRITE_CONCERN) {
        if (reply && bson_iter_init_find(&it, reply, "codeName") && BSON_ITER_HOLDS_UTF8(&it))
            name = bson_iter_utf8(&it, NULL);
        err_set(err, code_of(error->code), NULL, "MongoDB answers with error %u %.64s", error->code, name);
        return code_of(error->code);
    }
    if (error->domain == MONGOC_ERROR_BSON || error->domain == MONGOC_ERROR_COMMAND)
        return err_set(err, ERR_BAD_INPUT, NULL, "MongoDB cannot hold such a document");
    if (now - s->started_mono_ms >= s->timeout_ms / 2) s->not_before_mono_ms = now + HANG_PAUSE_MS;
    disconnect(s);
    if (error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE)
        return err_set(err, ERR_UNAVAILABLE, NULL, "MongoDB refuses the user or the password of [store] uri");
    return err_set(err, ERR_UNAVAILABLE, NULL, "MongoDB cannot be reached: %s", error->message);
}

int store_mongo_again(const struct mongo_store *s, enum err_code rc, int *tries, struct err *err)
{
    if (rc != ERR_UNAVAILABLE || s->client || ++*tries > 1 || clock_mono_ms() < s->not_before_mono_ms) return 0;
    err_clear(err);
    return 1;
}

/* ---- reading ---- */

void mongo_docs_free(struct mongo_docs *docs)
{
    for (int i = 0; i < docs->count; i++)
        bson_destroy(docs->list[i]);
    free(docs->list);
    *docs = (struct mongo_docs){0};
}

static int keep(struct mongo_docs *docs, const bson_t *doc)
{
    if (docs->count == docs->cap) {
        int cap = docs->cap ? 2 * docs->cap : 32;
        bson_t **list = realloc(docs->list, (size_t)cap * sizeof *list);

        if (!list) return 0;
        docs->list = list;
        docs->cap = cap;
    }
    docs->list[docs->count++] = bson_copy(doc);
    return 1;
}

/* Destroys the cursor. */
static enum err_code drain(struct mongo_store *s, mongoc_cursor_t *cursor, struct mongo_docs *docs, struct err *err)
{
    const bson_t *doc, *reply;
    bson_error_t error;
    enum err_code rc = ERR_OK;
    int failed;

    while (rc == ERR_OK && mongoc_cursor_next(cursor, &doc))
        if (!keep(docs, doc)) rc = err_set(err, ERR_NOMEM, NULL, "no memory for accounts");
    failed = mongoc_cursor_error_document(cursor, &error, &reply);
    if (rc == ERR_OK && failed) {
        bson_t *copy = reply ? bson_copy(reply) : NULL;

        mongoc_cursor_destroy(cursor); /* before the client that it needs */
        cursor = NULL;
        rc = store_mongo_fail(s, &error, copy, err);
        bson_destroy(copy);
    }
    mongoc_cursor_destroy(cursor);
    return rc;
}

mongoc_collection_t *store_mongo_collection(const struct mongo_store *s, enum mongo_target target)
{
    return target == MONGO_META ? s->meta : target == MONGO_LEASES ? s->leases : s->accounts;
}

enum err_code store_mongo_find(struct mongo_store *s, enum mongo_target target, const bson_t *filter,
                               const bson_t *opts, struct mongo_docs *docs, struct err *err)
{
    const int had = docs->count;
    int tries = 0;
    enum err_code rc;

    do {
        while (docs->count > had)
            bson_destroy(docs->list[--docs->count]);
        rc = store_mongo_begin(s, err);
        if (rc == ERR_OK)
            rc = drain(s, mongoc_collection_find_with_opts(store_mongo_collection(s, target), filter, opts, NULL), docs,
                       err);
    } while (store_mongo_again(s, rc, &tries, err));
    return rc;
}

enum err_code store_mongo_group(struct mongo_store *s, const bson_t *pipeline, struct mongo_docs *docs, struct err *err)
{
    bson_t opts = BSON_INITIALIZER;
    int tries = 0;
    enum err_code rc;

    bson_append_int64(&opts, "maxTimeMS", -1, s->timeout_ms * 4 / 5);
    do {
        mongo_docs_free(docs);
        rc = store_mongo_begin(s, err);
        if (rc == ERR_OK)
            rc =
                drain(s, mongoc_collection_aggregate(s->accounts, MONGOC_QUERY_NONE, pipeline, &opts, NULL), docs, err);
    } while (store_mongo_again(s, rc, &tries, err));
    bson_destroy(&opts);
    return rc;
}

static enum err_code mongo_ping(void *state, struct err *err)
{
    struct mongo_store *s = state;
    bson_t command = BSON_INITIALIZER, reply;
    bson_error_t error;
    int tries = 0;
    enum err_code rc;

    bson_append_int32(&command, "ping", -1, 1);
    do {
        rc = store_mongo_begin(s, err);
        if (rc != ERR_OK) continue;
        if (!mongoc_client_command_simple(s->client, mongoc_uri_get_database(s->uri), &command, NULL, &reply, &error))
            rc = store_mongo_fail(s, &error, &reply, err);
        bson_destroy(&reply);
    } while (store_mongo_again(s, rc, &tries, err));
    bson_destroy(&command);
    return rc;
}

/* ---- open and close ---- */

static void mongo_close(void *state)
{
    struct mongo_store *s = state;

    disconnect(s);
    mongoc_uri_destroy(s->uri);
    free(s->collection);
    free(s);
}

/* Every write waits for a majority and the journal, and every read asks the primary, whatever the URI says: a token has to
 * survive a fail-over, and one that was just replaced must not be judged. The driver's retries would double the time. */
static int set_options(mongoc_uri_t *uri, int64_t timeout_ms)
{
    mongoc_write_concern_t *safe = mongoc_write_concern_new();
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    int32_t ms = (int32_t)timeout_ms;
    int done;

    mongoc_write_concern_set_wmajority(safe, ms);
    mongoc_write_concern_set_journal(safe, true);
    mongoc_uri_set_write_concern(uri, safe);
    mongoc_uri_set_read_prefs_t(uri, primary);
    mongoc_write_concern_destroy(safe);
    mongoc_read_prefs_destroy(primary);
    done = mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, ms) &&
           mongoc_uri_set_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, ms) &&
           mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, ms) &&
           mongoc_uri_set_option_as_bool(uri, MONGOC_URI_SERVERSELECTIONTRYONCE, true) &&
           mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYREADS, false) &&
           mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false);
    if (!mongoc_uri_get_appname(uri)) done = done && mongoc_uri_set_appname(uri, "token-health");
    return done;
}

enum err_code store_mongo_open(const struct store_options *options, void **state, struct err *err)
{
    struct mongo_store *s = calloc(1, sizeof *s);
    bson_error_t error;

    setup_driver();
    if (s) s->collection = strdup(options->collection);
    if (!s || !s->collection) {
        free(s);
        return err_set(err, ERR_NOMEM, NULL, "no memory for the store");
    }
    s->timeout_ms = options->timeout_ms;
    s->uri = mongoc_uri_new_with_error(options->uri, &error);
    if (!s->uri) /* the driver's words would quote it, with the password */
        err_set(err, ERR_CONFIG, "[store] uri",
                "not a valid MongoDB URI; special characters in user name and password are to be percent-encoded");
    else if (!mongoc_uri_get_database(s->uri) || !*mongoc_uri_get_database(s->uri))
        err_set(err, ERR_CONFIG, "[store] uri", "the URI names no database: mongodb://HOST/DATABASE is expected");
    else if (!set_options(s->uri, s->timeout_ms))
        err_set(err, ERR_CONFIG, "[store] uri", "an option of the URI does not go with this program");
    else {
        *state = s;
        return ERR_OK;
    }
    mongo_close(s);
    return ERR_CONFIG;
}

const struct store_backend store_mongo = {
    .kind = "mongodb",
    .close = mongo_close,
    .prepare = store_mongo_prepare,
    .ping = mongo_ping,
    .find_workspace = store_mongo_find_workspace,
    .find_ids = store_mongo_find_ids,
    .scan = store_mongo_scan,
    .look_ahead = store_mongo_look_ahead,
    .id_order = store_mongo_id_order,
    .update = store_mongo_update,
    .import = store_mongo_import,
    .count = store_mongo_count,
    .meta_put = store_mongo_meta_put,
    .meta_swap = store_mongo_meta_swap,
    .meta_get = store_mongo_meta_get,
    .meta_bump = store_mongo_meta_bump,
    .meta_versions = store_mongo_meta_versions,
    .now = store_mongo_now,
    .lease_create = store_mongo_lease_create,
    .lease_list = store_mongo_lease_list,
    .lease_take = store_mongo_lease_take,
    .lease_write = store_mongo_lease_write,
    .lease_delete = store_mongo_lease_delete,
};
