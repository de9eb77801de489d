/* The verdict state machine: every state × reason × token × grace × count against a second, plainer statement of the rules; single
 * rules with numbers; clocks. */
#include "health/verdict.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "verdict_rules.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND };
static const int64_t noon = INT64_C(1800000000000);
static const struct verdict_settings usual = {
    .confirmations = 2, .confirm_interval_ms = 60 * SECOND, .reconnect_grace_ms = 60 * SECOND};

/* What was known before: a state with a reason that leads to it. */
static const struct known {
    enum state state;
    enum reason reason;
    enum action action;
} knowns[] = {
    {STATE_UNKNOWN, REASON_NONE, ACTION_WAIT},
    {STATE_HEALTHY, REASON_OK, ACTION_NONE},
    {STATE_EXPIRING, REASON_OK, ACTION_REFRESH},
    {STATE_LIMITED, REASON_PERMISSION_MISSING, ACTION_GRANT_PERMISSIONS},
    {STATE_BROKEN, REASON_REVOKED, ACTION_RECONNECT},
    {STATE_BROKEN, REASON_EXPIRED, ACTION_RECONNECT},
    {STATE_BROKEN, REASON_CHECKPOINT, ACTION_CONFIRM_IDENTITY},
    {STATE_BROKEN, REASON_UNDECRYPTABLE, ACTION_FIX_KEY},
};
enum { KNOWNS = sizeof knowns / sizeof *knowns };

static struct moment at(int64_t ms)
{
    return (struct moment){noon + ms, 5 * HOUR + ms, 77};
}

/* ---- the whole table ---- */

struct situation {
    const struct known *known;
    const struct rule *rule;
    int new_token, in_grace, apart, count, needs, expiring;
};

static const char *tell(const struct situation *s, char out[256])
{
    snprintf(out, 256, "%s/%s, then %s%s%s, %s after the last of %d counted, needsReconnection %s%s",
             state_word(s->known->state), reason_word(s->known->reason), s->rule->word,
             s->new_token ? " about another token" : "", s->in_grace ? " in grace" : "", s->apart ? "60 s" : "59.999 s",
             s->count, s->needs ? "true" : "false", s->expiring ? ", expiring" : "");
    return out;
}

static void check_int(const struct situation *s, const char *what, int64_t got, int64_t expected)
{
    char text[256];

    if (got != expected)
        fail_msg("%s: %s: got %lld, expected %lld", tell(s, text), what, (long long)got, (long long)expected);
}

static void check_text(const struct situation *s, const char *what, const char *got, const char *expected)
{
    char text[256];

    if (strcmp(got, expected) != 0) fail_msg("%s: %s: got \"%s\", expected \"%s\"", tell(s, text), what, got, expected);
}

static struct verdict known_before(const struct situation *s, const struct moment *now)
{
    struct verdict v = {.state = s->known->state,
                        .reason = s->known->reason,
                        .action = s->known->action,
                        .rule = "old_rule",
                        .needs_reconnection = s->needs,
                        .print = "token A",
                        .attempt_reason = REASON_TIMEOUT,
                        .attempt_rule = "network",
                        .attempted_at_ms = now->at_ms - 5};

    if (s->known->state == STATE_UNKNOWN) v.rule[0] = '\0';
    if (s->known->state != STATE_UNKNOWN) v.checked_at_ms = now->at_ms - 70 * SECOND;
    if (s->count) {
        v.confirmations = s->count;
        v.confirmed = at(s->apart ? -60 * SECOND : -60 * SECOND + 1);
    }
    v.token_since = at(s->in_grace ? -60 * SECOND + 1 : -60 * SECOND);
    return v;
}

static void expect_attempt(const struct situation *s, const struct verdict *before, const struct verdict *v,
                           const struct moment *now)
{
    const struct rule *r = s->rule;

    check_int(s, "state", v->state, s->new_token ? STATE_UNKNOWN : before->state);
    check_int(s, "reason", v->reason, s->new_token ? REASON_NONE : before->reason);
    check_int(s, "action", v->action, v->state == STATE_UNKNOWN ? r->action : before->action);
    check_int(s, "needsReconnection", v->needs_reconnection, before->needs_reconnection);
    check_int(s, "confirmations", v->confirmations, s->new_token ? 0 : before->confirmations);
    check_int(s, "confirmed at", v->confirmed.at_ms, s->new_token ? 0 : before->confirmed.at_ms);
    check_int(s, "checked at", v->checked_at_ms, s->new_token ? 0 : before->checked_at_ms);
    check_text(s, "rule", v->rule, s->new_token ? "" : before->rule);
    check_int(s, "attempt", v->attempt_reason, r->reason);
    check_int(s, "attempted at", v->attempted_at_ms, now->at_ms);
    check_text(s, "attempt's rule", v->attempt_rule, "new_rule");
}

