/* The mass-failure guard's rule, by tables: answers in, what it does out. */
#include "cache/guard_rule.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { INTERVAL = 1000000, BEGIN = 7 * INTERVAL };

struct guard {
    struct guard_state s;
    int64_t now_ms;
    int trips, recoveries;
};

static void answer(struct guard *g, int is_bad)
{
    struct guard_state next;
    enum guard_turn turn;

    guard_rule_count(&g->s, is_bad, INTERVAL, g->now_ms, &next);
    g->s = next;
    turn = guard_rule_turn(&g->s, INTERVAL, g->now_ms, &next);
    g->s = next;
    g->trips += turn == GUARD_TRIPS;
    g->recoveries += turn == GUARD_RECOVERS;
}

/* "20+ 8- i": 20 good answers, 8 bad ones, an interval later. */
static void play(struct guard *g, const char *script)
{
    int n, used;
    char what;

    for (; *script; script += used) {
        used = 0;
        if (sscanf(script, " %d%c%n", &n, &what, &used) == 2 && used) {
            for (; n; n--)
                answer(g, what == '-');
        } else if (sscanf(script, " i%n", &used) == 0 && used) {
            g->now_ms += INTERVAL;
        } else {
            return;
        }
    }
}

static const struct {
    const char *answers;
    enum guard_mode mode;
    int is_burst, trips, recoveries;
} scripts[] = {
    {"", GUARD_OPEN, 0, 0, 0},
    {"100000+", GUARD_OPEN, 0, 0, 0},
    /* a burst: ten in a row, and less than that is none; good answers end it */
    {"1000+ 9-", GUARD_OPEN, 0, 0, 0},
    {"1000+ 10-", GUARD_OPEN, 1, 0, 0},
    {"1000+ 10- 1+", GUARD_OPEN, 0, 0, 0},
    {"1000+ 30-", GUARD_OPEN, 1, 0, 0},
    {"1000+ 30- 34+", GUARD_OPEN, 0, 0, 0},
    /* small numbers never trip */
    {"19-", GUARD_OPEN, 1, 0, 0},
    {"20-", GUARD_TRIPPED, 1, 1, 0},
    {"12+ 7-", GUARD_OPEN, 0, 0, 0},
    {"13+ 7-", GUARD_OPEN, 0, 0, 0},
    {"13+ 8-", GUARD_TRIPPED, 0, 1, 0},
    /* five in a hundred, and beyond chance */
    {"95+ 5-", GUARD_OPEN, 0, 0, 0},
    {"84+ 16-", GUARD_OPEN, 1, 0, 0},
    {"83+ 17-", GUARD_TRIPPED, 1, 1, 0},
    {"913+ 87-", GUARD_OPEN, 1, 0, 0},
    {"912+ 88-", GUARD_TRIPPED, 1, 1, 0},
    {"9381+ 619-", GUARD_OPEN, 1, 0, 0},
    {"9380+ 620-", GUARD_TRIPPED, 1, 1, 0},
    /* the interval before counts, the one before that does not */
    {"20- i", GUARD_TRIPPED, 1, 1, 0},
    {"10000+ i 620-", GUARD_OPEN, 1, 0, 0},
    {"10000+ i 700-", GUARD_TRIPPED, 1, 1, 0},
    {"10000+ i i 20-", GUARD_TRIPPED, 1, 1, 0},
    /* all well again: within two intervals it opens; too few answers are no recovery */
    {"10000- 10000+", GUARD_TRIPPED, 0, 1, 0},
    {"10000- i 10000+", GUARD_TRIPPED, 0, 1, 0},
    {"10000- i 10000+ i 1+", GUARD_OPEN, 0, 1, 1},
    {"10000- i i 10+", GUARD_TRIPPED, 1, 1, 0},
    {"10000- i i 19+", GUARD_TRIPPED, 1, 1, 0},
    {"10000- i i 34+", GUARD_OPEN, 0, 1, 1},
    {"10000- i i 10000+ 500-", GUARD_OPEN, 1, 1, 1},
    /* it comes back: another trip */
    {"10000- i i 10000+ i i 20-", GUARD_TRIPPED, 1, 2, 1},
    /* good and bad by turns */
    {"10000- i 5000+ 5000- i 5000+ 5000-", GUARD_TRIPPED, 1, 1, 0},
};

static void what_happens_after_these_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct guard g = {.now_ms = BEGIN};
        struct guard_view view;

        play(&g, scripts[i].answers);
        guard_rule_view(&g.s, INTERVAL, g.now_ms, &view);
        if (view.mode != scripts[i].mode || view.is_burst != scripts[i].is_burst || g.trips != scripts[i].trips ||
            g.recoveries != scripts[i].recoveries)
            fail_msg("\"%s\": %s, burst %d, %d trips, %d recoveries (%lld of %lld bad), expected %s, burst %d, %d, %d",
                     scripts[i].answers, guard_mode_word(view.mode), view.is_burst, g.trips, g.recoveries,
                     (long long)view.bad, (long long)view.answers, guard_mode_word(scripts[i].mode),
                     scripts[i].is_burst, scripts[i].trips, scripts[i].recoveries);
    }
}

