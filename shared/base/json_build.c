#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include "base/json_c.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct json *own(struct json_object *o)
{
    return (struct json *)(void *)o;
}

static struct json_object *raw(const struct json *j)
{
    return json_type(j) == JSON_NULL || !j ? NULL : (struct json_object *)(uintptr_t)j;
}

struct json *json_object_new(void)
{
    return own(json_object_new_object());
}

struct json *json_array_new(void)
{
    return own(json_object_new_array());
}

struct json *json_new_string(const char *text)
{
    return text ? json_new_string_len(text, strlen(text)) : NULL;
}

struct json *json_new_string_len(const char *text, size_t len)
{
    struct buf clean = {0};
    struct json *j;

    for (size_t at = 0; at < len;) {
        size_t length = utf8_length(text + at, len - at);

        if (length)
            buf_put(&clean, text + at, length);
        else
            buf_puts(&clean, "\xef\xbf\xbd");
        at += length ? length : 1;
    }
    j = clean.failed ? NULL : own(json_object_new_string_len(buf_text(&clean), (int)clean.len));
    buf_free(&clean);
    return j;
}

struct json *json_new_int(int64_t v)
{
    return own(json_object_new_int64(v));
}

struct json *json_new_bool(int v)
{
    return own(json_object_new_boolean(v != 0));
}

struct json *json_new_double(double v)
{
    return isfinite(v) ? own(json_object_new_double(v)) : NULL;
}

struct json *json_new_date(int64_t at_ms)
{
    char text[CLOCK_ISO_BYTES];

    return at_ms ? json_new_string(clock_format(at_ms, text)) : NULL;
}

struct json *json_copy(const struct json *j)
{
    struct json_object *copy = NULL;

    if (!raw(j)) return NULL;
    return json_object_deep_copy(raw(j), &copy, NULL) == 0 ? own(copy) : NULL;
}

static void wipe_member(struct json *object, const char *key)
{
    struct json_object *old;

    if (json_object_object_get_ex(raw(object), key, &old)) json_wipe(old);
}

void json_set(struct json *object, const char *key, struct json *value)
{
    int is_object = json_type(object) == JSON_OBJECT;

    if (is_object) wipe_member(object, key);
    if (!is_object || json_object_object_add(raw(object), key, raw(value)) != 0) json_free(value);
}

void json_remove(struct json *object, const char *key)
{
    if (json_type(object) != JSON_OBJECT) return;
    wipe_member(object, key);
    json_object_object_del(raw(object), key);
}

int json_equal(const struct json *a, const struct json *b)
{
    if (json_type(a) == JSON_ABSENT || json_type(b) == JSON_ABSENT) return json_type(a) == json_type(b);
    return json_object_equal(raw(a), raw(b));
}

void json_push(struct json *array, struct json *value)
{
    if (json_type(array) != JSON_ARRAY || json_object_array_add(raw(array), raw(value)) != 0) json_free(value);
}

static enum err_code print(const struct json *j, int flags, struct buf *out, struct err *err)
{
    size_t len = 0;
    const char *text = "null";

    if (!j) return err_set(err, ERR_NOMEM, NULL, "no memory for JSON");
    if (raw(j)) {
        text = json_object_to_json_string_length(raw(j), flags | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
        if (!text) return err_set(err, ERR_NOMEM, NULL, "no memory for JSON");
    }
    buf_puts(out, text);
    if (raw(j)) explicit_bzero((char *)(uintptr_t)text, len); /* json-c keeps the text with the object */
    return out->failed ? err_set(err, ERR_NOMEM, NULL, "no memory for JSON") : ERR_OK;
}

enum err_code json_print(const struct json *j, struct buf *out, struct err *err)
{
    return print(j, JSON_C_TO_STRING_PLAIN, out, err);
}

enum err_code json_print_pretty(const struct json *j, struct buf *out, struct err *err)
{
    return print(j, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED, out, err);
}
