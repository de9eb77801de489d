#include "base/clock.h"
#include "health/job.h"
#include "health/refresh.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

static void observe(const struct job *job, enum reason reason, const char *rule, struct observation *obs)
{
    *obs = (struct observation){.reason = reason, .rule = rule, .print = job->intake.print};
}

void job_decide_unasked(struct job *job, enum reason reason, const char *rule)
{
    struct observation obs;

    observe(job, reason, rule, &obs);
    job_decide(job, &obs);
}

enum err_code job_request(struct job *job, enum request_kind kind, const struct secret *refresh_token,
                          struct http_request *req, struct err *err)
{
    const struct validator_parts *parts = &job->v->parts;
    const struct config_app *app = config_app_find(parts->cfg, login_app(job->asked.login));
    struct secret proof = {0};
    struct request_input in = {
        .access_token = &job->asked.form->token,
        .refresh_token = refresh_token,
        .app_id = app ? app->id : NULL,
        .app_secret = app ? &app->secret : NULL,
        .sandbox_url = parts->cfg->sandbox_url,
    };

    enum err_code rc = ERR_OK;

    if (app && !secret_is_empty(&app->secret)) {
        rc = crypto_hmac_hex(&app->secret, in.access_token, &proof, err);
        in.app_secret_proof = &proof;
    }
    if (rc == ERR_OK) rc = login_build_request(job->asked.login, kind, &in, req, err);
    secret_free(&proof);
    return rc;
}

enum err_code job_send(struct job *job, const struct http_request *req, http_done_fn *done, struct err *err)
{
    enum err_code rc = http_start(job->v->parts.http, req, done, job, err);

    if (rc != ERR_OK) return rc;
    job_count(job, COUNT_provider_calls);
    job_at_provider(job);
    return ERR_OK;
}

/* An account that was left to another host while its call waited for its turn. */
static int is_wanted(void *arg)
{
    const struct job *job = arg;

    return fence_holds(job->options.fence);
}

enum err_code job_call(struct job *job, enum request_kind kind, http_done_fn *done, struct err *err)
{
    struct http_request req = {0};
    enum err_code rc = job_request(job, kind, NULL, &req, err);

    req.timeout_ms = job_left_ms(job) > 0 ? job_left_ms(job) : 1;
    req.is_wanted = is_wanted;
    if (rc == ERR_OK) rc = job_send(job, &req, done, err);
    http_request_fini(&req);
    return rc;
}

int job_is_put_off(struct job *job)
{
    const struct moment now = moment_now();
    struct observation obs;

    observe(job, REASON_RATE_LIMITED, "retry_at", &obs);
    obs.retry_after_ms = verdict_put_off_ms(&job->before, job->intake.print, &now);
    if (!obs.retry_after_ms) return 0;
    job_decide(job, &obs);
    return 1;
}

/* ---- what the answers mean ---- */

static int is_shut(const struct intake *in)
{
    return in->forms[FIELD_ENCRYPTED].is_shut || in->forms[FIELD_PLAIN].is_shut;
}

void job_conclude(struct job *job)
{
    const struct finding *f = &job->asked.finding;
    enum reason_class class = reason_class(f->reason);
    struct observation obs;

    observe(job, f->reason, f->rule, &obs);
    if (f->reason == REASON_RATE_LIMITED && !f->app_wait_s) obs.retry_after_ms = f->retry_after_s * 1000;
    /* The good token may be the one that our keys do not open: that is not the user's to mend. */
    if (class == CLASS_DEFINITIVE && is_shut(&job->intake)) observe(job, REASON_UNDECRYPTABLE, "stored", &obs);
    if (class == CLASS_DEFINITIVE && obs.reason == f->reason) job_conclude_refused(job, &obs);
    if (class == CLASS_ACCEPTED) {
        obs.expiring =
            job->options.refresh && !job->refresh.would_be &&
            refresh_is_late(login_refresh(job->asked.login), job->account.expires_at_ms, job->provider_now_ms);
        if (job->asked.login != provider_login(job->provider, &job->asked.form->token))
            obs.login = login_name(job->asked.login);
    }
    job_decide(job, &obs);
}

/* The provider's id must be the document's where both are known: a token that was copied between documents works, but is not
 * this account's. A page's token answers with the page's id. */
static void check_identity(const struct job *job, struct finding *f)
{
    const char *wanted = job->account.provider_account_id;

    if (reason_class(f->reason) != CLASS_ACCEPTED || !f->account_id[0] || !wanted[0] ||
        !strcmp(f->account_id, wanted) || !strcmp(f->account_id, job->account.provider_page_id))
        return;
    f->reason = REASON_IDENTITY_MISMATCH;
    snprintf(f->rule, sizeof f->rule, "identity");
}

static int rank(const struct verdict_of_form *v)
{
    if (!v->form) return 0;
    if (v->finding.reason == REASON_OK) return 4;
    switch (reason_class(v->finding.reason)) {
    case CLASS_ACCEPTED:
        return 3;
    case CLASS_INCONCLUSIVE:
        return 2; /* more than a refusal: this form may be the good one */
    case CLASS_DEFINITIVE:
        break;
    }
    return 1;
}

/* Of two logins that refuse one token, one that says why knows it; "no token of mine" says less. */
static int is_better(const struct verdict_of_form *one, const struct verdict_of_form *other)
{
    if (rank(one) != rank(other)) return rank(one) > rank(other);
    return one->form && one->form == other->form && other->finding.reason == REASON_INVALID_TOKEN &&
           one->finding.reason != REASON_INVALID_TOKEN;
}

static void swap_best(struct job *job)
{
    struct verdict_of_form better = job->best;

    job->best = job->asked;
    job->asked = better;
}

