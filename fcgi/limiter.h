/* Who asks too often: with one API key, from one address, or from one address without a valid key. An address is what the web
 * server says (REMOTE_ADDR), of IPv6 its network of 64 bits. Authorizers are not limited: what they cannot ask passes, and nobody
 * gets past a check by asking often. */
#ifndef TH_LIMITER_H
#define TH_LIMITER_H
#include "exchange.h"

/** limiter_address(x): ERR_OK, or ERR_TOO_MANY in x->err and x->retry_after_s: [responder] rate_per_address. */
enum err_code limiter_address(struct exchange *x);
/** limiter_key(x): the same of x->key: rate_per_key. */
enum err_code limiter_key(struct exchange *x);
/** limiter_wrong_key(x): the same of requests without a valid key: failures_per_address. Looks only: limiter_failed counts one. */
enum err_code limiter_wrong_key(struct exchange *x);
void limiter_failed(struct exchange *x);

#endif
