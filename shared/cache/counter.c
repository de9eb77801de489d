#include "cache/cache_layout.h"
#include <assert.h>

static const struct {
    const char *name, *help;
} counters[COUNTER_COUNT] = {
#define COUNTER(name, help) {#name, help},
#include "cache/counter.def"
#undef COUNTER
};

void counter_add(struct cache *cache, enum counter counter, int64_t n)
{
    assert((unsigned)counter < COUNTER_COUNT);
    struct cache_stripe *stripe = &cache->segment.at->stripes[cache->stripe];
    atomic_fetch_add_explicit(&stripe->counter[counter], n, memory_order_relaxed);
}

int64_t counter_get(const struct cache *cache, enum counter counter)
{
    assert((unsigned)counter < COUNTER_COUNT);
    /* Unsigned: damaged stripes must not overflow. */
    uint64_t sum = 0;
    for (int i = 0; i < CACHE_STRIPES; i++)
        sum += (uint64_t)atomic_load_explicit(&cache->segment.at->stripes[i].counter[counter], memory_order_relaxed);
    return (int64_t)sum;
}

const char *counter_name(enum counter counter)
{
    assert((unsigned)counter < COUNTER_COUNT);
    return counters[counter].name;
}

const char *counter_help(enum counter counter)
{
    assert((unsigned)counter < COUNTER_COUNT);
    return counters[counter].help;
}
