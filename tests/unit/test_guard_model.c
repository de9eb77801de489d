/* The mass-failure guard against chance: thousands of populations whose accounts go bad each for itself, which it must not touch, and
 * incidents of every size, of which it must let little through. */
#include "cache/guard_rule.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { INTERVAL = 1800000, ACCOUNTS = 10000, POPULATIONS = 4000, INCIDENTS = 200 };

static uint64_t random_state = UINT64_C(0x9E3779B97F4A7C15);

static int happens(double share)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) * 0x1p-53 < share;
}

struct sweep {
    int64_t now_ms;
    int bad, passed, tripped; /* of the bad ones, those that were not held */
};

/* Each bad answer is weighed when 20 more have come, as a sweep does. */
static void sweep(struct guard_state *s, double share, struct sweep *out)
{
    int waiting[20] = {0};

    for (int i = 0; i < ACCOUNTS + 20; i++) {
        const int slot = i % 20, is_bad = i < ACCOUNTS && happens(share);
        struct guard_state next;

        if (i < ACCOUNTS) {
            guard_rule_count(s, is_bad, INTERVAL, out->now_ms, &next);
            *s = next;
            out->tripped += guard_rule_turn(s, INTERVAL, out->now_ms, &next) == GUARD_TRIPS;
            *s = next;
        }
        out->passed += waiting[slot] && !guard_rule_holds(s, 0, INTERVAL, out->now_ms);
        waiting[slot] = is_bad;
        out->bad += is_bad;
    }
}

/* All healthy in the sweep before, or, with ${is_fresh}, nothing known of it. */
static struct sweep play(double share, int is_fresh)
{
    struct guard_state s = {.word = {0}};
    struct sweep before = {.now_ms = INTERVAL}, now = {.now_ms = 2 * INTERVAL};

    if (!is_fresh) sweep(&s, 0, &before);
    sweep(&s, share, &now);
    return now;
}

static void accounts_that_go_bad_each_for_itself_are_not_held(void **state)
{
    static const double shares[] = {0.01, 0.03, 0.05};

    (void)state;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        int trips = 0, touched = 0, held = 0;

        for (int n = 0; n < POPULATIONS; n++) {
            const struct sweep seen = play(shares[i], n % 2);

            trips += seen.tripped != 0;
            touched += seen.passed != seen.bad;
            held += seen.bad - seen.passed;
        }
        print_message("FIGURE: guard: %.0f %% of %d accounts really go bad, %d populations: tripped in %d, held any in "
                      "%d (%d accounts)\n",
                      shares[i] * 100, ACCOUNTS, POPULATIONS, trips, touched, held);
        if (trips * 1000 > POPULATIONS || touched * 1000 > POPULATIONS)
            fail_msg("at %.0f %%: tripped in %d, held in %d of %d populations, expected at most 1 in 1,000",
                     shares[i] * 100, trips, touched, POPULATIONS);
    }
}

static void an_incident_is_held_whatever_its_size(void **state)
{
    static const struct {
        double share;
        int most; /* bad answers that pass, in the mean: there is no telling before there is evidence */
    } cases[] = {{1, 0}, {0.9, 0}, {0.5, 5}, {0.33, 15}, {0.25, 25}, {0.2, 45}, {0.15, 300}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t passed = 0, bad = 0;
        int tripped = 0;

        for (int n = 0; n < INCIDENTS; n++) {
            const struct sweep seen = play(cases[i].share, 0);

            passed += seen.passed;
            bad += seen.bad;
            tripped += seen.tripped;
        }
        print_message(
            "FIGURE: guard: an incident at %.0f %% of %d accounts: %.1f of %.0f bad answers pass before it is "
            "noticed\n",
            cases[i].share * 100, ACCOUNTS, (double)passed / INCIDENTS, (double)bad / INCIDENTS);
        if (tripped != INCIDENTS || passed > (int64_t)cases[i].most * INCIDENTS)
            fail_msg("at %.0f %%: tripped %d times in %d, %.1f passed, expected once each and at most %d",
                     cases[i].share * 100, tripped, INCIDENTS, (double)passed / INCIDENTS, cases[i].most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_that_go_bad_each_for_itself_are_not_held),
        cmocka_unit_test(an_incident_is_held_whatever_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
