/* Refreshing a token (DESIGN 9): the rules. Pure: no I/O, no clock.
 * - When a token is due is judged by the provider's clock (the date of its answer), as its expiry is: no clock of ours that is set or
 *   wrong makes a refresh early. How long ago something of our own was is judged by moments (moment.h).
 * - A refused access token makes its refresh due whatever the date, if there is a refresh token.
 * - A refresh token that rotates is single-use. One that may have been used (UNSURE: no whole answer, a process that died, a lease
 *   that nobody gave back) is not used again until the access token is refused or has less than REFRESH_LAST_CHANCE_MS to live:
 *   from then on there is nothing to lose.
 * - After a failure the next try waits: 15 min, 1 h, 6 h, each ± 20 % by a hash. As long as the access token is refused nothing works
 *   for the user, so it is 15 min each time; and a refresh token that was called dead is asked about once more after the
 *   interval of confirmations, since a user who has to reconnect hangs on it.
 * - What is kept is about one token; with another one in its place it is forgotten.
 * The order of a refresh, and who may do it, is job_refresh.c. */
#ifndef TH_REFRESH_H
#define TH_REFRESH_H
#include "health/moment.h"
#include "provider/provider.h"
#include "store/account.h"

enum {
    REFRESH_LAST_CHANCE_MS = 300000,
    REFRESH_LEARN_EVERY_MS =
        86400000, /* an expiry that is not known is asked for, or refreshed away, at most so often */
    REFRESH_AGAIN_MS =
        900000, /* one that we have just got is not refreshed again, even if it is refused or expires at once */
    REFRESH_PRINT_BYTES = 33,
    REFRESH_LEASE_BYTES = 33
};

/* ---- what is kept: tokenHealth.refresh */

enum refresh_standing { REFRESH_FINE, REFRESH_DEAD, REFRESH_UNSURE, REFRESH_STANDING_COUNT };
const char *refresh_standing_word(enum refresh_standing standing); /* "fine", "dead", "unsure" */

struct refresh_state {
    char of[REFRESH_PRINT_BYTES];   /* the token that the next seven are about; "" none */
    enum refresh_standing standing; /* dead and unsure: of a refresh token only */
    int failures;                   /* in a row */
    struct moment failed;           /* the last of them */
    enum reason reason;             /* … and why */
    char rule[RULE_NAME_BYTES];
    struct moment learnt;    /* when an unknown expiry was last asked for */
    struct moment refreshed; /* when we got it */
    /* Who holds the right to refresh: of the account, whatever its token. */
    char lease[REFRESH_LEASE_BYTES]; /* ""; else a random id */
    struct moment leased;
};
/** refresh_state_parse(health, print, s): from tokenHealth (NULL allowed), as it is about the token with this print. */
void refresh_state_parse(const struct json *health, const char *print, struct refresh_state *s);
/** refresh_state_print(s, next_at_ms): as it is stored; for people also when the next try is due (0: not said). Owns: caller; NULL when there is
 *  nothing to keep, or no memory. */
struct json *refresh_state_print(const struct refresh_state *s, int64_t next_at_ms);
/** refresh_print(token, out): what tells a token from others, here and in the spool: the first half of its SHA-256, in hex. It does not
 *  depend on any key, so that it holds through a key's rotation. */
void refresh_print(const struct secret *token, char out[REFRESH_PRINT_BYTES]);

/* ---- may it be refreshed now? */

struct refresh_question {
    const struct refresh_policy *policy;
    const struct refresh_state *state;
    int is_refused;          /* the provider does not take the access token */
    int can_introspect;      /* … and would tell the expiry of one that it takes */
    int64_t expires_at_ms;   /* 0: not known */
    int64_t provider_now_ms; /* Unix ms by the provider's clock */
    struct moment now;
    struct moment token_since; /* when the access token was first seen; never: it was there before us */
    uint64_t spread;           /* a hash of the account's id */
    int64_t lease_ms;          /* how long a lease lasts */
    int64_t confirm_interval_ms;
};
enum refresh_step {
    REFRESH_NOT_DUE,
    REFRESH_WAIT, /* due, but not now */
    REFRESH_INTROSPECT,
    REFRESH_GO
};
struct refresh_decision {
    enum refresh_step step;
    const char *why; /* static, for logs: "leased", "back_off", "unsure", "too_young", "just_refreshed"; "" */
};
struct refresh_decision refresh_decide(const struct refresh_question *q);
/** refresh_is_wanted(q): would refresh_decide be worth to ask? Needs no state. So a refresh token is only opened when there is a use
 *  for it. */
int refresh_is_wanted(const struct refresh_question *q);

/** refresh_due_at(policy, expires_at_ms, spread): Unix ms from which a refresh is due; 0: never. The due date lies between
 *  window_start and window_end before the expiry, at a place chosen by ${spread}, so that tokens that were made together are not
 *  refreshed together. */
int64_t refresh_due_at(const struct refresh_policy *policy, int64_t expires_at_ms, uint64_t spread);
/** refresh_is_late(policy, expires_at_ms, now_ms): past the window's end: the account is `expiring`. */
int refresh_is_late(const struct refresh_policy *policy, int64_t expires_at_ms, int64_t now_ms);
/** refresh_spread(platform, id): the hash; the same on every host and for ever. */
uint64_t refresh_spread(const char *platform, const char *id);
/** refresh_back_off_ms(s, is_refused, spread, confirm_interval_ms): the wait after the last failure; 0: there was none. */
int64_t refresh_back_off_ms(const struct refresh_state *s, int is_refused, uint64_t spread,
                            int64_t confirm_interval_ms);

/** refresh_take_lease(s, q, id): ${s} as it is written before the call. A lease that is there already was not given back. */
void refresh_take_lease(struct refresh_state *s, const struct refresh_question *q, const char *id);

/* ---- what came of it */

enum refresh_end {
    REFRESH_DONE,
    REFRESH_REFUSED,  /* the token that it was asked with is no good */
    REFRESH_UNDONE,   /* it failed, and the refresh token is certainly not used up */
    REFRESH_AMBIGUOUS /* nobody knows */
};
/** refresh_judge(f): what an answer to REQUEST_REFRESH means. */
enum refresh_end refresh_judge(const struct finding *f);
/** refresh_fail(s, policy, end, reason, rule, now): ${s} after an ${end} that is not REFRESH_DONE. The lease is given back. */
void refresh_fail(struct refresh_state *s, const struct refresh_policy *policy, enum refresh_end end,
                  enum reason reason, const char *rule, const struct moment *now);

#endif
