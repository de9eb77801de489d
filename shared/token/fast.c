#include "token/crypto.h"
#include "token/crypto_private.h"
#include "token/keyring.h"
#include "token/keyring_private.h"
#include "token/part.h"
#include <string.h>

enum { KEK_ITERATIONS = 600000, VERSION = 1, SALT_BYTES = 16, AAD_BYTES = LIMIT_ID_BYTES + LIMIT_PLATFORM_BYTES + 64 };

/* Labels keep the keys apart that come of one secret; a change of any makes all fast envelopes be rebuilt. */
static const char kek_salt[] = "token-health key-encryption key v1:";
static const char mirror_salt[] = "mirror";
static const char mirror_info[] = "token-health mirror v1";
static const char shut_info[] = "token-health shut v1";
static const char record_info[] = "token-health record v1";
static const unsigned char no_mirror[SHA256_BYTES];

enum err_code fast_make_kek(const struct keyring *ring, struct ring_key *key, struct err *err)
{
    unsigned char kek[CRYPTO_KEY_BYTES] = {0};
    struct buf salt = {0};
    enum err_code rc = ERR_OK;

    buf_puts(&salt, kek_salt);
    if (!secret_is_empty(&ring->global_salt)) buf_put(&salt, secret_bytes(&ring->global_salt), ring->global_salt.len);
    if (salt.failed) rc = err_set(err, ERR_NOMEM, NULL, "no memory for the key ring");
    if (rc == ERR_OK)
        rc = crypto_pbkdf2(&key->master, (struct crypto_piece){salt.data, salt.len}, KEK_ITERATIONS, kek, err);
    if (rc == ERR_OK) rc = secret_put(&key->kek, kek, sizeof kek, err);
    secret_wipe(kek, sizeof kek);
    buf_free(&salt);
    return rc;
}

static enum err_code make_key(const struct secret *from, const char *info, struct secret *out, struct err *err)
{
    const struct crypto_piece salt = {mirror_salt, strlen(mirror_salt)};
    unsigned char key[CRYPTO_KEY_BYTES] = {0};
    enum err_code rc;

    if (crypto_hkdf(from, salt, info, key))
        rc = secret_put(out, key, sizeof key, err);
    else
        rc = err_set(err, ERR_CRYPTO, NULL, "HKDF failed");
    secret_wipe(key, sizeof key);
    return rc;
}

enum err_code fast_make_print_keys(struct keyring *ring, struct err *err)
{
    struct secret all = {0};
    enum err_code rc = secret_new(&all, (size_t)ring->key_count * CRYPTO_KEY_BYTES, err);

    for (int i = 0; rc == ERR_OK && i < ring->key_count; i++)
        memcpy(secret_room(&all) + (size_t)i * CRYPTO_KEY_BYTES, secret_bytes(&ring->keys[i].kek), CRYPTO_KEY_BYTES);
    if (rc == ERR_OK) rc = make_key(&all, shut_info, &ring->shut_key, err);
    if (rc == ERR_OK) rc = make_key(&ring->keys[0].kek, mirror_info, &ring->mirror_key, err);
    secret_free(&all);
    return rc;
}

/* A mirror that could not be made is all zeros, which no fast envelope is opened or sealed for. */
static void mirror(const struct keyring *ring, const struct crypto_piece *pieces, int count, unsigned char out[32])
{
    if (!crypto_hmac(&ring->mirror_key, pieces, count, out)) memset(out, 0, 32);
}

/* The same bytes on every host that shares the store. */
static void put_number(int64_t n, unsigned char out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
}

void keyring_mirror(const struct keyring *ring, const struct envelope *env, unsigned char out[32])
{
    unsigned char kdf[8];
    const struct crypto_piece pieces[] = {{"e", 1},
                                          {kdf, sizeof kdf},
                                          {env->iv, sizeof env->iv},
                                          {env->salt, sizeof env->salt},
                                          {env->tag, sizeof env->tag},
                                          {env->data, env->data_len}};

    put_number(env->kdf, kdf);
    mirror(ring, pieces, 6, out);
}

