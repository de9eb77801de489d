#include "base/log.h"
#include "base/clock.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* RESERVE: for what ends a value and the line. */
enum { LINE_BYTES = 4096, RESERVE_BYTES = 16, VALUE_BYTES = 1024, REQUEST_ID_BYTES = 65 };

static enum log_level threshold = LOG_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;
static char request_id[REQUEST_ID_BYTES];
static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* A line under construction. Once a piece does not fit, nothing more is taken but what closes. */
struct line {
    char text[LINE_BYTES];
    size_t len;
    int is_full;
};

void log_setup(enum log_level level, enum log_format format)
{
    threshold = level;
    line_format = format;
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

int log_parse_level(const char *text, enum log_level *level)
{
    for (int i = 0; i <= LOG_DEBUG; i++)
        if (!strcmp(text, level_names[i])) {
            *level = (enum log_level)i;
            return 1;
        }
    return 0;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

void log_request_id(const char *id)
{
    snprintf(request_id, sizeof request_id, "%s", id ? id : "");
}

int log_enabled(enum log_level level)
{
    return level <= threshold;
}

static void add_bytes(struct line *line, const char *text, size_t len)
{
    if (line->is_full || line->len + len > sizeof line->text - RESERVE_BYTES) {
        line->is_full = 1;
        return;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void add(struct line *line, const char *text)
{
    add_bytes(line, text, strlen(text));
}

/* Into the reserve: for what must not be missing. */
static void close_with(struct line *line, const char *text)
{
    size_t len = strlen(text);

    memcpy(line->text + line->len, text, len);
    line->len += len;
}

/* C0, DEL, C1 (which steer terminals, too), and the two line separators of Unicode. */
static int is_control(const unsigned char *c, size_t length)
{
    if (length == 1) return c[0] < 0x20 || c[0] == 0x7f;
    return (length == 2 && c[0] == 0xc2 && c[1] < 0xa0) ||
           (length == 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9));
}

/* One character, or one byte that is none; gives how many bytes of ${text} that was. */
static size_t add_character(struct line *line, const char *text, size_t left)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t length = utf8_length(text, left);
    char out[8];

    if (length == 0) {
        add(line, "\xef\xbf\xbd");
    } else if (*text == '"' || *text == '\\') {
        add_bytes(line, (const char[]){'\\', *text}, 2);
    } else if (is_control(c, length)) {
        snprintf(out, sizeof out, "\\u%04x", length == 1 ? c[0] : length == 2 ? c[1] : 0x2000U + (c[2] & 0x3fU));
        add(line, out);
    } else {
        add_bytes(line, text, length);
    }
    return length ? length : 1;
}

static void add_escaped(struct line *line, const char *text)
{
    size_t len = strlen(text), from = line->len;

    while (len > 0 && !line->is_full && line->len - from < VALUE_BYTES) {
        size_t taken = add_character(line, text, len);

        text += taken;
        len -= taken;
    }
    if (len > 0 || line->is_full) close_with(line, "\xe2\x80\xa6");
}

static int is_plain(const char *text)
{
    size_t len = strlen(text), length;

    if (len == 0) return 0;
    for (; len > 0; text += length, len -= length) {
        length = utf8_length(text, len);
        if (length == 0 || strchr(" \"\\=", *text) || is_control((const unsigned char *)text, length)) return 0;
    }
    return 1;
}

static void add_quoted(struct line *line, const char *text)
{
    add(line, "\"");
    add_escaped(line, text);
    close_with(line, "\"");
}

static void add_number(struct line *line, int64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)number);
    add(line, text);
}

/* A field whose key or number does not fit is left out whole; a text is cut. */
static void drop_if_full(struct line *line, size_t len)
{
    if (line->is_full) line->len = len;
}

static void add_json_key(struct line *line, const char *key)
{
    add(line, line->len > 1 ? ",\"" : "\"");
    add(line, key);
    add(line, "\":");
}

static void add_json_text(struct line *line, const char *key, const char *text)
{
    size_t len = line->len;

    add_json_key(line, key);
    add(line, "\"");
    drop_if_full(line, len);
    if (line->is_full) return;
    add_escaped(line, text);
    close_with(line, "\"");
}

static void add_json_field(struct line *line, const struct log_field *field)
{
    size_t len = line->len;

    if (field->text) {
        add_json_text(line, field->key, field->text);
        return;
    }
    add_json_key(line, field->key);
    add_number(line, field->number);
    drop_if_full(line, len);
}

static void print_json(struct line *line, enum log_level level, const char *prefix, const char *message,
                       const struct log_field *fields, int count)
{
    char now[CLOCK_ISO_BYTES];

    add(line, "{");
    add_json_text(line, "time", clock_format(clock_now_ms(), now));
    add_json_text(line, "level", level_names[level]);
    add_json_text(line, "prefix", prefix);
    add_json_text(line, "message", message);
    if (request_id[0]) add_json_text(line, "request", request_id);
    for (int i = 0; i < count; i++)
        add_json_field(line, &fields[i]);
    close_with(line, "}");
}

static void add_text_field(struct line *line, const struct log_field *field)
{
    size_t len = line->len;

    add(line, " ");
    add(line, field->key);
    add(line, "=");
    if (!field->text) add_number(line, field->number);
    drop_if_full(line, len);
    if (line->is_full || !field->text) return;
    if (is_plain(field->text))
        add_escaped(line, field->text);
    else
        add_quoted(line, field->text);
}

static void print_text(struct line *line, enum log_level level, const char *prefix, const char *message,
                       const struct log_field *fields, int count)
{
    char now[CLOCK_ISO_BYTES];

    add(line, clock_format(clock_now_ms(), now));
    add(line, " ");
    add(line, level_names[level]);
    add(line, " [");
    add_escaped(line, prefix);
    add(line, "] ");
    add_escaped(line, message);
    if (request_id[0]) add_text_field(line, &LOG_S("request", request_id));
    for (int i = 0; i < count; i++)
        add_text_field(line, &fields[i]);
}

void log_event(enum log_level level, const char *prefix, const char *message, const struct log_field *fields, int count)
{
    struct line line = {.len = 0};

    if (!log_enabled(level)) return;
    if (line_format == LOG_FORMAT_JSON)
        print_json(&line, level, prefix, message, fields, count);
    else
        print_text(&line, level, prefix, message, fields, count);
    close_with(&line, "\n");
    while (write(STDERR_FILENO, line.text, line.len) < 0 && errno == EINTR)
        ; /* any other failure: nowhere left to say it */
}
