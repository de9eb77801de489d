/* check: the middleware's question. From the cache it touches shared memory only. */
#include "base/clock.h"
#include "exchange.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct question {
    const char *workspace, *account; /* exactly one */
    char workspace_text[LIMIT_ID_BYTES], account_text[LIMIT_ID_BYTES];
    int64_t valid_for_s; /* -1: not asked */
};

static int parse_valid_for(struct exchange *x, const char *text, struct question *q)
{
    size_t len = strlen(text);

    if (len == 0 || len > 8 || strspn(text, "0123456789") != len || strtol(text, NULL, 10) > LIMIT_VALID_FOR_S) {
        err_set(&x->err, ERR_BAD_INPUT, "valid_for", "valid_for is a number of seconds from 0 to %d",
                LIMIT_VALID_FOR_S);
        return 0;
    }
    q->valid_for_s = strtol(text, NULL, 10);
    return 1;
}

/* Where the web server names the account, what a client puts into the query is no part of the question. */
static int read_valid_for(struct exchange *x, struct question *q)
{
    char text[LIMIT_ID_BYTES];
    int found;

    if (x->req->valid_for_param[0]) return parse_valid_for(x, x->req->valid_for_param, q);
    if (x->req->is_named) return 1;
    found = exchange_query(x, "valid_for", text);
    return found > 0 ? parse_valid_for(x, text, q) : found == 0;
}

/* What the web server set goes before what the client sent, also where it set nothing: then nobody is asked about. */
static int read_question(struct exchange *x, struct question *q)
{
    int workspace = 0, account = 0;

    if (x->req->is_named) {
        q->workspace = x->req->workspace_param[0] ? x->req->workspace_param : NULL;
        q->account = x->req->account_param[0] ? x->req->account_param : NULL;
    } else {
        workspace = exchange_query(x, "workspaceId", q->workspace_text);
        account = exchange_query(x, "accountId", q->account_text);
        if (workspace < 0 || account < 0) return 0;
        q->workspace = workspace ? q->workspace_text : NULL;
        q->account = account ? q->account_text : NULL;
    }
    if (!q->workspace == !q->account) {
        err_set(&x->err, ERR_BAD_INPUT, NULL, "exactly one of workspaceId and accountId is needed");
        return 0;
    }
    return read_valid_for(x, q);
}

static int may_see_hash(const struct exchange *x, uint64_t workspace_hash)
{
    if (!x->key->workspaces) return 1;
    for (int i = 0; i < x->key->workspace_count; i++)
        if (cache_hash_id(service_cache(x->service), x->key->workspaces[i]) == workspace_hash) return 1;
    return 0;
}

static void say(struct exchange *x, const struct question *q, const struct check_result *r)
{
    static const char *const words[] = {[LASTS_NOT_KNOWN] = "unknown", [LASTS_YES] = "yes", [LASTS_NO] = "no"};
    int enforce = service_config(x->service)->authorizer_mode == AUTHORIZER_ENFORCE;

    snprintf(x->health, sizeof x->health, "%s; %s", state_word(r->state), reason_word(r->reason));
    x->is_stale = r->stale;
    if (q->valid_for_s >= 0) x->lasts = words[check_lasts(r, clock_now_ms() + q->valid_for_s * 1000)];
    x->status = 204;
    if (!enforce) return;
    if (verdict_blocks(r->state, r->action))
        err_set(&x->err, ERR_FORBIDDEN, NULL, "the account's token does not work: %s; %s", reason_word(r->reason),
                action_word(r->action));
    else if (x->lasts == words[LASTS_NO] && r->state != STATE_BROKEN)
        err_set(&x->err, ERR_FORBIDDEN, NULL, "the account's token expires within %lld s", (long long)q->valid_for_s);
    if (x->err.code != ERR_OK) x->status = 403;
}

/* A cached verdict of somebody else's account goes the way of an unknown one, store included: not even the time it takes tells that
 * it is there. And nobody makes us call a provider for an account that is not theirs. */
static enum err_code ask(struct exchange *x, const struct question *q, struct check_result *result)
{
    int guarded = q->account && x->key->workspaces;

    if (service_check_cached(x->service, x->platform, q->workspace, q->account, result) &&
        (!guarded || may_see_hash(x, result->workspace_hash)))
        return ERR_OK;
    if (guarded && !exchange_may_touch(x, q->account) && x->err.code != ERR_UNAVAILABLE) return x->err.code;
    err_clear(&x->err);
    if (service_check(x->service, x->platform, q->workspace, q->account, result, &x->err) != ERR_OK) return x->err.code;
    if (guarded && !may_see_hash(x, result->workspace_hash)) /* from the cache: the store is away */
        return err_set(&x->err, ERR_UNAVAILABLE, NULL, "the account store cannot be reached");
    return ERR_OK;
}

void h_check(struct exchange *x)
{
    struct check_result result;
    struct question q = {.valid_for_s = -1};
    enum err_code rc;

    counter_add(service_cache(x->service), COUNT_checks, 1);
    if (!read_question(x, &q)) return;
    if (service_config(x->service)->authorizer_mode == AUTHORIZER_OFF) {
        x->status = 204;
        return;
    }
    if (q.workspace && !exchange_may_see(x, q.workspace)) {
        exchange_deny(x);
        return;
    }
    rc = ask(x, &q, &result);
    if (rc == ERR_NOT_FOUND)
        exchange_deny(x);
    else if (rc == ERR_OK)
        say(x, &q, &result);
}
