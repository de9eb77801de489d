#include "base/clock.h"
#include "call.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define APP_ID "1234567890"

enum { LIFETIME_S = 5183944, DATA_ACCESS_S = 90 * 24 * 3600, TRACE_BYTES = 24 };

static int64_t now_s(void)
{
    return clock_now_ms() / 1000;
}

static void make_trace_id(char id[TRACE_BYTES])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    static uint64_t n;
    uint64_t bits = 0;

    for (int i = 0; i < TRACE_BYTES - 1; i++) {
        if (i % 8 == 0) {
            n += UINT64_C(0x9e3779b97f4a7c15);
            bits = n ^ (n >> 29U);
            bits *= UINT64_C(0xbf58476d1ce4e5b9);
            bits ^= bits >> 32U;
        }
        id[i] = letters[bits & 63U];
        bits >>= 6U;
    }
    id[0] = 'A';
    id[TRACE_BYTES - 1] = '\0';
}

/* "Friday, 11-Sep-20 06:41:31 PDT": the platform writes the time of California. */
static void put_date(struct buf *out, int64_t at_s)
{
    time_t local = (time_t)at_s - (time_t)8 * 3600;
    struct tm tm;
    char day[32], clock[32];

    gmtime_r(&local, &tm);
    strftime(day, sizeof day, "%A, %d-%b", &tm);
    strftime(clock, sizeof clock, "%H:%M:%S PST", &tm);
    buf_printf(out, "%s-%02d %s", day, tm.tm_year % 100, clock);
}

static void put_message(const struct call *call, struct buf *out)
{
    struct buf text = {0};

    buf_puts(&text, condition_rows[call->end].message);
    if (call->end == CONDITION_EXPIRED) {
        put_date(&text, call->token && call->token->expires_at_s ? call->token->expires_at_s : now_s() - 1);
        buf_puts(&text, ". The current time is ");
        put_date(&text, now_s());
        buf_puts(&text, ".");
    }
    if (call->end == CONDITION_MALFORMED && call->text) buf_puts(&text, call->text);
    if (call->end == CONDITION_WRONG_PATH) buf_printf(&text, ": %s", call->path);
    if (call->end == CONDITION_WRONG_METHOD) buf_printf(&text, ": %s", call->req->method);
    answer_quote(out, buf_text(&text));
    buf_free(&text);
}

static const char *type_of(const struct call *call)
{
    const struct condition_row *row = &condition_rows[call->end];

    if (row->code == 100 && call->host == HOST_INSTAGRAM) return "IGApiException";
    if (row->code == 100 && call->host == HOST_THREADS) return "THApiException";
    if (row->code == 100 && row->subcode == 33) return "GraphMethodException";
    return "OAuthException";
}

static void write_usage(const struct world *w, const struct call *call, struct answer *out)
{
    int is_limited = call->end == CONDITION_RATE_LIMITED || call->end == CONDITION_RATE_LIMITED_USER;
    unsigned percent = call->end == CONDITION_RATE_LIMITED ? 100 : w->usage_percent;
    const char *account = call->token ? tokens_account_id(w->tokens, call->token) : "";

    if (percent)
        answer_header(out, "X-App-Usage", "{\"call_count\":%u,\"total_time\":25,\"total_cputime\":25}", percent);
    if (!is_limited) return;
    answer_header(out, "X-Business-Use-Case-Usage",
                  "{\"%.64s\":[{\"type\":\"instagram\",\"call_count\":100,\"total_cputime\":25,\"total_time\":25,"
                  "\"estimated_time_to_regain_access\":%u}]}",
                  *account ? account : APP_ID, w->regain_minutes);
}

static void write_error(const struct call *call, struct answer *out)
{
    const struct condition_row *row = &condition_rows[call->end];
    char trace_id[TRACE_BYTES];

    out->status = row->status;
    make_trace_id(trace_id);
    buf_puts(&out->body, "{\"error\":{\"message\":");
    put_message(call, &out->body);
    buf_printf(&out->body, ",\"type\":\"%s\"", type_of(call));
    if (call->end == CONDITION_RATE_LIMITED || call->end == CONDITION_CODE2)
        buf_puts(&out->body, ",\"is_transient\":true");
    buf_printf(&out->body, ",\"code\":%d", row->code);
    if (row->subcode) buf_printf(&out->body, ",\"error_subcode\":%d", row->subcode);
    buf_printf(&out->body, ",\"fbtrace_id\":\"%s\"}}", trace_id);
    if (row->code == 190)
        answer_header(out, "WWW-Authenticate", "OAuth \"Facebook Platform\" \"invalid_token\" \"%s\"", row->message);
}

/* The value of a field of /me; 0 if there is no such field. Instagram's "id" is another one than "user_id": it belongs to the app. */
static int put_field(const struct world *w, const struct call *call, const char *field, struct buf *out)
{
    int is_instagram = call->host == HOST_INSTAGRAM;

    if (strcmp(field, "id") == 0 && is_instagram)
        buf_printf(out, "\"25%.*s\"", 15, call_account_id(w, call));
    else if (strcmp(field, is_instagram ? "user_id" : "id") == 0)
        answer_quote(out, call_account_id(w, call));
    else if (strcmp(field, "name") == 0 || (call->host != HOST_FACEBOOK && strcmp(field, "username") == 0))
        answer_quote(out, call_username(w, call));
    else if (is_instagram && strcmp(field, "account_type") == 0)
        buf_puts(out, "\"BUSINESS\"");
    else
        return 0;
    return 1;
}