static void expect_decision(const struct situation *s, const struct verdict *before, const struct verdict *v,
                            const struct moment *now)
{
    const struct rule *r = s->rule;
    int expiring = r->reason == REASON_OK && s->expiring, count = 0, needs = before->needs_reconnection;

    if (r->kind == '+') needs = 0;
    if (r->asks_user) {
        int held = s->new_token || s->known->state != STATE_BROKEN ? 0 : s->count;

        count = held == 0 ? 1 : s->apart && held < 2 ? held + 1 : held;
        if (count >= 2) needs = 1;
    }
    check_int(s, "state", v->state, expiring ? STATE_EXPIRING : r->state);
    check_int(s, "reason", v->reason, r->reason);
    check_int(s, "action", v->action, expiring ? ACTION_REFRESH : r->action);
    check_int(s, "confirmations", v->confirmations, count);
    check_int(s, "needsReconnection", v->needs_reconnection, needs);
    check_int(s, "checked at", v->checked_at_ms, now->at_ms);
    check_text(s, "rule", v->rule, "new_rule");
    check_int(s, "attempt", v->attempt_reason, REASON_NONE);
    check_int(s, "attempted at", v->attempted_at_ms, 0);
    check_text(s, "attempt's rule", v->attempt_rule, "");
}

static void try_situation(const struct situation *s, int in_place)
{
    const struct moment now = at(0);
    struct verdict before = known_before(s, &now), v = before;
    struct observation obs = {.reason = s->rule->reason,
                              .rule = "new_rule",
                              .print = s->new_token ? "token B" : "token A",
                              .expiring = s->expiring};
    int changed = verdict_decide(in_place ? &v : &before, &obs, &now, &usual, &v);

    if (s->rule->kind == '?' || (s->rule->kind == '-' && (s->new_token || s->in_grace)))
        expect_attempt(s, &before, &v, &now);
    else
        expect_decision(s, &before, &v, &now);
    check_text(s, "print", v.print, obs.print);
    check_int(s, "token since", v.token_since.at_ms, s->new_token ? now.at_ms : before.token_since.at_ms);
    check_int(s, "event", changed,
              v.state != before.state || v.reason != before.reason ||
                  v.needs_reconnection != before.needs_reconnection);
}

static void every_transition_is_as_the_rules_say(void **state)
{
    long tried = 0;

    (void)state;
    for (int k = 0; k < KNOWNS; k++)
        for (int r = 0; r < RULES; r++)
            for (int bits = 0; bits < 32; bits++)
                for (int count = 0;
                     count <= (knowns[k].state == STATE_BROKEN && knowns[k].action != ACTION_FIX_KEY ? 2 : 0);
                     count++) {
                    struct situation s = {&knowns[k],    &rules[r], bits & 1,      bits >> 1 & 1,
                                          bits >> 2 & 1, count,     bits >> 3 & 1, bits >> 4 & 1};

                    try_situation(&s, (int)(tried++ & 1));
                }
    print_message("%ld situations\n", tried);
    assert_true(tried > 4000);
}

/* ---- single rules, said once more with numbers ---- */

static int decide(struct verdict *v, enum reason reason, const char *print, struct moment now)
{
    struct observation obs = {.reason = reason, .rule = "r", .print = print};

    return verdict_decide(v, &obs, &now, &usual, v);
}

static void a_revoked_token_asks_for_the_user_at_the_second_answer(void **state)
{
    struct verdict v = {0};

    (void)state;
    assert_int_equal(decide(&v, REASON_OK, "A", at(0)), 1);
    assert_int_equal(decide(&v, REASON_REVOKED, "A", at(1000)), 1);
    assert_int_equal(v.state, STATE_BROKEN);
    assert_int_equal(v.needs_reconnection, 0);
    assert_int_equal(decide(&v, REASON_REVOKED, "A", at(60999)), 0);
    assert_int_equal(v.needs_reconnection, 0);
    assert_int_equal(decide(&v, REASON_REVOKED, "A", at(61000)), 1); /* the confirmation is an event too */
    assert_int_equal(v.needs_reconnection, 1);
    assert_int_equal(decide(&v, REASON_OK, "A", at(61001)), 1);
    assert_int_equal(v.needs_reconnection, 0);
    assert_int_equal(v.state, STATE_HEALTHY);
}

