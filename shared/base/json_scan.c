#include "base/json_scan.h"
#include "base/limits.h"
#include "base/utf8.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A bracket that is open. */
struct open {
    int bracket;
    size_t object; /* its number, if it is one */
};
struct scan {
    const unsigned char *start, *at, *end;
    const unsigned char *copied; /* respelled up to here */
    struct open open[LIMIT_JSON_DEPTH];
    int depth;
    size_t objects;
    struct json_scan *out;
    struct err *err;
};

static enum err_code refuse(const struct scan *s, const char *why)
{
    size_t line = 1, column = 1;
    char place[64];

    for (const unsigned char *p = s->start; p < s->at; p++) {
        column++;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    snprintf(place, sizeof place, "line %zu, column %zu", line, column);
    return err_set(s->err, ERR_BAD_INPUT, place, "%s", why);
}

static int peek(const struct scan *s)
{
    return s->at < s->end ? *s->at : -1;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static int is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(int c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Four hex digits at ${p}; -1 if they are not there. */
static int hex4(const struct scan *s, const unsigned char *p)
{
    int value = 0;

    if (s->end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);

        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* ${s->at} is on the 'u' of \uXXXX. */
static enum err_code scan_unicode(struct scan *s)
{
    int unit = hex4(s, s->at + 1), low;

    if (unit < 0) return refuse(s, "\\u needs four hexadecimal digits");
    if (unit == 0) return refuse(s, "a NUL character is not allowed");
    if (unit >= 0xdc00 && unit <= 0xdfff) return refuse(s, "a low surrogate without its high one");
    s->at += 5;
    if (unit < 0xd800 || unit > 0xdbff) return ERR_OK;
    low = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? hex4(s, s->at + 2) : -1;
    if (low < 0xdc00 || low > 0xdfff) return refuse(s, "a high surrogate without its low one");
    s->at += 6;
    return ERR_OK;
}

static enum err_code scan_escape(struct scan *s)
{
    int c;

    s->at++;
    c = peek(s);
    if (c == 'u') return scan_unicode(s);
    if (c <= 0 || !strchr("\"\\/bfnrt", c)) return refuse(s, "an unknown escape in a string");
    s->at++;
    return ERR_OK;
}

static enum err_code scan_string(struct scan *s)
{
    enum err_code rc;
    size_t length;
    int c;

    if (peek(s) != '"') return refuse(s, "a string is expected");
    s->at++;
    while ((c = peek(s)) != '"') {
        if (c < 0) return refuse(s, "the string does not end");
        if (c < 0x20) return refuse(s, "a control character in a string");
        if (c == '\\') {
            if ((rc = scan_escape(s)) != ERR_OK) return rc;
        } else if (c < 0x80) {
            s->at++;
        } else {
            if ((length = utf8_length((const char *)s->at, (size_t)(s->end - s->at))) == 0)
                return refuse(s, "not UTF-8");
            s->at += length;
        }
    }
    s->at++;
    return ERR_OK;
}

static enum err_code skip_digits(struct scan *s)
{
    if (!is_digit(peek(s))) return refuse(s, "a digit is expected");
    while (is_digit(peek(s)))
        s->at++;
    return ERR_OK;
}

static int fits_int64(const unsigned char *p, const unsigned char *end)
{
    int negative = *p == '-';
    int64_t sum = 0; /* below zero, where there is room for one more */

    for (p += negative; p < end; p++)
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, *p - '0', &sum)) return 0;
    return negative || sum != INT64_MIN;
}

static void respell_as_double(struct scan *s)
{
    buf_put(&s->out->respelled, s->copied, (size_t)(s->at - s->copied));
    buf_puts(&s->out->respelled, "e0");
    s->copied = s->at;
}

static enum err_code scan_number(struct scan *s)
{
    const unsigned char *from = s->at;
    int is_integer = 1;
    enum err_code rc;

    if (peek(s) == '-') s->at++;
    if (peek(s) == '0') {
        s->at++;
        if (is_digit(peek(s))) return refuse(s, "a number with a leading zero");
    } else if ((rc = skip_digits(s)) != ERR_OK) {
        return rc;
    }
    if (peek(s) == '.') {
        is_integer = 0;
        s->at++;
        if ((rc = skip_digits(s)) != ERR_OK) return rc;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        return skip_digits(s);
    }
    if (is_integer && !fits_int64(from, s->at)) respell_as_double(s);
    return ERR_OK;
}

static enum err_code scan_scalar(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    int c = peek(s);

    if (c == '"') return scan_string(s);
    if (c == '-' || is_digit(c)) return scan_number(s);
    for (int i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);

        if ((size_t)(s->end - s->at) >= len && !memcmp(s->at, words[i], len)) {
            s->at += len;
            return ERR_OK;
        }
    }
    return refuse(s, c < 0 ? "the text ends too early" : "a value is expected");
}

/* A member's name and its colon. */
static enum err_code scan_name(struct scan *s)
{
    const unsigned char *from;
    struct json_scan *out = s->out;
    enum err_code rc;

    skip_space(s);
    from = s->at;
    if (peek(s) != '"') return refuse(s, "a member name in quotes is expected");
    if ((rc = scan_string(s)) != ERR_OK) return rc;
    if (out->on_name &&
        out->on_name(out->arg, s->open[s->depth - 1].object, (const char *)from, (size_t)(s->at - from)) != 0) {
        s->at = from;
        return refuse(s, "a member name stands twice in one object");
    }
    skip_space(s);
    if (peek(s) != ':') return refuse(s, "a colon is expected");
    s->at++;
    out->members++;
    return ERR_OK;
}

/* Behind a value: close what ends here, or go on behind a comma. Depth 0: the value is whole. */
static enum err_code scan_after(struct scan *s)
{
    for (;;) {
        int c, in_object;

        skip_space(s);
        if (s->depth == 0) return ERR_OK;
        in_object = s->open[s->depth - 1].bracket == '{';
        c = peek(s);
        if (c == ',') {
            s->at++;
            return in_object ? scan_name(s) : ERR_OK;
        }
        if (c != (in_object ? '}' : ']'))
            return refuse(s, c < 0 ? "the text ends too early" : "a comma or the closing bracket is expected");
        s->at++;
        s->depth--;
    }
}

static enum err_code scan_open(struct scan *s, int bracket)
{
    if (s->depth == LIMIT_JSON_DEPTH) return refuse(s, "nested deeper than 32");
    s->open[s->depth++] = (struct open){bracket, bracket == '{' ? s->objects++ : 0};
    s->at++;
    skip_space(s);
    if (peek(s) == (bracket == '{' ? '}' : ']')) return scan_after(s);
    return bracket == '{' ? scan_name(s) : ERR_OK;
}

enum err_code json_scan(const char *text, size_t len, struct json_scan *scan, struct err *err)
{
    const unsigned char *start = (const unsigned char *)text;
    struct scan s = {.start = start, .at = start, .end = start + len, .copied = start, .out = scan, .err = err};
    enum err_code rc;

    do {
        int c;

        skip_space(&s);
        c = peek(&s);
        if (c == '{' || c == '[') {
            rc = scan_open(&s, c);
        } else {
            rc = scan_scalar(&s);
            if (rc == ERR_OK) rc = scan_after(&s);
        }
        if (rc != ERR_OK) return rc;
    } while (s.depth > 0);
    if (s.at != s.end) return refuse(&s, "something follows the value");
    if (s.copied != start) buf_put(&scan->respelled, s.copied, (size_t)(s.end - s.copied));
    return scan->respelled.failed ? err_set(err, ERR_NOMEM, NULL, "no memory for JSON") : ERR_OK;
}
