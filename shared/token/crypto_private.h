/* OpenSSL's algorithms, fetched once: an implicit fetch costs microseconds. Private to token/. */
#ifndef TH_CRYPTO_PRIVATE_H
#define TH_CRYPTO_PRIVATE_H
#include <openssl/evp.h>
#include <openssl/kdf.h>

struct crypto_algorithms {
    EVP_MD *sha256;
    EVP_MAC *hmac;
    EVP_KDF *pbkdf2;
    EVP_CIPHER *gcm;
    EVP_MD_CTX *digest;
};
/** crypto_algorithms(): valid after crypto_init. */
const struct crypto_algorithms *crypto_algorithms(void);

#endif
