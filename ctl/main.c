#include "base/log.h"
#include "base/secret.h"
#include "ctl.h"
#include <getopt.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(struct ctl *ctl, int argc, char **argv);
    int needs_config;
    const char *arguments, *help;
} commands[] = {
#define COMMAND(name, function, needs_config, arguments, help) {name, function, needs_config, arguments, help},
#include "command.def"
#undef COMMAND
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *to)
{
    fputs("Usage: token-healthctl [--config FILE] [--json] COMMAND …\n"
          "  -c, --config FILE  configuration (default /etc/token-health/token-health.conf)\n"
          "  -j, --json         JSON on standard output\n"
          "Exit: 0 done, 1 failed, 2 wrong usage, 3 done, and something needs attention\n\n",
          to);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments, commands[i].help);
}

int ctl_usage(const char *command)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i].name, command))
            fprintf(stderr, "Usage: token-healthctl %s %s\n", command, commands[i].arguments);
    return EXIT_USAGE;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
    struct err err = {0};

    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, argv[0]) != 0) continue;
        if (commands[i].needs_config && config_load(ctl->config_path, &ctl->cfg, &err) != ERR_OK) return ctl_fail(&err);
        if (ctl->cfg) log_setup(LOG_WARN, (enum log_format)ctl->cfg->log_format);
        optind = 0;
        return commands[i].run(ctl, argc, argv);
    }
    fprintf(stderr, "token-healthctl: there is no command \"%s\"; --help lists them\n", argv[0]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct ctl ctl = {.config_path = "/etc/token-health/token-health.conf"};
    int opt, status;

    secret_harden_process();
    log_setup(LOG_WARN, LOG_FORMAT_TEXT);
    while ((opt = getopt_long(argc, argv, "+c:jVh", options, NULL)) != -1) {
        if (opt == 'c') ctl.config_path = optarg;
        if (opt == 'j') ctl.json = 1;
        if (opt == 'V') return puts("token-healthctl 0.1.0") < 0;
        if (opt == 'h') return print_usage(stdout), EXIT_DONE;
        if (opt == '?') return print_usage(stderr), EXIT_USAGE;
    }
    if (optind == argc) return print_usage(stderr), EXIT_USAGE;
    status = run(&ctl, argc - optind, argv + optind);
    service_close(ctl.service);
    config_free(ctl.cfg);
    return status;
}
