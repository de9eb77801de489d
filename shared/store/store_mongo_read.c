#include "base/log.h"
#include "store/store_mongo.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sorted by _id: MongoDB's order of types is number, text, ObjectId. */
static void put_opts(const struct mongo_store *s, bson_t *opts, int limit, int ids_only)
{
    bson_t sort, fields;

    bson_init(opts);
    bson_append_document_begin(opts, "sort", -1, &sort);
    bson_append_int32(&sort, "_id", -1, 1);
    bson_append_document_end(opts, &sort);
    bson_append_document_begin(opts, "projection", -1, &fields);
    if (ids_only) bson_append_int32(&fields, "_id", -1, 1);
    for (const char *const *name = account_fields; *name && !ids_only; name++)
        bson_append_int32(&fields, *name, -1, 1);
    bson_append_document_end(opts, &fields);
    bson_append_int64(opts, "limit", -1, limit);
    bson_append_int32(opts, "batchSize", -1,
                      limit + 1); /* all in one answer; at the limit the server closes the cursor */
    bson_append_int64(opts, "maxTimeMS", -1, s->timeout_ms * 4 / 5);
}

static void append_in(bson_t *filter, const char *field, const struct account_id *forms, int count)
{
    bson_t test, list;

    bson_append_document_begin(filter, field, -1, &test);
    bson_append_array_begin(&test, "$in", -1, &list);
    for (int i = 0; i < count; i++) {
        char number[16];
        const char *key;

        bson_uint32_to_string((uint32_t)i, &key, number, sizeof number);
        mongo_append_id(&list, key, &forms[i]);
    }
    bson_append_array_end(&test, &list);
    bson_append_document_end(filter, &test);
}

static void give(struct mongo_docs *docs, store_account_fn *fn, void *arg)
{
    int more = 1;

    for (int i = 0; i < docs->count && more; i++) {
        struct account_id id = {0};
        struct json *json = NULL;
        struct err err = {0};

        if (mongo_to_json(docs->list[i], &json, &err) == ERR_OK) {
            more = store_give(json, fn, arg);
            continue;
        }
        mongo_read_id(docs->list[i], &id);
        log_warn("TOKEN HEALTH", "an account document cannot be read", LOG_S("account", id.text),
                 LOG_S("why", err.text));
    }
}

