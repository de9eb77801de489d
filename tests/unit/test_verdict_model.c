/* A million random histories of one account: answers of every kind, an application that saves tokens and writes our fields,
 * clocks that are set, hosts whose clocks differ, restarts. What must never happen is checked after every step against a
 * model that knows the true time; that the user is told in the end is checked after every history. */
#include "health/verdict.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    HISTORIES = 1000000,
    STEPS_MAX = 16,
    HOSTS = 3,
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    SKEW = 5 * MINUTE
};
static const int64_t epoch = INT64_C(1800000000000);
static const char *const prints[] = {"", "token A", "token B", "token C"};

struct host {
    uint64_t boot;
    int64_t booted, wall_offset;
};

struct world {
    uint64_t random;
    uint64_t history;
    struct verdict_settings settings;
    int host_count; /* one, whose clock may be set at will; or several within twice SKEW of each other */
    struct host hosts[HOSTS];
    uint64_t boots;
    int64_t now; /* true time */
    int print;   /* what the application has stored: index into prints */
    struct verdict v;
    /* what the model knows of the token that is stored */
    int judged;      /* its print, -1 before the first look */
    int is_new;      /* it replaced one that we had seen */
    int64_t seen_at; /* first look at it */
    int is_guarded;  /* the mass-failure guard may hold what gets worse */
    int counted;     /* definitive answers at least the interval apart since the last acceptance, outside the grace */
    int64_t counted_at;
};

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (w->random * UINT64_C(0x2545F4914F6CDD1D) >> 11) % below;
}

static struct moment look(const struct world *w, int host)
{
    const struct host *h = &w->hosts[host];

    return (struct moment){epoch + w->now + h->wall_offset, w->now - h->booted, h->boot};
}

static void broken_promise(const struct world *w, const struct verdict *before, enum reason reason, const char *promise)
{
    fail_msg("history %llu at %lld ms, answer %s about \"%s\": %s\n  before: %s/%s, %d counted, needsReconnection %d\n"
             "  after:  %s/%s, %d counted, needsReconnection %d; the model counts %d",
             (unsigned long long)w->history, (long long)w->now, reason_word(reason), prints[w->print], promise,
             state_word(before->state), reason_word(before->reason), before->confirmations, before->needs_reconnection,
             state_word(w->v.state), reason_word(w->v.reason), w->v.confirmations, w->v.needs_reconnection, w->counted);
}

/* The model, told of an answer. */
static void count_answer(struct world *w, enum reason reason)
{
    enum reason_class class = reason_class(reason);

    if (w->judged != w->print) {
        w->is_new = w->judged >= 0;
        w->judged = w->print;
        w->seen_at = w->now;
        w->counted = 0;
    }
    if (class == CLASS_ACCEPTED) w->counted = 0;
    if (class != CLASS_DEFINITIVE || reason == REASON_UNDECRYPTABLE) return;
    if (w->is_new && w->now - w->seen_at < w->settings.reconnect_grace_ms) return;
    if (w->counted && w->now - w->counted_at < w->settings.confirm_interval_ms) return;
    w->counted++;
    w->counted_at = w->now;
}

static int same_but_attempt(const struct verdict *a, const struct verdict *b)
{
    return a->state == b->state && a->reason == b->reason && !strcmp(a->rule, b->rule) &&
           a->checked_at_ms == b->checked_at_ms && a->confirmations == b->confirmations &&
           a->confirmed.at_ms == b->confirmed.at_ms && a->needs_reconnection == b->needs_reconnection &&
           !strcmp(a->print, b->print);
}

static void check_inconclusive(const struct world *w, const struct verdict *before, int other_token, enum reason reason)
{
    if (w->v.attempt_reason != reason) broken_promise(w, before, reason, "an attempt is not recorded");
    if (w->v.needs_reconnection != before->needs_reconnection)
        broken_promise(w, before, reason, "an attempt changed needsReconnection");
    if (other_token ? w->v.state != STATE_UNKNOWN || w->v.confirmations || w->v.checked_at_ms
                    : !same_but_attempt(&w->v, before))
        broken_promise(w, before, reason,
                       other_token ? "the old token's verdict was kept" : "an attempt changed the verdict");
}

