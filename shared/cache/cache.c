#include "cache/cache.h"
#include "base/clock.h"
#include "base/id_text.h"
#include "cache/cache_layout.h"
#include "cache/segment.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    LOCK_WAIT_MS = 5000,
    LOOK_EVERY_MS = 1000,
    READ_TRIES = 3 /* a copy that a writer disturbed is worth another look; more would not be wait-free */
};
enum key_kind { KEY_ACCOUNT, KEY_WORKSPACE };

enum err_code cache_open(const struct cache_options *opt, struct cache **cache, struct err *err)
{
    *cache = NULL;
    const char *name = opt->name ? opt->name : "";
    if (name[0] != '/' || name[1] == '\0' || strchr(name + 1, '/') || strlen(name) > NAME_MAX)
        return err_set(err, ERR_BAD_INPUT, NULL, "a shared memory name is a slash and up to %d other characters",
                       NAME_MAX - 1);
    if (opt->entries < 1 || opt->entries > CACHE_ENTRIES_MAX)
        return err_set(err, ERR_BAD_INPUT, name, "the number of cache entries must be 1 to %d", CACHE_ENTRIES_MAX);
    if ((opt->mode & ~0777U) != 0 || (opt->mode & 0600U) != 0600U)
        return err_set(err, ERR_BAD_INPUT, name, "the mode of the shared memory must be 0600 to 0777");

    struct segment_want want = {
        .name = name, .entries = CACHE_WAYS, .mode = opt->mode, .may_replace = 1, .lock_wait_ms = LOCK_WAIT_MS};
    while (want.entries < (uint64_t)opt->entries)
        want.entries *= 2;
    struct cache *made = calloc(1, sizeof *made);
    if (!made) return err_set(err, ERR_NOMEM, name, "out of memory");
    enum err_code code = segment_open(&want, &made->segment, err);
    if (code != ERR_OK) {
        free(made);
        return code;
    }
    memcpy(made->name, name, strlen(name) + 1);
    made->mode = opt->mode;
    made->stripe = (unsigned)getpid() % CACHE_STRIPES;
    made->look_at_mono_ms = clock_mono_ms() + LOOK_EVERY_MS;
    *cache = made;
    return ERR_OK;
}

int cache_is_outdated(struct cache *cache)
{
    int64_t now_mono_ms = clock_mono_ms();
    if (now_mono_ms < cache->look_at_mono_ms) return cache->is_outdated;
    cache->look_at_mono_ms = now_mono_ms + LOOK_EVERY_MS;
    cache->is_outdated = segment_look(&cache->segment, cache->name) != SEGMENT_SAME;
    return cache->is_outdated;
}

void cache_refresh(struct cache *cache)
{
    if (!cache_is_outdated(cache)) return;
    cache->is_outdated = 0; /* if nothing comes of it, the next look tries again */

    enum segment_fate fate = segment_look(&cache->segment, cache->name);
    if (fate == SEGMENT_SAME) return;
    /* Two programs of different layout or settings must not replace each other's segment for ever: here any
     * size will do, and a sound one of ours is kept rather than replace what we do not understand. */
    const struct segment_want want = {.name = cache->name,
                                      .entries = cache->segment.header.entries,
                                      .mode = cache->mode,
                                      .any_size = 1,
                                      .may_replace = fate == SEGMENT_DAMAGED};
    struct segment next;
    if (segment_open(&want, &next, NULL) != ERR_OK) return;
    segment_close(&cache->segment);
    cache->segment = next;
}

void cache_close(struct cache *cache)
{
    if (!cache) return;
    segment_close(&cache->segment);
    free(cache);
}

enum err_code cache_unlink(const char *name, struct err *err)
{
    return segment_unlink(name, err);
}

