/* What the monitors tell of themselves: the store's meta document "monitor", which /stats shows. The figures are sums over all slices,
 * so that it does not matter which of many monitors wrote it last. Not worth a failed sweep: what a store that is away did not take is
 * saved later. */
#ifndef TH_STATISTICS_H
#define TH_STATISTICS_H
#include "rota.h"

struct statistics {
    const struct config *cfg;
    int64_t started_at_ms;
    int stopped;
    int unsaved; /* the store did not take the last ones */
};
void statistics_init(struct statistics *s, const struct config *cfg);
/** statistics_save(s, rota, store): never fails, sets unsaved; said in the log once an outage. Blocks: the store's time-out, twice. */
void statistics_save(struct statistics *s, const struct rota *rota, struct store *store);
/** statistics_save_once(cfg, totals, complete, store): of a single sweep; what the monitors tell of themselves is left as it is. Of a
 *  dry run it becomes lastDryRun: what would have been. */
void statistics_save_once(const struct config *cfg, const struct totals *totals, int complete, struct store *store);

#endif
