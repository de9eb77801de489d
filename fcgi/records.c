#include "records.h"
#include "base/limits.h"
#include <string.h>

enum { HEAD_BYTES = 8, VERSION = 1, BEGIN_BYTES = 8 };
enum { BEGIN = 1, ABORT = 2, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, GET_VALUES = 9 };
enum { RESPONDER = 1, FILTER = 3 };

struct record {
    unsigned version, type, id;
    size_t content, padding;
};

static struct record head_of(const unsigned char *p)
{
    return (struct record){p[0], p[1], (unsigned)p[2] << 8 | p[3], (size_t)p[4] << 8 | p[5], p[6]};
}

/* 1 to 4 bytes; 0: they break off. */
static size_t length_at(const unsigned char *p, size_t left, size_t *length)
{
    if (left >= 1 && p[0] < 0x80) {
        *length = p[0];
        return 1;
    }
    if (left < 4) return 0;
    *length = (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    return 4;
}

static int are_pairs(const unsigned char *p, size_t left)
{
    while (left > 0) {
        size_t name = 0, value = 0, head = length_at(p, left, &name), more;

        if (head == 0) return 0;
        more = length_at(p + head, left - head, &value);
        if (more == 0 || name + value > left - head - more) return 0;
        p += head + more + name + value;
        left -= head + more + name + value;
    }
    return 1;
}

struct look {
    unsigned id; /* of the request that has begun; 0: none has */
    int has_input, has_params;
    size_t param_bytes;
    unsigned char params[LIMIT_PARAMETERS_BYTES];
};

/* A record whose content may not all be there yet. RECORDS_PARTIAL: on to the next. */
static enum records look_at_record(struct look *look, const struct record *r, const unsigned char *content,
                                   int is_whole)
{
    if (r->version != VERSION) return RECORDS_BROKEN;
    /* libfcgi loses memory over a question whose pairs break off. */
    if (r->id == 0)
        return is_whole && r->type == GET_VALUES && !are_pairs(content, r->content) ? RECORDS_BROKEN : RECORDS_PARTIAL;
    if (look->id == 0) {
        look->id = r->id;
        look->has_input = is_whole && content[0] == 0 && (content[1] == RESPONDER || content[1] == FILTER);
        return r->type == BEGIN && r->content == BEGIN_BYTES ? RECORDS_PARTIAL : RECORDS_BROKEN;
    }
    if (r->id != look->id || r->type != PARAMS) return RECORDS_BROKEN;
    if (r->content == 0) return are_pairs(look->params, look->param_bytes) ? RECORDS_WHOLE : RECORDS_BROKEN;
    if (r->content > sizeof look->params - look->param_bytes) return RECORDS_TOO_LARGE;
    if (is_whole) {
        memcpy(look->params + look->param_bytes, content, r->content);
        look->param_bytes += r->content;
    }
    return RECORDS_PARTIAL;
}

/* What is of no concern to this request libfcgi passes over. */
static enum records look_at_input(const struct look *look, const struct record *r)
{
    if (r->version != VERSION) return RECORDS_BROKEN;
    if (r->id != look->id) return RECORDS_PARTIAL;
    if (r->type == STDIN) return r->content == 0 ? RECORDS_WHOLE : RECORDS_PARTIAL;
    return r->type == ABORT ? RECORDS_WHOLE : RECORDS_BROKEN;
}

enum records records_look(const unsigned char *bytes, size_t len)
{
    static struct look look; /* a worker does one thing at a time */
    size_t at = 0;

    look.id = 0;
    look.has_params = 0;
    look.param_bytes = 0;
    if (len > 0 && bytes[0] != VERSION) return RECORDS_BROKEN;
    while (len - at >= HEAD_BYTES) {
        struct record r = head_of(bytes + at);
        size_t left = len - at - HEAD_BYTES;
        int is_whole = left >= r.content + r.padding;
        enum records result =
            look.has_params ? look_at_input(&look, &r) : look_at_record(&look, &r, bytes + at + HEAD_BYTES, is_whole);

        if (result == RECORDS_WHOLE && !is_whole) result = RECORDS_PARTIAL;
        if (result == RECORDS_WHOLE && look.has_input && !look.has_params) {
            look.has_params = 1;
            result = RECORDS_PARTIAL;
        }
        if (result != RECORDS_PARTIAL) return result;
        if (!is_whole) return look.has_params ? RECORDS_HEAD : RECORDS_PARTIAL;
        at += HEAD_BYTES + r.content + r.padding;
    }
    if (look.has_params) return RECORDS_HEAD;
    if (len == LIMIT_PEEK_BYTES) return RECORDS_TOO_LARGE;
    return at > 0 && at == len && look.id == 0 ? RECORDS_MANAGEMENT : RECORDS_PARTIAL;
}

size_t records_refuse(const unsigned char *bytes, unsigned char out[RECORDS_REFUSAL_BYTES])
{
    static const char answer[] = "Status: 431 Request Header Fields Too Large\r\n\r\n";
    const unsigned char text[] = {VERSION, STDOUT, bytes[2], bytes[3], 0, sizeof answer - 1, 0, 0};
    const unsigned char end[2 * HEAD_BYTES] = {VERSION, END, bytes[2], bytes[3], 0, HEAD_BYTES};

    memcpy(out, text, sizeof text);
    memcpy(out + sizeof text, answer, sizeof answer - 1);
    memcpy(out + sizeof text + sizeof answer - 1, end, sizeof end);
    return sizeof text + sizeof answer - 1 + sizeof end;
}