static void answers_between_two_counted_ones_do_not_push_the_second_away(void **state)
{
    struct verdict v = {0};

    (void)state;
    for (int64_t ms = 0; ms < 60 * SECOND; ms += 5 * SECOND) {
        decide(&v, REASON_EXPIRED, "A", at(ms));
        assert_int_equal(v.needs_reconnection, 0);
    }
    decide(&v, REASON_EXPIRED, "A", at(60 * SECOND));
    assert_int_equal(v.needs_reconnection, 1);
}

static void different_reasons_confirm_each_other(void **state)
{
    struct verdict v = {0};

    (void)state;
    decide(&v, REASON_EXPIRED, "A", at(0));
    decide(&v, REASON_TIMEOUT, "A", at(30000));
    decide(&v, REASON_CHECKPOINT, "A", at(60000));
    assert_int_equal(v.needs_reconnection, 1);
    assert_int_equal(v.action, ACTION_CONFIRM_IDENTITY);
}

static void an_acceptance_between_starts_the_count_again(void **state)
{
    struct verdict v = {0};

    (void)state;
    decide(&v, REASON_REVOKED, "A", at(0));
    decide(&v, REASON_BLOCKED, "A", at(100));
    decide(&v, REASON_REVOKED, "A", at(70000));
    assert_int_equal(v.needs_reconnection, 0);
    assert_int_equal(v.confirmations, 1);
}

static void undecryptable_never_asks_for_the_user(void **state)
{
    struct verdict v = {0};

    (void)state;
    for (int i = 0; i < 10; i++)
        decide(&v, REASON_UNDECRYPTABLE, "A", at(i * HOUR));
    assert_int_equal(v.state, STATE_BROKEN);
    assert_int_equal(v.action, ACTION_FIX_KEY);
    assert_int_equal(v.needs_reconnection, 0);
    assert_null(reason_token_status(REASON_UNDECRYPTABLE));
    assert_false(verdict_blocks(v.state, v.action));
    assert_false(verdict_unconfirmed(&v, &usual));
    decide(&v, REASON_REVOKED, "A", at(20 * HOUR)); /* the key was put right */
    assert_int_equal(v.needs_reconnection, 0);
    assert_int_equal(v.confirmations, 1);
}

static void a_token_that_appears_after_none_gets_its_grace(void **state)
{
    struct verdict v = {0};

    (void)state;
    decide(&v, REASON_MISSING_TOKEN, "", at(0));
    decide(&v, REASON_MISSING_TOKEN, "", at(60000));
    assert_int_equal(v.needs_reconnection, 1);
    decide(&v, REASON_INVALID_TOKEN, "B", at(100000)); /* reconnected; the provider lags */
    assert_int_equal(v.state, STATE_UNKNOWN);
    assert_int_equal(v.attempt_reason, REASON_INVALID_TOKEN);
    assert_int_equal(v.needs_reconnection, 1); /* the application's field: ours to clear when the account is healthy */
    decide(&v, REASON_OK, "B", at(101000));
    assert_int_equal(v.needs_reconnection, 0);
}

static void the_first_token_ever_seen_gets_no_grace(void **state)
{
    struct verdict v = {0};

    (void)state;
    decide(&v, REASON_REVOKED, "A", at(0));
    assert_int_equal(v.state, STATE_BROKEN);
    assert_int_equal(v.token_since.at_ms, 0);
}

static void a_disconnected_account_keeps_what_is_known_of_it(void **state)
{
    struct observation obs = {.disconnected = 1};
    struct verdict v = {.state = STATE_BROKEN, .reason = REASON_REVOKED, .confirmations = 1, .print = "A"}, out;
    const struct moment now = at(0);

    (void)state;
    assert_int_equal(verdict_decide(&v, &obs, &now, &usual, &out), 0);
    assert_int_equal(out.state, STATE_DISCONNECTED);
    assert_int_equal(out.action, ACTION_NONE);
    assert_int_equal(out.confirmations, 1);
    assert_string_equal(out.print, "A");
}

