#include "base/clock.h"
#include "health/job.h"
#include "health/refresh.h"
#include <stdio.h>
#include <string.h>

void job_observe(const struct job *job, enum reason reason, const char *rule, struct observation *obs)
{
    memset(obs, 0, sizeof *obs);
    obs->reason = reason;
    obs->rule = rule;
    obs->print = job->intake.print;
}

void job_conclude(struct job *job)
{
    struct observation obs;
    const struct finding *f = &job->finding;

    job_observe(job, f->reason, f->rule, &obs);
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

static int should_retry(const struct job *job)
{
    enum reason reason = job->finding.reason;

    return job->retries < job->options.max_retries && !job->v->hurry &&
           (reason == REASON_TRANSIENT || reason == REASON_TIMEOUT || reason == REASON_BAD_RESPONSE);
}

static void answered(void *arg, const struct http_answer *answer)
{
    struct job *job = arg;
    enum reason_class class;

    finding_fini(&job->finding);
    login_classify(job->login, REQUEST_VALIDATE, answer, &job->finding);
    job->asked = 1;
    class = reason_class(job->finding.reason);
    job_count(job, class == CLASS_INCONCLUSIVE ? COUNT_provider_inconclusive : COUNT_provider_definitive);
    if (class == CLASS_INCONCLUSIVE && should_retry(job)) {
        job->retries++;
        job_sleep(job, job->options.retry_delay_ms, job_ask);
    } else if (class == CLASS_DEFINITIVE && job->candidate + 1 < job->intake.count) {
        job->candidate++; /* the other stored form may be the good one */
        job_then(job, job_ask);
    } else if (!job_refresh(job)) {
        job_conclude(job);
    }
}

void job_ask(struct job *job)
{
    struct observation obs;
    struct err err = {0};
    enum err_code rc;

    if (job->v->hurry && job->retries > 0) { /* the answer that was not good enough is all there will be */
        job_conclude(job);
        return;
    }
    job->login = provider_login(job->provider, &job->intake.candidates[job->candidate].token);
    rc = job_call(job, REQUEST_VALIDATE, answered, &err);
    if (rc == ERR_OK) return;
    job_observe(job,
                rc == ERR_CONFIG      ? REASON_APP_MISCONFIGURED
                : rc == ERR_BAD_INPUT ? REASON_INVALID_TOKEN
                                      : REASON_TRANSIENT,
                rc == ERR_BAD_INPUT ? "not_a_token" : "not_sent", &obs);
    snprintf(job->intake.why, sizeof job->intake.why, "%s", err.text);
    job_decide(job, &obs);
}
