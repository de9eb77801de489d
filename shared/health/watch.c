#include "health/watch.h"
#include "base/log.h"
#include <string.h>

static const char *const documents[WATCHED_COUNT] = {
#define WATCHED(name, document) document,
#include "health/watch.def"
#undef WATCHED
};

static void drop(struct cache *cache, const char *platform, const char *account, const char *workspace)
{
    cache_drop(cache, cache_key_account(cache, platform, account));
    cache_drop(cache, cache_key_workspace(cache, platform, workspace));
}

/* 1: the one account of the document was forgotten, and it was the only one since ${seen}. */
static int drop_one(struct cache *cache, struct store *store, int64_t seen, int64_t version)
{
    const char *const name = documents[WATCH_CACHE_DROP];
    struct json *value = NULL;
    const char *platform, *account, *workspace;
    int64_t now = 0;
    int done = 0;

    if (version != seen + 1 || store_meta_get(store, name, &value, NULL) != ERR_OK) return 0;
    platform = json_string(json_member(value, "platform"));
    account = json_string(json_member(value, "accountId"));
    workspace = json_string(json_member(value, "workspaceId"));
    /* Another write may have come between the version and the document. */
    done = platform && account && workspace && store_meta_versions(store, &name, 1, &now, NULL) == ERR_OK &&
           now == version;
    if (done) drop(cache, platform, account, workspace);
    json_free(value);
    return done;
}

/* The note comes last: killed before, another process does it again. */
static void take(struct cache *cache, struct store *store, enum watched which, int64_t version)
{
    const int64_t seen = note_get(cache, which);

    if (version == seen) return;
    if (which == WATCH_CACHE_CLEAR || (which == WATCH_CACHE_DROP && !drop_one(cache, store, seen, version)))
        cache_clear(cache);
    note_put(cache, which, version);
}

int watch_look(struct cache *cache, struct store *store, int64_t every_ms)
{
    static int has_failed;
    int64_t versions[WATCHED_COUNT];
    struct err err = {0};
    int failed;

    if (!note_is_old(cache, every_ms) || !note_claim(cache, every_ms)) return 0;
    failed = store_meta_versions(store, documents, WATCHED_COUNT, versions, &err) != ERR_OK;
    if (failed && !has_failed)
        log_warn("TOKEN HEALTH", "what other hosts have changed cannot be seen", LOG_S("why", err.text));
    has_failed = failed;
    for (int i = 0; i < WATCHED_COUNT && !failed; i++)
        take(cache, store, (enum watched)i, versions[i]);
    return 1;
}

int64_t watch_version(const struct cache *cache, enum watched which)
{
    return note_get(cache, which);
}

const char *watch_document(enum watched which)
{
    return documents[which];
}

enum err_code watch_clear(struct cache *cache, struct store *store, struct err *err)
{
    int64_t version;
    enum err_code rc;

    cache_clear(cache);
    rc = store_meta_bump(store, documents[WATCH_CACHE_CLEAR], 0, &version, err);
    /* Ours is done here, and what was learnt since then stays: it counts as seen, if nobody else's came between. */
    if (rc == ERR_OK && note_get(cache, WATCH_CACHE_CLEAR) == version - 1) note_put(cache, WATCH_CACHE_CLEAR, version);
    return rc;
}

enum err_code watch_drop(struct cache *cache, struct store *store, const struct account *account, struct err *err)
{
    struct json *value = json_object_new();
    enum err_code rc;

    drop(cache, account->platform, account->id.text, account->workspace.text);
    json_set(value, "platform", json_new_string(account->platform));
    json_set(value, "accountId", json_new_string(account->id.text));
    json_set(value, "workspaceId", json_new_string(account->workspace.text));
    rc = store_meta_put(store, documents[WATCH_CACHE_DROP], value, err);
    json_free(value);
    return rc;
}
