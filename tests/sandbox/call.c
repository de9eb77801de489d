#include "call.h"
#include "base/clock.h"
#include "token/crypto.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SLOW_MS = 2000, REFRESH_AGE_S = 24 * 3600, BASIC_BYTES_MAX = 512 };

/* How the app shows who it is. */
enum client { CLIENT_NONE, CLIENT_SECRET, CLIENT_ID, CLIENT_KEY, CLIENT_BEARER, CLIENT_BASIC };

/* Which call is which. */
static const struct route {
    enum host host;
    const char *method, *path;
    enum kind kind;
    const char *grant_type; /* NULL: none is needed */
    enum client client;
    const char *token; /* the parameter that holds the token; NULL: the Authorization header, or access_token */
} routes[] = {
    {HOST_INSTAGRAM, "GET", "/me", KIND_VALIDATE, NULL, CLIENT_NONE, NULL},
    {HOST_INSTAGRAM, "GET", "/refresh_access_token", KIND_REFRESH, "ig_refresh_token", CLIENT_NONE, NULL},
    {HOST_INSTAGRAM, "GET", "/access_token", KIND_EXCHANGE, "ig_exchange_token", CLIENT_SECRET, NULL},
    {HOST_THREADS, "GET", "/me", KIND_VALIDATE, NULL, CLIENT_NONE, NULL},
    {HOST_THREADS, "GET", "/refresh_access_token", KIND_REFRESH, "th_refresh_token", CLIENT_NONE, NULL},
    {HOST_THREADS, "GET", "/access_token", KIND_EXCHANGE, "th_exchange_token", CLIENT_SECRET, NULL},
    {HOST_FACEBOOK, "GET", "/me", KIND_VALIDATE, NULL, CLIENT_NONE, NULL},
    {HOST_FACEBOOK, "GET", "/debug_token", KIND_INTROSPECT, NULL, CLIENT_BEARER, "input_token"},
    {HOST_FACEBOOK, "GET", "/oauth/access_token", KIND_EXCHANGE, "fb_exchange_token", CLIENT_ID, "fb_exchange_token"},
    {HOST_TIKTOK, "GET", "/v2/user/info/", KIND_VALIDATE, NULL, CLIENT_NONE, NULL},
    {HOST_TIKTOK, "POST", "/v2/oauth/token/", KIND_REFRESH, "refresh_token", CLIENT_KEY, "refresh_token"},
    {HOST_X, "GET", "/2/users/me", KIND_VALIDATE, NULL, CLIENT_NONE, NULL},
    {HOST_X, "POST", "/2/oauth2/token", KIND_REFRESH, "refresh_token", CLIENT_BASIC, "refresh_token"},
};

static const struct route *route_of(const struct call *call)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (routes[i].host == call->host && strcmp(routes[i].path, call->path) == 0) return &routes[i];
    return NULL;
}

static int is_graph(const struct call *call)
{
    return call->host != HOST_COUNT && host_rows[call->host].dialect == DIALECT_GRAPH;
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

    call->path = call->req->path;
    for (int i = 0; i < HOST_COUNT; i++) {
        size_t len = strlen(host_words[i]);

        if (strncmp(path, host_words[i], len) != 0 || path[len] != '/') continue;
        call->host = (enum host)i;
        call->path = is_graph(call) ? skip_version(path + len) : path + len;
    }
}

/* What stands behind the word in the Authorization header; NULL if it is another word. */
static const char *credentials(const struct request *req, const char *word)
{
    size_t len = strlen(word);

    if (!req->authorization || strncasecmp(req->authorization, word, len) != 0) return NULL;
    return req->authorization + len;
}

static void read_call(struct call *call, const struct request *req)
{
    *call = (struct call){.req = req, .host = HOST_COUNT, .kind = KIND_OTHER};
    read_host(call);
    call->route = route_of(call);
    if (call->route) call->kind = call->route->kind;
    if (call->route && call->route->token)
        call->text = request_param(req, call->route->token);
    else
        call->text = credentials(req, "Bearer ");
    if (!call->text && (!call->route || !call->route->token)) call->text = request_param(req, "access_token");
    if (call->text && !*call->text) call->text = NULL;
}

