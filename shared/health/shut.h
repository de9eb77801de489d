/* Envelopes that no key of the ring opens, kept in tokenHealth.shut: a list of prints, the last found first. To find out costs a key
 * derivation for each key, at every look, as long as nobody mends it; so what is remembered is not tried again for LIMIT_SHUT_AGAIN_MS.
 * A print is made from the envelope and the whole ring: with another key, another salt or another envelope it does not fit. It
 * tells nobody more of a key than a fast envelope does, which takes as long to guess at. */
#ifndef TH_SHUT_H
#define TH_SHUT_H
#include "store/account.h"
#include "token/keyring.h"

enum { SHUT_MAX = 4 /* envelopes in a document */, SHUT_PRINT_BYTES = 48 };

/** What became of an attempt. */
struct shut {
    char print[SHUT_PRINT_BYTES]; /* to be remembered: no key opens it; "" it opened, or nobody knows */
    int was_tried;                /* a key derivation was paid */
};
/** shut_recall(account, ring, env, shut): 1 if it is remembered that no key of this ring opens ${env}, of ${account}. Reads the clock.
 *  shut_tried(shut, rc): what keyring_open said when it was tried. */
int shut_recall(const struct account *account, const struct keyring *ring, const struct envelope *env,
                struct shut *shut);
void shut_tried(struct shut *shut, enum err_code rc);
/** shut_open(account, ring, env, token, shut): keyring_open, of an envelope of ${account}; fails at once if it is remembered that no
 *  key of this ring opens it. Reads the clock. */
enum err_code shut_open(const struct account *account, const struct keyring *ring, const struct envelope *env,
                        struct secret *token, struct shut *shut);
/** shut_print(ring, env, now_ms, print): the print; it changes every LIMIT_SHUT_AGAIN_MS, of each envelope at another time. Pure. */
void shut_print(const struct keyring *ring, const struct envelope *env, int64_t now_ms, char print[SHUT_PRINT_BYTES]);

struct shut_list {
    char prints[SHUT_MAX][SHUT_PRINT_BYTES];
    int count;
};
/** shut_note(list, print): to be remembered, too; "" is nothing. */
void shut_note(struct shut_list *list, const char *print);
/** shut_put(list, health, patch): ${list}, and behind it as much as there is room for of what ${health} remembers already. If ${list} is empty,
 *  all is forgotten. */
void shut_put(const struct shut_list *list, const struct json *health, struct patch *patch);

#endif
