#include "health/writeback.h"
#include "token/crypto.h"
#include <string.h>

static const int token_faults = FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_PLAIN_AT_REST;

static const struct form *encrypted_form(const struct writeback *w)
{
    return &w->intake->forms[FIELD_ENCRYPTED];
}

static const struct form *plain_form(const struct writeback *w)
{
    return &w->intake->forms[FIELD_PLAIN];
}

/* checkedAt changes with every decision: a stale reader cannot decide over a newer decision. */
static void put_guards(const struct writeback *w, struct patch *patch)
{
    const struct json *doc = w->account->doc;

    patch_guard(patch, "encryptedAccessToken", json_member(doc, "encryptedAccessToken"));
    patch_guard(patch, "accessToken", json_member(doc, "accessToken"));
    patch_guard(patch, "isActive", json_member(doc, "isActive"));
    patch_guard(patch, "tokenHealth.checkedAt", json_get(w->account->health, "checkedAt"));
}

/* ---- the access token ---- */

enum err_code writeback_fast(const struct writeback *w, const char *field, const char *path, const struct envelope *env,
                             const struct secret *token, struct patch *patch, struct err *err)
{
    struct fast_binding binding = {w->account->id.text, w->account->platform, field};
    struct json *fast = NULL;
    unsigned char mirror[SHA256_BYTES];
    enum err_code rc;

    keyring_mirror(w->ring, env, mirror);
    rc = keyring_fast_seal(w->ring, token, &binding, mirror, &fast, err);
    if (rc == ERR_OK) patch_set(patch, path, fast);
    return rc;
}

/* Puts ${env} into encryptedAccessToken, in place of whatever was there. */
static enum err_code store_envelope(const struct writeback *w, const struct envelope *env, const struct secret *token,
                                    struct patch *patch, char encrypted_print[PRINT_BYTES], struct err *err)
{
    enum err_code rc = writeback_fast(w, "access", "tokenHealth.fast.access", env, token, patch, err);

    if (rc != ERR_OK) return rc;
    patch_set(patch, "encryptedAccessToken", envelope_to_json(env));
    envelope_fingerprint(env, encrypted_print);
    return ERR_OK;
}

static enum err_code seal_and_store(const struct writeback *w, const struct secret *token, struct patch *patch,
                                    char encrypted_print[PRINT_BYTES], struct err *err)
{
    struct envelope env = {0};
    enum err_code rc = keyring_seal(w->ring, token, &env, err);

    if (rc == ERR_OK) rc = store_envelope(w, &env, token, patch, encrypted_print, err);
    envelope_fini(&env);
    return rc;
}

static int may_drop_plain(const struct writeback *w)
{
    const struct form *encrypted = encrypted_form(w), *plain = plain_form(w);

    if (plain->is_copy) return 1;
    if (w->winner == encrypted) return w->accepted && w->drop_other;
    return encrypted->kind == FORM_ABSENT || (w->accepted && w->drop_other);
}

static enum form_field loser(const struct writeback *w)
{
    return w->winner == plain_form(w) ? FIELD_ENCRYPTED : FIELD_PLAIN;
}

/* The token of accessToken goes where it belongs, or goes away. */
static enum err_code fix_access(const struct writeback *w, struct patch *patch, char encrypted_print[PRINT_BYTES],
                                int *done, struct err *err)
{
    const struct form *plain = plain_form(w);
    enum err_code rc;
    int is_safe;

    if (plain->kind == FORM_ABSENT || !may_drop_plain(w)) return ERR_OK;
    if (w->winner == plain && plain->kind == FORM_PLAIN && !w->may_seal) return ERR_OK;
    rc = writeback_set_aside(w, loser(w), patch, &is_safe, err);
    if (rc != ERR_OK || !is_safe) return rc;
    if (w->winner == plain)
        rc = plain->kind == FORM_PLAIN ? seal_and_store(w, &plain->token, patch, encrypted_print, err)
                                       : store_envelope(w, &plain->env, &plain->token, patch, encrypted_print, err);
    if (rc != ERR_OK) return rc;
    patch_unset(patch, "accessToken");
    *done = 1;
    return ERR_OK;
}

