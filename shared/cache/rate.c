#include "cache/rate.h"
#include "base/clock.h"
#include "cache/cache_layout.h"

#define NS_PER_MS UINT64_C(1000000)

uint64_t rate_next(uint64_t due_ns, uint64_t now_ns, const struct rate *rate, int64_t *wait_ms)
{
    uint64_t all_ns = (uint64_t)rate->per_ms * NS_PER_MS, one_ns = all_ns / (uint64_t)rate->count;

    if (due_ns < now_ns) due_ns = now_ns;
    if (due_ns > now_ns + all_ns) due_ns = now_ns + all_ns;
    *wait_ms = 0;
    if (due_ns + one_ns <= now_ns + all_ns) return due_ns + one_ns;
    *wait_ms = (int64_t)((due_ns + one_ns - now_ns - all_ns) / NS_PER_MS) + 1;
    return due_ns;
}

static struct cache_rate *find(const struct cache *cache, uint64_t who)
{
    struct cache_rate *set = cache->segment.at->rates[who % CACHE_RATE_SETS];

    for (int i = 0; i < CACHE_WAYS; i++)
        if (atomic_load_explicit(&set[i].who, memory_order_relaxed) == who) return &set[i];
    return NULL;
}

static struct cache_rate *claim(const struct cache *cache, uint64_t who)
{
    struct cache_rate *set = cache->segment.at->rates[who % CACHE_RATE_SETS], *oldest = &set[0];

    for (int i = 1; i < CACHE_WAYS; i++)
        if (atomic_load_explicit(&set[i].due_ns, memory_order_relaxed) <
            atomic_load_explicit(&oldest->due_ns, memory_order_relaxed))
            oldest = &set[i];
    atomic_store_explicit(&oldest->who, who, memory_order_relaxed);
    atomic_store_explicit(&oldest->due_ns, 0, memory_order_relaxed);
    return oldest;
}

int64_t rate_wait_ms(const struct cache *cache, uint64_t who, const struct rate *rate)
{
    const struct cache_rate *r = rate->count > 0 ? find(cache, who) : NULL;
    int64_t wait_ms = 0;

    if (r) rate_next(atomic_load_explicit(&r->due_ns, memory_order_relaxed), (uint64_t)clock_mono_ns(), rate, &wait_ms);
    return wait_ms;
}

int64_t rate_take(struct cache *cache, uint64_t who, const struct rate *rate)
{
    struct cache_rate *r;
    uint64_t seen, next;
    int64_t wait_ms;

    if (rate->count <= 0) return 0;
    r = find(cache, who);
    if (!r) r = claim(cache, who);
    seen = atomic_load_explicit(&r->due_ns, memory_order_relaxed);
    do {
        next = rate_next(seen, (uint64_t)clock_mono_ns(), rate, &wait_ms);
        if (wait_ms) return wait_ms;
    } while (
        !atomic_compare_exchange_weak_explicit(&r->due_ns, &seen, next, memory_order_relaxed, memory_order_relaxed));
    return 0;
}
