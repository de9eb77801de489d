#include "base/clock.h"
#include "ctl.h"
#include "token/apikey.h"
#include <string.h>

struct checkup {
    struct json *list;
    int json, bad;
};

static void tell(struct checkup *c, const char *what, int good, const char *text)
{
    struct json *one;

    c->bad |= !good;
    if (!c->json) {
        printf("%-4s %-14s %s\n", good ? "ok" : "BAD", what, text);
        return;
    }
    one = json_object_new();
    json_set(one, "check", json_new_string(what));
    json_set(one, "ok", json_new_bool(good));
    json_set(one, "text", json_new_string(text));
    json_push(c->list, one);
}

static void tell_result(struct checkup *c, const char *what, enum err_code rc, const struct err *err, const char *good)
{
    char text[ERR_PLACE_MAX + ERR_TEXT_MAX + 4];

    snprintf(text, sizeof text, "%s%s%s", err->place, err->place[0] ? ": " : "", err->text);
    tell(c, what, rc == ERR_OK, rc == ERR_OK ? good : text);
}

static void report_index(void *arg, const char *sentence)
{
    tell(arg, "indexes", 0, sentence);
}

static void check_store(struct ctl *ctl, struct checkup *c)
{
    struct err err = {0};
    char text[256], name[128];
    int64_t start_ms = clock_mono_ms();
    enum err_code rc = store_ping(service_store(ctl->service), &err);

    snprintf(text, sizeof text, "%s answers in %lld ms", config_store_name(ctl->cfg, name, sizeof name),
             (long long)(clock_mono_ms() - start_ms));
    tell_result(c, "store", rc, &err, text);
    if (rc == ERR_OK) {
        rc = store_prepare(service_store(ctl->service), report_index, c, &err);
        tell_result(c, "indexes", rc, &err, "those that are needed are there");
    }
}

static void check_keys(struct ctl *ctl, struct checkup *c)
{
    struct apikeys *keys = NULL;
    struct err err = {0};
    enum err_code rc = apikey_load(ctl->cfg->keys_file, &keys, &err);

    tell_result(c, "API keys", rc, &err, ctl->cfg->keys_file);
    apikey_free(keys);
}

static void check_apps(struct ctl *ctl, struct checkup *c)
{
    for (size_t i = 0; i < provider_count(service_providers(ctl->service)); i++) {
        const char *platform = provider_platform(provider_at(service_providers(ctl->service), i));
        const struct config_app *app = config_app_find(ctl->cfg, platform);
        char text[160];

        snprintf(text, sizeof text, "%s: %s", platform,
                 app ? "app id and secret are set" : "no app id: tokens that need the app secret are not refreshed");
        tell(c, "platform", 1, text);
    }
}

static void check_all(struct ctl *ctl, struct checkup *c)
{
    struct err err = {0};
    enum err_code rc = config_load(ctl->config_path, &ctl->cfg, &err);

    tell_result(c, "configuration", rc, &err, ctl->config_path);
    if (rc != ERR_OK) return;
    rc = service_open(ctl->cfg, &ctl->service, &err);
    tell_result(c, "parts", rc, &err, "key ring, cache, providers and store are open");
    if (rc == ERR_OK) {
        check_store(ctl, c);
        check_apps(ctl, c);
    }
    check_keys(ctl, c);
    if (ctl->cfg->sandbox_url[0]) tell(c, "sandbox", 0, "provider calls go to sandbox_url: for tests only");
}

int cmd_doctor(struct ctl *ctl, int argc, char **argv)
{
    struct checkup c = {.json = ctl->json};
    int status = EXIT_DONE;

    (void)argv;
    if (argc > 1) return ctl_usage("doctor");
    if (c.json) c.list = json_array_new();
    check_all(ctl, &c);
    if (c.json) status = ctl_print(c.list);
    return status == EXIT_DONE && c.bad ? EXIT_FINDINGS : status;
}

int cmd_config(struct ctl *ctl, int argc, char **argv)
{
    struct buf out = {0};

    (void)ctl, (void)argv;
    if (argc > 1) return ctl_usage("config");
    config_print_sample(&out);
    fputs(buf_text(&out), stdout);
    buf_free(&out);
    return EXIT_DONE;
}
