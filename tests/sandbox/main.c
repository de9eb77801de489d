/* The pretend provider: a web server that plays the platforms which token-health speaks to. */
#include "base/err.h"
#include "registration.h"
#include "server.h"
#include "token/crypto.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

struct options {
    struct server_options server;
    const char *state, *tls_cert_file, *tls_key_file;
};

static int read_port(const char *text, unsigned *port)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    *port = (unsigned)n;
    return *text && !*end && n < 65536;
}

/* 0: a mistake, said on standard error. */
static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},     {"state", required_argument, NULL, 's'},
        {"tls-port", required_argument, NULL, 't'}, {"tls-cert", required_argument, NULL, 'c'},
        {"tls-key", required_argument, NULL, 'k'},  {NULL, 0, NULL, 0}};
    int letter, is_good = 1;

    while (is_good && (letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'p')
            is_good = read_port(optarg, &o->server.port);
        else if (letter == 't')
            is_good = read_port(optarg, &o->server.tls_port);
        else if (letter == 's')
            o->state = optarg;
        else if (letter == 'c')
            o->tls_cert_file = optarg;
        else if (letter == 'k')
            o->tls_key_file = optarg;
        else
            is_good = 0;
    }
    if (is_good && optind == argc && !o->tls_cert_file == !o->tls_key_file) return 1;
    fprintf(stderr, "usage: %s [--port N] [--state FILE] [--tls-port N --tls-cert FILE --tls-key FILE]\n", argv[0]);
    return 0;
}

/* The whole text of a file, to be freed; NULL: said on standard error. */
static char *read_file(const char *path)
{
    char *text = calloc(1, FILE_BYTES_MAX);
    FILE *f = fopen(path, "re");
    size_t len = f && text ? fread(text, 1, FILE_BYTES_MAX - 1, f) : 0;

    if (f) fclose(f);
    if (len) return text;
    fprintf(stderr, "sandbox: %s cannot be read\n", path);
    free(text);
    return NULL;
}

static int say(const struct err *err)
{
    fprintf(stderr, "sandbox: %s: %s\n", err->place, err->text);
    return EXIT_FAILURE;
}

static int run(const struct options *o)
{
    struct err err = {0};
    struct world world;
    int status = EXIT_FAILURE;

    if (crypto_init(&err) != ERR_OK) return say(&err);
    if (!world_init(&world)) return EXIT_FAILURE;
    if (o->state && registration_load(&world, o->state, &err) != ERR_OK)
        say(&err);
    else if (server_run(&world, &o->server) == 0)
        status = o->state && registration_save(&world, o->state, &err) != ERR_OK ? say(&err) : EXIT_SUCCESS;
    world_fini(&world);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    char *cert = NULL, *key = NULL;
    int status = 2;

    if (!read_options(argc, argv, &o)) return status;
    if (o.tls_cert_file) {
        o.server.tls_cert = cert = read_file(o.tls_cert_file);
        o.server.tls_key = key = read_file(o.tls_key_file);
    }
    if (!o.tls_cert_file || (cert && key)) status = run(&o);
    free(cert);
    free(key);
    return status;
}