static enum err_code put_access(const struct writeback *w, struct patch *patch, struct writeback_effect *effect,
                                struct err *err)
{
    const struct form *encrypted = encrypted_form(w);
    char encrypted_print[PRINT_BYTES];
    int plain_gone = 0;
    enum err_code rc = ERR_OK;

    memcpy(encrypted_print, encrypted->print, sizeof encrypted_print);
    if (w->winner && w->fix) rc = fix_access(w, patch, encrypted_print, &plain_gone, err);
    /* Opened the slow way and still there: the next time shall cost microseconds. */
    if (rc == ERR_OK && encrypted->kind == FORM_ENVELOPE && !secret_is_empty(&encrypted->token) &&
        !encrypted->was_fast && !strcmp(encrypted_print, encrypted->print))
        rc = writeback_fast(w, "access", "tokenHealth.fast.access", &encrypted->env, &encrypted->token, patch, err);
    intake_print(encrypted_print, plain_gone ? "" : plain_form(w)->print, effect->print);
    if (plain_gone) effect->fixed |= w->intake->faults & token_faults;
    return rc;
}

/* ---- the verdict ---- */

/* An account that turned healthy or broken just now was not stored wrongly; one whose words contradict the verdict that we held
 * already was, and so was one that we see for the first time and that works. */
static int was_stale(const struct writeback *w, int contradicts)
{
    const struct verdict *b = w->before, *a = w->after;

    if (!contradicts) return 0;
    if (b->checked_at_ms == 0) return a->state != STATE_BROKEN;
    return b->state == a->state && b->reason == a->reason && b->needs_reconnection == a->needs_reconnection;
}

/* The fields of the application that follow from a verdict. */
static void put_status(const struct writeback *w, struct patch *patch, struct writeback_effect *effect)
{
    const struct account *a = w->account;
    const char *status = reason_token_status(w->after->reason);
    int contradicts = 0;

    if (w->after->attempt_reason != REASON_NONE || !status) return;
    if (strcmp(status, a->token_status) != 0) {
        patch_set_string(patch, "tokenStatus", status);
        contradicts = a->token_status[0] != '\0';
    }
    if (a->needs_reconnection != (w->after->needs_reconnection ? TRI_TRUE : TRI_FALSE)) {
        patch_set_bool(patch, "needsReconnection", w->after->needs_reconnection);
        contradicts |= a->needs_reconnection != TRI_ABSENT;
    }
    patch_set_date(patch, "lastTokenValidation", w->now.at_ms);
    if (was_stale(w, contradicts)) effect->found |= FAULT_STALE_STATUS;
    if (w->fix) effect->fixed |= effect->found | (w->intake->faults & FAULT_NO_COMPANIONS);
}

static void put_text(struct patch *patch, const char *path, const char *before, const char *after)
{
    if (strcmp(before, after) != 0) patch_set_string(patch, path, after);
}

static void put_moment(struct patch *patch, const char *date, const char *clock, const struct moment *before,
                       const struct moment *after)
{
    char text[MOMENT_CLOCK_BYTES];

    if (before->at_ms == after->at_ms && before->mono_ms == after->mono_ms && before->boot == after->boot) return;
    patch_set_date(patch, date, after->at_ms);
    patch_set_string(patch, clock, after->at_ms ? moment_print_clock(after, text) : NULL);
}

