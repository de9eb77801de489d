#include "options.h"
#include "base/limits.h"
#include "base/version.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: token-health-fcgi [OPTION]…\n"
    "FastCGI responder of token-health.\n"
    "  -c, --config FILE    configuration (default /etc/token-health/token-health.conf)\n"
    "  -l, --listen WHERE   unix:PATH, HOST:PORT, or fd:0, fd:3 for a socket given on that descriptor\n"
    "  -w, --workers N      worker processes\n"
    "      --check-config   say whether the configuration is good, then exit\n"
    "  -V, --version        print the version\n"
    "  -h, --help           print this\n";

static int say(FILE *to, const char *text, int status, int *out)
{
    fputs(text, to);
    *out = status;
    return 0;
}

int options_parse(int argc, char **argv, struct options *o, int *status)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"workers", required_argument, NULL, 'w'},
                                            {"check-config", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    char *end;
    int opt;

    *o = (struct options){.config = "/etc/token-health/token-health.conf"};
    while ((opt = getopt_long(argc, argv, "c:l:w:Vh", options, NULL)) != -1) {
        if (opt == 'c') o->config = optarg;
        if (opt == 'l') o->listen = optarg;
        if (opt == 'k') o->check = 1;
        if (opt == 'V') return say(stdout, "token-health-fcgi " TOKEN_HEALTH_VERSION "\n", 0, status);
        if (opt == 'h') return say(stdout, usage, 0, status);
        if (opt == '?') return say(stderr, usage, 2, status);
        if (opt == 'w') {
            o->workers = (int)strtol(optarg, &end, 10);
            if (*end || o->workers < 1 || o->workers > LIMIT_WORKERS)
                return say(stderr, "--workers: 1 to 256\n", 2, status);
        }
    }
    return optind == argc ? 1 : say(stderr, usage, 2, status);
}
