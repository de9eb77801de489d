#include "sweep.h"
#include "base/clock.h"
#include "base/log.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PROGRESS_MS = 5000, LOOK_MS = 200, AWAY_FIRST_MS = 200, AWAY_MOST_MS = 5000, REPLAY_MS = 30000 };

struct sweep {
    struct service *service;
    const struct sweep_options *options;
    struct sweep_totals *totals;
    struct validate_options validate;
    struct account_id after; /* the last account that was taken; none at first */
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

static int is_stopped(const struct sweep *s)
{
    return *s->options->stop != 0;
}

/* Moves the accounts under way on until at most ${most} are left; tells how far the sweep is. */
static void run_down_to(struct sweep *s, int64_t most)
{
    struct validator *v = service_validator(s->service);

    while (validator_active(v) > most) {
        if (is_stopped(s)) {
            validator_hurry(v);
            most = 0;
        }
        validator_run(v, LOOK_MS);
        if (s->options->progress && clock_mono_ms() - s->told_mono_ms >= PROGRESS_MS) {
            s->told_mono_ms = clock_mono_ms();
            s->options->progress(s->options->arg, s->totals);
        }
    }
}

/* Others wait for our flights in the segment that they were begun in: it is left only when none is under way. */
static void keep_cache_good(struct sweep *s)
{
    if (!cache_is_outdated(service_cache(s->service))) return;
    run_down_to(s, 0);
    cache_refresh(service_cache(s->service));
}

static int take_account(void *arg, struct account *account)
{
    struct sweep *s = arg;
    struct account_id id = account->id;

    run_down_to(s, service_config(s->service)->batch_size - 1);
    if (!is_stopped(s)) {
        s->failed =
            validator_submit(service_validator(s->service), account, &s->validate, count_result, s->totals, NULL);
        if (s->failed == ERR_OK) s->after = id;
    }
    account_fini(account);
    return !is_stopped(s) && s->failed == ERR_OK;
}

/* "instagram" → "INSTAGRAM MONITOR" */
static const char *log_prefix(const char *platform, char out[64])
{
    snprintf(out, 64, "%.31s MONITOR", platform);
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return out;
}

/* Waits in small steps, so that a signal is seen soon; accounts under way go on meanwhile. */
static void wait_for_store(struct sweep *s, const char *platform, const struct err *why, int64_t *wait_ms)
{
    int64_t end_mono_ms;
    char prefix[64];

    if (*wait_ms == 0)
        log_warn(log_prefix(platform, prefix), "the store is away; the sweep goes on when it is back",
                 LOG_S("why", why->text), LOG_I("accounts", s->totals->accounts));
    *wait_ms = *wait_ms == 0 ? AWAY_FIRST_MS : 2 * *wait_ms;
    if (*wait_ms > AWAY_MOST_MS) *wait_ms = AWAY_MOST_MS;
    end_mono_ms = clock_mono_ms() + *wait_ms;
    run_down_to(s, 0);
    while (!is_stopped(s) && clock_mono_ms() < end_mono_ms)
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS / 2 * 1000000L}, NULL);
}

static enum err_code scan_platform(struct sweep *s, const char *platform, struct err *err)
{
    int limit = (int)service_config(s->service)->batch_size;
    struct store_page page = {.count = limit};
    int64_t wait_ms = 0;
    enum err_code rc = ERR_OK;

    s->after = (struct account_id){0};
    while (rc == ERR_OK && page.count >= limit && !is_stopped(s)) {
        struct account_id from = s->after;

        page = (struct store_page){0};
        keep_cache_good(s);
        rc = store_scan(service_store(s->service), platform, from.type ? &from : NULL, limit, take_account, s, &page,
                        err);
        if (rc == ERR_OK && s->failed != ERR_OK)
            return err_set(err, s->failed, platform, "an account could not be taken in");
        if (rc == ERR_UNAVAILABLE && s->options->wait_for_store) {
            wait_for_store(s, platform, err, &wait_ms);
            err_clear(err);
            rc = ERR_OK;
            page.count = limit; /* the page is read again, from the last account taken on */
        } else if (rc == ERR_OK) {
            wait_ms = 0;
            if (!is_stopped(s)) s->after = page.last; /* beyond documents that were passed over */
        }
    }
    return rc;
}

static enum err_code sweep_platform(struct sweep *s, const char *platform, struct err *err)
{
    const struct sweep_totals before = *s->totals, *now = s->totals;
    char prefix[64];
    enum err_code rc = scan_platform(s, platform, err);

    run_down_to(s, 0);
    if (now->accounts > before.accounts)
        log_info(log_prefix(platform, prefix), "swept", LOG_I("accounts", now->accounts - before.accounts),
                 LOG_I("healthy", now->healthy - before.healthy), LOG_I("broken", now->broken - before.broken),
                 LOG_I("inconclusive", now->inconclusive - before.inconclusive),
                 LOG_I("fixed", now->fixed - before.fixed), LOG_I("refreshed", now->refreshed - before.refreshed));
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
    struct sweep s = {.service = service, .options = options, .totals = totals, .told_mono_ms = clock_mono_ms()};
    enum err_code rc = ERR_OK;

    memset(totals, 0, sizeof *totals);
    totals->started_at_ms = clock_now_ms();
    s.validate = (struct validate_options){.force = 1,
                                           .since_ms = totals->started_at_ms,
                                           .fix = cfg->enable_auto_fix,
                                           .refresh = cfg->enable_auto_refresh,
                                           .learn = 1,
                                           .max_retries = (int)cfg->max_retries,
                                           .retry_delay_ms = cfg->retry_delay_ms};
    service_replay(service, REPLAY_MS);
    for (size_t i = 0; rc == ERR_OK && i < provider_count(providers); i++) {
        const char *platform = provider_platform(provider_at(providers, i));

        if (is_chosen(options->platforms, platform)) rc = sweep_platform(&s, platform, err);
    }
    totals->finished_at_ms = clock_now_ms();
    totals->complete = rc == ERR_OK && !is_stopped(&s);
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