/* The kind is a bit of the key, so that an account and a workspace of the same text never share an entry. */
static struct cache_key key_make(const struct cache *cache, enum key_kind kind, const char *platform, const char *id)
{
    char room[ID_HEX_DIGITS + 1];
    uint64_t seed = XXH3_64bits_withSeed(platform, strlen(platform), cache->segment.header.seed + kind);
    id = id_normal(id, room);
    XXH128_hash_t hash = XXH3_128bits_withSeed(id, strlen(id), seed);
    return (struct cache_key){.hi = hash.high64, .lo = (hash.low64 & ~UINT64_C(1)) | kind};
}

struct cache_key cache_key_account(const struct cache *cache, const char *platform, const char *account_id)
{
    return key_make(cache, KEY_ACCOUNT, platform, account_id);
}

struct cache_key cache_key_workspace(const struct cache *cache, const char *platform, const char *workspace_id)
{
    return key_make(cache, KEY_WORKSPACE, platform, workspace_id);
}

uint64_t cache_hash(const struct cache *cache, const char *text)
{
    uint64_t hash = XXH3_64bits_withSeed(text, strlen(text), cache->segment.header.seed);
    return hash != 0 ? hash : 1;
}

uint64_t cache_hash_id(const struct cache *cache, const char *id)
{
    char room[ID_HEX_DIGITS + 1];
    return cache_hash(cache, id_normal(id, room));
}

static uint64_t words_check(const struct cache *cache, const uint64_t words[CACHE_WORDS])
{
    return XXH3_64bits_withSeed(words + 1, (CACHE_WORDS - 1) * sizeof *words, cache->segment.header.seed);
}

static uint64_t word_load(struct cache_entry *entry, enum cache_word word)
{
    return atomic_load_explicit(&entry->word[word], memory_order_relaxed);
}

static int entry_has_key(struct cache_entry *entry, struct cache_key key)
{
    return word_load(entry, CACHE_WORD_KEY_LO) == key.lo && word_load(entry, CACHE_WORD_KEY_HI) == key.hi;
}

/* 1 if the copy is whole: what one writer wrote, all of it. No order between the words is needed for that. */
static int entry_copy(const struct cache *cache, struct cache_entry *entry, uint64_t words[CACHE_WORDS])
{
    for (int i = 0; i < CACHE_WORDS; i++)
        words[i] = word_load(entry, (enum cache_word)i);
    return words_check(cache, words) == words[CACHE_WORD_CHECK];
}

static void entry_store(struct cache_entry *entry, const uint64_t words[CACHE_WORDS])
{
    for (int i = 0; i < CACHE_WORDS; i++)
        atomic_store_explicit(&entry->word[i], words[i], memory_order_relaxed);
}

static void entry_forget(struct cache_entry *entry)
{
    atomic_store_explicit(&entry->word[CACHE_WORD_CHECK], 0, memory_order_relaxed);
    atomic_store_explicit(&entry->word[CACHE_WORD_KEY_LO], 0, memory_order_relaxed);
}

/* The ways of a key's set in the key's own order: a table that is not full answers from the first, and two
 * writers of different keys seldom choose the same free entry. */
static struct cache_entry *way_of(const struct cache *cache, struct cache_key key, unsigned nth)
{
    uint64_t sets = cache->segment.header.entries / CACHE_WAYS;
    uint64_t set = key.hi & (sets - 1);
    uint64_t way = (key.lo >> 32U) + nth;
    return &cache->segment.at->entries[set * CACHE_WAYS + way % CACHE_WAYS];
}

enum cache_hit cache_find(const struct cache *cache, struct cache_key key, struct cache_verdict *v)
{
    for (unsigned nth = 0; nth < CACHE_WAYS; nth++) {
        struct cache_entry *entry = way_of(cache, key, nth);
        for (int tries = 0; tries < READ_TRIES && entry_has_key(entry, key); tries++) {
            uint64_t words[CACHE_WORDS];
            if (!entry_copy(cache, entry, words)) continue;
            if (words[CACHE_WORD_KEY_LO] != key.lo || words[CACHE_WORD_KEY_HI] != key.hi) break;
            if (words[CACHE_WORD_GENERATION] != cache_generation(cache)) break;
            memcpy(v, &words[CACHE_WORD_VERDICT], sizeof *v);
            return clock_mono_ms() < (int64_t)words[CACHE_WORD_FRESH_UNTIL] ? CACHE_FRESH : CACHE_STALE;
        }
    }
    return CACHE_MISS;
}

