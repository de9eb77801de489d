#include "health/validate.h"
#include "base/clock.h"
#include "base/log.h"
#include "health/intake.h"
#include "health/refresh.h"
#include "health/writeback.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 5 };

enum job_step { STEP_START, STEP_WAIT_FLIGHT, STEP_ASK, STEP_ASKING, STEP_WAIT_RETRY, STEP_REFRESHING, STEP_DONE };

struct job {
    struct job *next;
    struct validator *v;
    enum job_step step;
    struct account account;
    struct validate_options options;
    validate_done_fn *done;
    void *arg;

    const struct provider *provider;
    const struct login *login;
    struct cache_key key;
    uint64_t print64;
    int holds_flight;
    int64_t started_mono_ms, wake_mono_ms, give_up_mono_ms;
    uint32_t generation;
    struct intake intake;
    int candidate; /* index of the form that is judged */
    int retries, restarted;
    struct finding finding;
    int asked;
    struct secret refreshed;
    int64_t refreshed_expires_at_ms;
    struct verdict before;
    struct validate_result result;
};

struct validator {
    struct validator_parts parts;
    struct verdict_settings settings;
    struct job *jobs;
    int active;
};

static void job_answered(void *arg, const struct http_answer *answer);
static void job_refreshed(void *arg, const struct http_answer *answer);
static void job_decide(struct job *job, const struct observation *obs);

enum err_code validator_new(const struct validator_parts *parts, struct validator **v, struct err *err)
{
    *v = calloc(1, sizeof **v);
    if (!*v) return err_set(err, ERR_NOMEM, NULL, "no memory for the validator");
    (*v)->parts = *parts;
    (*v)->settings.confirmations = (int)parts->cfg->confirmations;
    (*v)->settings.confirm_interval_ms = parts->cfg->confirm_interval_ms;
    (*v)->settings.reconnect_grace_ms = parts->cfg->reconnect_grace_ms;
    return ERR_OK;
}

static void job_free(struct job *job)
{
    if (job->holds_flight) flight_release(job->v->parts.cache, job->key);
    intake_fini(&job->intake);
    finding_fini(&job->finding);
    secret_free(&job->refreshed);
    account_fini(&job->account);
    free(job);
}

void validator_free(struct validator *v)
{
    struct job *next;

    if (!v) return;
    for (struct job *job = v->jobs; job; job = next) {
        next = job->next;
        job_free(job);
    }
    free(v);
}

const struct verdict_settings *validator_settings(const struct validator *v)
{
    return &v->settings;
}

int validator_active(const struct validator *v)
{
    return v->active;
}

enum err_code validator_submit(struct validator *v, struct account *account, const struct validate_options *options,
                               validate_done_fn *done, void *arg, struct err *err)
{
    struct job *job = calloc(1, sizeof *job), **end;

    if (!job) return err_set(err, ERR_NOMEM, account->id.text, "no memory for a validation");
    job->v = v;
    job->account = *account;
    memset(account, 0, sizeof *account);
    job->options = *options;
    job->done = done;
    job->arg = arg;
    job->started_mono_ms = clock_mono_ms();
    for (end = &v->jobs; *end;)
        end = &(*end)->next;
    *end = job;
    v->active++;
    return ERR_OK;
}

/* "instagram" → "INSTAGRAM VALIDATOR" */
static const char *log_prefix(const struct job *job, char out[64])
{
    snprintf(out, 64, "%.31s VALIDATOR", job->account.platform);
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return out;
}

static void count(struct job *job, enum counter counter)
{
    counter_add(job->v->parts.cache, counter, 1);
}

/* ---- the end of a job: verdict → store → cache → event → callback ---- */

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

static void job_finish(struct job *job)
{
    struct validate_result *r = &job->result;

    if (job->holds_flight) {
        flight_release(job->v->parts.cache, job->key);
        job->holds_flight = 0;
    }
    r->account = &job->account;
    r->token_format = job->intake.token_format;
    r->has_token = job->intake.has_token;
    r->faults |= job->intake.faults;
    r->asked = job->asked;
    r->finding = &job->finding;
    count(job, COUNT_validations);
    job->step = STEP_DONE;
}

static void log_change(const struct job *job)
{
    char prefix[64];
    const struct validate_result *r = &job->result;

    log_prefix(job, prefix);
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
static int job_restart(struct job *job)
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
    job->step = STEP_START;
    return 1;
}