static void a_burst_holds_for_a_while_and_a_tripped_guard_for_good(void **state)
{
    static const struct {
        const char *answers;
        int64_t held_ms;
        int holds;
    } cases[] = {
        {"1000+ 9-", 0, 0},
        {"1000+ 10-", 0, 1},
        {"1000+ 10-", INTERVAL, 1},
        {"1000+ 10-", INTERVAL * 3 / 2 - 1, 1},
        {"1000+ 10-", INTERVAL * 3 / 2, 0},
        {"20-", 0, 1},
        {"20-", 1000 * (int64_t)INTERVAL, 1},
        {"20- 100+", 1000 * (int64_t)INTERVAL, 1},
        {"20- 1000+", 0, 0}, /* recovered */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct guard g = {.now_ms = BEGIN};
        int holds;

        play(&g, cases[i].answers);
        holds = guard_rule_holds(&g.s, cases[i].held_ms, INTERVAL, g.now_ms);
        if (holds != cases[i].holds)
            fail_msg("\"%s\", held for %lld ms: %d, expected %d", cases[i].answers, (long long)cases[i].held_ms, holds,
                     cases[i].holds);
    }
}

static void confirmed_all_passes_and_nothing_is_counted_until_it_is_over(void **state)
{
    struct guard g = {.now_ms = BEGIN};
    struct guard_view view;

    (void)state;
    play(&g, "100-");
    guard_rule_obey(GUARD_CONFIRM, guard_confirmed_ms(INTERVAL), g.now_ms, &g.s);
    play(&g, "10000-");
    guard_rule_view(&g.s, INTERVAL, g.now_ms, &view);
    assert_int_equal(view.mode, GUARD_CONFIRMING);
    assert_true(view.mode_ms == INTERVAL * 3 / 2 && view.answers == 0 && view.bad == 0 && !view.is_burst);
    assert_int_equal(guard_rule_holds(&g.s, 0, INTERVAL, g.now_ms), 0);
    g.now_ms += INTERVAL * 3 / 2 - 1;
    play(&g, "100-");
    assert_int_equal(guard_rule_holds(&g.s, 0, INTERVAL, g.now_ms), 0);
    g.now_ms++;
    play(&g, "19-");
    assert_int_equal(g.trips, 1);
    play(&g, "1-");
    assert_int_equal(g.trips, 2);
    assert_int_equal(guard_rule_holds(&g.s, 0, INTERVAL, g.now_ms), 1);
}

static void released_it_begins_anew(void **state)
{
    struct guard g = {.now_ms = BEGIN};

    (void)state;
    play(&g, "1000-");
    guard_rule_obey(GUARD_RELEASE, 0, g.now_ms, &g.s);
    assert_int_equal(guard_rule_holds(&g.s, 0, INTERVAL, g.now_ms), 0);
    play(&g, "19-");
    assert_int_equal(g.trips, 1);
    play(&g, "1-");
    assert_int_equal(g.trips, 2);
}

static void words_that_cannot_be_count_as_nothing_known(void **state)
{
    uint64_t random = 88172645463325252U;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        struct guard g = {.now_ms = BEGIN};
        struct guard_view view;

        for (int word = 0; word < GUARD_WORDS; word++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            g.s.word[word] = round % 3 ? random : random >> (random % 64);
        }
        play(&g, "3+ 3-");
        guard_rule_view(&g.s, INTERVAL, g.now_ms, &view);
        if ((int)view.mode < 0 || view.mode > GUARD_CONFIRMING || view.bad > view.answers || view.bad < 0 ||
            view.answers > 1 << 25 || view.mode_ms < 0)
            fail_msg("round %d: mode %d for %lld ms, %lld of %lld bad", round, (int)view.mode, (long long)view.mode_ms,
                     (long long)view.bad, (long long)view.answers);
    }
}

static void millions_of_answers_do_not_overflow(void **state)
{
    struct guard g = {.now_ms = BEGIN};
    struct guard_view view;

    (void)state;
    for (int i = 0; i < 20 * 1000 * 1000; i++)
        answer(&g, i % 25 == 0);
    guard_rule_view(&g.s, INTERVAL, g.now_ms, &view);
    assert_int_equal(view.mode, GUARD_OPEN);
    assert_in_range(view.answers * 1000 / view.bad, 24000, 26000);
}

static void orders_and_modes_have_their_words(void **state)
{
    enum guard_order order;

    (void)state;
    assert_true(guard_order_parse("confirm", &order) && order == GUARD_CONFIRM);
    assert_true(guard_order_parse("release", &order) && order == GUARD_RELEASE);
    assert_false(guard_order_parse("status", &order) || guard_order_parse("", &order) ||
                 guard_order_parse(NULL, &order));
    assert_string_equal(guard_order_word(GUARD_CONFIRM), "confirm");
    assert_string_equal(guard_mode_word(GUARD_TRIPPED), "tripped");
    assert_string_equal(guard_mode_word((enum guard_mode)9), "open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_happens_after_these_answers),
        cmocka_unit_test(a_burst_holds_for_a_while_and_a_tripped_guard_for_good),
        cmocka_unit_test(confirmed_all_passes_and_nothing_is_counted_until_it_is_over),
        cmocka_unit_test(released_it_begins_anew),
        cmocka_unit_test(words_that_cannot_be_count_as_nothing_known),
        cmocka_unit_test(millions_of_answers_do_not_overflow),
        cmocka_unit_test(orders_and_modes_have_their_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
