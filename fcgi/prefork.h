/* The parent: forks the workers before any library opens anything, brings back those that die, and drains them at the end. */
#ifndef TH_PREFORK_H
#define TH_PREFORK_H
#include "base/config.h"

/** prefork_worker_fn(cfg, listen_fd): a worker's life; its result is the process's exit status. */
typedef int prefork_worker_fn(const struct config *cfg, int listen_fd);
/** prefork_run(cfg, config_path, listen_fd, worker): until SIGTERM or SIGINT. SIGHUP: the configuration is read again and, if it is
 *  good, the workers are replaced one by one (the socket stays). A worker that dies young comes back after 1, 2, 4 … 30 s.
 *  Owns: cfg (freed). Returns the exit status. */
int prefork_run(struct config *cfg, const char *config_path, int listen_fd, prefork_worker_fn *worker);

#endif
