/* A slice: a stretch of a platform's accounts that one monitor at a time goes through, and its state, which is kept in a lease of the
 * store. The slices of a platform have no gaps and no overlaps: each knows only after which account it begins, and ends with
 * the account after which the next one begins. Pure: no I/O, no clock.
 *
 * A pass is one time through a slice. It may be begun by one monitor and ended by another: the cursor goes with the lease. Times to
 * go by are the store's; those of the totals are for people. */
#ifndef TH_SLICE_H
#define TH_SLICE_H
#include "store/lease.h"
#include "store/store.h"
#include "totals.h"

#define SLICE_PREFIX "slice/"
struct slice {
    char platform[LIMIT_PLATFORM_BYTES];
    struct account_id lo;     /* the last account before the slice; ID_NONE: from the start */
    struct account_id cursor; /* in this pass all up to it are done; ID_NONE: none is */
    int64_t due_ms;           /* when the pass under way was due, else the next one */
    int64_t begun_ms;         /* when the pass under way was begun; 0: none is */
    int64_t asked,
        swept; /* the newest sweep request (its id) that was there when the pass under way began, and that before the last one */
    int64_t passes;          /* that were finished, also before the slice was cut off another */
    struct totals now, last; /* of the pass under way, up to the cursor; of the last one that was finished */
};
/** slice_name(s, out): of its lease. */
const char *slice_name(const struct slice *s, char out[LEASE_NAME_BYTES]);
/** slice_parse(name, state, s): 1, or 0 if that is no lease of a slice. What is damaged in the state is as if it were new. slice_print(s):
 *  the state. Owns: caller. */
int slice_parse(const char *name, const struct json *state, struct slice *s);
struct json *slice_print(const struct slice *s);

/** slice_wait_ms(s, now_ms, interval_ms): until it is due; 0: it is. Never more than an interval, even after the store's clock was set
 *  back or the interval was made shorter. */
int64_t slice_wait_ms(const struct slice *s, int64_t now_ms, int64_t interval_ms);
/** slice_begin(s, now_ms, wall_ms): a pass, unless one is under way. slice_finish(s, now_ms, wall_ms, interval_ms): it is done; the next
 *  one is due an interval after this one was, or at once if that is over. */
void slice_begin(struct slice *s, int64_t now_ms, int64_t wall_ms);
void slice_finish(struct slice *s, int64_t now_ms, int64_t wall_ms, int64_t interval_ms);
/** slice_where_to_cut(ahead): after how many of the accounts that lie ahead (as counted up to SLICE_LOOK_AHEAD) a new slice begins; 0: none. */
enum { SLICE_LOOK_AHEAD = 2 * LIMIT_SLICE_ACCOUNTS };
int slice_where_to_cut(int ahead);
/** slice_cut(whole, at, rest): what lies after ${at} as a slice of its own, due as the whole is, not begun. */
void slice_cut(const struct slice *whole, const struct account_id *at, struct slice *rest);

#endif
