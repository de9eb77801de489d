/* When a token is due for a refresh. Pure. (Leases, the spool and rotating refresh tokens are not here yet: only the
 * model "extend while alive" is used, in which the old token stays good whatever happens to the new one.) */
#ifndef TH_REFRESH_H
#define TH_REFRESH_H
#include "provider/provider.h"
#include <stdint.h>

/** refresh_due_at(policy, expires_at_ms, spread): Unix ms from which a refresh is due; 0: never. The due date lies between
 *  window_start and window_end before the expiry, at a place chosen by ${spread} (a hash of the account id), so that tokens that were
 *  made together are not refreshed together. */
int64_t refresh_due_at(const struct refresh_policy *policy, int64_t expires_at_ms, uint64_t spread);
/** refresh_is_due(policy, expires_at_ms, token_since_ms, spread, now_ms): due, the token is still alive, and not known to be
 *  younger than the provider allows. */
int refresh_is_due(const struct refresh_policy *policy, int64_t expires_at_ms, int64_t token_since_ms, uint64_t spread,
                   int64_t now_ms);
/** refresh_is_late(policy, expires_at_ms, now_ms): past the window's end: the account is `expiring`. */
int refresh_is_late(const struct refresh_policy *policy, int64_t expires_at_ms, int64_t now_ms);

#endif
