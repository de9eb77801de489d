/* The refresh of a token: may it be, and its beginning. The budget comes first: who waits for it holds nothing. Then the order keeps a single-use refresh token through a death at any point:
 *   1. room in the spool, with the intent, on disk: or no call;
 *   2. the lease, in the store, guarded by the tokens as they were read: of all hosts one gets it;
 *   3. the call;
 *   4. the answer, on disk before anything else happens to it;
 *   5. one update of the store: both envelopes, and all that goes with them; the lease goes;
 *   6. the slot in the spool is free again.
 * The intent comes before the lease, so that no lease is ever in the store without an intent on some disk: its replay tells a lease
 * that was never taken (no call) from one that was (a call, perhaps). From the lease to 4 a death leaves nobody knowing whether
 * the refresh token is used up. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "health/job.h"
#include "health/refresh_replay.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

enum { LEASE_MARGIN_MS = 60000, REPLAY_AGAIN_MS = 5000, REPLAY_MS = 200 };

int job_is_dead(enum reason reason)
{
    return reason == REASON_EXPIRED || reason == REASON_INVALID_TOKEN || reason == REASON_REVOKED ||
           reason == REASON_PASSWORD_CHANGED;
}

static int has_refresh_token(const struct account *a)
{
    return (a->encrypted_refresh && !value_is_blank(a->encrypted_refresh)) ||
           (a->plain_refresh && !value_is_blank(a->plain_refresh));
}

/* ---- may it be */

static void put_question(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    const struct validator_parts *parts = &job->v->parts;

    run->question = (struct refresh_question){
        .policy = login_refresh(job->asked.login),
        .state = &run->state,
        .is_refused = job_is_dead(job->asked.finding.reason),
        .can_introspect = login_has_request(job->asked.login, REQUEST_INTROSPECT),
        .expires_at_ms = job->account.expires_at_ms,
        .provider_now_ms = job->provider_now_ms,
        .now = moment_now(),
        .token_since = job->before.token_since,
        .spread = refresh_spread(job->account.platform, job->account.id.text),
        .lease_ms = parts->cfg->provider_timeout_ms + LEASE_MARGIN_MS,
        .confirm_interval_ms = job->v->settings.confirm_interval_ms,
    };
}

/* Of two refresh tokens the one that is stored as the access token is that works, else the encrypted one. */
static const struct form *find_refresh_token(struct job *job)
{
    struct intake *in = &job->refresh.intake;
    const struct keyring *ring = job->v->parts.ring;
    const struct form *first, *other;

    intake_describe_refresh(&job->account, ring, in);
    first = intake_next(&job->account, ring, in);
    if (!first || job->asked.form != &job->intake.forms[FIELD_PLAIN] || first == &in->forms[FIELD_PLAIN]) return first;
    other = intake_next(&job->account, ring, in);
    return other ? other : first;
}

/* 0: there is no token to ask with. */
static int open_token(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    const struct form *form = run->question.policy->model == REFRESH_TOKEN ? find_refresh_token(job) : job->asked.form;

    if (!form) return 0;
    if (form->kind == FORM_ENVELOPE) key_trust_prove(&job->v->trust);
    run->token = &form->token;
    refresh_print(run->token, run->record.used);
    refresh_state_parse(job->account.health, run->record.used, &run->state);
    return 1;
}

static int introspect(struct job *job);
static int begin(struct job *job);
static int go(struct job *job);

/* After a wait: what was true then may not be now. */
static void go_again(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct refresh_decision d;

    put_question(job);
    d = refresh_decide(&run->question);
    run->why = job->v->hurry ? "stopping" : d.step == REFRESH_GO ? NULL : d.why;
    if (run->why || !go(job)) job_conclude(job);
}

static int go(struct job *job)
{
    enum budget_why why;

    switch (job_budget(job, BUDGET_REFRESH, go_again, &why)) {
    case JOB_MAY:
        return begin(job);
    case JOB_WAITS:
        return 1;
    case JOB_MAY_NOT:
        break;
    }
    job->refresh.why = "budget";
    return 0;
}

