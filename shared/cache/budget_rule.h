/* How many calls a provider's host may get: the rule. Pure: (state, now, event) → (state, decision); no clock, no memory shared
 * with anybody. Four parts, each one 64-bit word, each changed on its own, so that budget.c can keep them in shared memory
 * without a lock:
 *   - a token bucket: at most calls_per_second, and a burst of one second's worth, at least BUDGET_BURST_MIN calls. The last
 *     tenth of the burst is for refreshes, so one that is due goes at once while checks wait (a flood of them, before any);
 *   - the usage that the provider last reported: checks get slower from 75 % (to a quarter of the rate) and stop at 90 %,
 *     refreshes stop at 100 %. What was reported sinks by 1 % every 72 s (half the even pace of a rolling hour, as nobody
 *     knows when in it the calls were); a check that goes only because it has sunk counts as 1 % until an answer tells anew;
 *   - a time before which the provider wants no call at all (Retry-After);
 *   - a circuit breaker: BUDGET_FAILURES failures in a row open it for 5 s, then one probe at a time goes through; an answer
 *     closes it, a failed probe opens it for twice as long, at most 60 s. A probe whose process died is replaced after probe_ms.
 * All zeros is a host that nothing is known of. Values that cannot be (a damaged segment) count as nothing known. */
#ifndef TH_BUDGET_RULE_H
#define TH_BUDGET_RULE_H
#include <stdint.h>

enum {
    BUDGET_BURST_MIN = 10,
    BUDGET_RESERVE_PART = 10, /* of the burst, one part in so many is for refreshes */
    BUDGET_SLOW_PERCENT = 75,
    BUDGET_STOP_PERCENT = 90,
    BUDGET_FULL_PERCENT = 100,
    BUDGET_UNLIMITED_SLOW = 40, /* calls a second at 75 % usage when there is no rate to slow down from */
    BUDGET_FAILURES = 5,
    BUDGET_OPEN_MS = 5000,
    BUDGET_OPEN_MAX_MS = 60000,
    BUDGET_PROBE_MAX_MS = 600000,
    BUDGET_BLOCK_MAX_MS = 86400000
};

enum budget_word { BUDGET_PAID_UNTIL, BUDGET_USAGE, BUDGET_BLOCKED_UNTIL, BUDGET_BREAKER, BUDGET_WORDS };
struct budget_state {
    uint64_t word[BUDGET_WORDS];
};

struct budget_limits {
    int64_t calls_per_second; /* 0: no limit */
    int64_t probe_ms;         /* longer than a call can take; at most BUDGET_PROBE_MAX_MS */
};
enum budget_kind { BUDGET_CHECK, BUDGET_REFRESH };
enum budget_why {
    BUDGET_GO,
    BUDGET_RATE,
    BUDGET_TOO_MUCH_USED,
    BUDGET_BLOCKED,
    BUDGET_OPEN,
    BUDGET_PROBED /* half-open: a probe is under way */
};
const char *budget_why_word(enum budget_why why); /* "go", "rate", "usage", "blocked", "breaker", "probe" */

/** wait_ms: 0 exactly when why is BUDGET_GO; else when it is worth to ask again (no promise). */
struct budget_decision {
    enum budget_why why;
    int64_t wait_ms;
};
/** budget_rule_take(s, limits, kind, now_ns, next): may a call be made now? *next: the state if it is: the call must not be
 *  made before all words of it that differ are stored. now_ns: monotonic. */
struct budget_decision budget_rule_take(const struct budget_state *s, const struct budget_limits *limits,
                                        enum budget_kind kind, int64_t now_ns, struct budget_state *next);

/** What a call taught. */
struct budget_event {
    enum budget_outcome {
        BUDGET_NO_CALL,  /* it was not made, or says nothing */
        BUDGET_ANSWERED, /* the host answered, whatever it said but a 5xx */
        BUDGET_FAILED    /* refused, timed out, broke off, 5xx */
    } outcome;
    int usage_percent; /* of the whole app; -1: not told */
    int64_t block_ms;  /* no call for so long, capped at BUDGET_BLOCK_MAX_MS; 0: not told */
};
/** budget_rule_apply(s, event, now_ns, next): each word of *next follows from the same word of *s alone. */
void budget_rule_apply(const struct budget_state *s, const struct budget_event *event, int64_t now_ns,
                       struct budget_state *next);

/** budget_rule_news(before, after): what the operator wants to hear of a change that budget_rule_apply made, bits. A stop is told when
 *  it begins, and its end once an answer shows it: usage under BUDGET_SLOW_PERCENT, a call after the block. */
enum budget_news {
    BUDGET_NEWS_OPENED = 1, /* the breaker, from closed */
    BUDGET_NEWS_CLOSED = 2,
    BUDGET_NEWS_STOPPED = 4, /* usage or a block */
    BUDGET_NEWS_FREE = 8
};
unsigned budget_rule_news(const struct budget_state *before, const struct budget_state *after);

/** For people. */
struct budget_view {
    int usage_percent;  /* as it has sunk by now; -1: unknown */
    int64_t blocked_ms; /* still */
    enum budget_breaker { BUDGET_BREAKER_CLOSED, BUDGET_BREAKER_OPEN, BUDGET_BREAKER_HALF_OPEN } breaker;
    int failures;            /* in a row, while closed */
    int64_t breaker_ms;      /* until a probe may go (open), until the probe is given up (half-open) */
    int64_t bucket_ahead_ms; /* what has been taken beyond the rate, as time */
};
void budget_rule_view(const struct budget_state *s, int64_t now_ns, struct budget_view *view);
const char *budget_breaker_word(enum budget_breaker breaker); /* "closed", "open", "half_open" */

#endif
