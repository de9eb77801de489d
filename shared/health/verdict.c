#include "health/verdict.h"
#include "store/account.h"
#include <string.h>

enum { CONFIRMATIONS_MAX = 1000 /* more in a document is damage */ };

static const char *const state_words[STATE_COUNT] = {"unknown", "healthy", "expiring",
                                                     "limited", "broken",  "disconnected"};
/* Rank for a workspace: what most needs somebody comes first. */
static const int state_ranks[STATE_COUNT] = {
    [STATE_DISCONNECTED] = 0, [STATE_HEALTHY] = 1, [STATE_UNKNOWN] = 2,
    [STATE_EXPIRING] = 3,     [STATE_LIMITED] = 4, [STATE_BROKEN] = 5,
};
static const char *const action_words[ACTION_COUNT] = {
    "none", "wait", "refresh", "reconnect", "confirm_identity", "grant_permissions", "fix_app_config", "fix_key"};
static const char *const source_words[SOURCE_COUNT] = {"none", "provider", "store", "cache"};

/** What follows from each reason. state: of a deciding reason; status: tokenStatus to write, NULL to leave. */
static const struct {
    enum state state;
    enum action action;
    const char *status;
} consequences[REASON_COUNT] = {
    [REASON_NONE] = {STATE_UNKNOWN, ACTION_WAIT, NULL},
    [REASON_OK] = {STATE_HEALTHY, ACTION_NONE, "valid"},
    [REASON_EXPIRED] = {STATE_BROKEN, ACTION_RECONNECT, "expired"},
    [REASON_REVOKED] = {STATE_BROKEN, ACTION_RECONNECT, "revoked"},
    [REASON_PASSWORD_CHANGED] = {STATE_BROKEN, ACTION_RECONNECT, "invalid"},
    [REASON_CHECKPOINT] = {STATE_BROKEN, ACTION_CONFIRM_IDENTITY, "invalid"},
    [REASON_INVALID_TOKEN] = {STATE_BROKEN, ACTION_RECONNECT, "invalid"},
    [REASON_MISSING_TOKEN] = {STATE_BROKEN, ACTION_RECONNECT, "missing"},
    /* Our key or a damaged document: the operator's to mend, so nothing is said of the user's token. */
    [REASON_UNDECRYPTABLE] = {STATE_BROKEN, ACTION_FIX_KEY, NULL},
    [REASON_IDENTITY_MISMATCH] = {STATE_BROKEN, ACTION_RECONNECT, "invalid"},
    [REASON_PERMISSION_MISSING] = {STATE_LIMITED, ACTION_GRANT_PERMISSIONS, "valid"},
    [REASON_BLOCKED] = {STATE_LIMITED, ACTION_WAIT, "valid"},
    [REASON_RATE_LIMITED] = {STATE_UNKNOWN, ACTION_WAIT, NULL},
    [REASON_TRANSIENT] = {STATE_UNKNOWN, ACTION_WAIT, NULL},
    [REASON_TIMEOUT] = {STATE_UNKNOWN, ACTION_WAIT, NULL},
    [REASON_BAD_RESPONSE] = {STATE_UNKNOWN, ACTION_WAIT, NULL},
    [REASON_APP_MISCONFIGURED] = {STATE_UNKNOWN, ACTION_FIX_APP_CONFIG, NULL},
};

const char *state_word(enum state s)
{
    return (unsigned)s < STATE_COUNT ? state_words[s] : "unknown";
}

const char *action_word(enum action a)
{
    return (unsigned)a < ACTION_COUNT ? action_words[a] : "none";
}

const char *source_word(enum source s)
{
    return (unsigned)s < SOURCE_COUNT ? source_words[s] : "none";
}

int state_parse(const char *word, enum state *out)
{
    for (int i = 0; word && i < STATE_COUNT; i++)
        if (!strcmp(word, state_words[i])) {
            *out = (enum state)i;
            return 1;
        }
    return 0;
}

enum state state_worse(enum state a, enum state b)
{
    return state_ranks[a] >= state_ranks[b] ? a : b;
}

enum action reason_action(enum reason reason)
{
    return (unsigned)reason < REASON_COUNT ? consequences[reason].action : ACTION_WAIT;
}

const char *reason_token_status(enum reason reason)
{
    return (unsigned)reason < REASON_COUNT ? consequences[reason].status : NULL;
}

static int asks_for_user(enum action action)
{
    return action == ACTION_RECONNECT || action == ACTION_CONFIRM_IDENTITY;
}

static void put_text(char *out, size_t size, const char *text)
{
    size_t len = text ? strnlen(text, size - 1) : 0;

    if (len) memcpy(out, text, len);
    out[len] = '\0';
}

