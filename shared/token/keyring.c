#include "token/keyring.h"
#include "token/crypto.h"
#include "token/crypto_private.h"
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 32, KEK_ITERATIONS = 600000, FAST_VERSION = 1, FAST_SALT_BYTES = 16, KEYS_MAX = 16 };

struct ring_key {
    char kid[64];
    struct secret master, kek;
};
struct keyring {
    struct ring_key keys[KEYS_MAX];
    int key_count;
    struct secret global_salt, mirror_key;
    int64_t kdf_iterations;
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mirror_mac; /* keyed once; re-started for each use */
    EVP_MAC_CTX *mac;
};

static enum err_code derive(const struct secret *master, const void *salt, size_t salt_len, int64_t iterations,
                            unsigned char key[KEY_BYTES], struct err *err)
{
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(crypto_algorithms()->pbkdf2);
    uint64_t count = (uint64_t)iterations;
    int pkcs5 = 1; /* one iteration is allowed in an application's envelope: no SP 800-132 minimum */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)secret_bytes(master), master->len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_len),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_ITER, &count),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &pkcs5), OSSL_PARAM_construct_end()};
    int ok = ctx && EVP_KDF_derive(ctx, key, KEY_BYTES, params) == 1;

    EVP_KDF_CTX_free(ctx);
    return ok ? ERR_OK : err_set(err, ERR_CRYPTO, NULL, "PBKDF2 failed");
}

/* HMAC-SHA256 over up to three pieces, with a key of its own. */
struct piece {
    const void *data;
    size_t len;
};

static int hmac(EVP_MAC_CTX *mac, const unsigned char *key, size_t key_len, const struct piece *pieces, int count,
                unsigned char out[SHA256_BYTES])
{
    size_t len = 0;

    if (EVP_MAC_init(mac, key, key_len, NULL) != 1) return 0;
    for (int i = 0; i < count; i++)
        if (EVP_MAC_update(mac, pieces[i].data, pieces[i].len) != 1) return 0;
    return EVP_MAC_final(mac, out, &len, SHA256_BYTES) == 1 && len == SHA256_BYTES;
}

/* HKDF-SHA256 (RFC 5869) of one block, through HMAC contexts that are kept: EVP_KDF would fetch and allocate each time. */
static int hkdf(EVP_MAC_CTX *mac, const struct secret *ikm, const void *salt, size_t salt_len, const char *info,
                unsigned char out[KEY_BYTES])
{
    unsigned char prk[SHA256_BYTES], one = 1;
    struct piece extract[] = {{secret_bytes(ikm), ikm->len}}, expand[] = {{info, strlen(info)}, {&one, 1}};
    int ok = hmac(mac, salt, salt_len, extract, 1, prk) && hmac(mac, prk, sizeof prk, expand, 2, out);

    secret_wipe(prk, sizeof prk);
    return ok;
}

static EVP_MAC_CTX *new_mac(void)
{
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(crypto_algorithms()->hmac);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
                           OSSL_PARAM_construct_end()};

    if (mac && EVP_MAC_CTX_set_params(mac, params) == 1) return mac;
    EVP_MAC_CTX_free(mac);
    return NULL;
}

static enum err_code add_key(struct keyring *ring, const struct keyring_key *given, struct err *err)
{
    struct ring_key *key = &ring->keys[ring->key_count];
    unsigned char kek[KEY_BYTES];
    struct buf salt = {0};
    enum err_code rc;

    if (secret_is_empty(given->key)) return err_set(err, ERR_CONFIG, given->kid, "the key is empty");
    if (!given->kid[0] || strlen(given->kid) >= sizeof key->kid)
        return err_set(err, ERR_CONFIG, given->kid, "a key id has 1 to 63 bytes");
    for (int i = 0; i < ring->key_count; i++)
        if (!strcmp(ring->keys[i].kid, given->kid)) return err_set(err, ERR_CONFIG, given->kid, "two keys have this id");
    strcpy(key->kid, given->kid);
    ring->key_count++;
    rc = secret_put(&key->master, secret_bytes(given->key), given->key->len, err);
    buf_puts(&salt, "token-health key-encryption key v1:");
    if (!secret_is_empty(&ring->global_salt)) buf_put(&salt, secret_bytes(&ring->global_salt), ring->global_salt.len);
    if (rc == ERR_OK && salt.failed) rc = err_set(err, ERR_NOMEM, NULL, "no memory for the key ring");
    if (rc == ERR_OK) rc = derive(&key->master, salt.data, salt.len, KEK_ITERATIONS, kek, err);
    if (rc == ERR_OK) rc = secret_put(&key->kek, kek, sizeof kek, err);
    secret_wipe(kek, sizeof kek);
    buf_free(&salt);
    return rc;
}

