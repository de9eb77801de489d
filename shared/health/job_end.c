#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "health/job.h"
#include "health/writeback.h"
#include <stdio.h>
#include <string.h>

enum { ALARM_EVERY_MS = 60000 };

/* ---- cache ---- */

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

static void put_cache(struct job *job)
{
    struct cache *cache = job->v->parts.cache;
    const struct verdict *v = &job->result.verdict;
    struct cache_verdict entry = {
        .state = (uint8_t)v->state,
        .reason = (uint8_t)v->reason,
        .action = (uint8_t)v->action,
        .source = (uint8_t)job->result.source,
        .attempt_reason = (uint8_t)v->attempt_reason,
        .flags = (uint8_t)((job->options.fix ? CACHED_AFTER_FIX : 0) | (job->result.is_late ? CACHED_LATE : 0) |
                           (job->refresh.is_put_off ? CACHED_PUT_OFF : 0)),
        .checked_at_ms = v->checked_at_ms,
        .expires_at_ms = job->result.expires_at_ms,
        .attempted_at_ms = v->attempted_at_ms,
        /* What could not be saved answers a check, but no validation: the next one asks, and does it. */
        .token_print = job->result.store_error != ERR_OK ? 0 : cache_hash(cache, v->print),
        .workspace_hash = cache_hash_id(cache, job->account.workspace.text),
    };

    if (job->result.store_error == ERR_NOT_FOUND) /* deleted meanwhile */
        cache_drop(cache, job->key);
    else
        cache_put(cache, job->key, &entry, cache_ttl(job), job->generation);
    if (job->result.store_error == ERR_NOT_FOUND || v->state != job->before.state || v->reason != job->before.reason)
        cache_drop(cache, cache_key_workspace(cache, job->account.platform, job->account.workspace.text));
}

/* ---- events ---- */

static void tell_dry_run(const struct job *job, const char *prefix)
{
    const struct validate_result *r = &job->result;

    if (r->state_changed || r->fixed || r->refreshed)
        log_debug(prefix, "dry run: would change", LOG_S("account", job->account.id.text),
                  LOG_S("from", state_word(job->before.state)), LOG_S("to", state_word(r->verdict.state)),
                  LOG_S("reason", reason_word(r->verdict.reason)), LOG_I("fixes", r->fixed),
                  LOG_I("refresh", r->refreshed), LOG_I("needsReconnection", r->verdict.needs_reconnection));
}

static void tell_change(const struct job *job)
{
    char prefix[JOB_PREFIX_BYTES];
    const struct validate_result *r = &job->result;

    job_prefix(job, prefix);
    if (job->options.dry_run) {
        tell_dry_run(job, prefix);
        return;
    }
    if (r->state_changed)
        log_info(prefix, "state changed", LOG_S("account", job->account.id.text),
                 LOG_S("workspace", job->account.workspace.text), LOG_S("from", state_word(job->before.state)),
                 LOG_S("to", state_word(r->verdict.state)), LOG_S("reason", reason_word(r->verdict.reason)),
                 LOG_S("rule", r->verdict.rule), LOG_I("needsReconnection", r->verdict.needs_reconnection));
    if (r->fixed) log_info(prefix, "put right", LOG_S("account", job->account.id.text), LOG_I("faults", r->fixed));
}

/* A wrong key or app secret shows at every account: once a minute is enough, with the number of the others. */
void job_alarm(struct job *job, enum reason reason, const char *why)
{
    int64_t now_ms = clock_mono_ms(), *last_ms = &job->v->alarm_mono_ms[reason], *unsaid = &job->v->unsaid[reason];
    char prefix[JOB_PREFIX_BYTES];

    if (*last_ms && now_ms - *last_ms < ALARM_EVERY_MS) {
        ++*unsaid;
        return;
    }
    log_error(job_prefix(job, prefix), "the operator is needed", LOG_S("account", job->account.id.text),
              LOG_S("reason", reason_word(reason)), LOG_S("action", action_word(reason_action(reason))),
              LOG_S("why", why), LOG_I("others", *unsaid));
    *last_ms = now_ms;
    *unsaid = 0;
}

static void tell_operator(struct job *job, const struct observation *obs)
{
    if (obs->reason == REASON_UNDECRYPTABLE) job_alarm(job, obs->reason, job->intake.why);
    if (obs->reason == REASON_APP_MISCONFIGURED) job_alarm(job, obs->reason, job->asked.finding.message);
}

/* ---- store ---- */

int job_may_seal(struct job *job)
{
    const struct validator_parts *parts = &job->v->parts;

    if (key_trust_may_seal(&job->v->trust, parts->ring, parts->store, parts->providers, &job->account)) return 1;
    job_alarm(job, REASON_UNDECRYPTABLE,
              "a plain token is not sealed: the key opens none of the application's envelopes");
    return 0;
}

/* Beside the winner, what may hold a token in the clear is set aside sealed. */
static int has_loose(const struct job *job)
{
    for (int i = 0; job->asked.form && i < FIELD_COUNT; i++)
        if (job->intake.forms[i].kind == FORM_JUNK || job->intake.forms[i].kind == FORM_DAMAGED) return 1;
    return 0;
}

