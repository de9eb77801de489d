/* Strict JSON (RFC 8259) over json-c, which is lenient: a scan first refuses
 * everything outside the RFC, embedded NUL, depth over LIMIT_JSON_DEPTH and
 * invalid UTF-8; duplicate keys are refused by counting. json-c stays inside
 * json*.c. Strings that come out are borrowed from their tree. */
#ifndef TH_JSON_H
#define TH_JSON_H
#include "base/buf.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct json; /* a value; a borrowed one lives as long as its root */

enum json_type { JSON_ABSENT, JSON_NULL, JSON_BOOL, JSON_INT, JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/** json_parse(text, len, &root, err): whole text is one JSON value. Owns: the caller (json_free).
 *  Integers beyond int64 become JSON_DOUBLE; a number beyond double is refused. Fails: ERR_BAD_INPUT with "line L, column C" (in
 *  bytes; of the second of two equal names) as place and the reason; never echoes the text. ERR_TOO_LARGE, ERR_NOMEM. */
enum err_code json_parse(const char *text, size_t len, struct json **root, struct err *err);
/** json_free(root): wipes every string value in the tree, then frees it. NULL allowed. */
void json_free(struct json *root);

/** json_type(j): NULL gives JSON_ABSENT (json null in a tree gives JSON_NULL). */
enum json_type json_type(const struct json *j);
/** json_get(j, path): member by dotted path ("error.code", "data.0.id"); NULL when absent or j is no
 *  object/array. A JSON null is a value (JSON_NULL), told apart from absent. */
const struct json *json_get(const struct json *j, const char *path);
const struct json *json_member(const struct json *j, const char *key); /* one key, dots not special */
size_t json_count(const struct json *j);                               /* array elements or object members */
const struct json *json_at(const struct json *j, size_t index);        /* array element */
/** json_member_at(j, index, &key): the index-th member of an object, in order. */
const struct json *json_member_at(const struct json *j, size_t index, const char **key);
/** json_string(j): the text, or NULL if not a string. json_string_len: its bytes. */
const char *json_string(const struct json *j);
size_t json_string_len(const struct json *j);
/** json_int/json_bool/json_double(j, &v): 1 and *v set if of that type (double takes ints too), else 0. */
int json_int(const struct json *j, int64_t *v);
int json_bool(const struct json *j, int *v);
int json_double(const struct json *j, double *v);

/** json_equal(a, b): the same value; members in any order; absent equals only absent; 1 and 1.0 differ. */
int json_equal(const struct json *a, const struct json *b);

/* Building. The container takes ownership of what is put in; a NULL value becomes null; what is replaced or removed is wiped
 * and freed. On a failed allocation they return NULL / do nothing and json_print gives ERR_NOMEM. */
struct json *json_object_new(void);
struct json *json_array_new(void);
struct json *json_new_string(const char *text); /* NULL gives null; invalid UTF-8 bytes become U+FFFD */
struct json *json_new_string_len(const char *text, size_t len);
struct json *json_new_int(int64_t v);
struct json *json_new_bool(int v);
struct json *json_new_double(double v);                                  /* null if not finite */
struct json *json_new_date(int64_t at_ms);                               /* ISO 8601 string; null for 0 */
struct json *json_copy(const struct json *j);                            /* deep copy */
void json_set(struct json *object, const char *key, struct json *value); /* replaces */
void json_remove(struct json *object, const char *key);                  /* nothing if absent */
void json_push(struct json *array, struct json *value);
/** json_print(j, out, err): compact text appended to ${out}; '/' is not escaped. */
enum err_code json_print(const struct json *j, struct buf *out, struct err *err);
enum err_code json_print_pretty(const struct json *j, struct buf *out, struct err *err);

#endif
