#include "token/keyring.h"
#include "token/crypto.h"
#include "token/crypto_private.h"
#include "token/keyring_private.h"
#include <stdlib.h>
#include <string.h>

_Static_assert((int)CRYPTO_IV_BYTES == (int)ENVELOPE_IV_BYTES && (int)CRYPTO_TAG_BYTES == (int)ENVELOPE_TAG_BYTES,
               "one cipher for both");

/* Before any derivation: a mistake in the configuration is told at once. */
static enum err_code check_options(const struct keyring_options *options, struct err *err)
{
    if (options->key_count < 1 || options->key_count > KEYRING_KEYS_MAX)
        return err_set(err, ERR_CONFIG, NULL, "1 to %d encryption keys are needed, not %d", KEYRING_KEYS_MAX,
                       options->key_count);
    if (options->kdf_iterations < 1 || options->kdf_iterations > LIMIT_KDF_ITERATIONS)
        return err_set(err, ERR_CONFIG, NULL, "the iteration count is not from 1 to %d", LIMIT_KDF_ITERATIONS);
    for (int i = 0; i < options->key_count; i++) {
        const struct keyring_key *key = &options->keys[i];

        if (!key->kid || !key->kid[0] || strlen(key->kid) >= RING_KID_BYTES)
            return err_set(err, ERR_CONFIG, NULL, "the id of key %d has not 1 to %d bytes", i + 1, RING_KID_BYTES - 1);
        if (secret_is_empty(key->key)) return err_set(err, ERR_CONFIG, key->kid, "the encryption key is empty");
        for (int j = 0; j < i; j++)
            if (!strcmp(options->keys[j].kid, key->kid))
                return err_set(err, ERR_CONFIG, key->kid, "two encryption keys have this id");
    }
    return ERR_OK;
}

static enum err_code add_key(struct keyring *ring, const struct keyring_key *given, struct err *err)
{
    struct ring_key *key = &ring->keys[ring->key_count++];
    enum err_code rc = secret_put(&key->master, secret_bytes(given->key), given->key->len, err);

    memcpy(key->kid, given->kid, strlen(given->kid) + 1);
    return rc == ERR_OK ? fast_make_kek(ring, key, err) : rc;
}

enum err_code keyring_new(const struct keyring_options *options, struct keyring **ring, struct err *err)
{
    const struct secret *salt = options->global_salt;
    struct keyring *r = NULL;
    enum err_code rc = crypto_init(err);

    *ring = NULL;
    if (rc == ERR_OK) rc = check_options(options, err);
    if (rc != ERR_OK) return rc;
    r = calloc(1, sizeof *r);
    if (!r) return err_set(err, ERR_NOMEM, NULL, "no memory for the key ring");
    r->kdf_iterations = options->kdf_iterations;
    if (!secret_is_empty(salt)) rc = secret_put(&r->global_salt, secret_bytes(salt), salt->len, err);
    for (int i = 0; rc == ERR_OK && i < options->key_count; i++)
        rc = add_key(r, &options->keys[i], err);
    if (rc == ERR_OK) rc = fast_make_print_keys(r, err);
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
    secret_free(&ring->shut_key);
    free(ring);
}

const char *keyring_write_kid(const struct keyring *ring)
{
    return ring->keys[0].kid;
}

const char *keyring_kid(const struct keyring *ring, int index)
{
    return index < ring->key_count ? ring->keys[index].kid : NULL;
}

static enum err_code envelope_key(const struct keyring *ring, const struct ring_key *key, const struct envelope *env,
                                  unsigned char out[CRYPTO_KEY_BYTES], struct err *err)
{
    struct buf salt = {0};
    enum err_code rc;

    buf_put(&salt, env->salt, sizeof env->salt);
    if (!secret_is_empty(&ring->global_salt)) buf_put(&salt, secret_bytes(&ring->global_salt), ring->global_salt.len);
    if (salt.failed)
        rc = err_set(err, ERR_NOMEM, NULL, "no memory for an envelope");
    else
        rc = crypto_pbkdf2(&key->master, (struct crypto_piece){salt.data, salt.len},
                           env->kdf ? env->kdf : ring->kdf_iterations, out, err);
    buf_free(&salt);
    return rc;
}

