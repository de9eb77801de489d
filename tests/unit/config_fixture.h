/* For the tests of the configuration: an empty environment, files in a folder of their own, and errors that are searched for secrets. */
#ifndef TH_CONFIG_FIXTURE_H
#define TH_CONFIG_FIXTURE_H
#include "base/buf.h"
#include "base/config.h"
#include "base/config_value.h"
#include "cmocka_all.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char fixture_dir[] = "/tmp/th-config-XXXXXX";
/* Every secret of these tests has this in it. */
#define FIXTURE_SECRET "sEcReT"

static inline int fixture_setup(void **state)
{
    (void)state;
    return mkdtemp(fixture_dir) ? 0 : -1;
}

static inline int fixture_teardown(void **state)
{
    struct dirent *entry;
    char path[512];
    DIR *d = opendir(fixture_dir);

    (void)state;
    while (d && (entry = readdir(d)))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", fixture_dir, entry->d_name);
            if (unlink(path) != 0) rmdir(path);
        }
    if (d) closedir(d);
    return rmdir(fixture_dir);
}

/** fixture_clear(state): before each test: nothing of the environment counts. */
static inline int fixture_clear(void **state)
{
    (void)state;
    return clearenv();
}

/** fixture_path(name): in the tests' folder. Good until the next call but three. */
static inline const char *fixture_path(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", fixture_dir, name);
    return path;
}

static inline const char *fixture_write(const char *name, const char *bytes, size_t len, mode_t mode)
{
    const char *path = fixture_path(name);
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

/** fixture_try(text, len, &cfg, &err): ${text} as "conf", mode 0600; no error may hold a secret. */
static inline enum err_code fixture_try(const char *text, size_t len, struct config **cfg, struct err *err)
{
    enum err_code rc = config_load(fixture_write("conf", text, len, 0600), cfg, err);

    if (strstr(err->text, FIXTURE_SECRET) || strstr(err->place, FIXTURE_SECRET))
        fail_msg("a secret is in the error: %s: %s", err->place, err->text);
    return rc;
}

static inline struct config *fixture_load(const char *text)
{
    struct config *cfg = NULL;
    struct err err = {0};

    if (fixture_try(text, strlen(text), &cfg, &err) != ERR_OK) fail_msg("%s\n%s: %s", text, err.place, err.text);
    return cfg;
}

/** fixture_refuse(text, place, reason): place: "conf:LINE" in the tests' folder, or a variable's name. */
static inline void fixture_refuse(const char *text, const char *place, const char *reason)
{
    struct config *cfg = (struct config *)1;
    struct err err = {0};
    const char *want = strncmp(place, "conf", 4) == 0 ? fixture_path(place) : place;
    enum err_code rc = fixture_try(text, strlen(text), &cfg, &err);

    if (rc != ERR_CONFIG) fail_msg("%s\ngot %s, expected bad_configuration", text, err_word(rc));
    if (strcmp(err.place, want) != 0) fail_msg("%s\ngot %s (%s), expected %s", text, err.place, err.text, want);
    if (!strstr(err.text, reason)) fail_msg("%s\ngot \"%s\", expected \"%s\"", text, err.text, reason);
    assert_null(cfg);
}

static inline void *fixture_field(struct config *cfg, const struct config_key *key)
{
    return (char *)cfg + key->offset;
}

/** fixture_same(a, b, key): the same value? */
static inline int fixture_same(struct config *a, struct config *b, const struct config_key *key)
{
    void *in_a = fixture_field(a, key), *in_b = fixture_field(b, key);

    if (key->type == TYPE_SECRET) return secret_equal(in_a, in_b);
    if (key->type < TYPE_SECRET) return strcmp(*(char **)in_a, *(char **)in_b) == 0;
    if (key->type == TYPE_INT || key->type == TYPE_DURATION) return *(int64_t *)in_a == *(int64_t *)in_b;
    return *(int *)in_a == *(int *)in_b;
}

#endif
