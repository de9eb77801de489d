/* The shared-memory segment: verdict cache, single flight, counters (DESIGN 7), and the budget (budget.h). One segment for all
 * processes of the host. Holds no token, no key and no name: keys are seeded 128-bit hashes, verdicts are
 * small numbers. Readers take no lock and make no system call; whoever dies at any point leaves nothing
 * locked; what is torn or damaged reads as a miss. The layout is in cache_layout.h. Values of state,
 * reason, action are opaque here (health/ knows them). */
#ifndef TH_CACHE_H
#define TH_CACHE_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct cache;
struct cache_options {
    const char *name; /* "/token-health" */
    int64_t entries;  /* rounded up to a power of two */
    unsigned mode;    /* 0660 */
};
struct cache_key {
    uint64_t hi, lo;
};
/** What is known of an account (or the worst of a workspace). Times are Unix ms, 0 = none. */
struct cache_verdict {
    uint8_t state, reason, action, source;
    uint8_t attempt_reason; /* last inconclusive attempt, 0 = none */
    uint8_t flags;          /* health/ defines them */
    uint16_t reserved;      /* 0 */
    int64_t checked_at_ms;
    int64_t expires_at_ms;
    int64_t attempted_at_ms;
    uint64_t token_print;    /* which envelope was judged; 0 for a workspace */
    uint64_t workspace_hash; /* cache_hash_id of the workspace id's text */
};

/** cache_open(opt, &cache, err): map the segment, creating or replacing it (another layout, another size, a
 *  damaged header, wider permissions) race-free. Any number of processes may do this at once, any of them may be
 *  killed at any point. Blocks: a flock, 5 s at most. Fails: ERR_IO (also when the name belongs to another user),
 *  ERR_NOMEM (also when /dev/shm is full), ERR_BAD_INPUT. Owns: caller, cache_close. */
enum err_code cache_open(const struct cache_options *opt, struct cache **cache, struct err *err);
/** cache_is_outdated(cache): was the segment replaced or its header damaged? Looks at most once a second, three system calls. For who
 *  always has flights under way: let them end, then cache_refresh. */
int cache_is_outdated(struct cache *cache);
/** cache_refresh(cache): at most once a second looks whether the segment was replaced or its header damaged, and maps
 *  the new one, whatever its size. Call between units of work; never while a flight is held. Keys, hashes and
 * generations taken before belong to the old one: they fit nothing in the new. When no new one can be mapped the old
 * stays. */
void cache_refresh(struct cache *cache);
void cache_close(struct cache *cache);                         /* NULL allowed */
enum err_code cache_unlink(const char *name, struct err *err); /* remove the name; ERR_NOT_FOUND if none */

/** Keys; equal ids (base/id_text.h) give equal keys in all processes that map the same segment. */
struct cache_key cache_key_account(const struct cache *cache, const char *platform, const char *account_id);
struct cache_key cache_key_workspace(const struct cache *cache, const char *platform, const char *workspace_id);
/** cache_hash(cache, text): 64-bit seeded hash, never 0. */
uint64_t cache_hash(const struct cache *cache, const char *text);
uint64_t cache_hash_id(const struct cache *cache, const char *id); /* of an id: equal ids, equal hashes */

enum cache_hit { CACHE_MISS, CACHE_STALE, CACHE_FRESH };
/** cache_find(cache, key, &v): FRESH within its TTL; STALE after it, while the slot is not reused (for answers while
 * the store is away); MISS otherwise, and after cache_clear or cache_drop. Wait-free, no system call (vDSO clock). */
enum cache_hit cache_find(const struct cache *cache, struct cache_key key, struct cache_verdict *v);
/** cache_generation(cache): take it before asking the provider and give it to cache_put, so that an answer
 *  older than a cache_clear is not kept. */
uint32_t cache_generation(const struct cache *cache);
/** cache_put(cache, key, v, ttl_ms, generation): replaces this key's entry, else a free, stale or the soonest-ending of
 * its set. */
void cache_put(struct cache *cache, struct cache_key key, const struct cache_verdict *v, int64_t ttl_ms,
               uint32_t generation);
void cache_drop(struct cache *cache, struct cache_key key);
/** cache_clear(cache): everything is a miss from now on; one atomic increment. */
void cache_clear(struct cache *cache);
/** cache_usage(cache, &used, &total): entries within their TTL now; for statistics (walks the table). */
void cache_usage(const struct cache *cache, int64_t *used, int64_t *total);

/* Single flight: of many processes that miss a key, one works and the others look again later. */
enum flight { FLIGHT_MINE, FLIGHT_OTHERS };
/** flight_claim(cache, key, max_ms): MINE: the caller works now and must flight_release. OTHERS: somebody else does;
 * look into the cache again in some ms; so it is when this very process holds the key. After MINE look into the cache
 * once more: the one before may just have answered. A claim ends by itself after max_ms (at most 10 minutes), and at
 * once when its process is dead (and reaped; all processes must see each other's pids). When the table has no room for
 * the key the answer is MINE (a second call is better than none). Never blocks. */
enum flight flight_claim(struct cache *cache, struct cache_key key, int64_t max_ms);
/** flight_release(cache, key): give up the claim if it is (still) this process's. Put the answer into the cache first.
 *  A claim that this process made after its own earlier one for the key ran out is not given up: it ends by its max_ms.
 */
void flight_release(struct cache *cache, struct cache_key key);

/* Counters, shared by all processes; cheap enough for the hot path (striped, relaxed). */
enum counter {
#define COUNTER(name, help) COUNT_##name,
#include "cache/counter.def"
#undef COUNTER
    COUNTER_COUNT
};
void counter_add(struct cache *cache, enum counter counter, int64_t n);
int64_t counter_get(const struct cache *cache, enum counter counter); /* sum of the stripes */
const char *counter_name(enum counter counter);
const char *counter_help(enum counter counter);

/* Notes: numbers that all processes of the host have in common, 0 until one is put. */
/** note_claim(cache, every_ms): is it this process's turn to look for something, because none of the host has for ${every_ms}? To one it says so.
 *  note_is_old: may note_claim say so? Two loads. */
int note_claim(struct cache *cache, int64_t every_ms);
int note_is_old(const struct cache *cache, int64_t every_ms);
int64_t note_get(const struct cache *cache, int which);
void note_put(struct cache *cache, int which, int64_t value);

#endif
