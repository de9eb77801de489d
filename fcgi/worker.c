#include "worker.h"
#include "auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "health/watch.h"
#include "limiter.h"
#include "response.h"
#include "router.h"
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

enum { REPLAY_MS = 2000 /* of the spool, at the start */, REMIND_MS = 60000, LONG_US = 5000, SPARE_BYTES = 1 << 20 };

struct worker {
    struct service *service;
    struct gateway *gateway;
    struct auth *auth;
    struct pulse *pulse;
    int64_t remind_mono_ms; /* the next time that unchecked requests are told of */
};

static enum err_code parse_body(struct exchange *x, struct json **body)
{
    const struct request *req = x->req;
    struct err why = {0};
    size_t word = strcspn(req->content_type, "; \t");

    if (req->malformed) return err_set(&x->err, ERR_BAD_INPUT, NULL, "%s", req->malformed);
    if (req->body_too_large)
        return err_set(&x->err, ERR_TOO_LARGE, NULL, "the body is larger than %d bytes", LIMIT_REQUEST_BODY_BYTES);
    if (req->body_len == 0) return ERR_OK;
    if (word != strlen("application/json") || strncasecmp(req->content_type, "application/json", word) != 0)
        return err_set(&x->err, ERR_MEDIA_TYPE, NULL, "the body must be application/json");
    if (json_parse(req->body, req->body_len, body, &why) != ERR_OK)
        return err_set(&x->err, ERR_BAD_INPUT, NULL, "the body is not JSON: %s%s%s", why.place,
                       why.place[0] ? ": " : "", why.text);
    if (json_type(*body) != JSON_OBJECT) return err_set(&x->err, ERR_BAD_INPUT, NULL, "the body must be a JSON object");
    x->body = *body;
    return ERR_OK;
}

static enum err_code authenticate(struct worker *w, struct exchange *x)
{
    if (limiter_address(x) != ERR_OK) return x->err.code;
    x->key = auth_key_known(w->auth, x->req->authorization);
    if (!x->key && limiter_wrong_key(x) != ERR_OK) return x->err.code;
    if (!x->key) x->key = auth_key(w->auth, x->req->authorization); /* it may have been made just now */
    if (x->key) return limiter_key(x);
    limiter_failed(x);
    return err_set(&x->err, ERR_UNAUTHORIZED, NULL, "a valid API key is needed: Authorization: Bearer thk_…");
}

/* Who asks comes first: a stranger learns nothing, not even which routes there are. */
static enum err_code admit(struct worker *w, struct exchange *x, enum route_result found, const struct route *route)
{
    int is_open = found != ROUTE_NO_PATH && route->scope == 0;

    if (!is_open && authenticate(w, x) != ERR_OK) return x->err.code;
    if (x->req->malformed) return err_set(&x->err, ERR_BAD_INPUT, NULL, "%s", x->req->malformed);
    if (found == ROUTE_NO_PATH) return err_set(&x->err, ERR_NOT_FOUND, NULL, "there is no such route");
    if (found == ROUTE_BAD_PATH) return err_set(&x->err, ERR_BAD_INPUT, NULL, "the path is badly encoded or too long");
    if (found == ROUTE_NO_METHOD) return err_set(&x->err, ERR_BAD_METHOD, NULL, "this route takes %s", x->allow);
    if (is_open) return ERR_OK;
    if (!(x->key->scopes & route->scope))
        return err_set(&x->err, ERR_FORBIDDEN, NULL, "the API key does not have the scope this needs");
    if (!provider_find(service_providers(w->service), x->platform))
        return err_set(&x->err, ERR_NOT_FOUND, NULL, "there is no such platform");
    return ERR_OK;
}

static void log_request(const struct exchange *x, const struct route *route, int status, int64_t took_us)
{
    /* What web servers and supervisors ask all day long, and who asks too often. */
    if (status == 429 || (route && (route->handler == h_check || route->scope == 0) && status < 500)) {
        log_debug("TOKEN HEALTH", "request", LOG_S("route", route ? route->path : "none"), LOG_I("status", status),
                  LOG_I("us", took_us));
        return;
    }
    log_info("TOKEN HEALTH", "request", LOG_S("method", x->req->method), LOG_S("route", route ? route->path : "none"),
             LOG_I("status", status), LOG_I("us", took_us), LOG_S("key", x->key ? x->key->id : "-"),
             LOG_S("why", x->err.text[0] ? x->err.text : "-"));
}

/* Who asks for an authorization lets through what was not answered: nobody but the log would ever tell that the key or an id is missing. */
static void warn_unchecked(struct worker *w, const struct exchange *x, const struct route *route)
{
    const enum err_code code = x->err.code;
    int64_t now_ms = clock_mono_ms();

    if (!x->req->is_authorizer && !(route && route->handler == h_check)) return;
    if (code != ERR_UNAUTHORIZED && code != ERR_FORBIDDEN && code != ERR_BAD_INPUT) return;
    if (now_ms < w->remind_mono_ms) return;
    w->remind_mono_ms = now_ms + REMIND_MS;
    log_warn("TOKEN HEALTH",
             "checks are refused, so that a web server's requests pass unchecked: see the key, the account and the "
             "workspace in its configuration (an authorizer's TOKEN_HEALTH_KEY, TOKEN_HEALTH_ACCOUNT, "
             "TOKEN_HEALTH_WORKSPACE)",
             LOG_S("why", x->err.text));
}

