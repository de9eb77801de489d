/* The primitives of OpenSSL 3 that the rest of token/ and the API keys need. Nothing here is our own
 * cryptography. Only token/ includes OpenSSL. */
#ifndef TH_CRYPTO_H
#define TH_CRYPTO_H
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_HEX_BYTES = 65 };

/** crypto_init(err): fetch the algorithms once; call after fork, before anything else here. Idempotent. */
enum err_code crypto_init(struct err *err);
/** crypto_random(out, len, err): from the library's CSPRNG. */
enum err_code crypto_random(void *out, size_t len, struct err *err);
/** crypto_sha256(data, len, out) / crypto_sha256_hex(data, len, out): cannot fail after crypto_init. */
void crypto_sha256(const void *data, size_t len, unsigned char out[SHA256_BYTES]);
void crypto_sha256_hex(const void *data, size_t len, char out[SHA256_HEX_BYTES]);
/** crypto_hmac_hex(key, message, out, err): HMAC-SHA256 as lowercase hex, a secret like what it is made of. out: caller's. Fails:
 *  ERR_CRYPTO, ERR_NOMEM. */
enum err_code crypto_hmac_hex(const struct secret *key, const struct secret *message, struct secret *out,
                              struct err *err);
/** crypto_equal(a, b, len): 1 if equal, in constant time. */
int crypto_equal(const void *a, const void *b, size_t len);

/** b64_encode(data, len, out): standard alphabet, padded, no line breaks. */
void b64_encode(const void *data, size_t len, struct buf *out);
/** b64url_encode(data, len, out): URL-safe alphabet, no padding. */
void b64url_encode(const void *data, size_t len, struct buf *out);
/** b64_decode(text, text_len, out, out_cap, &out_len): standard or URL-safe alphabet, padded or not; no
 *  white space, no mixed alphabets, no bits beyond the last byte set. 1 if it decodes and fits, else 0. */
int b64_decode(const char *text, size_t text_len, unsigned char *out, size_t out_cap, size_t *out_len);

#endif
