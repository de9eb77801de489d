#include "router.h"
#include <stdio.h>
#include <string.h>

static const struct route routes[] = {
#define ROUTE(method, path, scope, function, summary) {method, path, scope, function, summary},
#include "routes.def"
#undef ROUTE
};

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* A JSON string shows what was not UTF-8 by standing for it with other bytes. */
static int is_utf8(const char *text)
{
    const char *p = text;
    struct json *copy;
    int good;

    while (*p && (unsigned char)*p < 0x80)
        p++;
    if (!*p) return 1;
    copy = json_new_string(text);
    good = copy && !strcmp(json_string(copy), text);
    json_free(copy);
    return good;
}

int url_decode(const char *text, size_t len, char *out, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)text[i];

        if (c == '%') {
            if (len - i < 3 || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0) return 0;
            c = hex(text[i + 1]) * 16 + hex(text[i + 2]);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || at + 1 >= size) return 0;
        out[at++] = (char)c;
    }
    out[at] = '\0';
    return is_utf8(out);
}

/* One segment of the pattern against one of the path. -1: the parameter is malformed. */
static int match_segment(const char *pattern, size_t pattern_len, const char *path, size_t len, struct exchange *x)
{
    if (pattern[0] != ':') return pattern_len == len && !memcmp(pattern, path, len);
    if (len == 0) return 0;
    if (!memcmp(pattern, ":platform", pattern_len))
        return url_decode(path, len, x->platform, sizeof x->platform) ? 1 : -1;
    return url_decode(path, len, x->argument, sizeof x->argument) ? 1 : -1;
}

static int match(const char *pattern, const char *path, struct exchange *x)
{
    int good = 1;

    while (*pattern == '/' && *path == '/') {
        size_t pattern_len = strcspn(++pattern, "/"), len = strcspn(++path, "/");
        int one = match_segment(pattern, pattern_len, path, len, x);

        if (one == 0) return 0;
        if (one < 0) good = -1;
        pattern += pattern_len;
        path += len;
    }
    return *pattern || *path ? 0 : good;
}

static void allow(const char *method, struct exchange *x)
{
    size_t len = strlen(x->allow);

    snprintf(x->allow + len, sizeof x->allow - len, "%s%s", len ? ", " : "",
             strcmp(method, "GET") == 0 ? "GET, HEAD" : method);
}

enum route_result router_find(const char *method, const char *path, struct exchange *x, const struct route **route)
{
    enum route_result result = ROUTE_NO_PATH;
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        int matched = match(routes[i].path, path, x);

        if (matched == 0) continue;
        *route = &routes[i];
        if (matched < 0) return ROUTE_BAD_PATH;
        if (!strcmp(routes[i].method, wanted)) {
            x->allow[0] = '\0';
            return ROUTE_FOUND;
        }
        result = ROUTE_NO_METHOD;
        allow(routes[i].method, x);
    }
    return result;
}
