/* What crypto.c offers to token/ alone: key derivation, HMAC and authenticated encryption, on OpenSSL objects that
 * crypto_init fetched and allocated once. No key stays behind in OpenSSL's memory after a call: the contexts are
 * re-keyed with zeros. For one thread, but for crypto_pbkdf2 and crypto_gcm_open_apart. */
#ifndef TH_CRYPTO_PRIVATE_H
#define TH_CRYPTO_PRIVATE_H
#include "base/err.h"
#include "base/secret.h"
#include <stddef.h>
#include <stdint.h>

enum { CRYPTO_KEY_BYTES = 32, CRYPTO_IV_BYTES = 12, CRYPTO_TAG_BYTES = 16 };

/** A piece of a message. */
struct crypto_piece {
    const void *data;
    size_t len;
};

/** crypto_pbkdf2(password, salt, iterations, key, err): PBKDF2-HMAC-SHA256. Blocks: 0.2 ms a thousand iterations.
 *  key: wiped by the caller. Threads: any. Fails: ERR_CRYPTO. */
enum err_code crypto_pbkdf2(const struct secret *password, struct crypto_piece salt, int64_t iterations,
                            unsigned char key[CRYPTO_KEY_BYTES], struct err *err);
/** crypto_hkdf(secret, salt, info, key): HKDF-SHA256 (RFC 5869), one block. 1, or 0 if the library failed. key: wiped
 * by the caller. */
int crypto_hkdf(const struct secret *secret, struct crypto_piece salt, const char *info,
                unsigned char key[CRYPTO_KEY_BYTES]);
/** crypto_hmac(key, pieces, count, out): HMAC-SHA256 over the pieces one after another. 1, or 0 if the library failed.
 */
int crypto_hmac(const struct secret *key, const struct crypto_piece *pieces, int count, unsigned char out[32]);

/** AES-256-GCM with a 96-bit iv and a 128-bit tag. */
struct crypto_gcm {
    const unsigned char *key, *iv;
    const void *aad;
    size_t aad_len;
};
/** crypto_gcm_open(g, data, len, tag, out): 1 if the tag verifies; else 0, and what is in ${out} must be thrown away.
 * len > 0. */
int crypto_gcm_open(const struct crypto_gcm *g, const unsigned char *data, size_t len,
                    const unsigned char tag[CRYPTO_TAG_BYTES], unsigned char *out);
/** crypto_gcm_open_apart(…): the same with a context of its own, which takes a microsecond to make. Threads: any. */
int crypto_gcm_open_apart(const struct crypto_gcm *g, const unsigned char *data, size_t len,
                          const unsigned char tag[CRYPTO_TAG_BYTES], unsigned char *out);
int crypto_gcm_seal(const struct crypto_gcm *g, const unsigned char *data, size_t len,
                    unsigned char tag[CRYPTO_TAG_BYTES], unsigned char *out);

#endif
