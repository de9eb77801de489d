/* What an answer means. Principle: only an answer that was understood decides anything; every doubt is inconclusive. */
#include "provider/provider_internal.h"
#include <stdio.h>
#include <string.h>

/* A hundred years, and the year 9999: what is beyond is no duration and no date, and would overflow in ms. */
static const int64_t duration_max_s = INT64_C(3155760000);
static const int64_t date_max_s = INT64_C(253402300799);
enum { APP_WAIT_S = 60 };

/** An answer, taken apart. */
struct reading {
    const struct login *login;
    enum request_kind kind;
    const struct request_spec *spec;
    const struct error_shape *errors;
    const struct http_answer *answer;
    struct json *root; /* NULL: not JSON */
    const struct json *code, *subcode, *message;
};

static void decide(struct finding *f, enum reason reason, const char *rule)
{
    f->reason = reason;
    snprintf(f->rule, sizeof f->rule, "%s", rule);
}

/* ---- fields of a success */

static int is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* An id of more than 53 bits that came as a double is not the id any more: unknown is better than wrong. */
static void take_id(const struct json *value, char *out, size_t size)
{
    int64_t n;
    const char *text = json_string(value);
    size_t len = text ? strlen(text) : 0;
    if (json_int(value, &n)) {
        snprintf(out, size, "%lld", (long long)n);
    } else if (text && len < size && len == json_string_len(value)) {
        memcpy(out, text, len + 1);
        for (; *text; text++) {
            if ((unsigned char)*text < 0x20 || *text == 0x7f) *out = '\0';
        }
    }
}

/* A name that is too long is cut at a character. */
static void take_name(const struct json *value, char *out, size_t size)
{
    const char *text = json_string(value);
    size_t len = text ? strlen(text) : 0;
    if (len >= size) {
        len = size - 1;
        while (len && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    if (len) memcpy(out, text, len);
    out[len] = '\0';
}

static int64_t take_seconds(const struct json *value, int64_t max)
{
    int64_t n = 0;
    return match_number(value, &n) && n > 0 && n <= max ? n : 0;
}

/* RFC 6749 A.12: a token is printable ASCII. What cannot be sent in a header, or would not be taken for a token where it is read
 * from an account again (health/intake.c), must not take a good one's place. */
static int is_token(const struct json *value)
{
    const char *text = json_string(value);
    size_t len = text ? json_string_len(value) : 0;
    if (len == 0 || len > LIMIT_TOKEN_BYTES || strchr("{[\"", text[0])) return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e) return 0;
    }
    return 1;
}

static int take_token(const struct json *value, struct secret *out)
{
    return is_token(value) && secret_put(out, json_string(value), json_string_len(value), NULL) == ERR_OK;
}

static int take_fields(const struct reading *r, struct finding *f)
{
    const struct json *const *fields = r->spec->success.fields;
    take_id(match_find(r->root, fields[FIELD_ACCOUNT_ID]), f->account_id, sizeof f->account_id);
    take_name(match_find(r->root, fields[FIELD_USERNAME]), f->username, sizeof f->username);
    f->expires_in_s = take_seconds(match_find(r->root, fields[FIELD_EXPIRES_IN]), duration_max_s);
    f->expires_at_s = take_seconds(match_find(r->root, fields[FIELD_EXPIRES_AT]), date_max_s);
    if (!fields[FIELD_ACCESS_TOKEN]) return 1;
    take_token(match_find(r->root, fields[FIELD_REFRESH_TOKEN]), &f->refresh_token);
    return take_token(match_find(r->root, fields[FIELD_ACCESS_TOKEN]), &f->access_token);
}

/* ---- success */

static int is_there(const struct json *value)
{
    const char *text = json_string(value);
    int64_t n;
    return text ? !is_blank(text) : match_number(value, &n) || json_type(value) == JSON_DOUBLE;
}

static int has_required(const struct reading *r)
{
    const struct json *require = r->spec->success.require;
    for (size_t i = 0; i < json_count(require); i++) {
        if (!is_there(match_find(r->root, json_at(require, i)))) return 0;
    }
    return 1;
}

/* HTTP 200 with an error object is an error, unless its code says that it is none (TikTok's "ok"). */
static int has_error(const struct reading *r)
{
    const struct json *ok = r->errors->ok_codes;
    if (!match_find(r->root, r->errors->in)) return 0;
    return !(ok && r->code && match_json(ok, r->code));
}

static int is_success(const struct reading *r)
{
    const struct success_spec *success = &r->spec->success;
    int status = r->answer->status;
    if (!r->spec->present || !r->root || has_error(r)) return 0;
    if (success->status ? !match_int(success->status, status) : status != 200) return 0;
    return match_paths(success->json, r->root) && has_required(r);
}

/* ---- rules */

/* Under a server's error, a throttle or a redirect nothing that is said about a token counts: an outage never
 * disconnects a user, and never heals one. */
