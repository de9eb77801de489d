#include "store/store_mongo.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 512 };

bson_t *mongo_from_json(const struct json *json, struct err *err)
{
    struct buf text = {0};
    bson_error_t error;
    bson_t *doc = NULL;

    if (json_print(json, &text, err) == ERR_OK) {
        doc = bson_new_from_json((const uint8_t *)text.data, (ssize_t)text.len, &error);
        if (!doc) err_set(err, ERR_BAD_INPUT, NULL, "this is not valid MongoDB Extended JSON");
    }
    buf_free(&text);
    return doc;
}

enum err_code mongo_to_json(const bson_t *doc, struct json **json, struct err *err)
{
    size_t len = 0;
    char *text = bson_as_relaxed_extended_json(doc, &len);
    enum err_code rc = text ? json_parse(text, len, json, err)
                            : err_set(err, ERR_BAD_INPUT, NULL, "a text that is not UTF-8, or nested too deep");

    bson_free(text);
    return rc;
}

void mongo_append_id(bson_t *to, const char *key, const struct account_id *id)
{
    bson_oid_t oid;

    switch (id->type) {
    case ID_STRING:
        bson_append_utf8(to, key, -1, id->text, -1);
        break;
    case ID_OBJECTID:
        bson_oid_init_from_string(&oid, id->text);
        bson_append_oid(to, key, -1, &oid);
        break;
    case ID_NUMBER:
        bson_append_int64(to, key, -1, strtoll(id->text, NULL, 10));
        break;
    case ID_NONE:
        bson_append_null(to, key, -1);
        break;
    }
}

int mongo_read_id(const bson_t *doc, struct account_id *id)
{
    bson_t one = BSON_INITIALIZER;
    struct json *json = NULL;
    bson_iter_t it;
    int known = 0;

    if (bson_iter_init_find(&it, doc, "_id") && bson_append_iter(&one, "_id", -1, &it) &&
        mongo_to_json(&one, &json, NULL) == ERR_OK)
        known = id_parse(json_member(json, "_id"), id, NULL) == ERR_OK;
    json_free(json);
    bson_destroy(&one);
    return known;
}

/* ${json} as the value of the only field of a new document. */
static bson_t *holder_of(const struct json *json, bson_iter_t *value, struct err *err)
{
    struct json *wrapped = json_object_new();
    bson_t *doc = NULL;

    json_set(wrapped, "v", json_copy(json));
    doc = mongo_from_json(wrapped, err);
    json_free(wrapped);
    if (doc && !bson_iter_init_find(value, doc, "v")) {
        bson_destroy(doc);
        doc = NULL;
    }
    return doc;
}

/* ---- filters ---- */

struct conditions {
    bson_t list; /* an array, for $and */
    uint32_t count;
};

/* { path: { $eq: value, $not: { $type: "array" } } }, or { $type: "object", … } for OBJECT: without the second an array with such an
 * element would do, too. ${value} NULL: absent or null. */
enum test { EQUAL, OBJECT };
static void add_test(struct conditions *all, const char *path, enum test kind, const bson_iter_t *value)
{
    bson_t condition = BSON_INITIALIZER, test, not_array;
    char number[16];
    const char *key;

    bson_append_document_begin(&condition, path, -1, &test);
    if (kind == OBJECT)
        bson_append_utf8(&test, "$type", -1, "object", -1);
    else if (value)
        bson_append_iter(&test, "$eq", -1, value);
    else
        bson_append_null(&test, "$eq", -1);
    if (kind == OBJECT || !value || !BSON_ITER_HOLDS_ARRAY(value)) {
        bson_append_document_begin(&test, "$not", -1, &not_array);
        bson_append_utf8(&not_array, "$type", -1, "array", -1);
        bson_append_document_end(&test, &not_array);
    }
    bson_append_document_end(&condition, &test);
    bson_uint32_to_string(all->count++, &key, number, sizeof number);
    bson_append_document(&all->list, key, -1, &condition);
    bson_destroy(&condition);
}

/* Can each member be named in a dotted path? */
static int has_plain_names(const bson_iter_t *object)
{
    bson_iter_t member;

    if (!bson_iter_recurse(object, &member)) return 0;
    while (bson_iter_next(&member)) {
        const char *name = bson_iter_key(&member);

        if (!*name || *name == '$' || strchr(name, '.')) return 0;
    }
    return 1;
}

static int is_empty(const bson_iter_t *object)
{
    bson_iter_t member;

    return !bson_iter_recurse(object, &member) || !bson_iter_next(&member);
}

/* What patch_guard_holds says, for the server. An object with a name that no path can hold is compared as a whole. Recursive: bounded by
 * LIMIT_JSON_DEPTH. 0: the path is too long. */
