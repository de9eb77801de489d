#include "store/account.h"
#include "store/ejson.h"
#include <stdio.h>
#include <string.h>

enum { PATH_KEY_BYTES = 256 };

/* A slot for ${path}: the one that it already has, else a new one. */
static struct patch_field *slot(struct patch_field *fields, int *count, const char *path)
{
    for (int i = 0; i < *count; i++)
        if (!strcmp(fields[i].path, path)) {
            json_free(fields[i].value);
            return &fields[i];
        }
    return *count < PATCH_MAX ? &fields[(*count)++] : NULL;
}

static void put(struct patch *p, enum patch_op op, const char *path, struct json *value)
{
    struct patch_field *field = slot(p->fields, &p->field_count, path);

    if (!field) {
        p->overflow = 1;
        json_free(value);
        return;
    }
    *field = (struct patch_field){op, path, value};
}

void patch_set(struct patch *p, const char *path, struct json *value)
{
    if (!value) p->overflow = 1; /* memory ran out where it was made: never write null over a token for that */
    put(p, PATCH_SET, path, value);
}

void patch_set_string(struct patch *p, const char *path, const char *text)
{
    if (text)
        patch_set(p, path, json_new_string(text));
    else
        patch_unset(p, path);
}

void patch_set_bool(struct patch *p, const char *path, int v)
{
    patch_set(p, path, json_new_bool(v));
}

void patch_set_int(struct patch *p, const char *path, int64_t v)
{
    patch_set(p, path, json_new_int(v));
}

/* Extended JSON has texts for the years 1970 to 9999; other dates are numbers. */
static int is_iso(int64_t at_ms)
{
    const int64_t end_of_9999 = 253402300799999;

    return at_ms >= 0 && at_ms <= end_of_9999;
}

static struct json *new_long(int64_t v)
{
    struct json *j = json_object_new();
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)v);
    json_set(j, "$numberLong", json_new_string(text));
    return j;
}

void patch_set_date(struct patch *p, const char *path, int64_t at_ms)
{
    struct json *date;

    if (at_ms == 0) {
        patch_unset(p, path);
        return;
    }
    date = json_object_new();
    json_set(date, "$date", is_iso(at_ms) ? json_new_date(at_ms) : new_long(at_ms));
    patch_set(p, path, date);
}

void patch_unset(struct patch *p, const char *path)
{
    put(p, PATCH_UNSET, path, NULL);
}

void patch_guard(struct patch *p, const char *path, const struct json *value)
{
    struct patch_field *guard = slot(p->guards, &p->guard_count, path);
    int is_absent = json_type(value) == JSON_ABSENT || json_type(value) == JSON_NULL;

    if (!guard) {
        p->overflow = 1;
        return;
    }
    *guard = (struct patch_field){is_absent ? PATCH_UNSET : PATCH_SET, path, is_absent ? NULL : json_copy(value)};
    if (!is_absent && !guard->value) p->overflow = 1;
}

void patch_fini(struct patch *p)
{
    if (!p) return;
    for (int i = 0; i < p->field_count; i++)
        json_free(p->fields[i].value);
    for (int i = 0; i < p->guard_count; i++)
        json_free(p->guards[i].value);
    *p = (struct patch){0};
}

static int add_parent(struct patch_parents *parents, const char *path, size_t len)
{
    for (int i = 0; i < parents->count; i++)
        if (parents->list[i].len == len && !memcmp(parents->list[i].path, path, len)) return 1;
    if (parents->count == PATCH_PARENTS_MAX) return 0;
    parents->list[parents->count++] = (struct patch_parent){path, len};
    return 1;
}

int patch_parents(const struct patch *p, struct patch_parents *parents)
{
    parents->count = 0;
    for (int i = 0; i < p->field_count; i++) {
        const char *path = p->fields[i].path, *dot = path;

        while (p->fields[i].op == PATCH_SET && (dot = strchr(dot + 1, '.')))
            if (!add_parent(parents, path, (size_t)(dot - path))) return 0;
    }
    return 1;
}

static int same_number(const struct json *held, const struct json *wanted)
{
    int64_t a, b;
    double x, y;

    if (ejson_int(held, &a) && ejson_int(wanted, &b)) return a == b;
    return ejson_double(held, &x) && ejson_double(wanted, &y) && x == y;
}

