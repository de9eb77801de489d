/* A SQLite store in a directory of its own, for the tests of shared/health. */
#ifndef TH_STORE_FIXTURE_H
#define TH_STORE_FIXTURE_H
#include "store/store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct store_fixture {
    char dir[64], uri[128];
    struct store *store;
};

static inline void store_fixture_open(struct store_fixture *f)
{
    struct store_options options = {f->uri, "socialaccounts", 2000};
    struct err err = {0};

    *f = (struct store_fixture){.store = NULL};
    snprintf(f->dir, sizeof f->dir, "/tmp/th-health-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->uri, sizeof f->uri, "sqlite:%s/accounts.db", f->dir);
    if (store_open(&options, &f->store, &err) != ERR_OK) fail_msg("store_open: %s", err.text);
}

static inline void store_fixture_close(struct store_fixture *f)
{
    static const char *const files[] = {"accounts.db", "accounts.db-wal", "accounts.db-shm"};
    char path[128];

    store_close(f->store);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
        unlink(path);
    }
    rmdir(f->dir);
}

/** store_fixture_put(f, doc): as the application would write it. */
static inline void store_fixture_put(struct store_fixture *f, const struct json *doc)
{
    struct err err = {0};
    int created;

    if (store_import(f->store, doc, 1, &created, &err) != ERR_OK) fail_msg("store_import: %s", err.text);
}

/** store_fixture_get(f, id): as it is read; account_fini. */
static inline struct account store_fixture_get(struct store_fixture *f, const char *id)
{
    struct account account;
    struct err err = {0};

    if (store_find_account(f->store, id, &account, &err) != ERR_OK) fail_msg("store_find_account: %s", err.text);
    return account;
}

/** store_fixture_doc(f, id): the whole document; json_free. */
static inline struct json *store_fixture_doc(struct store_fixture *f, const char *id)
{
    struct account account = store_fixture_get(f, id);
    struct json *doc = json_copy(account.doc);

    account_fini(&account);
    return doc;
}

#endif
