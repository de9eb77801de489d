#include "base/clock.h"
#include "health/guard_orders.h"
#include "health/service.h"

static struct guard_place place_of(struct service *s, const struct provider *provider)
{
    return (struct guard_place){service_cache(s), service_store(s), provider, service_config(s)->check_interval_ms};
}

struct survey {
    const struct guard_place *place;
    struct json *list;
    int tripped;
};

static void survey_one(void *arg, const char *app, const char *name)
{
    struct survey *survey = arg;
    struct json *j = json_object_new();
    struct guard_view view;

    guard_look(survey->place->cache, name, survey->place->interval_ms, &view);
    json_set(j, "platform", json_new_string(provider_platform(survey->place->provider)));
    json_set(j, "app", json_new_string(app));
    json_set(j, "state", json_new_string(guard_mode_word(view.mode)));
    if (view.mode == GUARD_TRIPPED) json_set(j, "since", json_new_date(clock_now_ms() - view.mode_ms));
    if (view.mode == GUARD_CONFIRMING) json_set(j, "until", json_new_date(clock_now_ms() + view.mode_ms));
    json_set(j, "burst", json_new_bool(view.is_burst));
    json_set(j, "bad", json_new_int(view.bad));
    json_set(j, "answers", json_new_int(view.answers));
    json_push(survey->list, j);
    survey->tripped += view.mode == GUARD_TRIPPED;
}

static enum err_code no_platform(const char *platform, struct err *err)
{
    return err_set(err, ERR_BAD_INPUT, NULL, "there is no provider file for the platform \"%s\"", platform);
}

enum err_code service_guard_status(struct service *service, const char *platform, struct json **out, int *tripped,
                                   struct err *err)
{
    const struct provider_set *all = service_providers(service);
    const struct provider *only = platform ? provider_find(all, platform) : NULL;
    struct survey survey = {.list = NULL};

    *out = NULL;
    if (platform && !only) return no_platform(platform, err);
    *out = json_object_new();
    survey.list = json_array_new();
    for (size_t i = 0; i < provider_count(all); i++) {
        const struct guard_place place = place_of(service, provider_at(all, i));

        if (only && place.provider != only) continue;
        guard_orders_look(&place);
        survey.place = &place;
        guard_each(place.provider, survey_one, &survey);
    }
    json_set(*out, "success", json_new_bool(1));
    json_set(*out, "guards", survey.list);
    if (tripped) *tripped = survey.tripped;
    return ERR_OK;
}

enum err_code service_guard_order(struct service *service, const char *platform, enum guard_order order, const char *by,
                                  struct err *err)
{
    const struct provider *provider = provider_find(service_providers(service), platform);
    const struct guard_place place = place_of(service, provider);

    return provider ? guard_orders_put(&place, order, by, err) : no_platform(platform, err);
}
