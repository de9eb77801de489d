#include "cache/slot.h"
#include <assert.h>

struct cache_slot *slot_find(struct cache_slot *table, uint64_t count, uint64_t hash)
{
    assert(count > 0);
    for (uint64_t i = 0; i < count; i++) {
        struct cache_slot *slot = &table[(hash + i) % count];
        uint64_t seen = atomic_load_explicit(&slot->name, memory_order_relaxed);

        if (seen == 0 && atomic_compare_exchange_strong_explicit(&slot->name, &seen, hash, memory_order_relaxed,
                                                                 memory_order_relaxed))
            return slot;
        if (seen == hash) return slot;
    }
    atomic_store_explicit(&table[hash % count].name, hash, memory_order_relaxed);
    return &table[hash % count];
}

void slot_load(const struct cache_slot *slot, uint64_t *words, int count)
{
    for (int i = 0; i < count; i++)
        words[i] = atomic_load_explicit(&slot->word[i], memory_order_acquire);
}

int slot_put(struct cache_slot *slot, int word, uint64_t seen, uint64_t next)
{
    return seen == next || atomic_compare_exchange_strong_explicit(&slot->word[word], &seen, next, memory_order_acq_rel,
                                                                   memory_order_relaxed);
}