int job_refresh(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    enum reason reason = job->asked.finding.reason;
    struct refresh_decision d;

    if (run->is_over || (reason_class(reason) != CLASS_ACCEPTED && !job_is_dead(reason))) return 0;
    put_question(job);
    if (!refresh_is_wanted(&run->question)) return 0;
    if (!job->account.expires_at_ms && !run->question.is_refused && !job->options.learn) return 0;
    run->is_over = 1;
    run->is_put_off = job->options.refresh && !job_has_time(job);
    run->why = !job->options.refresh ? "off" : job->v->hurry ? "stopping" : run->is_put_off ? "no_time" : NULL;
    if (run->why) return 0;
    if (!open_token(job)) return 0;
    d = refresh_decide(&run->question);
    if (job->options.dry_run && d.step != REFRESH_WAIT) {
        run->would_be = d.step == REFRESH_GO;
        run->why = "dry_run";
        return 0;
    }
    if (d.step == REFRESH_WAIT) run->why = d.why;
    if (d.step == REFRESH_INTROSPECT) return introspect(job);
    return d.step == REFRESH_GO && go(job);
}

void job_conclude_refused(struct job *job, struct observation *obs)
{
    struct refresh_run *run = &job->refresh;
    enum reason failed = run->state.reason;

    if (!job_is_dead(obs->reason) || login_refresh(job->asked.login)->model != REFRESH_TOKEN) return;
    if (!has_refresh_token(&job->account) || run->state.standing == REFRESH_DEAD) return;
    if (run->intake.what && !run->token) {
        if (intake_reason(&run->intake) != REASON_UNDECRYPTABLE) return;
        obs->reason = REASON_UNDECRYPTABLE;
        obs->rule = "refresh_token";
        snprintf(job->intake.why, sizeof job->intake.why, "the refresh token: %.280s", run->intake.why);
        return;
    }
    obs->reason = run->state.failures && reason_class(failed) == CLASS_INCONCLUSIVE ? failed : REASON_TRANSIENT;
    snprintf(run->rule, sizeof run->rule, "refresh_%s", run->why ? run->why : "failed");
    obs->rule = run->rule;
}

/* ---- an expiry that is not known */

static void learn(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct err err = {0};
    enum err_code rc;

    run->state.learnt = moment_now();
    rc = refresh_learn(job->v->parts.store, &job->account, &run->state, run->tokens.expires_at_ms, job->options.fence,
                       &err);
    if (rc == ERR_OK && run->tokens.expires_at_ms) job->account.expires_at_ms = run->tokens.expires_at_ms;
    if (rc != ERR_OK && rc != ERR_CONFLICT) job_count(job, COUNT_store_errors);
    job_conclude(job);
}

/* Whatever else it says is no verdict: the token was accepted a moment ago. */
static void introspected(void *arg, const struct http_answer *answer)
{
    struct job *job = arg;
    struct finding f = {0};

    login_classify(job->asked.login, REQUEST_INTROSPECT, answer, &f);
    job_heard(job, answer, &f);
    if (f.reason == REASON_OK) job->refresh.tokens.expires_at_ms = f.expires_at_s * 1000;
    finding_fini(&f);
    job_then(job, learn);
}

/* It has a day's time: it does not wait for the budget. */
static int introspect(struct job *job)
{
    enum budget_why why;

    return job_budget(job, BUDGET_CHECK, NULL, &why) == JOB_MAY &&
           job_call(job, REQUEST_INTROSPECT, introspected, NULL) == ERR_OK;
}

/* ---- the beginning */

/* Told once, until it is well again. */
static void tell_spool(struct validator *v, enum err_code rc, const struct err *err)
{
    if (rc != ERR_OK && !v->spool_failed)
        log_error("TOKEN HEALTH", "the spool cannot be written: single-use refresh tokens are not used",
                  LOG_S("spool", err->place), LOG_S("why", err->text));
    if (rc == ERR_OK && v->spool_failed) log_info("TOKEN HEALTH", "the spool can be written again");
    v->spool_failed = rc != ERR_OK;
}

static enum err_code reserve(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct spool *spool = job->v->parts.spool;
    struct json *about = refresh_record_print(&run->record);
    struct err err = {0};
    enum err_code rc =
        spool ? spool_reserve(spool, about, &run->ticket, &err) : err_set(&err, ERR_CONFIG, NULL, "there is none");

    json_free(about);
    tell_spool(job->v, rc, &err);
    return rc;
}

