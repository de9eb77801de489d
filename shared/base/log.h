/* Logs: one line an event to standard error, in one write(2).
 *   text: 2026-01-02T03:04:05.678Z info [TOKEN HEALTH] message key=value key="two words"
 *   json: {"time":…,"level":…,"prefix":…,"message":…,"key":…}
 * Values are escaped (control characters, quotes, what is not UTF-8), so that user text can neither forge a line nor steer a
 * terminal. A line has 4096 bytes at most (what a pipe takes whole): a longer value is cut and ends in "…", fields that do not
 * fit are left out, and JSON stays JSON. Never a token: there is no way to pass a struct secret. */
#ifndef TH_LOG_H
#define TH_LOG_H
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/** One key=value. Made by the LOG_* macros below only. */
struct log_field {
    const char *key;
    const char *text; /* or NULL: the number counts */
    int64_t number;
};
#define LOG_S(k, v) ((struct log_field){.key = (k), .text = log_text(v)})
#define LOG_I(k, v) ((struct log_field){.key = (k), .number = (int64_t)(v)})

static inline const char *log_text(const char *text)
{
    return text ? text : "-";
}

void log_setup(enum log_level level, enum log_format format);
void log_set_level(enum log_level level);
/** log_parse_level(text, &level): "error" "warn" "info" "debug"; 1 or 0. */
int log_parse_level(const char *text, enum log_level *level);
const char *log_level_name(enum log_level level);
/** log_request_id(id): added as request=… to every line until log_request_id(NULL). Copied, 64 bytes at most. */
void log_request_id(const char *id);
/** log_event(level, prefix, message, fields...): use through the macros. prefix without brackets. */
void log_event(enum log_level level, const char *prefix, const char *message, const struct log_field *fields,
               int count);
int log_enabled(enum log_level level);

#define LOG_EVENT(level, prefix, message, ...)                                                                         \
    do {                                                                                                               \
        if (log_enabled(level)) {                                                                                      \
            const struct log_field fields_[] = {{0}, __VA_ARGS__};                                                     \
            log_event((level), (prefix), (message), fields_ + 1, (int)(sizeof fields_ / sizeof *fields_) - 1);         \
        }                                                                                                              \
    } while (0)
#define log_error(prefix, message, ...) LOG_EVENT(LOG_ERROR, prefix, message, ##__VA_ARGS__)
#define log_warn(prefix, message, ...)  LOG_EVENT(LOG_WARN, prefix, message, ##__VA_ARGS__)
#define log_info(prefix, message, ...)  LOG_EVENT(LOG_INFO, prefix, message, ##__VA_ARGS__)
#define log_debug(prefix, message, ...) LOG_EVENT(LOG_DEBUG, prefix, message, ##__VA_ARGS__)

#endif
