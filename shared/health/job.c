#include "health/job.h"
#include "base/clock.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MIN_MS = 2, POLL_MAX_MS = 50 };

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

int64_t job_left_ms(const struct job *job)
{
    return job->options.deadline_mono_ms ? job->options.deadline_mono_ms - clock_mono_ms() : INT64_MAX;
}

int job_has_time(const struct job *job)
{
    return job_left_ms(job) >= job->v->parts.cfg->provider_timeout_ms;
}

void job_at_provider(struct job *job)
{
    move(job, JOB_AT_PROVIDER);
}

int job_opens(struct job *job, struct intake *in, job_step_fn *again)
{
    struct opener *opener = job->v->opener;
    struct form *form = opener ? intake_closed(&job->account, job->v->parts.ring, in) : NULL;

    if (!form || !opening_begin(&form->opening, &form->env)) return 0;
    form->opening.owner = job;
    job->step = again;
    move(job, JOB_OPENING);
    opener_put(opener, &form->opening);
    return 1;
}

void job_release(struct job *job)
{
    if (job->holds_flight) flight_release(job->v->parts.cache, job->key);
    job->holds_flight = 0;
}

static void forget_answers(struct job *job)
{
    finding_fini(&job->asked.finding);
    finding_fini(&job->best.finding);
    memset(&job->asked, 0, sizeof job->asked);
    memset(&job->best, 0, sizeof job->best);
    job->has_answer = job->is_unsettled = 0;
}

void job_free(struct job *job)
{
    move(job, JOB_NOWHERE);
    job_weighed(job);
    job_release(job);
    intake_fini(&job->intake);
    forget_answers(job);
    job_refresh_free(job);
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

int job_reload(struct job *job)
{
    struct account fresh = {0};

    if (store_read_account(job->v->parts.store, &job->account.id, &fresh, NULL) != ERR_OK) return 0;
    account_fini(&job->account);
    job->account = fresh;
    intake_fini(&job->intake);
    forget_answers(job);
    return 1;
}

void job_describe(struct job *job)
{
    const struct validator_parts *parts = &job->v->parts;

    verdict_parse(job->account.health, &job->before);
    job->before.needs_reconnection = job->account.needs_reconnection == TRI_TRUE;
    intake_describe(&job->account, parts->ring, &job->intake);
    job->print64 = cache_hash(parts->cache, job->intake.print);
}

void job_finish(struct job *job)
{
    struct validate_result *r = &job->result;

    job_weighed(job);
    job_release(job);
    r->account = &job->account;
    r->token_format = job->intake.token_format;
    r->has_token = job->intake.has_token;
    r->faults |= job->intake.faults;
    r->asked = job->has_answer;
    r->finding = &job->asked.finding;
    job_count(job, COUNT_validations);
    move(job, JOB_DONE);
}

/* ---- the first step ---- */

/* A verdict about this very token that leaves nothing to put right. Forced, only what was learnt after the job began counts, and a
 * decision since the time that the caller says. */
static int is_good_hit(const struct job *job, const struct cache_verdict *hit)
{
    const int storage_faults = FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS;
    int64_t learnt_ms = hit->attempted_at_ms > hit->checked_at_ms ? hit->attempted_at_ms : hit->checked_at_ms;

    if (hit->token_print != job->print64) return 0;
    if (hit->state >= STATE_COUNT || hit->reason >= REASON_COUNT || hit->attempt_reason >= REASON_COUNT) return 0;
    if (job->options.fix && (job->intake.faults & storage_faults) && !(hit->flags & CACHED_AFTER_FIX)) return 0;
    if ((hit->flags & CACHED_PUT_OFF) && job->options.refresh && job_has_time(job)) return 0;
    if (!job->options.force) return 1;
    if (learnt_ms > clock_now_ms()) return 0; /* the clock was set back */
    if (learnt_ms > job->started_at_ms) return 1;
    return job->options.since_ms && hit->checked_at_ms >= job->options.since_ms && hit->attempt_reason == REASON_NONE;
}

static int answer_from_cache(struct job *job)
{
    struct cache_verdict hit;
    struct validate_result *r = &job->result;

    if (cache_find(job->v->parts.cache, job->key, &hit) != CACHE_FRESH || !is_good_hit(job, &hit)) return 0;
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
    job_then(job, job_ask_next);
}

/* As long as a job can take: two forms at each login and a refresh, each call to its time-out. */
static int64_t longest_ms(const struct job *job)
{
    const int64_t calls = FIELD_COUNT * (int64_t)provider_login_count(job->provider) + 1;

    return job->v->parts.cfg->provider_timeout_ms * (job->options.max_retries + calls) +
           job->options.retry_delay_ms * job->options.max_retries + 1000;
}

static void wait_for_flight(struct job *job);

/* Looks often at first, as most answers come soon, and seldom when a provider is slow. */
static void wait_on(struct job *job, int64_t now_mono_ms)
{
    int64_t pause_ms = (now_mono_ms - job->waiting_mono_ms) / 4;

    job_sleep(job,
              pause_ms < POLL_MIN_MS   ? POLL_MIN_MS
              : pause_ms > POLL_MAX_MS ? POLL_MAX_MS
                                       : pause_ms,
              wait_for_flight);
}

/* Of all processes that want this account checked one asks, the others look for its answer; whoever waited too long asks, too. */
static int claim_flight(struct job *job)
{
    int64_t now_ms = clock_mono_ms();

    if (job->holds_flight || job->options.dry_run) return 1;
    job->holds_flight = flight_claim(job->v->parts.cache, job->key, longest_ms(job)) == FLIGHT_MINE;
    if (job->holds_flight) return 1;
    if (!job->waiting_mono_ms) {
        job_count(job, COUNT_flights_shared);
        job->waiting_mono_ms = now_ms;
    }
    if (now_ms - job->waiting_mono_ms > longest_ms(job)) return 1;
    if (job->v->hurry)
        job_give_up(job);
    else if (job_left_ms(job) <= 0)
        job_end_late(job);
    else
        wait_on(job, now_ms);
    return 0;
}

/* Whoever had the flight may have written the account: what we read before is old. */
static void wait_for_flight(struct job *job)
{
    if (answer_from_cache(job) || !claim_flight(job)) return;
    if (job->holds_flight && job_reload(job))
        job_start(job);
    else
        go_on(job);
}

void job_start(struct job *job)
{
    const struct validator_parts *parts = &job->v->parts;
    struct observation disconnected = {.disconnected = 1};

    job_describe(job);
    job->key = cache_key_account(parts->cache, job->account.platform, job->account.id.text);
    job->generation = cache_generation(parts->cache);
    job->provider = provider_find(parts->providers, job->account.platform);
    if (job->account.is_active == TRI_FALSE)
        job_decide(job, &disconnected);
    else if (answer_from_cache(job))
        return;
    else if (job_left_ms(job) <= 0)
        job_end_late(job);
    else if (!job->intake.has_token)
        job_decide_unasked(job, REASON_MISSING_TOKEN, "stored");
    else if (!job->provider)
        job_decide_unasked(job, REASON_BAD_RESPONSE, "no_provider");
    /* Once more after the claim: whoever had the flight may have answered in between. */
    else if (!job_is_put_off(job) && claim_flight(job) && !answer_from_cache(job))
        go_on(job);
}
