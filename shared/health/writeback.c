#include "health/writeback.h"
#include "token/crypto.h"
#include <string.h>

static void guard_forms(const struct account *a, struct patch *patch)
{
    const struct json *active = json_member(a->doc, "isActive");

    patch_guard(patch, "encryptedAccessToken", a->encrypted_access);
    patch_guard(patch, "accessToken", json_member(a->doc, "accessToken"));
    patch_guard(patch, "isActive", active);
}

/* Stores ${env} as the account's access token, with its fast envelope, in place of whatever was there. */
static enum err_code store_access(const struct writeback *w, const struct envelope *env, const struct secret *token,
                                  struct patch *patch, char print[PRINT_BYTES], struct err *err)
{
    struct fast_binding binding = {w->account->id.text, w->account->platform, "access"};
    struct json *fast = NULL;
    unsigned char mirror[32];
    enum err_code rc;

    keyring_mirror(w->ring, env, mirror);
    rc = keyring_fast_seal(w->ring, token, &binding, mirror, &fast, err);
    if (rc != ERR_OK) return rc;
    patch_set(patch, "encryptedAccessToken", envelope_to_json(env));
    patch_set(patch, "tokenHealth.fast.access", fast);
    if (json_member(w->account->doc, "accessToken")) patch_unset(patch, "accessToken");
    envelope_fingerprint(env, print);
    return ERR_OK;
}

static enum err_code seal_and_store(const struct writeback *w, const struct secret *token, struct patch *patch,
                                    char print[PRINT_BYTES], struct err *err)
{
    struct envelope env = {0};
    enum err_code rc = keyring_seal(w->ring, token, &env, err);

    if (rc == ERR_OK) rc = store_access(w, &env, token, patch, print, err);
    envelope_fini(&env);
    return rc;
}

/* Is the token in accessToken the very one that the envelope holds? Then the plain copy may go. */
static int plain_is_copy(const struct writeback *w)
{
    for (int i = 0; i < w->intake->count; i++) {
        const struct candidate *c = &w->intake->candidates[i];

        if (c != w->winner && !secret_equal(&c->token, &w->winner->token)) return 0;
    }
    return 1;
}

/* A second form that was not the winner is dropped only if it is a copy, or if the winner is known to work: no token is
 * ever lost for one that may be dead. */
static enum err_code fix_access(const struct writeback *w, struct patch *patch, char print[PRINT_BYTES], int *fixed,
                                struct err *err)
{
    const struct candidate *c = w->winner;
    const int faults = w->intake->faults & (FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST);
    enum err_code rc = ERR_OK;

    if (!w->account->plain_access) return ERR_OK;
    if (w->account->encrypted_access && !w->accepted && !(w->intake->count == 2 && plain_is_copy(w))) return ERR_OK;
    if (c->place == PLACE_ENVELOPE)
        patch_unset(patch, "accessToken");
    else if (c->place == PLACE_MISPLACED)
        rc = store_access(w, &c->env, &c->token, patch, print, err);
    else
        rc = seal_and_store(w, &c->token, patch, print, err);
    if (rc == ERR_OK) *fixed |= faults;
    return rc;
}

static int opens_to(const struct writeback *w, const struct json *value, const struct secret *token)
{
    struct envelope env = {0};
    struct secret stored = {0};
    const char *kid = NULL;
    int same = envelope_parse(value, &env, NULL) == ERR_OK &&
               keyring_open(w->ring, &env, &stored, &kid, NULL) == ERR_OK && secret_equal(&stored, token);

    secret_free(&stored);
    envelope_fini(&env);
    return same;
}

static enum err_code envelope_of_refresh(const struct writeback *w, struct envelope *env, struct secret *token,
                                         struct err *err)
{
    const struct json *value = w->account->plain_refresh;
    const char *text = json_string(value), *kid = NULL;

    if (json_type(value) == JSON_OBJECT || (text && envelope_looks_like(text, json_string_len(value)))) {
        enum err_code rc = envelope_parse(value, env, err);

        return rc == ERR_OK ? keyring_open(w->ring, env, token, &kid, err) : rc;
    }
    if (!text || json_string_len(value) == 0 || json_string_len(value) > LIMIT_TOKEN_BYTES) return ERR_UNDECRYPTABLE;
    if (secret_put(token, text, json_string_len(value), err) != ERR_OK) return ERR_NOMEM;
    return keyring_seal(w->ring, token, env, err);
}

static enum err_code fix_refresh(const struct writeback *w, struct patch *patch, int *fixed, struct err *err)
{
    const struct account *a = w->account;
    struct envelope env = {0};
    struct secret token = {0};
    enum err_code rc;

    if (!a->plain_refresh) return ERR_OK;
    rc = envelope_of_refresh(w, &env, &token, err);
    if (rc == ERR_UNDECRYPTABLE) {
        rc = ERR_OK; /* left as it is: nothing here can read it */
        err_clear(err);
    } else if (rc == ERR_OK && !a->encrypted_refresh) {
        patch_guard(patch, "encryptedRefreshToken", NULL);
        patch_guard(patch, "refreshToken", a->plain_refresh);
        patch_set(patch, "encryptedRefreshToken", envelope_to_json(&env));
        patch_unset(patch, "refreshToken");
        *fixed |= w->intake->faults & (FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST);
    } else if (rc == ERR_OK && opens_to(w, a->encrypted_refresh, &token)) {
        patch_guard(patch, "encryptedRefreshToken", a->encrypted_refresh);
        patch_guard(patch, "refreshToken", a->plain_refresh);
        patch_unset(patch, "refreshToken");
        *fixed |= w->intake->faults & (FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST);
    }
    secret_free(&token);
    envelope_fini(&env);
    return rc;
}

