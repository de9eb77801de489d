#include "base/json_scan.h"
#include "base/limits.h"
#include <stdio.h>
#include <string.h>

struct scan {
    const unsigned char *start, *at, *end;
    size_t members;
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

/* RFC 3629: length of the sequence at ${s->at}, 0 if it is not well-formed. */
static int utf8_length(const struct scan *s)
{
    const unsigned char *p = s->at;
    size_t left = (size_t)(s->end - p);
    int length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

    if (p[0] < 0xc2 || p[0] > 0xf4 || left < (size_t)length) return 0;
    for (int i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
    return length;
}

static enum err_code scan_escape(struct scan *s)
{
    int c;

    s->at++;
    c = peek(s);
    if (c == 'u') return scan_unicode(s);
    if (c < 0 || !strchr("\"\\/bfnrt", c)) return refuse(s, "an unknown escape in a string");
    s->at++;
    return ERR_OK;
}

static enum err_code scan_string(struct scan *s)
{
    enum err_code rc;
    int c, length;

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
            if ((length = utf8_length(s)) == 0) return refuse(s, "not UTF-8");
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

static enum err_code scan_number(struct scan *s)
{
    enum err_code rc;

    if (peek(s) == '-') s->at++;
    if (peek(s) == '0') {
        s->at++;
        if (is_digit(peek(s))) return refuse(s, "a number with a leading zero");
    } else if ((rc = skip_digits(s)) != ERR_OK) {
        return rc;
    }
    if (peek(s) == '.') {
        s->at++;
        if ((rc = skip_digits(s)) != ERR_OK) return rc;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        return skip_digits(s);
    }
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
    enum err_code rc;

    skip_space(s);
    if (peek(s) != '"') return refuse(s, "a member name in quotes is expected");
    if ((rc = scan_string(s)) != ERR_OK) return rc;
    skip_space(s);
    if (peek(s) != ':') return refuse(s, "a colon is expected");
    s->at++;
    s->members++;
    return ERR_OK;
}

/* Behind a value: close what ends here, or go on behind a comma. *depth 0: the value is whole. */
static enum err_code scan_after(struct scan *s, const char *open, int *depth)
{
    for (;;) {
        int c;

        skip_space(s);
        if (*depth == 0) return ERR_OK;
        c = peek(s);
        if (c == ',') {
            s->at++;
            return open[*depth - 1] == '{' ? scan_name(s) : ERR_OK;
        }
        if (c != (open[*depth - 1] == '{' ? '}' : ']'))
            return refuse(s, c < 0 ? "the text ends too early" : "a comma or the closing bracket is expected");
        s->at++;
        --*depth;
    }
}

enum err_code json_scan(const char *text, size_t len, size_t *members, struct err *err)
{
    const unsigned char *start = (const unsigned char *)text;
    struct scan s = {.start = start, .at = start, .end = start + len, .err = err};
    char open[LIMIT_JSON_DEPTH];
    int depth = 0, c;
    enum err_code rc = ERR_OK;

    do {
        skip_space(&s);
        c = peek(&s);
        if (c == '{' || c == '[') {
            if (depth == LIMIT_JSON_DEPTH) return refuse(&s, "nested deeper than 32");
            open[depth++] = (char)c;
            s.at++;
            skip_space(&s);
            if (peek(&s) == (c == '{' ? '}' : ']'))
                rc = scan_after(&s, open, &depth);
            else if (c == '{')
                rc = scan_name(&s);
        } else {
            rc = scan_scalar(&s);
            if (rc == ERR_OK) rc = scan_after(&s, open, &depth);
        }
        if (rc != ERR_OK) return rc;
    } while (depth > 0);
    if (s.at != s.end) return refuse(&s, "something follows the value");
    *members = s.members;
    return ERR_OK;
}
