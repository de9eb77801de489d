/* Sealing all stored tokens again under the write key, while the service and the application go on (DESIGN 3). Every document is looked at, of
 * any platform, switched off or not: both tokens wherever they are stored, what was set aside, the fast envelopes. A document is written
 * once, by compare-and-swap on all that was read of its tokens; who loses a race reads again. Envelopes keep their place and form.
 * Idempotent and resumable without a cursor: what is under the write key is passed over, as a cursor would be outdated by
 * each token that the application writes behind it. To know that costs no key derivation where tokenHealth.fast.FIELD.by names the key of the
 * envelope that the fast one mirrors, which rekey leaves there; else one. */
#ifndef TH_REKEY_H
#define TH_REKEY_H
#include "store/store.h"
#include "token/keyring.h"

enum { REKEY_SHOWN = 20, REKEY_PATIENCE_MS = 30000 /* with a store that is away */ };
struct rekey_totals {
    int64_t accounts, written; /* that were looked at; that were changed, or would be */
    int64_t resealed;          /* envelopes */
    int64_t plain;             /* tokens in the clear, which no key concerns: auto-fix seals them */
    int64_t undecryptable;     /* envelopes that no key opens: they stay as they are */
    int64_t contended;         /* accounts that others wrote again and again */
    int64_t unread;            /* documents that could not be looked at */
    int is_whole;              /* all documents were come by */
    int64_t found[KEYRING_KEYS_MAX], left[KEYRING_KEYS_MAX]; /* envelopes by key, as in the ring: before; afterwards */
    struct rekey_shut {
        char account[LIMIT_ID_BYTES];
        const char *field; /* static */
    } shut[REKEY_SHOWN];   /* the first of those that no key opens */
};

/** Called after each account. */
typedef void rekey_progress_fn(void *arg, const struct rekey_totals *totals);
struct rekey_options {
    struct store *store;
    const struct keyring *ring;
    int dry_run; /* count only */
    rekey_progress_fn *progress;
    void *arg;
};
/** rekey_run(options, totals, err): Blocks: a derivation (22 ms) to open and one to seal an envelope, more where there are more old keys, and
 *  the store. Fails: as the store does (ERR_UNAVAILABLE after REKEY_PATIENCE_MS), ERR_CRYPTO, ERR_NOMEM; what was done until then stays done. */
enum err_code rekey_run(const struct rekey_options *options, struct rekey_totals *totals, struct err *err);
/** rekey_is_unused(totals, key): nothing that was looked at opens with the key of this index, and all was looked at. */
int rekey_is_unused(const struct rekey_totals *totals, int key);

/** rekey_account(options, account, now_ms, patch, totals, err): one account: fills ${patch} (caller's, patch_fini), left empty by a dry run
 *  and where there is nothing to do. Returns whether there is. Pure but for sealing. */
enum err_code rekey_account(const struct rekey_options *options, const struct account *account, int64_t now_ms,
                            struct patch *patch, struct rekey_totals *totals, int *is_wanted, struct err *err);

#endif
