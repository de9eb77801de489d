#include "ctl.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

struct import {
    struct store *store;
    const char *name;
    int replace;
    int64_t line, created, replaced, refused;
};

/* A bad line is said and passed over: it must not keep the good ones out. */
static enum err_code import_line(struct import *im, const char *text, size_t len)
{
    struct json *doc = NULL;
    struct err err = {0};
    int created = 0;
    enum err_code rc = json_parse(text, len, &doc, &err);

    if (rc == ERR_OK) rc = account_check_import(doc, &err);
    if (rc == ERR_OK) rc = store_import(im->store, doc, im->replace, &created, &err);
    json_free(doc);
    if (rc == ERR_OK) {
        im->created += created;
        im->replaced += !created;
        return ERR_OK;
    }
    im->refused++;
    fprintf(stderr, "%s:%lld: %s%s%s\n", im->name, (long long)im->line, err.place, err.place[0] ? ": " : "", err.text);
    return rc == ERR_UNAVAILABLE || rc == ERR_NOSPACE ? rc : ERR_OK;
}

static enum err_code import_stream(struct import *im, FILE *stream)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    enum err_code rc = ERR_OK;

    while (rc == ERR_OK && (len = getline(&line, &cap, stream)) >= 0) {
        im->line++;
        if (len && line[len - 1] == '\n') len--;
        if (len == 0) continue;
        if (len > LIMIT_IMPORT_LINE_BYTES) {
            fprintf(stderr, "%s:%lld: longer than %d bytes\n", im->name, (long long)im->line, LIMIT_IMPORT_LINE_BYTES);
            im->refused++;
            continue;
        }
        rc = import_line(im, line, (size_t)len);
        secret_wipe(line, (size_t)len);
    }
    free(line);
    return rc;
}

static int say(const struct ctl *ctl, const struct import *im)
{
    struct json *j;

    if (!ctl->json) {
        printf("%lld created, %lld replaced, %lld refused\n", (long long)im->created, (long long)im->replaced,
               (long long)im->refused);
        return EXIT_DONE;
    }
    j = json_object_new();
    json_set(j, "created", json_new_int(im->created));
    json_set(j, "replaced", json_new_int(im->replaced));
    json_set(j, "refused", json_new_int(im->refused));
    return ctl_print(j);
}

int cmd_import(struct ctl *ctl, int argc, char **argv)
{
    static const struct option options[] = {{"replace", no_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    struct import im = {.name = "standard input"};
    FILE *stream = stdin;
    enum err_code rc;
    int opt, status;

    while ((opt = getopt_long(argc, argv, "r", options, NULL)) != -1) {
        if (opt == '?') return ctl_usage("import");
        im.replace = 1;
    }
    if (argc - optind > 1) return ctl_usage("import");
    if (argc > optind && strcmp(argv[optind], "-") != 0) {
        im.name = argv[optind];
        stream = fopen(im.name, "re");
        if (!stream) {
            fprintf(stderr, "token-healthctl: %s: %s\n", im.name, strerror(errno));
            return EXIT_FAILED;
        }
    }
    rc = ctl_service(ctl) ? ERR_OK : ERR_CONFIG;
    if (rc == ERR_OK) {
        im.store = service_store(ctl->service);
        rc = import_stream(&im, stream);
        status = say(ctl, &im);
    } else {
        status = EXIT_FAILED;
    }
    if (stream != stdin) fclose(stream);
    return rc != ERR_OK || im.refused ? EXIT_FAILED : status;
}