/* Over the mirror, which is about the same envelope. The count of the ring matters where the envelope has none. */
void keyring_shut_print(const struct keyring *ring, const struct envelope *env, int64_t epoch, unsigned char out[32])
{
    unsigned char of[SHA256_BYTES], kdf[8], at[8];
    const struct crypto_piece pieces[] = {{of, sizeof of}, {kdf, sizeof kdf}, {at, sizeof at}};

    keyring_mirror(ring, env, of);
    put_number(ring->kdf_iterations, kdf);
    put_number(epoch, at);
    if (!crypto_hmac(&ring->shut_key, pieces, 3, out)) crypto_random(out, SHA256_BYTES, NULL); /* fits nothing */
}

void keyring_print(const struct keyring *ring, const struct secret *token, unsigned char out[32])
{
    const struct crypto_piece pieces[] = {{"p", 1}, {secret_bytes(token), token->len}};

    mirror(ring, pieces, 2, out);
}

/* Each part with its length in front: no two bindings give the same bytes. 0 if one is missing or they do not fit. */
static size_t bind_to(const struct fast_binding *b, unsigned char aad[AAD_BYTES])
{
    const char *parts[] = {b->account_id, b->platform, b->field};
    size_t at = 0;

    for (int i = 0; i < 3; i++) {
        size_t len;

        if (!parts[i]) return 0;
        len = strlen(parts[i]);
        if (at + 2 + len > AAD_BYTES) return 0;
        aad[at++] = (unsigned char)(len >> 8U);
        aad[at++] = (unsigned char)len;
        memcpy(aad + at, parts[i], len);
        at += len;
    }
    return at;
}

static const struct ring_key *find_key(const struct keyring *ring, const char *kid)
{
    for (int i = 0; kid && i < ring->key_count; i++)
        if (!strcmp(ring->keys[i].kid, kid)) return &ring->keys[i];
    return NULL;
}

/* A fast envelope, decoded. */
struct record {
    unsigned char salt[SALT_BYTES], iv[CRYPTO_IV_BYTES], tag[CRYPTO_TAG_BYTES];
    unsigned char aad[AAD_BYTES], data[LIMIT_TOKEN_BYTES];
    size_t aad_len, data_len;
};

static int record_key(const struct ring_key *ring_key, const struct record *r, unsigned char key[CRYPTO_KEY_BYTES])
{
    return crypto_hkdf(&ring_key->kek, (struct crypto_piece){r->salt, sizeof r->salt}, record_info, key);
}

static int is_of(const struct json *fast, const unsigned char of[32])
{
    unsigned char mirrored[32];

    return part_get_exact(fast, "of", mirrored, sizeof mirrored, NULL) == ERR_OK && crypto_equal(mirrored, of, 32) &&
           !crypto_equal(of, no_mirror, 32);
}

static enum err_code read_record(const struct json *fast, const struct fast_binding *binding, struct record *r,
                                 struct err *err)
{
    enum err_code rc = part_get_exact(fast, "salt", r->salt, sizeof r->salt, err);

    if (rc == ERR_OK) rc = part_get_exact(fast, "iv", r->iv, sizeof r->iv, err);
    if (rc == ERR_OK) rc = part_get_exact(fast, "tag", r->tag, sizeof r->tag, err);
    if (rc == ERR_OK) rc = part_get(fast, "data", r->data, sizeof r->data, &r->data_len, err);
    if (rc == ERR_OK && r->data_len == 0) rc = err_set(err, ERR_UNDECRYPTABLE, NULL, "data is empty");
    r->aad_len = bind_to(binding, r->aad);
    if (rc == ERR_OK && r->aad_len == 0) rc = err_set(err, ERR_UNDECRYPTABLE, NULL, "the account's names are too long");
    return rc;
}

static enum err_code open_record(const struct ring_key *ring_key, const struct record *r, struct secret *token,
                                 struct err *err)
{
    unsigned char key[CRYPTO_KEY_BYTES] = {0};
    const struct crypto_gcm gcm = {key, r->iv, r->aad, r->aad_len};
    enum err_code rc = secret_new(token, r->data_len, err);