static void find_token(struct world *w, struct call *call)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];

    if (!call->text) return;
    tokens_digest(call->text, digest);
    call->token = tokens_add(w->tokens, digest);
}

/* "id:secret" in base64 (RFC 7617). NULL if it is not that. */
static const char *basic_secret(const struct request *req, char out[BASIC_BYTES_MAX])
{
    const char *text = credentials(req, "Basic ");
    size_t len;
    char *colon;

    if (!text || !b64_decode(text, strlen(text), (unsigned char *)out, BASIC_BYTES_MAX - 1, &len)) return NULL;
    out[len] = '\0';
    colon = strchr(out, ':');
    return colon && colon != out ? colon + 1 : NULL;
}

/* The sandbox does not know any secret: only the one called "wrong" is wrong. */
static enum condition check_client(const struct call *call)
{
    enum client client = call->route->client;
    const char *id = "", *secret = request_param(call->req, "client_secret");
    char basic[BASIC_BYTES_MAX];

    if (client == CLIENT_NONE) return CONDITION_HEALTHY;
    if (client == CLIENT_ID || client == CLIENT_KEY) {
        id = request_param(call->req, client == CLIENT_ID ? "client_id" : "client_key");
        if (!id || !*id) return CONDITION_NO_CLIENT;
    }
    if (client == CLIENT_BEARER) {
        const char *caller = credentials(call->req, "Bearer ");

        if (!caller) caller = request_param(call->req, "access_token");
        if (!caller || !*caller) return CONDITION_NO_TOKEN;
        secret = strchr(caller, '|');
        if (!secret) return CONDITION_WRONG_CALLER;
        secret++;
    }
    if (client == CLIENT_BASIC) secret = basic_secret(call->req, basic);
    if (!secret || (!*secret && client != CLIENT_BEARER)) return CONDITION_NO_CLIENT;
    return !*secret || strcmp(secret, "wrong") == 0 ? CONDITION_WRONG_SECRET : CONDITION_HEALTHY;
}

/* "Require App Secret": of calls with a user's token, not of those that show the secret itself. */
static int lacks_proof(const struct world *w, const struct call *call)
{
    const char *given = request_param(call->req, "appsecret_proof");
    struct secret token = {0}, wanted = {0};
    int is_good;

    if (secret_is_empty(&w->app_secret) || call->host != HOST_FACEBOOK || call->route->client != CLIENT_NONE) return 0;
    if (!call->text) return 0;
    is_good = given && secret_put(&token, call->text, strlen(call->text), NULL) == ERR_OK &&
              crypto_hmac_hex(&w->app_secret, &token, &wanted, NULL) == ERR_OK &&
              strcmp(given, (const char *)secret_bytes(&wanted)) == 0;
    secret_free(&token);
    secret_free(&wanted);
    return !is_good;
}

/* What is wrong with the call itself, before its token is looked at; HEALTHY if nothing. */
static enum condition fault_of_request(const struct world *w, const struct call *call)
{
    const struct route *route = call->route;
    const char *grant_type = request_param(call->req, "grant_type");

    if (call->host == HOST_COUNT) return CONDITION_WRONG_PLATFORM;
    if (strcmp(call->req->method, route ? route->method : "GET") != 0) return CONDITION_WRONG_METHOD;
    if (!route) return CONDITION_WRONG_PATH;
    if (route->grant_type && (!grant_type || strcmp(grant_type, route->grant_type) != 0)) return CONDITION_WRONG_GRANT;
    if (lacks_proof(w, call)) return CONDITION_APPSECRET_PROOF;
    return check_client(call);
}

/* The fault that is on for this call; 37 and 100 have no common divisor, so that of any 100 turns exactly percent meet it, spread. */
static enum condition fault_of_world(struct world *w, const struct call *call)
{
    struct fault *f;

    if (call->host == HOST_COUNT) return CONDITION_HEALTHY;
    f = &w->faults[call->host];
    if (f->kind != KIND_COUNT && f->kind != call->kind) return CONDITION_HEALTHY;
    return f->turns++ * 37 % 100 < f->percent ? f->condition : CONDITION_HEALTHY;
}

