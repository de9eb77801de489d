/* The mass-failure guard's step: between what was learnt of an account and what is decided. */
#include "base/clock.h"
#include "base/log.h"
#include "health/guard_orders.h"
#include "health/job.h"
#include <string.h>

/* A first bad answer waits for so many others, for so long, so that what begins just now is seen before the first is condemned. */
enum { WEIGH_ANSWERS = 20, WEIGH_MS = 10000, WEIGH_AGAIN_MS = 20 };

void job_weighed(struct job *job)
{
    job->v->weighing -= job->is_weighing;
    job->is_weighing = 0;
}

/* The app of the login that was asked; of what nobody was asked about, that of the one that took the account's token before. */
static const char *app_of(const struct job *job)
{
    const struct login *login = job->asked.login;

    if (!login) login = provider_login_find(job->provider, job->before.login);
    return login_app(login ? login : provider_login(job->provider, &(const struct secret){0}));
}

static void tell_turn(const struct job *job, const char *app, const char *name, enum guard_turn turn)
{
    const char *platform = job->account.platform;
    struct guard_view view;

    guard_look(job->v->parts.cache, name, job->v->parts.cfg->check_interval_ms, &view);
    if (turn == GUARD_TRIPS)
        log_error("TOKEN HEALTH", "many accounts go bad together: their states are held; see token-healthctl guard",
                  LOG_S("platform", platform), LOG_S("app", app), LOG_I("bad", view.bad),
                  LOG_I("answers", view.answers));
    if (turn == GUARD_RECOVERS)
        log_warn("TOKEN HEALTH", "accounts do not go bad together any more: states are not held",
                 LOG_S("platform", platform), LOG_S("app", app), LOG_I("bad", view.bad),
                 LOG_I("answers", view.answers));
}

static int works(enum state state)
{
    return state == STATE_HEALTHY || state == STATE_EXPIRING || state == STATE_LIMITED;
}

/* Bad is an account that worked and does not any more. Of what nobody knew, only what no key opens: that says something of our key. */
static void count(struct job *job, const char *app, const char *name, const struct verdict *next)
{
    const struct verdict *before = &job->before;
    const int is_known = works(before->state) || before->held_reason != REASON_NONE;
    const int is_bad = verdict_worsens(before, next);
    enum guard_turn turn;

    if (job->is_counted++ || job->options.dry_run) return;
    job->v->answers++;
    if (!is_bad && !works(next->state)) return;
    if (!is_bad && next->attempt_reason != REASON_NONE) return;
    if (is_bad && !is_known && next->reason != REASON_UNDECRYPTABLE) return;
    turn = guard_count(job->v->parts.cache, name, is_bad, job->v->parts.cfg->check_interval_ms);
    if (turn != GUARD_STAYS) tell_turn(job, app, name, turn);
}

static int may_wait(const struct job *job)
{
    const struct validator *v = job->v;

    return !v->hurry && !job->options.dry_run && !job->options.deadline_mono_ms &&
           v->active > v->weighing + !job->is_weighing && v->answers - job->weigh_from < WEIGH_ANSWERS &&
           clock_mono_ms() < job->weigh_until_mono_ms;
}

static int holds(struct job *job, const char *name)
{
    const struct validator_parts *parts = &job->v->parts;
    const struct guard_place place = {parts->cache, parts->store, job->provider, parts->cfg->check_interval_ms};
    const struct moment now = moment_now(), *since = &job->before.held_since;
    int64_t held_ms = since->at_ms ? moment_elapsed_ms(since, &now) : 0;

    guard_orders_look(&place);
    return guard_holds(parts->cache, name, held_ms, place.interval_ms);
}

static void weigh(struct job *job)
{
    char name[GUARD_NAME_BYTES];
    int is_held;

    guard_name(job->account.platform, app_of(job), name);
    is_held = holds(job, name);
    if (!is_held && may_wait(job)) {
        job->v->weighing += !job->is_weighing;
        job->is_weighing = 1;
        job_sleep(job, WEIGH_AGAIN_MS, weigh);
    } else if (!is_held && job->v->hurry && job->is_weighing) {
        job_give_up(job);
    } else {
        job_weighed(job);
        job_settle(job, &job->learnt, is_held);
    }
}

void job_decide(struct job *job, const struct observation *obs)
{
    const struct moment now = moment_now();
    char name[GUARD_NAME_BYTES];
    struct verdict next;

    verdict_decide(&job->before, obs, &now, &job->v->settings, &next);
    if (obs->disconnected || !job->provider || !job->v->parts.cfg->mass_guard) {
        job_settle(job, obs, 0);
        return;
    }
    count(job, app_of(job), guard_name(job->account.platform, app_of(job), name), &next);
    job->learnt = *obs;
    job->weigh_from = job->v->answers;
    job->weigh_until_mono_ms = clock_mono_ms() + WEIGH_MS;
    if (verdict_worsens(&job->before, &next))
        weigh(job);
    else
        job_settle(job, obs, 0);
}
