/* Why one word a key: a claim is one 64-bit word in the one slot that the key's hash names, so one
 * compare-and-swap decides who has it. With several slots a key could be claimed in two of them at once, and who
 * died between two words would leave half a claim. Another key's claim in the slot counts as "no room".
 *
 * Why a swap cannot hit the wrong claim (ABA): a word is swapped out only when its deadline has passed or its
 * process is dead. The same word would have to come back in between: a passed deadline cannot, as a new claim
 * ends later; a dead process's pid would have to be given out again and to claim the same key to the same
 * 32 ms, all between kill() and the swap. */
#include "base/clock.h"
#include "cache/cache_layout.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* A word, from the top: 18 bits of the key (14 others choose the slot) · 23 bits of deadline in units of 32 ms
 * of the monotonic clock, modulo · 1 bit "again" · 22 bits of pid (Linux: PID_MAX_LIMIT is 2^22). 0: free. */
enum {
    PID_BITS = 22,
    AGAIN_BITS = 1,
    DEADLINE_BITS = 23,
    KEY_BITS = 18,
    AGAIN_SHIFT = PID_BITS,
    DEADLINE_SHIFT = AGAIN_SHIFT + AGAIN_BITS,
    KEY_SHIFT = DEADLINE_SHIFT + DEADLINE_BITS,
    UNIT_SHIFT = 5,
    CLAIM_MAX_MS = 10 * 60 * 1000, /* whatever ends later is damaged, or from before the deadline's bits wrapped */
    CLAIM_MAX_UNITS = (CLAIM_MAX_MS >> UNIT_SHIFT) + 2
};
_Static_assert(KEY_SHIFT + KEY_BITS == 64, "a claim is one word");
_Static_assert(CLAIM_MAX_UNITS < 1 << (DEADLINE_BITS - 1), "the deadline's bits tell past from future");

static uint64_t bits(uint64_t word, unsigned shift, unsigned count)
{
    return (word >> shift) & ((UINT64_C(1) << count) - 1);
}

static _Atomic uint64_t *slot_of(const struct cache *cache, struct cache_key key)
{
    return &cache->segment.at->flights[key.hi >> (64U - CACHE_FLIGHT_BITS)];
}

static uint64_t key_bits(struct cache_key key)
{
    return bits(key.lo, 64U - KEY_BITS, KEY_BITS);
}

/* The claim's last unit is over, not only begun, when it ends: never early. */
static uint64_t claim_make(struct cache_key key, int64_t now_mono_ms, int64_t max_ms, int is_again)
{
    if (max_ms < 1) max_ms = 1;
    if (max_ms > CLAIM_MAX_MS) max_ms = CLAIM_MAX_MS;
    uint64_t deadline = ((uint64_t)(now_mono_ms + max_ms) >> UNIT_SHIFT) + 1;
    return (key_bits(key) << KEY_SHIFT) | (bits(deadline, 0, DEADLINE_BITS) << DEADLINE_SHIFT) |
           ((uint64_t)(is_again != 0) << AGAIN_SHIFT) | (uint64_t)getpid();
}

static int is_live(uint64_t claim, int64_t now_mono_ms)
{
    pid_t pid = (pid_t)bits(claim, 0, PID_BITS);
    uint64_t now = (uint64_t)now_mono_ms >> UNIT_SHIFT;
    uint64_t left = bits(bits(claim, DEADLINE_SHIFT, DEADLINE_BITS) - now, 0, DEADLINE_BITS);
    if (pid == 0 || left == 0 || left > CLAIM_MAX_UNITS) return 0;
    return pid == getpid() || kill(pid, 0) == 0 || errno != ESRCH;
}

static int is_of(uint64_t claim, struct cache_key key)
{
    return bits(claim, KEY_SHIFT, KEY_BITS) == key_bits(key);
}

static int is_mine(uint64_t claim, struct cache_key key)
{
    return is_of(claim, key) && (pid_t)bits(claim, 0, PID_BITS) == getpid();
}

enum flight flight_claim(struct cache *cache, struct cache_key key, int64_t max_ms)
{
    _Atomic uint64_t *slot = slot_of(cache, key);
    uint64_t seen = atomic_load_explicit(slot, memory_order_acquire);
    for (;;) {
        int64_t now_mono_ms = clock_mono_ms();
        if (is_live(seen, now_mono_ms)) return is_of(seen, key) ? FLIGHT_OTHERS : FLIGHT_MINE;
        /* This process's own claim ran out, and its first holder may still come to release it: that must
         * not end the second one, so a claim made again ends by its deadline only. */
        uint64_t claim = claim_make(key, now_mono_ms, max_ms, is_mine(seen, key));
        if (atomic_compare_exchange_strong_explicit(slot, &seen, claim, memory_order_acq_rel, memory_order_acquire))
            return FLIGHT_MINE;
    }
}

void flight_release(struct cache *cache, struct cache_key key)
{
    _Atomic uint64_t *slot = slot_of(cache, key);
    uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);
    if (!is_mine(seen, key) || bits(seen, AGAIN_SHIFT, AGAIN_BITS)) return;
    /* Fails only when somebody has taken it over meanwhile. Release: the answer put before is seen by the next. */
    atomic_compare_exchange_strong_explicit(slot, &seen, 0, memory_order_release, memory_order_relaxed);
}