static enum err_code prepare(struct keyring *ring, struct err *err)
{
    unsigned char key[KEY_BYTES];
    enum err_code rc;

    ring->cipher = EVP_CIPHER_CTX_new();
    ring->mac = new_mac();
    ring->mirror_mac = new_mac();
    if (!ring->cipher || !ring->mac || !ring->mirror_mac ||
        !hkdf(ring->mac, &ring->keys[0].kek, "mirror", 6, "token-health mirror v1", key))
        return err_set(err, ERR_CRYPTO, NULL, "the key ring cannot be prepared");
    rc = secret_put(&ring->mirror_key, key, sizeof key, err);
    if (rc == ERR_OK && EVP_MAC_init(ring->mirror_mac, key, sizeof key, NULL) != 1)
        rc = err_set(err, ERR_CRYPTO, NULL, "the key ring cannot be prepared");
    secret_wipe(key, sizeof key);
    return rc;
}

enum err_code keyring_new(const struct keyring_options *options, struct keyring **ring, struct err *err)
{
    struct keyring *r = NULL;
    enum err_code rc = crypto_init(err);

    *ring = NULL;
    if (rc != ERR_OK) return rc;
    if (options->key_count < 1 || options->key_count > KEYS_MAX)
        return err_set(err, ERR_CONFIG, NULL, "1 to %d keys are needed", KEYS_MAX);
    r = calloc(1, sizeof *r);
    if (!r) return err_set(err, ERR_NOMEM, NULL, "no memory for the key ring");
    r->kdf_iterations = options->kdf_iterations;
    if (options->global_salt && !secret_is_empty(options->global_salt))
        rc = secret_put(&r->global_salt, secret_bytes(options->global_salt), options->global_salt->len, err);
    for (int i = 0; rc == ERR_OK && i < options->key_count; i++)
        rc = add_key(r, &options->keys[i], err);
    if (rc == ERR_OK) rc = prepare(r, err);
    if (rc == ERR_OK)
        *ring = r;
    else
        keyring_free(r);
    return rc;
}

void keyring_free(struct keyring *ring)
{
    if (!ring) return;
    for (int i = 0; i < ring->key_count; i++) {
        secret_free(&ring->keys[i].master);
        secret_free(&ring->keys[i].kek);
    }
    secret_free(&ring->global_salt);
    secret_free(&ring->mirror_key);
    EVP_CIPHER_CTX_free(ring->cipher);
    EVP_MAC_CTX_free(ring->mac);
    EVP_MAC_CTX_free(ring->mirror_mac);
    free(ring);
}

const char *keyring_write_kid(const struct keyring *ring)
{
    return ring->keys[0].kid;
}

/* ---- AES-256-GCM ---- */

struct gcm {
    const unsigned char *key, *iv;
    const void *aad;
    size_t aad_len;
};

static int gcm_open(EVP_CIPHER_CTX *ctx, const struct gcm *g, const unsigned char *data, size_t len,
                    const unsigned char *tag, unsigned char *out)
{
    int n = 0, last = 0;

    return EVP_DecryptInit_ex2(ctx, crypto_algorithms()->gcm, g->key, g->iv, NULL) == 1 &&
           (g->aad_len == 0 || EVP_DecryptUpdate(ctx, NULL, &n, g->aad, (int)g->aad_len) == 1) &&
           EVP_DecryptUpdate(ctx, out, &n, data, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, ENVELOPE_TAG_BYTES, (void *)(uintptr_t)tag) == 1 &&
           EVP_DecryptFinal_ex(ctx, out + n, &last) == 1;
}

static int gcm_seal(EVP_CIPHER_CTX *ctx, const struct gcm *g, const unsigned char *data, size_t len, unsigned char *tag,
                    unsigned char *out)
{
    int n = 0, last = 0;

    return EVP_EncryptInit_ex2(ctx, crypto_algorithms()->gcm, g->key, g->iv, NULL) == 1 &&
           (g->aad_len == 0 || EVP_EncryptUpdate(ctx, NULL, &n, g->aad, (int)g->aad_len) == 1) &&
           EVP_EncryptUpdate(ctx, out, &n, data, (int)len) == 1 && EVP_EncryptFinal_ex(ctx, out + n, &last) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, ENVELOPE_TAG_BYTES, tag) == 1;
}

/* ---- the application's envelope ---- */

static enum err_code envelope_key(const struct keyring *ring, const struct ring_key *key, const struct envelope *env,
                                  unsigned char out[KEY_BYTES], struct err *err)
{
    struct buf salt = {0};
    enum err_code rc;

    buf_put(&salt, env->salt, sizeof env->salt);
    if (!secret_is_empty(&ring->global_salt)) buf_put(&salt, secret_bytes(&ring->global_salt), ring->global_salt.len);
    rc = salt.failed ? err_set(err, ERR_NOMEM, NULL, "no memory for an envelope")
                     : derive(&key->master, salt.data, salt.len, env->kdf ? env->kdf : ring->kdf_iterations, out, err);
    buf_free(&salt);
    return rc;
}

