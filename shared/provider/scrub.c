/* Providers echo tokens ("Malformed access token EAAB…"): what they say is cleaned before anybody sees it. */
#include "provider/provider_internal.h"
#include <string.h>

enum { OPAQUE_BYTES = 20 };
static const char ellipsis[] = "\xE2\x80\xA6";

/* What tokens are made of: RFC 6750 token68, RFC 3986 escapes, and the '|' of app tokens. */
static int is_token_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_.|%-+/=~", c));
}

static int is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* A prefix of two letters begins too many words ("TH" begins "THE"): such a token is found by its length only. */
static int begins_token(const struct login *l, const char *text, size_t len)
{
    for (size_t i = 0; i < json_count(l->prefixes); i++) {
        const char *prefix = json_string(json_at(l->prefixes, i));
        size_t prefix_len = strlen(prefix);
        if (prefix_len > 2 && len > prefix_len && strncmp(text, prefix, prefix_len) == 0) return 1;
    }
    return 0;
}

static int is_secret_run(const struct provider *p, const char *run, size_t len)
{
    if (len >= OPAQUE_BYTES) return 1;
    for (size_t at = 0; at < len; at++) {
        if (at && is_word_byte(run[at - 1])) continue;
        for (size_t i = 0; i < p->login_count; i++) {
            if (begins_token(&p->logins[i], run + at, len - at)) return 1;
        }
    }
    return 0;
}

/* Bytes of the control character at ${text}: C0, DEL, or C1 in UTF-8; 0 if there is none. */
static size_t control_len(const char *text)
{
    unsigned char c = (unsigned char)text[0], next = c ? (unsigned char)text[1] : 0;
    if (c < 0x20 || c == 0x7f) return 1;
    return c == 0xC2 && next >= 0x80 && next < 0xA0 ? 2 : 0;
}

static size_t character_len(const char *text)
{
    size_t len = 1;
    while (((unsigned char)text[len] & 0xC0) == 0x80)
        len++;
    return len;
}

struct sink {
    char *out;
    size_t size, len;
    int full;
};

/* A piece that does not fit whole is not begun: no character is cut, no piece of a token gets out. */
static void put(struct sink *sink, const char *piece, size_t len)
{
    if (sink->full || sink->len + len >= sink->size) {
        sink->full = 1;
        return;
    }
    memcpy(sink->out + sink->len, piece, len);
    sink->len += len;
}

static void put_space(struct sink *sink)
{
    if (sink->len && sink->out[sink->len - 1] != ' ') put(sink, " ", 1);
}

void scrub_message(const struct login *l, const char *text, char *out, size_t size)
{
    struct sink sink = {.out = out, .size = size};
    while (*text && !sink.full) {
        size_t run = 0, control = control_len(text);
        while (is_token_byte(text[run]))
            run++;
        if (control) {
            put_space(&sink);
        } else if (run && is_secret_run(l->provider, text, run)) {
            put(&sink, ellipsis, strlen(ellipsis));
        } else if (run) {
            put(&sink, text, run);
        } else {
            run = character_len(text);
            put(&sink, text, run);
        }
        text += control ? control : run;
    }
    out[sink.len] = '\0';
}
