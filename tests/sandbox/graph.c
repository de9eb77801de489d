#include "graph.h"
#include "base/clock.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SLOW_MS = 2000, REFRESH_AGE_S = 24 * 3600 };

/* Which call is which: PATH is what stands behind host and version. */
static const struct route {
    enum host host;
    const char *path;
    enum kind kind;
    const char *grant_type; /* NULL: none is needed */
} routes[] = {
    {HOST_INSTAGRAM, "/me", KIND_VALIDATE, NULL},
    {HOST_INSTAGRAM, "/refresh_access_token", KIND_REFRESH, "ig_refresh_token"},
    {HOST_INSTAGRAM, "/access_token", KIND_EXCHANGE, "ig_exchange_token"},
    {HOST_FACEBOOK, "/me", KIND_VALIDATE, NULL},
    {HOST_FACEBOOK, "/debug_token", KIND_INTROSPECT, NULL},
    {HOST_FACEBOOK, "/oauth/access_token", KIND_EXCHANGE, "fb_exchange_token"},
};

static const struct route *route_of(const struct call *call)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (routes[i].host == call->host && strcmp(routes[i].path, call->path) == 0) return &routes[i];
    return NULL;
}

static const char *skip_version(const char *path)
{
    const char *end = path + 2;

    if (strncmp(path, "/v", 2) != 0 || !isdigit((unsigned char)*end)) return path;
    while (isdigit((unsigned char)*end) || *end == '.')
        end++;
    return *end == '/' ? end : path;
}

static void read_host(struct call *call)
{
    const char *path = call->req->path + 1;

    for (int i = 0; i < HOST_COUNT; i++) {
        size_t len = strlen(host_words[i]);

        if (strncmp(path, host_words[i], len) != 0 || path[len] != '/') continue;
        call->host = (enum host)i;
        call->is_host_known = 1;
        call->path = skip_version(path + len);
        return;
    }
    call->path = call->req->path;
}

static const char *bearer(const struct request *req)
{
    static const char word[] = "Bearer ";

    if (req->authorization && strncasecmp(req->authorization, word, sizeof word - 1) == 0)
        return req->authorization + sizeof word - 1;
    return request_param(req, "access_token");
}

static void read_call(struct call *call, const struct request *req)
{
    const struct route *route;

    *call = (struct call){.req = req, .kind = KIND_OTHER};
    read_host(call);
    call->caller = call->text = bearer(req);
    route = call->is_host_known ? route_of(call) : NULL;
    if (!route) return;
    call->kind = route->kind;
    if (call->kind == KIND_INTROSPECT) call->text = request_param(req, "input_token");
    if (call->host == HOST_FACEBOOK && call->kind == KIND_EXCHANGE)
        call->text = request_param(req, "fb_exchange_token");
    if (call->text && !*call->text) call->text = NULL;
}

enum host graph_host_of(const char *token)
{
    if (strncmp(token, "IGAA", 4) == 0 || strncmp(token, "IGQ", 3) == 0) return HOST_INSTAGRAM;
    if (strncmp(token, "EAA", 3) == 0) return HOST_FACEBOOK;
    return HOST_COUNT;
}

static void find_token(struct world *w, struct call *call)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];

    if (!call->text) return;
    tokens_digest(call->text, digest);
    call->token = tokens_add(w->tokens, digest);
}

static int is_given(const char *text)
{
    return text && *text;
}

/* What is wrong with the call itself, before its token is looked at; HEALTHY if nothing. */
static enum condition fault_of_request(const struct call *call)
{
    const struct route *route = call->is_host_known ? route_of(call) : NULL;
    const char *secret = request_param(call->req, "client_secret"), *grant_type;

    if (!call->is_host_known) return CONDITION_WRONG_PLATFORM;
    if (strcmp(call->req->method, "GET") != 0) return CONDITION_WRONG_METHOD;
    if (!route) return CONDITION_WRONG_PATH;
    grant_type = request_param(call->req, "grant_type");
    if (route->grant_type && (!grant_type || strcmp(grant_type, route->grant_type) != 0)) return CONDITION_WRONG_GRANT;
    if (call->kind == KIND_INTROSPECT) {
        if (!is_given(call->caller)) return CONDITION_NO_TOKEN;
        secret = strchr(call->caller, '|');
        if (!secret) return CONDITION_WRONG_CALLER;
        secret++;
    }
    if (call->kind == KIND_EXCHANGE && !is_given(secret)) return CONDITION_NO_CLIENT;
    if (call->kind == KIND_EXCHANGE && call->host == HOST_FACEBOOK && !is_given(request_param(call->req, "client_id")))
        return CONDITION_NO_CLIENT;
    if (call->kind != KIND_VALIDATE && secret && (!*secret || strcmp(secret, "wrong") == 0))
        return CONDITION_WRONG_SECRET;
    return CONDITION_HEALTHY;
}

