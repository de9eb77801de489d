/* For the tests of API keys: a key file in a folder of its own. */
#ifndef TH_APIKEY_FIXTURE_H
#define TH_APIKEY_FIXTURE_H
#include "base/limits.h"
#include "cmocka_all.h"
#include "token/apikey.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/th-apikey-XXXXXX", path[64], leftover[80], lock_path[80];

static inline int fixture_setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/keys.json", dir);
    snprintf(leftover, sizeof leftover, "%s.new", path);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    return 0;
}

static inline int fixture_clean(void **state)
{
    (void)state;
    unlink(path);
    unlink(leftover);
    unlink(lock_path);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_clean(state);
    return rmdir(dir);
}

static inline void create(const char *name, unsigned scopes, const char *workspaces, struct buf *text, char id[32])
{
    const struct apikey_request request = {.name = name, .scopes = scopes, .workspaces = workspaces};
    struct err err = {0};

    if (apikey_create(path, &request, text, id, &err) != ERR_OK) fail_msg("%s: %s: %s", name, err.place, err.text);
}

static inline struct apikeys *load(void)
{
    struct apikeys *keys = NULL;
    struct err err = {0};

    if (apikey_load(path, &keys, &err) != ERR_OK) fail_msg("%s: %s", err.place, err.text);
    return keys;
}

static inline void write_file(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static inline void read_file(struct buf *out)
{
    char chunk[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        buf_put(out, chunk, (size_t)n);
    close(fd);
}

#endif
