/* Store, stored tokens, cache, providers and monitor: what the open service tells. */
#include "base/clock.h"
#include "base/version.h"
#include "doctor.h"
#include "health/intake.h"
#include <string.h>

enum { SAMPLE = 5 }; /* stored tokens a platform that the key is tried on: each may cost 22 ms */

struct indexes {
    struct checkup *c;
    int missing;
};

static void report_index(void *arg, const char *sentence)
{
    struct indexes *indexes = arg;

    indexes->missing++;
    doctor_tell(indexes->c, FINDING_BAD, "indexes", sentence, "let a user who may do it make the index");
}

void doctor_store(struct checkup *c)
{
    struct store *store = service_store(c->ctl->service);
    struct indexes indexes = {.c = c};
    struct err err = {0};
    char text[256], name[128];
    int64_t start_ms = clock_mono_ms();
    enum err_code rc = store_ping(store, &err);

    snprintf(text, sizeof text, "%s answers in %lld ms", config_store_name(c->ctl->cfg, name, sizeof name),
             (long long)(clock_mono_ms() - start_ms));
    if (!doctor_result(c, "store", rc, &err, text, "see whether the database runs, and [store] uri, user and network"))
        return;
    rc = store_prepare(store, report_index, &indexes, &err);
    if (rc == ERR_OK && indexes.missing) return;
    doctor_result(c, "indexes", rc, &err, "all are there", "the database user needs readWrite on the database");
}

struct sample {
    const struct keyring *ring;
    int opened, shut;
};

static int try_account(void *arg, struct account *account)
{
    struct sample *sample = arg;
    struct intake in;

    intake_describe(account, sample->ring, &in);
    while (intake_next(account, sample->ring, &in))
        ;
    for (int i = 0; i < FIELD_COUNT; i++) {
        sample->shut += in.forms[i].is_shut;
        sample->opened += in.forms[i].kind == FORM_ENVELOPE && !in.forms[i].is_shut;
    }
    intake_fini(&in);
    account_fini(account);
    return 1;
}

/* The most common mistake in setting up: a key or salt that is not the application's. */
void doctor_tokens(struct checkup *c)
{
    struct service *service = c->ctl->service;
    struct sample sample = {.ring = service_ring(service)};
    struct store_page page;
    struct err err = {0};
    enum err_code rc = ERR_OK;
    char text[160];

    for (size_t i = 0; rc == ERR_OK && i < provider_count(service_providers(service)); i++)
        rc = store_scan(service_store(service), provider_platform(provider_at(service_providers(service), i)), NULL,
                        SAMPLE, try_account, &sample, &page, &err);
    if (rc != ERR_OK) return; /* the store's own check has said it */
    snprintf(text, sizeof text, "the key opens %d of %d stored tokens that were tried", sample.opened,
             sample.opened + sample.shut);
    if (sample.opened && sample.shut)
        doctor_tell(c, FINDING_WARN, "tokens", text,
                    "the others were sealed with another key: name it in [encryption] old_keys");
    else
        doctor_tell(c, sample.shut ? FINDING_BAD : FINDING_OK, "tokens", text,
                    "key, global_salt or kdf_iterations are not the application's: compare them with its environment");
}

void doctor_cache(struct checkup *c)
{
    int64_t used = 0, total = 0;
    char text[256];

    cache_usage(service_cache(c->ctl->service), &used, &total);
    snprintf(text, sizeof text, "/dev/shm%.100s: %lld of %lld entries are in use", c->ctl->cfg->cache_name,
             (long long)used, (long long)total);
    doctor_tell(c, used * 10 > total * 9 ? FINDING_WARN : FINDING_OK, "cache", text, "raise [cache] entries");
}

struct reach {
    struct checkup *c;
    const char *platform, *host;
};

static void reached(void *arg, const struct http_answer *answer)
{
    const struct reach *r = arg;
    char text[512];

    if (answer->outcome == HTTP_ANSWERED)
        snprintf(text, sizeof text, "%s: %s answers in %lld ms", r->platform, r->host, (long long)answer->elapsed_ms);
    else
        snprintf(text, sizeof text, "%s: %s: %s (%s)", r->platform, r->host, http_outcome_name(answer->outcome),
                 answer->detail);
    doctor_tell(r->c, answer->outcome == HTTP_ANSWERED ? FINDING_OK : FINDING_BAD, "provider", text,
                "see the network, DNS, firewall and CA certificates of this host; nobody is disconnected meanwhile");
}

