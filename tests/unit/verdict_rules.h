/* What the tests of verdicts share: the rules of each reason, as the design states them. */
#ifndef TH_VERDICT_RULES_H
#define TH_VERDICT_RULES_H
#include "health/verdict.h"

/* What DESIGN 4 says of each reason. kind: '+' accepted, '-' definitive, '?' decides nothing. */
static const struct rule {
    enum reason reason;
    const char *word;
    char kind;
    enum state state;
    enum action action;
    const char *status;
    int asks_user;
} rules[] = {
    {REASON_OK, "ok", '+', STATE_HEALTHY, ACTION_NONE, "valid", 0},
    {REASON_PERMISSION_MISSING, "permission_missing", '+', STATE_LIMITED, ACTION_GRANT_PERMISSIONS, "valid", 0},
    {REASON_BLOCKED, "blocked", '+', STATE_LIMITED, ACTION_WAIT, "valid", 0},
    {REASON_EXPIRED, "expired", '-', STATE_BROKEN, ACTION_RECONNECT, "expired", 1},
    {REASON_REVOKED, "revoked", '-', STATE_BROKEN, ACTION_RECONNECT, "revoked", 1},
    {REASON_PASSWORD_CHANGED, "password_changed", '-', STATE_BROKEN, ACTION_RECONNECT, "invalid", 1},
    {REASON_CHECKPOINT, "checkpoint", '-', STATE_BROKEN, ACTION_CONFIRM_IDENTITY, "invalid", 1},
    {REASON_INVALID_TOKEN, "invalid_token", '-', STATE_BROKEN, ACTION_RECONNECT, "invalid", 1},
    {REASON_MISSING_TOKEN, "missing_token", '-', STATE_BROKEN, ACTION_RECONNECT, "missing", 1},
    {REASON_IDENTITY_MISMATCH, "identity_mismatch", '-', STATE_BROKEN, ACTION_RECONNECT, "invalid", 1},
    {REASON_UNDECRYPTABLE, "undecryptable", '-', STATE_BROKEN, ACTION_FIX_KEY, NULL, 0},
    {REASON_NONE, "none", '?', STATE_UNKNOWN, ACTION_WAIT, NULL, 0},
    {REASON_RATE_LIMITED, "rate_limited", '?', STATE_UNKNOWN, ACTION_WAIT, NULL, 0},
    {REASON_TRANSIENT, "transient", '?', STATE_UNKNOWN, ACTION_WAIT, NULL, 0},
    {REASON_TIMEOUT, "timeout", '?', STATE_UNKNOWN, ACTION_WAIT, NULL, 0},
    {REASON_BAD_RESPONSE, "bad_response", '?', STATE_UNKNOWN, ACTION_WAIT, NULL, 0},
    {REASON_APP_MISCONFIGURED, "app_misconfigured", '?', STATE_UNKNOWN, ACTION_FIX_APP_CONFIG, NULL, 0},
};
enum { RULES = sizeof rules / sizeof *rules };
_Static_assert((int)RULES == (int)REASON_COUNT, "a rule for every reason");

#endif
