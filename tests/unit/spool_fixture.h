/* For the tests of the spool: a folder of its own for each test, refreshes of numbered accounts whose tokens follow from the
 * number, and a replay that writes down what it was given. Children (shm_fixture.h) must not use cmocka's asserts. */
#ifndef TH_SPOOL_FIXTURE_H
#define TH_SPOOL_FIXTURE_H
#include "keyring_fixture.h"
#include "shm_fixture.h"
#include "token/spool.h"
#include "token/spool_file.h"
#include <errno.h>
#include <ftw.h>
#include <limits.h>

enum { SPOOL_FIXTURE_KEYS = 2 };
static char spool_folder[64], spool_path[128];
static struct keyring *spool_ring;

static inline int spool_fixture_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static inline int spool_fixture_enter(void **state, const char *where)
{
    if (fixture_setup(state) != 0) return -1;
    snprintf(spool_folder, sizeof spool_folder, "%s/token-health-spool-XXXXXX", where);
    if (!mkdtemp(spool_folder)) return -1;
    snprintf(spool_path, sizeof spool_path, "%s/spool/tokens.spool", spool_folder);
    if (!spool_ring) spool_ring = fixture_ring_of(FIXTURE_KEY, "", 1);
    return 0;
}

/* In memory, where a sync is cheap: most tests are about what is written, not about the disk. */
static inline int spool_fixture_setup(void **state)
{
    return spool_fixture_enter(state, "/dev/shm");
}

static inline int spool_fixture_setup_on_disk(void **state)
{
    return spool_fixture_enter(state, "/tmp");
}

