#include "cache/guard.h"
#include "base/clock.h"
#include "cache/slot.h"

static struct cache_slot *slot_of(const struct cache *cache, const char *name)
{
    return slot_find(cache->segment.at->guards, CACHE_GUARDS, cache_hash(cache, name));
}

static struct guard_state load(const struct cache_slot *slot)
{
    struct guard_state s = {.word = {0}};

    slot_load(slot, s.word, GUARD_WORDS);
    return s;
}

enum guard_turn guard_count(struct cache *cache, const char *name, int is_bad, int64_t interval_ms)
{
    struct cache_slot *slot = slot_of(cache, name);
    const int64_t now_ms = clock_mono_ms();
    struct guard_state s, next;
    enum guard_turn turn;

    for (int word = 0; word < GUARD_MODE; word++)
        do {
            s = load(slot);
            guard_rule_count(&s, is_bad, interval_ms, now_ms, &next);
        } while (!slot_put(slot, word, s.word[word], next.word[word]));
    do {
        s = load(slot);
        turn = guard_rule_turn(&s, interval_ms, now_ms, &next);
    } while (!slot_put(slot, GUARD_MODE, s.word[GUARD_MODE], next.word[GUARD_MODE]));
    return turn;
}

int guard_holds(const struct cache *cache, const char *name, int64_t held_ms, int64_t interval_ms)
{
    const struct guard_state s = load(slot_of(cache, name));

    return guard_rule_holds(&s, held_ms, interval_ms, clock_mono_ms());
}

/* The mode first: what is counted before the others are there is forgotten, or not counted any more. */
void guard_obey(struct cache *cache, const char *name, enum guard_order order, int64_t left_ms)
{
    struct cache_slot *slot = slot_of(cache, name);
    struct guard_state next;

    guard_rule_obey(order, left_ms, clock_mono_ms(), &next);
    for (int word = GUARD_MODE; word >= 0; word--)
        atomic_store_explicit(&slot->word[word], next.word[word], memory_order_release);
}

void guard_look(const struct cache *cache, const char *name, int64_t interval_ms, struct guard_view *view)
{
    const struct guard_state s = load(slot_of(cache, name));

    guard_rule_view(&s, interval_ms, clock_mono_ms(), view);
}

int64_t guard_note_get(const struct cache *cache, const char *platform, enum guard_note which)
{
    uint64_t words[GUARD_NOTES];

    slot_load(slot_of(cache, platform), words, GUARD_NOTES);
    return (int64_t)words[which];
}

void guard_note_put(struct cache *cache, const char *platform, enum guard_note which, int64_t value)
{
    atomic_store_explicit(&slot_of(cache, platform)->word[which], (uint64_t)value, memory_order_release);
}

int guard_note_change(struct cache *cache, const char *platform, enum guard_note which, int64_t seen, int64_t value)
{
    return slot_put(slot_of(cache, platform), (int)which, (uint64_t)seen, (uint64_t)value);
}