static int gives_new_token(enum kind kind)
{
    return kind == KIND_REFRESH || kind == KIND_EXCHANGE;
}

static enum condition end_by_token(const struct call *call)
{
    const struct token *t = call->token;
    int64_t now_s = clock_now_ms() / 1000;
    enum condition c;

    if (!call->text) return CONDITION_NO_TOKEN;
    if (!t || !t->is_known) return CONDITION_UNKNOWN_TOKEN;
    if (t->host != HOST_COUNT && t->host != call->host) return CONDITION_WRONG_HOST;
    if (t->is_refresh != (call->kind == KIND_REFRESH && !is_graph(call))) return CONDITION_UNKNOWN_TOKEN;
    if (t->is_refresh && t->newest != t) return CONDITION_REFRESH_REUSED;
    c = (enum condition)t->condition;
    if (gives_new_token(call->kind) && t->refresh_condition != CONDITION_COUNT)
        c = (enum condition)t->refresh_condition;
    if (condition_rows[c].effect != EFFECT_SERVED) return c;
    if (t->expires_at_s && t->expires_at_s <= now_s) return CONDITION_EXPIRED;
    if (call->kind == KIND_REFRESH && !t->is_refresh && t->refresh_condition == CONDITION_COUNT &&
        now_s - t->issued_at_s < REFRESH_AGE_S)
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
        return call->kind == KIND_REFRESH && is_graph(call) ? call->end : CONDITION_HEALTHY;
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

    call->end = fault_of_request(w, call);
    if (condition_rows[wanted].effect != EFFECT_SERVED) call->end = wanted;
    if (call->end == CONDITION_HEALTHY) {
        call->end = end_by_token(call);
        if (condition_rows[call->end].effect == EFFECT_SERVED && wanted != CONDITION_HEALTHY) call->end = wanted;
        if (call->token) out->delay_ms = call->token->delay_ms;
        if (call->end == CONDITION_SLOW && !out->delay_ms) out->delay_ms = SLOW_MS;
    }
    call->end = effective(call);
    if (call->end == CONDITION_REFRESH_REUSED) {
        call->token->reuses++;
        tokens_revoke_family(call->token);
    }
}

static void write_answer(struct world *w, struct call *call, struct answer *out)
{
    out->status = 200;
    out->content_type = "application/json; charset=utf-8";
    if (condition_rows[call->end].effect == EFFECT_RAW)
        raw_write(w, call, out);
    else if (is_graph(call))
        graph_write(w, call, out);
    else
        rotating_write(w, call, out);
}

static void enter(struct world *w, const struct call *call)
{
    struct ledger_entry e = {.at_ms = clock_now_ms(),
                             .token = call->token,
                             .host = call->host == HOST_COUNT ? "other" : host_words[call->host],
                             .kind = (uint8_t)call->kind,
                             .outcome = (uint8_t)call->end,
                             .concurrency = (uint16_t)w->concurrency};
    const char *path = call->req->path + (call->host == HOST_COUNT ? 0 : 1 + strlen(host_words[call->host]));

    for (size_t i = 0; i < sizeof e.path - 1 && path[i]; i++)
        e.path[i] = isprint((unsigned char)path[i]) ? path[i] : '?';
    ledger_add(w->ledger, &e, call->token);
}

void call_take(struct world *w, const struct request *req, struct answer *out)
{
    struct call call;

    read_call(&call, req);
    find_token(w, &call);
    decide(w, &call, out);
    write_answer(w, &call, out);
    enter(w, &call);
}

int call_is_success(const struct call *call)
{
    return condition_rows[call->end].effect == EFFECT_SERVED && call->end != CONDITION_TOO_YOUNG;
}

const char *call_account_id(const struct world *w, const struct call *call)
{
    return call->end == CONDITION_OTHER_IDENTITY ? "17841499999999999" : tokens_account_id(w->tokens, call->token);
}

const char *call_username(const struct world *w, const struct call *call)
{
    return call->end == CONDITION_OTHER_IDENTITY ? "somebody_else" : tokens_username(w->tokens, call->token);
}