static void check_reach(struct checkup *c, struct http_client *client, const struct provider *provider)
{
    struct secret none = {0};
    struct reach reach = {c, provider_platform(provider), login_host(provider_login(provider, &none))};
    struct http_request req = {.method = "GET"};
    const char *sandbox = c->ctl->cfg->sandbox_url;
    struct err err = {0};

    buf_printf(&req.url, "%s/%s/", sandbox[0] ? sandbox : "https:/", reach.host);
    if (http_start(client, &req, reached, &reach, &err) != ERR_OK)
        doctor_result(c, "provider", err.code, &err, "", NULL);
    while (http_run(client, 1000) > 0)
        ;
    http_request_fini(&req);
}

static void check_app(struct checkup *c, const char *platform)
{
    const struct config_app *app = config_app_find(c->ctl->cfg, platform);
    char text[160];

    snprintf(text, sizeof text, "%s: %s", platform, app ? "app id and secret are set" : "no app id and secret");
    doctor_tell(c, FINDING_OK, "app", text, NULL);
}

/* A name with a slip in it would be as no setting. */
static void check_names(struct checkup *c, const struct provider_set *set)
{
    const struct config *cfg = c->ctl->cfg;
    struct err err = {0};
    char text[160];

    if (service_check_platforms(cfg, set, &err) != ERR_OK)
        doctor_result(c, "platforms", err.code, &err, "", "correct the name, or add the provider file");
    for (int i = 0; i < cfg->app_count; i++) {
        if (provider_find(set, cfg->apps[i].platform)) continue;
        snprintf(text, sizeof text, "[app.%s]: there is no provider of this name", cfg->apps[i].platform);
        doctor_tell(c, FINDING_WARN, "app", text, "correct the name, or remove the section or variable");
    }
}

void doctor_providers(struct checkup *c)
{
    const struct config *cfg = c->ctl->cfg;
    const struct provider_set *set = service_providers(c->ctl->service);
    struct http_options options = {.connect_timeout_ms = cfg->connect_timeout_ms,
                                   .total_timeout_ms = cfg->provider_timeout_ms,
                                   .max_connections = 1,
                                   .ca_file = cfg->ca_file[0] ? cfg->ca_file : NULL,
                                   .user_agent = "token-health/" TOKEN_HEALTH_VERSION};
    struct http_client *client = NULL;
    struct err err = {0};

    if (cfg->sandbox_url[0])
        doctor_tell(c, FINDING_BAD, "sandbox", "provider calls go to [provider] sandbox_url",
                    "remove it: it is for tests only");
    if (http_client_new(&options, &client, &err) != ERR_OK) {
        doctor_result(c, "provider", err.code, &err, "", NULL);
        return;
    }
    check_names(c, set);
    for (size_t i = 0; i < provider_count(set); i++) {
        check_app(c, provider_platform(provider_at(set, i)));
        check_reach(c, client, provider_at(set, i));
    }
    http_client_free(client);
}

void doctor_monitor(struct checkup *c)
{
    static const char advice[] = "systemctl start token-health-monitor, or run token-health-monitor";
    struct json *monitor = NULL;
    char text[200];
    const char *updated, *finished;
    int64_t updated_ms = 0, now_ms = clock_now_ms(), interval_s = c->ctl->cfg->check_interval_ms / 1000;
    int running = 0;

    if (store_meta_get(service_store(c->ctl->service), "monitor", &monitor, NULL) != ERR_OK) {
        doctor_tell(c, FINDING_WARN, "monitor", "it has never run on this store", advice);
        return;
    }
    updated = json_string(json_member(monitor, "updatedAt"));
    finished = json_string(json_get(monitor, "lastSweep.finishedAt"));
    if (updated) clock_parse(updated, &updated_ms);
    json_bool(json_member(monitor, "running"), &running);
    json_int(json_get(monitor, "settings.checkIntervalSeconds"), &interval_s);
    snprintf(text, sizeof text, "%slast heard of %s, last sweep finished %s", running ? "" : "none runs; ",
             updated ? updated : "never", finished ? finished : "never");
    if (updated_ms > now_ms + 60000)
        doctor_tell(c, FINDING_BAD, "monitor", text,
                    "that is in the future: the clock of this host or of the monitor's is wrong");
    else
        doctor_tell(c, !running || now_ms - updated_ms > interval_s * 1000 + 60000 ? FINDING_WARN : FINDING_OK,
                    "monitor", text, advice);
    json_free(monitor);
}
