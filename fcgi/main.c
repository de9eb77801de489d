#include "base/log.h"
#include "base/secret.h"
#include "listen.h"
#include "options.h"
#include "provider/provider.h"
#include "worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the configuration's own reader cannot know. */
static enum err_code check_values(const struct config *cfg, unsigned *mode, struct err *err)
{
    if (secret_is_empty(&cfg->encryption_key))
        return err_set(err, ERR_CONFIG, "[encryption]",
                       "the application's master key is missing: set key_file, key or TOKEN_ENCRYPTION_KEY");
    if (!config_parse_mode(cfg->socket_mode, mode))
        return err_set(err, ERR_CONFIG, "[responder] socket_mode", "not octal permissions: %s", cfg->socket_mode);
    return ERR_OK;
}

static enum err_code check_providers(const struct config *cfg, struct err *err)
{
    struct provider_set *set = NULL;
    enum err_code rc = provider_set_load(cfg->provider_directory, cfg->provider_override_directory, &set, err);

    provider_set_free(set);
    if (rc == ERR_OK) puts("the configuration is good");
    return rc;
}

static enum err_code run(struct config **cfg, const struct options *o, unsigned mode, int *status, struct err *err)
{
    const char *given = NULL, *where = NULL;
    struct prefork_options options = {.config_path = o->config, .workers = o->workers, .listen_fd = -1};
    char socket_path[256] = ""; /* a socket's path has at most 107 bytes */
    int made = 0;
    enum err_code rc = listen_inherited(&given, err);

    if (rc != ERR_OK) return rc;
    where = o->listen ? o->listen : given ? given : (*cfg)->listen;
    rc = listen_open(where, mode, (int)(*cfg)->backlog, &options.listen_fd, &made, err);
    if (rc != ERR_OK) return rc;
    if (made) snprintf(socket_path, sizeof socket_path, "%s", where + strlen("unix:"));
    *status = prefork_run(*cfg, &options, &worker_program);
    *cfg = NULL;
    if (made) unlink(socket_path);
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct options options;
    struct config *cfg = NULL;
    struct err err = {0};
    unsigned mode = 0;
    int status = EXIT_SUCCESS;
    enum err_code rc;

    secret_harden_process();
    if (!options_parse(argc, argv, &options, &status)) return status;
    rc = config_load(options.config, &cfg, &err);
    if (rc == ERR_OK) rc = check_values(cfg, &mode, &err);
    if (rc == ERR_OK) log_setup((enum log_level)cfg->log_level, (enum log_format)cfg->log_format);
    if (rc == ERR_OK) rc = options.check ? check_providers(cfg, &err) : run(&cfg, &options, mode, &status, &err);
    config_free(cfg);
    if (rc == ERR_OK) return status;
    fprintf(stderr, "token-health-fcgi: %s%s%s\n", err.place, err.place[0] ? ": " : "", err.text);
    return EXIT_FAILURE;
}
