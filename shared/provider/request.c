/* Building requests from a login's templates. */
#include "provider/provider_internal.h"
#include <string.h>

static const char *const kind_words[REQUEST_KIND_COUNT] = {
    [REQUEST_VALIDATE] = "validate",
    [REQUEST_INTROSPECT] = "introspect",
    [REQUEST_REFRESH] = "refresh",
    [REQUEST_EXCHANGE] = "exchange",
};

const char *request_kind_word(enum request_kind kind)
{
    return (unsigned)kind < REQUEST_KIND_COUNT ? kind_words[kind] : "?";
}

int request_kind_parse(const char *word, enum request_kind *out)
{
    for (unsigned i = 0; word && i < REQUEST_KIND_COUNT; i++) {
        if (strcmp(word, kind_words[i]) == 0) {
            *out = (enum request_kind)i;
            return 1;
        }
    }
    return 0;
}

/* ---- values */

enum encoding { RAW, URL_ENCODED };
struct builder {
    const struct request_input *in;
    struct http_request *req;
    struct err *err;
};

/* RFC 3986: everything but the unreserved characters, and the comma, which needs no escape and keeps field lists
 * readable. */
static void put_encoded(struct buf *out, const char *text, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~,", c)))
            buf_put(out, &c, 1);
        else
            buf_put(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

static enum err_code put_checked(const struct builder *b, struct buf *out, const char *text, size_t len,
                                 enum encoding enc)
{
    if (enc == URL_ENCODED) {
        put_encoded(out, text, len);
        return ERR_OK;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return err_set(b->err, ERR_BAD_INPUT, NULL,
                           "a token or app setting that goes into a header is not printable ASCII");
    }
    buf_put(out, text, len);
    return ERR_OK;
}

static enum err_code put_token(const struct builder *b, struct buf *out, const struct secret *token, enum encoding enc)
{
    if (!token || secret_is_empty(token))
        return err_set(b->err, ERR_BAD_INPUT, NULL, "the request needs a token and there is none");
    const char *text = (const char *)secret_bytes(token);
    for (size_t i = 0; i < token->len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return err_set(b->err, ERR_BAD_INPUT, NULL, "the token holds control characters");
    }
    return put_checked(b, out, text, token->len, enc);
}

static enum err_code put_app_id(const struct builder *b, struct buf *out, enum encoding enc)
{
    const char *id = b->in->app_id;
    if (!id || !*id) return err_set(b->err, ERR_CONFIG, NULL, "the request needs the app's id and none is configured");
    return put_checked(b, out, id, strlen(id), enc);
}

static enum err_code put_app_secret(const struct builder *b, struct buf *out, enum encoding enc)
{
    const struct secret *secret = b->in->app_secret;
    if (!secret || secret_is_empty(secret))
        return err_set(b->err, ERR_CONFIG, NULL, "the request needs the app's secret and none is configured");
    return put_checked(b, out, (const char *)secret_bytes(secret), secret->len, enc);
}

static int has_proof(const struct builder *b)
{
    return b->in->app_secret_proof && !secret_is_empty(b->in->app_secret_proof);
}

static int skip(const char **text, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*text, word, len) != 0) return 0;
    *text += len;
    return 1;
}

/* Place-holders were checked when the file was read: a brace here begins one of the five. */
static enum err_code put_template(const struct builder *b, struct buf *out, const char *text, enum encoding enc)
{
    enum err_code code = ERR_OK;
    while (*text && code == ERR_OK) {
        size_t len = strcspn(text, "{");
        code = put_checked(b, out, text, len, enc);
        text += len;
        if (code != ERR_OK || !*text) break;
        if (skip(&text, "{access_token}"))
            code = put_token(b, out, b->in->access_token, enc);
        else if (skip(&text, "{refresh_token}"))
            code = put_token(b, out, b->in->refresh_token, enc);
        else if (skip(&text, "{app_id}"))
            code = put_app_id(b, out, enc);
        else if (skip(&text, "{app_secret}"))
            code = put_app_secret(b, out, enc);
        else if (has_proof(b) && skip(&text, PROOF_PLACE_HOLDER))
            code = put_token(b, out, b->in->app_secret_proof, enc);
        else
            code = err_set(b->err, ERR_INTERNAL, NULL, "unknown place-holder");
    }
    return code;
}

