/* token-healthctl: a table of commands, one cmd_<noun>.c each. Every command prints for people, or JSON with --json. */
#ifndef TH_CTL_H
#define TH_CTL_H
#include "base/config.h"
#include "base/json.h"
#include "health/service.h"
#include <getopt.h>
#include <stdio.h>

enum exit_code {
#define EXIT(name, number, meaning) EXIT_##name = (number),
#include "exit.def"
#undef EXIT
};

struct ctl {
    const char *config_path;
    const char *command;     /* the one that runs */
    struct config *cfg;      /* loaded before the command runs, unless the command needs none */
    struct service *service; /* opened on the first ctl_service() */
    int json, help;
};

/* Options that every command takes: the end of its table and of its letters. */
#define CTL_OPTIONS                                                                                                    \
    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'},                                                \
    {                                                                                                                  \
        NULL, 0, NULL, 0                                                                                               \
    }
#define CTL_LETTERS "jh"
/** ctl_getopt(ctl, argc, argv, letters, options): getopt_long, which deals with CTL_OPTIONS itself. '?' also after --help: then
 *  `return ctl_usage(ctl)` prints it. */
int ctl_getopt(struct ctl *ctl, int argc, char **argv, const char *letters, const struct option *options);
/** ctl_no_options(ctl, argc, argv): the same for a command without options of its own; 1 if all is well. */
int ctl_no_options(struct ctl *ctl, int argc, char **argv);
/** ctl_usage(ctl): how the command is used: on standard output after --help (EXIT_DONE), else on standard error (EXIT_USAGE). */
int ctl_usage(const struct ctl *ctl);
/** ctl_foreign_owner(file, owner, size): 1 if we are root and the folder of ${file} is another user's, whose name is ${owner}: what
 *  root makes there, and in the shared memory, the service could not open. */
int ctl_foreign_owner(const char *file, char *owner, size_t size);
/** ctl_state_file(cfg): the file whose folder is the service's: of SQLite the store's, else the API keys'. */
const char *ctl_state_file(const struct config *cfg);
/** ctl_may_touch(file): 0 after saying who is to run this. */
int ctl_may_touch(const char *file);
/** ctl_owner_name(path, owner, size): the user that it belongs to, "#UID" without a name; 0 if it is not there. */
int ctl_owner_name(const char *path, char *owner, size_t size);
/** ctl_service(ctl): opens the service once; NULL after saying why on standard error. Not for root in another's folder. */
struct service *ctl_service(struct ctl *ctl);
/** ctl_fail(err): says "token-healthctl: place: text"; returns EXIT_FAILED. */
int ctl_fail(const struct err *err);
/** ctl_complain(format, …): the same for a sentence of our own. */
int ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** ctl_print(j): one JSON document on standard output; takes j. Returns EXIT_DONE or EXIT_FAILED. */
int ctl_print(struct json *j);
/** ctl_show(ctl, j): with --json as ctl_print; else for people, each value on a line behind its dotted name. Takes j. */
int ctl_show(const struct ctl *ctl, struct json *j);
/** ctl_printable(text, out, size): for a terminal: control characters become '?'. Returns out. */
const char *ctl_printable(const char *text, char *out, size_t size);
/** ctl_open(name, &stream): standard input for NULL and "-"; 0 after saying why not. ctl_close: not standard input. */
int ctl_open(const char *name, FILE **stream);
void ctl_close(FILE *stream);
/** ctl_read(stream, limit, out, err): all of it; ERR_TOO_LARGE over limit bytes. */
enum err_code ctl_read(FILE *stream, size_t limit, struct buf *out, struct err *err);

#define COMMAND(name, function, needs_config, arguments, help) int function(struct ctl *ctl, int argc, char **argv);
#include "command.def"
#undef COMMAND

#endif
