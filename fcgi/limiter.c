#include "limiter.h"
#include "cache/rate.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60000 };

static uint64_t address_hash(const struct exchange *x, char kind)
{
    struct in6_addr address;
    char text[REMOTE_ADDR_BYTES + 8];

    if (inet_pton(AF_INET6, x->req->remote_addr, &address) == 1 && !IN6_IS_ADDR_V4MAPPED(&address)) {
        memset(address.s6_addr + 8, 0, 8);
        text[0] = kind;
        inet_ntop(AF_INET6, &address, text + 1, sizeof text - 1);
    } else {
        snprintf(text, sizeof text, "%c%s", kind, x->req->remote_addr);
    }
    return cache_hash(service_cache(x->service), text);
}

static int is_exempt(const struct exchange *x)
{
    return x->req->is_authorizer || !x->req->remote_addr[0];
}

static enum err_code refuse(struct exchange *x, int64_t wait_ms, const char *what)
{
    if (wait_ms == 0) return ERR_OK;
    x->retry_after_s = (wait_ms + SECOND_MS - 1) / SECOND_MS;
    counter_add(service_cache(x->service), COUNT_rate_refusals, 1);
    return err_set(&x->err, ERR_TOO_MANY, NULL, "too many requests %s", what);
}

enum err_code limiter_address(struct exchange *x)
{
    const struct rate rate = {service_config(x->service)->rate_per_address, SECOND_MS};

    if (rate.count == 0 || is_exempt(x)) return ERR_OK;
    return refuse(x, rate_take(service_cache(x->service), address_hash(x, 'a'), &rate), "from this address");
}

enum err_code limiter_key(struct exchange *x)
{
    const struct rate rate = {service_config(x->service)->rate_per_key, SECOND_MS};
    char text[sizeof x->key->id + 2];

    if (rate.count == 0 || x->req->is_authorizer) return ERR_OK;
    snprintf(text, sizeof text, "k%s", x->key->id);
    return refuse(x, rate_take(service_cache(x->service), cache_hash(service_cache(x->service), text), &rate),
                  "with this API key");
}

enum err_code limiter_wrong_key(struct exchange *x)
{
    const struct rate rate = {service_config(x->service)->failures_per_address, MINUTE_MS};

    if (rate.count == 0 || is_exempt(x)) return ERR_OK;
    return refuse(x, rate_wait_ms(service_cache(x->service), address_hash(x, 'f'), &rate),
                  "without a valid API key from this address");
}

void limiter_failed(struct exchange *x)
{
    const struct rate rate = {service_config(x->service)->failures_per_address, MINUTE_MS};

    counter_add(service_cache(x->service), COUNT_auth_failures, 1);
    if (rate.count && !is_exempt(x)) rate_take(service_cache(x->service), address_hash(x, 'f'), &rate);
}
