#include "base/config_live.h"
#include "base/config_value.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Types that need no memory come last in enum config_type. */
#define CONFIG(section, name, type, field, def, min, max, help)
#define CONFIG_LIVE(section, name, type, field, def, min, max, help)                                                   \
    _Static_assert((int)TYPE_##type >= (int)TYPE_INT, #field " is a number");
#include "base/config.def"
#undef CONFIG

static const int index_of[CONFIG_LIVE_COUNT] = {
#define CONFIG(section, name, type, field, def, min, max, help)
#define CONFIG_LIVE(section, name, type, field, def, min, max, help) CONFIG_KEY_##field,
#include "base/config.def"
#undef CONFIG
};

static const struct config_key *key_of(int i)
{
    return &config_keys[index_of[i]];
}

enum config_live_kind config_live_kind(int i)
{
    switch (key_of(i)->type) {
    case TYPE_INT:
        return CONFIG_LIVE_NUMBER;
    case TYPE_DURATION:
        return CONFIG_LIVE_TIME;
    case TYPE_BOOL:
        return CONFIG_LIVE_FLAG;
    default:
        return CONFIG_LIVE_WORD;
    }
}

const char *config_live_name(int i, char out[CONFIG_LIVE_BYTES])
{
    const struct config_key *key = key_of(i);

    if (strcmp(key->section, "monitor") != 0)
        snprintf(out, CONFIG_LIVE_BYTES, "%s_%s", key->section, key->name);
    else
        snprintf(out, CONFIG_LIVE_BYTES, "%s", key->name);
    return out;
}

const char *config_live_api_name(int i, char out[CONFIG_LIVE_BYTES])
{
    char *to = out;
    int upper = 0;

    config_live_name(i, out);
    for (const char *from = out; *from; from++) {
        if (*from != '_') *to++ = upper ? (char)toupper((unsigned char)*from) : *from;
        upper = *from == '_';
    }
    *to = '\0';
    return out;
}

int config_live_find(const char *name)
{
    char known[CONFIG_LIVE_BYTES];

    for (int i = 0; i < CONFIG_LIVE_COUNT; i++)
        if (!strcmp(config_live_name(i, known), name) || !strcmp(config_live_api_name(i, known), name)) return i;
    return -1;
}

static const char *print_duration(int64_t ms, char out[CONFIG_LIVE_BYTES])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (ms && ms % units[i].ms == 0) {
            snprintf(out, CONFIG_LIVE_BYTES, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
            return out;
        }
    snprintf(out, CONFIG_LIVE_BYTES, "%lldms", (long long)ms);
    return out;
}

static const char *print_choice(const char *names, int chosen, char out[CONFIG_LIVE_BYTES])
{
    for (; chosen > 0; chosen--)
        names += strcspn(names, "|") + 1;
    snprintf(out, CONFIG_LIVE_BYTES, "%.*s", (int)strcspn(names, "|"), names);
    return out;
}

const char *config_live_print(const struct config *cfg, int i, char out[CONFIG_LIVE_BYTES])
{
    const struct config_key *key = key_of(i);
    const void *field = (const char *)cfg + key->offset;

    if (key->type == TYPE_DURATION) return print_duration(*(const int64_t *)field, out);
    if (key->type == TYPE_CHOICE) return print_choice(key->help, *(const int *)field, out);
    if (key->type == TYPE_BOOL)
        snprintf(out, CONFIG_LIVE_BYTES, "%s", *(const int *)field ? "true" : "false");
    else
        snprintf(out, CONFIG_LIVE_BYTES, "%lld", (long long)*(const int64_t *)field);
    return out;
}

const char *config_live_default(int i)
{
    return key_of(i)->def;
}

const char *config_live_range(int i, char out[CONFIG_LIVE_BYTES])
{
    const struct config_key *key = key_of(i);
    char low[CONFIG_LIVE_BYTES], high[CONFIG_LIVE_BYTES];

    if (key->type == TYPE_DURATION)
        snprintf(out, CONFIG_LIVE_BYTES, "%.24s to %.24s", print_duration(key->min, low),
                 print_duration(key->max, high));
    else if (key->type == TYPE_CHOICE)
        snprintf(out, CONFIG_LIVE_BYTES, "%s", key->help);
    else if (key->type == TYPE_BOOL)
        snprintf(out, CONFIG_LIVE_BYTES, "true or false");
    else
        snprintf(out, CONFIG_LIVE_BYTES, "%lld to %lld", (long long)key->min, (long long)key->max);
    return out;
}

enum err_code config_live_set(struct config *cfg, int i, const char *text, struct err *err)
{
    const struct config_key *key = key_of(i);
    char name[CONFIG_LIVE_BYTES], range[CONFIG_LIVE_BYTES];

    if (config_value_set(cfg, key, text, NULL, NULL) == ERR_OK) return ERR_OK;
    return err_set(err, ERR_BAD_INPUT, config_live_name(i, name), "%s is expected%s", config_live_range(i, range),
                   key->type == TYPE_DURATION ? ", as 500ms, 90s, 30m, 2h, 7d" : "");
}

void config_live_copy(struct config *to, const struct config *from, int i)
{
    const struct config_key *key = key_of(i);
    const size_t size = key->type == TYPE_INT || key->type == TYPE_DURATION ? sizeof(int64_t) : sizeof(int);

    memcpy((char *)to + key->offset, (const char *)from + key->offset, size);
}