/* The application saved another token: what we knew was about the old one. The first token that we ever see of an account may
 * be old, and gets no grace. */
static void forget_old_token(struct verdict *v, const char *print, const struct moment *now)
{
    int known = v->print[0] || v->checked_at_ms || v->attempted_at_ms;
    struct verdict fresh = {.action = ACTION_WAIT, .needs_reconnection = v->needs_reconnection};

    put_text(fresh.print, sizeof fresh.print, print);
    if (known) fresh.token_since = *now;
    *v = fresh;
}

static void note_attempt(struct verdict *v, const struct observation *obs, const struct moment *now)
{
    v->attempt_reason = obs->reason;
    v->attempted_at_ms = now->at_ms;
    v->retry_at_ms = obs->retry_after_ms > 0 ? now->at_ms + obs->retry_after_ms : 0;
    put_text(v->attempt_rule, sizeof v->attempt_rule, obs->rule);
    if (v->state == STATE_UNKNOWN) v->action = reason_action(obs->reason);
}

static void release(struct verdict *v)
{
    v->held_reason = REASON_NONE;
    v->held_since = (struct moment){0};
}

static void settle(struct verdict *v, const struct observation *obs, const struct moment *now)
{
    v->reason = obs->reason;
    v->state = consequences[obs->reason].state;
    v->action = consequences[obs->reason].action;
    put_text(v->rule, sizeof v->rule, obs->rule);
    v->checked_at_ms = now->at_ms;
    v->attempt_reason = REASON_NONE;
    v->attempt_rule[0] = '\0';
    v->attempted_at_ms = v->retry_at_ms = 0;
    release(v);
}

static void restart_count(struct verdict *v)
{
    v->confirmations = 0;
    v->confirmed = (struct moment){0};
}

static void accept(struct verdict *v, const struct observation *obs, const struct moment *now)
{
    settle(v, obs, now);
    if (v->state == STATE_HEALTHY && obs->expiring) {
        v->state = STATE_EXPIRING;
        v->action = ACTION_REFRESH;
    }
    put_text(v->login, sizeof v->login, obs->login);
    restart_count(v);
    v->needs_reconnection = 0;
}

static void condemn(struct verdict *v, const struct observation *obs, const struct moment *now,
                    const struct verdict_settings *set)
{
    int64_t elapsed_ms = v->confirmations ? moment_elapsed_ms(&v->confirmed, now) : 0;

    settle(v, obs, now);
    if (!asks_for_user(v->action)) {
        restart_count(v);
        return;
    }
    if (elapsed_ms < 0) {
        v->confirmed = *now;
    } else if (v->confirmations == 0 || elapsed_ms >= set->confirm_interval_ms) {
        if (v->confirmations < set->confirmations) v->confirmations++;
        v->confirmed = *now;
    }
    if (v->confirmations >= set->confirmations) v->needs_reconnection = 1;
}

static int in_grace(struct verdict *v, const struct moment *now, const struct verdict_settings *set)
{
    int64_t elapsed_ms;

    if (!v->token_since.at_ms) return 0;
    elapsed_ms = moment_elapsed_ms(&v->token_since, now);
    if (elapsed_ms < 0) v->token_since = *now;
    return elapsed_ms < set->reconnect_grace_ms;
}

int verdict_decide(const struct verdict *old, const struct observation *obs, const struct moment *now,
                   const struct verdict_settings *settings, struct verdict *out)
{
    const struct verdict before = *old;
    const char *print = obs->print ? obs->print : "";

    *out = before;
    if (obs->disconnected) {
        out->state = STATE_DISCONNECTED;
        out->reason = REASON_NONE;
        out->action = ACTION_NONE;
        return 0;
    }
    if (strcmp(out->print, print) != 0) forget_old_token(out, print, now);
    switch (reason_class(obs->reason)) {
    case CLASS_INCONCLUSIVE:
        note_attempt(out, obs, now);
        break;
    case CLASS_ACCEPTED:
        accept(out, obs, now);
        break;
    case CLASS_DEFINITIVE:
        if (in_grace(out, now, settings))
            note_attempt(out, obs, now);
        else
            condemn(out, obs, now, settings);
        break;
    }
    return out->state != before.state || out->reason != before.reason ||
           out->needs_reconnection != before.needs_reconnection;
}

int verdict_worsens(const struct verdict *before, const struct verdict *after)
{
    return (after->state == STATE_BROKEN && before->state != STATE_BROKEN) ||
           (after->needs_reconnection && !before->needs_reconnection);
}

