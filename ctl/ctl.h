/* token-healthctl: a table of commands, one cmd_<noun>.c each. Every command prints for people, or JSON with --json. */
#ifndef TH_CTL_H
#define TH_CTL_H
#include "base/config.h"
#include "base/json.h"
#include "health/service.h"
#include <stdio.h>

enum exit_code {
    EXIT_DONE = 0,   /* done */
    EXIT_FAILED = 1, /* it did not work: standard error says why */
    EXIT_USAGE = 2,  /* the command line is wrong */
    EXIT_FINDINGS =
        3 /* done, and something needs attention: an account is broken, an envelope does not open, a check fails */
};

struct ctl {
    const char *config_path;
    struct config *cfg;      /* loaded before the command runs, unless the command needs none */
    struct service *service; /* opened on the first ctl_service() */
    int json;
};

/** ctl_service(ctl): opens the service once; NULL after saying why on standard error. */
struct service *ctl_service(struct ctl *ctl);
/** ctl_fail(err): says "token-healthctl: place: text"; returns EXIT_FAILED. */
int ctl_fail(const struct err *err);
int ctl_usage(const char *command);
/** ctl_print(j): one JSON document on standard output; takes j. Returns EXIT_DONE or EXIT_FAILED. */
int ctl_print(struct json *j);
/** ctl_read(stream, limit, out, err): all of it; ERR_TOO_LARGE over limit bytes. */
enum err_code ctl_read(FILE *stream, size_t limit, struct buf *out, struct err *err);

#define COMMAND(name, function, needs_config, arguments, help) int function(struct ctl *ctl, int argc, char **argv);
#include "command.def"
#undef COMMAND

#endif
