/* A growing byte buffer. After the first failed allocation it is `failed` and
 * swallows everything, so that callers check once at the end. buf_free wipes. */
#ifndef TH_BUF_H
#define TH_BUF_H
#include <stddef.h>

struct buf {
    char *data; /* NUL-terminated behind len once anything was put; else NULL */
    size_t len;
    size_t cap;
    int failed;
};

void buf_put(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** buf_text(b): the text, "" when empty. Borrowed. */
const char *buf_text(const struct buf *b);
/** buf_take(b): ownership of the text moves to the caller (free()); b becomes empty. NULL if failed. */
char *buf_take(struct buf *b);
void buf_reset(struct buf *b); /* len = 0, wiped, memory kept */
void buf_free(struct buf *b);  /* wiped and freed; NULL allowed */

#endif