/* The fields of the application that follow from a verdict. */
static void put_status(const struct writeback *w, struct patch *patch, int *fixed)
{
    const struct account *a = w->account;
    const char *status = reason_token_status(w->after->reason);
    int decided = w->after->checked_at_ms == w->now_ms;
    int needs = a->needs_reconnection == TRI_TRUE;
    int stale = 0, same;

    if (decided && status && strcmp(status, a->token_status) != 0) {
        patch_set_string(patch, "tokenStatus", status);
        stale = a->token_status[0] != '\0';
    }
    if (decided && (w->after->needs_reconnection != needs || a->needs_reconnection == TRI_ABSENT)) {
        patch_set_bool(patch, "needsReconnection", w->after->needs_reconnection);
        stale |= a->needs_reconnection != TRI_ABSENT;
    }
    if (!decided) return;
    patch_set_date(patch, "lastTokenValidation", w->now_ms);
    /* An account that turned healthy or broken now was not stored wrongly; one whose stored words contradict the
     * verdict that we already held was. */
    same = w->before->state == w->after->state && w->before->reason == w->after->reason &&
           w->before->needs_reconnection == w->after->needs_reconnection;
    if (stale && (same || (w->before->checked_at_ms == 0 && w->after->state != STATE_BROKEN)))
        *fixed |= FAULT_STALE_STATUS;
    *fixed |= w->intake->faults & FAULT_NO_COMPANIONS;
}

static void put_moment(struct patch *patch, const char *date, const char *clock, const struct moment *m)
{
    char text[MOMENT_CLOCK_BYTES];

    patch_set_date(patch, date, m->at_ms);
    patch_set_string(patch, clock, m->at_ms ? moment_print_clock(m, text) : NULL);
}

static void put_health(const struct verdict *v, const char *print, struct patch *patch)
{
    patch_set_string(patch, "tokenHealth.state", state_word(v->state));
    patch_set_string(patch, "tokenHealth.reason", reason_word(v->reason));
    patch_set_string(patch, "tokenHealth.action", action_word(v->action));
    patch_set_string(patch, "tokenHealth.rule", v->rule);
    patch_set_string(patch, "tokenHealth.print", print);
    patch_set_int(patch, "tokenHealth.confirmations", v->confirmations);
    patch_set_date(patch, "tokenHealth.checkedAt", v->checked_at_ms);
    put_moment(patch, "tokenHealth.confirmedAt", "tokenHealth.confirmedClock", &v->confirmed);
    put_moment(patch, "tokenHealth.tokenSince", "tokenHealth.tokenSinceClock", &v->token_since);
    if (v->attempt_reason == REASON_NONE) {
        patch_unset(patch, "tokenHealth.lastAttempt");
        return;
    }
    patch_set_string(patch, "tokenHealth.lastAttempt.reason", reason_word(v->attempt_reason));
    patch_set_string(patch, "tokenHealth.lastAttempt.rule", v->attempt_rule);
    patch_set_date(patch, "tokenHealth.lastAttempt.at", v->attempted_at_ms);
}

static enum err_code put_refreshed(const struct writeback *w, struct patch *patch, char print[PRINT_BYTES],
                                   struct err *err)
{
    enum err_code rc = seal_and_store(w, w->refreshed, patch, print, err);

    if (rc == ERR_OK && w->refreshed_expires_at_ms) patch_set_date(patch, "expiresAt", w->refreshed_expires_at_ms);
    return rc;
}

/* The account opened the slow way: leave it a fast envelope, so that the next time costs microseconds. */
static enum err_code put_fast(const struct writeback *w, struct patch *patch, struct err *err)
{
    struct fast_binding binding = {w->account->id.text, w->account->platform, "access"};
    struct json *fast = NULL;
    enum err_code rc = keyring_fast_seal(w->ring, &w->winner->token, &binding, w->winner->mirror, &fast, err);

    if (rc == ERR_OK) patch_set(patch, "tokenHealth.fast.access", fast);
    return rc;
}

enum err_code writeback_build(const struct writeback *w, struct patch *patch, char print[PRINT_BYTES], int *fixed,
                              struct err *err)
{
    enum err_code rc = ERR_OK;

    memcpy(print, w->intake->print, PRINT_BYTES);
    *fixed = 0;
    guard_forms(w->account, patch);
    if (w->winner && w->refreshed)
        rc = put_refreshed(w, patch, print, err);
    else if (w->winner && w->fix)
        rc = fix_access(w, patch, print, fixed, err);
    if (rc == ERR_OK && w->winner && w->winner->place == PLACE_ENVELOPE && !w->winner->was_fast && !w->refreshed)
        rc = put_fast(w, patch, err);
    if (rc == ERR_OK && w->fix) rc = fix_refresh(w, patch, fixed, err);
    if (rc != ERR_OK) return rc;
    put_status(w, patch, fixed);
    put_health(w->after, print, patch);
    if (*fixed) patch_set_date(patch, "lastTokenFix", w->now_ms);
    if (*fixed || w->refreshed || w->before->state != w->after->state) patch_set_date(patch, "updatedAt", w->now_ms);
    return ERR_OK;
}