static int status_decides(int status)
{
    return (status >= 200 && status < 300) || (status >= 400 && status < 500 && status != 429);
}

static int rule_matches(const struct rule *rule, const struct reading *r)
{
    if (!rule_applies(rule, r->login, r->kind)) return 0;
    if (!status_decides(r->answer->status) &&
        (reason_class(rule->reason) != CLASS_INCONCLUSIVE || rule->reason == REASON_BAD_RESPONSE))
        return 0; /* a throttle or an outage says more than "not understood" */
    return match_int(rule->status, r->answer->status) && match_json(rule->code, r->code) &&
           match_json(rule->subcode, r->subcode) && match_json(rule->message, r->message) &&
           match_paths(rule->json, r->root);
}

/* The login's own rules are tried before those of all logins. */
static const struct rule *find_rule(const struct reading *r)
{
    const struct provider *p = r->login->provider;
    for (int own = 1; own >= 0; own--) {
        for (size_t i = 0; i < p->rule_count; i++) {
            const struct rule *rule = &p->rules[i];
            if ((rule->login != NULL) == own && rule_matches(rule, r)) return rule;
        }
    }
    return NULL;
}

static void decide_built_in(const struct reading *r, struct finding *f)
{
    int status = r->answer->status;
    if (status == 429)
        decide(f, REASON_RATE_LIMITED, "status_429");
    else if (status >= 500)
        decide(f, REASON_TRANSIENT, "status_5xx");
    else if (!r->root)
        decide(f, REASON_BAD_RESPONSE, "not_json");
    else if (!status_decides(status))
        decide(f, REASON_BAD_RESPONSE, "status_other");
    else if (status < 300 && r->spec->present && !has_error(r))
        decide(f, REASON_BAD_RESPONSE, "success_incomplete");
    else
        decide(f, REASON_BAD_RESPONSE, "no_rule");
}

/* ---- the whole */

static void read_error(struct reading *r, struct finding *f)
{
    r->errors = r->spec->present ? r->spec->errors : &r->login->provider->errors;
    r->code = match_find(r->root, r->errors->code);
    r->subcode = match_find(r->root, r->errors->subcode);
    r->message = match_find(r->root, r->errors->message);
    match_number(r->code, &f->code);
    match_number(r->subcode, &f->subcode);
    if (json_string(r->message)) scrub_message(r->login, json_string(r->message), f->message, sizeof f->message);
}

static int may_have_worked(const struct reading *r)
{
    const struct json *token = match_find(r->root, r->spec->success.fields[FIELD_ACCESS_TOKEN]);
    int status = r->answer->status;

    return status >= 500 || (status >= 200 && status < 300 && (!r->root || !has_error(r) || is_token(token)));
}

/* Whose limit it is the rule says, else the header that tells the time. Where the app is limited and no time is told: a while. A time
 * beside any other answer is not meant for all. */
static void settle_wait(const struct reading *r, const struct rule *rule, struct finding *f)
{
    if (rule && rule->is_app_wide) {
        if (f->app_wait_s < f->retry_after_s) f->app_wait_s = f->retry_after_s;
        if (!f->app_wait_s) f->app_wait_s = APP_WAIT_S;
    } else if (rule || (r->answer->status != 429 && r->answer->status != 503)) {
        f->app_wait_s = 0;
    }
}

static void classify_answered(struct reading *r, struct finding *f)
{
    if (is_success(r)) {
        if (take_fields(r, f))
            decide(f, REASON_OK, "success");
        else
            decide(f, REASON_BAD_RESPONSE, "success_incomplete");
        f->may_have_worked = f->reason != REASON_OK;
        f->app_wait_s = 0;
        return;
    }
    /* An absent value can fit a test, too: a page of HTML must not. */
    const struct rule *rule = r->root ? find_rule(r) : NULL;
    if (rule)
        decide(f, rule->reason, rule->name);
    else
        decide_built_in(r, f);
    settle_wait(r, rule, f);
    f->may_have_worked = may_have_worked(r);
}

void login_classify(const struct login *l, enum request_kind kind, const struct http_answer *answer, struct finding *f)
{
    struct reading r = {.login = l, .kind = kind, .spec = &l->requests[kind], .answer = answer};
    *f = (struct finding){.usage_percent = -1, .app_usage_percent = -1};
    if (answer->outcome != HTTP_ANSWERED) {
        decide(f, answer->outcome == HTTP_TIMED_OUT ? REASON_TIMEOUT : REASON_TRANSIENT, "network");
        f->may_have_worked = answer->is_sent;
        return;
    }
    f->http_status = answer->status;
    usage_read(l->provider, answer, f);
    if (json_parse(answer->body, answer->body_len, &r.root, NULL) != ERR_OK) r.root = NULL;
    read_error(&r, f);
    classify_answered(&r, f);
    json_free(r.root);
}

void finding_fini(struct finding *f)
{
    if (!f) return;
    secret_free(&f->access_token);
    secret_free(&f->refresh_token);
}
