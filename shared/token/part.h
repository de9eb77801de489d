/* The parts of an envelope: Base64 members of a JSON object. Private to token/. */
#ifndef TH_PART_H
#define TH_PART_H
#include "base/err.h"
#include "base/json.h"
#include <stddef.h>

/** part_get(object, name, out, cap, &len, err): decode the member. Fails: ERR_UNDECRYPTABLE with the reason. */
enum err_code part_get(const struct json *object, const char *name, unsigned char *out, size_t cap, size_t *len,
                       struct err *err);
/** part_get_exact(object, name, out, size, err): the same for a member that has one right size. */
enum err_code part_get_exact(const struct json *object, const char *name, unsigned char *out, size_t size,
                             struct err *err);
/** part_put(object, name, data, len): 1, or 0 if memory ran out. */
int part_put(struct json *object, const char *name, const void *data, size_t len);
/** part_put_value(object, name, value): takes ${value}; 0 if it is NULL. */
int part_put_value(struct json *object, const char *name, struct json *value);

#endif
