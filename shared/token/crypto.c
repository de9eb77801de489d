#include "token/crypto.h"
#include "token/crypto_private.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* Fetching by name costs microseconds each time, and so does allocating a context. */
static struct {
    EVP_MD *sha256;
    EVP_CIPHER *gcm;
    EVP_MAC *hmac;
    EVP_KDF *pbkdf2;
    EVP_MD_CTX *digest;
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac;
    int is_ready;
} lib;

static const unsigned char zeros[CRYPTO_KEY_BYTES];

/* OpenSSL wipes keys, but not a salt (ours is secret in part) nor what TLS received (new tokens). It takes an allocator
 * only before its first allocation, which may be curl's or mongoc's: hence before main. */
static void *wiped_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return size ? malloc(size) : NULL; /* as OpenSSL's own does */
}

static void *wiped_realloc(void *mem, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    if (size) return secret_heap_realloc(mem, size);
    secret_heap_free(mem);
    return NULL;
}

static void wiped_free(void *mem, const char *file, int line)
{
    (void)file, (void)line;
    secret_heap_free(mem);
}

__attribute__((constructor)) static void take_openssl_memory(void)
{
    CRYPTO_set_mem_functions(wiped_malloc, wiped_realloc, wiped_free);
}

static void drop(void)
{
    EVP_MD_CTX_free(lib.digest);
    EVP_CIPHER_CTX_free(lib.cipher);
    EVP_MAC_CTX_free(lib.mac);
    EVP_MD_free(lib.sha256);
    EVP_CIPHER_free(lib.gcm);
    EVP_MAC_free(lib.hmac);
    EVP_KDF_free(lib.pbkdf2);
    memset(&lib, 0, sizeof lib);
}

/* Each context is started once here: the digest then has all its memory, so that crypto_sha256 cannot fail. */
static int start_contexts(void)
{
    OSSL_PARAM with_sha256[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_end()};

    lib.digest = EVP_MD_CTX_new();
    lib.cipher = EVP_CIPHER_CTX_new();
    lib.mac = EVP_MAC_CTX_new(lib.hmac);
    return lib.digest && lib.cipher && lib.mac && EVP_DigestInit_ex2(lib.digest, lib.sha256, NULL) == 1 &&
           EVP_DecryptInit_ex2(lib.cipher, lib.gcm, zeros, zeros, NULL) == 1 &&
           EVP_MAC_init(lib.mac, zeros, sizeof zeros, with_sha256) == 1;
}

enum err_code crypto_init(struct err *err)
{
    if (lib.is_ready) return ERR_OK;
    lib.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    lib.gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    lib.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    lib.pbkdf2 = EVP_KDF_fetch(NULL, "PBKDF2", NULL);
    lib.is_ready = lib.sha256 && lib.gcm && lib.hmac && lib.pbkdf2 && start_contexts();
    if (lib.is_ready) return ERR_OK;
    drop();
    return err_set(err, ERR_CRYPTO, NULL, "OpenSSL offers no SHA-256, HMAC, PBKDF2 or AES-256-GCM");
}

enum err_code crypto_random(void *out, size_t len, struct err *err)
{
    if (RAND_bytes(out, (int)len) == 1) return ERR_OK;
    return err_set(err, ERR_CRYPTO, NULL, "OpenSSL's random generator failed");
}

void crypto_sha256(const void *data, size_t len, unsigned char out[SHA256_BYTES])
{
    int ok = crypto_init(NULL) == ERR_OK && EVP_DigestInit_ex2(lib.digest, NULL, NULL) == 1 &&
             EVP_DigestUpdate(lib.digest, data, len) == 1 && EVP_DigestFinal_ex(lib.digest, out, NULL) == 1;

    /* A constant in place of a hash would make all API keys one: better no process. */
    if (!ok) abort();
}

static void print_hex(const unsigned char sum[SHA256_BYTES], char out[SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[sum[i] >> 4U];
        out[2 * i + 1] = digits[sum[i] & 15U];
    }
    out[SHA256_HEX_BYTES - 1] = '\0';
}

void crypto_sha256_hex(const void *data, size_t len, char out[SHA256_HEX_BYTES])
{
    unsigned char sum[SHA256_BYTES];

    crypto_sha256(data, len, sum);
    print_hex(sum, out);
}

int crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

enum err_code crypto_pbkdf2(const struct secret *password, struct crypto_piece salt, int64_t iterations,
                            unsigned char key[CRYPTO_KEY_BYTES], struct err *err)
{
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(lib.pbkdf2);
    uint64_t count = (uint64_t)iterations;
    int any_count = 1; /* the application's envelopes may have fewer iterations than SP 800-132 asks for */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)secret_bytes(password),
                                          password->len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.data, salt.len),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_ITER, &count),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &any_count),
        OSSL_PARAM_construct_end()};
    int ok = ctx && EVP_KDF_derive(ctx, key, CRYPTO_KEY_BYTES, params) == 1;

    EVP_KDF_CTX_free(ctx);
    return ok ? ERR_OK : err_set(err, ERR_CRYPTO, NULL, "PBKDF2 failed");
}

