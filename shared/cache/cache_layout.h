/* What lies in the shared-memory segment, byte for byte, and this process's view of it. Private to cache/.
 * Fixed-width fields, no pointers; only the number of entries varies. The header is written once, by whoever
 * made the segment; a process that maps it works with its own copy, so that no damage to the segment can send
 * it out of bounds. Any change here or in counter.def makes another layout: a new CACHE_LAYOUT_VERSION, or
 * (counters) another counters_print. */
#ifndef TH_CACHE_LAYOUT_H
#define TH_CACHE_LAYOUT_H
#include "cache/budget_rule.h"
#include "cache/cache.h"
#include "cache/guard_rule.h"
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_MAGIC UINT64_C(0x746f6b656e2d6831)
enum {
    CACHE_LAYOUT_VERSION = 6,
    CACHE_WAYS = 8, /* entries of a set */
    CACHE_ENTRIES_MAX = 1 << 24,
    CACHE_FLIGHT_BITS = 14,
    CACHE_FLIGHT_SLOTS = 1 << CACHE_FLIGHT_BITS,
    CACHE_STRIPES = 16,
    CACHE_STRIPE_COUNTERS = 64,
    CACHE_SLOT_WORDS = 4,
    CACHE_BUDGETS = 64,     /* provider hosts */
    CACHE_NOTES = 15,       /* numbers that the host's processes keep in common */
    CACHE_GUARDS = 64,      /* apps of platforms, and what was last ordered of each platform */
    CACHE_RATE_SETS = 1024, /* of CACHE_WAYS: keys and addresses that are counted */
    CACHE_LINE_BYTES = 64
};

/** Constant from creation on. check: XXH3 64 of all before it, seeded with ${seed}. */
struct cache_header {
    uint64_t magic;
    uint32_t version;
    uint32_t entry_bytes;
    uint64_t segment_bytes;
    uint64_t entries;        /* a power of two, CACHE_WAYS … CACHE_ENTRIES_MAX */
    uint64_t counters_print; /* of the counters' names in their order */
    uint64_t seed;           /* of all hashes; random */
    uint64_t check;
};

/* An entry is words, so that it can be copied with atomic loads and stores. Words not named are 0. */
enum cache_word {
    CACHE_WORD_CHECK, /* XXH3 64 of all other words, seeded */
    CACHE_WORD_KEY_HI,
    CACHE_WORD_KEY_LO,
    CACHE_WORD_GENERATION,
    CACHE_WORD_FRESH_UNTIL, /* monotonic ms */
    CACHE_WORD_VERDICT,     /* struct cache_verdict, six words */
    CACHE_WORDS = 16
};
struct cache_entry {
    _Alignas(2 * CACHE_LINE_BYTES) _Atomic uint64_t word[CACHE_WORDS];
};

struct cache_stripe {
    _Alignas(CACHE_LINE_BYTES) _Atomic int64_t counter[CACHE_STRIPE_COUNTERS];
};

/** Words under a name (slot.h): the budget of a provider's host, the guard of a platform's app. name: cache_hash of it, 0: free. */
struct cache_slot {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t name;
    _Atomic uint64_t word[CACHE_SLOT_WORDS];
};

/** How often somebody did something: rate.h. who: cache_hash, 0: free. */
struct cache_rate {
    _Atomic uint64_t who, due_ns; /* monotonic ns */
};

/** What this host has last seen of the documents that all hosts share; see note.c. */
struct cache_notes {
    _Alignas(2 * CACHE_LINE_BYTES) _Atomic int64_t looked_mono_ms; /* 0: never */
    _Atomic int64_t note[CACHE_NOTES];
};

struct cache_segment {
    struct cache_header header;
    _Alignas(2 * CACHE_LINE_BYTES) _Atomic uint32_t generation; /* entries of another one are misses */
    struct cache_stripe stripes[CACHE_STRIPES];
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t flights[CACHE_FLIGHT_SLOTS]; /* words: see flight.c */
    struct cache_slot budgets[CACHE_BUDGETS];
    struct cache_slot guards[CACHE_GUARDS];
    struct cache_notes notes;
    _Alignas(2 * CACHE_LINE_BYTES) struct cache_rate rates[CACHE_RATE_SETS][CACHE_WAYS];
    struct cache_entry entries[];
};

_Static_assert(ATOMIC_LONG_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "atomics in shared memory must not hide a lock of the process");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic int64_t) == 8 && sizeof(_Atomic uint32_t) == 4,
               "atomics are as wide as their values");
_Static_assert(sizeof(struct cache_header) == 56 && offsetof(struct cache_header, check) == 48, "header, no padding");
_Static_assert(sizeof(struct cache_verdict) == 48, "a verdict is six words, no padding");
_Static_assert(CACHE_WORD_VERDICT * 8 + sizeof(struct cache_verdict) <= CACHE_WORDS * 8, "a verdict fits its entry");
_Static_assert(sizeof(struct cache_entry) == 128, "an entry is two cache lines");
_Static_assert(sizeof(struct cache_stripe) == 512, "stripes share no cache line");
_Static_assert(sizeof(struct cache_slot) == CACHE_LINE_BYTES, "slots share no cache line");
_Static_assert((int)BUDGET_WORDS <= (int)CACHE_SLOT_WORDS && (int)GUARD_WORDS <= (int)CACHE_SLOT_WORDS,
               "a slot has room for all words");
_Static_assert((int)COUNTER_COUNT <= (int)CACHE_STRIPE_COUNTERS, "a stripe has room for all counters");
_Static_assert(offsetof(struct cache_segment, generation) == 128, "generation");
_Static_assert(offsetof(struct cache_segment, stripes) == 192, "stripes");
_Static_assert(offsetof(struct cache_segment, flights) == 8384, "flights");
_Static_assert(offsetof(struct cache_segment, budgets) == 139456, "budgets");
_Static_assert(offsetof(struct cache_segment, guards) == 143552, "guards");
_Static_assert(offsetof(struct cache_segment, notes) == 147712, "notes");
_Static_assert(offsetof(struct cache_segment, rates) == 147840, "rates");
_Static_assert(offsetof(struct cache_segment, entries) == 278912, "entries");

/** A mapped segment; at is NULL when there is none. */
struct segment {
    struct cache_segment *at;
    struct cache_header header; /* the copy that counts */
    uint64_t device, inode;
};

struct cache {
    struct segment segment;
    char name[NAME_MAX + 1];
    unsigned mode;
    unsigned stripe;
    int64_t look_at_mono_ms; /* when to look next what has become of the segment */
    int is_outdated;         /* what was seen then, as long as nothing was done about it */
};

#endif