enum err_code keyring_open(const struct keyring *ring, const struct envelope *env, struct secret *token, const char **kid,
                           struct err *err)
{
    unsigned char key[KEY_BYTES];
    struct gcm gcm = {key, env->iv, NULL, 0};
    enum err_code rc = secret_new(token, env->data_len, err);
    int opened = 0;

    for (int i = 0; rc == ERR_OK && !opened && i < ring->key_count; i++) {
        rc = envelope_key(ring, &ring->keys[i], env, key, err);
        opened = rc == ERR_OK && gcm_open(ring->cipher, &gcm, env->data, env->data_len, env->tag, secret_room(token));
        if (opened) *kid = ring->keys[i].kid;
    }
    secret_wipe(key, sizeof key);
    EVP_CIPHER_CTX_reset(ring->cipher);
    if (rc == ERR_OK && !opened)
        rc = err_set(err, ERR_UNDECRYPTABLE, NULL, "no key opens the envelope: another master key or global salt, or it was changed");
    if (rc != ERR_OK) secret_free(token);
    return rc;
}

enum err_code keyring_seal(const struct keyring *ring, const struct secret *token, struct envelope *env, struct err *err)
{
    unsigned char key[KEY_BYTES];
    struct gcm gcm = {key, env->iv, NULL, 0};
    enum err_code rc;

    memset(env, 0, sizeof *env);
    if (secret_is_empty(token) || token->len > LIMIT_TOKEN_BYTES)
        return err_set(err, ERR_BAD_INPUT, NULL, "a token has 1 to %d bytes", LIMIT_TOKEN_BYTES);
    env->kdf = ring->kdf_iterations;
    env->data_len = token->len;
    env->data = malloc(token->len);
    rc = env->data ? crypto_random(env->salt, sizeof env->salt, err) : err_set(err, ERR_NOMEM, NULL, "no memory for an envelope");
    if (rc == ERR_OK) rc = crypto_random(env->iv, sizeof env->iv, err);
    if (rc == ERR_OK) rc = envelope_key(ring, &ring->keys[0], env, key, err);
    if (rc == ERR_OK && !gcm_seal(ring->cipher, &gcm, secret_bytes(token), token->len, env->tag, env->data))
        rc = err_set(err, ERR_CRYPTO, NULL, "AES-256-GCM failed");
    secret_wipe(key, sizeof key);
    EVP_CIPHER_CTX_reset(ring->cipher);
    if (rc != ERR_OK) envelope_fini(env);
    return rc;
}

/* ---- fast envelopes ---- */

static void mirror(const struct keyring *ring, const struct piece *pieces, int count, unsigned char out[32])
{
    size_t len = 0;
    int ok = EVP_MAC_init(ring->mirror_mac, NULL, 0, NULL) == 1; /* NULL: start again with the same key */

    for (int i = 0; i < count; i++)
        ok = ok && EVP_MAC_update(ring->mirror_mac, pieces[i].data, pieces[i].len) == 1;
    if (!ok || EVP_MAC_final(ring->mirror_mac, out, &len, 32) != 1) memset(out, 0, 32);
}

void keyring_mirror(const struct keyring *ring, const struct envelope *env, unsigned char out[32])
{
    struct piece pieces[] = {{"e", 1},
                             {&env->kdf, sizeof env->kdf},
                             {env->iv, sizeof env->iv},
                             {env->salt, sizeof env->salt},
                             {env->tag, sizeof env->tag},
                             {env->data, env->data_len}};

    mirror(ring, pieces, 6, out);
}

void keyring_print(const struct keyring *ring, const struct secret *token, unsigned char out[32])
{
    struct piece pieces[] = {{"p", 1}, {secret_bytes(token), token->len}};

    mirror(ring, pieces, 2, out);
}

/* Lengths in front, so that no two bindings give the same bytes. */
static size_t bind(const struct fast_binding *b, unsigned char *out, size_t size)
{
    const char *parts[] = {b->account_id, b->platform, b->field};
    size_t at = 0;

    for (int i = 0; i < 3; i++) {
        size_t len = strlen(parts[i]);

        if (at + 2 + len > size) return 0;
        out[at++] = (unsigned char)(len >> 8);
        out[at++] = (unsigned char)len;
        memcpy(out + at, parts[i], len);
        at += len;
    }
    return at;
}

static int fixed_part(const struct json *fast, const char *name, unsigned char *out, size_t size)
{
    const struct json *part = json_member(fast, name);
    unsigned char decoded[64];
    size_t len = 0;

    if (!json_string(part) || !b64_decode(json_string(part), json_string_len(part), decoded, sizeof decoded, &len)) return 0;
    if (len != size) return 0;
    memcpy(out, decoded, size);
    return 1;
}

