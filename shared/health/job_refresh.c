#include "base/clock.h"
#include "base/log.h"
#include "health/job.h"
#include "health/refresh.h"

static void refreshed(void *arg, const struct http_answer *answer)
{
    struct job *job = arg;
    struct finding f = {0};
    char prefix[JOB_PREFIX_BYTES];

    login_classify(job->asked.login, REQUEST_REFRESH, answer, &f);
    if (f.reason == REASON_OK && !secret_is_empty(&f.access_token)) {
        secret_move(&job->refreshed, &f.access_token);
        if (f.expires_in_s > 0) job->refreshed_expires_at_ms = clock_now_ms() + f.expires_in_s * 1000;
    } else {
        /* Refusing a refresh is no verdict on the access token (PROVIDERS.md). */
        job_count(job, COUNT_refresh_failures);
        log_warn(job_prefix(job, prefix), "refresh failed", LOG_S("account", job->account.id.text),
                 LOG_S("reason", reason_word(f.reason)), LOG_S("rule", f.rule), LOG_S("message", f.message));
    }
    finding_fini(&f);
    job_conclude(job);
}

int job_refresh(struct job *job)
{
    const struct refresh_policy *policy = login_refresh(job->asked.login);
    uint64_t spread = cache_hash(job->v->parts.cache, job->account.id.text);
    char prefix[JOB_PREFIX_BYTES];
    struct err err = {0};

    if (!job->options.refresh || job->v->hurry || job->asked.finding.reason != REASON_OK) return 0;
    if (clock_now_ms() < refresh_due_at(policy, job->account.expires_at_ms, spread) ||
        policy->model != REFRESH_EXTEND || !job->account.expires_at_ms)
        return 0;
    if (job->asked.form->kind == FORM_PLAIN && !job_may_seal(job)) return 0;
    if (job_call(job, REQUEST_REFRESH, refreshed, &err) == ERR_OK) return 1;
    job_count(job, COUNT_refresh_failures);
    log_warn(job_prefix(job, prefix), "no refresh", LOG_S("account", job->account.id.text), LOG_S("why", err.text));
    return 0;
}