void verdict_hold(const struct verdict *old, const struct observation *obs, const struct moment *now, struct verdict *v)
{
    struct verdict held = *old;
    const char *print = obs->print ? obs->print : "";

    if (strcmp(held.print, print) != 0) forget_old_token(&held, print, now);
    note_attempt(&held, obs, now);
    if (held.state == STATE_UNKNOWN) held.action = ACTION_WAIT;
    held.held_reason = obs->reason;
    if (!held.held_since.at_ms) held.held_since = *now;
    held.confirmations = v->confirmations;
    held.confirmed = v->confirmed;
    *v = held;
}

int verdict_unconfirmed(const struct verdict *v, const struct verdict_settings *settings)
{
    return v->state == STATE_BROKEN && asks_for_user(v->action) && v->confirmations < settings->confirmations;
}

int64_t verdict_put_off_ms(const struct verdict *v, const char *print, const struct moment *now)
{
    int is_about_it = v->attempt_reason == REASON_RATE_LIMITED && !strcmp(v->print, print);
    int is_sane = v->attempted_at_ms <= now->at_ms && v->retry_at_ms - v->attempted_at_ms <= LIMIT_RETRY_AFTER_MS;

    return is_about_it && is_sane && v->retry_at_ms > now->at_ms ? v->retry_at_ms - now->at_ms : 0;
}

int verdict_blocks(enum state state, enum action action)
{
    return state == STATE_BROKEN && asks_for_user(action);
}

static int64_t date_at(const struct json *health, const char *path)
{
    int64_t at_ms = 0;

    return account_date(json_get(health, path), &at_ms) && at_ms > 0 ? at_ms : 0;
}

static enum reason reason_at(const struct json *health, const char *path)
{
    enum reason reason = REASON_NONE;
    const char *text = json_string(json_get(health, path));

    return text && reason_parse(text, &reason) ? reason : REASON_NONE;
}

static void text_at(const struct json *health, const char *path, char *out, size_t size)
{
    put_text(out, size, json_string(json_get(health, path)));
}

static void parse_decision(const struct json *health, struct verdict *v)
{
    int fits;

    v->reason = reason_at(health, "reason");
    if (!state_parse(json_string(json_get(health, "state")), &v->state)) v->state = STATE_UNKNOWN;
    fits = reason_class(v->reason) != CLASS_INCONCLUSIVE &&
           (v->state == consequences[v->reason].state || (v->state == STATE_EXPIRING && v->reason == REASON_OK));
    if (!fits) {
        v->state = STATE_UNKNOWN;
        v->reason = REASON_NONE;
        return;
    }
    v->action = v->state == STATE_EXPIRING ? ACTION_REFRESH : reason_action(v->reason);
    v->checked_at_ms = date_at(health, "checkedAt");
    text_at(health, "rule", v->rule, sizeof v->rule);
}

/* They count for what is decided, or is held. */
static void parse_confirmations(const struct json *health, struct verdict *v)
{
    int64_t n = 0;

    v->held_reason = reason_at(health, "held.reason");
    if (reason_class(v->held_reason) != CLASS_DEFINITIVE) v->held_reason = REASON_NONE;
    if (v->held_reason != REASON_NONE) v->held_since = moment_find(health, "held.at", "held.clock");
    if (v->state != STATE_BROKEN && v->held_reason == REASON_NONE) return;
    v->confirmed = moment_find(health, "confirmedAt", "confirmedClock");
    if (v->confirmed.at_ms && json_int(json_get(health, "confirmations"), &n) && n > 0 && n <= CONFIRMATIONS_MAX)
        v->confirmations = (int)n;
}

void verdict_parse(const struct json *health, struct verdict *v)
{
    *v = (struct verdict){.action = ACTION_WAIT};
    if (json_type(health) != JSON_OBJECT) return;
    text_at(health, "print", v->print, sizeof v->print);
    text_at(health, "login", v->login, sizeof v->login);
    v->token_since = moment_find(health, "tokenSince", "tokenSinceClock");
    parse_decision(health, v);
    parse_confirmations(health, v);
    v->attempt_reason = reason_at(health, "lastAttempt.reason");
    if (v->attempt_reason == REASON_NONE) return;
    v->attempted_at_ms = date_at(health, "lastAttempt.at");
    v->retry_at_ms = date_at(health, "lastAttempt.retryAt");
    text_at(health, "lastAttempt.rule", v->attempt_rule, sizeof v->attempt_rule);
    if (v->state == STATE_UNKNOWN && v->held_reason == REASON_NONE) v->action = reason_action(v->attempt_reason);
}
