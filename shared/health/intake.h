/* Taking an account's token in: which stored forms it has, which of them opens, and what is wrong with how it is stored.
 * Costs a key derivation (about 22 ms) unless the account has a fast envelope that fits. No I/O. */
#ifndef TH_INTAKE_H
#define TH_INTAKE_H
#include "health/verdict.h"
#include "store/account.h"
#include "token/keyring.h"

enum token_place {
    PLACE_ENVELOPE,
    PLACE_MISPLACED,
    PLACE_PLAIN
}; /* encryptedAccessToken, an envelope in accessToken, a token in accessToken */
enum { PRINT_BYTES = 48, CANDIDATES_MAX = 2 };

/** One stored form of the access token that opened. */
struct candidate {
    enum token_place place;
    struct secret token;
    struct envelope env; /* empty for PLACE_PLAIN */
    char print[PRINT_BYTES];
    int was_fast; /* opened from the fast envelope */
    unsigned char mirror[32];
};

struct intake {
    struct candidate candidates[CANDIDATES_MAX]; /* in the order to try */
    int count;
    int faults;               /* FAULT_… of validate.h that concern storage */
    int undecryptable;        /* a stored envelope did not open */
    char why[ERR_TEXT_MAX];   /* why not, for the log */
    char print[PRINT_BYTES];  /* of the first stored form, whether it opens or not; "" if nothing is stored */
    const char *token_format; /* static: see service.h */
    int has_token;            /* something is stored */
};

/** intake_read(account, ring, in): never fails: what cannot be opened is said in ${in}. Owns: caller, intake_fini. */
void intake_read(const struct account *account, const struct keyring *ring, struct intake *in);
/** intake_describe(account, in): only format, print and faults; opens nothing (for status). */
void intake_describe(const struct account *account, struct intake *in);
void intake_fini(struct intake *in);
/** envelope_fingerprint(env, out): SHA-256 over the decoded parts, base64: the same for object and text, whatever key is set. */
void envelope_fingerprint(const struct envelope *env, char out[PRINT_BYTES]);

#endif
