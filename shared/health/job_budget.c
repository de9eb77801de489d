/* The provider's budget, as the calls of a job obey and feed it. */
#include "base/clock.h"
#include "base/log.h"
#include "health/job.h"
#include <stdio.h>

enum { PROBE_MARGIN_MS = 1000, SHORT_MS = BUDGET_OPEN_MS + 2 /* as waits are rounded up */ };

/* ---- may a call be made */

/* The turn under a rate and a probe's end come by themselves. A stop holds a sweep up only if it is short: else a provider that
 * throttles, or is away, would hold it up again and again, a batch of calls at a time. */
static int is_worth_it(const struct job *job, const struct budget_decision *d)
{
    int64_t waited_ms = job->budget_mono_ms ? clock_mono_ms() - job->budget_mono_ms : 0;
    int comes_by_itself = d->why == BUDGET_RATE || d->why == BUDGET_PROBED;

    if (job->v->hurry || d->wait_ms >= job_left_ms(job)) return 0;
    if (!comes_by_itself && d->wait_ms > SHORT_MS) return 0;
    return waited_ms + d->wait_ms <= job->options.budget_wait_ms;
}

/* Where tokens are given may be out of order while accounts can be asked about, on the same host: it has a breaker of its own beside that of
 * the host. Else checks would stop for it, and let single-use tokens go to it whenever they close the breaker again. */
enum { NAME_BYTES = 300, PROBE_LOOK_MS = 500 };
static const char *refresh_name(const struct job *job, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s (refreshes)", login_host(job->asked.login));
    return out;
}

/* Is the breaker closed, as far as a look tells: what is taken from the host's budget is then not taken in vain. */
static struct budget_decision look_at_refreshes(const struct job *job)
{
    char name[NAME_BYTES];
    struct budget_view view;
    int is_probed;

    budget_look(job->v->parts.cache, refresh_name(job, name), &view);
    is_probed = view.breaker == BUDGET_BREAKER_HALF_OPEN;
    if (view.breaker == BUDGET_BREAKER_CLOSED || view.breaker_ms <= 0) return (struct budget_decision){BUDGET_GO, 0};
    return (struct budget_decision){is_probed ? BUDGET_PROBED : BUDGET_OPEN,
                                    is_probed && view.breaker_ms > PROBE_LOOK_MS ? PROBE_LOOK_MS : view.breaker_ms};
}

static struct budget_decision take(const struct job *job, enum budget_kind kind)
{
    const struct validator_parts *parts = &job->v->parts;
    const struct budget_limits limits = {parts->cfg->max_calls_per_second,
                                         parts->cfg->provider_timeout_ms + PROBE_MARGIN_MS},
                               breaker_only = {0, limits.probe_ms};
    struct budget_decision d = {BUDGET_GO, 0};
    char name[NAME_BYTES];

    if (kind == BUDGET_REFRESH) d = look_at_refreshes(job);
    if (d.why == BUDGET_GO) d = budget_take(parts->cache, login_host(job->asked.login), &limits, kind);
    if (d.why == BUDGET_GO && kind == BUDGET_REFRESH)
        d = budget_take(parts->cache, refresh_name(job, name), &breaker_only, kind);
    return d;
}

enum job_may job_budget(struct job *job, enum budget_kind kind, job_step_fn *again, enum budget_why *why)
{
    const struct budget_decision d = take(job, kind);

    *why = d.why;
    if (d.why != BUDGET_GO && again && is_worth_it(job, &d)) {
        if (!job->budget_mono_ms) job->budget_mono_ms = clock_mono_ms();
        job_release(job);
        job_sleep(job, d.wait_ms, again);
        return JOB_WAITS;
    }
    job->budget_mono_ms = 0;
    if (d.why == BUDGET_GO) return JOB_MAY;
    job_count(job, COUNT_budget_refusals);
    return JOB_MAY_NOT;
}

/* ---- what it taught */

/* What never left this host says nothing of the other one. */
static enum budget_outcome outcome_of(const struct http_answer *answer)
{
    switch (answer->outcome) {
    case HTTP_NOT_ALLOWED:
        return BUDGET_NO_CALL;
    case HTTP_TOO_LARGE:
        return BUDGET_ANSWERED;
    case HTTP_ANSWERED:
        return answer->status >= 500 ? BUDGET_FAILED : BUDGET_ANSWERED;
    case HTTP_REFUSED:
    case HTTP_DNS_FAILED:
    case HTTP_TIMED_OUT:
    case HTTP_TLS_FAILED:
    case HTTP_BROKEN:
        break;
    }
    return BUDGET_FAILED;
}

static void tell(const char *host, unsigned news, const struct finding *f)
{
    if (news & BUDGET_NEWS_OPENED)
        log_error(
            "TOKEN HEALTH",
            "a provider does not answer: one call at a time asks whether it is back, all accounts keep their state",
            LOG_S("host", host), LOG_S("reason", reason_word(f->reason)), LOG_S("rule", f->rule),
            LOG_I("status", f->http_status));
    if (news & BUDGET_NEWS_CLOSED) log_info("TOKEN HEALTH", "the provider answers again", LOG_S("host", host));
    if (news & BUDGET_NEWS_STOPPED)
        log_error("TOKEN HEALTH",
                  "a provider's limit for the whole app is reached: checks wait, all accounts keep their state",
                  LOG_S("host", host), LOG_S("rule", f->rule), LOG_I("percent", f->app_usage_percent),
                  LOG_I("seconds", f->app_wait_s));
    if (news & BUDGET_NEWS_FREE)
        log_info("TOKEN HEALTH", "the provider's limit leaves room again", LOG_S("host", host));
}

void job_take_time(struct job *job, const struct http_answer *answer)
{
    job->provider_now_ms = answer->date_ms ? answer->date_ms : clock_now_ms();
}

void job_heard(struct job *job, const struct http_answer *answer, const struct finding *f)
{
    const char *host = login_host(job->asked.login);
    const struct budget_event event = {outcome_of(answer), f->app_usage_percent, f->app_wait_s * 1000};

    job_take_time(job, answer);
    if (answer->is_cut) return; /* it is our time that was too short */
    tell(host, budget_report(job->v->parts.cache, host, &event), f);
}

/* A server that took the request, and then failed, says nothing of its other services; who cannot be reached at all is away as a whole. */
void job_heard_refresh(struct job *job, const struct http_answer *answer, const struct finding *f)
{
    struct budget_event event = {outcome_of(answer), f->app_usage_percent, f->app_wait_s * 1000};
    const struct budget_event breaker_only = {event.outcome, -1, 0};
    const char *host = login_host(job->asked.login);
    char name[NAME_BYTES];

    job_take_time(job, answer);
    if (answer->is_cut) return;
    if (event.outcome == BUDGET_FAILED && answer->is_sent) event.outcome = BUDGET_NO_CALL;
    tell(host, budget_report(job->v->parts.cache, host, &event), f);
    refresh_name(job, name);
    tell(name, budget_report(job->v->parts.cache, name, &breaker_only), f);
}
