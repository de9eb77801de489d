#include "statistics.h"
#include "base/clock.h"
#include "base/log.h"
#include <unistd.h>

static const char document[] = "monitor";

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

static void put_process(const struct statistics *s, struct json *j)
{
    char host[128] = "";

    gethostname(host, sizeof host - 1);
    json_set(j, "running", json_new_bool(!s->stopped && !s->once));
    json_set(j, "sweeping", json_new_bool(s->running != NULL));
    json_set(j, "host", json_new_string(host));
    json_set(j, "pid", json_new_int(getpid()));
    json_set(j, "startedAt", json_new_date(s->started_at_ms));
    json_set(j, "nextSweepAt", json_new_date(s->running || s->stopped ? 0 : s->next_at_ms));
    json_set(j, "sweeps", json_new_int(s->sweeps));
    json_set(j, "currentSweep", s->running ? sweep_totals_json(s->running) : NULL);
    json_set(j, "settings", settings_json(s->cfg));
}

/* On top of what is stored: the last sweep of an earlier monitor stays until this one has done its own. */
static enum err_code save(const struct statistics *s, struct store *store, struct err *err)
{
    struct json *j = NULL;
    enum err_code rc = store_meta_get(store, document, &j, err);

    if (rc == ERR_NOT_FOUND) {
        err_clear(err);
        j = json_object_new();
        put_process(s, j);
        json_set(j, "lastSweep", NULL);
        rc = ERR_OK;
    }
    if (rc == ERR_OK) {
        if (!s->once) put_process(s, j);
        if (s->sweeps) json_set(j, "lastSweep", sweep_totals_json(&s->last));
        json_set(j, "updatedAt", json_new_date(clock_now_ms()));
        rc = store_meta_put(store, document, j, err);
    }
    json_free(j);
    return rc;
}

void statistics_init(struct statistics *s, const struct config *cfg, int once)
{
    *s = (struct statistics){.cfg = cfg, .once = once, .started_at_ms = clock_now_ms()};
}

void statistics_save(struct statistics *s, struct store *store)
{
    int had_failed = s->unsaved;
    struct err err = {0};

    s->unsaved = save(s, store, &err) != ERR_OK;
    if (s->unsaved && !had_failed) log_warn("TOKEN HEALTH", "the statistics are not saved", LOG_S("why", err.text));
    if (!s->unsaved && had_failed) log_info("TOKEN HEALTH", "the statistics are saved again");
}
