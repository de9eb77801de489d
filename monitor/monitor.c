#include "monitor.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "health/watch.h"
#include "statistics.h"
#include "sweep.h"
#include "token/opener.h"
#include <poll.h>
#include <signal.h>
#include <time.h>

enum {
    LOOK_MS = 200,
    SAVE_AGAIN_MS = 2000,
    SAVE_ASKED_MS = 1000,
    FOLLOW_MS = 500,
    SAVE_MS = 5000,
    SAVE_IDLE_MS = 30000
};

static volatile sig_atomic_t stop_asked, reload_asked;

struct monitor {
    const char *path;         /* of the configuration file */
    const struct config *cfg; /* the service's: with the settings that are in force */
    struct service *service;
    struct rota *rota;
    struct statistics statistics;
    int64_t sweeps; /* of which the end was told */
    int64_t saved_mono_ms;
    int64_t asked_open, asked_done; /* sweep requests: that was seen unfinished; of which the end was told */
};

static void on_stop(int signo)
{
    (void)signo;
    stop_asked = 1;
}

static void on_reload(int signo)
{
    (void)signo;
    reload_asked = 1;
}

static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop}, reload = {.sa_handler = on_reload},
                     ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &reload, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static void log_dry_run(const struct totals *t)
{
    log_info("TOKEN HEALTH", "dry run: of so many accounts this would have changed", LOG_I("accounts", t->accounts),
             LOG_I("states", t->state_changes), LOG_I("fixed", t->fixed), LOG_I("refreshed", t->refreshed));
}

static void log_sweep(const struct totals *t, const char *event, int level, const char *why)
{
    log_event(level, "TOKEN HEALTH", event,
              (const struct log_field[]){LOG_I("accounts", t->accounts), LOG_I("healthy", t->healthy),
                                         LOG_I("broken", t->broken), LOG_I("inconclusive", t->inconclusive),
                                         LOG_I("store_errors", t->store_errors),
                                         LOG_I("ms", t->finished_at_ms - t->started_at_ms), LOG_S("why", why)},
              why ? 7 : 6);
}

static void tell_asked(struct monitor *m)
{
    struct board_sums sums;

    rota_sum(m->rota, &sums);
    if (!sums.asked_id || sums.asked_id == m->asked_done) return;
    if (!sums.is_asked_done) {
        m->asked_open = sums.asked_id;
        return;
    }
    m->asked_done = sums.asked_id;
    if (m->asked_open == sums.asked_id)
        log_info("TOKEN HEALTH", "the sweep that was asked for is done", LOG_I("sweep", sums.asked_id),
                 LOG_I("accounts", sums.asked.accounts));
}

/* Sweeps of all monitors together: each of them tells of the end. */
static void tell(struct monitor *m)
{
    const int64_t sweeps = rota_sweeps(m->rota), now_ms = clock_mono_ms();
    const int64_t every_ms = m->statistics.unsaved ? SAVE_AGAIN_MS
                             : watch_version(service_cache(m->service), WATCH_SWEEP_REQUEST) != m->asked_done
                                 ? SAVE_ASKED_MS
                             : rota_is_working(m->rota) ? SAVE_MS
                                                        : SAVE_IDLE_MS;
    struct board_sums sums;

    if (sweeps > m->sweeps) {
        rota_sum(m->rota, &sums);
        log_sweep(&sums.last, "sweep done", LOG_INFO, NULL);
        notify_send("STATUS=last sweep: %lld accounts, %lld broken, %lld inconclusive", (long long)sums.last.accounts,
                    (long long)sums.last.broken, (long long)sums.last.inconclusive);
        counter_add(service_cache(m->service), COUNT_sweeps, sweeps - m->sweeps);
        m->sweeps = sweeps;
    } else if (m->saved_mono_ms && now_ms - m->saved_mono_ms < every_ms) {
        return;
    }
    m->saved_mono_ms = now_ms;
    statistics_save(&m->statistics, m->rota, service_store(m->service));
    tell_asked(m);
}

/* ---- what changes on the way ---- */

static int reload(struct monitor *m)
{
    struct config *fresh = NULL;
    struct err err = {0};
    int changed;

    reload_asked = 0;
    if (config_load(m->path, &fresh, &err) != ERR_OK) {
        log_error("TOKEN HEALTH", "the configuration is not good, and stays as it was", LOG_S("place", err.place),
                  LOG_S("why", err.text));
        return 0;
    }
    changed = service_load_settings(m->service, fresh);
    log_info("TOKEN HEALTH", "the configuration was read again", LOG_I("changed", changed));
    config_free(fresh);
    return changed;
}

