/* Do many accounts of an app go bad together? The rule of the mass-failure guard. Pure: (state, now, answer) → (state, decision); no
 * clock, no memory shared with anybody. An answer is good, or bad: an account that worked is said not to. Four 64-bit words, each changed
 * on its own, so that guard.c can keep them in shared memory without a lock:
 *   - a score (a cumulative sum): each bad answer adds to it, each good one takes a little off. It grows as soon as clearly more than one
 *     answer in seven is bad; ten bad ones in a row make a burst. In a burst, bad answers are held without a word: it may be
 *     one user with many accounts, so who was held for GUARD_PATIENCE intervals passes, unless the guard has tripped;
 *   - two windows: answers and bad ones of this check interval and of the one before;
 *   - the mode: open; tripped: all bad answers are held; confirmed by the operator: all pass, nothing is counted, until a time.
 * The guard trips when in the windows are at least GUARD_ANSWERS_MIN answers and GUARD_BAD_MIN bad ones, and more than GUARD_PERCENT
 * are bad, beyond chance: by 5.5 standard deviations. So accounts of which that many really go bad, each for itself, do not trip it:
 * the probability is below 1:1000 for 10,000 accounts, and so is that of a burst (tests/unit/test_guard_model.c). It opens by itself
 * when no more than GUARD_PERCENT of the windows' answers are bad, which is at most two intervals after all is well again: by then each
 * account was asked in good times.
 * All zeros is a guard that nothing is known of. Values that cannot be (a damaged segment) count as nothing known. */
#ifndef TH_GUARD_RULE_H
#define TH_GUARD_RULE_H
#include <stdint.h>

enum {
    GUARD_PERCENT = 5,
    GUARD_ANSWERS_MIN = 20,
    GUARD_BAD_MIN = 8,
    GUARD_SCORE_BAD = 1609, /* 1000 × ln(25 % / 5 %) */
    GUARD_SCORE_GOOD = 236, /* 1000 × ln(95 % / 75 %) */
    GUARD_SCORE_BURST = 16000,
    GUARD_SCORE_MAX = 24000,
    GUARD_PATIENCE = 3,  /* half intervals that a burst holds an account */
    GUARD_CONFIRMED = 3, /* half intervals that a confirmation lasts: each account is decided in it */
    GUARD_INTERVAL_MAX_MS = 604800000
};

enum guard_word { GUARD_SCORE, GUARD_WINDOW_EVEN, GUARD_WINDOW_ODD, GUARD_MODE, GUARD_WORDS };
struct guard_state {
    uint64_t word[GUARD_WORDS];
};
enum guard_mode { GUARD_OPEN, GUARD_TRIPPED, GUARD_CONFIRMING };
const char *guard_mode_word(enum guard_mode mode); /* "open", "tripped", "confirmed" */

/** guard_rule_count(s, is_bad, interval_ms, now_ms, next): one answer more. Each word of *next follows from the same word of *s, and
 *  from the mode. now_ms: monotonic. interval_ms: within which each account is asked once. */
void guard_rule_count(const struct guard_state *s, int is_bad, int64_t interval_ms, int64_t now_ms,
                      struct guard_state *next);
/** guard_rule_turn(s, interval_ms, now_ms, next): after an answer: the mode that follows; only that word of *next may differ. */
enum guard_turn { GUARD_STAYS, GUARD_TRIPS, GUARD_RECOVERS };
enum guard_turn guard_rule_turn(const struct guard_state *s, int64_t interval_ms, int64_t now_ms,
                                struct guard_state *next);
/** guard_rule_holds(s, held_ms, interval_ms, now_ms): is a bad answer about an account held, that has been held for ${held_ms} already? */
int guard_rule_holds(const struct guard_state *s, int64_t held_ms, int64_t interval_ms, int64_t now_ms);

/** guard_rule_obey(order, left_ms, now_ms, next): what the operator ordered, from the beginning: released: what was counted is forgotten;
 *  confirmed: that, too, and all passes for ${left_ms}. guard_confirmed_ms(interval_ms): how long a confirmation lasts. */
enum guard_order { GUARD_RELEASE, GUARD_CONFIRM, GUARD_ORDERS };
const char *guard_order_word(enum guard_order order); /* "release", "confirm" */
int guard_order_parse(const char *word, enum guard_order *order);
void guard_rule_obey(enum guard_order order, int64_t left_ms, int64_t now_ms, struct guard_state *next);
int64_t guard_confirmed_ms(int64_t interval_ms);

/** For people. */
struct guard_view {
    enum guard_mode mode;
    int64_t mode_ms; /* tripped: for so long; confirmed: for so long still */
    int is_burst;
    int64_t answers, bad; /* in the windows */
};
void guard_rule_view(const struct guard_state *s, int64_t interval_ms, int64_t now_ms, struct guard_view *view);

#endif
