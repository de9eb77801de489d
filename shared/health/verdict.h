/* The verdict state machine (DESIGN 4): (what was known, what was learnt, now, settings) → what is known now.
 * Pure: no I/O, no clock. Rules: only a definitive or accepting answer changes a state; an inconclusive one is kept beside it as
 * lastAttempt; needsReconnection needs confirmed definitive answers at least confirm_interval apart; it falls as soon as the
 * account is healthy; a new envelope by the application drops what was known of the old one. */
#ifndef TH_VERDICT_H
#define TH_VERDICT_H
#include "base/json.h"
#include "provider/provider.h"
#include <stdint.h>

enum state {
    STATE_UNKNOWN,
    STATE_HEALTHY,
    STATE_EXPIRING,
    STATE_LIMITED,
    STATE_BROKEN,
    STATE_DISCONNECTED,
    STATE_COUNT
};
enum action {
    ACTION_NONE,
    ACTION_WAIT,
    ACTION_REFRESH,
    ACTION_RECONNECT,
    ACTION_CONFIRM_IDENTITY,
    ACTION_GRANT_PERMISSIONS,
    ACTION_FIX_APP_CONFIG,
    ACTION_FIX_KEY,
    ACTION_COUNT
};
enum source {
    SOURCE_NONE,
    SOURCE_PROVIDER,
    SOURCE_STORE,
    SOURCE_CACHE,
    SOURCE_COUNT
}; /* where the verdict comes from */
const char *state_word(enum state s);
const char *action_word(enum action a);
const char *source_word(enum source s);
int state_parse(const char *word, enum state *out);
/** state_worse(a, b): the worse of two for a workspace: broken, limited, expiring, unknown, healthy, disconnected. */
enum state state_worse(enum state a, enum state b);
/** reason_action(reason), reason_token_status(reason): what helps; the tokenStatus a definitive or accepting reason
 *  writes (NULL: leave it: inconclusive, undecryptable). */
enum action reason_action(enum reason reason);
const char *reason_token_status(enum reason reason);

struct verdict_settings {
    int confirmations;           /* 2 */
    int64_t confirm_interval_ms; /* 60 s */
    int64_t reconnect_grace_ms;  /* 60 s */
};

/** What is known of an account's token: kept in the document as tokenHealth. Times Unix ms, 0 = never. */
struct verdict {
    enum state state;
    enum reason reason;
    enum action action;
    int64_t checked_at_ms;   /* last answer that decided */
    int confirmations;       /* definitive bad answers so far, counted only confirm_interval apart */
    int64_t confirmed_at_ms; /* when the last of them was counted */
    int needs_reconnection;
    enum reason attempt_reason; /* last inconclusive attempt; REASON_NONE: none since the last decision */
    int64_t attempted_at_ms;
    char print[48];         /* base64 of the fingerprint of the judged envelope; "" unknown */
    int64_t token_since_ms; /* when this envelope was first seen; 0: before we came */
    char rule[RULE_NAME_BYTES];
};

/** What was learnt just now. */
struct observation {
    enum reason reason;
    const char *rule;      /* may be "" */
    const char *print;     /* fingerprint of the envelope that was judged; "" if there is none */
    int64_t expires_at_ms; /* of the token, 0 unknown */
    int expiring;          /* accepted, inside the refresh window, and refreshing does not work */
    int disconnected;      /* isActive is false: nothing was asked */
};

/** verdict_decide(old, obs, now_ms, settings, out): out may be old. old->needs_reconnection is the document's
 *  present value. Returns 1 when the state or reason changed (an event), else 0. */
int verdict_decide(const struct verdict *old, const struct observation *obs, int64_t now_ms,
                   const struct verdict_settings *settings, struct verdict *out);
/** verdict_unconfirmed(v, settings): broken by a reason that asks for the user, but not yet confirmed: ask again soon. */
int verdict_unconfirmed(const struct verdict *v, const struct verdict_settings *settings);
/** verdict_blocks(v_state, v_action): would `enforce` refuse this: broken and only the user can help. */
int verdict_blocks(enum state state, enum action action);

/** verdict_parse(health, v): from the document's tokenHealth (NULL allowed); odd fields count as absent. */
void verdict_parse(const struct json *health, struct verdict *v);

#endif
