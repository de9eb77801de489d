#include "base/json.h"
#include "base/clock.h"
#include "base/json_c.h"
#include "base/json_scan.h"
#include "base/limits.h"
#include <limits.h>
#include <stdio.h>
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

static size_t count_members(struct json_object *o)
{
    size_t count = 0;

    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            (void)key;
            count += 1 + count_members(value);
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++)
            count += count_members(json_object_array_get_idx(o, i));
    }
    return count;
}

/* json-c clamps integers beyond 64 bits; serialising such a value tells. Those become doubles. */
static int is_clamped(struct json_object *o)
{
    int64_t v;

    if (!json_object_is_type(o, json_type_int)) return 0;
    v = json_object_get_int64(o);
    return v == INT64_MAX || v == INT64_MIN;
}

static enum err_code parse_checked(const char *text, size_t len, struct json_object **o, struct err *err)
{
    struct json_tokener *tokener = json_tokener_new_ex(LIMIT_JSON_DEPTH + 2);
    enum json_tokener_error why;

    if (!tokener) return err_set(err, ERR_NOMEM, NULL, "no memory for JSON");
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    *o = json_tokener_parse_ex(tokener, text, (int)len);
    why = json_tokener_get_error(tokener);
    if (why == json_tokener_continue) { /* a number at the very end: the tokener wants to see that it ends */
        *o = json_tokener_parse_ex(tokener, "", 1);
        why = json_tokener_get_error(tokener);
    }
    json_tokener_free(tokener);
    return why == json_tokener_success ? ERR_OK : err_set(err, ERR_BAD_INPUT, NULL, "%s", json_tokener_error_desc(why));
}

enum err_code json_parse(const char *text, size_t len, struct json **root, struct err *err)
{
    struct json_object *o = NULL;
    size_t members = 0;
    enum err_code rc;

    *root = NULL;
    if (len > LIMIT_JSON_BYTES) return err_set(err, ERR_TOO_LARGE, NULL, "longer than %d bytes", LIMIT_JSON_BYTES);
    rc = json_scan(text, len, &members, err);
    if (rc == ERR_OK) rc = parse_checked(text, len, &o, err);
    if (rc == ERR_OK && count_members(o) != members)
        rc = err_set(err, ERR_BAD_INPUT, NULL, "a member name stands twice in one object");
    if (rc != ERR_OK) {
        json_free(own(o));
        return rc;
    }
    *root = o ? own(o) : (struct json *)(uintptr_t)NULL_VALUE;
    return ERR_OK;
}

/* Strings are wiped in place: they may be tokens. */
static void wipe(struct json_object *o)
{
    if (json_object_is_type(o, json_type_string)) {
        explicit_bzero((char *)(uintptr_t)json_object_get_string(o), (size_t)json_object_get_string_len(o));
    } else if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            (void)key;
            wipe(value);
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++)
            wipe(json_object_array_get_idx(o, i));
    }
}

void json_free(struct json *root)
{
    if (!root || root == NULL_VALUE) return;
    wipe(raw(root));
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
        return is_clamped(raw(j)) ? JSON_DOUBLE : JSON_INT;
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
            char *end;
            unsigned long index = strtoul(key, &end, 10);

            j = *key && !*end ? json_at(j, index) : NULL;
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
