/* MongoDB Extended JSON: values that JSON has no type for are objects whose only member has a name with a dollar sign, numbers too in
 * the canonical form. Private to store/. */
#ifndef TH_EJSON_H
#define TH_EJSON_H
#include "base/json.h"

/** ejson_int(j, &v): 1 if it is a whole number within int64: 5, 5.0, {"$numberInt" | "$numberLong" | "$numberDouble": "5"}. */
int ejson_int(const struct json *j, int64_t *v);
/** ejson_double(j, &v): 1 if it is a number, in any form. */
int ejson_double(const struct json *j, double *v);
/** ejson_is_object(j): is it a document, and no value in disguise? */
int ejson_is_object(const struct json *j);

#endif
