/* What a verdict writes into the account's document: single fields, guarded by the stored token forms that were judged,
 * so that nothing is written over a change by the application. Pure but for sealing. */
#ifndef TH_WRITEBACK_H
#define TH_WRITEBACK_H
#include "health/intake.h"
#include "health/validate.h"

struct writeback {
    const struct account *account;
    const struct intake *intake;
    const struct candidate *winner; /* the form whose token was judged; NULL if none opened */
    const struct verdict *before;
    const struct verdict *after; /* print and token_since may be replaced by writeback_build */
    const struct keyring *ring;
    const struct secret *refreshed; /* a new access token, or NULL */
    int64_t refreshed_expires_at_ms;
    int64_t now_ms;
    int fix;      /* put storage faults right */
    int accepted; /* the provider took the winner's token just now */
};

/** writeback_build(w, patch, print, &fixed, err): fills ${patch} (caller's, patch_fini); ${print} is the fingerprint of the
 *  form that is stored once the patch is applied; ${fixed} the faults it puts right. Costs one key derivation when a plain or refreshed
 *  token is sealed. Fails: ERR_CRYPTO, ERR_NOMEM. Never puts a plain token into the patch's fields. */
enum err_code writeback_build(const struct writeback *w, struct patch *patch, char print[PRINT_BYTES], int *fixed,
                              struct err *err);

#endif
