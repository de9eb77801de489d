#include "cache/budget.h"
#include "base/clock.h"
#include "cache/cache_layout.h"

/* The slot of a host: the first that has its hash or none, from its hash on. Slots are never given back, so all processes find
 * the same one. A full table is no table of ours (there are a few hosts): the host takes over its first slot, state and all. */
static struct cache_budget *slot_of(const struct cache *cache, const char *host)
{
    struct cache_budget *slots = cache->segment.at->budgets;
    uint64_t hash = cache_hash(cache, host);

    for (uint64_t i = 0; i < CACHE_BUDGETS; i++) {
        struct cache_budget *slot = &slots[(hash + i) % CACHE_BUDGETS];
        uint64_t seen = atomic_load_explicit(&slot->host, memory_order_relaxed);

        if (seen == 0 && atomic_compare_exchange_strong_explicit(&slot->host, &seen, hash, memory_order_relaxed,
                                                                 memory_order_relaxed))
            return slot;
        if (seen == hash) return slot;
    }
    atomic_store_explicit(&slots[hash % CACHE_BUDGETS].host, hash, memory_order_relaxed);
    return &slots[hash % CACHE_BUDGETS];
}

/* Words may be of different moments: each is judged and changed on its own. */
static struct budget_state load(const struct cache_budget *slot)
{
    struct budget_state s;

    for (int i = 0; i < BUDGET_WORDS; i++)
        s.word[i] = atomic_load_explicit(&slot->word[i], memory_order_acquire);
    return s;
}

/* 1 if the word was still ${s}'s and is now ${next}'s. */
static int put(struct cache_budget *slot, enum budget_word word, const struct budget_state *s,
               const struct budget_state *next)
{
    uint64_t seen = s->word[word];

    return seen == next->word[word] ||
           atomic_compare_exchange_strong_explicit(&slot->word[word], &seen, next->word[word], memory_order_acq_rel,
                                                   memory_order_relaxed);
}

struct budget_decision budget_take(struct cache *cache, const char *host, const struct budget_limits *limits,
                                   enum budget_kind kind)
{
    struct cache_budget *slot = slot_of(cache, host);

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
    struct cache_budget *slot = slot_of(cache, host);
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