/* ---- clocks ---- */

static void a_clock_that_is_set_confirms_nothing_early(void **state)
{
    static const int64_t steps_ms[] = {HOUR, -HOUR, 24 * HOUR, -24 * HOUR, 61 * SECOND, -1};

    (void)state;
    for (size_t i = 0; i < sizeof steps_ms / sizeof *steps_ms; i++) {
        struct verdict v = {0};
        struct moment later = at(10000), last = at(60000);

        decide(&v, REASON_REVOKED, "A", at(0));
        later.at_ms += steps_ms[i];
        last.at_ms += steps_ms[i];
        decide(&v, REASON_REVOKED, "A", later);
        if (v.needs_reconnection) fail_msg("a step of %lld ms: confirmed after 10 s", (long long)steps_ms[i]);
        decide(&v, REASON_REVOKED, "A", last);
        if (!v.needs_reconnection) fail_msg("a step of %lld ms: not confirmed after 60 s", (long long)steps_ms[i]);
    }
}

static void a_clock_that_is_set_leaves_the_grace_as_long_as_it_is(void **state)
{
    (void)state;
    for (int64_t step_ms = -HOUR; step_ms <= HOUR; step_ms += HOUR) {
        struct verdict v = {0};
        struct moment now = at(59999);

        decide(&v, REASON_OK, "A", at(-HOUR));
        decide(&v, REASON_TIMEOUT, "B", at(0));
        now.at_ms += step_ms;
        decide(&v, REASON_REVOKED, "B", now);
        assert_int_equal(v.state, STATE_UNKNOWN);
        now.mono_ms++;
        decide(&v, REASON_REVOKED, "B", now);
        assert_int_equal(v.state, STATE_BROKEN);
    }
}

/* Two hosts whose clocks are up to ten minutes apart. */
static void another_host_cannot_confirm_early_whatever_its_clock_says(void **state)
{
    (void)state;
    for (int64_t skew_ms = -600 * SECOND; skew_ms <= 600 * SECOND; skew_ms += 60 * SECOND) {
        struct verdict v = {0};
        struct moment other = {noon + 59999 + skew_ms, 3, 88};

        decide(&v, REASON_REVOKED, "A", at(0));
        decide(&v, REASON_REVOKED, "A", other);
        if (v.needs_reconnection) fail_msg("skew %lld ms: confirmed after 59.999 s", (long long)skew_ms);
        other.at_ms += 1200 * SECOND + 1;
        other.mono_ms += 1200 * SECOND + 1;
        decide(&v, REASON_REVOKED, "A", other);
        if (!v.needs_reconnection) fail_msg("skew %lld ms: not confirmed after 21 min", (long long)skew_ms);
    }
}

static void clocks_that_contradict_each_other_start_the_interval_again(void **state)
{
    struct verdict v = {0};
    struct moment other = {noon - 24 * HOUR, 3, 88};

    (void)state;
    decide(&v, REASON_REVOKED, "A", at(0));
    decide(&v, REASON_REVOKED, "A", other);
    assert_int_equal(v.confirmations, 1);
    assert_int_equal(v.confirmed.at_ms, other.at_ms);
    other.at_ms += 60000;
    other.mono_ms += 60000;
    decide(&v, REASON_REVOKED, "A", other);
    assert_int_equal(v.needs_reconnection, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transition_is_as_the_rules_say),
        cmocka_unit_test(a_revoked_token_asks_for_the_user_at_the_second_answer),
        cmocka_unit_test(answers_between_two_counted_ones_do_not_push_the_second_away),
        cmocka_unit_test(different_reasons_confirm_each_other),
        cmocka_unit_test(an_acceptance_between_starts_the_count_again),
        cmocka_unit_test(undecryptable_never_asks_for_the_user),
        cmocka_unit_test(a_token_that_appears_after_none_gets_its_grace),
        cmocka_unit_test(the_first_token_ever_seen_gets_no_grace),
        cmocka_unit_test(a_disconnected_account_keeps_what_is_known_of_it),
        cmocka_unit_test(a_clock_that_is_set_confirms_nothing_early),
        cmocka_unit_test(a_clock_that_is_set_leaves_the_grace_as_long_as_it_is),
        cmocka_unit_test(another_host_cannot_confirm_early_whatever_its_clock_says),
        cmocka_unit_test(clocks_that_contradict_each_other_start_the_interval_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