static void follow(struct monitor *m)
{
    int changed = 0;

    if (reload_asked) {
        notify_send("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_mono_ns() / 1000));
        changed = reload(m);
        notify_send("READY=1");
    }
    changed |= service_take_settings(m->service);
    if (!changed) return;
    log_setup((enum log_level)m->cfg->log_level, (enum log_format)m->cfg->log_format);
    m->saved_mono_ms = 0; /* who asks what is in force is told */
}

static void sleep_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    sigset_t block, old;

    /* Blocked but while waiting: a signal that comes just before the wait ends it too. */
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGHUP);
    sigprocmask(SIG_BLOCK, &block, &old);
    if (!stop_asked && !reload_asked) ppoll(NULL, 0, &pause, &old);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static enum err_code run_once(struct monitor *m, struct err *err)
{
    struct totals t;
    int complete;
    enum err_code rc = sweep_run(m->service, &stop_asked, &t, &complete, err);

    log_sweep(&t, complete ? "sweep done" : "sweep cut short", rc == ERR_OK ? LOG_INFO : LOG_ERROR,
              rc == ERR_OK ? NULL : err->text);
    if (m->cfg->dry_run) log_dry_run(&t);
    statistics_save_once(m->cfg, &t, complete, service_store(m->service));
    if (rc != ERR_OK) return rc;
    if (!complete)
        return err_set(err, ERR_UNAVAILABLE, NULL, "stopped by a signal after %lld accounts", (long long)t.accounts);
    return t.store_errors == 0
               ? ERR_OK
               : err_set(err, ERR_UNAVAILABLE, NULL, "%lld verdicts could not be saved", (long long)t.store_errors);
}

/* Alone, without leases: who only looks must not take accounts from those who work. */
static void run_dry(struct monitor *m)
{
    while (!stop_asked) {
        const int64_t began_mono_ms = clock_mono_ms();
        struct err err = {0};

        run_once(m, &err);
        while (!stop_asked && clock_mono_ms() - began_mono_ms < m->cfg->check_interval_ms) {
            notify_alive();
            sleep_ms(FOLLOW_MS);
            watch_look(service_cache(m->service), service_store(m->service), WATCH_EVERY_MS);
            follow(m);
        }
    }
    log_info("TOKEN HEALTH", "monitor stopped");
}

static enum err_code run_until_stopped(struct monitor *m, struct err *err)
{
    enum err_code rc = rota_new(m->service, &m->rota, err);
    struct store_usage usage;

    if (rc != ERR_OK) return rc;
    statistics_init(&m->statistics, m->cfg);
    while (!stop_asked) {
        int64_t idle_ms = rota_turn(m->rota, LOOK_MS);

        notify_alive();
        follow(m);
        tell(m);
        if (idle_ms > 0) sleep_ms(idle_ms < FOLLOW_MS ? idle_ms : FOLLOW_MS);
    }
    notify_send("STOPPING=1\nSTATUS=finishing the accounts under way");
    rota_leave(m->rota);
    statistics_save(&m->statistics, m->rota, service_store(m->service));
    usage = store_usage(service_store(m->service));
    log_info("TOKEN HEALTH", "monitor stopped", LOG_I("sweeps", rota_sweeps(m->rota)),
             LOG_I("store_reads", usage.reads), LOG_I("store_writes", usage.writes));
    rota_free(m->rota);
    return ERR_OK;
}

static void report_index(void *arg, const char *sentence)
{
    (void)arg;
    log_warn("TOKEN HEALTH", sentence);
}

enum err_code monitor_check(const struct config *cfg, struct err *err)
{
    struct provider_set *providers = NULL;
    enum err_code rc;

    if (!cfg->monitor_platforms[0]) return ERR_OK;
    rc = provider_set_load(cfg->provider_directory,
                           cfg->provider_override_directory[0] ? cfg->provider_override_directory : NULL, &providers,
                           err);
    if (rc == ERR_OK) rc = service_check_platforms(cfg, providers, err);
    provider_set_free(providers);
    return rc;
}

enum err_code monitor_run(const struct config *cfg, const char *path, int once, struct err *err)
{
    struct monitor m = {.path = path};
    struct err prepare = {0};
    enum err_code rc;

    catch_signals();
    rc = service_open(cfg, &m.service, err);
    if (rc == ERR_OK) rc = service_check_platforms(cfg, service_providers(m.service), err);
    if (rc != ERR_OK) {
        service_close(m.service);
        return rc;
    }
    m.cfg = cfg = service_config(m.service);
    validator_spread(service_validator(m.service), opener_cores());
    service_announce_settings(m.service);
    if (service_load_settings(m.service, NULL))
        log_setup((enum log_level)cfg->log_level, (enum log_format)cfg->log_format);
    log_info("TOKEN HEALTH", "monitor started", LOG_S("store", store_kind(service_store(m.service))),
             LOG_I("interval_ms", cfg->check_interval_ms), LOG_I("batch_size", cfg->batch_size),
             LOG_I("dry_run", cfg->dry_run));
    if (!cfg->dry_run && store_prepare(service_store(m.service), report_index, NULL, &prepare) != ERR_OK)
        log_warn("TOKEN HEALTH", "the store is not prepared", LOG_S("why", prepare.text));
    if (!once) notify_send("READY=1\nSTATUS=checking every %lld s", (long long)cfg->check_interval_ms / 1000);
    if (cfg->dry_run && !once)
        run_dry(&m);
    else
        rc = once ? run_once(&m, err) : run_until_stopped(&m, err);
    service_close(m.service);
    return rc;
}