static inline int spool_fixture_teardown(void **state)
{
    chmod(spool_folder, 0700);
    nftw(spool_folder, spool_fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
    return fixture_teardown(state);
}

#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_fixture_setup, spool_fixture_teardown)
#define SPOOL_TEST_ON_DISK(name)                                                                                       \
    cmocka_unit_test_setup_teardown(name, spool_fixture_setup_on_disk, spool_fixture_teardown)

static inline struct spool *spool_fixture_new(void)
{
    struct spool *sp = NULL;

    return spool_new(spool_path, spool_ring, &sp, NULL) == ERR_OK ? sp : NULL;
}

/** The tokens of account ${n}; part 0: access, 1: refresh. */
static inline const char *spool_fixture_token(int64_t n, int part)
{
    static char text[2][96];

    snprintf(text[part], sizeof text[part], "%s-%s-%lld", part ? "refresh" : "access", FIXTURE_TOKEN, (long long)n);
    return text[part];
}

static inline enum err_code spool_fixture_reserve(struct spool *sp, int64_t n, struct spool_ticket **ticket,
                                                  struct err *err)
{
    struct json *about = json_object_new();
    enum err_code rc;

    json_set(about, "account", json_new_int(n));
    json_set(about, "platform", json_new_string("instagram"));
    rc = spool_reserve(sp, about, ticket, err);
    json_free(about);
    return rc;
}

static inline enum err_code spool_fixture_keep(struct spool *sp, int64_t n, struct spool_ticket *ticket,
                                               struct err *err)
{
    struct json *more = json_object_new();
    struct spool_answer answer = {.more = more};
    enum err_code rc = ERR_NOMEM;

    json_set(more, "expiresAt", json_new_int(n * 1000));
    if (secret_put(&answer.access, spool_fixture_token(n, 0), strlen(spool_fixture_token(n, 0)), NULL) == ERR_OK &&
        secret_put(&answer.refresh, spool_fixture_token(n, 1), strlen(spool_fixture_token(n, 1)), NULL) == ERR_OK)
        rc = spool_keep(sp, ticket, &answer, err);
    secret_free(&answer.access);
    secret_free(&answer.refresh);
    json_free(more);
    return rc;
}

static inline int spool_fixture_is(const struct secret *secret, const char *text)
{
    return !secret_is_empty(secret) && secret->len == strlen(text) &&
           memcmp(secret_bytes(secret), text, secret->len) == 0;
}

/** The number of the account if all that was given belongs together; -1 if not. */
static inline int64_t spool_fixture_number(const struct json *about, const struct spool_answer *answer)
{
    int64_t n = -1, more = -1;

    if (!json_int(json_member(about, "account"), &n)) return -1;
    if (!answer) return n;
    if (!json_int(json_member(answer->more, "expiresAt"), &more) || more != n * 1000) return -1;
    if (!spool_fixture_is(&answer->access, spool_fixture_token(n, 0))) return -1;
    return spool_fixture_is(&answer->refresh, spool_fixture_token(n, 1)) ? n : -1;
}

/** What a replay gave, of accounts 0 … SEEN - 1. */
enum { SPOOL_FIXTURE_SEEN = 1200 };
struct spool_seen {
    int intents[SPOOL_FIXTURE_SEEN], records[SPOOL_FIXTURE_SEEN];
    int count, wrong;
    enum spool_fate fate;
};

static inline enum spool_fate spool_fixture_see(void *arg, const struct json *about, const struct spool_answer *answer)
{
    struct spool_seen *seen = arg;
    int64_t n = spool_fixture_number(about, answer);

    seen->count++;
    if (n < 0 || n >= SPOOL_FIXTURE_SEEN)
        seen->wrong++;
    else
        (answer ? seen->records : seen->intents)[n]++;
    return seen->fate;
}

/** spool_fixture_replay(sp, seen): by sp, or by another process's eyes (sp NULL). seen->fate says what it answers. */
static inline struct spool_counts spool_fixture_replay(struct spool *sp, struct spool_seen *seen)
{
    struct spool *own = sp ? sp : spool_fixture_new();
    struct spool_counts counts = {0};
    struct err err = {0};
    enum spool_fate fate = seen->fate;

    memset(seen, 0, sizeof *seen);
    seen->fate = fate;
    if (spool_replay(own, 3600000, spool_fixture_see, seen, &counts, &err) != ERR_OK)
        fail_msg("spool_replay: %s: %s", err.place, err.text);
    if (!sp) spool_free(own);
    return counts;
}

/** A record (kept) or an intent of each account from ${first} on, left for others. */
static inline void spool_fixture_fill(int64_t first, int count, int is_kept)
{
    struct spool *sp = spool_fixture_new();
    struct err err = {0};

    for (int64_t n = first; n < first + count; n++) {
        struct spool_ticket *ticket = NULL;

        if (spool_fixture_reserve(sp, n, &ticket, &err) != ERR_OK ||
            (is_kept && spool_fixture_keep(sp, n, ticket, &err) != ERR_OK))
            fail_msg("account %lld: %s: %s", (long long)n, err.place, err.text);
        spool_leave(sp, ticket);
    }
    spool_free(sp);
}

/** The whole file at ${path}, *len bytes; free() it. NULL if there is none. */
static inline char *spool_fixture_load(const char *path, size_t *len)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = fd >= 0 && fstat(fd, &st) == 0 ? malloc((size_t)st.st_size + 1) : NULL;

    *len = 0;
    if (bytes && read(fd, bytes, (size_t)st.st_size) == st.st_size) *len = (size_t)st.st_size;
    if (bytes) bytes[*len] = '\0';
    if (fd >= 0) close(fd);
    return bytes;
}

static inline void spool_fixture_store(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) fail_msg("%s: %s", path, strerror(errno));
    close(fd);
}

static inline const char *spool_fixture_damaged_path(void)
{
    static char path[sizeof spool_path + 16];

    snprintf(path, sizeof path, "%s.damaged", spool_path);
    return path;
}

static inline const char *spool_fixture_folder(void)
{
    static char path[sizeof spool_folder + 16];

    snprintf(path, sizeof path, "%s/spool", spool_folder);
    return path;
}

static inline void spool_fixture_reserve_fails(struct spool *sp, enum err_code want, const char *what)
{
    struct spool_ticket *ticket;
    struct err err = {0};

    fixture_refused(spool_fixture_reserve(sp, 1, &ticket, &err), want, &err, what);
    assert_null(ticket);
}

/* One refresh from its start to a record that another process finds. */
static inline void spool_fixture_works(struct spool *sp, int64_t n)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_ticket *ticket;
    struct err err = {0};

    if (spool_fixture_reserve(sp, n, &ticket, &err) != ERR_OK) fail_msg("not reserved: %s: %s", err.place, err.text);
    if (spool_fixture_keep(sp, n, ticket, &err) != ERR_OK) fail_msg("not kept: %s: %s", err.place, err.text);
    spool_leave(sp, ticket);
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.records[n], 1);
}

/** Only root can be another user or mount; without it a test says that it did not run. */
static inline void spool_fixture_need_root(void)
{
    if (geteuid() == 0) return;
    printf("SKIPPED: needs root\n");
    skip();
}

#endif