/* The fault that is on for this call; 37 and 100 have no common divisor, so that of any 100 turns exactly percent meet it, spread. */
static enum condition fault_of_world(struct world *w, const struct call *call)
{
    struct fault *f = &w->faults[call->host];

    if (!call->is_host_known || (f->kind != KIND_COUNT && f->kind != call->kind)) return CONDITION_HEALTHY;
    return f->turns++ * 37 % 100 < f->percent ? f->condition : CONDITION_HEALTHY;
}

static int gives_new_token(enum kind kind)
{
    return kind == KIND_REFRESH || kind == KIND_EXCHANGE;
}

static enum condition end_by_token(const struct call *call)
{
    const struct token *t = call->token;
    enum host owner = call->text ? graph_host_of(call->text) : HOST_COUNT;
    int64_t now_s = clock_now_ms() / 1000;
    enum condition c;

    if (!call->text) return CONDITION_NO_TOKEN;
    if (owner != HOST_COUNT && owner != call->host) return CONDITION_WRONG_HOST;
    if (!t || !t->is_known) return CONDITION_UNKNOWN_TOKEN;
    c = (enum condition)t->condition;
    if (gives_new_token(call->kind) && t->refresh_condition != CONDITION_COUNT)
        c = (enum condition)t->refresh_condition;
    if (condition_rows[c].effect != EFFECT_SERVED) return c;
    if (t->expires_at_s && t->expires_at_s <= now_s) return CONDITION_EXPIRED;
    if (call->kind == KIND_REFRESH && t->refresh_condition == CONDITION_COUNT && now_s - t->issued_at_s < REFRESH_AGE_S)
        return CONDITION_TOO_YOUNG;
    return c;
}

/* What the ledger says: a twist that this kind of call does not feel is no twist. */
static enum condition effective(const struct call *call)
{
    int is_new = gives_new_token(call->kind);

    switch (call->end) {
    case CONDITION_BLANK_TOKEN:
    case CONDITION_SAME_TOKEN:
    case CONDITION_LOST_ANSWER:
        return is_new ? call->end : CONDITION_HEALTHY;
    case CONDITION_OTHER_IDENTITY:
        return is_new ? CONDITION_HEALTHY : call->end;
    case CONDITION_TOO_YOUNG:
        return call->kind == KIND_REFRESH ? call->end : CONDITION_HEALTHY;
    case CONDITION_EXPIRING:
    case CONDITION_SLOW:
        return CONDITION_HEALTHY;
    default:
        return call->end;
    }
}

static void decide(struct world *w, struct call *call, struct answer *out)
{
    enum condition wanted = fault_of_world(w, call);

    call->end = fault_of_request(call);
    if (condition_rows[wanted].effect != EFFECT_SERVED) call->end = wanted;
    if (call->end == CONDITION_HEALTHY) {
        call->end = end_by_token(call);
        if (condition_rows[call->end].effect == EFFECT_SERVED && wanted != CONDITION_HEALTHY) call->end = wanted;
        if (call->token) out->delay_ms = call->token->delay_ms;
        if (call->end == CONDITION_SLOW && !out->delay_ms) out->delay_ms = SLOW_MS;
    }
    call->end = effective(call);
}

static void enter(struct world *w, const struct call *call)
{
    struct ledger_entry e = {.at_ms = clock_now_ms(),
                             .token = call->token,
                             .host = call->is_host_known ? host_words[call->host] : "other",
                             .kind = (uint8_t)call->kind,
                             .outcome = (uint8_t)call->end,
                             .concurrency = (uint16_t)w->concurrency};
    const char *path = call->req->path + (call->is_host_known ? 1 + strlen(host_words[call->host]) : 0);

    for (size_t i = 0; i < sizeof e.path - 1 && path[i]; i++)
        e.path[i] = isprint((unsigned char)path[i]) ? path[i] : '?';
    ledger_add(w->ledger, &e, call->token);
}

void graph_take(struct world *w, const struct request *req, struct answer *out)
{
    struct call call;

    read_call(&call, req);
    find_token(w, &call);
    decide(w, &call, out);
    graph_write(w, &call, out);
    enter(w, &call);
}

int graph_is_alive(const struct token *t)
{
    return t->is_known && condition_rows[t->condition].effect == EFFECT_SERVED &&
           (!t->expires_at_s || t->expires_at_s > clock_now_ms() / 1000);
}

int graph_is_success(const struct call *call)
{
    return condition_rows[call->end].effect == EFFECT_SERVED && call->end != CONDITION_TOO_YOUNG;
}
