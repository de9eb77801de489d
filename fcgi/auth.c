#include "auth.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { LOOK_MS = 1000 };

struct auth {
    char *path;
    struct apikeys *keys; /* NULL: the last look failed */
    struct stat seen;     /* the file at the last look */
    struct err failure;   /* what the log was told last */
    int64_t looked_mono_ms;
};

/* The owner counts too, and ctime: what chown puts right has the old mtime. */
static int is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mode == b->st_mode &&
           a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* A file that turned bad takes the keys away: an old one may have been revoked by that very change. */
static void load(struct auth *auth)
{
    struct err err = {0};

    apikey_free(auth->keys);
    if (apikey_load(auth->path, &auth->keys, &err) != ERR_OK && strcmp(err.text, auth->failure.text) != 0)
        log_error("TOKEN HEALTH",
                  err.code == ERR_NOT_FOUND ? "no API key can be used: token-healthctl key create makes one"
                                            : "no API key can be used",
                  LOG_S("file", err.place), LOG_S("why", err.text));
    auth->failure = err;
}

static int is_due(const struct auth *auth)
{
    return clock_mono_ms() - auth->looked_mono_ms >= LOOK_MS;
}

/* A failure may be the process's, not the file's (no descriptor, no memory): the same file is tried again, when it is due. */
static void look(struct auth *auth)
{
    struct stat st = {0};
    int due = is_due(auth), same;

    if (due) auth->looked_mono_ms = clock_mono_ms();
    stat(auth->path, &st);
    same = is_same(&st, &auth->seen);
    auth->seen = st;
    if (!same || (!auth->keys && due)) load(auth);
}

enum err_code auth_new(const char *keys_file, struct auth **auth, struct err *err)
{
    struct auth *a = calloc(1, sizeof *a);

    *auth = NULL;
    if (a) a->path = strdup(keys_file);
    if (!a || !a->path) {
        free(a);
        return err_set(err, ERR_NOMEM, NULL, "no memory for the API keys");
    }
    a->looked_mono_ms = -LOOK_MS;
    look(a);
    *auth = a;
    return ERR_OK;
}

const struct apikey *auth_key_known(struct auth *auth, const char *authorization)
{
    size_t len;

    if (strncasecmp(authorization, "Bearer ", 7) != 0) return NULL;
    authorization += 7;
    len = strlen(authorization);
    if (len == 0 || len > LIMIT_API_KEY_BYTES) return NULL;
    if (is_due(auth)) look(auth);
    return auth->keys ? apikey_find(auth->keys, authorization, len) : NULL;
}

const struct apikey *auth_key(struct auth *auth, const char *authorization)
{
    const struct apikey *key = auth_key_known(auth, authorization);

    if (key) return key;
    look(auth);
    return auth_key_known(auth, authorization);
}

void auth_free(struct auth *auth)
{
    if (!auth) return;
    apikey_free(auth->keys);
    free(auth->path);
    free(auth);
}
