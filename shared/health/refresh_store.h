/* What refreshes write into an account's document, each in one guarded update of single fields: the lease, what came of a failure, an
 * expiry that was learnt, the new tokens. Used by the pipeline and by the replay of the spool. Blocks as the store does; sealing
 * costs a key derivation (22 ms) a token. */
#ifndef TH_REFRESH_STORE_H
#define TH_REFRESH_STORE_H
#include "health/intake.h"
#include "health/refresh.h"
#include "store/store.h"

/** A refresh that was begun: kept in the spool, as the description of its answer. No secret in it. */
struct refresh_record {
    struct account_id id;
    char platform[LIMIT_PLATFORM_BYTES];
    char lease[REFRESH_LEASE_BYTES];
    char used[REFRESH_PRINT_BYTES];   /* the token that the provider is asked with */
    char access[REFRESH_PRINT_BYTES]; /* the access token that is to be replaced; the same where that is asked with */
    int uses_refresh_token, rotates;
    int is_uncalled; /* certainly no call was made: only the lease is to be given back */
};
/** refresh_record_print(r): Owns: caller; NULL: no memory. refresh_record_parse(about, r): 1, or 0 if it is none of ours. */
struct json *refresh_record_print(const struct refresh_record *r);
int refresh_record_parse(const struct json *about, struct refresh_record *r);

/** What the provider gave. */
struct refresh_tokens {
    struct secret access, refresh; /* refresh may be empty: the old one stays */
    int64_t expires_at_ms;         /* 0: not said */
};
void refresh_tokens_fini(struct refresh_tokens *t);

/** refresh_lease(store, account, state, fence, err): ${state}, which holds the lease, is stored if the tokens, isActive and the lease are still as in
 *  ${account}, and the fence (or NULL) holds. Fails: ERR_CONFLICT, ERR_NOT_FOUND: somebody was first, no lease; else it may be there or not. */
enum err_code refresh_lease(struct store *store, const struct account *account, const struct refresh_state *state,
                            struct fence *fence, struct err *err);
/** refresh_note(store, id, lease, state, next_at_ms, err): ${state} in place of what is there, as long as that holds ${lease}. Fails: as
 *  store_update. */
enum err_code refresh_note(struct store *store, const struct account_id *id, const char *lease,
                           const struct refresh_state *state, int64_t next_at_ms, struct err *err);
/** refresh_learn(store, account, state, expires_at_ms, fence, err): an expiry that was not known (0: still not), if the tokens are still those. */
enum err_code refresh_learn(struct store *store, const struct account *account, const struct refresh_state *state,
                            int64_t expires_at_ms, struct fence *fence, struct err *err);

enum refresh_put {
    REFRESH_PUT_STORED,
    REFRESH_PUT_ALREADY, /* they were there: a replay, or a write that we had no answer to */
    REFRESH_PUT_THEIRS   /* the account has other tokens, or is gone: these have no place any more */
};
/** refresh_put(store, ring, r, t, account, what, err): the new tokens and all that goes with them: both envelopes, both fast
 *  envelopes, expiresAt, tokenStatus, the fingerprint that the verdict is about; the lease and what was known of the old token
 *  go. Only where the token that was asked with is still stored; whoever wrote at the same time is read again. ${account}: as
 *  it was read last, or empty: then it is read; afterwards the last reading. Fails: as the store does; ERR_UNDECRYPTABLE when
 *  what is stored does not open, so that nobody can tell whose it is; ERR_CONFLICT when others write again and again. */
enum err_code refresh_put(struct store *store, const struct keyring *ring, const struct refresh_record *r,
                          const struct refresh_tokens *t, struct account *account, enum refresh_put *what,
                          struct err *err);

#endif
