/* The refresh of a token: the call, and what comes of it. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "health/job.h"
#include "health/refresh_replay.h"
#include <stdio.h>

/* New tokens that are neither in the spool nor in the store are tried to be got there for so long. */
enum { TRY_AGAIN_MS = 500, GIVE_UP_MS = 600000 };

static void give_back_slot(struct job *job)
{
    if (job->refresh.ticket) spool_done(job->v->parts.spool, job->refresh.ticket);
    job->refresh.ticket = NULL;
}

static void leave_slot(struct job *job)
{
    if (!job->refresh.ticket) return;
    spool_leave(job->v->parts.spool, job->refresh.ticket);
    job->refresh.ticket = NULL;
    job->v->left_in_spool = 1;
}

/* ---- no new token */

static void note_failure(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    int64_t wait_ms = refresh_back_off_ms(&run->state, run->question.is_refused, run->question.spread,
                                          run->question.confirm_interval_ms);
    struct err err = {0};
    enum err_code rc = refresh_note(job->v->parts.store, &job->account.id, run->record.lease, &run->state,
                                    run->state.failed.at_ms + wait_ms, &err);

    if (rc == ERR_OK || rc == ERR_CONFLICT || rc == ERR_NOT_FOUND)
        give_back_slot(job);
    else if (run->end == REFRESH_UNDONE)
        job_refresh_uncalled(job);
    else
        leave_slot(job);
    job_conclude(job);
}

/* Refusing a refresh is no verdict on the access token (PROVIDERS.md). */
static void fail(struct job *job, enum refresh_end end, enum reason reason, const char *rule, const char *message)
{
    struct refresh_run *run = &job->refresh;
    struct moment now = moment_now();
    char prefix[JOB_PREFIX_BYTES];

    run->end = end;
    refresh_fail(&run->state, run->question.policy, end, reason, rule, &now);
    job_count(job, COUNT_refresh_failures);
    log_warn(job_prefix(job, prefix), "refresh failed", LOG_S("account", job->account.id.text),
             LOG_S("reason", reason_word(reason)), LOG_S("rule", rule), LOG_S("message", message),
             LOG_S("refreshToken", refresh_standing_word(run->state.standing)), LOG_I("failures", run->state.failures));
    if (end == REFRESH_AMBIGUOUS && run->record.rotates)
        job_alarm(job, reason,
                  "a refresh had no answer: its refresh token may be used up, and waits for its last chance");
    if (reason == REASON_APP_MISCONFIGURED) job_alarm(job, reason, message);
    job_then(job, note_failure);
}

/* ---- new tokens */

static void go_on(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct verdict_of_form asked = job->asked;
    struct form *form;

    job->asked = (struct verdict_of_form){0};
    if (!job_reload(job)) {
        job->asked = asked;
        job_conclude(job);
        return;
    }
    fault_point(FAULT_reread);
    if (!run->question.is_refused) {
        /* The new token is of the one that was accepted just now: nobody is asked again. */
        job_describe(job);
        while ((form = intake_next(&job->account, job->v->parts.ring, &job->intake)))
            if (secret_equal(&form->token, &run->tokens.access)) break;
        if (form) {
            asked.form = form;
            job->asked = asked;
            job->has_answer = 1;
            job_conclude(job);
            return;
        }
        intake_fini(&job->intake); /* somebody has put another one there */
    }
    finding_fini(&asked.finding);
    run->state = (struct refresh_state){0};
    run->why = "just_refreshed";
    job_then(job, job_start);
}

static void keep(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    struct spool_answer answer = {.access = run->tokens.access, .refresh = run->tokens.refresh};
    struct json *more;
    struct err err = {0};
    char prefix[JOB_PREFIX_BYTES];

    if (!run->ticket) return;
    answer.more = more = json_object_new();
    json_set(more, "expiresAt", json_new_int(run->tokens.expires_at_ms));
    run->is_kept = spool_keep(job->v->parts.spool, run->ticket, &answer, &err) == ERR_OK;
    json_free(more);
    if (!run->is_kept && !run->give_up_mono_ms)
        log_error(job_prefix(job, prefix), "new tokens could not be kept in the spool; they go straight to the store",
                  LOG_S("account", job->account.id.text), LOG_S("why", err.text));
}

