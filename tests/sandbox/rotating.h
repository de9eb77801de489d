/* How TikTok and X say no: one table a dialect and side. */
#ifndef SANDBOX_ROTATING_H
#define SANDBOX_ROTATING_H
#include "condition.h"

struct refusal {
    enum condition end;
    int status;
    const char *code; /* at X: the number of an old-style error; NULL: problem+json (RFC 7807) */
    const char *message;
};
/** …_refusal(end): of a call with an access token. …_grant_refusal(end): of a refresh (RFC 6749 5.2). Never NULL. Static. */
const struct refusal *tiktok_refusal(enum condition end);
const struct refusal *tiktok_grant_refusal(enum condition end);
const struct refusal *x_refusal(enum condition end);
const struct refusal *x_grant_refusal(enum condition end);

#endif
