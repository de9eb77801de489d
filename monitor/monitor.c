#include "monitor.h"
#include "base/clock.h"
#include "base/log.h"
#include "statistics.h"
#include "sweep.h"
#include <poll.h>
#include <signal.h>
#include <time.h>

enum { SAVE_AGAIN_MS = 2000 };

static volatile sig_atomic_t stop_asked;

struct monitor {
    const struct config *cfg;
    struct service *service;
    struct statistics statistics;
    int once;
};

static void on_stop(int signo)
{
    (void)signo;
    stop_asked = 1;
}

static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static void on_progress(void *arg, const struct sweep_totals *totals)
{
    struct monitor *m = arg;

    m->statistics.running = totals;
    statistics_save(&m->statistics, service_store(m->service));
}

static enum err_code sweep_once(struct monitor *m, struct err *err)
{
    struct sweep_options options = {m->cfg->monitor_platforms, &stop_asked, !m->once, on_progress, m};
    struct sweep_totals totals = {.started_at_ms = clock_now_ms()};
    enum err_code rc;

    on_progress(m, &totals);
    rc = sweep_run(m->service, &options, &totals, err);
    log_event(rc == ERR_OK ? LOG_INFO : LOG_ERROR, "TOKEN HEALTH", totals.complete ? "sweep done" : "sweep cut short",
              (const struct log_field[]){LOG_I("accounts", totals.accounts), LOG_I("healthy", totals.healthy),
                                         LOG_I("broken", totals.broken), LOG_I("inconclusive", totals.inconclusive),
                                         LOG_I("store_errors", totals.store_errors),
                                         LOG_I("ms", totals.finished_at_ms - totals.started_at_ms),
                                         LOG_S("why", rc == ERR_OK ? "" : err->text)},
              7);
    m->statistics.running = NULL;
    m->statistics.last = totals;
    m->statistics.sweeps++;
    m->statistics.next_at_ms = m->once ? 0 : totals.started_at_ms + m->cfg->check_interval_ms;
    statistics_save(&m->statistics, service_store(m->service));
    return rc;
}

static void sleep_until(struct monitor *m, int64_t mono_ms)
{
    sigset_t block, old;
    int64_t left_ms;

    /* Blocked but while waiting: a signal that comes just before the wait ends it too. */
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &old);
    while (!stop_asked && (left_ms = mono_ms - clock_mono_ms()) > 0) {
        struct timespec pause;

        if (m->statistics.unsaved && left_ms > SAVE_AGAIN_MS) left_ms = SAVE_AGAIN_MS;
        pause = (struct timespec){.tv_sec = left_ms / 1000, .tv_nsec = (long)(left_ms % 1000) * 1000000};
        ppoll(NULL, 0, &pause, &old);
        if (m->statistics.unsaved && !stop_asked) statistics_save(&m->statistics, service_store(m->service));
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static enum err_code run_once(struct monitor *m, struct err *err)
{
    const struct sweep_totals *t = &m->statistics.last;
    enum err_code rc = sweep_once(m, err);

    if (rc != ERR_OK) return rc;
    if (!t->complete)
        return err_set(err, ERR_UNAVAILABLE, NULL, "stopped by a signal after %lld accounts", (long long)t->accounts);
    return t->store_errors == 0
               ? ERR_OK
               : err_set(err, ERR_UNAVAILABLE, NULL, "%lld verdicts could not be saved", (long long)t->store_errors);
}

static void run_until_stopped(struct monitor *m)
{
    while (!stop_asked) {
        int64_t next_mono_ms = clock_mono_ms() + m->cfg->check_interval_ms;
        struct err err = {0};

        sweep_once(m, &err);
        sleep_until(m, next_mono_ms);
    }
    m->statistics.stopped = 1;
    statistics_save(&m->statistics, service_store(m->service));
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

enum err_code monitor_run(const struct config *cfg, int once, struct err *err)
{
    struct monitor m = {.cfg = cfg, .once = once};
    struct err prepare = {0};
    enum err_code rc;

    catch_signals();
    rc = service_open(cfg, &m.service, err);
    if (rc == ERR_OK) rc = service_check_platforms(cfg, service_providers(m.service), err);
    if (rc != ERR_OK) {
        service_close(m.service);
        return rc;
    }
    log_info("TOKEN HEALTH", "monitor started", LOG_S("store", store_kind(service_store(m.service))),
             LOG_I("interval_ms", cfg->check_interval_ms), LOG_I("batch_size", cfg->batch_size));
    if (store_prepare(service_store(m.service), report_index, NULL, &prepare) != ERR_OK)
        log_warn("TOKEN HEALTH", "the store is not prepared", LOG_S("why", prepare.text));
    statistics_init(&m.statistics, cfg, once);
    if (once)
        rc = run_once(&m, err);
    else
        run_until_stopped(&m);
    log_info("TOKEN HEALTH", "monitor stopped", LOG_I("sweeps", m.statistics.sweeps));
    service_close(m.service);
    return rc;
}