static int add_guard(struct conditions *all, const char *path, const bson_iter_t *value)
{
    bson_iter_t member;
    char inner[PATH_BYTES];

    if (!BSON_ITER_HOLDS_DOCUMENT(value) || is_empty(value) || !has_plain_names(value)) {
        add_test(all, path, EQUAL, BSON_ITER_HOLDS_NULL(value) ? NULL : value);
        return 1;
    }
    add_test(all, path, OBJECT, NULL);
    if (!bson_iter_recurse(value, &member)) return 0;
    while (bson_iter_next(&member)) {
        int len = snprintf(inner, sizeof inner, "%s.%s", path, bson_iter_key(&member));

        if (len < 0 || (size_t)len >= sizeof inner || !add_guard(all, inner, &member)) return 0;
    }
    return 1;
}

static enum err_code guard_by_json(struct conditions *all, const char *path, const struct json *json, struct err *err)
{
    bson_iter_t value;
    bson_t *holder = holder_of(json, &value, err);
    enum err_code rc = ERR_OK;

    if (!holder) return err_set(err, ERR_BAD_INPUT, path, "this value cannot be compared");
    if (!add_guard(all, path, &value)) rc = err_set(err, ERR_INTERNAL, path, "this value is nested too deep");
    bson_destroy(holder);
    return rc;
}

/* No later epoch: absent will do, too. */
static void add_fence(bson_t *filter, int64_t epoch)
{
    bson_t test, later;

    bson_append_document_begin(filter, MONGO_EPOCH, -1, &test);
    bson_append_document_begin(&test, "$not", -1, &later);
    bson_append_int64(&later, "$gt", -1, epoch);
    bson_append_document_end(&test, &later);
    bson_append_document_end(filter, &test);
}

enum err_code mongo_filter(const struct account_id *id, const struct patch *patch, const struct patch_parents *whole,
                           const struct json *held, bson_t *filter, struct err *err)
{
    struct conditions all = {.list = BSON_INITIALIZER};
    enum err_code rc = ERR_OK;
    char path[PATH_BYTES];

    mongo_append_id(filter, "_id", id);
    for (int i = 0; rc == ERR_OK && i < patch->guard_count; i++) {
        const struct patch_field *guard = &patch->guards[i];

        if (guard->op == PATCH_UNSET)
            add_test(&all, guard->path, EQUAL, NULL);
        else
            rc = guard_by_json(&all, guard->path, guard->value, err);
    }
    for (int i = 0; rc == ERR_OK && i < whole->count; i++) {
        snprintf(path, sizeof path, "%.*s", (int)whole->list[i].len, whole->list[i].path);
        rc = guard_by_json(&all, path, json_get(held, path), err);
    }
    if (patch->fence) add_fence(filter, patch->fence->epoch);
    if (all.count) bson_append_array(filter, "$and", -1, &all.list);
    bson_destroy(&all.list);
    return rc;
}

/* ---- updates ---- */

static const struct patch_parent *parent_of(const struct patch_parents *parents, const char *path)
{
    for (int i = 0; i < parents->count; i++) {
        const struct patch_parent *parent = &parents->list[i];

        if (!strncmp(parent->path, path, parent->len) && path[parent->len] == '.') return parent;
    }
    return NULL;
}

static enum err_code append_json(bson_t *to, const char *key, int key_len, const struct json *json, struct err *err)
{
    bson_iter_t value;
    bson_t *holder = holder_of(json, &value, err);

    if (!holder) return err_set(err, ERR_BAD_INPUT, NULL, "a value cannot be stored");
    bson_append_iter(to, key, key_len, &value);
    bson_destroy(holder);
    return ERR_OK;
}

static enum err_code append_whole(bson_t *set, const struct patch *patch, const struct patch_parents *whole,
                                  const struct patch_parent *parent, struct err *err)
{
    struct json *object = json_object_new();
    enum err_code rc;

    for (int i = 0; i < patch->field_count; i++) {
        const struct patch_field *field = &patch->fields[i];
        const struct patch_field inner = {field->op, field->path + parent->len + 1, field->value};

        if (field->op == PATCH_SET && parent_of(whole, field->path) == parent) patch_apply_field(object, &inner);
    }
    rc = append_json(set, parent->path, (int)parent->len, object, err);
    json_free(object);
    return rc;
}

enum err_code mongo_change(const struct patch *patch, const struct patch_parents *whole, bson_t *update,
                           struct err *err)
{
    bson_t set = BSON_INITIALIZER, unset = BSON_INITIALIZER;
    enum err_code rc = ERR_OK;

    for (int i = 0; rc == ERR_OK && i < patch->field_count; i++) {
        const struct patch_field *field = &patch->fields[i];

        if (parent_of(whole, field->path)) continue;
        if (field->op == PATCH_SET)
            rc = append_json(&set, field->path, -1, field->value, err);
        else
            bson_append_utf8(&unset, field->path, -1, "", -1);
    }
    for (int i = 0; rc == ERR_OK && i < whole->count; i++)
        rc = append_whole(&set, patch, whole, &whole->list[i], err);
    if (!bson_empty(&set)) bson_append_document(update, "$set", -1, &set);
    if (!bson_empty(&unset)) bson_append_document(update, "$unset", -1, &unset);
    bson_destroy(&set);
    bson_destroy(&unset);
    return rc;
}
