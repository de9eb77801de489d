#include "token/crypto.h"
#include "base/secret.h"
#include "token/crypto_private.h"
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

static struct crypto_algorithms algorithms;

const struct crypto_algorithms *crypto_algorithms(void)
{
    return &algorithms;
}

enum err_code crypto_init(struct err *err)
{
    if (algorithms.gcm) return ERR_OK;
    algorithms.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    algorithms.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    algorithms.pbkdf2 = EVP_KDF_fetch(NULL, "PBKDF2", NULL);
    algorithms.digest = EVP_MD_CTX_new();
    algorithms.gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (algorithms.sha256 && algorithms.hmac && algorithms.pbkdf2 && algorithms.digest && algorithms.gcm) return ERR_OK;
    return err_set(err, ERR_CRYPTO, NULL, "OpenSSL has no SHA-256, HMAC, PBKDF2 or AES-256-GCM");
}

enum err_code crypto_random(void *out, size_t len, struct err *err)
{
    return RAND_bytes(out, (int)len) == 1 ? ERR_OK : err_set(err, ERR_CRYPTO, NULL, "no random numbers");
}

void crypto_sha256(const void *data, size_t len, unsigned char out[SHA256_BYTES])
{
    if (EVP_DigestInit_ex2(algorithms.digest, algorithms.sha256, NULL) != 1 ||
        EVP_DigestUpdate(algorithms.digest, data, len) != 1 || EVP_DigestFinal_ex(algorithms.digest, out, NULL) != 1)
        memset(out, 0, SHA256_BYTES);
}

void crypto_sha256_hex(const void *data, size_t len, char out[SHA256_HEX_BYTES])
{
    unsigned char sum[SHA256_BYTES];

    crypto_sha256(data, len, sum);
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

int crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
