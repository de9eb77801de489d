/* One sweep: every active account of the chosen platforms through the pipeline once, batch_size at a time, streamed in pages
 * from the store, so that memory does not grow with the number of accounts. The provider is asked about each account, but for
 * those that another process has had decided since the sweep began. */
#ifndef TH_SWEEP_H
#define TH_SWEEP_H
#include "health/service.h"
#include <signal.h>

struct sweep_totals {
    int64_t started_at_ms, finished_at_ms;
    int64_t accounts, healthy, expiring, limited, broken, unknown;
    int64_t inconclusive, fixed, refreshed, state_changes, store_errors;
    int complete; /* 0: stopped, or the store went away */
};

/** Called now and then while a sweep is under way. */
typedef void sweep_progress_fn(void *arg, const struct sweep_totals *totals);
struct sweep_options {
    const char *platforms; /* names separated by spaces; "": all that have a provider file */
    const volatile sig_atomic_t
        *stop;          /* non-zero: take no new accounts, finish those under way within one provider call */
    int wait_for_store; /* a store that is away ends the sweep (0) or holds it up until it is back */
    sweep_progress_fn *progress;
    void *arg;
};
/** sweep_run(service, options, totals, err): blocks until all accounts are done or *stop. A page that cannot be read ends the
 *  sweep with that error, unless the store is away and waited for; what was done counts. */
enum err_code sweep_run(struct service *service, const struct sweep_options *options, struct sweep_totals *totals,
                        struct err *err);
/** sweep_totals_json(totals): for statistics and logs. Owns: caller. */
struct json *sweep_totals_json(const struct sweep_totals *totals);

#endif
