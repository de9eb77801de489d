/* The answers of TikTok and X. Zero grace: a refresh kills the refresh token that it was asked with; the access token lives on until
 * its date. */
#include "rotating.h"
#include "base/clock.h"
#include "call.h"
#include <inttypes.h>
#include <string.h>

enum {
    DAY_S = 24 * 3600,
    TIKTOK_ACCESS_S = DAY_S,
    TIKTOK_REFRESH_S = 365 * DAY_S,
    X_ACCESS_S = 7200,
    X_REFRESH_S = 183 * DAY_S
};
enum { X_LIMIT = 75 };

static int is_tiktok(const struct call *call)
{
    return call->host == HOST_TIKTOK;
}

static void put_member(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "\"%s\":", name);
    answer_quote(out, value);
}

static void put_log_id(struct buf *out)
{
    static unsigned n;

    buf_printf(out, "\"log_id\":\"20260101%024u\"", ++n);
}

/* RFC 6749 5.2 */
static void write_grant_refusal(const struct call *call, struct answer *out)
{
    const struct refusal *r = is_tiktok(call) ? tiktok_grant_refusal(call->end) : x_grant_refusal(call->end);

    out->status = r->status;
    buf_puts(&out->body, "{");
    put_member(&out->body, "error", r->code);
    buf_puts(&out->body, ",");
    put_member(&out->body, "error_description", r->message);
    if (is_tiktok(call)) {
        buf_puts(&out->body, ",");
        put_log_id(&out->body);
    }
    buf_puts(&out->body, "}");
}

static void write_tiktok_error(const struct refusal *r, struct answer *out)
{
    out->status = r->status;
    buf_puts(&out->body, "{\"data\":{},\"error\":{");
    put_member(&out->body, "code", r->code);
    buf_puts(&out->body, ",");
    put_member(&out->body, "message", r->message);
    buf_puts(&out->body, ",");
    put_log_id(&out->body);
    buf_puts(&out->body, "}}");
}

static void write_x_error(const struct refusal *r, struct answer *out)
{
    out->status = r->status;
    if (r->code) {
        buf_printf(&out->body, "{\"errors\":[{\"code\":%s,", r->code);
        put_member(&out->body, "message", r->message);
        buf_puts(&out->body, "}]}");
        return;
    }
    out->content_type = "application/problem+json";
    buf_puts(&out->body, "{");
    put_member(&out->body, "title", r->message);
    buf_printf(&out->body, ",\"type\":\"about:blank\",\"status\":%d,", r->status);
    put_member(&out->body, "detail", r->message);
    buf_puts(&out->body, "}");
}

static void write_refusal(const struct call *call, struct answer *out)
{
    if (call->kind == KIND_REFRESH)
        write_grant_refusal(call, out);
    else if (is_tiktok(call))
        write_tiktok_error(tiktok_refusal(call->end), out);
    else
        write_x_error(x_refusal(call->end), out);
}

/* X tells how much of a quarter of an hour is left; TikTok tells nothing. */
static void write_usage(const struct world *w, const struct call *call, struct answer *out)
{
    int is_limited = call->end == CONDITION_RATE_LIMITED || call->end == CONDITION_RATE_LIMITED_USER;
    unsigned percent = is_limited || w->usage_percent > 100 ? 100 : w->usage_percent;

    if (is_tiktok(call) || !percent) return;
    answer_header(out, "x-rate-limit-limit", "%d", X_LIMIT);
    answer_header(out, "x-rate-limit-remaining", "%u", X_LIMIT - X_LIMIT * percent / 100);
    answer_header(out, "x-rate-limit-reset", "%" PRId64, clock_now_ms() / 1000 + w->retry_after_s);
}

static void write_tiktok_user(const struct world *w, struct call *call, struct answer *out)
{
    const char *fields = request_param(call->req, "fields");

    if (!fields || (strcmp(fields, "open_id") != 0 && strcmp(fields, "open_id,display_name") != 0)) {
        call->end = CONDITION_WRONG_FIELD;
        write_refusal(call, out);
        return;
    }
    buf_puts(&out->body, "{\"data\":{\"user\":{");
    put_member(&out->body, "open_id", call_account_id(w, call));
    if (strchr(fields, ',')) {
        buf_puts(&out->body, ",");
        put_member(&out->body, "display_name", call_username(w, call));
    }
    buf_puts(&out->body, "}},\"error\":{\"code\":\"ok\",\"message\":\"\",");
    put_log_id(&out->body);
    buf_puts(&out->body, "}}");
}

static void write_x_user(const struct world *w, const struct call *call, struct answer *out)
{
    buf_puts(&out->body, "{\"data\":{");
    put_member(&out->body, "id", call_account_id(w, call));
    buf_puts(&out->body, ",");
    put_member(&out->body, "name", call_username(w, call));
    buf_puts(&out->body, ",");
    put_member(&out->body, "username", call_username(w, call));
    buf_puts(&out->body, "}}");
}

/* A new access token, and a new refresh token for the used one; BLANK_TOKEN: neither; SAME_TOKEN: the refresh token stays good. */
static int issue(struct world *w, const struct call *call, char access[TOKEN_ISSUED_BYTES],
                 char refresh[TOKEN_ISSUED_BYTES])
{
    struct token *old = call->token, *old_access = tokens_newest(old->root->partner), *new_access, *new_refresh = old;

    if (call->end == CONDITION_BLANK_TOKEN) return 1;
    new_access = tokens_issue(w->tokens, old_access, is_tiktok(call) ? "act." : "",
                              is_tiktok(call) ? TIKTOK_ACCESS_S : X_ACCESS_S, access);
    if (!new_access) return 0;
    if (call->end != CONDITION_SAME_TOKEN)
        new_refresh = tokens_issue(w->tokens, old, is_tiktok(call) ? "rft." : "",
                                   is_tiktok(call) ? TIKTOK_REFRESH_S : X_REFRESH_S, refresh);
    if (!new_refresh) return 0;
    tokens_pair(new_access, new_refresh);
    return 1;
}

static void write_grant(struct world *w, const struct call *call, struct answer *out)
{
    char access[TOKEN_ISSUED_BYTES] = "", refresh[TOKEN_ISSUED_BYTES] = "";
    struct buf *body = &out->body;

    if (!issue(w, call, access, refresh)) {
        out->status = 500;
        return;
    }
    if (call->end == CONDITION_LOST_ANSWER) out->ending = ENDING_RESET;
    buf_puts(body, "{");
    put_member(body, "access_token", access);
    buf_printf(body, ",\"expires_in\":%d,", is_tiktok(call) ? TIKTOK_ACCESS_S : X_ACCESS_S);
    put_member(body, "refresh_token", call->end == CONDITION_SAME_TOKEN ? call->text : refresh);
    if (is_tiktok(call)) {
        buf_printf(body, ",\"refresh_expires_in\":%d,", TIKTOK_REFRESH_S);
        put_member(body, "open_id", tokens_account_id(w->tokens, call->token));
    }
    buf_printf(body, ",\"scope\":\"%s\",\"token_type\":\"%s\"}",
               is_tiktok(call) ? "user.info.basic" : "tweet.read users.read offline.access",
               is_tiktok(call) ? "Bearer" : "bearer");
}

void rotating_write(struct world *w, struct call *call, struct answer *out)
{
    write_usage(w, call, out);
    if (!call_is_success(call))
        write_refusal(call, out);
    else if (call->kind == KIND_REFRESH)
        write_grant(w, call, out);
    else if (is_tiktok(call))
        write_tiktok_user(w, call, out);
    else
        write_x_user(w, call, out);
}
