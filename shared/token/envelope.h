/* The application's token envelope (DESIGN 3): AES-256-GCM under PBKDF2-HMAC-SHA256(master key text,
 * salt ‖ global salt text, kdf, 32). Reads every form the application writes; writes the one all its versions read. */
#ifndef TH_ENVELOPE_H
#define TH_ENVELOPE_H
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"

enum { ENVELOPE_IV_BYTES = 12, ENVELOPE_SALT_BYTES = 32, ENVELOPE_TAG_BYTES = 16 };

/** An envelope, decoded. data is heap memory (ciphertext: no secret), freed by envelope_fini. */
struct envelope {
    unsigned char iv[ENVELOPE_IV_BYTES];
    unsigned char salt[ENVELOPE_SALT_BYTES];
    unsigned char tag[ENVELOPE_TAG_BYTES];
    int64_t kdf; /* 0: the document does not say, the configured default counts */
    unsigned char *data;
    size_t data_len;
};

/** envelope_parse(value, &env, err): ${value} is a JSON object, or a JSON string that holds the object's text,
 *  with or without the prefix "aes-256-gcm:". Fails: ERR_UNDECRYPTABLE with the reason ("iv is 11 bytes, not 12").
 *  Never costs a key derivation. env must be freed with envelope_fini whatever comes back. */
enum err_code envelope_parse(const struct json *value, struct envelope *env, struct err *err);
/** envelope_parse_text(text, len, …): the same for the text itself (CLI, files). */
enum err_code envelope_parse_text(const char *text, size_t len, struct envelope *env, struct err *err);
/** envelope_looks_like(text): 1 if a string found in a plain-token field is an envelope (parses as one), so
 *  that it is never taken for a token and never sent to a provider. Also 1 for JSON objects with an "encryptedData"
 * member that are damaged: a damaged envelope is not a token either. */
int envelope_looks_like(const char *text, size_t len);
/** envelope_print(env): as the application writes it, a JSON object (caller owns): encryptedData, iv, salt, tag, kdf.
 */
struct json *envelope_to_json(const struct envelope *env);
/** envelope_in_place_of(env, old): ${env} in the form of ${old}, a value that parses as an envelope: object or text, with the prefix
 *  and the further members that it has. Owns: caller; NULL: no memory. */
struct json *envelope_in_place_of(const struct envelope *env, const struct json *old);
void envelope_fini(struct envelope *env);

#endif
