/* Is our master key the application's? Sealing a plain token under a wrong key and dropping the plain one would take the
 * token from the application. So before the first seal there must be evidence: an envelope of the application that opened, found on
 * the way or looked for among the active accounts of all platforms, the first 2,000 of each. Where that look finds no envelope at
 * all the key is taken on trust: there is nothing to compare it with, and what we seal is the first. */
#ifndef TH_KEY_TRUST_H
#define TH_KEY_TRUST_H
#include "provider/provider.h"
#include "store/store.h"
#include "token/keyring.h"

struct key_trust {
    int is_proven;          /* an envelope opened in this process */
    int is_refuted;         /* the last look found envelopes and none opened */
    int64_t looked_mono_ms; /* 0: never */
};

/** key_trust_prove(trust): an envelope opened. */
void key_trust_prove(struct key_trust *trust);
/** key_trust_may_seal(trust, ring, store, providers, account): may a plain token of ${account} be sealed? Blocks: accounts are read
 *  until three envelopes were tried, each a key derivation: at most once a minute where none opened, every five minutes where
 *  there was none, never once proven. 0 also when the store cannot be read. */
int key_trust_may_seal(struct key_trust *trust, const struct keyring *ring, struct store *store,
                       const struct provider_set *providers, const struct account *account);

#endif
