/* The parent: forks the workers before any library opens anything, brings back those that die, and drains them at the end. */
#ifndef TH_PREFORK_H
#define TH_PREFORK_H
#include "base/config.h"

/** What the children do; the result is the process's exit status. */
struct prefork_program {
    int (*run)(const struct config *cfg, int listen_fd); /* a worker's life; 0: it was told to stop */
    int (*try_open)(const struct config *cfg); /* 0 if a worker could open everything; else the log says why not */
};
struct prefork_options {
    const char *config_path; /* read again on SIGHUP */
    int workers;             /* 0: as many as the configuration says */
    int listen_fd;
};
/** prefork_run(cfg, options, program): until SIGTERM or SIGINT; 1 at once when a worker could not be opened with cfg. SIGHUP: the
 *  configuration is read again and, if a worker can be opened with it, the workers are replaced one by one (the socket stays);
 *  else all goes on as before. A worker that dies young comes back after 1, 2, 4 … 30 s, an old one at once. At the end the
 *  workers finish the requests under way, within 15 s. Owns: cfg (freed). Returns the exit status. */
int prefork_run(struct config *cfg, const struct prefork_options *options, const struct prefork_program *program);

#endif
