#include "cache/budget_rule.h"

#define NS_PER_MS      INT64_C(1000000)
#define NS_PER_S       INT64_C(1000000000)
#define NS_PER_PERCENT (72 * NS_PER_S)
#define AHEAD_MAX_NS   (60 * NS_PER_S) /* no bucket is ever so far ahead: the slowest is 10 s */
enum {
    PROBE_LOOK_MS = 500,
    PERCENT_BITS = 8 /* the number + 1, and USAGE_STOPPED; above it ms */,
    USAGE_STOPPED = 128
};

static const char *const why_words[] = {"go", "rate", "usage", "blocked", "breaker", "probe"};
static const char *const breaker_words[] = {"closed", "open", "half_open"};

const char *budget_why_word(enum budget_why why)
{
    return why_words[why];
}

const char *budget_breaker_word(enum budget_breaker breaker)
{
    return breaker_words[breaker];
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct budget_decision wait_ns(enum budget_why why, int64_t ns)
{
    return (struct budget_decision){why, max64(1, (ns + NS_PER_MS - 1) / NS_PER_MS)};
}

/* How long from now a time in a word lies ahead; 0 if it is over, or further than it can be. */
static int64_t ahead(uint64_t until_ns, int64_t now_ns, int64_t max_ns)
{
    if (until_ns <= (uint64_t)now_ns || until_ns - (uint64_t)now_ns > (uint64_t)max_ns) return 0;
    return (int64_t)(until_ns - (uint64_t)now_ns);
}

/* ---- usage: percent + 1, whether it has stopped checks and that is not over, and when it was told. What an hour's window really forgets cannot be known: it may be nothing for
 * most of the hour. So it sinks at half the even pace, and a check that goes for it alone is a question: the next one waits until
 * it was answered, or for another percent. */

static int64_t usage_percent(uint64_t word)
{
    return (int64_t)(word & (USAGE_STOPPED - 1U)) - 1;
}

static int usage_now(uint64_t word, int64_t now_ns, int64_t *age_ns)
{
    int64_t percent = usage_percent(word);
    uint64_t at_ms = word >> PERCENT_BITS;

    *age_ns = now_ns - (int64_t)min64((int64_t)at_ms, INT64_MAX / NS_PER_MS) * NS_PER_MS;
    if (percent < 0 || percent > BUDGET_FULL_PERCENT || *age_ns < 0) return -1;
    return (int)max64(0, percent - *age_ns / NS_PER_PERCENT);
}

static uint64_t usage_make(int percent, int64_t now_ns)
{
    return (uint64_t)(now_ns / NS_PER_MS) << PERCENT_BITS | (uint64_t)(min64(percent, BUDGET_FULL_PERCENT) + 1);
}

static uint64_t usage_asked(uint64_t word, int64_t now_ns)
{
    int64_t age_ns;
    int percent = usage_now(word, now_ns, &age_ns);
    int64_t told = usage_percent(word);

    if (percent < 0 || told < BUDGET_STOP_PERCENT || age_ns < NS_PER_PERCENT) return word;
    return usage_make((int)told, now_ns - age_ns + NS_PER_PERCENT) | (word & USAGE_STOPPED);
}

static uint64_t usage_told(uint64_t word, const struct budget_event *event, int64_t now_ns)
{
    uint64_t stopped = word & USAGE_STOPPED;
    int64_t age_ns;
    int percent;

    if (event->usage_percent >= 0) word = usage_make(event->usage_percent, now_ns);
    percent = usage_now(word, now_ns, &age_ns);
    if (percent >= BUDGET_STOP_PERCENT) stopped = USAGE_STOPPED;
    if (percent < BUDGET_SLOW_PERCENT && event->outcome == BUDGET_ANSWERED) stopped = 0;
    return (word & ~(uint64_t)USAGE_STOPPED) | stopped;
}

static int64_t usage_wait(uint64_t word, enum budget_kind kind, int64_t now_ns)
{
    int64_t age_ns, stop = kind == BUDGET_REFRESH ? BUDGET_FULL_PERCENT : BUDGET_STOP_PERCENT;
    int percent = usage_now(word, now_ns, &age_ns);

    return percent < stop ? 0 : (percent - stop + 1) * NS_PER_PERCENT - age_ns % NS_PER_PERCENT;
}

/* ---- the bucket: the time up to which calls have been taken (generic cell rate algorithm, ITU-T I.371) */

struct bucket {
    int64_t call_ns; /* what this call costs */
    int64_t room_ns; /* how far ahead it may bring the bucket */
};

/* 0: there is no bucket. A slowed check costs up to four calls, and its room is nine at least: it never waits for ever. */
static int bucket_of(const struct budget_limits *limits, enum budget_kind kind, int percent, struct bucket *b)
{
    int is_slow = kind == BUDGET_CHECK && percent >= BUDGET_SLOW_PERCENT;
    int64_t rate = limits->calls_per_second > 0 ? limits->calls_per_second : is_slow ? BUDGET_UNLIMITED_SLOW : 0;
    int64_t burst, reserve;

    if (rate <= 0) return 0;
    rate = min64(rate, NS_PER_S);
    burst = max64(rate, BUDGET_BURST_MIN);
    reserve = kind == BUDGET_CHECK ? burst / BUDGET_RESERVE_PART : 0;
    b->call_ns = NS_PER_S / rate;
    b->room_ns = b->call_ns * (burst - reserve);
    /* The rate's share falls from 20/20 at 75 % to 5/20 at 90 %. */
    if (is_slow) b->call_ns = b->call_ns * 20 / (BUDGET_SLOW_PERCENT + 20 - min64(percent, BUDGET_STOP_PERCENT));
    return 1;
}

/* ---- the breaker: 2 bits of what it is, 6 of how often it has opened in a row, 8 of failures, 48 of ms */

struct breaker {
    enum budget_breaker is;
    unsigned times, failures;
    int64_t left_ns; /* 0: over */
};
enum { TIMES_SHIFT = 2, TIMES_MAX = 63, FAILURES_SHIFT = 8, FAILURES_MAX = 255, UNTIL_SHIFT = 16 };

static struct breaker breaker_read(uint64_t word, int64_t now_ns)
{
    struct breaker b = {.is = (enum budget_breaker)(word & 3U),
                        .times = (unsigned)(word >> TIMES_SHIFT) & TIMES_MAX,
                        .failures = (unsigned)(word >> FAILURES_SHIFT) & FAILURES_MAX};
    int64_t until_ns = (int64_t)min64((int64_t)(word >> UNTIL_SHIFT), INT64_MAX / NS_PER_MS) * NS_PER_MS;
    int64_t max_ns = (b.is == BUDGET_BREAKER_OPEN ? BUDGET_OPEN_MAX_MS : BUDGET_PROBE_MAX_MS) * NS_PER_MS + NS_PER_MS;

    if (b.is == BUDGET_BREAKER_CLOSED) return b;
    if (b.is > BUDGET_BREAKER_HALF_OPEN || until_ns - now_ns > max_ns) return (struct breaker){.failures = 0};
    b.left_ns = max64(0, until_ns - now_ns);
    return b;
}

static uint64_t breaker_make(enum budget_breaker is, unsigned times, unsigned failures, int64_t until_ns)
{
    return (uint64_t)((until_ns + NS_PER_MS - 1) / NS_PER_MS) << UNTIL_SHIFT | (uint64_t)failures << FAILURES_SHIFT |
           (uint64_t)times << TIMES_SHIFT | (uint64_t)is;
}

static uint64_t breaker_open(unsigned times, int64_t now_ns)
{
    int64_t ms = BUDGET_OPEN_MS;

    for (unsigned i = 0; i < times && ms < BUDGET_OPEN_MAX_MS; i++)
        ms *= 2;
    return breaker_make(BUDGET_BREAKER_OPEN, times, 0, now_ns + min64(ms, BUDGET_OPEN_MAX_MS) * NS_PER_MS);
}

/* Failures of calls that were under way when it opened say nothing new. */
static uint64_t breaker_failed(uint64_t word, int64_t now_ns)
{
    struct breaker b = breaker_read(word, now_ns);

    if (b.is == BUDGET_BREAKER_OPEN) return word;
    if (b.is == BUDGET_BREAKER_HALF_OPEN) return breaker_open(b.times < TIMES_MAX ? b.times + 1 : TIMES_MAX, now_ns);
    if (b.failures + 1 >= BUDGET_FAILURES) return breaker_open(0, now_ns);
    return breaker_make(BUDGET_BREAKER_CLOSED, 0, b.failures + 1, 0);
}

/* ---- the rule */

struct budget_decision budget_rule_take(const struct budget_state *s, const struct budget_limits *limits,
                                        enum budget_kind kind, int64_t now_ns, struct budget_state *next)
{
    struct breaker breaker = breaker_read(s->word[BUDGET_BREAKER], now_ns);
    int64_t blocked_ns = ahead(s->word[BUDGET_BLOCKED_UNTIL], now_ns, BUDGET_BLOCK_MAX_MS * NS_PER_MS);
    int64_t used_ns = usage_wait(s->word[BUDGET_USAGE], kind, now_ns);
    int64_t age_ns, bucket_ns = ahead(s->word[BUDGET_PAID_UNTIL], now_ns, AHEAD_MAX_NS);
    struct bucket bucket;

    *next = *s;
    if (blocked_ns) return wait_ns(BUDGET_BLOCKED, blocked_ns);
    if (breaker.left_ns && breaker.is == BUDGET_BREAKER_HALF_OPEN) /* the probe is soon back */
        return wait_ns(BUDGET_PROBED, min64(breaker.left_ns, PROBE_LOOK_MS * NS_PER_MS));
    if (breaker.left_ns) return wait_ns(BUDGET_OPEN, breaker.left_ns);
    if (used_ns) return wait_ns(BUDGET_TOO_MUCH_USED, used_ns);
    if (bucket_of(limits, kind, usage_now(s->word[BUDGET_USAGE], now_ns, &age_ns), &bucket)) {
        int64_t after_ns = bucket_ns + bucket.call_ns;

        if (after_ns > bucket.room_ns) return wait_ns(BUDGET_RATE, after_ns - bucket.room_ns);
        next->word[BUDGET_PAID_UNTIL] = (uint64_t)(now_ns + after_ns);
    }
    if (kind == BUDGET_CHECK) next->word[BUDGET_USAGE] = usage_asked(s->word[BUDGET_USAGE], now_ns);
    if (breaker.is != BUDGET_BREAKER_CLOSED) {
        int64_t probe_ms = min64(max64(limits->probe_ms, 1), BUDGET_PROBE_MAX_MS);

        next->word[BUDGET_BREAKER] =
            breaker_make(BUDGET_BREAKER_HALF_OPEN, breaker.times, 0, now_ns + probe_ms * NS_PER_MS);
    }
    return (struct budget_decision){BUDGET_GO, 0};
}

/* A block that is over stays in its word until an answer shows that it is: then there is something to tell. */
static uint64_t block_told(uint64_t word, const struct budget_event *event, int64_t now_ns)
{
    int64_t block_ns = min64(event->block_ms, BUDGET_BLOCK_MAX_MS) * NS_PER_MS;
    int64_t left_ns = ahead(word, now_ns, BUDGET_BLOCK_MAX_MS * NS_PER_MS);

    if (block_ns > left_ns) return (uint64_t)(now_ns + block_ns);
    return left_ns || event->outcome != BUDGET_ANSWERED ? word : 0;
}

void budget_rule_apply(const struct budget_state *s, const struct budget_event *event, int64_t now_ns,
                       struct budget_state *next)
{
    *next = *s;
    next->word[BUDGET_USAGE] = usage_told(s->word[BUDGET_USAGE], event, now_ns);
    next->word[BUDGET_BLOCKED_UNTIL] = block_told(s->word[BUDGET_BLOCKED_UNTIL], event, now_ns);
    if (event->outcome == BUDGET_ANSWERED) next->word[BUDGET_BREAKER] = 0;
    if (event->outcome == BUDGET_FAILED) next->word[BUDGET_BREAKER] = breaker_failed(s->word[BUDGET_BREAKER], now_ns);
}

static int is_stopped(const struct budget_state *s)
{
    return (s->word[BUDGET_USAGE] & USAGE_STOPPED) || s->word[BUDGET_BLOCKED_UNTIL];
}

unsigned budget_rule_news(const struct budget_state *before, const struct budget_state *after)
{
    unsigned was = before->word[BUDGET_BREAKER] & 3U, is = after->word[BUDGET_BREAKER] & 3U, news = 0;

    if (was == BUDGET_BREAKER_CLOSED && is == BUDGET_BREAKER_OPEN) news |= BUDGET_NEWS_OPENED;
    if (was != BUDGET_BREAKER_CLOSED && is == BUDGET_BREAKER_CLOSED) news |= BUDGET_NEWS_CLOSED;
    if (!is_stopped(before) && is_stopped(after)) news |= BUDGET_NEWS_STOPPED;
    if (is_stopped(before) && !is_stopped(after)) news |= BUDGET_NEWS_FREE;
    return news;
}

void budget_rule_view(const struct budget_state *s, int64_t now_ns, struct budget_view *view)
{
    struct breaker breaker = breaker_read(s->word[BUDGET_BREAKER], now_ns);
    int64_t age_ns;

    *view = (struct budget_view){
        .usage_percent = usage_now(s->word[BUDGET_USAGE], now_ns, &age_ns),
        .blocked_ms = ahead(s->word[BUDGET_BLOCKED_UNTIL], now_ns, BUDGET_BLOCK_MAX_MS * NS_PER_MS) / NS_PER_MS,
        .breaker = breaker.is,
        .failures = (int)breaker.failures,
        .breaker_ms = breaker.left_ns / NS_PER_MS,
        .bucket_ahead_ms = ahead(s->word[BUDGET_PAID_UNTIL], now_ns, AHEAD_MAX_NS) / NS_PER_MS};
}
