#include "base/log.h"
#include "base/secret.h"
#include "listen.h"
#include "options.h"
#include "prefork.h"
#include "worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const struct err *err)
{
    fprintf(stderr, "token-health-fcgi: %s%s%s\n", err->place, err->place[0] ? ": " : "", err->text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options options;
    struct config *cfg = NULL;
    struct err err = {0};
    char socket_path[4096] = "";
    unsigned mode;
    int fd, made = 0, status;

    secret_harden_process();
    if (!options_parse(argc, argv, &options, &status)) return status;
    if (config_load(options.config, &cfg, &err) != ERR_OK) return fail(&err);
    if (secret_is_empty(&cfg->encryption_key)) {
        err_set(&err, ERR_CONFIG, "[encryption]",
                "the application's master key is missing: set key_file, key or TOKEN_ENCRYPTION_KEY");
        return fail(&err);
    }
    if (options.check) return puts("the configuration is good") < 0;
    log_setup((enum log_level)cfg->log_level, (enum log_format)cfg->log_format);
    if (!config_parse_mode(cfg->socket_mode, &mode)) {
        err_set(&err, ERR_CONFIG, "[responder] socket_mode", "not octal permissions: %s", cfg->socket_mode);
        return fail(&err);
    }
    if (options.workers) cfg->workers = options.workers;
    if (!options.listen) options.listen = listen_given(STDIN_FILENO) ? "fd:0" : cfg->listen;
    if (listen_open(options.listen, mode, (int)cfg->backlog, &fd, &made, &err) != ERR_OK) return fail(&err);
    if (made) snprintf(socket_path, sizeof socket_path, "%s", options.listen + strlen("unix:"));
    status = prefork_run(cfg, options.config, fd, worker_run);
    if (made) unlink(socket_path);
    return status;
}
