#include "health/job.h"
#include "base/clock.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 5 };

static void move(struct job *job, enum job_place place)
{
    if (job->place != JOB_NOWHERE) TAILQ_REMOVE(&job->v->lists[job->place], job, entry);
    job->place = place;
    if (place != JOB_NOWHERE) TAILQ_INSERT_TAIL(&job->v->lists[place], job, entry);
}

void job_then(struct job *job, job_step_fn *step)
{
    job->step = step;
    move(job, JOB_READY);
}

void job_sleep(struct job *job, int64_t ms, job_step_fn *step)
{
    job->step = step;
    job->wake_mono_ms = clock_mono_ms() + ms;
    if (job->wake_mono_ms < job->v->wake_mono_ms) job->v->wake_mono_ms = job->wake_mono_ms;
    move(job, JOB_ASLEEP);
}

static void release_flight(struct job *job)
{
    if (job->holds_flight) flight_release(job->v->parts.cache, job->key);
    job->holds_flight = 0;
}

void job_free(struct job *job)
{
    move(job, JOB_NOWHERE);
    release_flight(job);
    intake_fini(&job->intake);
    finding_fini(&job->finding);
    secret_free(&job->refreshed);
    account_fini(&job->account);
    free(job);
}

void job_count(struct job *job, enum counter counter)
{
    counter_add(job->v->parts.cache, counter, 1);
}

const char *job_prefix(const struct job *job, char out[JOB_PREFIX_BYTES])
{
    snprintf(out, JOB_PREFIX_BYTES, "%.31s VALIDATOR", job->account.platform);
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return out;
}

enum err_code job_call(struct job *job, enum request_kind kind, http_done_fn *done, struct err *err)
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
    if (rc == ERR_OK) {
        job_count(job, COUNT_provider_calls);
        move(job, JOB_AT_PROVIDER);
    }
    http_request_fini(&req);
    return rc;
}

void job_finish(struct job *job)
{
    struct validate_result *r = &job->result;

    release_flight(job);
    r->account = &job->account;
    r->token_format = job->intake.token_format;
    r->has_token = job->intake.has_token;
    r->faults |= job->intake.faults;
    r->asked = job->asked;
    r->finding = &job->finding;
    job_count(job, COUNT_validations);
    move(job, JOB_DONE);
}

static int has_storage_fault(const struct job *job)
{
    return job->options.fix &&
           (job->intake.faults & (FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS));
}

/* Forced, only what was learnt after the job began counts; and a decision since the time that the caller says. */
static int is_new_enough(const struct job *job, const struct cache_verdict *hit)
{
    int64_t begin_ms = clock_now_ms() - (clock_mono_ms() - job->started_mono_ms), since_ms = job->options.since_ms;

    if (!job->options.force || hit->checked_at_ms >= begin_ms || hit->attempted_at_ms >= begin_ms) return 1;
    return since_ms && hit->checked_at_ms >= since_ms && hit->attempt_reason == REASON_NONE && !has_storage_fault(job);
}

/* Answers from the cache if it holds a fresh verdict about this very token. */
static int answer_from_cache(struct job *job)
{
    struct cache_verdict hit;
    struct validate_result *r = &job->result;

    if (cache_find(job->v->parts.cache, job->key, &hit) != CACHE_FRESH) return 0;
    if (hit.token_print != job->print64) return 0;
    if (!is_new_enough(job, &hit)) return 0;
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
    job_count(job, COUNT_cache_hits);
    job_finish(job);
    return 1;
}

static void go_on(struct job *job)
{
    job_count(job, COUNT_cache_misses);
    job->generation = cache_generation(job->v->parts.cache);
    job_then(job, job_ask);
}

static void wait_for_flight(struct job *job);

/* Of all processes that want this account checked, one asks; the others look for its answer. */
static int claim_flight(struct job *job)
{
    const struct config *cfg = job->v->parts.cfg;
    int64_t now_ms = clock_mono_ms(), longest_ms = cfg->provider_timeout_ms * (1 + job->options.max_retries) +
                                                   job->options.retry_delay_ms * job->options.max_retries + 1000;

    if (!job->waited) job->give_up_mono_ms = now_ms + longest_ms;
    if (job->holds_flight || flight_claim(job->v->parts.cache, job->key, longest_ms) == FLIGHT_MINE) {
        job->holds_flight = 1;
        return 1;
    }
    if (now_ms >= job->give_up_mono_ms || job->v->hurry) return 1;
    if (!job->waited) job_count(job, COUNT_flights_shared);
    job->waited = 1;
    job_sleep(job, POLL_MS, wait_for_flight);
    return 0;
}

static void wait_for_flight(struct job *job)
{
    if (answer_from_cache(job)) return;
    if (claim_flight(job)) go_on(job);
}

static void decide_unasked(struct job *job, enum reason reason, const char *rule)
{
    struct observation obs;

    job_observe(job, reason, rule, &obs);
    job_decide(job, &obs);
}

static int may_use_cache(const struct job *job)
{
    return !job->options.force && !has_storage_fault(job);
}

void job_start(struct job *job)
{
    struct cache *cache = job->v->parts.cache;
    struct observation disconnected = {.disconnected = 1};

    verdict_parse(job->account.health, &job->before);
    job->before.needs_reconnection = job->account.needs_reconnection == TRI_TRUE;
    job->key = cache_key_account(cache, job->account.platform, job->account.id.text);
    job->generation = cache_generation(cache);
    job->provider = provider_find(job->v->parts.providers, job->account.platform);
    if (job->account.is_active == TRI_FALSE) {
        intake_describe(&job->account, &job->intake);
        job_decide(job, &disconnected);
        return;
    }
    intake_read(&job->account, job->v->parts.ring, &job->intake);
    job->print64 = cache_hash(cache, job->intake.print);
    if (job->intake.count == 0) {
        decide_unasked(job, job->intake.undecryptable ? REASON_UNDECRYPTABLE : REASON_MISSING_TOKEN, "stored");
        return;
    }
    if (!job->provider) {
        decide_unasked(job, REASON_BAD_RESPONSE, "no_provider");
        return;
    }
    if (may_use_cache(job) && answer_from_cache(job)) return;
    if (!claim_flight(job)) return;
    /* Whoever held the flight may have answered between our look into the cache and the claim. */
    if ((job->options.force || may_use_cache(job)) && answer_from_cache(job)) return;
    go_on(job);
}