static void check_decision(const struct world *w, const struct verdict *before, const struct moment *at,
                           enum reason reason)
{
    const struct verdict *v = &w->v;

    if (v->reason != reason || v->checked_at_ms != at->at_ms || v->attempt_reason != REASON_NONE ||
        v->held_reason != REASON_NONE)
        broken_promise(w, before, reason, "a deciding answer did not decide");
    if (reason_class(reason) == CLASS_ACCEPTED) {
        if (v->state == STATE_BROKEN || v->state == STATE_UNKNOWN || v->needs_reconnection || v->confirmations)
            broken_promise(w, before, reason, "an acceptance did not recover");
        return;
    }
    if (v->state != STATE_BROKEN) broken_promise(w, before, reason, "a definitive answer left the account working");
    if (v->needs_reconnection && !before->needs_reconnection && reason == REASON_UNDECRYPTABLE)
        broken_promise(w, before, reason, "undecryptable asked for the user");
    if (v->needs_reconnection && !before->needs_reconnection && w->counted < w->settings.confirmations)
        broken_promise(w, before, reason, "needsReconnection without enough definitive answers far enough apart");
    if (v->confirmations > w->counted) broken_promise(w, before, reason, "more is counted than there was");
}

/* Held: nothing is decided, and what the answer proves is not lost. */
static void hold(struct world *w, const struct verdict *before, const struct observation *obs, const struct moment *at,
                 int other_token)
{
    const struct verdict decided = w->v;

    verdict_hold(before, obs, at, &w->v);
    if (w->v.state != (other_token ? STATE_UNKNOWN : before->state) ||
        w->v.needs_reconnection != before->needs_reconnection)
        broken_promise(w, before, obs->reason, "a held answer changed the verdict");
    if (w->v.attempt_reason != obs->reason || w->v.held_reason != obs->reason || !w->v.held_since.at_ms)
        broken_promise(w, before, obs->reason, "a held answer is not recorded");
    if (w->v.confirmations != decided.confirmations || w->v.confirmations > w->counted)
        broken_promise(w, before, obs->reason, "a held answer does not count as it should");
    if (verdict_worsens(before, &w->v)) broken_promise(w, before, obs->reason, "a held answer made it worse");
}

static void answer(struct world *w, int host, enum reason reason)
{
    const struct moment at = look(w, host);
    struct observation obs = {.reason = reason, .rule = "rule", .print = prints[w->print], .expiring = (int)draw(w, 2)};
    struct verdict before = w->v;
    int other_token = strcmp(before.print, prints[w->print]) != 0, changed, waits;

    count_answer(w, reason);
    waits = w->is_new && w->now - w->seen_at < w->settings.reconnect_grace_ms;
    changed = verdict_decide(&before, &obs, &at, &w->settings, &w->v);
    if (changed != (w->v.state != before.state || w->v.reason != before.reason ||
                    w->v.needs_reconnection != before.needs_reconnection))
        broken_promise(w, &before, reason, "what changed and what is said to have changed differ");
    if (w->is_guarded && verdict_worsens(&before, &w->v) && draw(w, 3) == 0) {
        hold(w, &before, &obs, &at, other_token);
        return;
    }
    if (reason_class(reason) == CLASS_INCONCLUSIVE ||
        (reason_class(reason) == CLASS_DEFINITIVE && (waits || w->v.attempt_reason == reason)))
        check_inconclusive(w, &before, other_token, reason);
    else
        check_decision(w, &before, &at, reason);
    if (reason_class(reason) == CLASS_DEFINITIVE && w->v.attempt_reason == reason && !w->is_new)
        broken_promise(w, &before, reason, "grace for a token that is not new");
}

