/* How often somebody may do something, counted for all processes of the host in the segment (a token bucket as one time, GCRA: ITU-T
 * I.371, annex A). Who it is is known by a seeded hash alone. With too many at once the one whose bucket is fullest is forgotten. */
#ifndef TH_RATE_H
#define TH_RATE_H
#include "cache/cache.h"

/** count times in per_ms, evenly or all at once. count 0: any number. */
struct rate {
    int64_t count, per_ms;
};
/** rate_wait_ms(cache, who, rate): 0: it may be done now; else in how many ms. ${who}: cache_hash of a name. Changes nothing. */
int64_t rate_wait_ms(const struct cache *cache, uint64_t who, const struct rate *rate);
/** rate_take(cache, who, rate): the same, and if it may be done it counts as done. Never blocks. Two who come at once for a place
 *  that neither had may be counted as one. */
int64_t rate_take(struct cache *cache, uint64_t who, const struct rate *rate);
/** rate_next(due_ns, now_ns, rate, &wait_ms): the rule: the bucket's time after one more, or as it was with the time to wait. Pure. A
 *  time that no use of ${rate} can have made counts as the latest that can. */
uint64_t rate_next(uint64_t due_ns, uint64_t now_ns, const struct rate *rate, int64_t *wait_ms);

#endif
