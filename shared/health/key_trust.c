#include "health/key_trust.h"
#include "base/clock.h"
#include "health/shut.h"
#include <string.h>

enum { PAGE = 100, MOST = 2000 /* of a platform */, TRIES = 3, LOOK_AGAIN_MS = 60000, TAKEN_ON_TRUST_MS = 300000 };

struct look {
    const struct keyring *ring;
    struct store *store;
    const struct account *account; /* whose own envelope is no evidence: it may just be damaged */
    int tried, opened;
};

static int look_is_over(const struct look *look)
{
    return look->opened || look->tried >= TRIES;
}

static int try_account(void *arg, struct account *account)
{
    struct look *look = arg;
    struct envelope env = {0};
    struct secret token = {0};
    struct shut shut;

    if (account->encrypted_access && strcmp(account->id.text, look->account->id.text) != 0 &&
        envelope_parse(account->encrypted_access, &env, NULL) == ERR_OK) {
        look->tried++;
        look->opened = shut_open(account, look->ring, &env, &token, &shut) == ERR_OK;
    }
    secret_free(&token);
    envelope_fini(&env);
    account_fini(account);
    return !look_is_over(look);
}

static enum err_code look_at_platform(struct look *look, const char *platform)
{
    struct store_page page = {.count = PAGE};
    struct account_id after;
    enum err_code rc = ERR_OK;

    for (int seen = 0; rc == ERR_OK && seen < MOST && page.count == PAGE && !look_is_over(look); seen += PAGE) {
        after = page.last;
        rc = store_scan(look->store, platform, seen ? &after : NULL, PAGE, try_account, look, &page, NULL);
    }
    return rc;
}

/* The account's own platform first: its envelopes are the likeliest to be of the same make. */
static enum err_code look_everywhere(struct look *look, const struct provider_set *providers)
{
    const char *own = look->account->platform;
    enum err_code rc = look_at_platform(look, own);

    for (size_t i = 0; rc == ERR_OK && i < provider_count(providers) && !look_is_over(look); i++) {
        const char *platform = provider_platform(provider_at(providers, i));

        if (strcmp(platform, own) != 0) rc = look_at_platform(look, platform);
    }
    return rc;
}

void key_trust_prove(struct key_trust *trust)
{
    trust->is_proven = 1;
    trust->is_refuted = 0;
}

int key_trust_may_seal(struct key_trust *trust, const struct keyring *ring, struct store *store,
                       const struct provider_set *providers, const struct account *account)
{
    struct look look = {.ring = ring, .store = store, .account = account};
    int64_t now_ms = clock_mono_ms(), valid_ms = trust->is_refuted ? LOOK_AGAIN_MS : TAKEN_ON_TRUST_MS;

    if (trust->is_proven) return 1;
    if (trust->looked_mono_ms && now_ms - trust->looked_mono_ms < valid_ms) return !trust->is_refuted;
    if (look_everywhere(&look, providers) != ERR_OK) return 0;
    trust->looked_mono_ms = now_ms;
    trust->is_proven = look.opened;
    trust->is_refuted = look.tried && !look.opened;
    return !trust->is_refuted;
}