enum err_code store_mongo_find_workspace(void *state, const char *platform, const struct account_id *forms,
                                         int form_count, int limit, store_account_fn *fn, void *arg, struct err *err)
{
    struct mongo_store *s = state;
    struct mongo_docs docs = {0};
    bson_t filter = BSON_INITIALIZER, opts;
    enum err_code rc;

    bson_append_utf8(&filter, "platform", -1, platform, -1);
    append_in(&filter, "workspaceId", forms, form_count);
    put_opts(s, &opts, limit + 1, 0);
    rc = store_mongo_find(s, MONGO_ACCOUNTS, &filter, &opts, &docs, err);
    if (rc == ERR_OK && docs.count > limit)
        rc = err_set(err, ERR_TOO_LARGE, NULL, "the workspace has more than %d accounts", limit);
    if (rc == ERR_OK) give(&docs, fn, arg);
    mongo_docs_free(&docs);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

enum err_code store_mongo_find_ids(void *state, const struct account_id *forms, int form_count, store_account_fn *fn,
                                   void *arg, struct err *err)
{
    struct mongo_store *s = state;
    struct mongo_docs docs = {0};
    bson_t filter = BSON_INITIALIZER, opts;
    enum err_code rc;

    append_in(&filter, "_id", forms, form_count);
    put_opts(s, &opts, 2, 0);
    rc = store_mongo_find(s, MONGO_ACCOUNTS, &filter, &opts, &docs, err);
    if (rc == ERR_OK) give(&docs, fn, arg);
    mongo_docs_free(&docs);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

/* ---- the scan ---- */

/* $gt and $gte see only ids of the type that they are given, so a page steps through the types, in MongoDB's own order. */
enum bracket { NUMBERS, TEXTS, OBJECTIDS, BRACKETS };

struct scan {
    struct mongo_store *s;
    const struct store_span *span;
    enum bracket bracket;
    bson_t from; /* { "$gt" or "$gte": the id to go on from } */
    int ids_only;
    struct mongo_docs docs;
};

static enum bracket bracket_of(const struct account_id *id)
{
    return id->type == ID_NUMBER ? NUMBERS : id->type == ID_STRING ? TEXTS : OBJECTIDS;
}

static void start_bracket(struct scan *scan, enum bracket bracket)
{
    static const bson_oid_t lowest;

    scan->bracket = bracket;
    bson_reinit(&scan->from);
    if (bracket == NUMBERS)
        bson_append_double(&scan->from, "$gte", -1, -HUGE_VAL);
    else if (bracket == TEXTS)
        bson_append_utf8(&scan->from, "$gte", -1, "", -1);
    else
        bson_append_oid(&scan->from, "$gte", -1, &lowest);
}

static void start_after(struct scan *scan)
{
    const struct account_id *after = scan->span->after;

    start_bracket(scan, after && after->type ? bracket_of(after) : NUMBERS);
    if (!after || after->type == ID_NONE) return;
    bson_reinit(&scan->from);
    mongo_append_id(&scan->from, "$gt", after);
}

/* The last type that the span reaches into. */
static enum bracket last_bracket(const struct scan *scan)
{
    return scan->span->to ? bracket_of(scan->span->to) : BRACKETS - 1;
}

static int is_over(const struct scan *scan)
{
    return scan->bracket > last_bracket(scan);
}

static void filter_active(bson_t *filter, const char *platform)
{
    bson_t active;

    if (!platform) return;
    bson_append_utf8(filter, "platform", -1, platform, -1);
    bson_append_document_begin(filter, "isActive", -1, &active);
    bson_append_bool(&active, "$ne", -1, false);
    bson_append_document_end(filter, &active);
}

/* Up to ${limit} documents more; steps on to the next type when this one has no more. */
static enum err_code read_on(struct scan *scan, int limit, struct err *err)
{
    const int had = scan->docs.count;
    bson_t filter = BSON_INITIALIZER, opts, range;
    bson_iter_t it;
    enum err_code rc;

    filter_active(&filter, scan->span->platform);
    bson_append_document_begin(&filter, "_id", -1, &range);
    bson_concat(&range, &scan->from);
    if (scan->span->to && scan->bracket == last_bracket(scan)) mongo_append_id(&range, "$lte", scan->span->to);
    bson_append_document_end(&filter, &range);
    put_opts(scan->s, &opts, limit, scan->ids_only);
    rc = store_mongo_find(scan->s, MONGO_ACCOUNTS, &filter, &opts, &scan->docs, err);
    if (rc == ERR_OK && scan->docs.count - had < limit) {
        start_bracket(scan, scan->bracket + 1);
    } else if (rc == ERR_OK && bson_iter_init_find(&it, scan->docs.list[scan->docs.count - 1], "_id")) {
        bson_reinit(&scan->from);
        bson_append_iter(&scan->from, "$gt", -1, &it);
    }
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

/* Ids of other types than ours are outside the order: at the end of a scan one of them is named in the log. */
static void tell_strange_ids(struct scan *scan)
{
    static const char *const types[] = {"object", "binData", "bool", "date", "timestamp"};
    struct mongo_docs docs = {0};
    bson_t filter = BSON_INITIALIZER, opts, test, list;

    filter_active(&filter, scan->span->platform);
    bson_append_document_begin(&filter, "_id", -1, &test);
    bson_append_array_begin(&test, "$type", -1, &list);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        bson_append_utf8(&list, (const char *[]){"0", "1", "2", "3", "4"}[i], -1, types[i], -1);
    bson_append_array_end(&test, &list);
    bson_append_document_end(&filter, &test);
    put_opts(scan->s, &opts, 1, 1);
    if (store_mongo_find(scan->s, MONGO_ACCOUNTS, &filter, &opts, &docs, NULL) == ERR_OK && docs.count)
        log_warn("TOKEN HEALTH", "accounts whose _id is no text, ObjectId or number are passed over",
                 LOG_S("platform", scan->span->platform ? scan->span->platform : "any"));
    mongo_docs_free(&docs);
    bson_destroy(&filter);
    bson_destroy(&opts);
}

/* A page ends with an id that ${after} can name; at the end of all there may be none, and the page then counts as the last one. */
static void close_page(struct scan *scan, const struct account_id *after, int limit, struct store_page *page)
{
    const int count = scan->docs.count;
    struct account_id id;
    int named = count;

    while (named > 0 && !mongo_read_id(scan->docs.list[named - 1], &id))
        named--;
    if (named > 0)
        page->last = id;
    else if (after)
        page->last = *after;
    page->count = named < count && count >= limit ? limit - 1 : count;
}

static int is_page_full(const struct scan *scan, int limit)
{
    struct account_id id;

    return scan->docs.count >= limit && mongo_read_id(scan->docs.list[scan->docs.count - 1], &id);
}

enum err_code store_mongo_scan(void *state, const struct store_span *span, int limit, store_account_fn *fn, void *arg,
                               struct store_page *page, struct err *err)
{
    struct scan scan = {.s = state, .span = span, .from = BSON_INITIALIZER};
    enum err_code rc = ERR_OK;

    start_after(&scan);
    while (rc == ERR_OK && !is_over(&scan) && !is_page_full(&scan, limit))
        rc = read_on(&scan, scan.docs.count < limit ? limit - scan.docs.count : 1, err);
    if (rc == ERR_OK) {
        close_page(&scan, span->after, limit, page);
        if (scan.bracket == BRACKETS) tell_strange_ids(&scan);
        give(&scan.docs, fn, arg);
    }
    mongo_docs_free(&scan.docs);
    bson_destroy(&scan.from);
    return rc;
}

enum err_code store_mongo_look_ahead(void *state, const struct store_span *span, int most, int at,
                                     struct account_id *id, int *count, struct err *err)
{
    struct scan scan = {.s = state, .span = span, .from = BSON_INITIALIZER, .ids_only = 1};
    enum err_code rc = ERR_OK;

    start_after(&scan);
    while (rc == ERR_OK && !is_over(&scan) && scan.docs.count < most)
        rc = read_on(&scan, most - scan.docs.count, err);
    if (rc == ERR_OK) *count = scan.docs.count;
    for (int i = at - 1; rc == ERR_OK && i < *count && id->type == ID_NONE; i++)
        if (!mongo_read_id(scan.docs.list[i], id)) *id = (struct account_id){0};
    mongo_docs_free(&scan.docs);
    bson_destroy(&scan.from);
    return rc;
}

int store_mongo_id_order(const struct account_id *a, const struct account_id *b)
{
    const int by_type = (int)bracket_of(a) - (int)bracket_of(b);
    int64_t x, y;

    if (by_type || a->type != ID_NUMBER) return by_type ? by_type : strcmp(a->text, b->text);
    x = strtoll(a->text, NULL, 10);
    y = strtoll(b->text, NULL, 10);
    return (x > y) - (x < y);
}

/* ---- numbers ---- */

static const char *word_at(const bson_t *doc, const char *path)
{
    bson_iter_t it, at;

    if (!bson_iter_init(&it, doc) || !bson_iter_find_descendant(&it, path, &at)) return "";
    if (BSON_ITER_HOLDS_UTF8(&at)) return bson_iter_utf8(&at, NULL);
    return BSON_ITER_HOLDS_NULL(&at) ? "" : "other";
}

static int is_bool_at(const bson_t *doc, const char *path, bool wanted)
{
    bson_iter_t it, at;

    return bson_iter_init(&it, doc) && bson_iter_find_descendant(&it, path, &at) && BSON_ITER_HOLDS_BOOL(&at) &&
           bson_iter_bool(&at) == wanted;
}

static void add_group(struct store_counts *counts, const bson_t *group)
{
    bson_iter_t it;
    int64_t n = bson_iter_init_find(&it, group, "n") ? bson_iter_as_int64(&it) : 0;

    counts->total += n;
    if (!is_bool_at(group, "_id.active", false)) counts->active += n;
    if (is_bool_at(group, "_id.needs", true)) counts->needs_reconnection += n;
    store_count_word(counts->by_state, &counts->state_count, word_at(group, "_id.state"), n);
    store_count_word(counts->by_status, &counts->status_count, word_at(group, "_id.status"), n);
}

static void build_groups(bson_t *stages, const char *platform)
{
    bson_t stage, match, group, key, sum;

    bson_append_document_begin(stages, "0", -1, &stage);
    bson_append_document_begin(&stage, "$match", -1, &match);
    if (platform) bson_append_utf8(&match, "platform", -1, platform, -1);
    bson_append_document_end(&stage, &match);
    bson_append_document_end(stages, &stage);
    bson_append_document_begin(stages, "1", -1, &stage);
    bson_append_document_begin(&stage, "$group", -1, &group);
    bson_append_document_begin(&group, "_id", -1, &key);
    bson_append_utf8(&key, "active", -1, "$isActive", -1);
    bson_append_utf8(&key, "needs", -1, "$needsReconnection", -1);
    bson_append_utf8(&key, "state", -1, "$tokenHealth.state", -1);
    bson_append_utf8(&key, "status", -1, "$tokenStatus", -1);
    bson_append_document_end(&group, &key);
    bson_append_document_begin(&group, "n", -1, &sum);
    bson_append_int32(&sum, "$sum", -1, 1);
    bson_append_document_end(&group, &sum);
    bson_append_document_end(&stage, &group);
    bson_append_document_end(stages, &stage);
}

enum err_code store_mongo_count(void *state, const char *platform, struct store_counts *counts, struct err *err)
{
    struct mongo_docs groups = {0};
    bson_t pipeline = BSON_INITIALIZER, stages;
    enum err_code rc;

    bson_append_array_begin(&pipeline, "pipeline", -1, &stages);
    build_groups(&stages, platform);
    bson_append_array_end(&pipeline, &stages);
    rc = store_mongo_group(state, &pipeline, &groups, err);
    for (int i = 0; rc == ERR_OK && i < groups.count; i++)
        add_group(counts, groups.list[i]);
    mongo_docs_free(&groups);
    bson_destroy(&pipeline);
    return rc;
}