static const struct ring_key *find_kid(const struct keyring *ring, const char *kid)
{
    for (int i = 0; kid && i < ring->key_count; i++)
        if (!strcmp(ring->keys[i].kid, kid)) return &ring->keys[i];
    return NULL;
}

static const char record_info[] = "token-health record v1";

enum err_code keyring_fast_open(const struct keyring *ring, const struct json *fast, const struct fast_binding *binding,
                                const unsigned char of[32], struct secret *token, struct err *err)
{
    unsigned char salt[FAST_SALT_BYTES], iv[ENVELOPE_IV_BYTES], tag[ENVELOPE_TAG_BYTES], mirrored[32], key[KEY_BYTES];
    unsigned char aad[LIMIT_ID_BYTES + LIMIT_PLATFORM_BYTES + 64], data[LIMIT_TOKEN_BYTES];
    const struct json *text = json_member(fast, "data");
    const struct ring_key *ring_key = find_kid(ring, json_string(json_member(fast, "kid")));
    struct gcm gcm = {key, iv, aad, bind(binding, aad, sizeof aad)};
    size_t len = 0;
    int64_t v = 0;
    enum err_code rc;

    if (!json_int(json_member(fast, "v"), &v) || v != FAST_VERSION || !ring_key || !fixed_part(fast, "of", mirrored, 32) ||
        !crypto_equal(mirrored, of, 32))
        return err_set(err, ERR_NOT_FOUND, NULL, "no fast envelope of this token");
    if (!fixed_part(fast, "salt", salt, sizeof salt) || !fixed_part(fast, "iv", iv, sizeof iv) ||
        !fixed_part(fast, "tag", tag, sizeof tag) || !json_string(text) || gcm.aad_len == 0 ||
        !b64_decode(json_string(text), json_string_len(text), data, sizeof data, &len) || len == 0)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "the fast envelope is damaged");
    rc = secret_new(token, len, err);
    if (rc == ERR_OK && (!hkdf(ring->mac, &ring_key->kek, salt, sizeof salt, record_info, key) ||
                         !gcm_open(ring->cipher, &gcm, data, len, tag, secret_room(token))))
        rc = err_set(err, ERR_UNDECRYPTABLE, NULL, "the fast envelope does not open: it belongs to another account or is damaged");
    secret_wipe(key, sizeof key);
    if (rc != ERR_OK) secret_free(token);
    return rc;
}

static void set_b64(struct json *object, const char *name, const void *data, size_t len)
{
    struct buf text = {0};

    b64_encode(data, len, &text);
    json_set(object, name, json_new_string(buf_text(&text)));
    buf_free(&text);
}

enum err_code keyring_fast_seal(const struct keyring *ring, const struct secret *token, const struct fast_binding *binding,
                                const unsigned char of[32], struct json **fast, struct err *err)
{
    unsigned char salt[FAST_SALT_BYTES], iv[ENVELOPE_IV_BYTES], tag[ENVELOPE_TAG_BYTES], key[KEY_BYTES];
    unsigned char aad[LIMIT_ID_BYTES + LIMIT_PLATFORM_BYTES + 64], data[LIMIT_TOKEN_BYTES];
    struct gcm gcm = {key, iv, aad, bind(binding, aad, sizeof aad)};
    enum err_code rc = crypto_random(salt, sizeof salt, err);

    *fast = NULL;
    if (rc == ERR_OK) rc = crypto_random(iv, sizeof iv, err);
    if (rc != ERR_OK) return rc;
    if (gcm.aad_len == 0 || secret_is_empty(token) || token->len > sizeof data)
        return err_set(err, ERR_BAD_INPUT, NULL, "a token of 1 to %d bytes is expected", LIMIT_TOKEN_BYTES);
    if (!hkdf(ring->mac, &ring->keys[0].kek, salt, sizeof salt, record_info, key) ||
        !gcm_seal(ring->cipher, &gcm, secret_bytes(token), token->len, tag, data))
        rc = err_set(err, ERR_CRYPTO, NULL, "AES-256-GCM failed");
    secret_wipe(key, sizeof key);
    if (rc != ERR_OK) return rc;
    *fast = json_object_new();
    json_set(*fast, "v", json_new_int(FAST_VERSION));
    json_set(*fast, "kid", json_new_string(ring->keys[0].kid));
    set_b64(*fast, "salt", salt, sizeof salt);
    set_b64(*fast, "iv", iv, sizeof iv);
    set_b64(*fast, "tag", tag, sizeof tag);
    set_b64(*fast, "data", data, token->len);
    set_b64(*fast, "of", of, 32);
    return ERR_OK;
}
