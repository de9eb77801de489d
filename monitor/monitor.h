/* The monitor's life: sweep, tell, sleep until the next one, stop on SIGTERM or SIGINT. */
#ifndef TH_MONITOR_H
#define TH_MONITOR_H
#include "base/config.h"

/** monitor_run(cfg, once, err): sweeps every check_interval (monotonic clock) until a signal; ${once}: one sweep, then
 *  return. A sweep under way finishes the accounts it has begun. Statistics go to the store's meta document "monitor". */
enum err_code monitor_run(const struct config *cfg, int once, struct err *err);

#endif