uint32_t cache_generation(const struct cache *cache)
{
    return atomic_load_explicit(&cache->segment.at->generation, memory_order_acquire);
}

/* The entry to write ${key} into: its own, else the one whose loss costs least. Only one entry of a key stays:
 * two writers at the same time may have made two. */
static struct cache_entry *way_to_replace(const struct cache *cache, struct cache_key key, uint32_t generation)
{
    struct cache_entry *own = NULL;
    struct cache_entry *best = NULL;
    int64_t best_until_ms = INT64_MAX;
    for (unsigned nth = 0; nth < CACHE_WAYS; nth++) {
        struct cache_entry *entry = way_of(cache, key, nth);
        if (entry_has_key(entry, key)) {
            if (own) entry_forget(entry);
            if (!own) own = entry;
            continue;
        }
        uint64_t words[CACHE_WORDS];
        int is_used = entry_copy(cache, entry, words) && words[CACHE_WORD_GENERATION] == generation;
        int64_t until_ms = is_used ? (int64_t)words[CACHE_WORD_FRESH_UNTIL] : INT64_MIN;
        if (!best || until_ms < best_until_ms) {
            best = entry;
            best_until_ms = until_ms;
        }
    }
    return own ? own : best;
}

void cache_put(struct cache *cache, struct cache_key key, const struct cache_verdict *v, int64_t ttl_ms,
               uint32_t generation)
{
    if (generation != cache_generation(cache)) return;
    int64_t now_mono_ms = clock_mono_ms();
    if (ttl_ms < 0) ttl_ms = 0;
    if (ttl_ms > INT64_MAX - now_mono_ms) ttl_ms = INT64_MAX - now_mono_ms;

    uint64_t words[CACHE_WORDS] = {0};
    words[CACHE_WORD_KEY_HI] = key.hi;
    words[CACHE_WORD_KEY_LO] = key.lo;
    words[CACHE_WORD_GENERATION] = generation;
    words[CACHE_WORD_FRESH_UNTIL] = (uint64_t)(now_mono_ms + ttl_ms);
    memcpy(&words[CACHE_WORD_VERDICT], v, sizeof *v);
    words[CACHE_WORD_CHECK] = words_check(cache, words);
    entry_store(way_to_replace(cache, key, generation), words);
}

void cache_drop(struct cache *cache, struct cache_key key)
{
    for (unsigned nth = 0; nth < CACHE_WAYS; nth++) {
        struct cache_entry *entry = way_of(cache, key, nth);
        if (entry_has_key(entry, key)) entry_forget(entry);
    }
}

void cache_clear(struct cache *cache)
{
    atomic_fetch_add_explicit(&cache->segment.at->generation, 1, memory_order_acq_rel);
}

void cache_usage(const struct cache *cache, int64_t *used, int64_t *total)
{
    int64_t now_mono_ms = clock_mono_ms();
    uint32_t generation = cache_generation(cache);
    *used = 0;
    *total = (int64_t)cache->segment.header.entries;
    for (int64_t i = 0; i < *total; i++) {
        uint64_t words[CACHE_WORDS];
        struct cache_entry *entry = &cache->segment.at->entries[i];
        if (word_load(entry, CACHE_WORD_CHECK) == 0 || !entry_copy(cache, entry, words)) continue;
        if (words[CACHE_WORD_GENERATION] != generation) continue;
        if (now_mono_ms < (int64_t)words[CACHE_WORD_FRESH_UNTIL]) ++*used;
    }
}