static enum err_code job_write(struct job *job, const struct observation *obs, char print[PRINT_BYTES])
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
        if (fixed) count(job, COUNT_fixes);
        if (r->refreshed) count(job, COUNT_refreshes);
        if (w.refreshed && job->refreshed_expires_at_ms) r->expires_at_ms = job->refreshed_expires_at_ms;
    } else if (rc == ERR_CONFLICT) {
        count(job, COUNT_fix_conflicts);
    } else {
        char prefix[64];

        count(job, COUNT_store_errors);
        log_warn(log_prefix(job, prefix), "the verdict could not be saved", LOG_S("account", job->account.id.text),
                 LOG_S("why", err.text));
    }
    return rc;
}

/* Writes, caches and reports what was learnt. */
static void job_decide(struct job *job, const struct observation *obs)
{
    struct validate_result *r = &job->result;
    int64_t now_ms = clock_now_ms();
    char print[PRINT_BYTES];

    r->source = SOURCE_PROVIDER;
    if (!job->asked) r->source = SOURCE_STORE;
    r->expires_at_ms = job->account.expires_at_ms;
    r->state_changed = verdict_decide(&job->before, obs, now_ms, &job->v->settings, &r->verdict);
    if (obs->disconnected) {
        r->state_changed = 0;
        put_cache(job, 0);
        job_finish(job);
        return;
    }
    r->store_error = job_write(job, obs, print);
    if (r->store_error == ERR_CONFLICT) {
        if (job_restart(job)) return;
        r->verdict = job->before;
        r->state_changed = 0;
    } else {
        snprintf(r->verdict.print, sizeof r->verdict.print, "%s", print);
        put_cache(job, cache_hash(job->v->parts.cache, print));
        if (r->state_changed) count(job, COUNT_state_changes);
        log_change(job);
    }
    job_finish(job);
}

/* ---- answers ---- */

static void observe(const struct job *job, enum reason reason, const char *rule, struct observation *obs)
{
    memset(obs, 0, sizeof *obs);
    obs->reason = reason;
    obs->rule = rule;
    obs->print = job->intake.print;
    obs->expires_at_ms = job->account.expires_at_ms;
}

static void conclude(struct job *job)
{
    struct observation obs;
    const struct finding *f = &job->finding;

    observe(job, f->reason, f->rule, &obs);
    if (reason_class(f->reason) == CLASS_ACCEPTED && f->account_id[0] && job->account.provider_account_id[0] &&
        strcmp(f->account_id, job->account.provider_account_id) != 0) {
        obs.reason = REASON_IDENTITY_MISMATCH;
        obs.rule = "identity";
    }
    if (reason_class(obs.reason) == CLASS_ACCEPTED && secret_is_empty(&job->refreshed))
        obs.expiring = job->options.refresh &&
                       refresh_is_late(login_refresh(job->login), job->account.expires_at_ms, clock_now_ms());
    job_decide(job, &obs);
}

static enum err_code start_call(struct job *job, enum request_kind kind, http_done_fn *done, struct err *err)
{
    const struct validator_parts *parts = &job->v->parts;
    const struct config_app *app = config_app_find(parts->cfg, login_app(job->login));
    struct request_input in = {
        .access_token = &job->intake.candidates[job->candidate].token,
        .app_id = app ? app->id : NULL,
        .app_secret = app ? &app->secret : NULL,
        .sandbox_url = parts->cfg->sandbox_url,
    };
    struct http_request req = {0};
    enum err_code rc = login_build_request(job->login, kind, &in, &req, err);

    if (rc == ERR_OK) rc = http_start(parts->http, &req, done, job, err);
    if (rc == ERR_OK) count(job, COUNT_provider_calls);
    http_request_fini(&req);
    return rc;
}

static int start_refresh(struct job *job)
{
    const struct refresh_policy *policy = login_refresh(job->login);
    uint64_t spread = cache_hash(job->v->parts.cache, job->account.id.text);
    struct err err = {0};

    if (!job->options.refresh || job->finding.reason != REASON_OK) return 0;
    if (!refresh_is_due(policy, job->account.expires_at_ms, job->before.token_since_ms, spread, clock_now_ms()))
        return 0;
    if (start_call(job, REQUEST_REFRESH, job_refreshed, &err) != ERR_OK) {
        char prefix[64];

        count(job, COUNT_refresh_failures);
        log_warn(log_prefix(job, prefix), "no refresh", LOG_S("account", job->account.id.text), LOG_S("why", err.text));
        return 0;
    }
    job->step = STEP_REFRESHING;
    return 1;
}

