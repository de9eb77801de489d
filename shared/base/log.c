#include "base/log.h"
#include "base/clock.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096, REQUEST_ID_BYTES = 65 };

static enum log_level threshold = LOG_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;
static char request_id[REQUEST_ID_BYTES];
static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* A line under construction; what does not fit is cut, the closing newline always fits. */
struct line {
    char text[LINE_BYTES];
    size_t len;
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

static void add(struct line *line, const char *text)
{
    size_t len = strlen(text), room = sizeof line->text - 4 - line->len;

    if (len > room) len = room;
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void add_escaped(struct line *line, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char out[8] = {(char)c, '\0'};

        if (c == '"' || c == '\\')
            snprintf(out, sizeof out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            snprintf(out, sizeof out, "\\u%04x", c);
        add(line, out);
    }
}

static int is_plain(const char *text)
{
    if (!*text) return 0;
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || strchr("\"\\=\x7f", *text)) return 0;
    return 1;
}

static void add_quoted(struct line *line, const char *text)
{
    add(line, "\"");
    add_escaped(line, text);
    add(line, "\"");
}

static void add_number(struct line *line, int64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)number);
    add(line, text);
}

static void add_json_text(struct line *line, const char *key, const char *text)
{
    add(line, line->len > 1 ? "," : "");
    add_quoted(line, key);
    add(line, ":");
    add_quoted(line, text);
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
    for (int i = 0; i < count; i++) {
        if (fields[i].text) {
            add_json_text(line, fields[i].key, fields[i].text);
            continue;
        }
        add(line, ",");
        add_quoted(line, fields[i].key);
        add(line, ":");
        add_number(line, fields[i].number);
    }
    add(line, "}");
}

static void add_text_field(struct line *line, const char *key, const char *text)
{
    add(line, " ");
    add(line, key);
    add(line, "=");
    if (is_plain(text))
        add(line, text);
    else
        add_quoted(line, text);
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
    if (request_id[0]) add_text_field(line, "request", request_id);
    for (int i = 0; i < count; i++) {
        if (fields[i].text) {
            add_text_field(line, fields[i].key, fields[i].text);
            continue;
        }
        add(line, " ");
        add(line, fields[i].key);
        add(line, "=");
        add_number(line, fields[i].number);
    }
}

void log_event(enum log_level level, const char *prefix, const char *message, const struct log_field *fields, int count)
{
    struct line line = {.len = 0};

    if (!log_enabled(level)) return;
    if (line_format == LOG_FORMAT_JSON)
        print_json(&line, level, prefix, message, fields, count);
    else
        print_text(&line, level, prefix, message, fields, count);
    line.text[line.len++] = '\n';
    if (write(STDERR_FILENO, line.text, line.len) < 0) return; /* nowhere left to say it */
}
