/* A slice that this monitor holds: its lease, the fence of its writes, and the walk through it. */
#ifndef TH_HOLD_H
#define TH_HOLD_H
#include "board.h"
#include "walk.h"
#include <sys/queue.h>

struct hold {
    TAILQ_ENTRY(hold) entry;
    struct lease lease;
    struct slice slice; /* as it was when the walk began */
    struct fence fence;
    struct account_id to;
    struct walk *walk;                     /* NULL until the first step */
    int64_t renew_boot_ms, finish_boot_ms; /* not before */
    int is_lost;
};
struct hold_terms {
    struct service *service;
    const char *owner;
    int64_t ttl_ms, margin_ms, interval_ms;
    int64_t asked; /* the newest sweep request */
};
/** hold_take(terms, entry, to, now_ms, &hold, err): take the lease of a slice that was seen free. Fails: ERR_CONFLICT: another was first. */
enum err_code hold_take(const struct hold_terms *terms, const struct board_entry *entry, const struct account_id *to,
                        struct hold **hold, struct err *err);
/** hold_begin(terms, h, now_ms, err): look ahead, cut, and begin the pass or go on with it. ERR_NOT_FOUND: the slice is empty and not needed: it is
 *  gone, and with it the lease. Fails: else as the store does: give it up. */
enum err_code hold_begin(const struct hold_terms *terms, struct hold *h, int64_t now_ms, struct err *err);
/** hold_renew(terms, h): if it is time to; what is done goes into the store. When the lease is lost the walk stops. */
void hold_renew(const struct hold_terms *terms, struct hold *h);
/** hold_finish(terms, h, now_ms): the pass is done: say so and let go. 1; 0: the store did not take it, try again while the fence holds. */
int hold_finish(const struct hold_terms *terms, struct hold *h, int64_t now_ms);
/** hold_release(terms, h): let go as it is, for another to go on. */
void hold_release(const struct hold_terms *terms, struct hold *h);
/** hold_look(h, all, s): the slice as the walk has brought it; with ${all} the totals hold what was done beyond the cursor, too. */
void hold_look(const struct hold *h, int all, struct slice *s);
void hold_free(struct hold *h); /* nothing is under way; the lease stays as it is */

#endif
