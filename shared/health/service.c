#include "health/service.h"
#include "base/fault.h"
#include "base/http.h"
#include "base/log.h"
#include "health/refresh_replay.h"
#include "health/settings.h"
#include "token/crypto.h"
#include "token/keyring.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct service {
    struct config
        live; /* the program's configuration, with the settings that are in force; secrets and texts are borrowed */
    const struct config *cfg; /* that */
    struct settings settings;
    struct store *store;
    struct cache *cache;
    struct provider_set *providers;
    struct keyring *ring;
    struct spool *spool;
    struct http_client *http;
    struct validator *validator;
};

static enum err_code open_ring(struct service *s, struct err *err)
{
    const struct config *cfg = s->cfg;
    struct keyring_key keys[1 + CONFIG_OLD_KEYS_MAX];
    struct keyring_options options = {keys, 1 + cfg->old_key_count, &cfg->encryption_global_salt, cfg->kdf_iterations};

    if (secret_is_empty(&cfg->encryption_key))
        return err_set(err, ERR_CONFIG, "[encryption] key",
                       "the application's master key is missing: set key_file, key or TOKEN_ENCRYPTION_KEY");
    keys[0] = (struct keyring_key){cfg->encryption_kid, &cfg->encryption_key};
    for (int i = 0; i < cfg->old_key_count; i++)
        keys[i + 1] = (struct keyring_key){cfg->old_keys[i].kid, &cfg->old_keys[i].key};
    return keyring_new(&options, &s->ring, err);
}

static enum err_code open_http(struct service *s, struct err *err)
{
    const struct config *cfg = s->cfg;
    struct http_options options = {
        .connect_timeout_ms = cfg->connect_timeout_ms,
        .total_timeout_ms = cfg->provider_timeout_ms,
        .max_connections = (int)cfg->responder_concurrency,
        .ca_file = cfg->ca_file[0] ? cfg->ca_file : NULL,
        .user_agent = "token-health",
    };
    enum err_code rc = cfg->sandbox_url[0] ? http_url_check(cfg->sandbox_url, err) : ERR_OK;

    return rc == ERR_OK ? http_client_new(&options, &s->http, err) : rc;
}

static enum err_code open_parts(struct service *s, struct err *err)
{
    const struct config *cfg = s->cfg;
    struct store_options store = {cfg->store_uri, cfg->store_collection, cfg->store_timeout_ms};
    struct cache_options cache = {.name = cfg->cache_name, .entries = cfg->cache_entries};
    struct validator_parts parts;
    enum err_code rc;

    if (!config_parse_mode(cfg->cache_mode, &cache.mode))
        return err_set(err, ERR_CONFIG, "[cache] mode", "not octal permissions: %s", cfg->cache_mode);
    if ((rc = crypto_init(err)) != ERR_OK) return rc;
    rc = provider_set_load(cfg->provider_directory,
                           cfg->provider_override_directory[0] ? cfg->provider_override_directory : NULL, &s->providers,
                           err);
    if (rc != ERR_OK) return rc;
    if ((rc = open_ring(s, err)) != ERR_OK) return rc;
    if ((rc = cache_open(&cache, &s->cache, err)) != ERR_OK) return rc;
    if ((rc = store_open(&store, &s->store, err)) != ERR_OK) return rc;
    if ((rc = open_http(s, err)) != ERR_OK) return rc;
    if ((rc = spool_new(cfg->spool_path, s->ring, &s->spool, err)) != ERR_OK) return rc;
    if (cfg->sandbox_url[0] && (rc = fault_arm(err)) != ERR_OK) return rc;
    parts = (struct validator_parts){cfg, s->store, s->cache, s->providers, s->ring, s->http, s->spool};
    return validator_new(&parts, &s->validator, err);
}

enum err_code service_open(const struct config *cfg, struct service **service, struct err *err)
{
    struct service *s = calloc(1, sizeof *s);
    enum err_code rc;

    *service = NULL;
    if (!s) return err_set(err, ERR_NOMEM, NULL, "no memory for the service");
    s->live = *cfg;
    s->cfg = &s->live;
    settings_init(&s->settings, &s->live);
    rc = open_parts(s, err);
    if (rc == ERR_OK)
        *service = s;
    else
        service_close(s);
    return rc;
}

enum err_code service_check_platforms(const struct config *cfg, const struct provider_set *providers, struct err *err)
{
    const char *at = cfg->monitor_platforms;

    for (at += strspn(at, " "); *at; at += strspn(at, " ")) {
        char name[LIMIT_PLATFORM_BYTES];
        size_t len = strcspn(at, " ");

        snprintf(name, sizeof name, "%.*s", (int)len, at);
        if (len >= sizeof name || !provider_find(providers, name))
            return err_set(err, ERR_CONFIG, "[monitor] platforms", "there is no provider file for the platform \"%s\"",
                           name);
        at += len;
    }
    return ERR_OK;
}

void service_close(struct service *s)
{
    if (!s) return;
    http_client_free(s->http);
    validator_free(s->validator);
    spool_free(s->spool);
    store_close(s->store);
    cache_close(s->cache);
    keyring_free(s->ring);
    provider_set_free(s->providers);
    free(s);
}

struct cache *service_cache(struct service *service)
{
    return service->cache;
}

struct store *service_store(struct service *service)
{
    return service->store;
}

struct validator *service_validator(struct service *service)
{
    return service->validator;
}

const struct provider_set *service_providers(const struct service *service)
{
    return service->providers;
}

const struct config *service_config(const struct service *service)
{
    return service->cfg;
}

const struct keyring *service_ring(const struct service *service)
{
    return service->ring;
}

struct spool *service_spool(struct service *service)
{
    return service->spool;
}

void service_replay(struct service *service, int64_t max_ms)
{
    struct err err = {0};

    if (refresh_replay(service->spool, service->store, service->ring, max_ms, NULL, &err) != ERR_OK)
        log_error("TOKEN HEALTH", "the spool cannot be read", LOG_S("spool", err.place), LOG_S("why", err.text));
}

/* ---- settings ---- */

void service_call_at_once(struct service *s, int calls)
{
    http_client_resize(s->http, calls);
}

int service_take_settings(struct service *s)
{
    return settings_take(&s->settings, s->cache, s->store);
}

int service_load_settings(struct service *s, const struct config *fresh)
{
    if (fresh) settings_rebase(&s->settings, fresh);
    return settings_load(&s->settings, s->store);
}

void service_announce_settings(struct service *s)
{
    s->settings.is_loud = 1;
}

enum err_code service_change_settings(struct service *s, const struct settings_wish *wish, struct err *err)
{
    return settings_change(&s->settings, s->cache, s->store, wish, err);
}

enum err_code service_settings(struct service *s, struct json **out, struct err *err)
{
    return settings_json(&s->settings, s->store, out, err);
}
