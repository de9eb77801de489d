#include "store/store_mongo.h"
#include <stdlib.h>
#include <string.h>

enum { TRIES = 2 };

/** One bulk write. */
struct bulk {
    struct mongo_store *s;
    struct store_item **items; /* that are in it, at the server's indexes */
    int count, replace;
    mongoc_bulk_operation_t *op;
};

/* What the driver itself does not take is the document's own fault. */
static void add(struct bulk *b, struct store_item *item)
{
    bson_t *doc = mongo_from_json(item->doc, &item->err);
    bson_t selector = BSON_INITIALIZER, upsert = BSON_INITIALIZER;
    bson_error_t error;
    bool is_taken = false;

    mongo_append_id(&selector, "_id", &item->id);
    bson_append_bool(&upsert, "upsert", -1, true);
    if (doc)
        is_taken = b->replace ? mongoc_bulk_operation_replace_one_with_opts(b->op, &selector, doc, &upsert, &error)
                              : mongoc_bulk_operation_insert_with_opts(b->op, doc, NULL, &error);
    if (is_taken)
        b->items[b->count++] = item;
    else
        err_set(&item->err, ERR_BAD_INPUT, NULL, "MongoDB cannot hold such a document");
    bson_destroy(&selector);
    bson_destroy(&upsert);
    bson_destroy(doc);
}

/* The next object in an array of a reply, and the item that it is about; NULL: no more. */
static struct store_item *next_told(const struct bulk *b, bson_iter_t *array, bson_iter_t *told)
{
    bson_iter_t index;

    while (bson_iter_next(array)) {
        if (!bson_iter_recurse(array, told)) continue;
        index = *told;
        if (!bson_iter_find(&index, "index")) continue;
        if (bson_iter_as_int64(&index) >= 0 && bson_iter_as_int64(&index) < b->count)
            return b->items[bson_iter_as_int64(&index)];
    }
    return NULL;
}

static int find_array(const bson_t *reply, const char *name, bson_iter_t *array)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, reply, name) && BSON_ITER_HOLDS_ARRAY(&it) && bson_iter_recurse(&it, array);
}

/* Of a duplicate nothing is said yet. */
static void read_refusals(const struct bulk *b, const bson_t *reply)
{
    bson_iter_t array, told;
    struct store_item *item;

    if (!find_array(reply, "writeErrors", &array)) return;
    while ((item = next_told(b, &array, &told))) {
        bson_error_t error = {.domain = MONGOC_ERROR_SERVER};

        item->is_done = item->created = 0;
        if (bson_iter_find(&told, "code")) error.code = (uint32_t)bson_iter_as_int64(&told);
        if (error.code != MONGO_DUPLICATE_KEY) store_mongo_fail(b->s, &error, NULL, &item->err);
    }
}

static void read_reply(const struct bulk *b, const bson_t *reply)
{
    bson_iter_t array, told;
    struct store_item *item;

    for (int i = 0; i < b->count; i++) {
        b->items[i]->is_done = 1;
        b->items[i]->created = !b->replace;
    }
    read_refusals(b, reply);
    if (!b->replace || !find_array(reply, "upserted", &array)) return;
    while ((item = next_told(b, &array, &told)))
        item->created = 1;
}

/* A server that is not the primary any more, or whose disk is full, says so of each document. */
static enum err_code failure_of_all(const struct bulk *b, struct err *err)
{
    for (int i = 0; i < b->count; i++) {
        struct err why = b->items[i]->err;

        if (why.code != ERR_UNAVAILABLE && why.code != ERR_NOSPACE) continue;
        err_clear(&b->items[i]->err);
        return err_set(err, why.code, NULL, "%s", why.text);
    }
    return ERR_OK;
}

static int is_told(const bson_t *reply, const char *name)
{
    bson_iter_t array;

    return find_array(reply, name, &array) && bson_iter_next(&array);
}

static enum err_code execute(struct bulk *b, struct err *err)
{
    bson_error_t error = {0};
    bson_t reply;
    enum err_code rc;
    int is_answer = mongoc_bulk_operation_execute(b->op, &reply, &error) != 0;

    /* One that refuses single documents is an answer about all. */
    is_answer = is_answer || (error.domain == MONGOC_ERROR_SERVER && is_told(&reply, "writeErrors") &&
                              !is_told(&reply, "writeConcernErrors"));
    mongoc_bulk_operation_destroy(b->op); /* a failure may take its client away */
    b->op = NULL;
    if (is_answer) read_reply(b, &reply);
    rc = is_answer ? failure_of_all(b, err) : store_mongo_fail(b->s, &error, &reply, err);
    bson_destroy(&reply);
    return rc;
}

/* Unordered, so that one bad document does not keep those behind it out: so no _id may be in it twice. */
static enum err_code import_run(struct mongo_store *s, struct store_item *items, int count, int replace,
                                struct store_item **room, struct err *err)
{
    struct bulk b = {.s = s, .items = room, .replace = replace};
    bson_t opts = BSON_INITIALIZER;
    enum err_code rc = store_mongo_begin(s, err);

    bson_append_bool(&opts, "ordered", -1, false);
    if (rc == ERR_OK) b.op = mongoc_collection_create_bulk_operation_with_opts(s->accounts, &opts);
    for (int i = 0; b.op && i < count; i++)
        if (store_item_waits(&items[i])) add(&b, &items[i]);
    if (b.count) rc = execute(&b, err);
    if (b.op) mongoc_bulk_operation_destroy(b.op);
    bson_destroy(&opts);
    return rc;
}

/* How many of the items have different ids. */
static int run_length(const struct store_item *items, int count)
{
    for (int n = 1; n < count; n++)
        for (int i = 0; i < n; i++)
            if (store_item_waits(&items[i]) && store_item_waits(&items[n]) && items[i].id.type == items[n].id.type &&
                !strcmp(items[i].id.text, items[n].id.text))
                return n;
    return count;
}

/* Of two that put a new account in place of none at once, one is told of a duplicate: it tries again. */
static enum err_code replace_one(struct mongo_store *s, struct store_item *item, struct err *err)
{
    struct store_item *room;
    enum err_code rc = ERR_OK;

    for (int i = 0; rc == ERR_OK && store_item_waits(item) && i < TRIES; i++)
        rc = import_run(s, item, 1, 1, &room, err);
    return rc;
}

/* Inserts go in bulk; what is there already is replaced one by one: to find a document takes a server of unknown speed longer than to add
 * one, and the timeout is that of a command. */
enum err_code store_mongo_import(void *state, struct store_item *items, int count, int replace, struct err *err)
{
    struct store_item **room = calloc((size_t)count, sizeof(struct store_item *));
    enum err_code rc = room ? ERR_OK : err_set(err, ERR_NOMEM, NULL, "no memory for an import");

    for (int at = 0, len; rc == ERR_OK && at < count; at += len) {
        len = run_length(items + at, count - at);
        rc = import_run(state, items + at, len, 0, room, err);
        for (int i = at; rc == ERR_OK && replace && i < at + len; i++)
            rc = replace_one(state, &items[i], err);
    }
    for (int i = 0; rc == ERR_OK && i < count; i++)
        if (store_item_waits(&items[i])) store_item_exists(&items[i]);
    free(room);
    return rc;
}