static void job_refreshed(void *arg, const struct http_answer *answer)
{
    struct job *job = arg;
    struct finding f = {0};
    char prefix[64];

    login_classify(job->login, REQUEST_REFRESH, answer, &f);
    if (f.reason == REASON_OK && !secret_is_empty(&f.access_token)) {
        secret_move(&job->refreshed, &f.access_token);
        if (f.expires_in_s > 0) job->refreshed_expires_at_ms = clock_now_ms() + f.expires_in_s * 1000;
    } else {
        /* Refusing a refresh is no verdict on the access token (PROVIDERS.md). */
        count(job, COUNT_refresh_failures);
        log_warn(log_prefix(job, prefix), "refresh failed", LOG_S("account", job->account.id.text),
                 LOG_S("reason", reason_word(f.reason)), LOG_S("rule", f.rule), LOG_S("message", f.message));
    }
    finding_fini(&f);
    conclude(job);
}

static int should_retry(const struct job *job)
{
    enum reason reason = job->finding.reason;

    return job->retries < job->options.max_retries &&
           (reason == REASON_TRANSIENT || reason == REASON_TIMEOUT || reason == REASON_BAD_RESPONSE);
}

static void job_answered(void *arg, const struct http_answer *answer)
{
    struct job *job = arg;
    enum reason_class class;

    finding_fini(&job->finding);
    login_classify(job->login, REQUEST_VALIDATE, answer, &job->finding);
    job->asked = 1;
    class = reason_class(job->finding.reason);
    count(job, class == CLASS_INCONCLUSIVE ? COUNT_provider_inconclusive : COUNT_provider_definitive);
    if (class == CLASS_INCONCLUSIVE && should_retry(job)) {
        job->retries++;
        job->step = STEP_WAIT_RETRY;
        job->wake_mono_ms = clock_mono_ms() + job->options.retry_delay_ms;
    } else if (class == CLASS_DEFINITIVE && job->candidate + 1 < job->intake.count) {
        job->candidate++; /* the other stored form may be the good one */
        job->step = STEP_ASK;
    } else if (!start_refresh(job)) {
        conclude(job);
    }
}

/* ---- the way to the provider ---- */

static void ask(struct job *job)
{
    struct observation obs;
    struct err err = {0};
    enum err_code rc;

    job->login = provider_login(job->provider, &job->intake.candidates[job->candidate].token);
    job->step = STEP_ASKING;
    rc = start_call(job, REQUEST_VALIDATE, job_answered, &err);
    if (rc == ERR_OK) return;
    observe(job,
            rc == ERR_CONFIG      ? REASON_APP_MISCONFIGURED
            : rc == ERR_BAD_INPUT ? REASON_INVALID_TOKEN
                                  : REASON_TRANSIENT,
            rc == ERR_BAD_INPUT ? "not_a_token" : "not_sent", &obs);
    snprintf(job->intake.why, sizeof job->intake.why, "%s", err.text);
    job_decide(job, &obs);
}

/* Answers from the cache if it holds a fresh verdict about this very token. */
static int answer_from_cache(struct job *job)
{
    struct cache_verdict hit;
    struct validate_result *r = &job->result;
    int64_t since_ms = clock_now_ms() - (clock_mono_ms() - job->started_mono_ms);

    if (cache_find(job->v->parts.cache, job->key, &hit) != CACHE_FRESH) return 0;
    if (hit.token_print != job->print64) return 0;
    if (job->options.force && hit.checked_at_ms < since_ms && hit.attempted_at_ms < since_ms) return 0;
    if (hit.state >= STATE_COUNT || hit.reason >= REASON_COUNT || hit.attempt_reason >= REASON_COUNT) return 0;
    r->verdict = job->before;
    r->verdict.state = hit.state;
    r->verdict.reason = hit.reason;
    r->verdict.action = hit.action < ACTION_COUNT ? hit.action : ACTION_NONE;
    r->verdict.checked_at_ms = hit.checked_at_ms;
    r->verdict.attempt_reason = hit.attempt_reason;
    r->verdict.attempted_at_ms = hit.attempted_at_ms;
    r->expires_at_ms = hit.expires_at_ms;
    r->source = SOURCE_CACHE;
    count(job, COUNT_cache_hits);
    job_finish(job);
    return 1;
}

