#include "base/clock.h"
#include "base/log.h"
#include "health/job.h"
#include "health/writeback.h"
#include <stdio.h>
#include <string.h>

static int64_t cache_ttl(const struct job *job)
{
    const struct config *cfg = job->v->parts.cfg;
    const struct verdict *now = &job->result.verdict;
    int64_t ttl_ms = cfg->cache_ttl_ms, left_ms;

    if (now->attempt_reason != REASON_NONE) return cfg->cache_inconclusive_ttl_ms;
    if (verdict_unconfirmed(now, &job->v->settings) && ttl_ms > job->v->settings.confirm_interval_ms)
        ttl_ms = job->v->settings.confirm_interval_ms;
    left_ms = job->result.expires_at_ms ? job->result.expires_at_ms - clock_now_ms() : ttl_ms;
    if (left_ms > 0 && left_ms < ttl_ms) ttl_ms = left_ms;
    return ttl_ms > 0 ? ttl_ms : 1;
}

static void put_cache(struct job *job, uint64_t print64)
{
    struct cache *cache = job->v->parts.cache;
    const struct verdict *v = &job->result.verdict;
    struct cache_verdict entry = {
        .state = (uint8_t)v->state,
        .reason = (uint8_t)v->reason,
        .action = (uint8_t)v->action,
        .source = (uint8_t)job->result.source,
        .attempt_reason = (uint8_t)v->attempt_reason,
        .checked_at_ms = v->checked_at_ms,
        .expires_at_ms = job->result.expires_at_ms,
        .attempted_at_ms = v->attempted_at_ms,
        .token_print = print64,
        .workspace_hash = cache_hash(cache, job->account.workspace.text),
    };

    cache_put(cache, job->key, &entry, cache_ttl(job), job->generation);
    if (job->result.state_changed)
        cache_drop(cache, cache_key_workspace(cache, job->account.platform, job->account.workspace.text));
}

static void log_change(const struct job *job)
{
    char prefix[JOB_PREFIX_BYTES];
    const struct validate_result *r = &job->result;

    job_prefix(job, prefix);
    if (r->state_changed)
        log_info(prefix, "state changed", LOG_S("account", job->account.id.text),
                 LOG_S("workspace", job->account.workspace.text), LOG_S("from", state_word(job->before.state)),
                 LOG_S("to", state_word(r->verdict.state)), LOG_S("reason", reason_word(r->verdict.reason)),
                 LOG_S("rule", r->verdict.rule));
    if (r->fixed) log_info(prefix, "put right", LOG_S("account", job->account.id.text), LOG_I("faults", r->fixed));
    if (r->verdict.reason == REASON_UNDECRYPTABLE || r->verdict.attempt_reason == REASON_APP_MISCONFIGURED)
        log_error(
            prefix, "the operator is needed", LOG_S("account", job->account.id.text),
            LOG_S("reason", reason_word(r->verdict.attempt_reason ? r->verdict.attempt_reason : r->verdict.reason)),
            LOG_S("why", job->intake.why[0] ? job->intake.why : job->finding.message));
}

/* The application wrote while we were asking: judge what it wrote, once; then leave it to the next time. */
static int restart(struct job *job)
{
    char id[LIMIT_ID_BYTES];
    struct account fresh = {0};

    if (job->restarted++) return 0;
    snprintf(id, sizeof id, "%s", job->account.id.text);
    if (store_find_account(job->v->parts.store, id, &fresh, NULL) != ERR_OK) return 0;
    account_fini(&job->account);
    job->account = fresh;
    intake_fini(&job->intake);
    finding_fini(&job->finding);
    secret_free(&job->refreshed);
    job->candidate = 0;
    job->asked = 0;
    job->options.force = 1;
    job_then(job, job_start);
    return 1;
}

static enum err_code write_back(struct job *job, const struct observation *obs, char print[PRINT_BYTES])
{
    struct validate_result *r = &job->result;
    struct patch patch = {0};
    struct err err = {0};
    int fixed = 0;
    struct writeback w = {
        .account = &job->account,
        .intake = &job->intake,
        .winner = job->candidate < job->intake.count ? &job->intake.candidates[job->candidate] : NULL,
        .before = &job->before,
        .after = &r->verdict,
        .ring = job->v->parts.ring,
        .refreshed = secret_is_empty(&job->refreshed) ? NULL : &job->refreshed,
        .refreshed_expires_at_ms = job->refreshed_expires_at_ms,
        .now_ms = r->verdict.attempt_reason ? r->verdict.attempted_at_ms : r->verdict.checked_at_ms,
        .fix = job->options.fix,
        .accepted = reason_class(obs->reason) == CLASS_ACCEPTED,
    };
    enum err_code rc = writeback_build(&w, &patch, print, &fixed, &err);

    if (rc == ERR_OK) rc = store_update(job->v->parts.store, &job->account.id, &patch, &err);
    patch_fini(&patch);
    if (rc == ERR_OK) {
        r->fixed = fixed;
        r->refreshed = w.refreshed != NULL;
        if (fixed) job_count(job, COUNT_fixes);
        if (r->refreshed) job_count(job, COUNT_refreshes);
        if (w.refreshed && job->refreshed_expires_at_ms) r->expires_at_ms = job->refreshed_expires_at_ms;
    } else if (rc == ERR_CONFLICT) {
        job_count(job, COUNT_fix_conflicts);
    } else {
        char prefix[JOB_PREFIX_BYTES];

        job_count(job, COUNT_store_errors);
        log_warn(job_prefix(job, prefix), "the verdict could not be saved", LOG_S("account", job->account.id.text),
                 LOG_S("why", err.text));
    }
    return rc;
}

/* Writes, caches and reports what was learnt. */
void job_decide(struct job *job, const struct observation *obs)
{
    struct validate_result *r = &job->result;
    const struct moment now = moment_now();
    char print[PRINT_BYTES];

    r->source = SOURCE_PROVIDER;
    if (!job->asked) r->source = SOURCE_STORE;
    r->expires_at_ms = job->account.expires_at_ms;
    r->state_changed = verdict_decide(&job->before, obs, &now, &job->v->settings, &r->verdict);
    if (obs->disconnected) {
        r->state_changed = 0;
        put_cache(job, 0);
        job_finish(job);
        return;
    }
    r->store_error = write_back(job, obs, print);
    if (r->store_error == ERR_CONFLICT) {
        if (restart(job)) return;
        r->verdict = job->before;
        r->state_changed = 0;
    } else {
        snprintf(r->verdict.print, sizeof r->verdict.print, "%s", print);
        /* What could not be saved answers a check, but no validation: the next one asks, and saves. */
        put_cache(job, r->store_error == ERR_UNAVAILABLE ? 0 : cache_hash(job->v->parts.cache, print));
        if (r->state_changed) job_count(job, COUNT_state_changes);
        log_change(job);
    }
    job_finish(job);
}
