/* check: the hot path. A fresh answer touches shared memory only. */
#include "base/clock.h"
#include "health/service_private.h"

static struct cache_key check_key(struct service *s, const char *platform, const char *workspace,
                                  const char *account_id)
{
    return workspace ? cache_key_workspace(service_cache(s), platform, workspace)
                     : cache_key_account(service_cache(s), platform, account_id);
}

static int check_find(struct service *s, struct cache_key key, int stale_too, struct check_result *out)
{
    struct cache_verdict hit;
    enum cache_hit found = cache_find(service_cache(s), key, &hit);

    if (found == CACHE_MISS || (found == CACHE_STALE && !stale_too)) return 0;
    if (hit.state >= STATE_COUNT || hit.reason >= REASON_COUNT || hit.action >= ACTION_COUNT) return 0;
    *out = (struct check_result){
        .state = hit.state,
        .reason = hit.reason == REASON_NONE ? (enum reason)hit.attempt_reason : (enum reason)hit.reason,
        .action = hit.action,
        .checked_at_ms = hit.checked_at_ms,
        .expires_at_ms = hit.expires_at_ms,
        .workspace_hash = hit.workspace_hash,
        .source = SOURCE_CACHE,
        .stale = found == CACHE_STALE || (hit.flags & CACHED_LATE),
    };
    if (out->reason >= REASON_COUNT) out->reason = REASON_NONE;
    return 1;
}

int service_check_cached(struct service *service, const char *platform, const char *workspace, const char *account_id,
                         struct check_result *out)
{
    if (!check_find(service, check_key(service, platform, workspace, account_id), 0, out)) return 0;
    counter_add(service_cache(service), COUNT_cache_hits, 1);
    return 1;
}

static void check_from_report(struct service *s, const struct account_report *r, struct check_result *out)
{
    *out = (struct check_result){
        .state = r->verdict.state,
        .reason = r->verdict.reason == REASON_NONE ? r->verdict.attempt_reason : r->verdict.reason,
        .action = r->verdict.action,
        .checked_at_ms = r->verdict.checked_at_ms,
        .expires_at_ms = r->expires_at_ms,
        .workspace_hash = cache_hash_id(service_cache(s), r->workspace),
        .source = r->source,
        .stale = r->is_late,
    };
}

static enum err_code check_account(struct service *s, const char *platform, const char *account_id,
                                   int64_t deadline_mono_ms, struct check_result *out, struct err *err)
{
    const struct service_terms terms = {.deadline_mono_ms = deadline_mono_ms};
    struct validate_options options = service_options(service_config(s), &terms);
    struct account account = {0};
    struct account_report report = {0};
    enum err_code store_error = ERR_OK, rc = service_find_account(s, account_id, platform, &account, err);

    if (rc == ERR_OK) rc = service_validate_account(s, &account, &options, &report, &store_error, err);
    if (rc == ERR_OK) check_from_report(s, &report, out);
    account_fini(&account);
    return rc;
}

/* How long an account's report still counts, as the account's own cache entry does. */
static int64_t report_ttl(struct service *s, const struct account_report *r, int64_t now_ms)
{
    int64_t ttl_ms = service_config(s)->cache_ttl_ms, age_ms = now_ms - r->verdict.checked_at_ms;

    if (r->verdict.attempt_reason != REASON_NONE) return service_config(s)->cache_inconclusive_ttl_ms;
    if (r->verdict.state == STATE_DISCONNECTED) return ttl_ms;
    if (verdict_unconfirmed(&r->verdict, validator_settings(service_validator(s))))
        ttl_ms = service_config(s)->confirm_interval_ms;
    if (ttl_ms > service_config(s)->cache_ttl_ms) ttl_ms = service_config(s)->cache_ttl_ms;
    if (age_ms > 0) ttl_ms -= age_ms;
    return ttl_ms > 1000 ? ttl_ms : 1000;
}

/* One that had passed when the provider accepted the token is none. */
static int64_t known_expiry(enum state state, int64_t expires_at_ms, int64_t checked_at_ms)
{
    int accepted = state == STATE_HEALTHY || state == STATE_EXPIRING || state == STATE_LIMITED;

    return accepted && expires_at_ms > checked_at_ms ? expires_at_ms : 0;
}