static void put_attempt(const struct verdict *b, const struct verdict *v, struct patch *patch)
{
    if (v->attempt_reason == REASON_NONE) {
        if (b->attempt_reason != REASON_NONE) patch_unset(patch, "tokenHealth.lastAttempt");
        return;
    }
    put_text(patch, "tokenHealth.lastAttempt.reason", b->attempt_reason ? reason_word(b->attempt_reason) : "",
             reason_word(v->attempt_reason));
    put_text(patch, "tokenHealth.lastAttempt.rule", b->attempt_rule, v->attempt_rule);
    patch_set_date(patch, "tokenHealth.lastAttempt.at", v->attempted_at_ms);
    if (v->retry_at_ms != b->retry_at_ms) {
        if (v->retry_at_ms)
            patch_set_date(patch, "tokenHealth.lastAttempt.retryAt", v->retry_at_ms);
        else
            patch_unset(patch, "tokenHealth.lastAttempt.retryAt");
    }
}

static void put_held(const struct verdict *b, const struct verdict *v, struct patch *patch)
{
    if (v->held_reason == REASON_NONE) {
        if (b->held_reason != REASON_NONE) patch_unset(patch, "tokenHealth.held");
        return;
    }
    put_text(patch, "tokenHealth.held.reason", b->held_reason ? reason_word(b->held_reason) : "",
             reason_word(v->held_reason));
    put_moment(patch, "tokenHealth.held.at", "tokenHealth.held.clock", &b->held_since, &v->held_since);
}

/* Only what changed; the guard on checkedAt keeps the whole together. */
static void put_health(const struct writeback *w, const char *print, struct patch *patch)
{
    const struct json *health = w->account->health;
    const struct verdict *b = w->before, *v = w->after;
    const char *words[][2] = {{"tokenHealth.state", state_word(v->state)},
                              {"tokenHealth.reason", reason_word(v->reason)},
                              {"tokenHealth.action", action_word(v->action)}};

    for (int i = 0; i < 3; i++) {
        const char *stored = json_string(json_member(health, words[i][0] + strlen("tokenHealth.")));

        put_text(patch, words[i][0], stored ? stored : "", words[i][1]);
    }
    put_text(patch, "tokenHealth.rule", b->rule, v->rule);
    put_text(patch, "tokenHealth.print", b->print, print);
    if (strcmp(b->login, v->login) != 0) patch_set_string(patch, "tokenHealth.login", v->login[0] ? v->login : NULL);
    if (b->confirmations != v->confirmations) patch_set_int(patch, "tokenHealth.confirmations", v->confirmations);
    if (b->checked_at_ms != v->checked_at_ms) patch_set_date(patch, "tokenHealth.checkedAt", v->checked_at_ms);
    put_moment(patch, "tokenHealth.confirmedAt", "tokenHealth.confirmedClock", &b->confirmed, &v->confirmed);
    put_moment(patch, "tokenHealth.tokenSince", "tokenHealth.tokenSinceClock", &b->token_since, &v->token_since);
    put_attempt(b, v, patch);
    put_held(b, v, patch);
}

static void note_shut(const struct intake *in, struct shut_list *list)
{
    for (int i = 0; in && i < FIELD_COUNT; i++)
        shut_note(list, in->forms[i].shut.print);
}

enum err_code writeback_build(const struct writeback *w, struct patch *patch, struct writeback_effect *effect,
                              struct err *err)
{
    enum err_code rc;

    memset(effect, 0, sizeof *effect);
    put_guards(w, patch);
    rc = put_access(w, patch, effect, err);
    if (rc == ERR_OK) rc = writeback_refresh_token(w, patch, effect, err);
    if (rc != ERR_OK) return rc;
    put_status(w, patch, effect);
    put_health(w, effect->print, patch);
    note_shut(w->intake, &effect->shut);
    note_shut(w->refresh, &effect->shut);
    if (effect->shut.count || w->accepted) shut_put(&effect->shut, w->account->health, patch);
    if (effect->fixed) patch_set_date(patch, "lastTokenFix", w->now.at_ms);
    if (effect->fixed || w->before->state != w->after->state) patch_set_date(patch, "updatedAt", w->now.at_ms);
    /* What somebody was told is on disk first. */
    patch->loose = !effect->fixed && w->before->state == w->after->state && w->before->reason == w->after->reason &&
                   w->before->needs_reconnection == w->after->needs_reconnection;
    return ERR_OK;
}
