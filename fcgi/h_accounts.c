/* validate, status, fix, clear-cache: the accounts' endpoints. */
#include "exchange.h"
#include <string.h>

static struct json *issue_json(const struct account_report *r)
{
    struct json *issue = json_object_new();

    json_set(issue, "accountId", json_new_string(r->id));
    json_set(issue, "username", json_new_string(r->username[0] ? r->username : NULL));
    json_set(issue, "issue", json_new_string(r->issue));
    json_set(issue, "reason",
             json_new_string(r->verdict.reason == REASON_NONE ? reason_word(r->verdict.attempt_reason)
                                                              : reason_word(r->verdict.reason)));
    json_set(issue, "action", json_new_string(action_word(r->verdict.action)));
    return issue;
}

struct totals {
    int64_t valid, fixed, connected, healthy;
};

static struct json *list_json(const struct report_list *list, struct json *(*one)(const struct account_report *),
                              struct totals *t)
{
    struct json *answer = json_object_new(), *accounts = json_array_new(), *issues = json_array_new();

    memset(t, 0, sizeof *t);
    for (int i = 0; i < list->count; i++) {
        const struct account_report *r = &list->items[i];

        json_push(accounts, one(r));
        if (r->issue) json_push(issues, issue_json(r));
        t->valid += r->is_valid;
        t->fixed += r->fixed;
        t->connected += r->is_active && r->has_token && !r->needs_reconnection;
        t->healthy += r->verdict.state == STATE_HEALTHY;
    }
    json_set(answer, "success", json_new_bool(1));
    json_set(answer, "accounts", accounts);
    json_set(answer, "issues", issues);
    json_set(answer, "totalAccounts", json_new_int(list->count));
    return answer;
}

void h_validate(struct exchange *x)
{
    char workspace[LIMIT_ID_BYTES];
    const struct json *force = json_member(x->body, "forceRefresh");
    struct report_list list = {0};
    struct service_terms terms = {.deadline_mono_ms = exchange_deadline(x)};
    struct totals totals;

    if (exchange_id(x, "workspaceId", workspace) != ERR_OK) return;
    if (force && json_type(force) != JSON_NULL && !json_bool(force, &terms.force)) {
        err_set(&x->err, ERR_BAD_INPUT, "forceRefresh", "\"forceRefresh\" must be true or false");
        return;
    }
    if (!exchange_may_see(x, workspace)) {
        exchange_deny(x);
        return;
    }
    if (service_validate(x->service, x->platform, workspace, &terms, &list, &x->err) == ERR_OK) {
        x->json = list_json(&list, report_to_validate_json, &totals);
        json_set(x->json, "validAccounts", json_new_int(totals.valid));
        json_set(x->json, "fixedAccounts", json_new_int(totals.fixed));
    }
    report_list_fini(&list);
}

void h_status(struct exchange *x)
{
    struct report_list list = {0};
    struct totals totals;

    if (!exchange_may_see(x, x->argument)) {
        exchange_deny(x);
        return;
    }
    if (service_status(x->service, x->platform, x->argument, &list, &x->err) == ERR_OK) {
        x->json = list_json(&list, report_to_status_json, &totals);
        json_set(x->json, "connectedAccounts", json_new_int(totals.connected));
        json_set(x->json, "healthyAccounts", json_new_int(totals.healthy));
    }
    report_list_fini(&list);
}

void h_fix(struct exchange *x)
{
    struct account_report report = {0};

    if (!exchange_may_touch(x, x->argument)) return;
    if (service_fix(x->service, x->platform, x->argument, exchange_deadline(x), &report, &x->err) != ERR_OK) return;
    x->json = json_object_new();
    json_set(x->json, "success", json_new_bool(1));
    json_set(x->json, "account", report_to_validate_json(&report));
    json_set(x->json, "fixed", json_new_bool(report.fixed));
    json_set(x->json, "isValid", json_new_bool(report.is_valid));
}

void h_clear_cache(struct exchange *x)
{
    char account[LIMIT_ID_BYTES] = "";
    int one = json_member(x->body, "accountId") != NULL;

    if (one && (exchange_id(x, "accountId", account) != ERR_OK || !exchange_may_touch(x, account))) return;
    if (!one && !(x->key->scopes & SCOPE_ADMIN)) {
        err_set(&x->err, ERR_FORBIDDEN, NULL, "clearing the whole cache needs the scope admin");
        return;
    }
    if (!one && x->key->workspaces) {
        err_set(&x->err, ERR_FORBIDDEN, NULL, "clearing the whole cache needs a key for all workspaces");
        return;
    }
    if (service_clear_cache(x->service, x->platform, one ? account : NULL, &x->err) != ERR_OK) return;
    x->json = json_object_new();
    json_set(x->json, "success", json_new_bool(1));
    json_set(x->json, "message",
             json_new_string(one ? "the account's verdict is forgotten" : "all verdicts are forgotten"));
}

void h_stats(struct exchange *x)
{
    if (x->key->workspaces) {
        err_set(&x->err, ERR_FORBIDDEN, NULL, "statistics need a key for all workspaces");
        return;
    }
    service_stats(x->service, x->platform, &x->json, &x->err);
}
