#include "health/refresh.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

enum { MINUTE_MS = 60000, LADDER = 3, JITTER_PERCENT = 20 };
static const int64_t ladder_ms[LADDER] = {15 * MINUTE_MS, 60 * MINUTE_MS, 360 * MINUTE_MS};

/* ---- when */

int64_t refresh_due_at(const struct refresh_policy *policy, int64_t expires_at_ms, uint64_t spread)
{
    int64_t width_ms = (policy->window_start_s - policy->window_end_s) * 1000;

    if (policy->model == REFRESH_NONE || expires_at_ms == 0) return 0;
    if (width_ms <= 0) return expires_at_ms - policy->window_end_s * 1000;
    return expires_at_ms - policy->window_start_s * 1000 + (int64_t)(spread % (uint64_t)width_ms);
}

int refresh_is_late(const struct refresh_policy *policy, int64_t expires_at_ms, int64_t now_ms)
{
    if (policy->model == REFRESH_NONE || expires_at_ms == 0) return 0;
    return now_ms >= expires_at_ms - policy->window_end_s * 1000;
}

uint64_t refresh_spread(const char *platform, const char *id)
{
    char text[LIMIT_PLATFORM_BYTES + LIMIT_ID_BYTES + 1];
    unsigned char sum[SHA256_BYTES];
    uint64_t spread = 0;
    int len = snprintf(text, sizeof text, "%s/%s", platform, id);

    crypto_sha256(text, len < (int)sizeof text ? (size_t)len : sizeof text - 1, sum);
    for (int i = 0; i < 8; i++)
        spread = spread << 8U | sum[i];
    return spread;
}

int64_t refresh_back_off_ms(const struct refresh_state *s, int is_refused, uint64_t spread, int64_t confirm_interval_ms)
{
    int rung = s->failures < LADDER ? s->failures - 1 : LADDER - 1;
    uint64_t dice = (spread + (uint64_t)s->failures) * UINT64_C(0x9E3779B97F4A7C15) >> 32U;

    if (s->failures <= 0) return 0;
    if (is_refused && s->standing == REFRESH_DEAD && s->failures == 1) return confirm_interval_ms;
    if (is_refused && s->standing != REFRESH_DEAD) rung = 0;
    return ladder_ms[rung] / 100 * (100 - JITTER_PERCENT + (int64_t)(dice % (2 * JITTER_PERCENT + 1)));
}

/* Clocks that contradict each other: it is over. Each use of this writes the time anew, so nothing is stuck. */
static int is_over(const struct moment *since, int64_t wait_ms, const struct moment *now)
{
    int64_t elapsed_ms = moment_elapsed_ms(since, now);

    return !since->at_ms || elapsed_ms < 0 || elapsed_ms >= wait_ms;
}

/* ---- may it */

int refresh_is_wanted(const struct refresh_question *q)
{
    if (q->policy->model == REFRESH_NONE || (q->policy->model == REFRESH_EXTEND && q->is_refused)) return 0;
    return q->is_refused || !q->expires_at_ms ||
           q->provider_now_ms >= refresh_due_at(q->policy, q->expires_at_ms, q->spread);
}

static int is_last_chance(const struct refresh_question *q)
{
    return q->is_refused || (q->expires_at_ms && q->expires_at_ms - q->provider_now_ms < REFRESH_LAST_CHANCE_MS);
}

static int is_leased(const struct refresh_question *q)
{
    return q->state->lease[0] && !is_over(&q->state->leased, q->lease_ms, &q->now);
}

/* A lease that nobody gave back: a call may have been made by somebody who could not write down what came of it. */
static int is_unsure(const struct refresh_question *q)
{
    return q->policy->rotates && (q->state->standing == REFRESH_UNSURE || q->state->lease[0]);
}

static int is_too_young(const struct refresh_question *q)
{
    return q->token_since.at_ms && !is_over(&q->token_since, q->policy->min_age_s * 1000, &q->now);
}

struct refresh_decision refresh_decide(const struct refresh_question *q)
{
    const struct refresh_state *s = q->state;
    int64_t wait_ms = refresh_back_off_ms(s, q->is_refused, q->spread, q->confirm_interval_ms);
    int is_unknown = !q->expires_at_ms && !q->is_refused;

    if (!refresh_is_wanted(q)) return (struct refresh_decision){REFRESH_NOT_DUE, ""};
    if (is_unknown && !is_over(&s->learnt, REFRESH_LEARN_EVERY_MS, &q->now))
        return (struct refresh_decision){REFRESH_NOT_DUE, ""};
    if (is_unknown && q->can_introspect) return (struct refresh_decision){REFRESH_INTROSPECT, ""};
    if (is_leased(q)) return (struct refresh_decision){REFRESH_WAIT, "leased"};
    if (is_unsure(q) && !is_last_chance(q)) return (struct refresh_decision){REFRESH_WAIT, "unsure"};
    if (s->failures && !is_over(&s->failed, wait_ms, &q->now))
        return (struct refresh_decision){REFRESH_WAIT, "back_off"};
    if (s->refreshed.at_ms && !is_over(&s->refreshed, REFRESH_AGAIN_MS, &q->now))
        return (struct refresh_decision){REFRESH_WAIT, "just_refreshed"};
    if (!q->is_refused && is_too_young(q)) return (struct refresh_decision){REFRESH_WAIT, "too_young"};
    return (struct refresh_decision){REFRESH_GO, ""};
}

void refresh_take_lease(struct refresh_state *s, const struct refresh_question *q, const char *id)
{
    if (is_unsure(q) && s->standing == REFRESH_FINE) s->standing = REFRESH_UNSURE;
    if (!q->expires_at_ms) s->learnt = q->now;
    snprintf(s->lease, sizeof s->lease, "%s", id);
    s->leased = q->now;
}

/* ---- what came of it */

enum refresh_end refresh_judge(const struct finding *f)
{
    if (f->reason == REASON_OK && !secret_is_empty(&f->access_token)) return REFRESH_DONE;
    if (reason_class(f->reason) == CLASS_DEFINITIVE) return REFRESH_REFUSED;
    return f->may_have_worked ? REFRESH_AMBIGUOUS : REFRESH_UNDONE;
}

void refresh_fail(struct refresh_state *s, const struct refresh_policy *policy, enum refresh_end end,
                  enum reason reason, const char *rule, const struct moment *now)
{
    /* What failed before for other reasons does not make the first refusal a second one. */
    if (end == REFRESH_REFUSED && policy->model == REFRESH_TOKEN && s->standing != REFRESH_DEAD) {
        s->standing = REFRESH_DEAD;
        s->failures = 0;
    }
    if (end == REFRESH_AMBIGUOUS && policy->rotates && s->standing != REFRESH_DEAD) s->standing = REFRESH_UNSURE;
    if (s->failures < LADDER) s->failures++;
    s->failed = *now;
    s->reason = reason;
    snprintf(s->rule, sizeof s->rule, "%s", rule);
    s->lease[0] = '\0';
    s->leased = (struct moment){0};
}
