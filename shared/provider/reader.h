/* Reading a JSON file by tables of members, so that every mistake is told with file, line and place in the document.
 * json_parse keeps no positions; they are found again in the text, by member index, once there is something to say.
 * Knows nothing of providers. Reads one file; all state is the caller's. */
#ifndef TH_READER_H
#define TH_READER_H
#include "base/err.h"
#include "base/json.h"
#include <stddef.h>

struct reader {
    const char *file; /* its path, for messages */
    const char *text; /* what json_parse accepted; NUL-terminated */
    size_t len;
    struct err *err;
};

/** A value and the way to it from the root. Lives on the stack of the one who walks. */
struct at {
    const struct at *up; /* NULL: the root */
    size_t index;        /* which member or element of up */
    const char *key;     /* NULL in an array */
    const struct json *value;
};

/** reader_line(rd, at): line of the member's key or of the element; counts from 1. */
size_t reader_line(const struct reader *rd, const struct at *at);
/** reader_fail(rd, at, fmt, ...): ERR_CONFIG, place "FILE:LINE", text "logins.0.host: …". Returns ERR_CONFIG. */
enum err_code reader_fail(const struct reader *rd, const struct at *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** reader_fail_line(rd, line, fmt, ...): the same for a mistake that has a line only. */
enum err_code reader_fail_line(const struct reader *rd, size_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** reader_member(at, index), reader_element(at, index): a child of an object, of an array. */
struct at reader_member(const struct at *up, size_t index);
struct at reader_element(const struct at *up, size_t index);
/** reader_find(at, key, child): 1 and *child if the object has this member. */
int reader_find(const struct at *up, const char *key, struct at *child);

typedef enum err_code reader_fn(const struct reader *rd, const struct at *at, void *out);
/** A member that an object may have. */
struct member {
    const char *name;
    enum json_type type; /* JSON_ABSENT: any; read checks */
    int required;
    reader_fn *read;
};
/** reader_object(rd, at, members, out): each member goes to its ${read}, in the order of the table; members ends with a
 * NULL name. Fails at the first: no object, an unknown member, one missing, one of another type. */
enum err_code reader_object(const struct reader *rd, const struct at *at, const struct member *members, void *out);
/** reader_about(…): takes a text that is for people only ("about"). */
enum err_code reader_about(const struct reader *rd, const struct at *at, void *out);
/** reader_type(rd, at, type): fails unless the value is of this type. */
enum err_code reader_type(const struct reader *rd, const struct at *at, enum json_type type);
/** reader_each(rd, at, read, out): at is an array of at least one element; read is called for each. */
enum err_code reader_each(const struct reader *rd, const struct at *at, reader_fn *read, void *out);

#endif
