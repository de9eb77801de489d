#include "answer.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void answer_fini(struct answer *a)
{
    buf_free(&a->body);
    for (int i = 0; i < a->header_count; i++)
        buf_free(&a->headers[i].value);
    *a = (struct answer){0};
}

void answer_header(struct answer *a, const char *name, const char *fmt, ...)
{
    char value[512];
    va_list args;

    assert(a->header_count < ANSWER_HEADERS_MAX);
    va_start(args, fmt);
    vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    a->headers[a->header_count].name = name;
    buf_puts(&a->headers[a->header_count].value, value);
    a->header_count++;
}

void answer_quote(struct buf *out, const char *text)
{
    buf_puts(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_printf(out, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            buf_printf(out, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            buf_put(out, text, 1);
    }
    buf_puts(out, "\"");
}
