/* The key ring: opens and seals envelopes of the application, and fast envelopes (DESIGN 3). Several keys
 * are read, one is written with. All key material lives in struct secret. For one thread, but for
 * keyring_open_in. */
#ifndef TH_KEYRING_H
#define TH_KEYRING_H
#include "base/json.h"
#include "token/envelope.h"

struct keyring;
enum { KEYRING_KEYS_MAX = 16 };
struct keyring_key {
    const char *kid;
    const struct secret *key; /* master key as UTF-8 text */
};
struct keyring_options {
    const struct keyring_key *keys; /* [0] is the write key */
    int key_count;
    const struct secret *global_salt; /* may be empty */
    int64_t kdf_iterations;           /* default for reading, used for writing */
};
/** keyring_new(options, &ring, err): derives one key-encryption key a kid (PBKDF2, 600,000 iterations: about
 *  0.13 s each). Blocks: that long. Fails: ERR_CONFIG (no key, empty key, doubled kid), ERR_CRYPTO. Copies what it
 * needs. */
enum err_code keyring_new(const struct keyring_options *options, struct keyring **ring, struct err *err);
void keyring_free(struct keyring *ring);
const char *keyring_write_kid(const struct keyring *ring);
/** keyring_kid(ring, index): of the index-th key; the write key's is the 0th; NULL beyond the last. */
const char *keyring_kid(const struct keyring *ring, int index);

/** keyring_open(ring, env, token, &kid, err): try the keys in order; kid (borrowed) is the one that opened it.
 *  Cost: up to key_count × PBKDF2 of env->kdf. Fails: ERR_UNDECRYPTABLE (no key opens it). token: caller's. */
enum err_code keyring_open(const struct keyring *ring, const struct envelope *env, struct secret *token,
                           const char **kid, struct err *err);
/** Room for what comes to light when an envelope is opened. Made and freed in the thread of all secrets; so the opening, which takes
 *  long, may run in another. */
struct keyring_room {
    struct secret key, token;
    const char *kid; /* borrowed from the ring: that opened it */
};
/** keyring_room_new(env, room, err): for ${env}; frees what ${room} was before. Fails: ERR_UNDECRYPTABLE (an empty or too long envelope),
 *  ERR_NOMEM. keyring_room_free: wipes. */
enum err_code keyring_room_new(const struct envelope *env, struct keyring_room *room, struct err *err);
void keyring_room_free(struct keyring_room *room);
/** keyring_open_in(ring, env, room, err): keyring_open; the token is in ${room}, and good only if it succeeds. Threads: any, of one ring as
 *  many at once as there are rooms. */
enum err_code keyring_open_in(const struct keyring *ring, const struct envelope *env, struct keyring_room *room,
                              struct err *err);
/** keyring_seal(ring, token, &env, err): new salt and iv drawn inside. env: caller's, envelope_fini. */
enum err_code keyring_seal(const struct keyring *ring, const struct secret *token, struct envelope *env,
                           struct err *err);

/** What a fast envelope is bound to. */
struct fast_binding {
    const char *account_id, *platform, *field; /* field: "access" or "refresh" */
};
/** keyring_mirror(ring, env, out): "of": HMAC-SHA256 over the decoded parts of the application's envelope, so that
 *  object and text form give the same. Keyed by the ring's write key. About 1 µs. */
void keyring_mirror(const struct keyring *ring, const struct envelope *env, unsigned char out[32]);
/** keyring_print(ring, token, out): the same kind of fingerprint for a plain token (no envelope exists yet). */
void keyring_print(const struct keyring *ring, const struct secret *token, unsigned char out[32]);
/** keyring_shut_print(ring, env, epoch, out): the same kind of fingerprint of ${env}, ${epoch} and all that decides whether the ring opens
 *  it: every key, the global salt, the iteration count. */
void keyring_shut_print(const struct keyring *ring, const struct envelope *env, int64_t epoch, unsigned char out[32]);
/** keyring_fast_open(ring, fast, binding, of, token, err): ${fast} = {v, kid, salt, iv, tag, data, of}. Fails:
 *  ERR_NOT_FOUND when absent, of another version, of an unknown kid or of another envelope (its "of" differs): rebuild
 * it; ERR_UNDECRYPTABLE when the tag does not verify (moved between accounts, damaged): rebuild it too. Under 5 µs. */
enum err_code keyring_fast_open(const struct keyring *ring, const struct json *fast, const struct fast_binding *binding,
                                const unsigned char of[32], struct secret *token, struct err *err);
/** keyring_fast_seal(ring, token, binding, of, &json, err): a new one under the write key; json: caller's. */
enum err_code keyring_fast_seal(const struct keyring *ring, const struct secret *token,
                                const struct fast_binding *binding, const unsigned char of[32], struct json **fast,
                                struct err *err);

#endif
