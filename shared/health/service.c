#include "health/service.h"
#include "base/clock.h"
#include "base/http.h"
#include "health/report.h"
#include "token/crypto.h"
#include "token/keyring.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct service {
    const struct config *cfg;
    struct store *store;
    struct cache *cache;
    struct provider_set *providers;
    struct keyring *ring;
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
    int64_t most = cfg->batch_size > cfg->responder_concurrency ? cfg->batch_size : cfg->responder_concurrency;
    struct http_options options = {
        .connect_timeout_ms = cfg->connect_timeout_ms,
        .total_timeout_ms = cfg->provider_timeout_ms,
        .max_connections = (int)most,
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
    parts = (struct validator_parts){cfg, s->store, s->cache, s->providers, s->ring, s->http};
    return validator_new(&parts, &s->validator, err);
}

enum err_code service_open(const struct config *cfg, struct service **service, struct err *err)
{
    struct service *s = calloc(1, sizeof *s);
    enum err_code rc;

    *service = NULL;
    if (!s) return err_set(err, ERR_NOMEM, NULL, "no memory for the service");
    s->cfg = cfg;
    rc = open_parts(s, err);
    if (rc == ERR_OK)
        *service = s;
    else
        service_close(s);
    return rc;
}

void service_close(struct service *s)
{
    if (!s) return;
    http_client_free(s->http);
    validator_free(s->validator);
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

/* ---- a workspace ---- */

/* The accounts of one workspace on their way through the pipeline. */
struct gathering {
    struct service *service;
    struct account *accounts;
    int count, cap;
    int out_of_memory;
    struct report_list *out; /* one report an account, in the same order */
    enum err_code store_error;
};
struct gathered {
    struct gathering *g;
    int index;
};

static int gather(void *arg, struct account *account)
{
    struct gathering *g = arg;

    if (g->count == g->cap) {
        int cap = g->cap ? 2 * g->cap : 16;
        struct account *accounts = realloc(g->accounts, (size_t)cap * sizeof *accounts);

        if (!accounts) {
            g->out_of_memory = 1;
            account_fini(account);
            return 0;
        }
        g->accounts = accounts;
        g->cap = cap;
    }
    g->accounts[g->count++] = *account;
    return 1;
}

static void gathering_fini(struct gathering *g)
{
    for (int i = 0; i < g->count; i++)
        account_fini(&g->accounts[i]);
    free(g->accounts);
}

static enum err_code load_workspace(struct gathering *g, const char *platform, const char *workspace, struct err *err)
{
    enum err_code rc =
        store_find_workspace(g->service->store, platform, workspace, LIMIT_WORKSPACE_ACCOUNTS, gather, g, err);

    if (rc == ERR_OK && g->out_of_memory) rc = err_set(err, ERR_NOMEM, workspace, "no memory for its accounts");
    if (rc == ERR_UNAVAILABLE) counter_add(g->service->cache, COUNT_store_errors, 1);
    return rc;
}

static void gathered_done(void *arg, const struct validate_result *r)
{
    struct gathered *one = arg;

    report_from_result(r, &one->g->out->items[one->index]);
    if (r->store_error != ERR_OK) one->g->store_error = r->store_error;
}

static enum err_code run_gathered(struct gathering *g, const struct validate_options *options, struct err *err)
{
    struct validator *v = g->service->validator;
    struct gathered *jobs = calloc((size_t)g->count + 1, sizeof *jobs);
    enum err_code rc = ERR_OK;

    if (!jobs) return err_set(err, ERR_NOMEM, NULL, "no memory for the accounts");
    for (int i = 0; rc == ERR_OK && i < g->count; i++)
        if (!report_push(g->out)) rc = err_set(err, ERR_NOMEM, NULL, "no memory for the answers");
    for (int i = 0; rc == ERR_OK && i < g->count; i++) {
        jobs[i] = (struct gathered){g, i};
        while (validator_active(v) >= g->service->cfg->responder_concurrency)
            validator_run(v, 1000);
        rc = validator_submit(v, &g->accounts[i], options, gathered_done, &jobs[i], err);
    }
    validator_finish(v); /* also after a failure: the jobs point into our memory */
    free(jobs);
    return rc;
}

static struct validate_options options_of(const struct config *cfg, int force)
{
    return (struct validate_options){.force = force, .fix = cfg->enable_auto_fix, .refresh = cfg->enable_auto_refresh};
}

enum err_code service_validate(struct service *service, const char *platform, const char *workspace, int force,
                               struct report_list *out, struct err *err)
{
    struct validate_options options = options_of(service->cfg, force);
    struct gathering g = {.service = service, .out = out};
    enum err_code rc = load_workspace(&g, platform, workspace, err);

    if (rc == ERR_OK) rc = run_gathered(&g, &options, err);
    gathering_fini(&g);
    return rc;
}

static int report_stored(void *arg, struct account *account)
{
    struct report_list *out = arg;
    struct account_report *report = report_push(out);

    if (report) report_from_account(account, report);
    account_fini(account);
    return report != NULL;
}

enum err_code service_status(struct service *service, const char *platform, const char *workspace,
                             struct report_list *out, struct err *err)
{
    enum err_code rc =
        store_find_workspace(service->store, platform, workspace, LIMIT_WORKSPACE_ACCOUNTS, report_stored, out, err);

    if (rc == ERR_UNAVAILABLE) counter_add(service->cache, COUNT_store_errors, 1);
    return rc;
}

/* ---- one account ---- */

static enum err_code find_account(struct service *service, const char *account_id, const char *platform,
                                  struct account *account, struct err *err)
{
    enum err_code rc = store_find_account(service->store, account_id, account, err);

    if (rc == ERR_UNAVAILABLE) counter_add(service->cache, COUNT_store_errors, 1);
    if (rc == ERR_OK && strcmp(account->platform, platform) != 0)
        rc = err_set(err, ERR_BAD_INPUT, account->id.text, "the account is not on the platform %s", platform);
    return rc;
}

enum err_code service_account_workspace(struct service *service, const char *account_id, const char *platform,
                                        char *workspace_out, struct err *err)
{
    struct account account = {0};
    enum err_code rc = find_account(service, account_id, platform, &account, err);

    /* The workspace is wanted even when the platform is another one: access comes first. */
    snprintf(workspace_out, LIMIT_ID_BYTES, "%s", account.workspace.text);
    account_fini(&account);
    return rc;
}

struct single {
    struct account_report *out;
    enum err_code store_error;
};

static void single_done(void *arg, const struct validate_result *r)
{
    struct single *one = arg;

    report_from_result(r, one->out);
    one->store_error = r->store_error;
}

enum err_code service_fix(struct service *service, const char *platform, const char *account_id,
                          struct account_report *out, struct err *err)
{
    struct validate_options options = {.force = 1, .fix = 1, .refresh = service->cfg->enable_auto_refresh};
    struct account account = {0};
    struct single one = {.out = out};
    enum err_code rc = find_account(service, account_id, platform, &account, err);

    if (rc == ERR_OK) rc = validator_submit(service->validator, &account, &options, single_done, &one, err);
    if (rc == ERR_OK) {
        validator_finish(service->validator);
        if (one.store_error == ERR_UNAVAILABLE)
            rc = err_set(err, ERR_UNAVAILABLE, account_id, "the account store cannot be reached; nothing was written");
        else if (one.store_error != ERR_OK && one.store_error != ERR_CONFLICT)
            rc = err_set(err, one.store_error, account_id, "the result could not be saved");
    }
    account_fini(&account);
    return rc;
}

enum err_code service_clear_cache(struct service *service, const char *platform, const char *account_id,
                                  struct err *err)
{
    struct account account = {0};
    enum err_code rc;

    if (!account_id) {
        cache_clear(service->cache);
        return ERR_OK;
    }
    rc = find_account(service, account_id, platform, &account, err);
    if (rc == ERR_OK) {
        cache_drop(service->cache, cache_key_account(service->cache, platform, account.id.text));
        cache_drop(service->cache, cache_key_workspace(service->cache, platform, account.workspace.text));
    }
    account_fini(&account);
    return rc;
}

/* ---- check: the hot path ---- */

static struct cache_key check_key(const struct service *s, const char *platform, const char *workspace,
                                  const char *account_id)
{
    return workspace ? cache_key_workspace(s->cache, platform, workspace)
                     : cache_key_account(s->cache, platform, account_id);
}

static int check_find(struct service *s, struct cache_key key, int stale_too, struct check_result *out)
{
    struct cache_verdict hit;
    enum cache_hit found = cache_find(s->cache, key, &hit);

    if (found == CACHE_MISS || (found == CACHE_STALE && !stale_too)) return 0;
    if (hit.state >= STATE_COUNT || hit.reason >= REASON_COUNT || hit.action >= ACTION_COUNT) return 0;
    *out = (struct check_result){
        .state = hit.state,
        .reason = hit.reason == REASON_NONE ? (enum reason)hit.attempt_reason : (enum reason)hit.reason,
        .action = hit.action,
        .checked_at_ms = hit.checked_at_ms,
        .expires_at_ms = hit.expires_at_ms,
        .workspace_hash = hit.workspace_hash,
        .source = SOURCE_CACHE,
        .stale = found == CACHE_STALE,
    };
    if (out->reason >= REASON_COUNT) out->reason = REASON_NONE;
    return 1;
}

int service_check_cached(struct service *service, const char *platform, const char *workspace, const char *account_id,
                         struct check_result *out)
{
    if (!check_find(service, check_key(service, platform, workspace, account_id), 0, out)) return 0;
    counter_add(service->cache, COUNT_cache_hits, 1);
    return 1;
}

static void check_from_report(const struct service *s, const struct account_report *r, struct check_result *out)
{
    *out = (struct check_result){
        .state = r->verdict.state,
        .reason = r->verdict.reason == REASON_NONE ? r->verdict.attempt_reason : r->verdict.reason,
        .action = r->verdict.action,
        .checked_at_ms = r->verdict.checked_at_ms,
        .expires_at_ms = r->expires_at_ms,
        .workspace_hash = cache_hash(s->cache, r->workspace),
        .source = r->source,
    };
}

static enum err_code check_account(struct service *s, const char *platform, const char *account_id,
                                   struct check_result *out, struct err *err)
{
    struct validate_options options = options_of(s->cfg, 0);
    struct account account = {0};
    struct account_report report = {0};
    struct single one = {.out = &report};
    enum err_code rc = find_account(s, account_id, platform, &account, err);

    if (rc == ERR_OK) rc = validator_submit(s->validator, &account, &options, single_done, &one, err);
    if (rc == ERR_OK) {
        validator_finish(s->validator);
        check_from_report(s, &report, out);
    }
    account_fini(&account);
    return rc;
}

/* How long an account's report still counts, as the account's own cache entry does. */
static int64_t report_ttl(const struct service *s, const struct account_report *r, int64_t now_ms)
{
    int64_t ttl_ms = s->cfg->cache_ttl_ms, age_ms = now_ms - r->verdict.checked_at_ms;

    if (r->verdict.attempt_reason != REASON_NONE) return s->cfg->cache_inconclusive_ttl_ms;
    if (r->verdict.state == STATE_DISCONNECTED) return ttl_ms;
    if (verdict_unconfirmed(&r->verdict, validator_settings(s->validator))) ttl_ms = s->cfg->confirm_interval_ms;
    if (ttl_ms > s->cfg->cache_ttl_ms) ttl_ms = s->cfg->cache_ttl_ms;
    if (age_ms > 0) ttl_ms -= age_ms;
    return ttl_ms > 1000 ? ttl_ms : 1000;
}

static void put_worst(struct service *s, const char *platform, const char *workspace, const struct report_list *list,
                      uint32_t generation, struct check_result *out)
{
    int64_t now_ms = clock_now_ms(), ttl_ms = s->cfg->cache_ttl_ms;
    const struct account_report *worst = &list->items[0];
    struct cache_verdict entry;

    for (int i = 0; i < list->count; i++) {
        const struct account_report *r = &list->items[i];
        int64_t left_ms = report_ttl(s, r, now_ms);

        if (left_ms < ttl_ms) ttl_ms = left_ms;
        if (r->verdict.state != worst->verdict.state &&
            state_worse(r->verdict.state, worst->verdict.state) == r->verdict.state)
            worst = r;
    }
    check_from_report(s, worst, out);
    out->workspace_hash = cache_hash(s->cache, workspace);
    entry = (struct cache_verdict){
        .state = (uint8_t)out->state,
        .reason = (uint8_t)worst->verdict.reason,
        .action = (uint8_t)out->action,
        .attempt_reason = (uint8_t)worst->verdict.attempt_reason,
        .checked_at_ms = out->checked_at_ms,
        .expires_at_ms = out->expires_at_ms,
        .workspace_hash = out->workspace_hash,
    };
    cache_put(s->cache, cache_key_workspace(s->cache, platform, workspace), &entry, ttl_ms, generation);
}

static enum err_code check_workspace(struct service *s, const char *platform, const char *workspace,
                                     struct check_result *out, struct err *err)
{
    struct report_list list = {0};
    uint32_t generation = cache_generation(s->cache);
    enum err_code rc = service_validate(s, platform, workspace, 0, &list, err);

    if (rc == ERR_OK && list.count == 0)
        rc = err_set(err, ERR_NOT_FOUND, NULL, "the workspace has no account on %s", platform);
    if (rc == ERR_OK) put_worst(s, platform, workspace, &list, generation, out);
    report_list_fini(&list);
    return rc;
}

enum err_code service_check(struct service *service, const char *platform, const char *workspace,
                            const char *account_id, struct check_result *out, struct err *err)
{
    struct err first = {0};
    enum err_code rc;

    if (service_check_cached(service, platform, workspace, account_id, out)) return ERR_OK;
    rc = workspace ? check_workspace(service, platform, workspace, out, &first)
                   : check_account(service, platform, account_id, out, &first);
    /* With the store away or damaged a verdict past its time is a better answer than none: an outage disconnects nobody. */
    if ((rc == ERR_UNAVAILABLE || rc == ERR_IO) &&
        check_find(service, check_key(service, platform, workspace, account_id), 1, out)) {
        counter_add(service->cache, COUNT_cache_stale, 1);
        return ERR_OK;
    }
    if (rc != ERR_OK) err_set(err, rc, first.place, "%s", first.text);
    return rc;
}
