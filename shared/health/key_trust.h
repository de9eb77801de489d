/* Is our master key the application's? Sealing a plain token under a wrong key and dropping the plain one would take the
 * token from the application. So before the first seal there must be evidence: an envelope of the application that opened, found on
 * the way or among a few accounts read for this; or no envelope anywhere. */
#ifndef TH_KEY_TRUST_H
#define TH_KEY_TRUST_H
#include "store/store.h"
#include "token/keyring.h"

struct key_trust {
    int is_proven;          /* an envelope opened in this process */
    int is_refuted;         /* the last look found envelopes and none opened */
    int64_t looked_mono_ms; /* 0: never */
};

/** key_trust_prove(trust): an envelope opened. */
void key_trust_prove(struct key_trust *trust);
/** key_trust_may_seal(trust, ring, store, account): may a plain token of ${account} be sealed? Blocks: at most once a minute a page
 *  of accounts is read and up to three key derivations are paid; never once proven. 0 also when the store cannot be read. */
int key_trust_may_seal(struct key_trust *trust, const struct keyring *ring, struct store *store,
                       const struct account *account);

#endif
