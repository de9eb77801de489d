#include "sweep.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "board.h"
#include "walk.h"
#include <ctype.h>
#include <stdio.h>

enum { LOOK_MS = 200, REPLAY_MS = 30000 };

void sweep_log(const char *platform, const struct totals *t)
{
    char prefix[64];

    if (!t->accounts) return;
    snprintf(prefix, sizeof prefix, "%.31s MONITOR", platform);
    for (char *p = prefix; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    log_info(prefix, "swept", LOG_I("accounts", t->accounts), LOG_I("healthy", t->healthy), LOG_I("broken", t->broken),
             LOG_I("inconclusive", t->inconclusive), LOG_I("fixed", t->fixed), LOG_I("refreshed", t->refreshed));
}

/* Others wait for our flights in the segment that they were begun in: it is left only when none is under way. */
static void keep_cache_good(struct service *service)
{
    if (!cache_is_outdated(service_cache(service))) return;
    validator_finish(service_validator(service));
    cache_refresh(service_cache(service));
}

static enum err_code go_through(struct service *service, struct walk *w, const volatile sig_atomic_t *stop,
                                struct err *err)
{
    struct validator *v = service_validator(service);
    enum err_code rc = ERR_OK;

    while (rc == ERR_OK && walk_has_more(w) && !*stop) {
        keep_cache_good(service);
        rc = walk_on(w, err);
        notify_alive();
        validator_run(v, LOOK_MS);
    }
    if (rc != ERR_OK || *stop) walk_stop(w);
    while (walk_under_way(w)) {
        if (*stop) validator_hurry(v);
        notify_alive();
        validator_run(v, LOOK_MS);
    }
    return rc;
}

static enum err_code sweep_platform(struct service *service, const char *platform, const volatile sig_atomic_t *stop,
                                    struct totals *totals, struct err *err)
{
    struct walk_options options = {.since_ms = totals->started_at_ms};
    struct totals part = {0};
    struct walk *w = NULL;
    enum err_code rc;

    snprintf(options.platform, sizeof options.platform, "%s", platform);
    rc = walk_new(service, &options, &w, err);
    if (rc != ERR_OK) return rc;
    rc = go_through(service, w, stop, err);
    walk_totals(w, 1, &part);
    walk_free(w);
    sweep_log(platform, &part);
    totals_add(totals, &part);
    return rc;
}

enum err_code sweep_run(struct service *service, const volatile sig_atomic_t *stop, struct totals *totals,
                        int *complete, struct err *err)
{
    const struct provider_set *providers = service_providers(service);
    enum err_code rc = ERR_OK;

    *totals = (struct totals){.started_at_ms = clock_now_ms()};
    if (!service_config(service)->dry_run) service_replay(service, REPLAY_MS);
    for (size_t i = 0; rc == ERR_OK && i < provider_count(providers); i++) {
        const char *platform = provider_platform(provider_at(providers, i));

        if (board_is_chosen(service_config(service)->monitor_platforms, platform))
            rc = sweep_platform(service, platform, stop, totals, err);
    }
    totals->finished_at_ms = clock_now_ms();
    *complete = rc == ERR_OK && !*stop;
    counter_add(service_cache(service), COUNT_sweeps, *complete);
    return rc;
}
