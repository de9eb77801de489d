/* Is this text JSON by RFC 8259, within our limits? A scan that accepts or refuses; values are json-c's business. Private to json.c. */
#ifndef TH_JSON_SCAN_H
#define TH_JSON_SCAN_H
#include "base/err.h"
#include <stddef.h>

/** json_scan(text, len, &members, err): ERR_OK if ${text} is one JSON value and nothing else; members = all object members
 *  in it, at any depth. Refuses NUL (raw or \u0000), lone surrogates, invalid UTF-8, control characters in strings, depth over
 *  LIMIT_JSON_DEPTH. Fails: ERR_BAD_INPUT, place "line L, column C". Iterative: deep nesting costs no stack. */
enum err_code json_scan(const char *text, size_t len, size_t *members, struct err *err);

#endif
