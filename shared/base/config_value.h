/* Reading one configuration value of one type. Private to config*.c. */
#ifndef TH_CONFIG_VALUE_H
#define TH_CONFIG_VALUE_H
#include "base/config.h"
#include <stddef.h>

enum config_type {
    TYPE_TEXT,
    TYPE_PATH,
    TYPE_URI,
    TYPE_URL,
    TYPE_LISTEN,
    TYPE_MODE,
    TYPE_FILE,
    TYPE_SECRET,
    TYPE_INT,
    TYPE_DURATION,
    TYPE_BOOL,
    TYPE_CHOICE
};

/** A line of config.def. offset: of the field in struct config. */
struct config_key {
    const char *section, *name;
    enum config_type type;
    size_t offset;
    const char *def;
    int64_t min, max;
    const char *help; /* for CHOICE: the names, separated by | */
};
enum {
#define CONFIG(section, name, type, field, def, min, max, help) CONFIG_KEY_##field,
#include "base/config.def"
#undef CONFIG
    CONFIG_KEY_COUNT
};
extern const struct config_key config_keys[CONFIG_KEY_COUNT];

/** config_value_set(cfg, key, text, place, err): parse ${text} into the field; ERR_CONFIG says the key, the range and the place,
 *  and never the value of a SECRET. An earlier value is freed. */
enum err_code config_value_set(struct config *cfg, const struct config_key *key, const char *text, const char *place,
                               struct err *err);
/** config_value_free(cfg, key): frees what the field holds. */
void config_value_free(struct config *cfg, const struct config_key *key);
/** config_secret_put(secret, text, place, err): ${text} becomes the secret, empty text none. ERR_CONFIG if it is too long. */
enum err_code config_secret_put(struct secret *secret, const char *text, const char *place, struct err *err);
/** config_read_secret(path, secret, place, err): a secret file's content less one trailing newline; a name without '/' is looked
 *  up in $CREDENTIALS_DIRECTORY first. Refused when others may read it, when empty, with a NUL, or over 64 KiB. */
enum err_code config_read_secret(const char *path, struct secret *secret, const char *place, struct err *err);

#endif
