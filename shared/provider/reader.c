#include "provider/reader.h"
#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
    [JSON_ABSENT] = "nothing",  [JSON_NULL] = "null",       [JSON_BOOL] = "true or false", [JSON_INT] = "an integer",
    [JSON_DOUBLE] = "a number", [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",     [JSON_OBJECT] = "an object"};

/* The walkers below rely on the text being valid JSON: json_parse took it. ${end} guards against that being untrue. */
static const char *skip_space(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p) && *p)
        p++;
    return p;
}

static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\') p++;
    }
    return p < end ? p + 1 : end;
}

static const char *skip_value(const char *p, const char *end)
{
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
        } else {
            if (*p == '{' || *p == '[') depth++;
            if (*p == '}' || *p == ']') depth--;
            p++;
        }
        if (depth == 0 && (p == end || strchr(",]} \t\r\n", *p))) return p;
    }
    return end;
}

/* From a member's key to its value. */
static const char *skip_key(const char *p, const char *end)
{
    p = skip_space(skip_string(p, end), end);
    return p < end ? skip_space(p + 1, end) : end;
}

static const char *locate_start(const struct reader *rd, const struct at *at)
{
    const char *end = rd->text + rd->len;
    if (!at->up) return skip_space(rd->text, end);
    const char *p = locate_start(rd, at->up);
    if (at->up->key) p = skip_key(p, end);
    if (p < end) p = skip_space(p + 1, end);
    for (size_t i = 0; i < at->index && p < end; i++) {
        if (at->key) p = skip_key(p, end);
        p = skip_space(skip_value(p, end), end);
        if (p < end) p = skip_space(p + 1, end);
    }
    return p;
}

static size_t line_of(const char *text, const char *where)
{
    size_t line = 1;
    for (const char *p = text; p < where; p++)
        line += *p == '\n';
    return line;
}

size_t reader_line(const struct reader *rd, const struct at *at)
{
    return line_of(rd->text, locate_start(rd, at));
}

static void put_path(struct buf *out, const struct at *at)
{
    if (!at->up) return;
    put_path(out, at->up);
    if (out->len) buf_puts(out, ".");
    if (at->key)
        buf_puts(out, at->key);
    else
        buf_printf(out, "%zu", at->index);
}

/* A long path loses its start: the line must survive. */
static void format_place(const struct reader *rd, size_t line, char place[ERR_PLACE_MAX])
{
    size_t len = strlen(rd->file), room = ERR_PLACE_MAX - 24;
    snprintf(place, ERR_PLACE_MAX, "%s:%zu", len > room ? rd->file + len - room : rd->file, line);
}

enum err_code reader_fail(const struct reader *rd, const struct at *at, const char *fmt, ...)
{
    char place[ERR_PLACE_MAX], reason[ERR_TEXT_MAX];
    struct buf path = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    format_place(rd, reader_line(rd, at), place);
    put_path(&path, at);
    err_set(rd->err, ERR_CONFIG, place, "%s%s%s", buf_text(&path), path.len ? ": " : "", reason);
    buf_free(&path);
    return ERR_CONFIG;
}

enum err_code reader_fail_line(const struct reader *rd, size_t line, const char *fmt, ...)
{
    char place[ERR_PLACE_MAX], reason[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    format_place(rd, line, place);
    return err_set(rd->err, ERR_CONFIG, place, "%s", reason);
}

struct at reader_member(const struct at *up, size_t index)
{
    struct at child = {.up = up, .index = index};
    child.value = json_member_at(up->value, index, &child.key);
    return child;
}

struct at reader_element(const struct at *up, size_t index)
{
    return (struct at){.up = up, .index = index, .value = json_at(up->value, index)};
}

int reader_find(const struct at *up, const char *key, struct at *child)
{
    size_t count = json_type(up->value) == JSON_OBJECT ? json_count(up->value) : 0;
    for (size_t i = 0; i < count; i++) {
        *child = reader_member(up, i);
        if (strcmp(child->key, key) == 0) return 1;
    }
    return 0;
}

enum err_code reader_about(const struct reader *rd, const struct at *at, void *out)
{
    (void)out;
    return reader_type(rd, at, JSON_STRING);
}

enum err_code reader_type(const struct reader *rd, const struct at *at, enum json_type type)
{
    enum json_type is = json_type(at->value);
    if (type == JSON_ABSENT || is == type) return ERR_OK;
    return reader_fail(rd, at, "must be %s, not %s", type_names[type], type_names[is]);
}

static enum err_code check_members(const struct reader *rd, const struct at *at, const struct member *members)
{
    enum err_code code = reader_type(rd, at, JSON_OBJECT);
    for (size_t i = 0; code == ERR_OK && i < json_count(at->value); i++) {
        struct at child = reader_member(at, i);
        const struct member *m = members;
        while (m->name && strcmp(m->name, child.key) != 0)
            m++;
        code = m->name ? reader_type(rd, &child, m->type) : reader_fail(rd, &child, "no such member is known here");
    }
    return code;
}

enum err_code reader_object(const struct reader *rd, const struct at *at, const struct member *members, void *out)
{
    enum err_code code = check_members(rd, at, members);
    for (const struct member *m = members; code == ERR_OK && m->name; m++) {
        struct at child;
        if (reader_find(at, m->name, &child))
            code = m->read(rd, &child, out);
        else if (m->required)
            code = reader_fail(rd, at, "\"%s\" is missing", m->name);
    }
    return code;
}

enum err_code reader_each(const struct reader *rd, const struct at *at, reader_fn *read, void *out)
{
    enum err_code code = reader_type(rd, at, JSON_ARRAY);
    if (code == ERR_OK && json_count(at->value) == 0) code = reader_fail(rd, at, "must not be empty");
    for (size_t i = 0; code == ERR_OK && i < json_count(at->value); i++) {
        struct at child = reader_element(at, i);
        code = read(rd, &child, out);
    }
    return code;
}
