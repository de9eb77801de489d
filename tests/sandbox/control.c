#include "control.h"
#include "base/json.h"
#include "registration.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "/_sandbox/"

struct control {
    struct world *world;
    const struct request *req;
    struct json *body; /* NULL: none */
    struct answer *out;
};

int control_is(const char *path)
{
    return strncmp(path, PREFIX, strlen(PREFIX)) == 0;
}

static void refuse(struct control *c, int status, const char *place, const char *text)
{
    struct buf message = {0};

    buf_printf(&message, "%s%s%s", place ? place : "", place && *place ? ": " : "", text);
    c->out->status = status;
    buf_reset(&c->out->body);
    buf_puts(&c->out->body, "{\"error\":");
    answer_quote(&c->out->body, buf_text(&message));
    buf_puts(&c->out->body, "}");
    buf_free(&message);
}

static void post_tokens(struct control *c)
{
    struct err err = {0};

    if (json_type(c->body) != JSON_ARRAY) refuse(c, 400, NULL, "an array is needed");
    for (size_t i = 0; i < json_count(c->body) && c->out->status == 200; i++)
        if (registration_apply(c->world, json_at(c->body, i), &err) != ERR_OK)
            refuse(c, err.code == ERR_NOMEM ? 507 : 400, err.place, err.text);
}

/* A whole number from 0 to max in the body; else refused, and 0. */
static unsigned number(struct control *c, const char *name, int64_t max)
{
    int64_t n = 0;

    if (json_int(json_member(c->body, name), &n) && n >= 0 && n <= max) return (unsigned)n;
    refuse(c, 400, name, "not a good value");
    return 0;
}

/* Which of the words; count if null; else refused. */
static int word_of(struct control *c, const char *name, const char *const words[], int count)
{
    const struct json *value = json_member(c->body, name);
    const char *text = json_string(value);

    for (int i = 0; text && i < count; i++)
        if (strcmp(words[i], text) == 0) return i;
    if (value && json_type(value) != JSON_NULL) refuse(c, 400, name, "not a good value");
    return count;
}

static void post_fail(struct control *c)
{
    const struct json *condition = json_member(c->body, "condition");
    int host = word_of(c, "host", host_words, HOST_COUNT), kind = word_of(c, "kind", kind_words, KIND_COUNT);
    struct fault fault = {
        .condition = CONDITION_HEALTHY, .kind = (enum kind)kind, .percent = number(c, "percent", 100)};

    if (json_type(condition) != JSON_NULL && !condition_parse(json_string(condition), &fault.condition))
        refuse(c, 400, "condition", "not a good value");
    if (c->out->status != 200) return;
    for (int i = 0; i < HOST_COUNT; i++)
        if (host == HOST_COUNT || host == i) c->world->faults[i] = fault;
}

static void post_latency(struct control *c)
{
    unsigned ms = number(c, "ms", INT32_MAX);

    if (c->out->status == 200) c->world->latency_ms = ms;
}

static void post_usage(struct control *c)
{
    unsigned percent = number(c, "percent", 1000), minutes = number(c, "regain_minutes", INT32_MAX),
             seconds = number(c, "retry_after_s", INT32_MAX);

    if (c->out->status != 200) return;
    c->world->usage_percent = percent;
    c->world->regain_minutes = minutes;
    c->world->retry_after_s = seconds;
}

static void post_proof(struct control *c)
{
    const struct json *secret = json_member(c->body, "secret");
    const char *text = json_string(secret);

    secret_free(&c->world->app_secret);
    if (text && *text && secret_put(&c->world->app_secret, text, strlen(text), NULL) == ERR_OK) return;
    if (json_type(secret) != JSON_NULL) refuse(c, 400, "secret", "not a good value");
}

static void post_reset(struct control *c)
{
    world_reset(c->world);
}

static void delete_ledger(struct control *c)
{
    ledger_reset(c->world->ledger, c->world->tokens);
}

/* The token that the query names; NULL: refused. */
static struct token *find_token(struct control *c)
{
    const char *text = request_param(c->req, "token"), *hex = request_param(c->req, "token_sha256");
    uint8_t digest[TOKEN_DIGEST_BYTES];
    struct token *t = NULL;

    if (text)
        tokens_digest(text, digest);
    else if (!hex || !tokens_unhex(hex, digest)) {
        refuse(c, 400, NULL, "token or token_sha256 is needed");
        return NULL;
    }
    t = tokens_find(c->world->tokens, digest);
    if (!t) refuse(c, 404, NULL, "this token was never seen");
    return t;
}

/* The beginning of an object: more members can follow. */
static void print_token(struct control *c, const struct token *t)
{
    struct buf *out = &c->out->body;

    buf_puts(out, "{");
    registration_print(c->world, t, out);
    buf_printf(out, ",\"known\":%s,\"alive\":%s,\"reuses\":%" PRIu32, t->is_known ? "true" : "false",
               tokens_is_alive(t) ? "true" : "false", t->reuses);
}

