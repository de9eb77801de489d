#include "base/config.h"
#include "base/buf.h"
#include "base/config_source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct config_key config_keys[CONFIG_KEY_COUNT] = {
#define CONFIG(section, name, type, field, def, min, max, help)                                                        \
    {#section, #name, TYPE_##type, offsetof(struct config, field), def, min, max, help},
#include "base/config.def"
#undef CONFIG
};

/* ---- what is in files of its own */

static const char *text_of(const struct config *cfg, int index)
{
    return *(char *const *)(const void *)((const char *)cfg + config_keys[index].offset);
}

static enum err_code read_value_file(struct config_loading *l, int index)
{
    const struct config_key *partner = &config_keys[config_partner(index)];
    const char *path = text_of(l->cfg, index), *place = l->place[index];
    struct secret content = {0};
    enum err_code rc;

    if (!*path || l->source[config_partner(index)] > l->source[index]) return ERR_OK;
    rc = config_read_secret(path, &content, place, l->err);
    if (rc == ERR_OK) rc = config_value_set(l->cfg, partner, (const char *)secret_bytes(&content), place, l->err);
    secret_free(&content);
    return rc;
}

static enum err_code read_app_secret(struct config_loading *l, int index)
{
    const struct app_settings *settings = &l->apps[index];

    if (!settings->secret_file || !*settings->secret_file ||
        settings->source[APP_SECRET] > settings->source[APP_SECRET_FILE])
        return ERR_OK;
    return config_read_secret(settings->secret_file, &l->cfg->apps[index].secret, settings->place, l->err);
}

static enum err_code add_old_key(struct config_loading *l, const char *entry, const char *place)
{
    struct config *cfg = l->cfg;
    struct config_old_key *key = &cfg->old_keys[cfg->old_key_count];
    const char *colon = strchr(entry, ':');

    if (cfg->old_key_count == CONFIG_OLD_KEYS_MAX)
        return err_set(l->err, ERR_CONFIG, place, "[encryption] old_keys: at most %d keys", CONFIG_OLD_KEYS_MAX);
    if (!colon || colon == entry || (size_t)(colon - entry) >= sizeof key->kid)
        return err_set(l->err, ERR_CONFIG, place, "[encryption] old_keys: kid:/path/of/file is expected");
    memcpy(key->kid, entry, (size_t)(colon - entry));
    key->kid[colon - entry] = '\0';
    cfg->old_key_count++;
    return config_read_secret(colon + 1, &key->key, place, l->err);
}

static enum err_code read_old_keys(struct config_loading *l)
{
    char *list = strdup(l->cfg->encryption_old_keys), *rest = NULL;
    const char *place = l->place[CONFIG_KEY_encryption_old_keys];
    enum err_code rc = list ? ERR_OK : err_set(l->err, ERR_NOMEM, NULL, "no memory for the configuration");

    for (char *entry = list ? strtok_r(list, " ", &rest) : NULL; rc == ERR_OK && entry;
         entry = strtok_r(NULL, " ", &rest))
        rc = add_old_key(l, entry, place);
    free(list);
    return rc;
}

/* Else each request that takes its time would be taken for a stuck one. */
static enum err_code check_times(struct config_loading *l)
{
    const struct config *cfg = l->cfg;
    const char *place = l->place[CONFIG_KEY_stuck_timeout_ms];

    if (!cfg->stuck_timeout_ms || cfg->stuck_timeout_ms > cfg->request_timeout_ms) return ERR_OK;
    if (!*place) place = l->place[CONFIG_KEY_request_timeout_ms];
    return err_set(l->err, ERR_CONFIG, place,
                   "[responder] stuck_timeout: longer than request_timeout is expected, or 0");
}

static enum err_code load(struct config_loading *l, const char *path)
{
    enum err_code rc = ERR_OK;

    for (int i = 0; rc == ERR_OK && i < CONFIG_KEY_COUNT; i++)
        rc = config_value_set(l->cfg, &config_keys[i], config_keys[i].def, "default", l->err);
    if (rc == ERR_OK && path) rc = config_read_file(l, path);
    if (rc == ERR_OK) rc = config_read_environment(l);
    for (int i = 0; rc == ERR_OK && i < CONFIG_KEY_COUNT; i++)
        if (config_keys[i].type == TYPE_FILE) rc = read_value_file(l, i);
    for (int i = 0; rc == ERR_OK && i < l->cfg->app_count; i++)
        rc = read_app_secret(l, i);
    if (rc == ERR_OK) rc = check_times(l);
    return rc == ERR_OK ? read_old_keys(l) : rc;
}

enum err_code config_load(const char *path, struct config **cfg, struct err *err)
{
    struct config_loading *l = calloc(1, sizeof *l);
    struct config *c = calloc(1, sizeof *c);
    enum err_code rc = ERR_NOMEM;

    *cfg = NULL;
    if (l && c) {
        l->cfg = c;
        l->err = err;
        rc = load(l, path);
    } else {
        err_set(err, ERR_NOMEM, NULL, "no memory for the configuration");
    }
    for (int i = 0; l && i < CONFIG_APPS_MAX; i++)
        free(l->apps[i].secret_file);
    free(l);
    if (rc == ERR_OK)
        *cfg = c;
    else
        config_free(c);
    return rc;
}

void config_free(struct config *cfg)
{
    if (!cfg) return;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        config_value_free(cfg, &config_keys[i]);
    for (int i = 0; i < cfg->app_count; i++)
        secret_free(&cfg->apps[i].secret);
    for (int i = 0; i < cfg->old_key_count; i++)
        secret_free(&cfg->old_keys[i].key);
    free(cfg);
}

const struct config_app *config_app_find(const struct config *cfg, const char *platform)
{
    for (int i = 0; i < cfg->app_count; i++)
        if (!strcmp(cfg->apps[i].platform, platform)) return &cfg->apps[i];
    return NULL;
}

const char *config_store_name(const struct config *cfg, char *out, size_t size)
{
    const char *uri = cfg->store_uri, *rest, *at = strrchr(uri, '@');
    size_t scheme = strcspn(uri, ":");

    if (!strncmp(uri, "sqlite:", 7)) {
        snprintf(out, size, "%s", uri);
        return out;
    }
    if (!strncmp(uri + scheme, "://", 3)) scheme += 3;
    if (at && at < uri + scheme) scheme = 0; /* "user@host" */
    rest = at ? at + 1 : uri + scheme;
    snprintf(out, size, "%.*s%.*s", (int)scheme, uri, (int)strcspn(rest, "?"), rest);
    return out;
}

void config_print_sample(struct buf *out)
{
    const char *section = "";

    buf_puts(out, "# token-health configuration. A key that is commented out has the value shown.\n"
                  "# Each key can also be set by the environment variable TOKEN_HEALTH_<SECTION>_<KEY>.\n");
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];

        if (strcmp(section, key->section) != 0) buf_printf(out, "\n[%s]\n", key->section);
        section = key->section;
        buf_printf(out, "# %s%s\n#%s = %s\n", key->type == TYPE_CHOICE ? "One of " : "", key->help, key->name,
                   key->def);
    }
    buf_puts(out, "\n# Your registration at a platform, for calls that need the app's id and secret.\n"
                  "#[app.instagram]\n#id = 1234567890\n#secret_file = /etc/token-health/instagram-app-secret\n");
}