static int same_array(const struct json *held, const struct json *wanted)
{
    if (json_type(held) != JSON_ARRAY || json_count(held) != json_count(wanted)) return 0;
    for (size_t i = 0; i < json_count(wanted); i++)
        if (!patch_guard_holds(json_at(held, i), json_at(wanted, i))) return 0;
    return 1;
}

static int has_members(const struct json *held, const struct json *wanted)
{
    int64_t a, b;
    double number;

    if (account_date(wanted, &b)) return account_date(held, &a) && a == b;
    if (ejson_double(wanted, &number)) return same_number(held, wanted);
    if (json_type(held) != JSON_OBJECT) return 0;
    if (json_count(wanted) == 0) return json_count(held) == 0;
    for (size_t i = 0; i < json_count(wanted); i++) {
        const char *key = NULL;
        const struct json *value = json_member_at(wanted, i, &key);

        if (!patch_guard_holds(json_member(held, key), value)) return 0;
    }
    return 1;
}

int patch_guard_holds(const struct json *held, const struct json *wanted)
{
    int a, b;

    switch (json_type(wanted)) {
    case JSON_ABSENT:
    case JSON_NULL:
        return json_type(held) == JSON_ABSENT || json_type(held) == JSON_NULL;
    case JSON_BOOL:
        return json_bool(held, &a) && json_bool(wanted, &b) && a == b;
    case JSON_INT:
    case JSON_DOUBLE:
        return same_number(held, wanted);
    case JSON_STRING:
        return json_type(held) == JSON_STRING && json_string_len(held) == json_string_len(wanted) &&
               !memcmp(json_string(held), json_string(wanted), json_string_len(wanted));
    case JSON_ARRAY:
        return same_array(held, wanted);
    case JSON_OBJECT:
        return has_members(held, wanted);
    }
    return 0;
}

int patch_guards_hold(const struct json *doc, const struct patch *p)
{
    for (int i = 0; i < p->guard_count; i++)
        if (!patch_guard_holds(json_get(doc, p->guards[i].path), p->guards[i].value)) return 0;
    return 1;
}

/* Of two paths, is one inside the other? */
static int is_nested(const char *a, const char *b)
{
    size_t len = strlen(a);

    return !strncmp(a, b, len) && b[len] == '.';
}

int patch_is_sound(const struct patch *p)
{
    struct patch_parents parents;

    if (p->overflow || !patch_parents(p, &parents)) return 0;
    for (int i = 0; i < p->field_count; i++)
        for (int k = 0; k < p->field_count; k++)
            if (is_nested(p->fields[i].path, p->fields[k].path)) return 0;
    return 1;
}

/* Parents that are missing, or are no objects, are made; for an unset there is then nothing to do. */
int patch_apply_field(struct json *doc, const struct patch_field *field)
{
    struct json *at = doc;
    const char *path = field->path, *dot;
    char key[PATH_KEY_BYTES];

    for (; (dot = strchr(path, '.')); path = dot + 1) {
        if ((size_t)(dot - path) >= sizeof key) return 0;
        memcpy(key, path, (size_t)(dot - path));
        key[dot - path] = '\0';
        if (!ejson_is_object(json_member(at, key))) {
            if (field->op == PATCH_UNSET) return 1;
            json_set(at, key, json_object_new());
        }
        at = (struct json *)(uintptr_t)json_member(at, key); /* part of doc, which is ours to change */
        if (json_type(at) != JSON_OBJECT) return 0;
    }
    if (field->op == PATCH_UNSET) {
        json_remove(at, path);
        return 1;
    }
    json_set(at, path, json_copy(field->value));
    return json_type(json_member(at, path)) == json_type(field->value);
}

int patch_apply(struct json *doc, const struct patch *p)
{
    int done = 1;

    for (int i = 0; done && i < p->field_count; i++)
        done = patch_apply_field(doc, &p->fields[i]);
    return done;
}

int patch_blocked(const struct patch *p, const struct json *doc, struct patch_parents *blocked)
{
    struct patch_parents parents;
    char path[PATH_KEY_BYTES];

    blocked->count = 0;
    if (!patch_parents(p, &parents)) return 0;
    for (int i = 0; i < parents.count; i++) {
        const struct patch_parent *parent = &parents.list[i];
        const struct json *held;

        if (parent->len >= sizeof path) return 0;
        memcpy(path, parent->path, parent->len);
        path[parent->len] = '\0';
        held = json_get(doc, path);
        if (held && !ejson_is_object(held)) blocked->list[blocked->count++] = *parent;
    }
    return 1;
}
