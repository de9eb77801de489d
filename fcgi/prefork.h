/* The parent: forks the workers before any library opens anything, brings back those that die, and drains them at the end. */
#ifndef TH_PREFORK_H
#define TH_PREFORK_H
#include "base/config.h"
#include "pulse.h"

/** What a worker is given. */
struct prefork_worker {
    const struct config *cfg;
    int listen_fd;
    struct pulse *pulse;  /* to be moved at least every few seconds but in a request */
    int64_t max_requests; /* after so many it ends, with status 0; 0: it does not */
};
/** What the children do; the result is the process's exit status. */
struct prefork_program {
    int (*run)(const struct prefork_worker *self); /* a worker's life; 0: it was told to stop, or has done its part */
    int (*try_open)(const struct config *cfg);     /* 0 if a worker could open everything; else the log says why not */
};
struct prefork_options {
    const char *config_path; /* read again on SIGHUP */
    int workers;             /* 0: as many as the configuration says */
    int listen_fd;
};
/** prefork_run(cfg, options, program): until SIGTERM or SIGINT; 1 at once when a worker could not be opened with cfg. SIGHUP: the
 *  configuration is read again and, if a worker can be opened with it, the workers are replaced one by one (the socket stays; each finishes its request, within its request_timeout and 15 s);
 *  else all goes on as before. A worker that dies young comes back after 1, 2, 4 … 30 s, an old one at once; one that is in one
 *  request for longer than [responder] stuck_timeout is killed. At the end the workers finish the requests under way, within
 *  15 s. The supervisor hears of all that (base/notify.h): ready once a worker can answer; the watchdog is answered while one
 *  worker at least moves. Owns: cfg (freed). Returns the exit status. */
int prefork_run(struct config *cfg, const struct prefork_options *options, const struct prefork_program *program);

#endif