static int64_t first_expiry(const struct report_list *list)
{
    int64_t first_ms = 0;

    for (int i = 0; i < list->count; i++) {
        const struct account_report *r = &list->items[i];
        int64_t ms = known_expiry(r->verdict.state, r->expires_at_ms, r->verdict.checked_at_ms);

        if (ms && (!first_ms || ms < first_ms)) first_ms = ms;
    }
    return first_ms;
}

enum lasts check_lasts(const struct check_result *result, int64_t until_ms)
{
    int64_t expires_at_ms = known_expiry(result->state, result->expires_at_ms, result->checked_at_ms);

    if (result->state == STATE_BROKEN) return LASTS_NO;
    if (!expires_at_ms) return LASTS_NOT_KNOWN;
    return until_ms <= expires_at_ms ? LASTS_YES : LASTS_NO;
}

static void put_worst(struct service *s, const char *platform, const char *workspace, const struct report_list *list,
                      uint32_t generation, struct check_result *out)
{
    int64_t now_ms = clock_now_ms(), ttl_ms = service_config(s)->cache_ttl_ms;
    const struct account_report *worst = &list->items[0];
    const struct cache_key key = cache_key_workspace(service_cache(s), platform, workspace);
    struct cache_verdict entry;
    int is_late = 0;

    for (int i = 0; i < list->count; i++) {
        const struct account_report *r = &list->items[i];
        int64_t left_ms = report_ttl(s, r, now_ms);

        if (left_ms < ttl_ms) ttl_ms = left_ms;
        is_late |= r->is_late;
        if (r->verdict.state != worst->verdict.state &&
            state_worse(r->verdict.state, worst->verdict.state) == r->verdict.state)
            worst = r;
    }
    check_from_report(s, worst, out);
    out->expires_at_ms = first_expiry(list);
    out->workspace_hash = cache_hash_id(service_cache(s), workspace);
    out->stale = is_late;                              /* one that was not looked at may be the worst by now */
    if (is_late && check_find(s, key, 0, out)) return; /* somebody else had the time */
    entry = (struct cache_verdict){
        .state = (uint8_t)out->state,
        .reason = (uint8_t)worst->verdict.reason,
        .action = (uint8_t)out->action,
        .attempt_reason = (uint8_t)worst->verdict.attempt_reason,
        .flags = is_late ? CACHED_LATE : 0,
        .checked_at_ms = out->checked_at_ms,
        .expires_at_ms = out->expires_at_ms,
        .workspace_hash = out->workspace_hash,
    };
    cache_put(service_cache(s), key, &entry, ttl_ms, generation);
}

static enum err_code check_workspace(struct service *s, const char *platform, const char *workspace,
                                     int64_t deadline_mono_ms, struct check_result *out, struct err *err)
{
    const struct service_terms terms = {.deadline_mono_ms = deadline_mono_ms};
    struct report_list list = {0};
    uint32_t generation = cache_generation(service_cache(s));
    enum err_code rc = service_validate(s, platform, workspace, &terms, &list, err);

    if (rc == ERR_OK && list.count == 0)
        rc = err_set(err, ERR_NOT_FOUND, NULL, "the workspace has no account on %s", platform);
    if (rc == ERR_OK) put_worst(s, platform, workspace, &list, generation, out);
    report_list_fini(&list);
    return rc;
}

enum err_code service_check(struct service *service, const char *platform, const char *workspace,
                            const char *account_id, struct check_result *out, struct err *err)
{
    int64_t timeout_ms = service_config(service)->check_timeout_ms;
    int64_t deadline_mono_ms = timeout_ms ? clock_mono_ms() + timeout_ms : 0;
    struct err first = {0};
    enum err_code rc;

    if (service_check_cached(service, platform, workspace, account_id, out)) return ERR_OK;
    rc = workspace ? check_workspace(service, platform, workspace, deadline_mono_ms, out, &first)
                   : check_account(service, platform, account_id, deadline_mono_ms, out, &first);
    /* With the store away or damaged a verdict past its time is a better answer than none: an outage disconnects nobody. */
    if ((rc == ERR_UNAVAILABLE || rc == ERR_IO) &&
        check_find(service, check_key(service, platform, workspace, account_id), 1, out)) {
        counter_add(service_cache(service), COUNT_cache_stale, 1);
        return ERR_OK;
    }
    if (rc != ERR_OK) err_set(err, rc, first.place, "%s", first.text);
    return rc;
}
