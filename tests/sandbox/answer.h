/* What goes back to the client, and how the connection ends. */
#ifndef SANDBOX_ANSWER_H
#define SANDBOX_ANSWER_H
#include "base/buf.h"

enum { ANSWER_HEADERS_MAX = 6 };
enum ending {
    ENDING_WHOLE,
    ENDING_CUT,   /* Content-Length says more than is sent, then the connection closes */
    ENDING_RESET, /* a TCP reset in place of an answer */
    ENDING_HANG   /* nothing at all, until the client goes */
};

struct answer {
    enum ending ending;
    int status;
    unsigned delay_ms;
    const char *content_type; /* static text */
    struct buf body;
    struct {
        const char *name; /* static text */
        struct buf value;
    } headers[ANSWER_HEADERS_MAX];
    int header_count;
};

void answer_fini(struct answer *a);
void answer_header(struct answer *a, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** answer_quote(out, text): text as a JSON string, with its quotes. Expects UTF-8. */
void answer_quote(struct buf *out, const char *text);

#endif
