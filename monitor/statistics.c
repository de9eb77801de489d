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

static struct json *sweep_json(const struct totals *t, int complete)
{
    struct json *j = totals_print(t);

    json_set(j, "complete", json_new_bool(complete));
    return j;
}

static void put_process(const struct config *cfg, int64_t started_at_ms, struct json *j)
{
    char host[128] = "";

    gethostname(host, sizeof host - 1);
    json_set(j, "host", json_new_string(host));
    json_set(j, "pid", json_new_int(getpid()));
    json_set(j, "startedAt", json_new_date(started_at_ms));
    json_set(j, "settings", settings_json(cfg));
}

/* A single sweep that ended after the monitors' last one is the last one. */
static int is_newer(const struct json *last, const struct totals *ours)
{
    const char *text = json_string(json_member(last, "finishedAt"));
    int64_t finished_at_ms = 0;
    int once = 0;

    if (!ours->finished_at_ms) return 1;
    json_bool(json_member(last, "once"), &once);
    return once && text && clock_parse(text, &finished_at_ms) && finished_at_ms > ours->finished_at_ms;
}

static struct json *asked_json(const struct board_sums *sums)
{
    struct json *j = sweep_json(&sums->asked, sums->is_asked_done);

    json_set(j, "id", json_new_int(sums->asked_id));
    if (!sums->is_asked_done) json_set(j, "finishedAt", NULL);
    return j;
}

/* What came of the sweep that was asked for last stays: sweeps that come after it are others. */
static void put_asked(const struct board_sums *sums, struct json *j)
{
    const struct json *was = json_member(j, "askedSweep");
    int64_t id = 0;
    int complete = 0;

    if (json_int(json_member(was, "id"), &id) && json_bool(json_member(was, "complete"), &complete) && complete &&
        id == sums->asked_id)
        return;
    json_remove(j, "askedSweep");
    if (sums->asked_id) json_set(j, "askedSweep", asked_json(sums));
}

static void put_rota(const struct statistics *s, const struct rota *rota, struct json *j)
{
    struct json *monitors = rota_monitors(rota);
    struct board_sums sums;

    rota_sum(rota, &sums);
    json_set(j, "running", json_new_bool(json_count(monitors) > 0));
    put_process(s->cfg, s->started_at_ms, j);
    json_set(j, "sweeping", json_new_bool(sums.under_way && json_count(monitors)));
    json_set(j, "monitors", monitors);
    json_set(j, "nextSweepAt", json_new_date(sums.under_way ? 0 : rota_wall_ms(rota, sums.next_due_ms)));
    json_set(j, "sweeps", json_new_int(rota_sweeps(rota)));
    json_set(j, "slices", json_new_int(sums.slices));
    json_set(j, "currentSweep", sums.under_way ? sweep_json(&sums.now, 0) : NULL);
    put_asked(&sums, j);
    if (!is_newer(json_member(j, "lastSweep"), &sums.last)) json_set(j, "lastSweep", sweep_json(&sums.last, 1));
}

/* On top of what is stored. */
static enum err_code change(struct store *store, void (*fn)(const void *arg, struct json *j), const void *arg,
                            struct err *err)
{
    struct json *j = NULL;
    enum err_code rc = store_meta_get(store, document, &j, err);

    if (rc == ERR_NOT_FOUND) {
        err_clear(err);
        j = json_object_new();
        json_set(j, "lastSweep", NULL);
        rc = ERR_OK;
    }
    if (rc == ERR_OK) {
        fn(arg, j);
        json_set(j, "updatedAt", json_new_date(clock_now_ms()));
        rc = store_meta_put(store, document, j, err);
    }
    json_free(j);
    return rc;
}

struct told {
    const struct statistics *s;
    const struct rota *rota;
};

static void tell(const void *arg, struct json *j)
{
    const struct told *told = arg;

    put_rota(told->s, told->rota, j);
}

void statistics_init(struct statistics *s, const struct config *cfg)
{
    *s = (struct statistics){.cfg = cfg, .started_at_ms = clock_now_ms()};
}

void statistics_save(struct statistics *s, const struct rota *rota, struct store *store)
{
    const struct told told = {s, rota};
    int had_failed = s->unsaved;
    struct err err = {0};

    s->unsaved = change(store, tell, &told, &err) != ERR_OK;
    if (s->unsaved && !had_failed) log_warn("TOKEN HEALTH", "the statistics are not saved", LOG_S("why", err.text));
    if (!s->unsaved && had_failed) log_info("TOKEN HEALTH", "the statistics are saved again");
}

struct told_once {
    const struct config *cfg;
    const struct totals *totals;
    int complete;
};

static void tell_once(const void *arg, struct json *j)
{
    const struct told_once *told = arg;
    struct json *last = sweep_json(told->totals, told->complete);

    if (told->cfg->dry_run) { /* it is no sweep for anybody who waits for one */
        json_set(j, "lastDryRun", last);
        return;
    }
    json_set(last, "once", json_new_bool(1));
    json_set(j, "lastSweep", last);
    if (json_member(j, "pid")) return;
    put_process(told->cfg, told->totals->started_at_ms, j);
    json_set(j, "running", json_new_bool(0));
    json_set(j, "sweeps", json_new_int(0));
}

void statistics_save_once(const struct config *cfg, const struct totals *totals, int complete, struct store *store)
{
    const struct told_once told = {cfg, totals, complete};
    struct err err = {0};

    if (change(store, tell_once, &told, &err) != ERR_OK)
        log_warn("TOKEN HEALTH", "the statistics are not saved", LOG_S("why", err.text));
}
