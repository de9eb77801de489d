#include "base/config_value.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_FILE_BYTES = 65535 };

static int parse_int(const char *text, int64_t *v)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(text, &end, 10);
    if (end == text || *end || errno == ERANGE) return 0;
    *v = n;
    return 1;
}

int config_parse_duration(const char *text, int64_t *ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1000}};
    char *end;
    long long n;

    errno = 0;
    n = strtoll(text, &end, 10);
    if (end == text || errno == ERANGE || n < 0) return 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].unit)) {
            if (n > INT64_MAX / units[i].ms) return 0;
            *ms = n * units[i].ms;
            return 1;
        }
    return 0;
}

int config_parse_mode(const char *text, unsigned *mode)
{
    char *end;
    unsigned long n = strtoul(text, &end, 8);

    if (end == text || *end || n > 0777) return 0;
    *mode = (unsigned)n;
    return 1;
}

static int parse_bool(const char *text, int *v)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (int i = 0; i < 8; i++)
        if (!strcmp(text, words[i])) {
            *v = i % 2;
            return 1;
        }
    return 0;
}

static int parse_choice(const char *text, const char *names, int *v)
{
    size_t len = strlen(text);

    for (int i = 0; *names; i++) {
        size_t word = strcspn(names, "|");

        if (word == len && !memcmp(names, text, len)) {
            *v = i;
            return 1;
        }
        names += word + (names[word] == '|');
    }
    return 0;
}

static enum err_code refuse(const struct config_key *key, const char *text, const char *place, struct err *err)
{
    switch (key->type) {
    case TYPE_INT:
        return err_set(err, ERR_CONFIG, place, "[%s] %s = %.64s: a whole number from %lld to %lld is expected",
                       key->section, key->name, text, (long long)key->min, (long long)key->max);
    case TYPE_DURATION:
        return err_set(err, ERR_CONFIG, place,
                       "[%s] %s = %.64s: a time like 500ms, 90s, 30m, 2h from %lld ms to %lld ms is expected",
                       key->section, key->name, text, (long long)key->min, (long long)key->max);
    case TYPE_CHOICE:
        return err_set(err, ERR_CONFIG, place, "[%s] %s = %.64s: one of %s is expected", key->section, key->name, text,
                       key->help);
    default:
        return err_set(err, ERR_CONFIG, place, "[%s] %s = %.64s: true or false is expected", key->section, key->name,
                       text);
    }
}

static enum err_code set_text(char **field, const char *text, struct err *err)
{
    char *copy = strdup(text);

    if (!copy) return err_set(err, ERR_NOMEM, NULL, "no memory for the configuration");
    free(*field);
    *field = copy;
    return ERR_OK;
}

enum err_code config_value_set(struct config *cfg, const struct config_key *key, const char *text, const char *place,
                               struct err *err)
{
    void *field = (char *)cfg + key->offset;
    int64_t n = 0;
    int ok = 1;

    switch (key->type) {
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_FILE:
        return set_text(field, text, err);
    case TYPE_SECRET:
        secret_free(field);
        return *text ? secret_put(field, text, strlen(text), err) : ERR_OK;
    case TYPE_INT:
    case TYPE_DURATION:
        ok = key->type == TYPE_INT ? parse_int(text, &n) : config_parse_duration(text, &n);
        ok = ok && n >= key->min && n <= key->max;
        if (ok) *(int64_t *)field = n;
        break;
    case TYPE_BOOL:
        ok = parse_bool(text, field);
        break;
    case TYPE_CHOICE:
        ok = parse_choice(text, key->help, field);
        break;
    }
    return ok ? ERR_OK : refuse(key, text, place, err);
}

/* A bare name is a systemd credential when there is one of that name. */
static int open_secret(const char *path, char *full, size_t size)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    int fd;

    snprintf(full, size, "%s", path);
    if (!strchr(path, '/') && dir && *dir) {
        snprintf(full, size, "%s/%s", dir, path);
        fd = open(full, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) return fd;
        snprintf(full, size, "%s", path);
    }
    return open(full, O_RDONLY | O_CLOEXEC);
}

enum err_code config_read_secret(const char *path, struct secret *secret, const char *place, struct err *err)
{
    char full[4096];
    unsigned char content[SECRET_FILE_BYTES + 1];
    size_t len = 0;
    ssize_t n;
    struct stat st;
    int fd = open_secret(path, full, sizeof full);
    enum err_code rc = ERR_OK;

    if (fd < 0) return err_set(err, ERR_CONFIG, place, "%s: %s", full, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 007))
        rc = err_set(err, ERR_CONFIG, place, "%s: other users may read this secret; chmod o= it", full);
    while (rc == ERR_OK && len < sizeof content && (n = read(fd, content + len, sizeof content - len)) != 0) {
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            rc = err_set(err, ERR_CONFIG, place, "%s: %s", full, strerror(errno));
    }
    close(fd);
    if (len && content[len - 1] == '\n') len--;
    if (len && content[len - 1] == '\r') len--;
    if (rc == ERR_OK && (len == 0 || len > SECRET_FILE_BYTES || memchr(content, 0, len)))
        rc = err_set(err, ERR_CONFIG, place, "%s: a secret of 1 to %d bytes without NUL is expected", full,
                     SECRET_FILE_BYTES);
    if (rc == ERR_OK) rc = secret_put(secret, content, len, err);
    secret_wipe(content, sizeof content);
    return rc;
}
