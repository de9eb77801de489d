#include "base/json.h"
#include "base/json_c.h"
#include "base/json_scan.h"
#include "base/limits.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A struct json is a json-c object. JSON null is NULL there, so null values are told from absent ones by a stand-in. */
static const char null_mark;
#define NULL_VALUE ((const struct json *)(const void *)&null_mark)

static struct json_object *raw(const struct json *j)
{
    return j == NULL_VALUE ? NULL : (struct json_object *)(uintptr_t)j;
}

static const struct json *wrap(const struct json_object *o)
{
    return o ? (const struct json *)(const void *)o : NULL_VALUE;
}

static struct json *own(struct json_object *o)
{
    return (struct json *)(void *)o;
}

/* What json-c made of a text. */
struct census {
    size_t members;
    int has_infinite;
};

static void take_census(struct json_object *o, struct census *census)
{
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            (void)key;
            census->members++;
            take_census(value, census);
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++)
            take_census(json_object_array_get_idx(o, i), census);
    } else if (json_object_is_type(o, json_type_double)) {
        census->has_infinite |= !isfinite(json_object_get_double(o));
    }
}

/* One buffer for the tokener's strings, as large as any can be: one that grows would leave pieces of tokens behind. */
static struct json_tokener *tokener_new(size_t len)
{
    struct json_tokener *tokener = json_tokener_new_ex(LIMIT_JSON_DEPTH + 2);

    if (!tokener) return NULL;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    if (printbuf_memset(tokener->pb, 0, 0, (int)len + 1) >= 0) {
        printbuf_reset(tokener->pb);
        return tokener;
    }
    json_tokener_free(tokener);
    return NULL;
}

static void tokener_free(struct json_tokener *tokener)
{
    explicit_bzero(tokener->pb->buf, (size_t)tokener->pb->size);
    json_tokener_free(tokener);
}

static enum err_code read_values(const char *text, size_t len, struct json_object **o, struct err *err)
{
    struct json_tokener *tokener = tokener_new(len);
    enum json_tokener_error why;

    if (!tokener) return err_set(err, ERR_NOMEM, NULL, "no memory for JSON");
    *o = json_tokener_parse_ex(tokener, text, (int)len);
    why = json_tokener_get_error(tokener);
    if (why == json_tokener_continue) { /* a number at the very end: the tokener wants to see that it ends */
        *o = json_tokener_parse_ex(tokener, "", 1);
        why = json_tokener_get_error(tokener);
    }
    tokener_free(tokener);
    return why == json_tokener_success ? ERR_OK : err_set(err, ERR_BAD_INPUT, NULL, "%s", json_tokener_error_desc(why));
}

/* ${names} has a member for each name seen, "OBJECT:NAME" in the name's one spelling. */
static int is_twin(void *names, size_t object, const char *token, size_t len)
{
    struct json_object *name = NULL, *old;
    struct buf key = {0};
    int twin = 0;

    if (read_values(token, len, &name, NULL) != ERR_OK) return 0;
    buf_printf(&key, "%zu:%s", object, json_object_get_string(name));
    if (!key.failed) {
        twin = json_object_object_get_ex(names, buf_text(&key), &old);
        json_object_object_add(names, buf_text(&key), NULL);
    }
    json_object_put(name);
    buf_free(&key);
    return twin;
}

/* json-c keeps the last of two members of one name; that there are fewer than were scanned tells. Then it is worth to look where. */
static enum err_code refuse_twin(const char *text, size_t len, struct err *err)
{
    struct json_scan again = {.on_name = is_twin, .arg = json_object_new_object()};
    enum err_code rc = again.arg ? json_scan(text, len, &again, err) : ERR_NOMEM;

    json_object_put(again.arg);
    buf_free(&again.respelled);
    return rc != ERR_OK ? rc : err_set(err, ERR_NOMEM, NULL, "no memory for JSON");
}

enum err_code json_parse(const char *text, size_t len, struct json **root, struct err *err)
{
    struct json_scan scan = {0};
    struct census census = {0};
    struct json_object *o = NULL;
    enum err_code rc;

