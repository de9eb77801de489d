#include "store/ejson.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 2^63 itself is not an int64; doubles just below it are. */
static int whole(double d, int64_t *v)
{
    if (!(fabs(d) < 0x1p63) || floor(d) != d) return 0;
    *v = (int64_t)d;
    return 1;
}

/* The text of the number that ${j} wraps, and its type; NULL if it is something else. */
static const char *wrapped(const struct json *j, const char **type)
{
    const char *text = json_string(json_member_at(j, 0, type));

    return json_count(j) == 1 && text && isdigit((unsigned char)text[*text == '-']) ? text : NULL;
}

int ejson_double(const struct json *j, double *v)
{
    const char *type = NULL, *text = wrapped(j, &type);
    char *end;

    if (!text) return json_double(j, v);
    if (strcmp(type, "$numberInt") != 0 && strcmp(type, "$numberLong") != 0 && strcmp(type, "$numberDouble") != 0)
        return 0;
    *v = strtod(text, &end);
    return *end == '\0';
}

int ejson_int(const struct json *j, int64_t *v)
{
    const char *type = NULL, *text = wrapped(j, &type);
    char *end;
    double d;

    if (json_int(j, v)) return 1;
    if (!text || !strcmp(type, "$numberDouble")) return ejson_double(j, &d) && whole(d, v);
    if (strcmp(type, "$numberInt") != 0 && strcmp(type, "$numberLong") != 0) return 0;
    errno = 0;
    *v = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

int ejson_is_object(const struct json *j)
{
    const char *name = "";

    if (json_type(j) != JSON_OBJECT) return 0;
    json_member_at(j, 0, &name);
    return *name != '$';
}
