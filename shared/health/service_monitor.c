#include "base/log.h"
#include "health/service.h"
#include "health/watch.h"

enum err_code service_ask_sweep(struct service *service, const char *by, int64_t *id, struct err *err)
{
    enum err_code rc = store_meta_bump(service_store(service), watch_document(WATCH_SWEEP_REQUEST), 0, id, err);

    if (rc != ERR_OK) return rc;
    note_put(service_cache(service), WATCH_SWEEP_REQUEST, *id);
    log_info("TOKEN HEALTH", "a sweep is asked for", LOG_I("sweep", *id), LOG_S("by", by));
    return ERR_OK;
}

/* Later ones count for earlier ones. */
static struct json *sweep_json(const struct json *monitor, int64_t asked)
{
    const struct json *told = json_member(monitor, "askedSweep");
    struct json *j;
    int64_t id = 0;
    int complete = 0;

    if (!asked) return NULL;
    json_int(json_member(told, "id"), &id);
    json_bool(json_member(told, "complete"), &complete);
    j = id >= asked ? json_copy(told) : json_object_new();
    json_set(j, "id", json_new_int(asked));
    json_set(j, "state", json_new_string(id < asked ? "waiting" : complete ? "done" : "running"));
    return j;
}

enum err_code service_monitor(struct service *service, struct json **out, struct err *err)
{
    const char *const request = watch_document(WATCH_SWEEP_REQUEST);
    struct json *monitor = NULL, *settings = NULL;
    int64_t asked = 0;
    enum err_code rc = store_meta_get(service_store(service), "monitor", &monitor, err);

    *out = NULL;
    if (rc == ERR_NOT_FOUND) {
        err_clear(err);
        rc = ERR_OK;
    }
    if (rc == ERR_OK) rc = store_meta_versions(service_store(service), &request, 1, &asked, err);
    if (rc == ERR_OK) rc = service_settings(service, &settings, err);
    if (rc != ERR_OK) {
        json_free(monitor);
        return rc;
    }
    *out = json_object_new();
    json_set(*out, "success", json_new_bool(1));
    json_set(*out, "settings", settings);
    json_set(*out, "sweep", sweep_json(monitor, asked));
    json_set(*out, "monitor", monitor);
    return ERR_OK;
}
