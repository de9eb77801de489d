#include "cache/budget.h"
#include "base/clock.h"
#include "cache/slot.h"

static struct cache_slot *slot_of(const struct cache *cache, const char *host)
{
    return slot_find(cache->segment.at->budgets, CACHE_BUDGETS, cache_hash(cache, host));
}

static struct budget_state load(const struct cache_slot *slot)
{
    struct budget_state s = {.word = {0}};

    slot_load(slot, s.word, BUDGET_WORDS);
    return s;
}

static int put(struct cache_slot *slot, enum budget_word word, const struct budget_state *s,
               const struct budget_state *next)
{
    return slot_put(slot, word, s->word[word], next->word[word]);
}

struct budget_decision budget_take(struct cache *cache, const char *host, const struct budget_limits *limits,
                                   enum budget_kind kind)
{
    struct cache_slot *slot = slot_of(cache, host);

    for (;;) {
        struct budget_state next, s = load(slot);
        struct budget_decision d = budget_rule_take(&s, limits, kind, clock_mono_ns(), &next);

        /* The breaker last: a probe that was claimed is made. Who loses it has paid for a call, and asks again. */
        if (d.why != BUDGET_GO || (put(slot, BUDGET_PAID_UNTIL, &s, &next) && put(slot, BUDGET_USAGE, &s, &next) &&
                                   put(slot, BUDGET_BREAKER, &s, &next)))
            return d;
    }
}

unsigned budget_report(struct cache *cache, const char *host, const struct budget_event *event)
{
    struct cache_slot *slot = slot_of(cache, host);
    struct budget_state s, next;
    unsigned news = 0;

    for (int word = 0; word < BUDGET_WORDS; word++) {
        struct budget_state one;

        do {
            s = load(slot);
            budget_rule_apply(&s, event, clock_mono_ns(), &next);
        } while (!put(slot, (enum budget_word)word, &s, &next));
        one = s;
        one.word[word] = next.word[word];
        news |= budget_rule_news(&s, &one);
    }
    return news;
}

void budget_look(const struct cache *cache, const char *host, struct budget_view *view)
{
    struct budget_state s = load(slot_of(cache, host));

    budget_rule_view(&s, clock_mono_ns(), view);
}
