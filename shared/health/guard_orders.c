#include "health/guard_orders.h"
#include "base/log.h"
#include "health/watch.h"
#include <stdio.h>
#include <string.h>

enum { APPS_MAX = 16, TRIES = 5 };

const char *guard_name(const char *platform, const char *app, char name[GUARD_NAME_BYTES])
{
    snprintf(name, GUARD_NAME_BYTES, "%s/%s", platform, app);
    return name;
}

void guard_each(const struct provider *provider, guard_fn *fn, void *arg)
{
    const struct login *first = provider_login(provider, &(const struct secret){0});
    const char *told[APPS_MAX];
    int count = 0;

    for (const struct login *l = first; l && count < APPS_MAX; l = provider_login_after(provider, first, l)) {
        char name[GUARD_NAME_BYTES];
        int i = 0;

        while (i < count && strcmp(told[i], login_app(l)) != 0)
            i++;
        if (i < count) continue;
        told[count++] = login_app(l);
        fn(arg, login_app(l), guard_name(provider_platform(provider), login_app(l), name));
    }
}

/* ---- obeying ---- */

struct obedience {
    struct cache *cache;
    enum guard_order order;
    int64_t left_ms;
};

static void obey_one(void *arg, const char *app, const char *name)
{
    const struct obedience *o = arg;

    (void)app;
    guard_obey(o->cache, name, o->order, o->left_ms);
}

/* Noted when it is done: killed before, another process does it again. */
static void obey(const struct guard_place *place, const struct json *order, int64_t now_ms)
{
    const char *platform = provider_platform(place->provider), *by = json_string(json_member(order, "by"));
    const int64_t seen_ms = guard_note_get(place->cache, platform, GUARD_NOTE_ORDER);
    struct obedience o = {.cache = place->cache};
    int64_t at_ms = 0;

    if (!guard_order_parse(json_string(json_member(order, "order")), &o.order)) return;
    if (!json_int(json_member(order, "atMs"), &at_ms) || at_ms == seen_ms) return;
    o.left_ms = (at_ms < now_ms ? at_ms - now_ms : 0) + guard_confirmed_ms(place->interval_ms);
    if (o.left_ms <= 0) return;
    guard_each(place->provider, obey_one, &o);
    if (guard_note_change(place->cache, platform, GUARD_NOTE_ORDER, seen_ms, at_ms))
        log_warn("TOKEN HEALTH", "the mass-failure guard obeys", LOG_S("platform", platform),
                 LOG_S("order", guard_order_word(o.order)), LOG_S("by", by));
}

static enum err_code read_orders(struct store *store, struct json **orders, struct err *err)
{
    enum err_code rc = store_meta_get(store, watch_document(WATCH_GUARD), orders, err);

    if (rc == ERR_OK && json_type(*orders) == JSON_OBJECT) return ERR_OK;
    if (rc != ERR_OK && rc != ERR_NOT_FOUND) return rc;
    err_clear(err);
    json_free(*orders);
    *orders = json_object_new();
    return ERR_OK;
}

void guard_orders_look(const struct guard_place *place)
{
    const char *platform = provider_platform(place->provider);
    struct json *orders = NULL;
    struct err err = {0};
    int64_t version, now_ms = 0;

    watch_look(place->cache, place->store, WATCH_EVERY_MS);
    version = watch_version(place->cache, WATCH_GUARD);
    if (version == guard_note_get(place->cache, platform, GUARD_NOTE_VERSION)) return;
    if (read_orders(place->store, &orders, &err) == ERR_OK && store_now(place->store, &now_ms, &err) == ERR_OK) {
        obey(place, json_member(orders, platform), now_ms);
        guard_note_put(place->cache, platform, GUARD_NOTE_VERSION, version);
    }
    json_free(orders);
}

/* ---- giving ---- */

/* ERR_CONFLICT: somebody ordered for another platform meanwhile. */
static enum err_code put_order(const struct guard_place *place, const struct json *order, struct err *err)
{
    const char *const document = watch_document(WATCH_GUARD);
    struct json *orders = NULL;
    int64_t version = 0;
    enum err_code rc = store_meta_versions(place->store, &document, 1, &version, err);

    if (rc == ERR_OK) rc = read_orders(place->store, &orders, err);
    if (rc == ERR_OK) {
        json_set(orders, provider_platform(place->provider), json_copy(order));
        rc = store_meta_swap(place->store, document, orders, version, err);
    }
    json_free(orders);
    return rc;
}

enum err_code guard_orders_put(const struct guard_place *place, enum guard_order order, const char *by, struct err *err)
{
    struct json *j = json_object_new();
    int64_t at_ms = 0;
    enum err_code rc = store_now(place->store, &at_ms, err);

    json_set(j, "order", json_new_string(guard_order_word(order)));
    json_set(j, "atMs", json_new_int(at_ms));
    json_set(j, "by", json_new_string(by));
    if (rc == ERR_OK) rc = ERR_CONFLICT;
    for (int i = 0; rc == ERR_CONFLICT && i < TRIES; i++) {
        err_clear(err);
        rc = put_order(place, j, err);
    }
    if (rc == ERR_OK) obey(place, j, at_ms);
    json_free(j);
    return rc;
}
