#include "monitor.h"
#include "base/clock.h"
#include "base/log.h"
#include "sweep.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop_asked;

struct monitor {
    const struct config *cfg;
    struct service *service;
    int64_t started_at_ms, next_at_ms;
    int64_t sweeps;
    struct sweep_totals last; /* the last finished sweep */
};

static void on_stop(int signo)
{
    (void)signo;
    stop_asked = 1;
}

/* Stop signals are blocked but while sleeping and between accounts' steps: poll(2) and curl see EINTR, nothing is lost. */
static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static struct json *settings_json(const struct config *cfg)
{
    struct json *j = json_object_new();

    json_set(j, "checkIntervalSeconds", json_new_int(cfg->check_interval_ms / 1000));
    json_set(j, "batchSize", json_new_int(cfg->batch_size));
    json_set(j, "maxRetries", json_new_int(cfg->max_retries));
    json_set(j, "retryDelaySeconds", json_new_int(cfg->retry_delay_ms / 1000));
    json_set(j, "enableAutoFix", json_new_bool(cfg->enable_auto_fix));
    json_set(j, "enableAutoRefresh", json_new_bool(cfg->enable_auto_refresh));
    return j;
}

/* Statistics are not worth a failed sweep: a store that is away is said in the log and tried again next time. */
static void publish(struct monitor *m, const struct sweep_totals *running)
{
    struct json *j = json_object_new();
    struct err err = {0};
    char host[128] = "";

    gethostname(host, sizeof host - 1);
    json_set(j, "running", json_new_bool(!stop_asked));
    json_set(j, "sweeping", json_new_bool(running != NULL));
    json_set(j, "host", json_new_string(host));
    json_set(j, "pid", json_new_int(getpid()));
    json_set(j, "startedAt", json_new_date(m->started_at_ms));
    json_set(j, "updatedAt", json_new_date(clock_now_ms()));
    json_set(j, "nextSweepAt", json_new_date(running ? 0 : m->next_at_ms));
    json_set(j, "sweeps", json_new_int(m->sweeps));
    json_set(j, "currentSweep", running ? sweep_totals_json(running) : NULL);
    json_set(j, "lastSweep", m->sweeps ? sweep_totals_json(&m->last) : NULL);
    json_set(j, "settings", settings_json(m->cfg));
    if (store_meta_put(service_store(m->service), "monitor", j, &err) != ERR_OK)
        log_warn("TOKEN HEALTH", "monitor statistics were not saved", LOG_S("why", err.text));
    json_free(j);
}

static void on_progress(void *arg, const struct sweep_totals *totals)
{
    publish(arg, totals);
}

static void sweep_once(struct monitor *m)
{
    struct sweep_options options = {m->cfg->monitor_platforms, &stop_asked, on_progress, m};
    struct sweep_totals totals = {.started_at_ms = clock_now_ms()};
    struct err err = {0};

    publish(m, &totals);
    if (sweep_run(m->service, &options, &totals, &err) != ERR_OK)
        log_error("TOKEN HEALTH", "sweep cut short", LOG_S("why", err.text), LOG_I("accounts", totals.accounts));
    m->last = totals;
    m->sweeps++;
    m->next_at_ms = totals.started_at_ms + m->cfg->check_interval_ms;
    log_info("TOKEN HEALTH", "sweep done", LOG_I("accounts", totals.accounts), LOG_I("healthy", totals.healthy),
             LOG_I("broken", totals.broken), LOG_I("inconclusive", totals.inconclusive), LOG_I("fixed", totals.fixed),
             LOG_I("refreshed", totals.refreshed), LOG_I("ms", totals.finished_at_ms - totals.started_at_ms));
    publish(m, NULL);
}

static void sleep_until(int64_t mono_ms)
{
    sigset_t block, old;

    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &old);
    while (!stop_asked && clock_mono_ms() < mono_ms) {
        int64_t left_ms = mono_ms - clock_mono_ms();
        struct timespec pause = {.tv_sec = left_ms / 1000, .tv_nsec = (long)(left_ms % 1000) * 1000000};

        if (left_ms > 0) ppoll(NULL, 0, &pause, &old);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void report_index(void *arg, const char *sentence)
{
    (void)arg;
    log_warn("TOKEN HEALTH", sentence, LOG_S("store", "indexes"));
}

enum err_code monitor_run(const struct config *cfg, int once, struct err *err)
{
    struct monitor m = {.cfg = cfg, .started_at_ms = clock_now_ms()};
    struct err prepare = {0};
    enum err_code rc;

    catch_signals();
    rc = service_open(cfg, &m.service, err);
    if (rc != ERR_OK) return rc;
    log_info("TOKEN HEALTH", "monitor started", LOG_S("store", store_kind(service_store(m.service))),
             LOG_I("interval_ms", cfg->check_interval_ms), LOG_I("batch_size", cfg->batch_size));
    if (store_prepare(service_store(m.service), report_index, NULL, &prepare) != ERR_OK)
        log_warn("TOKEN HEALTH", "the store is not prepared", LOG_S("why", prepare.text));
    while (!stop_asked) {
        int64_t next_mono_ms = clock_mono_ms() + cfg->check_interval_ms;

        sweep_once(&m);
        if (once) break;
        sleep_until(next_mono_ms);
    }
    stop_asked = 1;
    publish(&m, NULL);
    log_info("TOKEN HEALTH", "monitor stopped", LOG_I("sweeps", m.sweeps));
    service_close(m.service);
    return ERR_OK;
}
