#include "base/buf.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not realloc: the old copy may hold a token and must be wiped. */
static int grow(struct buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : 64;
    char *data;

    if (b->failed) return 0;
    if (more > SIZE_MAX / 2 - b->len) goto fail;
    while (cap < b->len + more + 1)
        cap *= 2;
    if (b->data && cap == b->cap) return 1;
    data = malloc(cap);
    if (!data) goto fail;
    if (b->data) {
        memcpy(data, b->data, b->len + 1);
        explicit_bzero(b->data, b->cap);
        free(b->data);
    }
    b->data = data;
    b->cap = cap;
    return 1;
fail:
    b->failed = 1;
    return 0;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
    if (!grow(b, len)) return;
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    size_t room = b->failed ? 0 : b->cap - b->len;
    va_list args, again;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(room ? &b->data[b->len] : NULL, room, fmt, args);
    va_end(args);
    if (len < 0) b->failed = 1;
    if (len >= 0 && grow(b, (size_t)len)) {
        if ((size_t)len >= room) vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    }
    va_end(again);
}

const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
    char *data;

    if (!b->data) buf_put(b, "", 0);
    data = b->failed ? NULL : b->data;
    if (b->failed) buf_free(b);
    *b = (struct buf){0};
    return data;
}

void buf_reset(struct buf *b)
{
    if (b->data) explicit_bzero(b->data, b->cap);
    b->len = 0;
    b->failed = 0;
}

void buf_free(struct buf *b)
{
    if (!b) return;
    if (b->data) explicit_bzero(b->data, b->cap);
    free(b->data);
    *b = (struct buf){0};
}
