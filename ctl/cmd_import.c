#include "ctl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, BATCH_BYTES = 1 << 20 };

struct import {
    struct store *store;
    const char *name;
    int replace;
    int64_t line, created, replaced, refused;
    /* Lines that wait for the store, which takes many at once much faster. */
    struct store_item items[BATCH];
    struct json *docs[BATCH];
    int64_t lines[BATCH];
    int count;
    size_t bytes;
};

static void refuse(struct import *im, int64_t line, const struct err *why)
{
    im->refused++;
    ctl_complain("%s:%lld: %s%s%s", im->name, (long long)line, why->place, why->place[0] ? ": " : "", why->text);
}

/* What became of the lines; of those that the store failed at, in one sentence. */
static void tell_batch(struct import *im, const struct err *err)
{
    int failed = 0, first = -1;
    struct err why;

    for (int i = 0; i < im->count; i++) {
        const struct store_item *item = &im->items[i];

        if (item->err.code != ERR_OK) {
            refuse(im, im->lines[i], &item->err);
        } else if (item->is_done) {
            im->created += item->created;
            im->replaced += !item->created;
        } else {
            if (!failed++) first = i;
        }
    }
    if (!failed) return;
    why = *err;
    if (failed > 1) {
        size_t len = strlen(why.text);

        snprintf(why.text + len, sizeof why.text - len, "; the same goes for %d more, up to line %lld", failed - 1,
                 (long long)im->line);
    }
    refuse(im, im->lines[first], &why);
    im->refused += failed - 1;
}

/* Only a store that is away, full or broken ends it all. */
static enum err_code flush_batch(struct import *im)
{
    struct err err = {0};
    enum err_code rc = store_import_many(im->store, im->items, im->count, im->replace, &err);

    tell_batch(im, &err);
    for (int i = 0; i < im->count; i++)
        json_free(im->docs[i]);
    im->count = 0;
    im->bytes = 0;
    return rc;
}

/* A bad line is said and passed over: it must not keep the good ones out. */
static enum err_code import_line(struct import *im, const char *text, size_t len)
{
    struct store_item *item = &im->items[im->count];
    struct json **doc = &im->docs[im->count];
    enum err_code rc;

    *item = (struct store_item){.doc = NULL};
    *doc = NULL;
    rc = len <= LIMIT_IMPORT_LINE_BYTES
             ? json_parse(text, len, doc, &item->err)
             : err_set(&item->err, ERR_TOO_LARGE, NULL, "longer than %d bytes", LIMIT_IMPORT_LINE_BYTES);
    if (rc == ERR_OK) rc = account_check_import(*doc, &item->err);
    if (rc == ERR_OK) item->doc = *doc;
    im->lines[im->count++] = im->line;
    im->bytes += len;
    return im->count == BATCH || im->bytes >= BATCH_BYTES ? flush_batch(im) : ERR_OK;
}

static enum err_code import_stream(struct import *im, FILE *stream)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int why;
    enum err_code rc = ERR_OK;

    while (rc == ERR_OK && (len = getline(&line, &cap, stream)) >= 0) {
        size_t used = (size_t)len;

        im->line++;
        while (used && (line[used - 1] == '\n' || line[used - 1] == '\r'))
            used--;
        if (used) rc = import_line(im, line, used);
        secret_wipe(line, (size_t)len);
    }
    why = errno;
    if (rc == ERR_OK) rc = flush_batch(im);
    if (rc == ERR_OK && !feof(stream)) { /* no memory for a line is no error of the stream's */
        ctl_complain("%s:%lld: cannot be read: %s", im->name, (long long)im->line + 1, strerror(why));
        rc = ERR_IO;
    }
    free(line);
    return rc;
}

static int tell(const struct ctl *ctl, const struct import *im)
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

static int import_all(struct ctl *ctl, struct import *im, FILE *stream)
{
    enum err_code rc;
    int status;

    if (!ctl_service(ctl)) return EXIT_FAILED;
    im->store = service_store(ctl->service);
    rc = import_stream(im, stream);
    status = tell(ctl, im);
    return rc != ERR_OK || im->refused ? EXIT_FAILED : status;
}

int cmd_import(struct ctl *ctl, int argc, char **argv)
{
    static const struct option options[] = {{"replace", no_argument, NULL, 'r'}, CTL_OPTIONS};
    struct import im = {.name = "standard input"};
    FILE *stream;
    int opt, status;

    while ((opt = ctl_getopt(ctl, argc, argv, "r" CTL_LETTERS, options)) != -1) {
        if (opt == '?') return ctl_usage(ctl);
        im.replace = 1;
    }
    if (argc - optind > 1) return ctl_usage(ctl);
    if (!ctl_open(argv[optind], &stream)) return EXIT_FAILED;
    if (stream != stdin) im.name = argv[optind];
    status = import_all(ctl, &im, stream);
    ctl_close(stream);
    return status;
}
