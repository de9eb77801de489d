/* The only writer of answers: status line, headers, JSON. */
#ifndef TH_RESPONSE_H
#define TH_RESPONSE_H
#include "exchange.h"

/** response_send(gateway, x): writes x's answer, or its error as {success:false, error, code, requestId}; frees x->json.
 *  Returns the HTTP status. */
int response_send(struct gateway *gateway, struct exchange *x);

#endif