/* Of several answers the better one counts; of equal ones the first. */
static void choose(struct job *job)
{
    if (job->best.form && !is_better(&job->asked, &job->best)) swap_best(job);
    if (!job_refresh(job)) job_conclude(job);
}

static void ask(struct job *job);

static int may_retry(const struct job *job, enum reason reason)
{
    return !job->v->hurry && job->retries < job->options.max_retries && reason != REASON_RATE_LIMITED &&
           reason != REASON_APP_MISCONFIGURED && job_left_ms(job) > job->options.retry_delay_ms;
}

static void settle_for_less(struct job *job)
{
    job->is_unsettled = 1;
    job_then(job, choose);
}

static void retry(struct job *job)
{
    if (may_retry(job, job->asked.finding.reason)) {
        job->retries++;
        ask(job);
    } else {
        settle_for_less(job);
    }
}

static void answered(void *arg, const struct http_answer *answer)
{
    struct job *job = arg;
    struct finding *f = &job->asked.finding;
    enum reason_class class;

    finding_fini(f);
    if (answer->is_cut) { /* says nothing of the provider: it is our time that was too short */
        job_then(job, job_end_late);
        return;
    }
    login_classify(job->asked.login, REQUEST_VALIDATE, answer, f);
    job_heard(job, answer, f);
    check_identity(job, f);
    job->has_answer = 1;
    job->asked.form->is_dead = job_is_dead(f->reason);
    class = reason_class(f->reason);
    job_count(job, class == CLASS_INCONCLUSIVE ? COUNT_provider_inconclusive : COUNT_provider_definitive);
    /* What blocks is left to the job's next step: other answers are waiting to be read. */
    if (f->reason == REASON_OK) {
        job_then(job, choose);
    } else if (class != CLASS_INCONCLUSIVE) {
        job_then(job, job_ask_next);
    } else if (may_retry(job, f->reason)) {
        job_sleep(job, job->options.retry_delay_ms, retry);
    } else {
        settle_for_less(job);
    }
}

/* ---- the question ---- */

/* What the provider itself said of this form before says more. */
static void unasked(struct job *job, enum budget_why why)
{
    struct finding *f = &job->asked.finding;

    if (f->reason == REASON_NONE) {
        f->reason = why == BUDGET_OPEN || why == BUDGET_PROBED ? REASON_TRANSIENT : REASON_RATE_LIMITED;
        snprintf(f->rule, sizeof f->rule, "budget_%s", budget_why_word(why));
    }
    settle_for_less(job);
}

static void ask(struct job *job)
{
    struct err err = {0};
    enum budget_why why;
    enum err_code rc;

    if (job_left_ms(job) <= 0) {
        job_end_late(job);
        return;
    }
    switch (job_budget(job, BUDGET_CHECK, ask, &why)) {
    case JOB_MAY:
        break;
    case JOB_WAITS:
        return;
    case JOB_MAY_NOT:
        unasked(job, why);
        return;
    }
    rc = job_call(job, REQUEST_VALIDATE, answered, &err);
    if (rc == ERR_OK) return;
    job->asked.finding.reason = rc == ERR_CONFIG ? REASON_APP_MISCONFIGURED : REASON_TRANSIENT;
    snprintf(job->asked.finding.rule, sizeof job->asked.finding.rule, "not_sent");
    snprintf(job->asked.finding.message, sizeof job->asked.finding.message, "%.255s", err.text);
    settle_for_less(job);
}

/* Where the prefix does not tell, the login that took the account's token before comes first. */
static const struct login *likely_login(const struct job *job, const struct form *form)
{
    const struct login *login = provider_login_named(job->provider, &form->token);

    if (!login) login = provider_login_find(job->provider, job->before.login);
    return login ? login : provider_login(job->provider, &form->token);
}

/* A token is unreadable to all hosts but its own, and a prefix that nobody knows does not say which that is. */
static int next_login(const struct job *job, struct verdict_of_form *next)
{
    const struct verdict_of_form *asked = &job->asked;

    if (!asked->form || asked->finding.reason != REASON_INVALID_TOKEN) return 0;
    if (provider_login_named(job->provider, &asked->form->token)) return 0;
    *next = (struct verdict_of_form){.form = asked->form, .first = asked->first};
    next->login = provider_login_after(job->provider, asked->first, asked->login);
    return next->login != NULL;
}

static int next_form(struct job *job, struct verdict_of_form *next)
{
    struct form *form = intake_next(&job->account, job->v->parts.ring, &job->intake);

    if (!form) return 0;
    *next = (struct verdict_of_form){.form = form, .login = likely_login(job, form)};
    next->first = next->login;
    return 1;
}

/* A form that was not refused with certainty ends the search; so the one asked before was, or lacks a permission. */
void job_ask_next(struct job *job)
{
    struct verdict_of_form next;
    int has_next;

    if (!job->asked.form && job_left_ms(job) <= 0) { /* to open a token takes long */
        job_end_late(job);
        return;
    }
    has_next = next_login(job, &next);
    if (!has_next && job_opens(job, &job->intake, job_ask_next)) return;
    if (!has_next) has_next = next_form(job, &next);
    if (job->intake.has_opened) key_trust_prove(&job->v->trust);
    if (!has_next && !job->asked.form) {
        job_decide_unasked(job, intake_reason(&job->intake), "stored");
    } else if (!has_next) {
        choose(job);
    } else if (job->asked.form && job->v->hurry) {
        job_give_up(job);
    } else {
        if (is_better(&job->asked, &job->best)) swap_best(job);
        finding_fini(&job->asked.finding);
        job->asked = next;
        ask(job);
    }
}
