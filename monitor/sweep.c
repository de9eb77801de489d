#include "sweep.h"
#include "base/clock.h"
#include <stdio.h>
#include <string.h>

enum { PROGRESS_MS = 5000 };

struct sweep {
    struct service *service;
    const struct sweep_options *options;
    struct sweep_totals *totals;
    struct validate_options validate;
    int64_t told_mono_ms;
    enum err_code failed; /* a submit that failed inside a page */
};

static void count_result(void *arg, const struct validate_result *r)
{
    struct sweep_totals *t = arg;
    int64_t *by_state[STATE_COUNT] = {
        [STATE_UNKNOWN] = &t->unknown, [STATE_HEALTHY] = &t->healthy, [STATE_EXPIRING] = &t->expiring,
        [STATE_LIMITED] = &t->limited, [STATE_BROKEN] = &t->broken,   [STATE_DISCONNECTED] = NULL};

    t->accounts++;
    if (by_state[r->verdict.state]) ++*by_state[r->verdict.state];
    t->inconclusive += r->verdict.attempt_reason != REASON_NONE;
    t->fixed += r->fixed != 0;
    t->refreshed += r->refreshed;
    t->state_changes += r->state_changed;
    t->store_errors += r->store_error != ERR_OK && r->store_error != ERR_CONFLICT;
}

static void tell(struct sweep *s)
{
    if (!s->options->progress || clock_mono_ms() - s->told_mono_ms < PROGRESS_MS) return;
    s->told_mono_ms = clock_mono_ms();
    s->options->progress(s->options->arg, s->totals);
}

static int take_account(void *arg, struct account *account)
{
    struct sweep *s = arg;
    struct validator *v = service_validator(s->service);

    while (validator_active(v) >= service_config(s->service)->batch_size)
        validator_run(v, 1000);
    if (!*s->options->stop) s->failed = validator_submit(v, account, &s->validate, count_result, s->totals, NULL);
    account_fini(account);
    tell(s);
    return !*s->options->stop && s->failed == ERR_OK;
}

static enum err_code sweep_platform(struct sweep *s, const char *platform, struct err *err)
{
    int limit = (int)service_config(s->service)->batch_size;
    struct store_page page = {.count = limit};
    struct account_id after = {0};
    enum err_code rc = ERR_OK;

    while (rc == ERR_OK && page.count >= limit && !*s->options->stop) {
        cache_refresh(service_cache(s->service));
        page = (struct store_page){0};
        rc = store_scan(service_store(s->service), platform, after.type ? &after : NULL, limit, take_account, s, &page,
                        err);
        after = page.last;
        if (rc == ERR_OK && s->failed != ERR_OK)
            rc = err_set(err, s->failed, platform, "an account could not be taken in");
    }
    return rc;
}

static int is_chosen(const char *platforms, const char *platform)
{
    size_t len = strlen(platform);
    const char *at = platforms + strspn(platforms, " ");

    if (!*at) return 1;
    for (; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");

        if (word == len && !memcmp(at, platform, len)) return 1;
        at += word;
    }
    return 0;
}

enum err_code sweep_run(struct service *service, const struct sweep_options *options, struct sweep_totals *totals,
                        struct err *err)
{
    const struct config *cfg = service_config(service);
    const struct provider_set *providers = service_providers(service);
    struct sweep s = {.service = service, .options = options, .totals = totals};
    enum err_code rc = ERR_OK;

    memset(totals, 0, sizeof *totals);
    totals->started_at_ms = clock_now_ms();
    s.validate = (struct validate_options){.force = 1,
                                           .fix = cfg->enable_auto_fix,
                                           .refresh = cfg->enable_auto_refresh,
                                           .max_retries = (int)cfg->max_retries,
                                           .retry_delay_ms = cfg->retry_delay_ms};
    for (size_t i = 0; rc == ERR_OK && i < provider_count(providers); i++) {
        const char *platform = provider_platform(provider_at(providers, i));

        if (is_chosen(options->platforms, platform)) rc = sweep_platform(&s, platform, err);
    }
    validator_finish(service_validator(service));
    totals->finished_at_ms = clock_now_ms();
    totals->complete = rc == ERR_OK && !*options->stop;
    counter_add(service_cache(service), COUNT_sweeps, totals->complete);
    return rc;
}

struct json *sweep_totals_json(const struct sweep_totals *t)
{
    struct json *j = json_object_new();

    json_set(j, "startedAt", json_new_date(t->started_at_ms));
    json_set(j, "finishedAt", json_new_date(t->finished_at_ms));
    json_set(j, "complete", json_new_bool(t->complete));
    json_set(j, "accounts", json_new_int(t->accounts));
    json_set(j, "healthy", json_new_int(t->healthy));
    json_set(j, "expiring", json_new_int(t->expiring));
    json_set(j, "limited", json_new_int(t->limited));
    json_set(j, "broken", json_new_int(t->broken));
    json_set(j, "unknown", json_new_int(t->unknown));
    json_set(j, "inconclusive", json_new_int(t->inconclusive));
    json_set(j, "fixed", json_new_int(t->fixed));
    json_set(j, "refreshed", json_new_int(t->refreshed));
    json_set(j, "stateChanges", json_new_int(t->state_changes));
    json_set(j, "storeErrors", json_new_int(t->store_errors));
    return j;
}
