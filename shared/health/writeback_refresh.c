/* The refresh token is never shown to a provider here, so nothing tells which of two is the good one: only what is certain
 * is done. Whether its fast envelope is worth a key derivation: where the login refreshes with it, and another derivation is
 * being paid anyway; a refresh then starts in microseconds and tells at once that the token opens. */
#include "health/writeback.h"
#include "token/crypto.h"
#include <string.h>

static const int token_faults = FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST;
static const char fast_path[] = "tokenHealth.fast.refresh";

/** A refresh token in the form that can be stored. */
struct refresh_token {
    struct envelope env;
    struct secret token;
};

static void refresh_token_fini(struct refresh_token *t)
{
    secret_free(&t->token);
    envelope_fini(&t->env);
}

static int open_fast(const struct writeback *w, struct refresh_token *t)
{
    struct fast_binding binding = {w->account->id.text, w->account->platform, "refresh"};
    const struct json *fast = json_get(w->account->health, "fast.refresh");
    unsigned char mirror[SHA256_BYTES];

    if (!fast) return 0;
    keyring_mirror(w->ring, &t->env, mirror);
    return keyring_fast_open(w->ring, fast, &binding, mirror, &t->token, NULL) == ERR_OK;
}

static int open_slow(const struct writeback *w, struct refresh_token *t, struct writeback_effect *effect)
{
    struct shut shut;
    int is_open = shut_open(w->account, w->ring, &t->env, &t->token, &shut) == ERR_OK;

    shut_note(&effect->shut, shut.print);
    return is_open;
}

/* Opens encryptedRefreshToken; 0 if it does not. What was opened the slow way gets its fast envelope. */
static int open_encrypted(const struct writeback *w, struct refresh_token *t, struct patch *patch,
                          struct writeback_effect *effect)
{
    if (!w->account->encrypted_refresh || envelope_parse(w->account->encrypted_refresh, &t->env, NULL) != ERR_OK)
        return 0;
    if (open_fast(w, t)) return 1;
    if (!open_slow(w, t, effect)) return 0;
    patch_guard(patch, "encryptedRefreshToken", w->account->encrypted_refresh);
    writeback_fast(w, "refresh", fast_path, &t->env, &t->token, patch, NULL);
    return 1;
}

static int has_encrypted(const struct writeback *w)
{
    return w->account->encrypted_refresh && !value_is_blank(w->account->encrypted_refresh);
}

/* Moves what refreshToken holds into encryptedRefreshToken, where nothing is. */
static enum err_code move(const struct writeback *w, struct patch *patch, struct writeback_effect *effect, int *done,
                          struct err *err)
{
    const struct json *value = w->account->plain_refresh;
    const char *text = json_string(value);
    size_t len = json_string_len(value);
    struct refresh_token t = {0};
    enum err_code rc = ERR_OK;
    int have;

    if (value_is_envelope(value)) {
        have = envelope_parse(value, &t.env, NULL) == ERR_OK && open_slow(w, &t, effect);
    } else {
        have = w->may_seal && text && token_is_sendable((const unsigned char *)text, len);
        if (have) rc = secret_put(&t.token, text, len, err);
        if (have && rc == ERR_OK) rc = keyring_seal(w->ring, &t.token, &t.env, err);
    }
    if (have && rc == ERR_OK) rc = writeback_fast(w, "refresh", fast_path, &t.env, &t.token, patch, err);
    if (have && rc == ERR_OK) {
        patch_set(patch, "encryptedRefreshToken", envelope_to_json(&t.env));
        *done = 1;
    }
    refresh_token_fini(&t);
    return rc;
}

/* Is what refreshToken holds also in encryptedRefreshToken? A derivation for each of two envelopes is only paid when the account
 * is new to us, or else it would be paid at every look. */
static int is_copy(const struct writeback *w, struct patch *patch, struct writeback_effect *effect)
{
    const struct json *value = w->account->plain_refresh;
    struct refresh_token stored = {0}, other = {0};
    int same = 0;

    if (!value_is_envelope(value)) {
        same = secret_put(&other.token, json_string(value), json_string_len(value), NULL) == ERR_OK &&
               open_encrypted(w, &stored, patch, effect) && secret_equal(&stored.token, &other.token);
    } else if (envelope_parse(value, &other.env, NULL) == ERR_OK &&
               envelope_parse(w->account->encrypted_refresh, &stored.env, NULL) == ERR_OK) {
        char a[PRINT_BYTES], b[PRINT_BYTES];

        envelope_fingerprint(&other.env, a);
        envelope_fingerprint(&stored.env, b);
        same = !strcmp(a, b);
        envelope_fini(&stored.env);
        if (!same && w->intake->was_slow)
            same = open_encrypted(w, &stored, patch, effect) && open_slow(w, &other, effect) &&
                   secret_equal(&stored.token, &other.token);
    }
    refresh_token_fini(&stored);
    refresh_token_fini(&other);
    return same;
}

/* No fault: only the fast envelope, where it is wanted and comes cheap. */
static void put_fast(const struct writeback *w, struct patch *patch, struct writeback_effect *effect)
{
    struct refresh_token t = {0};

    if (w->uses_refresh && (w->intake->was_slow || (w->refresh && w->refresh->was_slow)))
        open_encrypted(w, &t, patch, effect);
    refresh_token_fini(&t);
}

enum err_code writeback_refresh_token(const struct writeback *w, struct patch *patch, struct writeback_effect *effect,
                                      struct err *err)
{
    const struct json *plain = w->account->plain_refresh;
    int done = 0;
    enum err_code rc = ERR_OK;

    if (!plain || value_is_blank(plain) || !w->fix)
        put_fast(w, patch, effect);
    else if (has_encrypted(w))
        done = is_copy(w, patch, effect);
    else
        rc = move(w, patch, effect, &done, err);
    if (!done || rc != ERR_OK) return rc;
    patch_guard(patch, "encryptedRefreshToken", json_member(w->account->doc, "encryptedRefreshToken"));
    patch_guard(patch, "refreshToken", plain);
    patch_unset(patch, "refreshToken");
    effect->fixed |= w->intake->faults & token_faults;
    return ERR_OK;
}
