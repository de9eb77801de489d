#include "health/report.h"
#include "base/clock.h"
#include "health/intake.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

struct account_report *report_push(struct report_list *list)
{
    if (list->count == list->cap) {
        int cap = list->cap ? 2 * list->cap : 16;
        struct account_report *items = realloc(list->items, (size_t)cap * sizeof *items);

        if (!items) return NULL;
        list->items = items;
        list->cap = cap;
    }
    memset(&list->items[list->count], 0, sizeof *list->items);
    return &list->items[list->count++];
}

void report_list_fini(struct report_list *list)
{
    free(list->items);
    memset(list, 0, sizeof *list);
}

static void put_account(const struct account *a, struct account_report *report)
{
    memset(report, 0, sizeof *report);
    put_text(report->id, sizeof report->id, a->id.text);
    put_text(report->username, sizeof report->username, a->username);
    put_text(report->workspace, sizeof report->workspace, a->workspace.text);
    put_text(report->platform, sizeof report->platform, a->platform);
    report->is_active = a->is_active != TRI_FALSE;
    report->last_sync_at_ms = a->last_sync_at_ms;
    report->timestamp_ms = clock_now_ms();
}

static int works(enum state state)
{
    return state == STATE_HEALTHY || state == STATE_EXPIRING || state == STATE_LIMITED;
}

/* The words that existing front ends know. faults: those that are still there. */
static const char *issue_of(const struct account_report *r, int faults)
{
    if (!r->is_active) return NULL;
    if (!r->has_token) return "missing_access_token";
    if (faults & FAULT_ENVELOPE_IN_PLAIN_FIELD) return "encrypted_token_in_access_field";
    if (r->verdict.state == STATE_BROKEN)
        return r->verdict.reason == REASON_UNDECRYPTABLE ? "validation_error" : "invalid_token_api_failed";
    if (r->verdict.attempt_reason != REASON_NONE) return "validation_error";
    return NULL;
}

void report_from_result(const struct validate_result *r, struct account_report *report)
{
    put_account(r->account, report);
    report->token_format = r->token_format;
    report->has_token = r->has_token;
    report->verdict = r->verdict;
    report->is_valid = works(r->verdict.state);
    report->needs_reconnection = r->verdict.needs_reconnection;
    report->fixed = r->fixed != 0;
    report->expires_at_ms = r->expires_at_ms;
    report->source = r->source;
    report->is_late = r->is_late;
    report->asked = r->asked;
    if (r->asked) {
        report->http_status = r->finding->http_status;
        report->code = r->finding->code;
        report->subcode = r->finding->subcode;
        put_text(report->rule, sizeof report->rule, r->finding->rule);
        put_text(report->message, sizeof report->message, r->finding->message);
    }
    report->issue = issue_of(report, r->faults & ~r->fixed);
}

void report_from_account(const struct account *account, struct account_report *report)
{
    struct intake in;

    put_account(account, report);
    intake_describe(account, NULL, &in);
    report->token_format = in.token_format;
    report->has_token = in.has_token;
    verdict_parse(account->health, &report->verdict);
    if (!report->is_active) {
        report->verdict.state = STATE_DISCONNECTED;
        report->verdict.reason = REASON_NONE;
        report->verdict.action = ACTION_NONE;
    }
    report->is_valid = works(report->verdict.state);
    report->needs_reconnection = account->needs_reconnection == TRI_TRUE;
    report->expires_at_ms = account->expires_at_ms;
    report->source = SOURCE_STORE;
    report->issue = issue_of(report, in.faults);
    intake_fini(&in);
}

static struct json *text_or_null(const char *text)
{
    return json_new_string(text && text[0] ? text : NULL);
}

struct json *report_health_json(const struct account_report *r)
{
    struct json *health = json_object_new();
    const struct verdict *v = &r->verdict;

    json_set(health, "state", json_new_string(state_word(v->state)));
    json_set(health, "reason", text_or_null(v->reason == REASON_NONE ? NULL : reason_word(v->reason)));
    json_set(health, "action", json_new_string(action_word(v->action)));
    json_set(health, "checkedAt", json_new_date(v->checked_at_ms));
    json_set(health, "expiresAt", json_new_date(r->expires_at_ms));
    json_set(health, "source", json_new_string(source_word(r->source)));
    if (v->attempt_reason != REASON_NONE) {
        struct json *attempt = json_object_new();

        json_set(attempt, "reason", json_new_string(reason_word(v->attempt_reason)));
        json_set(attempt, "action", json_new_string(action_word(reason_action(v->attempt_reason))));
        json_set(attempt, "at", json_new_date(v->attempted_at_ms));
        if (v->retry_at_ms) json_set(attempt, "retryAt", json_new_date(v->retry_at_ms));
        json_set(health, "lastAttempt", attempt);
    }
    if (v->held_reason != REASON_NONE) {
        struct json *held = json_object_new();

        json_set(held, "reason", json_new_string(reason_word(v->held_reason)));
        json_set(held, "since", json_new_date(v->held_since.at_ms));
        json_set(health, "held", held);
    }
    return health;
}

static struct json *api_response_json(const struct account_report *r)
{
    struct json *answer;

    if (!r->asked) return json_new_string(NULL);
    answer = json_object_new();
    json_set(answer, "status", json_new_int(r->http_status));
    json_set(answer, "rule", text_or_null(r->rule));
    if (r->code) json_set(answer, "code", json_new_int(r->code));
    if (r->subcode) json_set(answer, "subcode", json_new_int(r->subcode));
    if (r->message[0]) json_set(answer, "message", json_new_string(r->message));
    return answer;
}

struct json *report_to_validate_json(const struct account_report *r)
{
    struct json *account = json_object_new();

    json_set(account, "accountId", json_new_string(r->id));
    json_set(account, "username", text_or_null(r->username));
    json_set(account, "workspaceId", text_or_null(r->workspace));
    json_set(account, "isValid", json_new_bool(r->is_valid));
    json_set(account, "hasToken", json_new_bool(r->has_token));
    json_set(account, "tokenFormat", json_new_string(r->token_format));
    json_set(account, "apiResponse", api_response_json(r));
    json_set(account, "issue", json_new_string(r->issue));
    json_set(account, "fixed", json_new_bool(r->fixed));
    json_set(account, "timestamp", json_new_date(r->timestamp_ms));
    json_set(account, "health", report_health_json(r));
    return account;
}

struct json *report_to_status_json(const struct account_report *r)
{
    struct json *account = json_object_new();

    json_set(account, "id", json_new_string(r->id));
    json_set(account, "username", text_or_null(r->username));
    json_set(account, "hasToken", json_new_bool(r->has_token));
    json_set(account, "tokenFormat", json_new_string(r->token_format));
    json_set(account, "isActive", json_new_bool(r->is_active));
    json_set(account, "lastSyncAt", json_new_date(r->last_sync_at_ms));
    json_set(account, "needsReconnection", json_new_bool(r->needs_reconnection));
    json_set(account, "health", report_health_json(r));
    return account;
}