static void set_clock(struct world *w, struct host *h)
{
    static const int64_t steps[] = {-24 * HOUR, -HOUR, -61 * SECOND, -SECOND, SECOND, 61 * SECOND, HOUR, 24 * HOUR};

    if (w->host_count == 1)
        h->wall_offset += steps[draw(w, 8)];
    else
        h->wall_offset = (int64_t)draw(w, 2 * SKEW + 1) - SKEW;
}

static void restart(struct world *w, struct host *h)
{
    h->boot = ++w->boots;
    h->booted = w->now - (int64_t)draw(w, HOUR);
}

static void pass_time(struct world *w)
{
    static const int64_t pauses[] = {0, 1, SECOND, 30 * SECOND, MINUTE - 1, MINUTE, 5 * MINUTE, 30 * MINUTE};

    w->now += pauses[draw(w, 8)];
}

static void begin(struct world *w, uint64_t history)
{
    static const int64_t spans[] = {0, SECOND, MINUTE, MINUTE};

    w->history = history;
    w->random = (history + 1) * UINT64_C(0x9E3779B97F4A7C15);
    w->settings = (struct verdict_settings){(int)draw(w, 3) + 1, spans[draw(w, 4)], spans[draw(w, 4)]};
    w->host_count = draw(w, 2) ? 1 : HOSTS;
    w->now = w->boots = 0;
    for (int i = 0; i < HOSTS; i++) {
        restart(w, &w->hosts[i]);
        w->hosts[i].wall_offset = (int64_t)draw(w, 2 * SKEW + 1) - SKEW;
    }
    w->print = (int)draw(w, 4);
    w->v = (struct verdict){.needs_reconnection = (int)draw(w, 2)};
    w->judged = -1;
    w->is_new = w->counted = 0;
    w->is_guarded = (int)draw(w, 2);
}

static void step(struct world *w)
{
    struct host *host = &w->hosts[draw(w, (uint64_t)w->host_count)];

    pass_time(w);
    switch (draw(w, 12)) {
    case 0:
        w->print = (int)draw(w, 4);
        break;
    case 1:
        w->v.needs_reconnection = (int)draw(w, 2); /* the application writes it too */
        break;
    case 2:
        set_clock(w, host);
        break;
    case 3:
        if (w->host_count > 1) restart(w, host);
        break;
    default:
        answer(w, (int)(host - w->hosts), draw(w, 2) ? REASON_REVOKED : (enum reason)draw(w, REASON_COUNT));
    }
}

/* Whatever happened before: a token that stays refused makes us tell the user, one that is accepted ends it. */
static void end(struct world *w)
{
    int host = (int)draw(w, (uint64_t)w->host_count);

    w->is_guarded = 0;
    if (draw(w, 4) == 0) {
        w->v.needs_reconnection = 1;
        answer(w, host, REASON_OK); /* checks that it recovers */
        return;
    }
    answer(w, host, REASON_TIMEOUT);
    w->now += w->settings.reconnect_grace_ms + 4 * SKEW + 1; /* an unlucky other clock, once more */
    for (int i = 0; i <= w->settings.confirmations; i++) {
        answer(w, host, REASON_EXPIRED);
        w->now += w->settings.reconnect_grace_ms > w->settings.confirm_interval_ms ? w->settings.reconnect_grace_ms
                                                                                   : w->settings.confirm_interval_ms;
    }
    answer(w, host, REASON_EXPIRED);
    if (!w->v.needs_reconnection) broken_promise(w, &w->v, REASON_EXPIRED, "the user is never told");
}

static void a_million_histories_keep_every_promise(void **state)
{
    static struct world w;
    struct timespec used;

    (void)state;
    for (uint64_t history = 0; history < HISTORIES; history++) {
        begin(&w, history);
        for (uint64_t left = 2 + draw(&w, STEPS_MAX - 1); left; left--)
            step(&w);
        end(&w);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    print_message("FIGURE: verdict model: %d histories in %.1f s of CPU\n", HISTORIES,
                  (double)used.tv_sec + (double)used.tv_nsec / 1e9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_million_histories_keep_every_promise)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
