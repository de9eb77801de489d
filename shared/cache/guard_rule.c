#include "cache/guard_rule.h"
#include <string.h>

/* A window: 16 bits of the interval's number, 24 of its answers, 24 of the bad ones. The mode: a time, and in the last two bits which
 * mode it is: tripped since then, confirmed until then. */
enum { COUNT_BITS = 24, COUNT_MAX = (1 << COUNT_BITS) - 1, NUMBER_SHIFT = 2 * COUNT_BITS, MODE_BITS = 2 };

static const char *const mode_words[] = {"open", "tripped", "confirmed"};
static const char *const order_words[GUARD_ORDERS] = {"release", "confirm"};

const char *guard_mode_word(enum guard_mode mode)
{
    return (unsigned)mode <= GUARD_CONFIRMING ? mode_words[mode] : "open";
}

const char *guard_order_word(enum guard_order order)
{
    return (unsigned)order < GUARD_ORDERS ? order_words[order] : "";
}

int guard_order_parse(const char *word, enum guard_order *order)
{
    for (int i = 0; word && i < GUARD_ORDERS; i++)
        if (!strcmp(word, order_words[i])) {
            *order = (enum guard_order)i;
            return 1;
        }
    return 0;
}

int64_t guard_confirmed_ms(int64_t interval_ms)
{
    return interval_ms * GUARD_CONFIRMED / 2;
}

/* ---- the words ---- */

static uint64_t make_mode(enum guard_mode mode, int64_t at_ms)
{
    return (uint64_t)at_ms << MODE_BITS | (uint64_t)mode;
}

static enum guard_mode read_mode(const struct guard_state *s, int64_t now_ms, int64_t *mode_ms)
{
    const uint64_t word = s->word[GUARD_MODE];
    const unsigned mode = word & ((1U << MODE_BITS) - 1);
    const int64_t at_ms = (int64_t)(word >> MODE_BITS);

    *mode_ms = mode == GUARD_TRIPPED ? now_ms - at_ms : mode == GUARD_CONFIRMING ? at_ms - now_ms : 0;
    if (mode == GUARD_TRIPPED && *mode_ms >= 0) return GUARD_TRIPPED;
    if (mode == GUARD_CONFIRMING && *mode_ms > 0 && *mode_ms <= guard_confirmed_ms(GUARD_INTERVAL_MAX_MS))
        return GUARD_CONFIRMING;
    *mode_ms = 0;
    return GUARD_OPEN;
}

static uint64_t read_score(const struct guard_state *s)
{
    return s->word[GUARD_SCORE] <= GUARD_SCORE_MAX ? s->word[GUARD_SCORE] : 0;
}

static uint64_t number_of(int64_t interval_ms, int64_t now_ms)
{
    return (uint64_t)(now_ms / (interval_ms > 0 ? interval_ms : 1)) & 0xffff;
}

struct window {
    uint64_t number, answers, bad;
};

static struct window read_window(const struct guard_state *s, uint64_t number)
{
    const uint64_t word = s->word[number & 1 ? GUARD_WINDOW_ODD : GUARD_WINDOW_EVEN];
    struct window w = {word >> NUMBER_SHIFT, (word >> COUNT_BITS) & COUNT_MAX, word & COUNT_MAX};

    if (w.number != number || w.bad > w.answers) w = (struct window){.number = number};
    return w;
}

static struct window read_both(const struct guard_state *s, int64_t interval_ms, int64_t now_ms)
{
    const uint64_t number = number_of(interval_ms, now_ms);
    struct window sum = read_window(s, number), before = read_window(s, (number - 1) & 0xffff);

    sum.answers += before.answers;
    sum.bad += before.bad;
    return sum;
}

static int is_burst(const struct guard_state *s)
{
    return read_score(s) >= GUARD_SCORE_BURST;
}

/* ---- the rule ---- */

