/* The monitor's life: sweep, tell, sleep until the next one, stop on SIGTERM or SIGINT. */
#ifndef TH_MONITOR_H
#define TH_MONITOR_H
#include "base/config.h"

/** monitor_check(cfg, err): of what the configuration names, is every platform there? ERR_CONFIG. */
enum err_code monitor_check(const struct config *cfg, struct err *err);
/** monitor_run(cfg, path, once, err): ${path}: of the file that SIGHUP has read again: its live keys (config_live.h) come into force.
 *  with the other monitors sweeps all accounts every check_interval, until a signal. Accounts that are begun
 *  are finished then, within about one provider time-out, and the rest is given to the others. A store that is away is waited for. Statistics go
 *  to the store's meta document "monitor", as soon as it takes them.
 *  ${once}: one sweep by itself, then return; the store is not waited for. Fails then when not every account was checked and saved.
 *  A dry run is such a sweep every check_interval, apart from the other monitors: only statistics are written. */
enum err_code monitor_run(const struct config *cfg, const char *path, int once, struct err *err);

#endif