static void print_token_and_newest(struct control *c, const struct token *t)
{
    print_token(c, t);
    buf_puts(&c->out->body, ",\"newest\":");
    print_token(c, tokens_newest(t));
    buf_puts(&c->out->body, "}");
}

static void get_token(struct control *c)
{
    const struct token *t = find_token(c);

    if (!t) return;
    buf_reset(&c->out->body);
    print_token_and_newest(c, t);
    buf_puts(&c->out->body, "}");
}

static void print_chain(struct control *c, const struct token *first)
{
    const char *comma = "";

    for (const struct token *t = first; t; t = t->newest == t ? NULL : t->newest) {
        buf_puts(&c->out->body, comma);
        print_token(c, t);
        buf_puts(&c->out->body, ",");
        ledger_print_counts(t->calls, &c->out->body);
        buf_puts(&c->out->body, "}");
        comma = ",";
    }
}

static void get_family(struct control *c)
{
    const struct token *t = find_token(c);
    const struct token *one = t ? t->root : NULL, *other = one && one->partner ? one->partner->root : NULL;

    if (one && !other) refuse(c, 404, NULL, "this token was never seen with a refresh token");
    if (!other) return;
    buf_reset(&c->out->body);
    buf_puts(&c->out->body, "{\"access_tokens\":[");
    print_chain(c, one->is_refresh ? other : one);
    buf_puts(&c->out->body, "],\"refresh_tokens\":[");
    print_chain(c, one->is_refresh ? one : other);
    buf_puts(&c->out->body, "]}");
}

static void print_by_token(const struct tokens *ts, struct buf *out)
{
    const char *comma = "";
    char hex[TOKEN_HEX_BYTES];

    buf_puts(out, ",\"by_token\":{");
    for (size_t i = 0; i < tokens_count(ts); i++) {
        tokens_hex(tokens_at(ts, i)->digest, hex);
        buf_printf(out, "%s\"%s\":{", comma, hex);
        ledger_print_counts(tokens_at(ts, i)->calls, out);
        buf_puts(out, "}");
        comma = ",";
    }
    buf_puts(out, "}");
}

static void get_ledger_of(struct control *c, const struct token *t)
{
    struct buf *out = &c->out->body;

    print_token_and_newest(c, t);
    buf_puts(out, ",");
    ledger_print_counts(t->calls, out);
    buf_puts(out, ",\"details\":");
    ledger_print_details(c->world->ledger, t, SIZE_MAX, out);
    buf_puts(out, "}");
}

static void get_ledger(struct control *c)
{
    const char *details = request_param(c->req, "details"), *tokens = request_param(c->req, "tokens");
    const struct token *t = NULL;
    struct buf *out = &c->out->body;

    buf_reset(out);
    if (request_param(c->req, "token") || request_param(c->req, "token_sha256")) {
        t = find_token(c);
        if (t) get_ledger_of(c, t);
        return;
    }
    buf_printf(out, "{\"concurrency\":%u,", c->world->concurrency);
    ledger_print_totals(c->world->ledger, out);
    if (!tokens || strcmp(tokens, "0") != 0) print_by_token(c->world->tokens, out);
    buf_puts(out, ",\"details\":");
    ledger_print_details(c->world->ledger, NULL, details ? strtoul(details, NULL, 10) : 0, out);
    buf_puts(out, "}");
}

static const struct control_route {
    const char *method, *path;
    void (*handle)(struct control *c);
} routes[] = {
    {"POST", "tokens", post_tokens}, {"POST", "fail", post_fail},         {"POST", "latency", post_latency},
    {"POST", "proof", post_proof},   {"POST", "usage", post_usage},       {"POST", "reset", post_reset},
    {"GET", "ledger", get_ledger},   {"DELETE", "ledger", delete_ledger}, {"GET", "token", get_token},
    {"GET", "family", get_family},
};

void control_take(struct world *w, const struct request *req, struct answer *out)
{
    struct control c = {.world = w, .req = req, .out = out};
    const char *path = req->path + strlen(PREFIX);
    struct err err = {0};
    size_t i = 0;

    out->status = 200;
    out->content_type = "application/json";
    buf_puts(&out->body, "{}");
    while (i < sizeof routes / sizeof *routes &&
           (strcmp(routes[i].path, path) != 0 || strcmp(routes[i].method, req->method) != 0))
        i++;
    if (i == sizeof routes / sizeof *routes)
        refuse(&c, 405, NULL, "there is no such call");
    else if (req->body_len && json_parse(req->body, req->body_len, &c.body, &err) != ERR_OK)
        refuse(&c, 400, err.place, err.text);
    else
        routes[i].handle(&c);
    if (out->body.failed) refuse(&c, 507, NULL, "out of memory");
    json_free(c.body);
}
