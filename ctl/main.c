#include "base/log.h"
#include "base/secret.h"
#include "base/version.h"
#include "ctl.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

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

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i].name, name)) return &commands[i];
    return NULL;
}

static void print_usage(FILE *to)
{
    fputs("Usage: token-healthctl [--config FILE] [--json] COMMAND …\n"
          "  -c, --config FILE  configuration (default /etc/token-health/token-health.conf); also after the command\n"
          "  -j, --json         JSON on standard output; also after the command\n"
          "  -V, --version      print the version\n"
          "  -h, --help         print this; after a command: how it is used\n\n",
          to);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fputs("\nExit status:\n", to);
#define EXIT(name, number, meaning) fprintf(to, "  %d  %s\n", number, meaning);
#include "exit.def"
#undef EXIT
}

int ctl_usage(const struct ctl *ctl)
{
    const struct command *command = find_command(ctl->command);
    FILE *to = ctl->help ? stdout : stderr;

    fprintf(to, "Usage: token-healthctl %s %s\n", command->name, command->arguments);
    if (ctl->help) fprintf(to, "  %s\n", command->help);
    return ctl->help ? EXIT_DONE : EXIT_USAGE;
}

static int asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return 1;
    return 0;
}

/* --config after the command is taken out of its arguments: the file is read before the command sees them. */
static int take_config(struct ctl *ctl, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0;) {
        int is_joined = !strncmp(argv[i], "--config=", 9), taken = is_joined ? 1 : 2;

        if (!is_joined && ((strcmp(argv[i], "-c") != 0 && strcmp(argv[i], "--config") != 0) || i + 1 == argc)) {
            i++;
            continue;
        }
        ctl->config_path = is_joined ? argv[i] + 9 : argv[i + 1];
        argc -= taken;
        memmove(argv + i, argv + i + taken, (size_t)(argc + 1 - i) * sizeof *argv);
    }
    return argc;
}

static int load_config(struct ctl *ctl)
{
    struct err err = {0};

    if (config_load(ctl->config_path, &ctl->cfg, &err) == ERR_OK) return 1;
    ctl_fail(&err);
    if (access(ctl->config_path, F_OK) != 0 && errno == ENOENT)
        ctl_complain("name another with --config FILE; token-healthctl config prints a sample");
    return 0;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
    const struct command *command = find_command(argv[0]);

    if (!command) {
        ctl_complain("there is no command \"%s\"; --help lists them", argv[0]);
        return EXIT_USAGE;
    }
    ctl->command = command->name;
    argc = take_config(ctl, argc, argv);
    ctl->help = asks_for_help(argc, argv);
    if (ctl->help) return ctl_usage(ctl);
    if (command->needs_config && !load_config(ctl)) return EXIT_FAILED;
    if (ctl->cfg) log_setup(LOG_WARN, (enum log_format)ctl->cfg->log_format);
    optind = 0;
    return command->run(ctl, argc, argv);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"version", no_argument, NULL, 'V'}, CTL_OPTIONS};
    struct ctl ctl = {.config_path = "/etc/token-health/token-health.conf"};
    int opt, status;

    secret_harden_process();
    log_setup(LOG_WARN, LOG_FORMAT_TEXT);
    while ((opt = getopt_long(argc, argv, "+c:V" CTL_LETTERS, options, NULL)) != -1) {
        if (opt == 'c') ctl.config_path = optarg;
        if (opt == 'j') ctl.json = 1;
        if (opt == 'V') return puts("token-healthctl " TOKEN_HEALTH_VERSION) < 0;
        if (opt == 'h') return print_usage(stdout), EXIT_DONE;
        if (opt == '?') return print_usage(stderr), EXIT_USAGE;
    }
    if (optind == argc) return print_usage(stderr), EXIT_USAGE;
    status = run(&ctl, argc - optind, argv + optind);
    service_close(ctl.service);
    config_free(ctl.cfg);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    return ctl_complain("standard output: %s", strerror(errno));
}
