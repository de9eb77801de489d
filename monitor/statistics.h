/* What the monitor tells of itself: the store's meta document "monitor", which /stats shows. Not worth a failed sweep: what a store
 * that is away did not take is kept and saved later. */
#ifndef TH_STATISTICS_H
#define TH_STATISTICS_H
#include "sweep.h"

struct statistics {
    const struct config *cfg;
    int once; /* a single sweep beside a monitor that may be running: what that one tells of itself is left as it is */
    int stopped;
    int64_t started_at_ms, next_at_ms;
    int64_t sweeps;
    const struct sweep_totals *running; /* the sweep under way; NULL: none */
    struct sweep_totals last;           /* the last sweep that ended, if sweeps is not 0 */
    int unsaved;                        /* the store did not take the last ones */
};
void statistics_init(struct statistics *s, const struct config *cfg, int once);
/** statistics_save(s, store): never fails, sets unsaved; said in the log once an outage. Blocks: the store's time-out, twice. */
void statistics_save(struct statistics *s, struct store *store);

#endif
