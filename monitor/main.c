#include "base/log.h"
#include "base/secret.h"
#include "base/version.h"
#include "monitor.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "Usage: token-health-monitor [--config FILE] [--once] [--dry-run] [--check-config] [--version] [--help]\n"
    "Checks all active accounts every check_interval.\n"
    "  -c, --config FILE   configuration (default /etc/token-health/token-health.conf)\n"
    "      --once          one sweep, then exit; the store is not waited for\n"
    "      --dry-run       write nothing, refresh nothing: tell what would change\n"
    "      --check-config  say whether the configuration is good, then exit\n"
    "Exit: 0 done, or stopped by SIGTERM or SIGINT; 1 it cannot start, or with --once: not every account was checked "
    "and\n"
    "saved; 2 wrong usage\n";

static int fail(const struct err *err)
{
    fprintf(stderr, "token-health-monitor: %s%s%s\n", err->place, err->place[0] ? ": " : "", err->text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"once", no_argument, NULL, 'o'},
                                            {"dry-run", no_argument, NULL, 'n'},
                                            {"check-config", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = "/etc/token-health/token-health.conf";
    struct config *cfg = NULL;
    struct err err = {0};
    int once = 0, check = 0, dry_run = 0, opt;

    secret_harden_process();
    while ((opt = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1) {
        if (opt == 'c') path = optarg;
        if (opt == 'o') once = 1;
        if (opt == 'n') dry_run = 1;
        if (opt == 'k') check = 1;
        if (opt == 'V') return puts("token-health-monitor " TOKEN_HEALTH_VERSION) < 0;
        if (opt == 'h') return fputs(usage, stdout) < 0;
        if (opt == '?') return fputs(usage, stderr), 2;
    }
    if (optind < argc) return fputs(usage, stderr), 2;
    if (config_load(path, &cfg, &err) != ERR_OK) return fail(&err);
    cfg->dry_run |= dry_run;
    log_setup((enum log_level)cfg->log_level, (enum log_format)cfg->log_format);
    if (check)
        opt = monitor_check(cfg, &err) == ERR_OK ? puts("the configuration is good") < 0 : fail(&err);
    else
        opt = monitor_run(cfg, path, once, &err) == ERR_OK ? EXIT_SUCCESS : fail(&err);
    config_free(cfg);
    return opt;
}
