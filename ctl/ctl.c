#include "ctl.h"
#include <string.h>

int ctl_fail(const struct err *err)
{
    fprintf(stderr, "token-healthctl: %s%s%s\n", err->place, err->place[0] ? ": " : "",
            err->text[0] ? err->text : err_title(err->code));
    return EXIT_FAILED;
}

struct service *ctl_service(struct ctl *ctl)
{
    struct err err = {0};

    if (!ctl->service && service_open(ctl->cfg, &ctl->service, &err) != ERR_OK) ctl_fail(&err);
    return ctl->service;
}

int ctl_print(struct json *j)
{
    struct buf out = {0};
    struct err err = {0};
    int ok = json_print_pretty(j, &out, &err) == ERR_OK && puts(buf_text(&out)) >= 0;

    json_free(j);
    buf_free(&out);
    return ok ? EXIT_DONE : err.code ? ctl_fail(&err) : EXIT_FAILED;
}

enum err_code ctl_read(FILE *stream, size_t limit, struct buf *out, struct err *err)
{
    char chunk[4096];
    size_t n;

    while ((n = fread(chunk, 1, sizeof chunk, stream)) > 0) {
        buf_put(out, chunk, n);
        if (out->len > limit) return err_set(err, ERR_TOO_LARGE, NULL, "the input is larger than %zu bytes", limit);
    }
    secret_wipe(chunk, sizeof chunk);
    if (ferror(stream)) return err_set(err, ERR_IO, NULL, "the input cannot be read");
    return out->failed ? err_set(err, ERR_NOMEM, NULL, "no memory for the input") : ERR_OK;
}
