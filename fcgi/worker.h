/* A worker: opens the service, then answers one request after the other until a signal. */
#ifndef TH_WORKER_H
#define TH_WORKER_H
#include "prefork.h"

extern const struct prefork_program worker_program;

#endif
