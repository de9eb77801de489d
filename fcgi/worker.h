/* A worker: opens the service, then answers one request after the other until a signal. */
#ifndef TH_WORKER_H
#define TH_WORKER_H
#include "base/config.h"

/** worker_run(cfg, listen_fd): a prefork_worker_fn. Exit status 0: told to stop; 1: could not start (the log says why). */
int worker_run(const struct config *cfg, int listen_fd);

#endif
