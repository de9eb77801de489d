#include "base/config.h"
#include "base/buf.h"
#include "base/config_value.h"
#include "base/limits.h"
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct config_key config_keys[] = {
#define CONFIG(section, name, type, field, def, min, max, help)                                                        \
    {#section, #name, TYPE_##type, offsetof(struct config, field), def, min, max, help},
#include "base/config.def"
#undef CONFIG
};
const int config_key_count = sizeof config_keys / sizeof *config_keys;
enum { KEY_COUNT = sizeof config_keys / sizeof *config_keys };

extern char **environ;

/* What is known while a file is read. */
struct reading {
    struct config *cfg;
    const char *path;
    unsigned char seen[KEY_COUNT];
    char app_keys[CONFIG_APPS_MAX][3]; /* id, secret, secret_file already set in this file */
    struct err *err;
    enum err_code rc;
    int lineno;
};

static const struct config_key *find_key(const char *section, const char *name)
{
    for (int i = 0; i < KEY_COUNT; i++)
        if (!strcmp(config_keys[i].section, section) && !strcmp(config_keys[i].name, name)) return &config_keys[i];
    return NULL;
}

static int section_exists(const char *section)
{
    for (int i = 0; i < KEY_COUNT; i++)
        if (!strcmp(config_keys[i].section, section)) return 1;
    return 0;
}

static struct config_app *app_of(struct config *cfg, const char *platform)
{
    size_t len = strlen(platform);

    for (int i = 0; i < cfg->app_count; i++)
        if (!strcmp(cfg->apps[i].platform, platform)) return &cfg->apps[i];
    if (len == 0 || len >= sizeof cfg->apps[0].platform || cfg->app_count == CONFIG_APPS_MAX) return NULL;
    memcpy(cfg->apps[cfg->app_count].platform, platform, len + 1);
    return &cfg->apps[cfg->app_count++];
}

static enum err_code set_app(struct config *cfg, const char *platform, const char *name, const char *value,
                             const char *place, struct err *err)
{
    struct config_app *app = app_of(cfg, platform);

    if (!app)
        return err_set(err, ERR_CONFIG, place, "[app.%.40s]: a platform name is expected, and at most %d of them",
                       platform, CONFIG_APPS_MAX);
    if (!strcmp(name, "id")) {
        if (strlen(value) >= sizeof app->id) return err_set(err, ERR_CONFIG, place, "the app id is too long");
        strcpy(app->id, value);
        return ERR_OK;
    }
    if (!strcmp(name, "secret")) return secret_put(&app->secret, value, strlen(value), err);
    if (!strcmp(name, "secret_file")) return config_read_secret(value, &app->secret, place, err);
    return err_set(err, ERR_CONFIG, place, "[app.%s] %s: unknown key; id, secret and secret_file are known", platform,
                   name);
}

static enum err_code take_app_line(struct reading *r, const char *platform, const char *name, const char *value,
                                   const char *place)
{
    enum err_code rc = set_app(r->cfg, platform, name, value, place, r->err);
    int which = !strcmp(name, "id") ? 0 : !strcmp(name, "secret") ? 1 : 2;
    long index;

    if (rc != ERR_OK) return rc;
    index = app_of(r->cfg, platform) - r->cfg->apps;
    if (r->app_keys[index][which]++)
        return err_set(r->err, ERR_CONFIG, place, "[app.%s] %s stands twice", platform, name);
    if (r->app_keys[index][1] && r->app_keys[index][2])
        return err_set(r->err, ERR_CONFIG, place, "[app.%s]: secret and secret_file together", platform);
    return ERR_OK;
}

static enum err_code take_line(struct reading *r, const char *section, const char *name, const char *value)
{
    char place[ERR_PLACE_MAX];
    const struct config_key *key;

    snprintf(place, sizeof place, "%s:%d", r->path, r->lineno);
    if (!strncmp(section, "app.", 4)) return take_app_line(r, section + 4, name, value, place);
    key = find_key(section, name);
    if (!key && !section_exists(section))
        return err_set(r->err, ERR_CONFIG, place, "[%s]: there is no such section", section);
    if (!key) return err_set(r->err, ERR_CONFIG, place, "[%s] %s: there is no such key", section, name);
    if (r->seen[key - config_keys]++) return err_set(r->err, ERR_CONFIG, place, "[%s] %s stands twice", section, name);
    return config_value_set(r->cfg, key, value, place, r->err);
}

static int on_line(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *r = arg;

    if (r->rc == ERR_OK) r->rc = take_line(r, section, name, value ? value : "");
    return r->rc == ERR_OK;
}

/* inih takes " ;" for a comment inside a value and joins indented lines. Both would change a value without a word, so each
 * line is handed over alone, with the section in front, and a value with " ;" or " #" is refused. */
static enum err_code check_raw(const struct reading *r, const char *line)
{
    char place[ERR_PLACE_MAX];
    const char *equals = strchr(line, '=');

    snprintf(place, sizeof place, "%s:%d", r->path, r->lineno);
    if ((line[0] == ' ' || line[0] == '\t') && line[strspn(line, " \t\r\n")])
        return err_set(r->err, ERR_CONFIG, place, "a line must not begin with white space");
    if (line[0] != ';' && line[0] != '#' && equals &&
        (strstr(equals, " ;") || strstr(equals, "\t;") || strstr(equals, " #")))
        return err_set(r->err, ERR_CONFIG, place, "a comment must stand on a line of its own");
    return ERR_OK;
}

static enum err_code read_section(struct reading *r, const char *line, char *section, size_t size)
{
    char place[ERR_PLACE_MAX];
    const char *end = strchr(line, ']');
    size_t len = end ? (size_t)(end - line - 1) : 0;

    snprintf(place, sizeof place, "%s:%d", r->path, r->lineno);
    if (!end || len == 0 || len >= size || end[1 + strspn(end + 1, " \t\r\n")])
        return err_set(r->err, ERR_CONFIG, place, "a section name in brackets is expected");
    memcpy(section, line + 1, len);
    section[len] = '\0';
    return ERR_OK;
}

static enum err_code read_lines(struct reading *r, FILE *file)
{
    char *line = NULL, section[64] = "", place[ERR_PLACE_MAX];
    struct buf pair = {0};
    size_t cap = 0;

    while (r->rc == ERR_OK && getline(&line, &cap, file) >= 0) {
        r->lineno++;
        snprintf(place, sizeof place, "%s:%d", r->path, r->lineno);
        if ((r->rc = check_raw(r, line)) != ERR_OK) break;
        if (line[0] == '[') {
            r->rc = read_section(r, line, section, sizeof section);
            continue;
        }
        if (strchr("#;\r\n", line[0])) continue;
        buf_reset(&pair);
        buf_printf(&pair, "[%s]\n%s", section, line);
        if (!section[0] || pair.len > INI_MAX_LINE * 8 || ini_parse_string(buf_text(&pair), on_line, r) != 0)
            if (r->rc == ERR_OK)
                r->rc = err_set(r->err, ERR_CONFIG, place, "\"key = value\" below a [section] is expected");
    }
    if (line) secret_wipe(line, cap);
    free(line);
    buf_free(&pair);
    return r->rc;
}

static enum err_code read_file(struct config *cfg, const char *path, struct err *err)
{
    struct reading r = {.cfg = cfg, .path = path, .err = err};
    FILE *file = fopen(path, "re");

    if (!file) return err_set(err, ERR_CONFIG, path, "%s", strerror(errno));
    read_lines(&r, file);
    fclose(file);
    return r.rc;
}

/* ---- environment ---- */

static void upper(char *text)
{
    for (; *text; text++)
        *text = (char)toupper((unsigned char)*text);
}

static enum err_code set_from(struct config *cfg, const char *variable, const char *section, const char *name,
                              struct err *err)
{
    const char *value = getenv(variable);

    return value ? config_value_set(cfg, find_key(section, name), value, variable, err) : ERR_OK;
}

/* INSTAGRAM_APP_ID and INSTAGRAM_APP_SECRET, for any platform. */
static enum err_code read_app_variables(struct config *cfg, struct err *err)
{
    static const char *const suffixes[] = {"_APP_ID=", "_APP_SECRET="};
    enum err_code rc = ERR_OK;

    for (char **variable = environ; rc == ERR_OK && *variable; variable++)
        for (int i = 0; i < 2; i++) {
            char platform[32];
            const char *at = strstr(*variable, suffixes[i]), *equals = strchr(*variable, '=');
            size_t len = at ? (size_t)(at - *variable) : 0;

            if (!at || len == 0 || len >= sizeof platform || at + strlen(suffixes[i]) != equals + 1 || !equals[1])
                continue;
            if (!strncmp(*variable, "TOKEN_HEALTH_", 13)) continue;
            for (size_t c = 0; c < len; c++)
                platform[c] = (char)tolower((unsigned char)(*variable)[c]);
            platform[len] = '\0';
            rc = set_app(cfg, platform, i ? "secret" : "id", equals + 1, platform, err);
        }
    return rc;
}

static enum err_code read_environment(struct config *cfg, struct err *err)
{
    enum err_code rc = set_from(cfg, "TOKEN_ENCRYPTION_KEY", "encryption", "key", err);

    if (rc == ERR_OK) rc = set_from(cfg, "TOKEN_ENCRYPTION_GLOBAL_SALT", "encryption", "global_salt", err);
    if (rc == ERR_OK) rc = set_from(cfg, "TOKEN_KDF_ITERATIONS", "encryption", "kdf_iterations", err);
    if (rc == ERR_OK) rc = set_from(cfg, "MONGODB_URI", "store", "uri", err);
    if (rc == ERR_OK) rc = read_app_variables(cfg, err);
    for (int i = 0; rc == ERR_OK && i < KEY_COUNT; i++) {
        char variable[128];

        snprintf(variable, sizeof variable, "TOKEN_HEALTH_%s_%s", config_keys[i].section, config_keys[i].name);
        upper(variable);
        rc = set_from(cfg, variable, config_keys[i].section, config_keys[i].name, err);
    }
    return rc;
}

/* ---- what refers to files ---- */

static enum err_code add_old_key(struct config *cfg, const char *entry, struct err *err)
{
    struct config_old_key *key = &cfg->old_keys[cfg->old_key_count];
    const char *colon = strchr(entry, ':');

    if (cfg->old_key_count == CONFIG_OLD_KEYS_MAX)
        return err_set(err, ERR_CONFIG, "[encryption] old_keys", "at most %d keys", CONFIG_OLD_KEYS_MAX);
    if (!colon || colon == entry || (size_t)(colon - entry) >= sizeof key->kid)
        return err_set(err, ERR_CONFIG, "[encryption] old_keys", "kid:/path/of/file is expected");
    memcpy(key->kid, entry, (size_t)(colon - entry));
    key->kid[colon - entry] = '\0';
    cfg->old_key_count++;
    return config_read_secret(colon + 1, &key->key, "[encryption] old_keys", err);
}

static enum err_code read_old_keys(struct config *cfg, struct err *err)
{
    char *list = strdup(cfg->encryption_old_keys), *rest = NULL;
    enum err_code rc = list ? ERR_OK : err_set(err, ERR_NOMEM, NULL, "no memory for the configuration");

    for (char *entry = list ? strtok_r(list, " ", &rest) : NULL; rc == ERR_OK && entry;
         entry = strtok_r(NULL, " ", &rest))
        rc = add_old_key(cfg, entry, err);
    free(list);
    return rc;
}

static enum err_code read_secret_files(struct config *cfg, struct err *err)
{
    struct secret uri = {0};
    enum err_code rc = ERR_OK;

    if (cfg->encryption_key_file[0] && !secret_is_empty(&cfg->encryption_key))
        return err_set(err, ERR_CONFIG, "[encryption]", "key and key_file together; set one of them");
    if (cfg->encryption_key_file[0])
        rc = config_read_secret(cfg->encryption_key_file, &cfg->encryption_key, "[encryption] key_file", err);
    if (rc == ERR_OK && cfg->store_uri_file[0]) {
        rc = config_read_secret(cfg->store_uri_file, &uri, "[store] uri_file", err);
        if (rc == ERR_OK)
            rc = config_value_set(cfg, find_key("store", "uri"), (const char *)secret_bytes(&uri), "[store] uri_file",
                                  err);
        secret_free(&uri);
    }
    return rc == ERR_OK ? read_old_keys(cfg, err) : rc;
}

enum err_code config_load(const char *path, struct config **cfg, struct err *err)
{
    struct config *c = calloc(1, sizeof *c);
    enum err_code rc = c ? ERR_OK : err_set(err, ERR_NOMEM, NULL, "no memory for the configuration");

    *cfg = NULL;
    for (int i = 0; rc == ERR_OK && i < KEY_COUNT; i++)
        rc = config_value_set(c, &config_keys[i], config_keys[i].def, "default", err);
    if (rc == ERR_OK && path) rc = read_file(c, path, err);
    if (rc == ERR_OK) rc = read_environment(c, err);
    if (rc == ERR_OK) rc = read_secret_files(c, err);
    if (rc == ERR_OK)
        *cfg = c;
    else
        config_free(c);
    return rc;
}

void config_free(struct config *cfg)
{
    if (!cfg) return;
    for (int i = 0; i < KEY_COUNT; i++) {
        void *field = (char *)cfg + config_keys[i].offset;

        if (config_keys[i].type == TYPE_SECRET) secret_free(field);
        if (config_keys[i].type == TYPE_TEXT || config_keys[i].type == TYPE_PATH || config_keys[i].type == TYPE_FILE)
            free(*(char **)field);
    }
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
    const char *rest = strstr(cfg->store_uri, "://"), *at;
    size_t scheme = rest ? (size_t)(rest - cfg->store_uri) + 3 : 0;

    if (rest) {
        rest += 3;
        at = memrchr(rest, '@', strcspn(rest, "/?"));
        if (at) rest = at + 1;
        snprintf(out, size, "%.*s%.*s", (int)scheme, cfg->store_uri, (int)strcspn(rest, "?"), rest);
    } else {
        snprintf(out, size, "%s", cfg->store_uri);
    }
    return out;
}

void config_print_sample(struct buf *out)
{
    const char *section = "";

    buf_puts(out, "# token-health configuration. A key that is commented out has the value shown.\n"
                  "# Each key can also be set by the environment variable TOKEN_HEALTH_<SECTION>_<KEY>.\n");
    for (int i = 0; i < KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];

        if (strcmp(section, key->section) != 0) buf_printf(out, "\n[%s]\n", key->section);
        section = key->section;
        buf_printf(out, "# %s%s\n#%s = %s\n", key->type == TYPE_CHOICE ? "One of " : "", key->help, key->name,
                   key->def);
    }
    buf_puts(out, "\n# Your registration at a platform, for calls that need the app's id and secret.\n"
                  "#[app.instagram]\n#id = 1234567890\n#secret_file = /etc/token-health/instagram-app-secret\n");
}
