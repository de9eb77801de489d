/* One walk through a span of accounts: read in pages, within a page soonest expiry first, given to the validation pipeline as it has
 * room. Streams: memory does not grow with the span. Knows nothing of leases but the fence that its writes carry. */
#ifndef TH_WALK_H
#define TH_WALK_H
#include "health/service.h"
#include "totals.h"

struct walk;
struct walk_options {
    char platform[LIMIT_PLATFORM_BYTES];
    struct account_id after, to; /* ID_NONE: from the start, to the end */
    int64_t since_ms;            /* a verdict of this Unix time or later need not be had again; 0: none */
    struct fence *fence;         /* NULL, or borrowed until the walk is freed */
};
enum err_code walk_new(struct service *service, const struct walk_options *options, struct walk **walk,
                       struct err *err);
/** walk_on(w, err): give the pipeline what it has room for, reading a page when there is need. Blocks: as the store does. Fails: as the store
 *  does; it can be tried again. */
enum err_code walk_on(struct walk *w, struct err *err);
/** walk_stop(w): give it no more; what is under way ends. What ends without a verdict then is not done. */
void walk_stop(struct walk *w);
int walk_has_more(const struct walk *w); /* not all was given to the pipeline yet, and it is not stopped */
int walk_under_way(const struct walk *w);
/** walk_cursor(w): all up to this account is done; ID_NONE: nothing is. walk_is_done(w): all of the span is. walk_totals(w, all, t): added to ${t}:
 *  up to the cursor, or with ${all} what came after it, too. */
const struct account_id *walk_cursor(const struct walk *w);
int walk_is_done(const struct walk *w);
void walk_totals(const struct walk *w, int all, struct totals *t);
/** walk_free(w): only when nothing is under way. NULL allowed. */
void walk_free(struct walk *w);

#endif
