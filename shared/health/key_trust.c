#include "health/key_trust.h"
#include "base/clock.h"
#include <string.h>

enum { PAGE = 32, TRIES = 3, LOOK_AGAIN_MS = 60000 };

struct look {
    const struct keyring *ring;
    const struct account *account; /* whose own envelope is no evidence: it may just be damaged */
    int tried, opened;
};

static int try_account(void *arg, struct account *account)
{
    struct look *look = arg;
    struct envelope env = {0};
    struct secret token = {0};

    if (account->encrypted_access && strcmp(account->id.text, look->account->id.text) != 0 &&
        envelope_parse(account->encrypted_access, &env, NULL) == ERR_OK) {
        look->tried++;
        look->opened = keyring_open(look->ring, &env, &token, NULL, NULL) == ERR_OK;
    }
    secret_free(&token);
    envelope_fini(&env);
    account_fini(account);
    return !look->opened && look->tried < TRIES;
}

void key_trust_prove(struct key_trust *trust)
{
    trust->is_proven = 1;
    trust->is_refuted = 0;
}

int key_trust_may_seal(struct key_trust *trust, const struct keyring *ring, struct store *store,
                       const struct account *account)
{
    struct look look = {.ring = ring, .account = account};
    struct store_page page;
    int64_t now_ms = clock_mono_ms();

    if (trust->is_proven) return 1;
    if (trust->looked_mono_ms && now_ms - trust->looked_mono_ms < LOOK_AGAIN_MS) return !trust->is_refuted;
    if (store_scan(store, account->platform, NULL, PAGE, try_account, &look, &page, NULL) != ERR_OK) return 0;
    trust->looked_mono_ms = now_ms;
    trust->is_proven = look.opened;
    trust->is_refuted = look.tried && !look.opened;
    return !trust->is_refuted;
}