static void claim_or_wait(struct job *job)
{
    const struct config *cfg = job->v->parts.cfg;
    int64_t now_ms = clock_mono_ms(), longest_ms = cfg->provider_timeout_ms * (1 + job->options.max_retries) +
                                                   job->options.retry_delay_ms * job->options.max_retries + 1000;

    if (job->step == STEP_START) {
        job->give_up_mono_ms = now_ms + longest_ms;
    } else if (answer_from_cache(job)) {
        return;
    }
    if (job->holds_flight || flight_claim(job->v->parts.cache, job->key, longest_ms) == FLIGHT_MINE) {
        job->holds_flight = 1;
    } else if (now_ms < job->give_up_mono_ms) {
        if (job->step == STEP_START) count(job, COUNT_flights_shared);
        job->step = STEP_WAIT_FLIGHT;
        job->wake_mono_ms = now_ms + POLL_MS;
        return;
    }
    /* Whoever held the flight may have answered between our look into the cache and the claim. */
    if (job->step == STEP_START && (job->options.force || !(job->intake.faults && job->options.fix)) &&
        answer_from_cache(job))
        return;
    count(job, COUNT_cache_misses);
    job->generation = cache_generation(job->v->parts.cache);
    ask(job);
}

static void start(struct job *job)
{
    struct cache *cache = job->v->parts.cache;
    struct observation obs;
    int storage_faults;

    verdict_parse(job->account.health, &job->before);
    job->before.needs_reconnection = job->account.needs_reconnection == TRI_TRUE;
    job->key = cache_key_account(cache, job->account.platform, job->account.id.text);
    job->generation = cache_generation(cache);
    job->provider = provider_find(job->v->parts.providers, job->account.platform);
    if (job->account.is_active == TRI_FALSE) {
        intake_describe(&job->account, &job->intake);
        memset(&obs, 0, sizeof obs);
        obs.disconnected = 1;
        job_decide(job, &obs);
        return;
    }
    intake_read(&job->account, job->v->parts.ring, &job->intake);
    job->print64 = cache_hash(cache, job->intake.print);
    if (job->intake.count == 0) {
        observe(job, job->intake.undecryptable ? REASON_UNDECRYPTABLE : REASON_MISSING_TOKEN, "stored", &obs);
        job_decide(job, &obs);
        return;
    }
    if (!job->provider) {
        observe(job, REASON_BAD_RESPONSE, "no_provider", &obs);
        job_decide(job, &obs);
        return;
    }
    storage_faults = job->intake.faults & (FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS);
    if (!job->options.force && !(job->options.fix && storage_faults) && answer_from_cache(job)) return;
    claim_or_wait(job);
}

static void step(struct job *job)
{
    switch (job->step) {
    case STEP_START:
        start(job);
        break;
    case STEP_WAIT_FLIGHT:
        if (clock_mono_ms() >= job->wake_mono_ms) claim_or_wait(job);
        break;
    case STEP_WAIT_RETRY:
        if (clock_mono_ms() >= job->wake_mono_ms) job->step = STEP_ASK;
        break;
    case STEP_ASK:
        ask(job);
        break;
    case STEP_ASKING:
    case STEP_REFRESHING:
    case STEP_DONE:
        break;
    }
}

static int reap(struct validator *v)
{
    int ready = 0;

    for (struct job **at = &v->jobs; *at;) {
        struct job *job = *at;

        if (job->step != STEP_DONE) {
            if (job->step != STEP_ASKING && job->step != STEP_REFRESHING && job->step != STEP_WAIT_FLIGHT &&
                job->step != STEP_WAIT_RETRY)
                ready = 1;
            at = &job->next;
            continue;
        }
        *at = job->next;
        v->active--;
        job->done(job->arg, &job->result);
        job_free(job);
    }
    return ready;
}

static int waits_on_clock(const struct validator *v)
{
    for (const struct job *job = v->jobs; job; job = job->next)
        if (job->step == STEP_WAIT_FLIGHT || job->step == STEP_WAIT_RETRY) return 1;
    return 0;
}

int validator_run(struct validator *v, int wait_ms)
{
    int ready;

    for (struct job *job = v->jobs; job; job = job->next)
        step(job);
    ready = reap(v);
    if (!v->jobs) return 0;
    if (ready) wait_ms = 0;
    if (waits_on_clock(v) && wait_ms > POLL_MS) wait_ms = POLL_MS;
    if (http_inflight(v->parts.http) > 0) {
        http_run(v->parts.http, wait_ms);
        reap(v);
    } else if (wait_ms > 0) {
        struct timespec pause = {.tv_sec = wait_ms / 1000, .tv_nsec = (long)(wait_ms % 1000) * 1000000};

        nanosleep(&pause, NULL);
    }
    return v->active;
}

void validator_finish(struct validator *v)
{
    while (validator_run(v, 1000) > 0)
        ;
}
