/* The inside of a key ring, shared by keyring.c (ring, the application's envelopes) and fast.c (fast envelopes). */
#ifndef TH_KEYRING_PRIVATE_H
#define TH_KEYRING_PRIVATE_H
#include "token/keyring.h"

enum { RING_KID_BYTES = 64 };

struct ring_key {
    char kid[RING_KID_BYTES];
    struct secret master; /* as the configuration has it */
    struct secret kek;    /* made of it once, for fast envelopes */
};
struct keyring {
    struct ring_key keys[KEYRING_KEYS_MAX]; /* [0] is the write key */
    int key_count;
    struct secret global_salt, mirror_key, shut_key;
    int64_t kdf_iterations;
};

/** fast_make_kek(ring, key, err): key->kek from key->master. Blocks: 0.13 s. Fails: ERR_CRYPTO, ERR_NOMEM. */
enum err_code fast_make_kek(const struct keyring *ring, struct ring_key *key, struct err *err);
/** fast_make_print_keys(ring, err): ring->mirror_key from the write key's kek, ring->shut_key from all of them. */
enum err_code fast_make_print_keys(struct keyring *ring, struct err *err);

#endif