static uint64_t next_score(uint64_t score, int is_bad)
{
    if (is_bad) return score + GUARD_SCORE_BAD < GUARD_SCORE_MAX ? score + GUARD_SCORE_BAD : GUARD_SCORE_MAX;
    return score > GUARD_SCORE_GOOD ? score - GUARD_SCORE_GOOD : 0;
}

void guard_rule_count(const struct guard_state *s, int is_bad, int64_t interval_ms, int64_t now_ms,
                      struct guard_state *next)
{
    const uint64_t number = number_of(interval_ms, now_ms);
    struct window w = read_window(s, number);
    int64_t mode_ms;

    *next = *s;
    if (read_mode(s, now_ms, &mode_ms) == GUARD_CONFIRMING) return;
    next->word[GUARD_SCORE] = next_score(read_score(s), is_bad);
    if (w.answers == COUNT_MAX) {
        w.answers /= 2;
        w.bad /= 2;
    }
    w.answers++;
    w.bad += is_bad != 0;
    next->word[number & 1 ? GUARD_WINDOW_ODD : GUARD_WINDOW_EVEN] =
        number << NUMBER_SHIFT | w.answers << COUNT_BITS | w.bad;
}

/* With the share p = GUARD_PERCENT, n answers and k bad ones: (k - pn)² > 30 p (1-p) n, in whole numbers. */
static int is_mass(const struct window *w)
{
    const uint64_t all = 100 / GUARD_PERCENT, twentieths = w->bad * all;
    uint64_t over;

    if (w->answers < GUARD_ANSWERS_MIN || w->bad < GUARD_BAD_MIN || twentieths <= w->answers) return 0;
    over = twentieths - w->answers;
    return over * over > 30 * (all - 1) * w->answers;
}

enum guard_turn guard_rule_turn(const struct guard_state *s, int64_t interval_ms, int64_t now_ms,
                                struct guard_state *next)
{
    const struct window w = read_both(s, interval_ms, now_ms);
    int64_t mode_ms;

    *next = *s;
    switch (read_mode(s, now_ms, &mode_ms)) {
    case GUARD_OPEN:
        if (!is_mass(&w)) return GUARD_STAYS;
        next->word[GUARD_MODE] = make_mode(GUARD_TRIPPED, now_ms);
        return GUARD_TRIPS;
    case GUARD_TRIPPED:
        if (w.answers < GUARD_ANSWERS_MIN || w.bad * 100 > w.answers * GUARD_PERCENT || is_burst(s)) return GUARD_STAYS;
        next->word[GUARD_MODE] = make_mode(GUARD_OPEN, 0);
        return GUARD_RECOVERS;
    case GUARD_CONFIRMING:
        break;
    }
    return GUARD_STAYS;
}

int guard_rule_holds(const struct guard_state *s, int64_t held_ms, int64_t interval_ms, int64_t now_ms)
{
    int64_t mode_ms;

    switch (read_mode(s, now_ms, &mode_ms)) {
    case GUARD_TRIPPED:
        return 1;
    case GUARD_CONFIRMING:
        return 0;
    case GUARD_OPEN:
        break;
    }
    return is_burst(s) && held_ms < interval_ms * GUARD_PATIENCE / 2;
}

void guard_rule_obey(enum guard_order order, int64_t left_ms, int64_t now_ms, struct guard_state *next)
{
    *next = (struct guard_state){.word = {0}};
    if (order == GUARD_CONFIRM) next->word[GUARD_MODE] = make_mode(GUARD_CONFIRMING, now_ms + left_ms);
}

void guard_rule_view(const struct guard_state *s, int64_t interval_ms, int64_t now_ms, struct guard_view *view)
{
    const struct window w = read_both(s, interval_ms, now_ms);

    *view = (struct guard_view){.is_burst = is_burst(s), .answers = (int64_t)w.answers, .bad = (int64_t)w.bad};
    view->mode = read_mode(s, now_ms, &view->mode_ms);
}