enum err_code keyring_room_new(const struct envelope *env, struct keyring_room *room, struct err *err)
{
    enum err_code rc;

    keyring_room_free(room);
    if (!env->data || env->data_len == 0 || env->data_len > LIMIT_TOKEN_BYTES)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "the envelope is empty or too long");
    rc = secret_new(&room->key, CRYPTO_KEY_BYTES, err);
    if (rc == ERR_OK) rc = secret_new(&room->token, env->data_len, err);
    if (rc != ERR_OK) keyring_room_free(room);
    return rc;
}

void keyring_room_free(struct keyring_room *room)
{
    secret_free(&room->key);
    secret_free(&room->token);
    room->kid = NULL;
}

enum err_code keyring_open_in(const struct keyring *ring, const struct envelope *env, struct keyring_room *room,
                              struct err *err)
{
    unsigned char *key = secret_room(&room->key);
    const struct crypto_gcm gcm = {key, env->iv, NULL, 0};
    enum err_code rc = ERR_OK;

    room->kid = NULL;
    for (int i = 0; rc == ERR_OK && !room->kid && i < ring->key_count; i++) {
        rc = envelope_key(ring, &ring->keys[i], env, key, err);
        if (rc == ERR_OK && crypto_gcm_open_apart(&gcm, env->data, env->data_len, env->tag, secret_room(&room->token)))
            room->kid = ring->keys[i].kid;
    }
    secret_wipe(key, room->key.len);
    if (rc != ERR_OK || room->kid) return rc;
    return err_set(err, ERR_UNDECRYPTABLE, NULL,
                   "no key opens the envelope: it was sealed under another master key or global salt, or was changed");
}

enum err_code keyring_open(const struct keyring *ring, const struct envelope *env, struct secret *token,
                           const char **kid, struct err *err)
{
    struct keyring_room room = {0};
    enum err_code rc = keyring_room_new(env, &room, err);

    secret_free(token);
    if (rc == ERR_OK) rc = keyring_open_in(ring, env, &room, err);
    if (rc == ERR_OK) secret_move(token, &room.token);
    if (rc == ERR_OK && kid) *kid = room.kid;
    keyring_room_free(&room);
    return rc;
}

enum err_code keyring_seal(const struct keyring *ring, const struct secret *token, struct envelope *env,
                           struct err *err)
{
    unsigned char key[CRYPTO_KEY_BYTES] = {0};
    const struct crypto_gcm gcm = {key, env->iv, NULL, 0};
    enum err_code rc;

    memset(env, 0, sizeof *env);
    if (secret_is_empty(token) || token->len > LIMIT_TOKEN_BYTES)
        return err_set(err, ERR_BAD_INPUT, NULL, "a token has 1 to %d bytes", LIMIT_TOKEN_BYTES);
    env->kdf = ring->kdf_iterations;
    env->data_len = token->len;
    env->data = malloc(token->len);
    rc = env->data ? crypto_random(env->salt, sizeof env->salt, err)
                   : err_set(err, ERR_NOMEM, NULL, "no memory for an envelope");
    if (rc == ERR_OK) rc = crypto_random(env->iv, sizeof env->iv, err);
    if (rc == ERR_OK) rc = envelope_key(ring, &ring->keys[0], env, key, err);
    if (rc == ERR_OK && !crypto_gcm_seal(&gcm, secret_bytes(token), token->len, env->tag, env->data))
        rc = err_set(err, ERR_CRYPTO, NULL, "AES-256-GCM failed");
    secret_wipe(key, sizeof key);
    if (rc != ERR_OK) envelope_fini(env);
    return rc;
}
