/* The tokens that the sandbox knows, by their SHA-256: the text of a token is never kept. Made for a million of them: about
 * 130 bytes a token. A struct token stays where it is until tokens_reset.
 *
 * A refresh makes a chain: newest is the next link. Where there are refresh tokens, an access token and the refresh token that came
 * with it are partners, and the two chains are a family. */
#ifndef SANDBOX_TOKENS_H
#define SANDBOX_TOKENS_H
#include "condition.h"
#include "host.h"
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_DIGEST_BYTES = 32, TOKEN_HEX_BYTES = 65, TOKEN_ISSUED_BYTES = 192, TOKENS_MAX = 1 << 22 };
enum kind { KIND_VALIDATE, KIND_REFRESH, KIND_INTROSPECT, KIND_EXCHANGE, KIND_OTHER, KIND_COUNT };
extern const char *const kind_words[KIND_COUNT];

struct token {
    uint8_t digest[TOKEN_DIGEST_BYTES];
    int64_t expires_at_s; /* 0: never */
    int64_t issued_at_s;
    struct token *newest;  /* the last one issued for it, else itself */
    struct token *root;    /* the first of its chain */
    struct token *partner; /* NULL: none */
    uint32_t issued;       /* how many */
    uint32_t identity;     /* tokens_account_id, tokens_username */
    uint32_t delay_ms;
    uint32_t calls[KIND_COUNT];
    uint32_t reuses; /* of a refresh token that was used before */
    uint8_t host;    /* where it is good; HOST_COUNT: anywhere */
    uint8_t condition;
    uint8_t refresh_condition; /* CONDITION_COUNT: the same as condition */
    uint8_t is_known;          /* 0: seen in a call only */
    uint8_t rotates;           /* a refresh kills it */
    uint8_t is_refresh;
};
struct tokens;

struct tokens *tokens_new(void); /* NULL: no memory */
void tokens_free(struct tokens *ts);
void tokens_reset(struct tokens *ts);
size_t tokens_count(const struct tokens *ts);
struct token *tokens_at(const struct tokens *ts, size_t index); /* in the order of their first sight */

void tokens_digest(const char *token, uint8_t digest[TOKEN_DIGEST_BYTES]);
void tokens_hex(const uint8_t digest[TOKEN_DIGEST_BYTES], char hex[TOKEN_HEX_BYTES]);
/** tokens_unhex(hex, digest): 1 if hex is 64 lowercase hex digits, else 0. */
int tokens_unhex(const char *hex, uint8_t digest[TOKEN_DIGEST_BYTES]);

struct token *tokens_find(const struct tokens *ts, const uint8_t digest[TOKEN_DIGEST_BYTES]);
/** tokens_add(ts, digest): the token of this digest, made if need be (not known, healthy, without an identity).
 *  NULL: no memory, or TOKENS_MAX reached. */
struct token *tokens_add(struct tokens *ts, const uint8_t digest[TOKEN_DIGEST_BYTES]);
/** tokens_set_condition(t, c, now_s): with the lifetime that belongs to it. */
void tokens_set_condition(struct token *t, enum condition c, int64_t now_s);
/** tokens_set_identity(ts, t, account_id, username): NULL leaves one as it is, or takes one out of the digest.
 *  0: no memory. */
int tokens_set_identity(struct tokens *ts, struct token *t, const char *account_id, const char *username);
const char *tokens_account_id(const struct tokens *ts, const struct token *t); /* borrowed until the next set */
const char *tokens_username(const struct tokens *ts, const struct token *t);
/** tokens_is_alive(t): a call with it would be served. */
int tokens_is_alive(const struct token *t);
/** tokens_newest(t): the end of its chain. */
struct token *tokens_newest(const struct token *t);
/** tokens_pair(access, refresh): partners, from now on. */
void tokens_pair(struct token *access, struct token *refresh);
/** tokens_revoke_family(t): its chain and its partner's. */
void tokens_revoke_family(const struct token *t);

/** tokens_issue(ts, old, prefix, lifetime_s, text): a new link behind ${old}, the end of a chain; its text is drawn at random.
 *  NULL: no memory. */
struct token *tokens_issue(struct tokens *ts, struct token *old, const char *prefix, long lifetime_s,
                           char text[TOKEN_ISSUED_BYTES]);

#endif
