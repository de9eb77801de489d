/* Named places of a few words in a table of the segment, each changed on its own, without a lock. Private to cache/. A name is found
 * by its seeded hash and not kept. Slots are never given back, so all processes find the same one. A full table is no table of
 * ours (there are a few names): the name takes over its first slot, state and all. */
#ifndef TH_SLOT_H
#define TH_SLOT_H
#include "cache/cache_layout.h"

/** slot_find(table, count, hash): the slot of the name with this cache_hash. count > 0. */
struct cache_slot *slot_find(struct cache_slot *table, uint64_t count, uint64_t hash);
/** slot_load(slot, words, count): words may be of different moments: each is judged and changed on its own. */
void slot_load(const struct cache_slot *slot, uint64_t *words, int count);
/** slot_put(slot, word, seen, next): 1 if the word was still ${seen} and is now ${next}. */
int slot_put(struct cache_slot *slot, int word, uint64_t seen, uint64_t next);

#endif
