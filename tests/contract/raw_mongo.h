/* The MongoDB server seen past the store: for documents that the store would not write, and to see exactly what it wrote. */
#ifndef TH_RAW_MONGO_H
#define TH_RAW_MONGO_H
#include "store_fixture.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* inside bson-atomic.h */
#include <mongoc/mongoc.h>
#pragma GCC diagnostic pop

static inline mongoc_client_t *raw_mongo_client(mongoc_collection_t **accounts)
{
    char database[32];
    mongoc_client_t *client = mongoc_client_new(fx.uri);

    assert_non_null(client);
    snprintf(database, sizeof database, "test%d", fx.number);
    *accounts = mongoc_client_get_collection(client, database, "socialaccounts");
    return client;
}

/** raw_mongo_insert(doc): takes doc. */
static inline void raw_mongo_insert(bson_t *doc)
{
    mongoc_collection_t *accounts;
    mongoc_client_t *client = raw_mongo_client(&accounts);
    bson_error_t error;

    if (!mongoc_collection_insert_one(accounts, doc, NULL, NULL, &error)) fail_msg("insert: %s", error.message);
    bson_destroy(doc);
    mongoc_collection_destroy(accounts);
    mongoc_client_destroy(client);
}

/** raw_mongo_put(text): inserts a document of Extended JSON. */
static inline void raw_mongo_put(const char *text)
{
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)text, -1, &error);

    if (!doc) fail_msg("%s: %s", text, error.message);
    raw_mongo_insert(doc);
}

/** raw_mongo_get(id): the document as canonical Extended JSON, which shows every type. Owns: caller (free). */
static inline char *raw_mongo_get(const char *id_json)
{
    mongoc_collection_t *accounts;
    mongoc_client_t *client = raw_mongo_client(&accounts);
    char filter_text[LIMIT_ID_BYTES + 64], *text = NULL, *copy;
    bson_t *filter;
    mongoc_cursor_t *cursor;
    const bson_t *doc;

    snprintf(filter_text, sizeof filter_text, "{\"_id\":%s}", id_json);
    filter = bson_new_from_json((const uint8_t *)filter_text, -1, NULL);
    assert_non_null(filter);
    cursor = mongoc_collection_find_with_opts(accounts, filter, NULL, NULL);
    if (mongoc_cursor_next(cursor, &doc)) text = bson_as_canonical_extended_json(doc, NULL);
    copy = text ? strdup(text) : NULL;
    bson_free(text);
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    mongoc_collection_destroy(accounts);
    mongoc_client_destroy(client);
    return copy;
}

#endif