    if (rc == ERR_OK && !record_key(ring_key, r, key)) rc = err_set(err, ERR_CRYPTO, NULL, "HKDF failed");
    if (rc == ERR_OK && !crypto_gcm_open(&gcm, r->data, r->data_len, r->tag, secret_room(token)))
        rc = err_set(err, ERR_UNDECRYPTABLE, NULL, "the fast envelope belongs to another account or was changed");
    secret_wipe(key, sizeof key);
    if (rc != ERR_OK) secret_free(token);
    return rc;
}

enum err_code keyring_fast_open(const struct keyring *ring, const struct json *fast, const struct fast_binding *binding,
                                const unsigned char of[32], struct secret *token, struct err *err)
{
    const struct ring_key *ring_key = find_key(ring, json_string(json_member(fast, "kid")));
    struct record r;
    int64_t version = 0;
    enum err_code rc;

    secret_free(token);
    if (json_type(fast) != JSON_OBJECT) return err_set(err, ERR_NOT_FOUND, NULL, "there is no fast envelope");
    if (!json_int(json_member(fast, "v"), &version) || version != VERSION)
        return err_set(err, ERR_NOT_FOUND, NULL, "the fast envelope is of another version");
    if (!ring_key) return err_set(err, ERR_NOT_FOUND, NULL, "the fast envelope's key is not in the ring");
    if (!is_of(fast, of)) return err_set(err, ERR_NOT_FOUND, NULL, "the fast envelope mirrors another envelope");
    rc = read_record(fast, binding, &r, err);
    return rc == ERR_OK ? open_record(ring_key, &r, token, err) : rc;
}

static struct json *print_record(const struct record *r, const char *kid, const unsigned char of[32])
{
    struct json *fast = json_object_new();
    int ok = part_put_value(fast, "v", json_new_int(VERSION)) && part_put_value(fast, "kid", json_new_string(kid)) &&
             part_put(fast, "salt", r->salt, sizeof r->salt) && part_put(fast, "iv", r->iv, sizeof r->iv) &&
             part_put(fast, "tag", r->tag, sizeof r->tag) && part_put(fast, "data", r->data, r->data_len) &&
             part_put(fast, "of", of, 32);

    if (ok) return fast;
    json_free(fast);
    return NULL;
}

enum err_code keyring_fast_seal(const struct keyring *ring, const struct secret *token,
                                const struct fast_binding *binding, const unsigned char of[32], struct json **fast,
                                struct err *err)
{
    unsigned char key[CRYPTO_KEY_BYTES] = {0};
    struct record r;
    const struct crypto_gcm gcm = {key, r.iv, r.aad, bind_to(binding, r.aad)};
    enum err_code rc;

    *fast = NULL;
    if (secret_is_empty(token) || token->len > sizeof r.data)
        return err_set(err, ERR_BAD_INPUT, NULL, "a token has 1 to %d bytes", LIMIT_TOKEN_BYTES);
    if (gcm.aad_len == 0) return err_set(err, ERR_BAD_INPUT, NULL, "the account's names are too long");
    if (crypto_equal(of, no_mirror, 32)) return err_set(err, ERR_CRYPTO, NULL, "there is no mirror to seal for");
    r.data_len = token->len;
    rc = crypto_random(r.salt, sizeof r.salt, err);
    if (rc == ERR_OK) rc = crypto_random(r.iv, sizeof r.iv, err);
    if (rc == ERR_OK && (!record_key(&ring->keys[0], &r, key) ||
                         !crypto_gcm_seal(&gcm, secret_bytes(token), token->len, r.tag, r.data)))
        rc = err_set(err, ERR_CRYPTO, NULL, "HKDF or AES-256-GCM failed");
    secret_wipe(key, sizeof key);
    if (rc != ERR_OK) return rc;
    *fast = print_record(&r, ring->keys[0].kid, of);
    return *fast ? ERR_OK : err_set(err, ERR_NOMEM, NULL, "no memory for a fast envelope");
}
