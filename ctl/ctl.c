#include "ctl.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

int ctl_getopt(struct ctl *ctl, int argc, char **argv, const char *letters, const struct option *options)
{
    int opt;

    while ((opt = getopt_long(argc, argv, letters, options, NULL)) == 'j')
        ctl->json = 1;
    if (opt != 'h') return opt;
    ctl->help = 1;
    return '?';
}

int ctl_no_options(struct ctl *ctl, int argc, char **argv)
{
    static const struct option options[] = {CTL_OPTIONS};

    return ctl_getopt(ctl, argc, argv, CTL_LETTERS, options) == -1;
}

int ctl_fail(const struct err *err)
{
    return ctl_complain("%s%s%s", err->place, err->place[0] ? ": " : "",
                        err->text[0] ? err->text : err_title(err->code));
}

int ctl_complain(const char *format, ...)
{
    va_list args;

    fputs("token-healthctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

struct service *ctl_service(struct ctl *ctl)
{
    struct err err = {0};

    if (!ctl_may_touch(ctl_state_file(ctl->cfg))) return NULL;
    if (ctl->service) return ctl->service;
    if (service_open(ctl->cfg, &ctl->service, &err) != ERR_OK)
        ctl_fail(&err);
    else
        service_load_settings(ctl->service, NULL);
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

const char *ctl_printable(const char *text, char *out, size_t size)
{
    snprintf(out, size, "%s", text);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    return out;
}

static void print_value(const struct json *j, const char *name)
{
    char printable[1024];
    struct buf text = {0};

    if (json_string(j))
        printf("%-32s %s\n", name, ctl_printable(json_string(j), printable, sizeof printable));
    else if (json_print(j, &text, NULL) == ERR_OK)
        printf("%-32s %s\n", name, buf_text(&text));
    buf_free(&text);
}

static void print_flat(const struct json *j, const char *name)
{
    char path[256];
    const char *key;

    if (json_type(j) != JSON_OBJECT) {
        print_value(j, name);
        return;
    }
    for (size_t i = 0; i < json_count(j); i++) {
        const struct json *member = json_member_at(j, i, &key);

        snprintf(path, sizeof path, "%s%s%s", name, name[0] ? "." : "", key);
        print_flat(member, path);
    }
}

int ctl_show(const struct ctl *ctl, struct json *j)
{
    if (ctl->json) return ctl_print(j);
    print_flat(j, "");
    json_free(j);
    return EXIT_DONE;
}

int ctl_open(const char *name, FILE **stream)
{
    *stream = !name || !strcmp(name, "-") ? stdin : fopen(name, "re");
    if (!*stream) ctl_complain("%s: %s", name, strerror(errno));
    return *stream != NULL;
}

void ctl_close(FILE *stream)
{
    if (stream != stdin) fclose(stream);
}

enum err_code ctl_read(FILE *stream, size_t limit, struct buf *out, struct err *err)
{
    char chunk[4096];
    size_t n;
    enum err_code rc = ERR_OK;

    while (rc == ERR_OK && (n = fread(chunk, 1, sizeof chunk, stream)) > 0) {
        buf_put(out, chunk, n);
        if (out->len > limit) rc = err_set(err, ERR_TOO_LARGE, NULL, "the input is larger than %zu bytes", limit);
    }
    secret_wipe(chunk, sizeof chunk);
    if (rc == ERR_OK && ferror(stream)) rc = err_set(err, ERR_IO, NULL, "the input cannot be read");
    if (rc == ERR_OK && out->failed) rc = err_set(err, ERR_NOMEM, NULL, "no memory for the input");
    return rc;
}
