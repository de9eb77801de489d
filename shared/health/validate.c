#include "health/validate.h"
#include "base/clock.h"
#include "base/log.h"
#include "health/job.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum err_code validator_new(const struct validator_parts *parts, struct validator **v, struct err *err)
{
    *v = calloc(1, sizeof **v);
    if (!*v) return err_set(err, ERR_NOMEM, NULL, "no memory for the validator");
    (*v)->parts = *parts;
    (*v)->settings.confirmations = (int)parts->cfg->confirmations;
    (*v)->settings.confirm_interval_ms = parts->cfg->confirm_interval_ms;
    (*v)->settings.reconnect_grace_ms = parts->cfg->reconnect_grace_ms;
    (*v)->wake_mono_ms = INT64_MAX;
    for (int i = 0; i < JOB_PLACES; i++)
        TAILQ_INIT(&(*v)->lists[i]);
    return ERR_OK;
}

void validator_spread(struct validator *v, int threads)
{
    struct err err = {0};

    if (threads < 1) return;
    if (opener_new(v->parts.ring, threads, &v->opener, &err) == ERR_OK)
        http_client_watch(v->parts.http, opener_fd(v->opener));
    else
        log_warn("TOKEN HEALTH", "keys are derived one at a time", LOG_S("why", err.text));
}

void validator_free(struct validator *v)
{
    if (!v) return;
    opener_free(v->opener); /* first: it has the forms of jobs */
    for (int i = 0; i < JOB_PLACES; i++)
        while (!TAILQ_EMPTY(&v->lists[i]))
            job_free(TAILQ_FIRST(&v->lists[i]));
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
    struct job *job = calloc(1, sizeof *job);

    if (!job) return err_set(err, ERR_NOMEM, account->id.text, "no memory for a validation");
    job->v = v;
    job->account = *account;
    memset(account, 0, sizeof *account);
    job->options = *options;
    job->done = done;
    job->arg = arg;
    job->started_at_ms = clock_now_ms();
    job->step = job_start;
    job->place = JOB_READY;
    TAILQ_INSERT_TAIL(&v->lists[JOB_READY], job, entry);
    v->active++;
    return ERR_OK;
}

/* ---- rounds ---- */

enum { ROUND_MS = 5 };

static void take_opened(struct validator *v)
{
    struct opening *o;

    while (v->opener && (o = opener_take(v->opener))) {
        struct job *job = o->owner;

        job_then(job, job->step);
    }
}

static void wake_sleepers(struct validator *v)
{
    int64_t now_ms = clock_mono_ms(), next_ms = INT64_MAX;
    struct job *next;

    if (now_ms < v->wake_mono_ms) return;
    for (struct job *job = TAILQ_FIRST(&v->lists[JOB_ASLEEP]); job; job = next) {
        next = TAILQ_NEXT(job, entry);
        if (job->wake_mono_ms <= now_ms)
            job_then(job, job->step);
        else if (job->wake_mono_ms < next_ms)
            next_ms = job->wake_mono_ms;
    }
    v->wake_mono_ms = next_ms;
}

/* The account is another's to check now; but new tokens, or what became of a refresh, are never dropped. */
static int has_lost(const struct job *job)
{
    const struct refresh_run *run = &job->refresh;

    return !fence_holds(job->options.fence) && !run->ticket && (secret_is_empty(&run->tokens.access) || run->is_stored);
}

/* A round ends in time, however slow the store is: the caller may have a lease to renew. Jobs that get ready on the way wait for the
 * next one, so that calls are moved on in between. The answer to a refresh does not even wait for that: until it is read and
 * kept, a token is nowhere but on the wire. */
static void step_ready(struct validator *v)
{
    struct job_list round;
    const int64_t end_mono_ms = clock_mono_ms() + ROUND_MS;
    struct job *job;

    TAILQ_INIT(&round);
    TAILQ_CONCAT(&round, &v->lists[JOB_READY], entry);
    while ((job = TAILQ_FIRST(&round)) && clock_mono_ms() < end_mono_ms) {
        TAILQ_REMOVE(&round, job, entry);
        TAILQ_INSERT_TAIL(&v->lists[JOB_READY], job, entry);
        if (has_lost(job))
            job_give_up(job);
        else
            job->step(job);
        if (v->refreshing) http_run(v->parts.http, 0);
    }
    TAILQ_CONCAT(&round, &v->lists[JOB_READY], entry);
    TAILQ_CONCAT(&v->lists[JOB_READY], &round, entry);
}

/* The callback may submit, or run the validator: the job is in no list any more. */
static void report_done(struct validator *v)
{
    struct job *job;

    while ((job = TAILQ_FIRST(&v->lists[JOB_DONE]))) {
        TAILQ_REMOVE(&v->lists[JOB_DONE], job, entry);
        job->place = JOB_NOWHERE;
        v->active--;
        job->done(job->arg, &job->result);
        job_free(job);
    }
}

static int longest_wait(const struct validator *v, int wait_ms)
{
    int64_t until_ms = v->wake_mono_ms == INT64_MAX ? wait_ms : v->wake_mono_ms - clock_mono_ms();

    if (!TAILQ_EMPTY(&v->lists[JOB_READY]) || until_ms <= 0) return 0;
    return until_ms < wait_ms ? (int)until_ms : wait_ms;
}

int validator_run(struct validator *v, int wait_ms)
{
    job_refresh_replay(v);
    take_opened(v);
    wake_sleepers(v);
    step_ready(v);
    report_done(v);
    if (v->active == 0) return 0;
    wait_ms = longest_wait(v, wait_ms);
    if (http_inflight(v->parts.http) > 0) {
        http_run(v->parts.http, wait_ms);
        report_done(v);
    } else if (wait_ms > 0) {
        struct pollfd opened = {.fd = v->opener ? opener_fd(v->opener) : -1, .events = POLLIN};

        poll(&opened, 1, wait_ms);
    }
    return v->active;
}

void validator_hurry(struct validator *v)
{
    struct job *job;

    v->hurry = 1;
    while ((job = TAILQ_FIRST(&v->lists[JOB_ASLEEP])))
        job_then(job, job->step);
    v->wake_mono_ms = INT64_MAX;
}

void validator_finish(struct validator *v)
{
    while (validator_run(v, 1000) > 0)
        ;
}
