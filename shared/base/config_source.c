/* One setting, whatever it comes from. */
#include "base/config_source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const app_key_names[APP_KEY_COUNT] = {"id", "secret", "secret_file"};

int config_key_index(const char *section, const char *name)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (!strcmp(config_keys[i].section, section) && !strcmp(config_keys[i].name, name)) return i;
    return -1;
}

static int section_exists(const char *section)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (!strcmp(config_keys[i].section, section)) return 1;
    return 0;
}

int config_partner(int index)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)(strlen(config_keys[index].name) - strlen("_file")),
             config_keys[index].name);
    return config_key_index(config_keys[index].section, name);
}

static enum err_code refuse_public(struct config_loading *l, const char *section, const char *name, const char *place)
{
    return err_set(l->err, ERR_CONFIG, place,
                   "[%s] %s: other users may read this file; chmod o= it, or put the secret into a file of its own",
                   section, name);
}

static enum err_code refuse_pair(struct config_loading *l, const char *section, const char *name, const char *place)
{
    return err_set(l->err, ERR_CONFIG, place, "[%s] %s and %s_file together; set one of them", section, name, name);
}

/* A secret that was broken into two lines looks like a name if it ends in "=": only what looks like ours is shown. */
static const char *shown(const char *name)
{
    size_t len = strlen(name);

    return len <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz_") == len ? name : "this line";
}

static int is_from_public_file(const struct config_loading *l, const char *value)
{
    return l->now == SOURCE_FILE && l->file_is_public && *value;
}

static int is_secret(const struct config_key *key, const char *value)
{
    return key->type == TYPE_SECRET || (key->type == TYPE_URI && strchr(value, '@'));
}

/* ---- [app.NAME] */

static int find_app(struct config *cfg, const char *platform)
{
    int i = 0;

    while (i < cfg->app_count && strcmp(cfg->apps[i].platform, platform) != 0)
        i++;
    if (i == cfg->app_count && i < CONFIG_APPS_MAX)
        snprintf(cfg->apps[cfg->app_count++].platform, sizeof cfg->apps[i].platform, "%s", platform);
    return i < CONFIG_APPS_MAX ? i : -1;
}

static enum err_code set_app(struct config_loading *l, int index, enum app_key key, const char *value,
                             const char *place)
{
    struct config_app *app = &l->cfg->apps[index];
    struct app_settings *settings = &l->apps[index];

    if (key == APP_SECRET) return config_secret_put(&app->secret, value, place, l->err);
    if (key == APP_ID) {
        if (strlen(value) >= sizeof app->id) return err_set(l->err, ERR_CONFIG, place, "the app id is too long");
        snprintf(app->id, sizeof app->id, "%s", value);
        return ERR_OK;
    }
    free(settings->secret_file);
    settings->secret_file = strdup(value);
    snprintf(settings->place, sizeof settings->place, "%s", place);
    return settings->secret_file ? ERR_OK : err_set(l->err, ERR_NOMEM, NULL, "no memory for the configuration");
}

static enum err_code take_app(struct config_loading *l, const char *section, const char *name, const char *value,
                              const char *place)
{
    const char *platform = section + strlen("app.");
    size_t len = strlen(platform);
    int key = 0, index;
    struct app_settings *settings;

    if (len == 0 || len >= sizeof l->cfg->apps[0].platform ||
        strspn(platform, "abcdefghijklmnopqrstuvwxyz0123456789_-") != len)
        return err_set(l->err, ERR_CONFIG, place, "a platform's name is 1 to 31 of a-z, 0-9, _ and -");
    while (key < APP_KEY_COUNT && strcmp(name, app_key_names[key]) != 0)
        key++;
    if (key == APP_KEY_COUNT)
        return err_set(l->err, ERR_CONFIG, place, "[%s] %s: there is no such key", section, shown(name));
    index = find_app(l->cfg, platform);
    if (index < 0) return err_set(l->err, ERR_CONFIG, place, "more than %d platforms", CONFIG_APPS_MAX);
    settings = &l->apps[index];
    if (settings->source[key] == l->now)
        return err_set(l->err, ERR_CONFIG, place, "[%s] %s stands twice", section, name);
    if (key == APP_SECRET && is_from_public_file(l, value)) return refuse_public(l, section, name, place);
    settings->source[key] = (unsigned char)l->now;
    if (settings->source[APP_SECRET] == settings->source[APP_SECRET_FILE] && key != APP_ID)
        return refuse_pair(l, section, "secret", place);
    return set_app(l, index, (enum app_key)key, value, place);
}

/* ---- all other sections */

static enum err_code check_pair(struct config_loading *l, int index, const char *place)
{
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        if (config_keys[i].type != TYPE_FILE || (i != index && config_partner(i) != index)) continue;
        if (l->source[i] == l->source[config_partner(i)])
            return refuse_pair(l, config_keys[i].section, config_keys[config_partner(i)].name, place);
    }
    return ERR_OK;
}

enum err_code config_take(struct config_loading *l, const char *section, const char *name, const char *value,
                          const char *place)
{
    enum err_code rc;
    int index;

    if (!strncmp(section, "app.", 4)) return take_app(l, section, name, value, place);
    index = config_key_index(section, name);
    if (index < 0 && !section_exists(section))
        return err_set(l->err, ERR_CONFIG, place, "[%s]: there is no such section", shown(section));
    if (index < 0) return err_set(l->err, ERR_CONFIG, place, "[%s] %s: there is no such key", section, shown(name));
    if (l->source[index] == l->now) return err_set(l->err, ERR_CONFIG, place, "[%s] %s stands twice", section, name);
    if (is_secret(&config_keys[index], value) && is_from_public_file(l, value))
        return refuse_public(l, section, name, place);
    l->source[index] = (unsigned char)l->now;
    snprintf(l->place[index], sizeof l->place[index], "%s", place);
    rc = check_pair(l, index, place);
    return rc == ERR_OK ? config_value_set(l->cfg, &config_keys[index], value, place, l->err) : rc;
}
