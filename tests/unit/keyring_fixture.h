/* For the tests of envelopes and key rings: secrets and rings in one line each, and a wall that no secret may pass:
 * every error that goes through fixture_refused is searched for the secrets of the tests. */
#ifndef TH_KEYRING_FIXTURE_H
#define TH_KEYRING_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "token/crypto.h"
#include "token/keyring.h"

#define FIXTURE_KEY     "6818f5f887529c1546935b5fc5a73953cf6cb2c6a0321da95d91550bf0357a86"
#define FIXTURE_OLD_KEY "correct horse battery staple"
#define FIXTURE_SALT    "pepper-42-global"
#define FIXTURE_TOKEN   "IGQWRtoken-that-must-never-be-shown-0123456789"

/* CPU time: a busy machine must not make anything look slow. */
static inline int64_t fixture_cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline struct secret fixture_secret(const char *text)
{
    struct secret s = {0};

    if (*text) assert_int_equal(secret_put(&s, text, strlen(text), NULL), ERR_OK);
    return s;
}

/** fixture_ring(kids, keys, count, salt, kdf): the first is the write key. */
static inline struct keyring *fixture_ring(const char *const *kids, const char *const *keys, int count,
                                           const char *salt, int64_t kdf)
{
    struct secret secrets[4] = {0}, global = fixture_secret(salt);
    struct keyring_key given[4];
    struct keyring_options options = {given, count, &global, kdf};
    struct keyring *ring = NULL;
    struct err err = {0};

    for (int i = 0; i < count; i++) {
        secrets[i] = fixture_secret(keys[i]);
        given[i] = (struct keyring_key){kids[i], &secrets[i]};
    }
    if (keyring_new(&options, &ring, &err) != ERR_OK) fail_msg("keyring_new: %s", err.text);
    for (int i = 0; i < count; i++)
        secret_free(&secrets[i]);
    secret_free(&global);
    return ring;
}

static inline struct keyring *fixture_ring_of(const char *key, const char *salt, int64_t kdf)
{
    const char *kid = "k1";

    return fixture_ring(&kid, &key, 1, salt, kdf);
}

/** fixture_refused(rc, want, err, what): the code is right, there is a reason, and no secret is in it. */
static inline void fixture_refused(enum err_code rc, enum err_code want, const struct err *err, const char *what)
{
    const char *secrets[] = {FIXTURE_KEY, FIXTURE_OLD_KEY, FIXTURE_SALT, FIXTURE_TOKEN};

    if (rc != want) fail_msg("%s: got %s (%s), expected %s", what, err_word(rc), err->text, err_word(want));
    if (!err->text[0]) fail_msg("%s: refused without a reason", what);
    for (int i = 0; i < 4; i++)
        for (size_t at = 0; at + 8 <= strlen(secrets[i]); at++) {
            char piece[9];

            snprintf(piece, sizeof piece, "%.8s", secrets[i] + at);
            if (strstr(err->text, piece) || strstr(err->place, piece)) fail_msg("%s: a secret is in the error", what);
        }
}

static inline struct json *fixture_json(const char *text)
{
    struct json *j = NULL;

    if (json_parse(text, strlen(text), &j, NULL) != ERR_OK) fail_msg("not JSON: %s", text);
    return j;
}

#endif
