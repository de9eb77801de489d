/* The monitors: what they do, their settings, a sweep now. Of the whole service, whatever platform is in the path. */
#include "exchange.h"
#include "health/settings.h"
#include <stdio.h>

static int is_for_all(struct exchange *x)
{
    if (!x->key->workspaces) return 1;
    err_set(&x->err, ERR_FORBIDDEN, NULL, "the monitor needs a key for all workspaces");
    return 0;
}

static const char *asker(const struct exchange *x, char out[64])
{
    snprintf(out, 64, "key %s", x->key->id);
    return out;
}

void h_monitor(struct exchange *x)
{
    if (is_for_all(x)) service_monitor(x->service, &x->json, &x->err);
}

void h_monitor_change(struct exchange *x)
{
    char by[64];
    const struct settings_wish wish = {.changes = x->body, .by = asker(x, by)};
    struct json *settings = NULL;
    struct err err = {0};

    if (!is_for_all(x)) return;
    if (!json_count(x->body)) {
        err_set(&x->err, ERR_BAD_INPUT, NULL, "the body must name a setting, as in {\"batchSize\": 32}");
        return;
    }
    if (service_change_settings(x->service, &wish, &err) != ERR_OK) {
        err_set(&x->err, err.code, err.place, "%s%s%s", err.place, err.place[0] ? ": " : "", err.text);
        return;
    }
    if (service_settings(x->service, &settings, &x->err) != ERR_OK) return;
    x->json = json_object_new();
    json_set(x->json, "success", json_new_bool(1));
    json_set(x->json, "settings", settings);
}

void h_monitor_sweep(struct exchange *x)
{
    char by[64];
    int64_t id = 0;

    if (!is_for_all(x) || service_ask_sweep(x->service, asker(x, by), &id, &x->err) != ERR_OK) return;
    x->status = 202;
    x->json = json_object_new();
    json_set(x->json, "success", json_new_bool(1));
    json_set(x->json, "id", json_new_int(id));
    json_set(x->json, "message", json_new_string("all accounts are checked from now on"));
}
