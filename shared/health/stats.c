#include "base/clock.h"
#include "health/service.h"

static struct json *count_json(const struct cache *cache, enum counter counter)
{
    return json_new_int(counter_get(cache, counter));
}

static struct json *validator_json(struct service *s)
{
    const struct cache *cache = service_cache(s);
    struct json *j = json_object_new();
    int64_t used = 0, total = 0;

    cache_usage(cache, &used, &total);
    json_set(j, "validations", count_json(cache, COUNT_validations));
    json_set(j, "providerCalls", count_json(cache, COUNT_provider_calls));
    json_set(j, "budgetRefusals", count_json(cache, COUNT_budget_refusals));
    json_set(j, "definitive", count_json(cache, COUNT_provider_definitive));
    json_set(j, "inconclusive", count_json(cache, COUNT_provider_inconclusive));
    json_set(j, "cacheHits", count_json(cache, COUNT_cache_hits));
    json_set(j, "cacheMisses", count_json(cache, COUNT_cache_misses));
    json_set(j, "cacheStale", count_json(cache, COUNT_cache_stale));
    json_set(j, "flightsShared", count_json(cache, COUNT_flights_shared));
    json_set(j, "cacheEntries", json_new_int(used));
    json_set(j, "cacheCapacity", json_new_int(total));
    json_set(j, "cacheTtlSeconds", json_new_int(service_config(s)->cache_ttl_ms / 1000));
    return j;
}

static struct json *checker_json(struct service *s)
{
    const struct cache *cache = service_cache(s);
    struct json *j = json_object_new();

    json_set(j, "requests", count_json(cache, COUNT_http_requests));
    json_set(j, "errors", count_json(cache, COUNT_http_errors));
    json_set(j, "checks", count_json(cache, COUNT_checks));
    json_set(j, "fixes", count_json(cache, COUNT_fixes));
    json_set(j, "fixConflicts", count_json(cache, COUNT_fix_conflicts));
    json_set(j, "refreshes", count_json(cache, COUNT_refreshes));
    json_set(j, "refreshFailures", count_json(cache, COUNT_refresh_failures));
    json_set(j, "stateChanges", count_json(cache, COUNT_state_changes));
    json_set(j, "held", count_json(cache, COUNT_held));
    json_set(j, "storeErrors", count_json(cache, COUNT_store_errors));
    return j;
}

static struct json *accounts_json(const struct store_counts *counts)
{
    struct json *j = json_object_new(), *states = json_object_new(), *statuses = json_object_new();

    json_set(j, "total", json_new_int(counts->total));
    json_set(j, "active", json_new_int(counts->active));
    json_set(j, "needsReconnection", json_new_int(counts->needs_reconnection));
    for (int i = 0; i < counts->state_count; i++)
        json_set(states, counts->by_state[i].word[0] ? counts->by_state[i].word : "unchecked",
                 json_new_int(counts->by_state[i].count));
    for (int i = 0; i < counts->status_count; i++)
        json_set(statuses, counts->by_status[i].word[0] ? counts->by_status[i].word : "none",
                 json_new_int(counts->by_status[i].count));
    json_set(j, "byState", states);
    json_set(j, "byTokenStatus", statuses);
    return j;
}

static struct json *providers_json(const struct service *s)
{
    struct json *list = json_array_new();

    for (size_t i = 0; i < provider_count(service_providers(s)); i++)
        json_push(list, json_new_string(provider_platform(provider_at(service_providers(s), i))));
    return list;
}

enum err_code service_stats(struct service *service, const char *platform, struct json **out, struct err *err)
{
    struct store_counts counts = {0};
    struct json *monitor = NULL;
    enum err_code rc = store_count(service_store(service), platform, &counts, err);

    *out = NULL;
    if (rc == ERR_OK) rc = store_meta_get(service_store(service), "monitor", &monitor, err);
    if (rc == ERR_NOT_FOUND) {
        err_clear(err);
        rc = ERR_OK;
    }
    if (rc != ERR_OK) return rc;
    *out = json_object_new();
    json_set(*out, "success", json_new_bool(1));
    json_set(*out, "validator", validator_json(service));
    json_set(*out, "healthChecker", checker_json(service));
    json_set(*out, "monitor", monitor);
    json_set(*out, "accounts", accounts_json(&counts));
    json_set(*out, "providers", providers_json(service));
    json_set(*out, "timestamp", json_new_date(clock_now_ms()));
    return ERR_OK;
}