    *root = NULL;
    if (len > LIMIT_JSON_BYTES) return err_set(err, ERR_TOO_LARGE, NULL, "longer than %d bytes", LIMIT_JSON_BYTES);
    rc = json_scan(text, len, &scan, err);
    if (rc == ERR_OK)
        rc = scan.respelled.len ? read_values(scan.respelled.data, scan.respelled.len, &o, err)
                                : read_values(text, len, &o, err);
    take_census(o, &census);
    if (rc == ERR_OK && census.has_infinite) rc = err_set(err, ERR_BAD_INPUT, NULL, "a number is too large to be held");
    if (rc == ERR_OK && census.members != scan.members) rc = refuse_twin(text, len, err);
    buf_free(&scan.respelled);
    if (rc != ERR_OK) {
        json_free(own(o));
        return rc;
    }
    *root = o ? own(o) : (struct json *)(uintptr_t)NULL_VALUE;
    return ERR_OK;
}

void json_wipe(struct json_object *o)
{
    if (json_object_is_type(o, json_type_string)) {
        explicit_bzero((char *)(uintptr_t)json_object_get_string(o), (size_t)json_object_get_string_len(o));
    } else if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            (void)key;
            json_wipe(value);
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++)
            json_wipe(json_object_array_get_idx(o, i));
    }
}

void json_free(struct json *root)
{
    if (!root || root == NULL_VALUE) return;
    json_wipe(raw(root));
    json_object_put(raw(root));
}

enum json_type json_type(const struct json *j)
{
    if (!j) return JSON_ABSENT;
    if (j == NULL_VALUE) return JSON_NULL;
    switch (json_object_get_type(raw(j))) {
    case json_type_boolean:
        return JSON_BOOL;
    case json_type_int:
        return JSON_INT;
    case json_type_double:
        return JSON_DOUBLE;
    case json_type_string:
        return JSON_STRING;
    case json_type_array:
        return JSON_ARRAY;
    case json_type_object:
        return JSON_OBJECT;
    case json_type_null:
        break;
    }
    return JSON_NULL;
}

const struct json *json_member(const struct json *j, const char *key)
{
    struct json_object *value;

    if (json_type(j) != JSON_OBJECT || !json_object_object_get_ex(raw(j), key, &value)) return NULL;
    return wrap(value);
}

const struct json *json_get(const struct json *j, const char *path)
{
    char key[256];

    while (j && *path) {
        size_t len = strcspn(path, ".");

        if (len >= sizeof key) return NULL;
        memcpy(key, path, len);
        key[len] = '\0';
        path += len + (path[len] == '.');
        if (json_type(j) == JSON_ARRAY) {
            j = *key && !key[strspn(key, "0123456789")] ? json_at(j, strtoul(key, NULL, 10)) : NULL;
        } else {
            j = json_member(j, key);
        }
    }
    return j;
}

size_t json_count(const struct json *j)
{
    if (json_type(j) == JSON_ARRAY) return json_object_array_length(raw(j));
    return json_type(j) == JSON_OBJECT ? (size_t)json_object_object_length(raw(j)) : 0;
}

const struct json *json_at(const struct json *j, size_t index)
{
    if (json_type(j) != JSON_ARRAY || index >= json_object_array_length(raw(j))) return NULL;
    return wrap(json_object_array_get_idx(raw(j), index));
}

const struct json *json_member_at(const struct json *j, size_t index, const char **key)
{
    if (json_type(j) != JSON_OBJECT) return NULL;
    json_object_object_foreach(raw(j), name, value)
    {
        if (index-- == 0) {
            *key = name;
            return wrap(value);
        }
    }
    return NULL;
}

const char *json_string(const struct json *j)
{
    return json_type(j) == JSON_STRING ? json_object_get_string(raw(j)) : NULL;
}

size_t json_string_len(const struct json *j)
{
    return json_type(j) == JSON_STRING ? (size_t)json_object_get_string_len(raw(j)) : 0;
}

int json_int(const struct json *j, int64_t *v)
{
    if (json_type(j) != JSON_INT) return 0;
    *v = json_object_get_int64(raw(j));
    return 1;
}

int json_bool(const struct json *j, int *v)
{
    if (json_type(j) != JSON_BOOL) return 0;
    *v = json_object_get_boolean(raw(j));
    return 1;
}

int json_double(const struct json *j, double *v)
{
    if (json_type(j) != JSON_DOUBLE && json_type(j) != JSON_INT) return 0;
    *v = json_object_get_double(raw(j));
    return 1;
}
