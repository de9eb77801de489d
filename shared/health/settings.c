#include "health/settings.h"
#include "base/clock.h"
#include "base/log.h"
#include "health/watch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 5, RETRY_MS = 10000 };

void settings_init(struct settings *s, struct config *cfg)
{
    *s = (struct settings){.cfg = cfg, .base = *cfg};
}

void settings_rebase(struct settings *s, const struct config *fresh)
{
    for (int i = 0; i < CONFIG_LIVE_COUNT; i++)
        config_live_copy(&s->base, fresh, i);
    s->version = -1;
}

/* ---- what is stored ---- */

static const struct json *entry_of(const struct json *stored, int i)
{
    char name[CONFIG_LIVE_BYTES];

    return json_member(stored, config_live_name(i, name));
}

static const char *text_at(const struct json *entry, const char *name)
{
    const char *text = json_string(json_member(entry, name));

    return text ? text : "";
}

/* The value that counts when ${stored} is what the store holds. */
static void put_value(const struct settings *s, const struct json *stored, int i, struct config *out)
{
    const struct json *entry = entry_of(stored, i);
    char name[CONFIG_LIVE_BYTES];
    struct err err = {0};

    config_live_copy(out, &s->base, i);
    if (entry && config_live_set(out, i, text_at(entry, "value"), &err) != ERR_OK)
        log_warn("TOKEN HEALTH", "a stored setting cannot be used", LOG_S("key", config_live_name(i, name)),
                 LOG_S("value", text_at(entry, "value")), LOG_S("why", err.text));
}

static void apply(struct settings *s, const struct json *stored)
{
    const struct config before = *s->cfg;

    for (int i = 0; i < CONFIG_LIVE_COUNT; i++) {
        const struct json *entry = entry_of(stored, i);
        char name[CONFIG_LIVE_BYTES], from[CONFIG_LIVE_BYTES], to[CONFIG_LIVE_BYTES];

        put_value(s, stored, i, s->cfg);
        config_live_print(&before, i, from);
        config_live_print(s->cfg, i, to);
        if (!strcmp(from, to)) continue;
        s->is_changed = 1;
        log_event(s->is_loud ? LOG_INFO : LOG_DEBUG, "TOKEN HEALTH", "setting in force",
                  (const struct log_field[]){LOG_S("key", config_live_name(i, name)), LOG_S("from", from),
                                             LOG_S("to", to),
                                             LOG_S("by", entry ? text_at(entry, "by") : "configuration")},
                  4);
    }
}

static int take_change(struct settings *s)
{
    const int changed = s->is_changed;

    s->is_changed = 0;
    return changed;
}

/* The version comes first: what is written in between has another one, and is read again. */
static enum err_code read_stored(struct store *store, int64_t *version, struct json **stored, struct err *err)
{
    const char *const name = watch_document(WATCH_SETTINGS);
    enum err_code rc = store_meta_versions(store, &name, 1, version, err);

    *stored = NULL;
    if (rc == ERR_OK) rc = store_meta_get(store, name, stored, err);
    if (rc != ERR_NOT_FOUND) return rc;
    err_clear(err);
    *version = 0;
    return ERR_OK;
}

int settings_load(struct settings *s, struct store *store)
{
    struct json *stored = NULL;
    int64_t version;

    s->retry_mono_ms = clock_mono_ms() + RETRY_MS;
    if (read_stored(store, &version, &stored, NULL) != ERR_OK) return take_change(s);
    s->retry_mono_ms = 0;
    apply(s, stored);
    s->version = version;
    json_free(stored);
    return take_change(s);
}

int settings_take(struct settings *s, const struct cache *cache, struct store *store)
{
    const int64_t noted = watch_version(cache, WATCH_SETTINGS);

    if (s->version >= 0 && (noted == 0 || noted == s->version)) return take_change(s);
    if (clock_mono_ms() < s->retry_mono_ms)
        return take_change(s); /* the store was away: who answers from the cache must not wait for it */
    return settings_load(s, store);
}

/* ---- changing ---- */

static enum err_code refuse_type(int i, const char *kind, struct err *err)
{
    char name[CONFIG_LIVE_BYTES], range[CONFIG_LIVE_BYTES];

    return err_set(err, ERR_BAD_INPUT, config_live_api_name(i, name), "%s is expected: %s", kind,
                   config_live_range(i, range));
}

/* JSON's types say more than text: a flag is no 1, and a number no "1". */
static enum err_code text_of(int i, const struct json *value, char out[CONFIG_LIVE_BYTES], struct err *err)
{
    const enum config_live_kind kind = config_live_kind(i);
    int64_t n;
    int flag;

    if (kind == CONFIG_LIVE_FLAG) {
        if (!json_bool(value, &flag)) return refuse_type(i, "a boolean", err);
        snprintf(out, CONFIG_LIVE_BYTES, "%s", flag ? "true" : "false");
    } else if (kind != CONFIG_LIVE_WORD && json_int(value, &n)) {
        snprintf(out, CONFIG_LIVE_BYTES, "%lld", (long long)n);
    } else if (kind == CONFIG_LIVE_NUMBER || !json_string(value)) {
        return refuse_type(i,
                           kind == CONFIG_LIVE_NUMBER ? "a whole number"
                           : kind == CONFIG_LIVE_TIME ? "a text like \"30m\" or a whole number of seconds"
                                                      : "a text",
                           err);
    } else {
        snprintf(out, CONFIG_LIVE_BYTES, "%s", json_string(value));
    }
    return ERR_OK;
}

static struct json *entry_new(const struct config *cfg, int i, const char *by)
{
    struct json *entry = json_object_new();
    char text[CONFIG_LIVE_BYTES];

