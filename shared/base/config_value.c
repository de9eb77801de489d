#include "base/config_value.h"
#include "base/http.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_BYTES = 65535 };

static int parse_int(const char *text, int64_t *v)
{
    char *end;
    long long n;

    if (!isdigit((unsigned char)text[*text == '-'])) return 0; /* strtoll would take white space and '+' */
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

    if (!isdigit((unsigned char)*text)) return 0;
    errno = 0;
    n = strtoll(text, &end, 10);
    if (errno == ERANGE) return 0;
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
    size_t len = strlen(text);

    if (len == 0 || len > 4 || strspn(text, "01234567") != len || (len == 4 && *text != '0')) return 0;
    *mode = (unsigned)strtoul(text, NULL, 8);
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

/* ${help} begins with the names; what they do may stand behind a colon. */
static int parse_choice(const char *text, const char *help, int *v)
{
    const char *names = help, *end = help + strcspn(help, ":");
    size_t len = strlen(text);

    for (int i = 0; names < end; i++) {
        size_t word = strcspn(names, "|:");

        if (word == len && !memcmp(names, text, len)) {
            *v = i;
            return 1;
        }
        names += word + (names[word] == '|');
    }
    return 0;
}

/* A "/" with a name behind it. */
static int names_database(const char *place)
{
    const char *slash = strchr(place, '/');

    return slash && slash[1] && slash[1] != '?';
}

/* Generous with a password in which '@', '?' or '/' stand as they are: the driver has the last word on that. */
static int check_uri(const char *text)
{
    const char *place = strstr(text, "://"), *at;

    if (strncmp(text, "mongodb", 7) != 0 || !place) return 1;
    place += 3;
    at = strrchr(place, '@');
    return (at && names_database(at + 1)) || names_database(place);
}

/* A host that does not exist is found out by the one who listens. */
static int check_listen(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port;

    if (!strncmp(text, "unix:", 5)) return text[5] != '\0';
    if (!strcmp(text, "fd:0") || !strcmp(text, "fd:3")) return 1;
    return colon && colon != text && parse_int(colon + 1, &port) && port >= 1 && port <= 65535;
}

/* The value is not echoed: it may be a secret that slipped into the wrong line. */
static enum err_code refuse(const struct config_key *key, const char *place, struct err *err)
{
    switch (key->type) {
    case TYPE_INT:
        return err_set(err, ERR_CONFIG, place, "[%s] %s: a whole number from %lld to %lld is expected", key->section,
                       key->name, (long long)key->min, (long long)key->max);
    case TYPE_DURATION:
        return err_set(err, ERR_CONFIG, place,
                       "[%s] %s: a time like 500ms, 90s, 30m, 2h from %lld ms to %lld ms is expected", key->section,
                       key->name, (long long)key->min, (long long)key->max);
    case TYPE_CHOICE:
        return err_set(err, ERR_CONFIG, place, "[%s] %s: one of %.*s is expected", key->section, key->name,
                       (int)strcspn(key->help, ":"), key->help);
    case TYPE_URI:
        return err_set(err, ERR_CONFIG, place,
                       "[%s] %s: the URI names no database: mongodb://HOST/DATABASE is expected", key->section,
                       key->name);
    case TYPE_LISTEN:
        return err_set(err, ERR_CONFIG, place,
                       "[%s] %s: unix:PATH, HOST:PORT with a port from 1 to 65535, or fd:0 is expected", key->section,
                       key->name);
    case TYPE_MODE:
        return err_set(err, ERR_CONFIG, place, "[%s] %s: octal permissions like 0660 are expected", key->section,
                       key->name);
    case TYPE_URL:
        return err_set(err, ERR_CONFIG, place,
                       "[%s] %s: a URL with https is expected, or with http on this host itself", key->section,
                       key->name);
    default:
        return err_set(err, ERR_CONFIG, place, "[%s] %s: true or false is expected", key->section, key->name);
    }
}

void config_value_free(struct config *cfg, const struct config_key *key)
{
    void *field = (char *)cfg + key->offset;

    if (key->type == TYPE_SECRET) {
        secret_free(field);
    } else if (key->type < TYPE_SECRET) {
        if (*(char **)field)
            secret_wipe(*(char **)field, strlen(*(char **)field)); /* a URI may have a password in it */
        free(*(char **)field);
    }
}

enum err_code config_secret_put(struct secret *secret, const char *text, const char *place, struct err *err)
{
    size_t len = strlen(text);

    secret_free(secret);
    if (len > SECRET_BYTES)
        return err_set(err, ERR_CONFIG, place, "a secret has at most %d bytes, not %zu", SECRET_BYTES, len);
    return len ? secret_put(secret, text, len, err) : ERR_OK;
}

static enum err_code set_text(char **field, const char *text, struct err *err)
{
    char *copy = strdup(text);

    if (!copy) return err_set(err, ERR_NOMEM, NULL, "no memory for the configuration");
    if (*field) secret_wipe(*field, strlen(*field));
    free(*field);
    *field = copy;
    return ERR_OK;
}

enum err_code config_value_set(struct config *cfg, const struct config_key *key, const char *text, const char *place,
                               struct err *err)
{
    void *field = (char *)cfg + key->offset;
    unsigned mode;
    int64_t n = 0;
    int ok = 1;

    switch (key->type) {
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_FILE:
        return set_text(field, text, err);
    case TYPE_URI:
        return check_uri(text) ? set_text(field, text, err) : refuse(key, place, err);
    case TYPE_LISTEN:
        return check_listen(text) ? set_text(field, text, err) : refuse(key, place, err);
    case TYPE_URL:
        ok = !*text || http_url_check(text, NULL) == ERR_OK;
        return ok ? set_text(field, text, err) : refuse(key, place, err);
    case TYPE_MODE:
        ok = config_parse_mode(text, &mode);
        return ok ? set_text(field, text, err) : refuse(key, place, err);
    case TYPE_SECRET:
        return config_secret_put(field, text, place, err);
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
    return ok ? ERR_OK : refuse(key, place, err);
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

/* All of it, or up to ${size} bytes. -1: errno says why. */
static ssize_t read_all(int fd, unsigned char *content, size_t size)
{
    size_t len = 0;
    ssize_t n = 1;

    while (len < size && n != 0) {
        n = read(fd, content + len, size - len);
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0) len += (size_t)n;
    }
    return (ssize_t)len;
}

enum err_code config_read_secret(const char *path, struct secret *secret, const char *place, struct err *err)
{
    char full[4096];
    unsigned char content[SECRET_BYTES + 3]; /* a newline, and one byte that is too many */
    ssize_t len = -1;
    struct stat st;
    int fd = open_secret(path, full, sizeof full);
    enum err_code rc = ERR_OK;

    if (fd < 0) return err_set(err, ERR_CONFIG, place, "%s: %s", full, strerror(errno));
    if (fstat(fd, &st) != 0 || (len = read_all(fd, content, sizeof content)) < 0)
        rc = err_set(err, ERR_CONFIG, place, "%s: %s", full, strerror(errno));
    else if (S_ISREG(st.st_mode) && (st.st_mode & 007))
        rc = err_set(err, ERR_CONFIG, place, "%s: other users may read this secret; chmod o= it", full);
    close(fd);
    if (len > 0 && content[len - 1] == '\n') {
        len--;
        if (len > 0 && content[len - 1] == '\r') len--;
    }
    if (rc == ERR_OK && (len <= 0 || len > SECRET_BYTES || memchr(content, 0, (size_t)len)))
        rc = err_set(err, ERR_CONFIG, place, "%s: a secret of 1 to %d bytes without NUL is expected", full,
                     SECRET_BYTES);
    if (rc == ERR_OK) rc = secret_put(secret, content, (size_t)len, err);
    secret_wipe(content, sizeof content);
    return rc;
}
