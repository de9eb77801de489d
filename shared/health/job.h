/* One account on its way through the pipeline; private to validate.c and the job files. A job is in exactly one list of its
 * validator: ready (its next step runs in the next round), asleep (until a time), at the provider (a call is under
 * way) or done (the callback is due). The steps, each in its file:
 *   job.c          start: cache, single flight, opening the token
 *   job_ask.c      the question to the provider: calls, retries, which stored form counts, what it means
 *   job_refresh.c  the refresh of a token that the provider accepts
 *   job_end.c      verdict → store → cache → event */
#ifndef TH_JOB_H
#define TH_JOB_H
#include "base/http.h"
#include "health/intake.h"
#include "health/validate.h"
#include <sys/queue.h>

struct job;
typedef void job_step_fn(struct job *job);
enum job_place { JOB_READY, JOB_ASLEEP, JOB_AT_PROVIDER, JOB_DONE, JOB_PLACES, JOB_NOWHERE = JOB_PLACES };
TAILQ_HEAD(job_list, job);

struct validator {
    struct validator_parts parts;
    struct verdict_settings settings;
    struct job_list lists[JOB_PLACES];
    int active;
    int hurry;            /* see validator_hurry */
    int64_t wake_mono_ms; /* no sleeper is due before; INT64_MAX: nobody sleeps */
};

struct job {
    TAILQ_ENTRY(job) entry;
    enum job_place place;
    job_step_fn *step;    /* what comes next, when ready or awake */
    int64_t wake_mono_ms; /* when asleep */
    struct validator *v;
    struct account account;
    struct validate_options options;
    validate_done_fn *done;
    void *arg;

    const struct provider *provider;
    const struct login *login;
    struct cache_key key;
    uint32_t generation;
    uint64_t print64;
    int holds_flight, waited;
    int64_t started_mono_ms, give_up_mono_ms;

    struct verdict before;
    struct intake intake;
    int candidate; /* index of the form that is judged */
    int retries, restarted, asked;
    struct finding finding;
    struct secret refreshed; /* a new access token */
    int64_t refreshed_expires_at_ms;
    struct validate_result result;
};

/** job_then(job, step): ${step} runs in the next round. job_sleep(job, ms, step): it runs in ${ms}. */
void job_then(struct job *job, job_step_fn *step);
void job_sleep(struct job *job, int64_t ms, job_step_fn *step);
/** job_free(job): takes it out of its list and gives back all it holds, the flight too. */
void job_free(struct job *job);
/** job_count(job, counter): one more. job_prefix: "instagram" → "INSTAGRAM VALIDATOR"; returns out. */
void job_count(struct job *job, enum counter counter);
enum { JOB_PREFIX_BYTES = 64 };
const char *job_prefix(const struct job *job, char out[JOB_PREFIX_BYTES]);

/** job_start(job): the first step, also of a job that starts again. */
void job_start(struct job *job);
/** job_ask(job): the step that asks the provider about the present candidate. */
void job_ask(struct job *job);
/** job_call(job, kind, done, err): start a call with the present candidate's token; the job waits at the provider for ${done}. */
enum err_code job_call(struct job *job, enum request_kind kind, http_done_fn *done, struct err *err);
/** job_conclude(job): the provider's word is final: decide. */
void job_conclude(struct job *job);
/** job_refresh(job): start a refresh if one is due and allowed; 1: job_conclude is called when it is over, 0: none was started. */
int job_refresh(struct job *job);
/** job_observe(job, reason, rule, obs): an observation about the stored forms as they were read. */
void job_observe(const struct job *job, enum reason reason, const char *rule, struct observation *obs);
/** job_decide(job, obs): what was learnt becomes the verdict: written, cached, told. Ends the job, or starts it again when the
 *  application wrote meanwhile. */
void job_decide(struct job *job, const struct observation *obs);
/** job_finish(job): the result is complete; the callback comes next. */
void job_finish(struct job *job);

#endif
