/* The environment: the application's own variables, then TOKEN_HEALTH_…. Secrets are taken out of it: /proc/PID/environ and a core
 * file would show them. The next load gets them from here. */
#include "base/config_source.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;
static const char ours[] = "TOKEN_HEALTH_", our_apps[] = "TOKEN_HEALTH_APP_";

/* What was taken out of the environment: the place where the value was, and where as many asterisks are now. */
struct taken {
    struct taken *next;
    const char *where;
    struct secret value;
};
static struct taken *taken;

static struct taken *taken_from(const char *where)
{
    struct taken *t = taken;

    while (t && t->where != where)
        t = t->next;
    return t;
}

/* The value at ${where} in the environment, also after it was taken out. */
static const char *value_at(const char *where)
{
    const struct taken *t = taken_from(where);
    size_t len = strlen(where);

    return t && t->value.len == len && strspn(where, "*") == len ? (const char *)secret_bytes(&t->value) : where;
}

/* Only a value that is kept is wiped. */
static enum err_code take_out(char *where, struct err *err)
{
    struct taken *t = taken_from(where);
    enum err_code rc;

    if (!*where || value_at(where) != where) return ERR_OK;
    if (!t) {
        t = calloc(1, sizeof *t);
        if (!t) return err_set(err, ERR_NOMEM, NULL, "no memory for the configuration");
        *t = (struct taken){.next = taken, .where = where};
        taken = t;
    }
    rc = secret_put(&t->value, where, strlen(where), err);
    if (rc == ERR_OK) memset(where, '*', strlen(where));
    return rc;
}

/* config_take of the value at ${where}; afterwards a secret is in the environment no more. */
static enum err_code take(struct config_loading *l, const char *section, const char *name, char *where,
                          const char *place)
{
    int index = config_key_index(section, name);
    int is_secret = index < 0 ? !strcmp(name, "secret")
                              : config_keys[index].type == TYPE_SECRET || config_keys[index].type == TYPE_URI;
    enum err_code rc = config_take(l, section, name, value_at(where), place);

    return rc == ERR_OK && is_secret ? take_out(where, l->err) : rc;
}

static enum err_code take_application(struct config_loading *l)
{
    static const char *const names[][3] = {{"TOKEN_ENCRYPTION_KEY", "encryption", "key"},
                                           {"TOKEN_ENCRYPTION_GLOBAL_SALT", "encryption", "global_salt"},
                                           {"TOKEN_KDF_ITERATIONS", "encryption", "kdf_iterations"},
                                           {"MONGODB_URI", "store", "uri"}};
    enum err_code rc = ERR_OK;

    for (size_t i = 0; rc == ERR_OK && i < sizeof names / sizeof *names; i++) {
        char *where = getenv(names[i][0]);

        if (where && *value_at(where)) rc = take(l, names[i][1], names[i][2], where, names[i][0]);
    }
    return rc;
}

/* The NAME in ${variable} = ${prefix} NAME ${suffix}, as "app.name"; 0 if the variable is not of that form. */
static int app_section(const char *variable, const char *prefix, const char *suffix, char section[64])
{
    const char *name = variable + strlen(prefix);
    size_t len = strcspn(variable, "="), affixes = strlen(prefix) + strlen(suffix);

    if (strncmp(variable, prefix, strlen(prefix)) != 0 || len <= affixes || len - affixes > 31) return 0;
    if (strncmp(variable + len - strlen(suffix), suffix, strlen(suffix)) != 0) return 0;
    len -= affixes;
    if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") < len) return 0;
    snprintf(section, 64, "app.%.*s", (int)len, name);
    for (char *c = section + 4; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return 1;
}

static enum err_code take_app(struct config_loading *l, char *variable, const char *section, const char *name)
{
    size_t len = strcspn(variable, "=");
    char place[ERR_PLACE_MAX];

    snprintf(place, sizeof place, "%.*s", (int)len, variable);
    return take(l, section, name, variable + len + 1, place);
}

static enum err_code take_apps(struct config_loading *l)
{
    static const struct {
        const char *prefix, *suffix, *name;
        int is_ours;
    } forms[] = {{"", "_APP_ID", "id", 0},
                 {"", "_APP_SECRET", "secret", 0},
                 {our_apps, "_ID", "id", 1},
                 {our_apps, "_SECRET", "secret", 1},
                 {our_apps, "_SECRET_FILE", "secret_file", 1}};
    enum err_code rc = ERR_OK;

    for (char **variable = environ; variable && rc == ERR_OK && *variable; variable++) {
        int is_ours = !strncmp(*variable, ours, strlen(ours));
        const char *equals = strchr(*variable, '=');

        if (!equals || (!is_ours && !*value_at(equals + 1))) continue;
        for (size_t i = 0; rc == ERR_OK && i < sizeof forms / sizeof *forms; i++) {
            char section[64];

            if (forms[i].is_ours != (l->now == SOURCE_ENVIRONMENT) || forms[i].is_ours != is_ours) continue;
            if (!app_section(*variable, forms[i].prefix, forms[i].suffix, section)) continue;
            rc = take_app(l, *variable, section, forms[i].name);
        }
    }
    return rc;
}

static void variable_of(const struct config_key *key, char *variable, size_t size)
{
    snprintf(variable, size, "%s%s_%s", ours, key->section, key->name);
    for (char *c = variable; *c; c++)
        *c = (char)toupper((unsigned char)*c);
}

static enum err_code take_ours(struct config_loading *l)
{
    enum err_code rc = ERR_OK;

    for (int i = 0; rc == ERR_OK && i < CONFIG_KEY_COUNT; i++) {
        char variable[128];
        char *where;

        variable_of(&config_keys[i], variable, sizeof variable);
        where = getenv(variable);
        if (where) rc = take(l, config_keys[i].section, config_keys[i].name, where, variable);
    }
    return rc;
}

enum err_code config_read_environment(struct config_loading *l)
{
    enum err_code rc;

    l->now = SOURCE_APPLICATION;
    rc = take_application(l);
    if (rc == ERR_OK) rc = take_apps(l);
    l->now = SOURCE_ENVIRONMENT;
    if (rc == ERR_OK) rc = take_ours(l);
    return rc == ERR_OK ? take_apps(l) : rc;
}

static int sets_key(const char *name)
{
    char section[64], variable[128];

    if (app_section(name, our_apps, "_ID", section) || app_section(name, our_apps, "_SECRET", section) ||
        app_section(name, our_apps, "_SECRET_FILE", section))
        return 1;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        variable_of(&config_keys[i], variable, sizeof variable);
        if (!strcmp(name, variable)) return 1;
    }
    return 0;
}

void config_stray_variables(void (*tell)(void *arg, const char *name), void *arg)
{
    for (char **variable = environ; variable && *variable; variable++) {
        char name[128];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(*variable, "="), *variable);
        if (!strncmp(name, ours, strlen(ours)) && !sets_key(name)) tell(arg, name);
    }
}