    json_set(entry, "value", json_new_string(config_live_print(cfg, i, text)));
    json_set(entry, "by", json_new_string(by));
    json_set(entry, "at", json_new_date(clock_now_ms()));
    return entry;
}

static enum err_code refuse_name(const char *key, struct err *err)
{
    char names[256] = "", name[CONFIG_LIVE_BYTES];

    for (int i = 0; i < CONFIG_LIVE_COUNT; i++) {
        size_t len = strlen(names);

        snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "", config_live_name(i, name));
    }
    return err_set(err, ERR_BAD_INPUT, key, "there is no such setting that can be changed; these can: %s", names);
}

/* One change of ${stored}; ${scratch} is where it is tried. */
static enum err_code change_one(const struct settings_wish *wish, size_t nth, struct config *scratch,
                                struct json *stored, struct err *err)
{
    const char *key;
    const struct json *value = json_member_at(wish->changes, nth, &key);
    const int i = config_live_find(key);
    char name[CONFIG_LIVE_BYTES], text[CONFIG_LIVE_BYTES];
    enum err_code rc = ERR_OK;

    if (i < 0) return refuse_name(key, err);
    if (json_type(value) == JSON_NULL) {
        json_remove(stored, config_live_name(i, name));
        return ERR_OK;
    }
    if (!wish->as_text) rc = text_of(i, value, text, err);
    if (rc == ERR_OK) rc = config_live_set(scratch, i, wish->as_text ? json_string(value) : text, err);
    if (rc == ERR_BAD_INPUT && err) snprintf(err->place, sizeof err->place, "%s", key); /* as whoever asks spells it */
    if (rc == ERR_OK) json_set(stored, config_live_name(i, name), entry_new(scratch, i, wish->by));
    return rc;
}

static void log_changes(const struct settings *s, const struct json *before, const struct json *after,
                        const struct settings_wish *wish)
{
    struct config was = {0}, is = {0};

    for (size_t nth = 0; nth < json_count(wish->changes); nth++) {
        char name[CONFIG_LIVE_BYTES], from[CONFIG_LIVE_BYTES], to[CONFIG_LIVE_BYTES];
        const char *key;
        int i;

        json_member_at(wish->changes, nth, &key);
        i = config_live_find(key);
        put_value(s, before, i, &was);
        put_value(s, after, i, &is);
        log_info("TOKEN HEALTH", "setting changed", LOG_S("key", config_live_name(i, name)),
                 LOG_S("from", config_live_print(&was, i, from)), LOG_S("to", config_live_print(&is, i, to)),
                 LOG_I("stored", entry_of(after, i) != NULL), LOG_S("by", wish->by));
    }
}

static enum err_code try_change(struct settings *s, struct cache *cache, struct store *store,
                                const struct settings_wish *wish, struct err *err)
{
    struct config scratch = *s->cfg;
    struct json *before = NULL, *after;
    int64_t version = 0;
    enum err_code rc = read_stored(store, &version, &before, err);

    after = before ? json_copy(before) : json_object_new();
    for (size_t i = 0; rc == ERR_OK && i < json_count(wish->changes); i++)
        rc = change_one(wish, i, &scratch, after, err);
    if (rc == ERR_OK) rc = store_meta_swap(store, watch_document(WATCH_SETTINGS), after, version, err);
    if (rc == ERR_OK) {
        log_changes(s, before, after, wish);
        apply(s, after);
        s->version = version + 1;
        note_put(cache, WATCH_SETTINGS, version + 1); /* for the others of this host */
    }
    json_free(before);
    json_free(after);
    return rc;
}

enum err_code settings_change(struct settings *s, struct cache *cache, struct store *store,
                              const struct settings_wish *wish, struct err *err)
{
    enum err_code rc = ERR_CONFLICT;

    for (int i = 0; rc == ERR_CONFLICT && i < TRIES; i++) {
        err_clear(err);
        rc = try_change(s, cache, store, wish, err);
    }
    return rc;
}

/* ---- for people ---- */

static struct json *value_json(const struct config *cfg, int i)
{
    const enum config_live_kind kind = config_live_kind(i);
    char text[CONFIG_LIVE_BYTES];

    config_live_print(cfg, i, text);
    if (kind == CONFIG_LIVE_FLAG) return json_new_bool(!strcmp(text, "true"));
    return kind == CONFIG_LIVE_NUMBER ? json_new_int(strtoll(text, NULL, 10)) : json_new_string(text);
}

static struct json *setting_json(const struct settings *s, int i, const struct json *entry)
{
    struct json *j = json_object_new();
    char text[CONFIG_LIVE_BYTES];

    json_set(j, "value", value_json(s->cfg, i));
    json_set(j, "default", json_new_string(config_live_default(i)));
    json_set(j, "range", json_new_string(config_live_range(i, text)));
    json_set(j, "source",
             json_new_string(entry ? "stored"
                             : strcmp(config_live_print(s->cfg, i, text), config_live_default(i)) == 0
                                 ? "default"
                                 : "configuration"));
    if (!entry) return j;
    json_set(j, "by", json_new_string(text_at(entry, "by")));
    json_set(j, "at", json_new_string(text_at(entry, "at")));
    return j;
}

enum err_code settings_json(struct settings *s, struct store *store, struct json **out, struct err *err)
{
    struct json *stored = NULL;
    int64_t version;
    enum err_code rc = read_stored(store, &version, &stored, err);

    *out = NULL;
    if (rc != ERR_OK) return rc;
    apply(s, stored);
    s->version = version;
    *out = json_object_new();
    for (int i = 0; i < CONFIG_LIVE_COUNT; i++) {
        char name[CONFIG_LIVE_BYTES];

        json_set(*out, config_live_api_name(i, name), setting_json(s, i, entry_of(stored, i)));
    }
    json_free(stored);
    return ERR_OK;
}