/* The allocator keeps what a large workspace took; a worker has better use for little. Who was quick has not taken much. */
static void give_back_memory(int64_t took_us)
{
    if (took_us > LONG_US && mallinfo2().fordblks > SPARE_BYTES) malloc_trim(0);
}

static void use_settings(struct worker *w, int changed)
{
    const struct config *cfg = service_config(w->service);

    if (changed) log_setup((enum log_level)cfg->log_level, (enum log_format)cfg->log_format);
}

static void forget(struct request *req)
{
    log_request_id(NULL);
    secret_wipe(req->authorization, sizeof req->authorization);
}

static void serve(struct worker *w, struct request *req)
{
    struct exchange x = {.req = req, .service = w->service, .began_mono_ms = clock_mono_ms()};
    const struct route *route = NULL;
    struct json *body = NULL;
    int64_t start_ns = clock_mono_ns(), took_us;
    enum route_result found = router_find(req->method, req->path, &x, &route);
    int status, is_admitted;

    log_request_id(req->id);
    is_admitted = admit(w, &x, found, route) == ERR_OK;
    if (!gateway_input(w->gateway, req, is_admitted)) return forget(req);
    if (is_admitted && parse_body(&x, &body) == ERR_OK) route->handler(&x);
    status = response_send(w->gateway, &x);
    counter_add(service_cache(w->service), COUNT_http_requests, 1);
    if (status >= 400) counter_add(service_cache(w->service), COUNT_http_errors, 1);
    warn_unchecked(w, &x, route);
    took_us = (clock_mono_ns() - start_ns) / 1000;
    log_request(&x, found == ROUTE_NO_PATH ? NULL : route, status, took_us);
    json_free(body);
    forget(req);
    give_back_memory(took_us);
}

static void report_index(void *arg, const char *sentence)
{
    (void)arg;
    log_warn("TOKEN HEALTH", "an index is missing", LOG_S("why", sentence));
}

static enum err_code open_service(struct worker *w, const struct config *cfg)
{
    struct err err = {0};
    enum err_code rc = service_open(cfg, &w->service, &err);

    if (rc != ERR_OK)
        log_error("TOKEN HEALTH", "a worker cannot start", LOG_S("place", err.place), LOG_S("why", err.text));
    else
        service_replay(w->service, REPLAY_MS);
    return rc;
}

static enum err_code open_worker(struct worker *w, const struct config *cfg, int listen_fd)
{
    struct err err = {0};
    enum err_code rc = open_service(w, cfg);

    if (rc != ERR_OK) return rc;
    if (store_prepare(service_store(w->service), report_index, NULL, &err) != ERR_OK)
        log_warn("TOKEN HEALTH", "the store is not prepared", LOG_S("why", err.text));
    err_clear(&err);
    rc = auth_new(cfg->keys_file, &w->auth, &err);
    if (rc == ERR_OK) rc = gateway_new(listen_fd, w->pulse, &w->gateway, &err);
    if (rc != ERR_OK) log_error("TOKEN HEALTH", "a worker cannot start", LOG_S("why", err.text));
    return rc;
}

/* Nobody waits for an answer meanwhile. */
static void on_idle(void *arg)
{
    struct worker *w = arg;

    pulse_move(w->pulse);
    cache_refresh(service_cache(w->service));
    watch_look(service_cache(w->service), service_store(w->service), WATCH_EVERY_MS);
    use_settings(w, service_take_settings(w->service));
}

static int worker_run(const struct prefork_worker *self)
{
    struct worker w = {.pulse = self->pulse};
    int64_t answered = 0;
    static struct request req;
    enum err_code rc;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* the parent's business */
    rc = open_worker(&w, self->cfg, self->listen_fd);
    if (rc == ERR_OK) atomic_store(&w.pulse->is_open, 1);
    if (rc == ERR_OK) gateway_on_idle(w.gateway, on_idle, &w);
    if (rc == ERR_OK) use_settings(&w, service_load_settings(w.service, NULL));
    while (rc == ERR_OK && gateway_accept(w.gateway, &req)) {
        cache_refresh(service_cache(w.service));
        use_settings(&w, service_take_settings(w.service));
        serve(&w, &req);
        watch_look(service_cache(w.service), service_store(w.service), WATCH_LATEST_MS);
        pulse_count(w.pulse);
        if (++answered == self->max_requests) gateway_stop(w.gateway);
    }
    if (self->max_requests && answered >= self->max_requests)
        log_info("TOKEN HEALTH", "a worker has done its part", LOG_I("requests", answered));
    gateway_free(w.gateway);
    auth_free(w.auth);
    service_close(w.service);
    return rc == ERR_OK ? 0 : 1;
}

static int worker_try_open(const struct config *cfg)
{
    struct worker w = {0};
    enum err_code rc = open_service(&w, cfg);

    service_close(w.service);
    return rc == ERR_OK ? 0 : 1;
}

const struct prefork_program worker_program = {worker_run, worker_try_open};
