/* The mass-failure guards of this host, shared by its processes through the shared-memory segment: guard_rule.h on words in it. There is
 * one for each app of a platform, by a name. No lock and no owner: a process killed anywhere leaves at most one answer that is counted
 * only by half. When the segment is replaced the guard starts anew. */
#ifndef TH_GUARD_H
#define TH_GUARD_H
#include "cache/cache.h"
#include "cache/guard_rule.h"

/** guard_count(cache, name, is_bad, interval_ms): one answer more. What the guard turned to is told to exactly one of all callers. All
 *  processes should have the same interval. Never blocks. */
enum guard_turn guard_count(struct cache *cache, const char *name, int is_bad, int64_t interval_ms);
/** guard_holds(cache, name, held_ms, interval_ms): see guard_rule_holds. */
int guard_holds(const struct cache *cache, const char *name, int64_t held_ms, int64_t interval_ms);
/** guard_obey(cache, name, order, left_ms): what the operator ordered. */
void guard_obey(struct cache *cache, const char *name, enum guard_order order, int64_t left_ms);
void guard_look(const struct cache *cache, const char *name, int64_t interval_ms, struct guard_view *view);

/** guard_note_get, _put(cache, platform, which, value): what this host has obeyed of a platform's orders; 0: nothing yet. guard_note_change:
 *  1 if it was still ${seen}. */
enum guard_note { GUARD_NOTE_VERSION, GUARD_NOTE_ORDER, GUARD_NOTES };
int64_t guard_note_get(const struct cache *cache, const char *platform, enum guard_note which);
void guard_note_put(struct cache *cache, const char *platform, enum guard_note which, int64_t value);
int guard_note_change(struct cache *cache, const char *platform, enum guard_note which, int64_t seen, int64_t value);

#endif
