/* What refreshes left in the spool, brought to its end: an answer goes into the store; a call that nobody wrote the answer of makes its
 * refresh token unsure; a lease without a call is given back. */
#ifndef TH_REFRESH_REPLAY_H
#define TH_REFRESH_REPLAY_H
#include "health/refresh_store.h"
#include "token/spool.h"

struct refresh_replayed {
    int64_t stored, settled; /* answers that went into the store; calls without an answer */
    int64_t left;            /* to be tried again */
};
/** refresh_replay(spool, store, ring, max_ms, done, err): begins nothing more after ${max_ms}. Whatever it ends with is in the
 *  log. done may be NULL. Blocks: as the store does, and a key derivation or two an answer. Fails: as spool_replay; a store that is
 *  away is no failure: it ends there, and the rest is left. */
enum err_code refresh_replay(struct spool *spool, struct store *store, const struct keyring *ring, int64_t max_ms,
                             struct refresh_replayed *done, struct err *err);

#endif
