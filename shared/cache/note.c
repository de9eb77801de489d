#include "base/clock.h"
#include "cache/cache_layout.h"
#include <assert.h>

static int is_old(int64_t looked_mono_ms, int64_t now_mono_ms, int64_t every_ms)
{
    /* Later than now: damaged. */
    return !looked_mono_ms || now_mono_ms - looked_mono_ms >= every_ms || looked_mono_ms > now_mono_ms;
}

int note_is_old(const struct cache *cache, int64_t every_ms)
{
    return is_old(atomic_load_explicit(&cache->segment.at->notes.looked_mono_ms, memory_order_relaxed), clock_mono_ms(),
                  every_ms);
}

int note_claim(struct cache *cache, int64_t every_ms)
{
    _Atomic int64_t *looked_mono_ms = &cache->segment.at->notes.looked_mono_ms;
    int64_t seen = atomic_load(looked_mono_ms), now_mono_ms = clock_mono_ms();

    return is_old(seen, now_mono_ms, every_ms) && atomic_compare_exchange_strong(looked_mono_ms, &seen, now_mono_ms);
}

int64_t note_get(const struct cache *cache, int which)
{
    assert((unsigned)which < CACHE_NOTES);
    return atomic_load(&cache->segment.at->notes.note[which]);
}

void note_put(struct cache *cache, int which, int64_t value)
{
    assert((unsigned)which < CACHE_NOTES);
    atomic_store(&cache->segment.at->notes.note[which], value);
}
