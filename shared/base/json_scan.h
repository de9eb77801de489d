/* Is this text JSON by RFC 8259, within our limits? A scan that accepts or refuses; values are json-c's business. Private to json*.c. */
#ifndef TH_JSON_SCAN_H
#define TH_JSON_SCAN_H
#include "base/buf.h"
#include "base/err.h"
#include <stddef.h>

/** Called for each member: object numbers the object within the text, token is the name as it stands there, with its quotes.
 *  Anything but 0 refuses the text there. */
typedef int json_name_fn(void *arg, size_t object, const char *token, size_t len);

/** What a scan is asked, and finds. */
struct json_scan {
    json_name_fn *on_name; /* or NULL */
    void *arg;
    size_t members; /* of all objects */
    struct buf
        respelled; /* empty, unless an integer is beyond int64: then the text with "e0" behind each such integer, so that
                             json-c reads a double where it would clamp. Caller's, buf_free */
};

/** json_scan(text, len, scan, err): ERR_OK if ${text} is one JSON value and nothing else. Refuses NUL (raw or \u0000), lone
 *  surrogates, invalid UTF-8, control characters in strings, depth over LIMIT_JSON_DEPTH. Fails: ERR_BAD_INPUT, place "line L,
 *  column C" (in bytes, from 1), ERR_NOMEM. Iterative: deep nesting costs no stack. */
enum err_code json_scan(const char *text, size_t len, struct json_scan *scan, struct err *err);

#endif
