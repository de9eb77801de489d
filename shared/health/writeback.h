/* What a verdict writes into the account's document: single fields, guarded by the stored token forms that were judged and by
 * the decision that was built on, so that nothing is written over a change by the application or by another of our processes.
 * Pure but for sealing. No plain token ever gets into a field that is set.
 *
 * What is dropped: a form that is a copy, and one that the provider refused as dead, beside a better one. Any other form that has
 * to go is set aside in tokenHealth.setAside, a list of at most ASIDE_MAX: ciphertext as it is, what may be a token in the
 * clear sealed. Where that cannot be done (the list is full, the key may be wrong, too many bytes) the form stays where it is; but
 * a refreshed token takes encryptedAccessToken in any case, as it cannot be had again.
 * Always written, being the verdict itself: tokenHealth, and with a decision tokenStatus, needsReconnection and
 * lastTokenValidation (undecryptable leaves these three alone: it says nothing of the token). With ${fix} off nothing else is. */
#ifndef TH_WRITEBACK_H
#define TH_WRITEBACK_H
#include "health/intake.h"
#include "health/validate.h"

enum { ASIDE_MAX = 4 };
struct writeback {
    const struct account *account;
    const struct intake *intake;
    const struct form *winner;    /* the form whose token was judged; NULL if none gave a token */
    const struct verdict *before; /* as it stands in the document */
    const struct verdict *after;
    const struct keyring *ring;
    struct moment now;
    int fix;          /* put storage faults right */
    int may_seal;     /* the write key is known to be the application's: plain tokens may be sealed with it */
    int accepted;     /* the provider took the winner's token just now */
    int drop_other;   /* … and the other form is known to be no better */
    int uses_refresh; /* the login refreshes with a refresh token: it gets a fast envelope, too … */
    const struct intake *refresh; /* … also when that was opened the slow way just now; what NULL: it was not opened */
};
/** What the patch will do once it is applied. */
struct writeback_effect {
    char print[PRINT_BYTES]; /* of what is stored then */
    int fixed;               /* FAULT_… put right */
    struct shut_list shut;   /* envelopes that no key opens, as found just now or remembered */
    int found;               /* FAULT_STALE_STATUS if the document contradicts the verdict that we held */
};

/** writeback_build(w, patch, effect, err): fills ${patch} (caller's, patch_fini). Costs a key derivation for each plain token that
 *  is sealed, and one for a refresh token the first time that the account is opened the slow way. Fails: ERR_CRYPTO, ERR_NOMEM. */
enum err_code writeback_build(const struct writeback *w, struct patch *patch, struct writeback_effect *effect,
                              struct err *err);

/* Between the writeback files. */
/** writeback_fast(w, field, path, env, token, patch, err): the fast envelope of ${env} goes to ${path}. */
enum err_code writeback_fast(const struct writeback *w, const char *field, const char *path, const struct envelope *env,
                             const struct secret *token, struct patch *patch, struct err *err);
/** writeback_set_aside(w, field, patch, is_safe, err): the form of ${field} is about to go. ${is_safe}: nothing is lost with it. */
enum err_code writeback_set_aside(const struct writeback *w, enum form_field field, struct patch *patch, int *is_safe,
                                  struct err *err);
/** writeback_refresh_token(w, patch, effect, err): the refresh token's two fields: moved, sealed or left. */
enum err_code writeback_refresh_token(const struct writeback *w, struct patch *patch, struct writeback_effect *effect,
                                      struct err *err);

#endif
