/* The verdict state machine (DESIGN 4): (what was known, what was learnt, now, settings) → what is known now.
 * Pure: no I/O, no clock. Rules:
 * - Only a definitive or accepting answer changes a state; an inconclusive one is kept beside it as lastAttempt.
 * - A definitive answer that asks for the user (every one but undecryptable, also missing_token and identity_mismatch) turns
 *   needsReconnection on once ${confirmations} of them about the same stored token are counted, each at least confirm_interval
 *   after the one counted before, with no acceptance between. Clocks that are set do not shorten the interval (moment.h);
 *   where they contradict each other the interval starts again.
 * - undecryptable says nothing of the token: it is the operator's, counts for nothing, and leaves needsReconnection as it is.
 * - An accepting answer turns needsReconnection off and forgets the count, at once.
 * - A token that the application changed (another print) drops what was known; needsReconnection stays what it is until
 *   something is decided about the new one. For reconnect_grace after its first sight bad answers are attempts only. */
#ifndef TH_VERDICT_H
#define TH_VERDICT_H
#include "base/json.h"
#include "health/moment.h"
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
    char rule[RULE_NAME_BYTES]; /* that decided */
    int64_t checked_at_ms;      /* last answer that decided */
    int confirmations;          /* definitive bad answers counted so far */
    struct moment confirmed;    /* when the last of them was counted */
    int needs_reconnection;
    enum reason attempt_reason; /* the last attempt that decided nothing; REASON_NONE: none since the last decision */
    char attempt_rule[RULE_NAME_BYTES];
    int64_t attempted_at_ms;
    int64_t retry_at_ms; /* the provider wants this account not to be asked before; 0: it does not say */
    char print[48];      /* fingerprint of the stored token that was judged; "" nothing was stored, or not known */
    char login[LIMIT_PLATFORM_BYTES]; /* that took this token, when the token's prefix does not say so; "" */
    struct moment token_since; /* when this token was first seen in place of another; never: it was there before us */
    enum reason held_reason;   /* what would have been decided, but for the mass-failure guard; REASON_NONE: nothing */
    struct moment held_since;
};

/** What was learnt just now. */
struct observation {
    enum reason reason;
    const char *rule;  /* may be "" or NULL */
    const char *print; /* fingerprint of what is stored; "" or NULL if nothing is */
    const char
        *login;   /* accepted by this one, which the prefix does not name; NULL: the one that is asked first anyway */
    int expiring; /* accepted, inside the refresh window, and refreshing does not work */
    int disconnected;       /* isActive is false: nothing was asked */
    int64_t retry_after_ms; /* rate_limited, and the provider says for how long this account is; 0: it does not */
};

/** verdict_decide(old, obs, now, settings, out): out may be old. old->needs_reconnection is the document's
 *  present value. Returns 1 when state, reason or needs_reconnection changed (an event), else 0. */
int verdict_decide(const struct verdict *old, const struct observation *obs, const struct moment *now,
                   const struct verdict_settings *settings, struct verdict *out);
/** verdict_worsens(before, after): does a decision say for the first time that the account is broken, or ask for its user? That is what the
 *  mass-failure guard holds. verdict_hold(old, obs, now, v): ${v}, as verdict_decide made it of ${old}, is held: what was known stays as it was,
 *  the answer becomes an attempt, and what it proves (held_reason, confirmations) is kept beside, so that the next one decides at once. */
int verdict_worsens(const struct verdict *before, const struct verdict *after);
void verdict_hold(const struct verdict *old, const struct observation *obs, const struct moment *now,
                  struct verdict *v);
/** verdict_unconfirmed(v, settings): broken by a reason that asks for the user, but not yet confirmed: ask again soon. */
int verdict_unconfirmed(const struct verdict *v, const struct verdict_settings *settings);
/** verdict_put_off_ms(v, print, now): how long the account, whose token has this print, is still not to be asked; 0: it may be. Clocks
 *  that contradict each other put nothing off. */
int64_t verdict_put_off_ms(const struct verdict *v, const char *print, const struct moment *now);
/** verdict_blocks(v_state, v_action): would `enforce` refuse this: broken and only the user can help. */
int verdict_blocks(enum state state, enum action action);

/** verdict_parse(health, v): from the document's tokenHealth (NULL allowed); odd fields count as absent, a state that does not
 *  follow from its reason as unknown. Leaves needs_reconnection 0: that is a field of the application's document. */
void verdict_parse(const struct json *health, struct verdict *v);

#endif
