#include "health/verdict.h"
#include "base/clock.h"
#include <stdio.h>
#include <string.h>

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
    snprintf(out, size, "%s", text ? text : "");
}

/* The application saved another envelope: what we knew was about the old one. */
static void forget_old_token(struct verdict *v, const char *print, int64_t now_ms)
{
    int had_one = v->print[0] != '\0';

    v->state = STATE_UNKNOWN;
    v->reason = REASON_NONE;
    v->action = ACTION_WAIT;
    v->checked_at_ms = 0;
    v->confirmations = 0;
    v->confirmed_at_ms = 0;
    v->attempt_reason = REASON_NONE;
    v->attempted_at_ms = 0;
    v->rule[0] = '\0';
    put_text(v->print, sizeof v->print, print);
    v->token_since_ms = had_one ? now_ms : 0;
}

static void note_attempt(struct verdict *v, const struct observation *obs, int64_t now_ms)
{
    v->attempt_reason = obs->reason;
    v->attempted_at_ms = now_ms;
    if (v->state == STATE_UNKNOWN) v->action = reason_action(obs->reason);
}

static void accept(struct verdict *v, const struct observation *obs, int64_t now_ms)
{
    v->reason = obs->reason;
    v->state = consequences[obs->reason].state;
    v->action = consequences[obs->reason].action;
    if (v->state == STATE_HEALTHY && obs->expiring) {
        v->state = STATE_EXPIRING;
        v->action = ACTION_REFRESH;
    }
    v->confirmations = 0;
    v->confirmed_at_ms = 0;
    v->needs_reconnection = 0;
    v->checked_at_ms = now_ms;
    v->attempt_reason = REASON_NONE;
    v->attempted_at_ms = 0;
}

static void condemn(struct verdict *v, const struct observation *obs, int64_t now_ms,
                    const struct verdict_settings *set)
{
    /* A clock that went back must not hold a confirmation up for ever. */
    int apart = v->confirmed_at_ms == 0 || now_ms - v->confirmed_at_ms >= set->confirm_interval_ms ||
                now_ms < v->confirmed_at_ms;

    if (v->state != STATE_BROKEN || !asks_for_user(consequences[obs->reason].action)) v->confirmations = 0, apart = 1;
    v->state = STATE_BROKEN;
    v->reason = obs->reason;
    v->action = consequences[obs->reason].action;
    v->checked_at_ms = now_ms;
    v->attempt_reason = REASON_NONE;
    v->attempted_at_ms = 0;
    if (!asks_for_user(v->action)) return;
    if (apart) {
        if (v->confirmations < set->confirmations) v->confirmations++;
        v->confirmed_at_ms = now_ms;
    }
    if (v->confirmations >= set->confirmations) v->needs_reconnection = 1;
}

static int in_grace(const struct verdict *v, int64_t now_ms, const struct verdict_settings *set)
{
    return v->token_since_ms && now_ms >= v->token_since_ms && now_ms - v->token_since_ms < set->reconnect_grace_ms;
}

int verdict_decide(const struct verdict *old, const struct observation *obs, int64_t now_ms,
                   const struct verdict_settings *settings, struct verdict *out)
{
    struct verdict before = *old;
    const char *print = obs->print ? obs->print : "";

    if (out != old) *out = *old;
    if (obs->disconnected) {
        out->state = STATE_DISCONNECTED;
        out->reason = REASON_NONE;
        out->action = ACTION_NONE;
        return 0;
    }
    if (out->state == STATE_DISCONNECTED) out->state = STATE_UNKNOWN;
    if (strcmp(out->print, print) != 0) forget_old_token(out, print, now_ms);
    switch (reason_class(obs->reason)) {
    case CLASS_INCONCLUSIVE:
        note_attempt(out, obs, now_ms);
        break;
    case CLASS_ACCEPTED:
        accept(out, obs, now_ms);
        break;
    case CLASS_DEFINITIVE:
        if (in_grace(out, now_ms, settings))
            note_attempt(out, obs, now_ms);
        else
            condemn(out, obs, now_ms, settings);
        break;
    }
    put_text(out->rule, sizeof out->rule, obs->rule);
    return out->state != before.state || out->reason != before.reason;
}

int verdict_unconfirmed(const struct verdict *v, const struct verdict_settings *settings)
{
    return v->state == STATE_BROKEN && asks_for_user(v->action) && v->confirmations < settings->confirmations;
}

int verdict_blocks(enum state state, enum action action)
{
    return state == STATE_BROKEN && asks_for_user(action);
}

static int64_t date_at(const struct json *health, const char *path)
{
    const struct json *date = json_get(health, path);
    const char *text = json_string(date);
    int64_t at_ms = 0;

    if (!text) text = json_string(json_member(date, "$date"));
    return text && clock_parse(text, &at_ms) ? at_ms : 0;
}

static enum reason reason_at(const struct json *health, const char *path)
{
    enum reason reason = REASON_NONE;
    const char *text = json_string(json_get(health, path));

    return text && reason_parse(text, &reason) ? reason : REASON_NONE;
}

void verdict_parse(const struct json *health, struct verdict *v)
{
    int64_t n = 0;

    memset(v, 0, sizeof *v);
    v->action = ACTION_WAIT;
    if (json_type(health) != JSON_OBJECT) return;
    v->reason = reason_at(health, "reason");
    if (!state_parse(json_string(json_get(health, "state")), &v->state)) v->state = STATE_UNKNOWN;
    v->action = v->state == STATE_EXPIRING       ? ACTION_REFRESH
                : v->state == STATE_UNKNOWN      ? ACTION_WAIT
                : v->state == STATE_DISCONNECTED ? ACTION_NONE
                                                 : reason_action(v->reason);
    v->checked_at_ms = date_at(health, "checkedAt");
    v->confirmed_at_ms = date_at(health, "confirmedAt");
    if (json_int(json_get(health, "confirmations"), &n) && n >= 0 && n <= 1000) v->confirmations = (int)n;
    v->attempt_reason = reason_at(health, "lastAttempt.reason");
    v->attempted_at_ms = date_at(health, "lastAttempt.at");
    v->token_since_ms = date_at(health, "tokenSince");
    put_text(v->print, sizeof v->print, json_string(json_get(health, "print")));
    put_text(v->rule, sizeof v->rule, json_string(json_get(health, "rule")));
}
