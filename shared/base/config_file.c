/* The INI file, a line at a time. */
#include "base/buf.h"
#include "base/config_source.h"
#include "base/limits.h"
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct reading {
    struct config_loading *l;
    char section[64], place[ERR_PLACE_MAX];
    enum err_code rc;
    int taken;
};

/* inih's buffer is its own; the value in it may be a secret. */
static int on_line(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *r = arg;

    r->taken = 1;
    if (!*name) return 0;
    r->rc = config_take(r->l, section, name, value, r->place);
    secret_wipe((char *)(uintptr_t)value, strlen(value));
    return r->rc == ERR_OK;
}

/* Inline comments are not known, so that no secret is cut at a " ;" without a word. Somebody may mean one all the same. */
static enum err_code check_line(const struct reading *r, const char *line, size_t len)
{
    size_t name = strcspn(line, "=:");
    const char *value = line + name;

    if (strlen(line) != len) return err_set(r->l->err, ERR_CONFIG, r->place, "a NUL character");
    if (len > LIMIT_CONFIG_LINE_BYTES)
        return err_set(r->l->err, ERR_CONFIG, r->place, "a line of more than %d bytes", LIMIT_CONFIG_LINE_BYTES);
    if (strchr(" \t", line[0]) && line[strspn(line, " \t\r\n")])
        return err_set(r->l->err, ERR_CONFIG, r->place, "a line must not begin with white space");
    if (!strchr(";#", line[0]) &&
        (strstr(value, " ;") || strstr(value, "\t;") || strstr(value, " #") || strstr(value, "\t#")))
        return err_set(
            r->l->err, ERR_CONFIG, r->place,
            "a comment must stand on a line of its own; a secret with \" ;\" or \" #\" in it goes into a file");
    return ERR_OK;
}

static enum err_code read_section(struct reading *r, const char *line)
{
    const char *end = strchr(line, ']');
    size_t len = end ? (size_t)(end - line - 1) : 0;

    if (!end || len == 0 || len >= sizeof r->section || end[1 + strspn(end + 1, " \t\r\n")])
        return err_set(r->l->err, ERR_CONFIG, r->place, "a section name in brackets is expected");
    memcpy(r->section, line + 1, len);
    r->section[len] = '\0';
    return ERR_OK;
}

static enum err_code read_pair(struct reading *r, const char *line, struct buf *pair)
{
    buf_reset(pair);
    buf_printf(pair, "[%s]\n%s", r->section, line);
    if (pair->failed) return err_set(r->l->err, ERR_NOMEM, NULL, "no memory for the configuration");
    r->taken = 0;
    if (!r->section[0] || ini_parse_string(pair->data, on_line, r) != 0 || !r->taken)
        if (r->rc == ERR_OK)
            r->rc = err_set(r->l->err, ERR_CONFIG, r->place, "\"key = value\" below a [section] is expected");
    return r->rc;
}

static enum err_code read_lines(struct reading *r, const char *path, FILE *file)
{
    size_t cap = LIMIT_CONFIG_LINE_BYTES + 2, total = 0;
    char *line = malloc(cap); /* as long as any may be: one that grows would leave pieces of secrets behind */
    struct buf pair = {0};
    ssize_t len;

    if (!line) return err_set(r->l->err, ERR_NOMEM, NULL, "no memory for the configuration");
    for (int number = 1; r->rc == ERR_OK && (len = getline(&line, &cap, file)) >= 0; number++) {
        snprintf(r->place, sizeof r->place, "%.*s:%d", ERR_PLACE_MAX - 16, path, number);
        total += (size_t)len;
        if (total > LIMIT_CONFIG_FILE_BYTES)
            r->rc = err_set(r->l->err, ERR_CONFIG, path, "larger than %d bytes", LIMIT_CONFIG_FILE_BYTES);
        if (r->rc == ERR_OK) r->rc = check_line(r, line, (size_t)len);
        if (r->rc != ERR_OK || !line[strspn(line, " \t\r\n")] || strchr("#;", line[0])) continue;
        r->rc = line[0] == '[' ? read_section(r, line) : read_pair(r, line, &pair);
    }
    if (r->rc == ERR_OK && ferror(file)) r->rc = err_set(r->l->err, ERR_CONFIG, path, "%s", strerror(errno));
    secret_wipe(line, cap);
    free(line);
    buf_free(&pair);
    return r->rc;
}

enum err_code config_read_file(struct config_loading *l, const char *path)
{
    struct reading r = {.l = l};
    struct stat st = {0};
    char buffer[BUFSIZ];
    FILE *file = fopen(path, "re");
    enum err_code rc;

    if (!file || fstat(fileno(file), &st) != 0) {
        rc = err_set(l->err, ERR_CONFIG, path, "%s", strerror(errno));
        if (file) fclose(file);
        return rc;
    }
    /* Debian builds inih with these as variables. Without them it takes a line of more than 200 bytes for two. */
    ini_max_line = LIMIT_CONFIG_LINE_BYTES + (int)sizeof r.section + 8;
    ini_allow_inline_comments = false;
    ini_allow_multiline = false;
    setvbuf(file, buffer, _IOFBF, sizeof buffer);
    l->now = SOURCE_FILE;
    l->file_is_public = S_ISREG(st.st_mode) && (st.st_mode & 007);
    rc = read_lines(&r, path, file);
    fclose(file);
    secret_wipe(buffer, sizeof buffer);
    return rc;
}