/* No call was made, but the lease may be in the store: a replay gives it back. */
void job_refresh_uncalled(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct spool *spool = job->v->parts.spool;

    if (!run->ticket) return;
    spool_done(spool, run->ticket);
    run->ticket = NULL;
    run->record.is_uncalled = 1;
    if (reserve(job) != ERR_OK) return;
    spool_leave(spool, run->ticket);
    run->ticket = NULL;
    job->v->left_in_spool = 1;
}

static int take_lease(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct err err = {0};
    enum err_code rc;

    refresh_take_lease(&run->state, &run->question, run->record.lease);
    rc = refresh_lease(job->v->parts.store, &job->account, &run->state, job->options.fence, &err);
    if (rc == ERR_OK) return 1;
    run->why = "leased";
    if (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND) {
        spool_done(job->v->parts.spool, run->ticket);
        run->ticket = NULL;
        return 0;
    }
    run->why = "store";
    job_count(job, COUNT_store_errors);
    job_refresh_uncalled(job);
    return 0;
}

static enum err_code describe_record(struct job *job, struct err *err)
{
    struct refresh_record *r = &job->refresh.record;
    const struct refresh_policy *policy = job->refresh.question.policy;
    unsigned char dice[(REFRESH_LEASE_BYTES - 1) / 2];
    enum err_code rc = crypto_random(dice, sizeof dice, err);

    for (size_t i = 0; i < sizeof dice; i++)
        snprintf(r->lease + 2 * i, 3, "%02x", dice[i]);
    r->id = job->account.id;
    snprintf(r->platform, sizeof r->platform, "%s", job->account.platform);
    refresh_print(&job->asked.form->token, r->access);
    r->uses_refresh_token = policy->model == REFRESH_TOKEN;
    r->rotates = policy->rotates;
    return rc;
}

static void tell_unbegun(struct job *job, enum err_code rc, const struct err *err)
{
    char prefix[JOB_PREFIX_BYTES];

    job->refresh.why = "not_sent";
    job_count(job, COUNT_refresh_failures);
    if (rc == ERR_CONFIG)
        job_alarm(job, REASON_APP_MISCONFIGURED, err->text);
    else
        log_warn(job_prefix(job, prefix), "no refresh", LOG_S("account", job->account.id.text),
                 LOG_S("why", err->text));
}

static int may_seal(struct job *job)
{
    const struct refresh_run *run = &job->refresh;
    int is_plain = run->token == &job->asked.form->token ? job->asked.form->kind == FORM_PLAIN
                                                         : run->token == &run->intake.forms[FIELD_PLAIN].token &&
                                                               run->intake.forms[FIELD_PLAIN].kind == FORM_PLAIN;

    return !is_plain || job_may_seal(job);
}

static int begin(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct http_request req = {0};
    struct err err = {0};
    enum err_code rc = describe_record(job, &err);
    int is_begun = 0;

    fault_point(FAULT_due);
    if (rc == ERR_OK)
        rc = job_request(job, REQUEST_REFRESH, run->record.uses_refresh_token ? run->token : NULL, &req, &err);
    req.is_urgent = 1;
    if (rc != ERR_OK) {
        tell_unbegun(job, rc, &err);
    } else if (!may_seal(job)) {
        run->why = "key";
    } else if (reserve(job) != ERR_OK && run->record.rotates) {
        run->why = "spool";
    } else {
        fault_point(FAULT_reserved);
        is_begun = take_lease(job) && job_refresh_call(job, &req);
    }
    http_request_fini(&req);
    return is_begun;
}

/* ---- what was left */

void job_refresh_replay(struct validator *v)
{
    struct refresh_replayed done = {0};

    if (!v->left_in_spool || clock_mono_ms() < v->replay_mono_ms) return;
    refresh_replay(v->parts.spool, v->parts.store, v->parts.ring, REPLAY_MS, &done, NULL);
    v->left_in_spool = done.left > 0;
    v->replay_mono_ms = clock_mono_ms() + REPLAY_AGAIN_MS;
}

void job_refresh_free(struct job *job)
{
    struct refresh_run *run = &job->refresh;

    if (run->ticket) spool_leave(job->v->parts.spool, run->ticket);
    intake_fini(&run->intake);
    refresh_tokens_fini(&run->tokens);
}
