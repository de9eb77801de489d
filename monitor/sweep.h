/* One sweep by one process alone, beside whatever monitors there are: every active account of the chosen platforms through the
 * pipeline once, without leases. What --once does. */
#ifndef TH_SWEEP_H
#define TH_SWEEP_H
#include "health/service.h"
#include "totals.h"
#include <signal.h>

/** sweep_run(service, stop, totals, complete, err): blocks until all accounts are done or *stop: then those under way are finished within
 *  one provider call. A page that cannot be read ends the sweep with that error; what was done counts. */
enum err_code sweep_run(struct service *service, const volatile sig_atomic_t *stop, struct totals *totals,
                        int *complete, struct err *err);
/** sweep_log(platform, t): one line, with the platform in the prefix: "INSTAGRAM MONITOR"; nothing if there was no account. */
void sweep_log(const char *platform, const struct totals *t);

#endif