static int wants_seal(const struct job *job)
{
    const struct json *refresh = job->account.plain_refresh;

    return job->options.fix && (job->intake.forms[FIELD_PLAIN].kind == FORM_PLAIN || has_loose(job) ||
                                (refresh && !value_is_blank(refresh) && !value_is_envelope(refresh)));
}

static void prepare(struct job *job, const struct observation *obs, const struct moment *now, struct writeback *w)
{
    const struct form *winner = job->asked.form;

    *w = (struct writeback){
        .account = &job->account,
        .intake = &job->intake,
        .winner = winner,
        .before = &job->before,
        .after = &job->result.verdict,
        .ring = job->v->parts.ring,
        .now = *now,
        .fix = job->options.fix,
        .accepted = reason_class(obs->reason) == CLASS_ACCEPTED,
        .drop_other = winner && (job->asked.finding.reason == REASON_OK || !job->is_unsettled),
        .uses_refresh = winner && login_refresh(job->asked.login)->model == REFRESH_TOKEN,
        .refresh = &job->refresh.intake,
    };
    w->may_seal = wants_seal(job) && job_may_seal(job);
    /* What is about to be dropped unasked is at least looked at: is it an envelope that does not open? */
    while (w->fix && w->accepted && w->drop_other && intake_next(&job->account, job->v->parts.ring, &job->intake))
        ;
}

static enum err_code write_back(struct job *job, const struct observation *obs, const struct moment *now)
{
    struct validate_result *r = &job->result;
    struct writeback_effect effect = {0};
    struct patch patch = {0};
    struct writeback w;
    struct err err = {0};
    char prefix[JOB_PREFIX_BYTES];
    enum err_code rc;

    prepare(job, obs, now, &w);
    rc = writeback_build(&w, &patch, &effect, &err);
    patch.fence = job->options.fence;
    if (rc == ERR_OK && !job->options.dry_run) rc = store_update(job->v->parts.store, &job->account.id, &patch, &err);
    patch_fini(&patch);
    r->faults |= effect.found;
    if (rc == ERR_CONFLICT) {
        job_count(job, COUNT_fix_conflicts);
        return rc;
    }
    if (rc != ERR_OK) {
        job_count(job, COUNT_store_errors);
        log_warn(job_prefix(job, prefix), "the verdict could not be saved", LOG_S("account", job->account.id.text),
                 LOG_S("why", err.text));
        return rc;
    }
    memcpy(r->verdict.print, effect.print, sizeof r->verdict.print);
    r->fixed = effect.fixed;
    if (r->fixed && !job->options.dry_run) job_count(job, COUNT_fixes);
    return rc;
}

/* ---- the end ---- */

void job_give_up(struct job *job)
{
    struct validate_result *r = &job->result;

    r->verdict = job->before;
    r->source = SOURCE_STORE;
    r->expires_at_ms = job->account.expires_at_ms;
    r->store_error = ERR_CONFLICT;
    job_finish(job);
}

/* Checks of the next seconds have their answer without waiting, if anybody waited in vain; what is newer than ours stays. */
void job_end_late(struct job *job)
{
    struct validate_result *r = &job->result;
    struct cache_verdict hit;
    const struct observation obs = {.reason = REASON_TIMEOUT, .rule = "deadline", .print = job->intake.print};
    const struct moment now = moment_now();

    verdict_decide(&job->before, &obs, &now, &job->v->settings, &r->verdict);
    r->source = SOURCE_STORE;
    r->expires_at_ms = job->account.expires_at_ms;
    r->store_error = ERR_CONFLICT;
    r->is_late = 1;
    job->has_answer = 0;
    if (job->holds_flight && job->asked.form && cache_find(job->v->parts.cache, job->key, &hit) != CACHE_FRESH)
        put_cache(job);
    job_finish(job);
}

void job_settle(struct job *job, const struct observation *obs, int is_held)
{
    struct validate_result *r = &job->result;
    const struct moment now = moment_now();
    int changed = verdict_decide(&job->before, obs, &now, &job->v->settings, &r->verdict);

    if (is_held) {
        verdict_hold(&job->before, obs, &now, &r->verdict);
        changed = 0;
        job_count(job, COUNT_held);
    }
    r->source = job->has_answer ? SOURCE_PROVIDER : SOURCE_STORE;
    r->expires_at_ms = job->account.expires_at_ms;
    r->refreshed = job->refresh.is_stored || job->refresh.would_be;
    r->store_error = obs->disconnected ? ERR_OK : write_back(job, obs, &now);
    if (job->refresh.is_stored) fault_point(FAULT_concluded);
    if (r->store_error == ERR_CONFLICT) {
        /* Somebody wrote while we were asking: judge what is there now, once; then leave it to the next time. */
        if (!job->restarted++ && fence_holds(job->options.fence) && job_reload(job)) {
            job->options.force = 1;
            job_then(job, job_start);
            return;
        }
        r->verdict = job->before;
        r->source = SOURCE_STORE;
    } else {
        if (!job->options.dry_run) put_cache(job);
        if (!obs->disconnected && !is_held) tell_operator(job, obs);
    }
    /* An event is what the store has: what could not be saved is told when it can. */
    r->state_changed = changed && r->store_error == ERR_OK;
    if (r->state_changed && !job->options.dry_run) job_count(job, COUNT_state_changes);
    tell_change(job);
    job_finish(job);
}