/* ---- parts of a request */

/* name=value&name=value: a query, a form (application/x-www-form-urlencoded reads %20 as well as +). */
static enum err_code put_pairs(const struct builder *b, struct buf *out, const struct json *pairs)
{
    enum err_code code = ERR_OK;
    const char *between = "";
    for (size_t i = 0; code == ERR_OK && i < json_count(pairs); i++) {
        const char *name, *value = json_string(json_member_at(pairs, i, &name));
        if (!has_proof(b) && strcmp(value, PROOF_PLACE_HOLDER) == 0) continue;
        buf_puts(out, between);
        put_encoded(out, name, strlen(name));
        buf_puts(out, "=");
        code = put_template(b, out, value, URL_ENCODED);
        between = "&";
    }
    return code;
}

static void put_url(const struct builder *b, const char *url)
{
    const char *sandbox = b->in->sandbox_url;
    struct buf *out = &b->req->url;
    if (!sandbox || !*sandbox) {
        buf_puts(out, url);
        return;
    }
    size_t len = strlen(sandbox);
    while (len && sandbox[len - 1] == '/')
        len--;
    buf_put(out, sandbox, len);
    buf_puts(out, url + strlen("https:/")); /* "/HOST/PATH" */
}

static struct buf *new_header(const struct builder *b, const char *name)
{
    struct buf *header = &b->req->headers[b->req->header_count++];
    buf_puts(header, name);
    buf_puts(header, ": ");
    return header;
}

static enum err_code put_headers(const struct builder *b, const struct json *headers)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < json_count(headers); i++) {
        const char *name;
        const struct json *value = json_member_at(headers, i, &name);
        code = put_template(b, new_header(b, name), json_string(value), RAW);
    }
    return code;
}

/* RFC 6749 2.3.1: id and secret are form-encoded before they are joined. */
static enum err_code put_basic_auth(const struct builder *b)
{
    struct buf *out = &b->req->user_password;
    enum err_code code = put_app_id(b, out, URL_ENCODED);
    buf_puts(out, ":");
    return code == ERR_OK ? put_app_secret(b, out, URL_ENCODED) : code;
}

static int has_failed(const struct http_request *req)
{
    int failed = req->url.failed || req->body.failed || req->user_password.failed;
    for (int i = 0; i < req->header_count; i++)
        failed |= req->headers[i].failed;
    return failed;
}

enum err_code login_build_request(const struct login *l, enum request_kind kind, const struct request_input *in,
                                  struct http_request *req, struct err *err)
{
    const struct builder b = {.in = in, .req = req, .err = err};
    enum err_code code = ERR_OK;
    *req = (struct http_request){0};
    if (!login_has_request(l, kind))
        return err_set(err, ERR_NOT_FOUND, NULL, "login \"%s\" has no request to %s", l->name, request_kind_word(kind));
    const struct request_spec *spec = &l->requests[kind];
    req->method = spec->method;
    put_url(&b, spec->url);
    if (json_count(spec->query)) {
        buf_puts(&req->url, "?");
        code = put_pairs(&b, &req->url, spec->query);
    }
    if (code == ERR_OK) code = put_headers(&b, spec->headers);
    if (code == ERR_OK && spec->basic_auth) code = put_basic_auth(&b);
    if (code == ERR_OK && spec->form) {
        buf_puts(new_header(&b, "Content-Type"), "application/x-www-form-urlencoded");
        code = put_pairs(&b, &req->body, spec->form);
    }
    if (code == ERR_OK && has_failed(req)) code = err_set(err, ERR_NOMEM, NULL, "out of memory");
    return code;
}
