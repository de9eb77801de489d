/* check: the middleware's question. From the cache it touches shared memory only. */
#include "exchange.h"
#include <stdio.h>

struct question {
    const char *workspace, *account; /* exactly one */
    char workspace_text[LIMIT_ID_BYTES], account_text[LIMIT_ID_BYTES];
};

/* What the web server set goes before what the client sent. */
static int read_question(struct exchange *x, struct question *q)
{
    int workspace = 0, account = 0;

    if (x->req->workspace_param[0] || x->req->account_param[0]) {
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
    return 1;
}

static int may_see_hash(const struct exchange *x, uint64_t workspace_hash)
{
    if (!x->key->workspaces) return 1;
    for (int i = 0; i < x->key->workspace_count; i++)
        if (cache_hash_id(service_cache(x->service), x->key->workspaces[i]) == workspace_hash) return 1;
    return 0;
}

static void say(struct exchange *x, const struct check_result *r)
{
    const struct config *cfg = service_config(x->service);

    snprintf(x->health, sizeof x->health, "%s; %s", state_word(r->state), reason_word(r->reason));
    x->is_stale = r->stale;
    x->status = cfg->authorizer_mode == AUTHORIZER_ENFORCE && verdict_blocks(r->state, r->action) ? 403 : 204;
    if (x->status == 403)
        err_set(&x->err, ERR_FORBIDDEN, NULL, "the account's token does not work: %s; %s", reason_word(r->reason),
                action_word(r->action));
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
    struct question q = {0};
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
        say(x, &result);
}