static void put_tokens(struct job *job);

static void not_stored(struct job *job, const struct err *err)
{
    struct refresh_run *run = &job->refresh;
    int is_only_copy = !run->is_kept && run->record.rotates;
    char prefix[JOB_PREFIX_BYTES];

    if (!run->give_up_mono_ms) run->give_up_mono_ms = clock_mono_ms() + GIVE_UP_MS;
    if (is_only_copy && !job->v->hurry && clock_mono_ms() < run->give_up_mono_ms) {
        job_sleep(job, TRY_AGAIN_MS, put_tokens);
        return;
    }
    job_count(job, COUNT_store_errors);
    log_event(is_only_copy ? LOG_ERROR : LOG_WARN, job_prefix(job, prefix),
              is_only_copy   ? "new tokens are lost: neither spool nor store took them"
              : run->is_kept ? "new tokens wait in the spool for the store"
                             : "new tokens could not be stored; the old ones stay good",
              (const struct log_field[]){LOG_S("account", job->account.id.text), LOG_S("why", err->text)}, 2);
    leave_slot(job);
    run->why = "store";
    job_conclude(job);
}

static void put_tokens(struct job *job)
{
    struct refresh_run *run = &job->refresh;
    const struct validator_parts *parts = &job->v->parts;
    enum refresh_put what = REFRESH_PUT_THEIRS;
    struct account account = {0};
    char prefix[JOB_PREFIX_BYTES];
    struct err err = {0};
    enum err_code rc;

    if (!run->is_kept && run->give_up_mono_ms) keep(job);
    rc = refresh_put(parts->store, parts->ring, &run->record, &run->tokens, &account, &what, &err);
    account_fini(&account);
    if (rc != ERR_OK) {
        not_stored(job, &err);
        return;
    }
    fault_point(FAULT_stored);
    give_back_slot(job);
    fault_point(FAULT_done);
    run->is_stored = what != REFRESH_PUT_THEIRS;
    if (run->is_stored) job_count(job, COUNT_refreshes);
    log_info(job_prefix(job, prefix),
             run->is_stored ? "token refreshed" : "a refreshed token has no place: the account has another one",
             LOG_S("account", job->account.id.text));
    go_on(job);
}

/* The time from here to the end of spool_keep is the one in which a death loses a single-use token: nothing else is done in it. */
static void answered(void *arg, const struct http_answer *answer)
{
    struct job *job = arg;
    struct refresh_run *run = &job->refresh;
    int64_t began_ns = clock_mono_ns();
    struct finding f = {0};
    enum refresh_end end;

    fault_point(FAULT_answered);
    job->v->refreshing--;
    job_take_time(job, answer);
    login_classify(job->asked.login, REQUEST_REFRESH, answer, &f);
    end = refresh_judge(&f);
    if (end == REFRESH_DONE) {
        secret_move(&run->tokens.access, &f.access_token);
        secret_move(&run->tokens.refresh, &f.refresh_token);
        if (f.expires_in_s > 0) run->tokens.expires_at_ms = job->provider_now_ms + f.expires_in_s * 1000;
        keep(job);
        fault_point(FAULT_kept);
        log_debug("TOKEN HEALTH", "answer kept", LOG_I("us", (clock_mono_ns() - began_ns) / 1000));
        job_then(job, put_tokens);
    } else {
        fail(job, end, f.reason, f.rule, f.message);
    }
    job_heard_refresh(job, answer, &f);
    finding_fini(&f);
}

int job_refresh_call(struct job *job, const struct http_request *req)
{
    struct err err = {0};

    fault_point(FAULT_leased);
    if (job_send(job, req, answered, &err) == ERR_OK) {
        job->v->refreshing++;
        fault_point(FAULT_called);
    } else {
        fail(job, REFRESH_UNDONE, REASON_TRANSIENT, "not_sent", err.text);
    }
    return 1;
}