static int mac(struct crypto_piece key, const struct crypto_piece *pieces, int count, unsigned char out[SHA256_BYTES])
{
    size_t len = 0;

    if (EVP_MAC_init(lib.mac, key.data, key.len, NULL) != 1) return 0;
    for (int i = 0; i < count; i++)
        if (EVP_MAC_update(lib.mac, pieces[i].data, pieces[i].len) != 1) return 0;
    return EVP_MAC_final(lib.mac, out, &len, SHA256_BYTES) == 1 && len == SHA256_BYTES;
}

static int forget_mac_key(void)
{
    return EVP_MAC_init(lib.mac, zeros, sizeof zeros, NULL) == 1;
}

int crypto_hmac(const struct secret *key, const struct crypto_piece *pieces, int count, unsigned char out[SHA256_BYTES])
{
    int ok = lib.is_ready && mac((struct crypto_piece){secret_bytes(key), key->len}, pieces, count, out);

    return forget_mac_key() && ok;
}

enum err_code crypto_hmac_hex(const struct secret *key, const struct secret *message, struct secret *out,
                              struct err *err)
{
    const struct crypto_piece piece = {secret_bytes(message), message->len};
    unsigned char sum[SHA256_BYTES];
    enum err_code rc = secret_new(out, SHA256_HEX_BYTES - 1, err);

    if (rc == ERR_OK && !crypto_hmac(key, &piece, 1, sum)) rc = err_set(err, ERR_CRYPTO, NULL, "HMAC failed");
    if (rc == ERR_OK)
        print_hex(sum, (char *)secret_room(out)); /* there is room for the NUL, too */
    else
        secret_free(out);
    secret_wipe(sum, sizeof sum);
    return rc;
}

/* Two HMACs of RFC 5869 on the kept context: OpenSSL's own HKDF allocates and fetches each time, and takes twice as
 * long. */
int crypto_hkdf(const struct secret *secret, struct crypto_piece salt, const char *info,
                unsigned char key[CRYPTO_KEY_BYTES])
{
    unsigned char prk[SHA256_BYTES];
    const unsigned char first = 1;
    const struct crypto_piece extract[] = {{secret_bytes(secret), secret->len}};
    const struct crypto_piece expand[] = {{info, strlen(info)}, {&first, 1}};
    int ok = lib.is_ready && mac(salt, extract, 1, prk) && mac((struct crypto_piece){prk, sizeof prk}, expand, 2, key);

    secret_wipe(prk, sizeof prk);
    return forget_mac_key() && ok;
}

static int forget_cipher_key(void)
{
    return EVP_DecryptInit_ex2(lib.cipher, NULL, zeros, zeros, NULL) == 1;
}

/* ${cipher} NULL: that of ${ctx} is not named again: OpenSSL would throw the context away and build a new one. */
static int gcm_open(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const struct crypto_gcm *g,
                    struct crypto_piece sealed, const unsigned char tag[CRYPTO_TAG_BYTES], unsigned char *out)
{
    int n = 0, last = 0;

    return EVP_DecryptInit_ex2(ctx, cipher, g->key, g->iv, NULL) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CRYPTO_TAG_BYTES, (void *)(uintptr_t)tag) == 1 &&
           (g->aad_len == 0 || EVP_DecryptUpdate(ctx, NULL, &n, g->aad, (int)g->aad_len) == 1) &&
           EVP_DecryptUpdate(ctx, out, &n, sealed.data, (int)sealed.len) == 1 &&
           EVP_DecryptFinal_ex(ctx, out + n, &last) == 1;
}

int crypto_gcm_open(const struct crypto_gcm *g, const unsigned char *data, size_t len,
                    const unsigned char tag[CRYPTO_TAG_BYTES], unsigned char *out)
{
    int ok = lib.is_ready && gcm_open(lib.cipher, NULL, g, (struct crypto_piece){data, len}, tag, out);

    return forget_cipher_key() && ok;
}

int crypto_gcm_open_apart(const struct crypto_gcm *g, const unsigned char *data, size_t len,
                          const unsigned char tag[CRYPTO_TAG_BYTES], unsigned char *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int ok = lib.is_ready && ctx && gcm_open(ctx, lib.gcm, g, (struct crypto_piece){data, len}, tag, out);

    EVP_CIPHER_CTX_free(ctx); /* wipes the key */
    return ok;
}

int crypto_gcm_seal(const struct crypto_gcm *g, const unsigned char *data, size_t len,
                    unsigned char tag[CRYPTO_TAG_BYTES], unsigned char *out)
{
    int n = 0, last = 0;
    int ok = lib.is_ready && EVP_EncryptInit_ex2(lib.cipher, NULL, g->key, g->iv, NULL) == 1 &&
             (g->aad_len == 0 || EVP_EncryptUpdate(lib.cipher, NULL, &n, g->aad, (int)g->aad_len) == 1) &&
             EVP_EncryptUpdate(lib.cipher, out, &n, data, (int)len) == 1 &&
             EVP_EncryptFinal_ex(lib.cipher, out + n, &last) == 1 &&
             EVP_CIPHER_CTX_ctrl(lib.cipher, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG_BYTES, tag) == 1;

    return forget_cipher_key() && ok;
}