static void write_me(const struct world *w, struct call *call, struct answer *out)
{
    const char *asked = request_param(call->req, "fields");
    char fields[256], *rest = NULL;
    int has_id = 0;

    snprintf(fields, sizeof fields, "%s", asked ? asked : "");
    buf_puts(&out->body, "{");
    for (char *field = strtok_r(fields, ",", &rest); field; field = strtok_r(NULL, ",", &rest)) {
        struct buf value = {0};

        if (put_field(w, call, field, &value)) buf_printf(&out->body, "\"%s\":%s,", field, buf_text(&value));
        if (!value.len) call->end = CONDITION_WRONG_FIELD;
        if (strcmp(field, "id") == 0) has_id = 1;
        buf_free(&value);
    }
    if (call->end == CONDITION_WRONG_FIELD) {
        buf_reset(&out->body);
        write_error(call, out);
        return;
    }
    if (has_id) {
        out->body.data[out->body.len - 1] = '}';
        return;
    }
    buf_puts(&out->body, "\"id\":");
    put_field(w, call, "id", &out->body);
    buf_puts(&out->body, "}");
}

static void write_debug_error(const struct call *call, struct buf *out)
{
    const struct condition_row *row = &condition_rows[call->end];

    buf_printf(out, "\"error\":{\"code\":%d,\"message\":", row->code);
    put_message(call, out);
    if (row->subcode) buf_printf(out, ",\"subcode\":%d", row->subcode);
    buf_puts(out, "},");
}

/* debug_token speaks of a dead token in "data", with status 200; a top-level error would speak of the caller. */
static void write_debug(const struct world *w, const struct call *call, int is_valid, struct answer *out)
{
    const struct token *t = call->token;
    int is_readable = call->end != CONDITION_UNKNOWN_TOKEN && call->end != CONDITION_WRONG_HOST && t;

    out->status = 200;
    buf_puts(&out->body, "{\"data\":{");
    if (is_readable)
        buf_printf(&out->body,
                   "\"app_id\":\"" APP_ID
                   "\",\"type\":\"USER\",\"application\":\"Sandbox\",\"data_access_expires_at\":%" PRId64 ",",
                   t->issued_at_s + DATA_ACCESS_S);
    if (!is_valid) write_debug_error(call, &out->body);
    if (is_readable) buf_printf(&out->body, "\"expires_at\":%" PRId64 ",", t->expires_at_s);
    buf_printf(&out->body, "\"is_valid\":%s,", is_valid ? "true" : "false");
    if (is_valid) buf_printf(&out->body, "\"issued_at\":%" PRId64 ",", t->issued_at_s);
    buf_printf(&out->body, "\"scopes\":[%s]",
               call_is_success(call) ? "\"instagram_basic\",\"pages_show_list\",\"public_profile\"" : "");
    if (is_readable) {
        buf_puts(&out->body, ",\"user_id\":");
        answer_quote(&out->body, call_account_id(w, call));
    }
    buf_puts(&out->body, "}}");
}

static void write_new_token(struct world *w, const struct call *call, struct answer *out)
{
    char text[TOKEN_ISSUED_BYTES] = "";
    const char *given = text;
    struct token *t = call->token;

    if (call->end == CONDITION_SAME_TOKEN) {
        tokens_set_condition(t, CONDITION_SAME_TOKEN, now_s());
        t->issued_at_s = now_s();
        t->expires_at_s = t->issued_at_s + LIFETIME_S;
        t->issued++;
        given = call->text;
    } else if (call->end != CONDITION_BLANK_TOKEN &&
               !tokens_issue(w->tokens, t, host_prefix(call->host, call->text), LIFETIME_S, text)) {
        out->status = 500;
        return;
    }
    if (call->end == CONDITION_LOST_ANSWER) out->ending = ENDING_RESET;
    buf_puts(&out->body, "{\"access_token\":");
    answer_quote(&out->body, given);
    buf_printf(&out->body, ",\"token_type\":\"bearer\",\"expires_in\":%d", LIFETIME_S);
    if (call->kind == KIND_REFRESH && call->host == HOST_INSTAGRAM)
        buf_puts(&out->body, ",\"permissions\":\"instagram_business_basic,instagram_business_manage_insights\"");
    buf_puts(&out->body, "}");
}

static int is_valid_to_debug(const struct call *call)
{
    return call_is_success(call) || call->end == CONDITION_WRONG_PERMISSIONS || call->end == CONDITION_OBJECT_MISSING ||
           call->end == CONDITION_BLOCKED;
}

void graph_write(struct world *w, struct call *call, struct answer *out)
{
    answer_header(out, "facebook-api-version", "v25.0");
    write_usage(w, call, out);
    if (call->kind == KIND_INTROSPECT && call->token && is_valid_to_debug(call))
        write_debug(w, call, 1, out);
    else if (call->kind == KIND_INTROSPECT && condition_rows[call->end].code == 190 &&
             call->end != CONDITION_WRONG_CALLER)
        write_debug(w, call, 0, out);
    else if (!call_is_success(call))
        write_error(call, out);
    else if (call->kind == KIND_VALIDATE)
        write_me(w, call, out);
    else
        write_new_token(w, call, out);
}
