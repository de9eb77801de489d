/* Configuration: the INI file (inih), environment overrides, defaults; every key is a line of config.def.
 * Order: default < file < the application's own variables TOKEN_ENCRYPTION_KEY, TOKEN_ENCRYPTION_GLOBAL_SALT,
 * TOKEN_KDF_ITERATIONS, MONGODB_URI, <PLATFORM>_APP_ID, <PLATFORM>_APP_SECRET (an empty one is as none) <
 * TOKEN_HEALTH_<SECTION>_<KEY>; [app.instagram] id is TOKEN_HEALTH_APP_INSTAGRAM_ID. Unknown keys and sections, doubled keys,
 * bad values: ERR_CONFIG with "FILE:LINE" (or the variable's name) as place, never a secret in the text.
 * *_file keys: the file is read, one trailing newline is dropped; a secret file that others may read (mode & 007) is refused, and
 * so is a secret in a configuration file that they may read. A value and its _file are one setting: the higher source wins; both
 * in the same source are an error. */
#ifndef TH_CONFIG_H
#define TH_CONFIG_H
#include "base/err.h"
#include "base/secret.h"
#include <stdint.h>

enum { CONFIG_APPS_MAX = 16, CONFIG_OLD_KEYS_MAX = 8 };
enum authorizer_mode { AUTHORIZER_OFF, AUTHORIZER_OBSERVE, AUTHORIZER_ENFORCE };

/** Our registration at a platform: [app.NAME] with id, secret or secret_file. */
struct config_app {
    char platform[32];
    char id[128];
    struct secret secret;
};
/** A key that is still read: kid and its content, from encryption.old_keys. */
struct config_old_key {
    char kid[64];
    struct secret key;
};

#define CONFIG_FIELD_TEXT(field)     char *field;
#define CONFIG_FIELD_PATH(field)     char *field;
#define CONFIG_FIELD_URI(field)      char *field;
#define CONFIG_FIELD_URL(field)      char *field;
#define CONFIG_FIELD_LISTEN(field)   char *field;
#define CONFIG_FIELD_MODE(field)     char *field;
#define CONFIG_FIELD_FILE(field)     char *field;
#define CONFIG_FIELD_SECRET(field)   struct secret field;
#define CONFIG_FIELD_INT(field)      int64_t field;
#define CONFIG_FIELD_DURATION(field) int64_t field;
#define CONFIG_FIELD_BOOL(field)     int field;
#define CONFIG_FIELD_CHOICE(field)   int field;
struct config {
#define CONFIG(section, name, type, field, def, min, max, help) CONFIG_FIELD_##type(field)
#include "base/config.def"
#undef CONFIG
    struct config_app apps[CONFIG_APPS_MAX];
    int app_count;
    struct config_old_key old_keys[CONFIG_OLD_KEYS_MAX];
    int old_key_count;
};
/* After config_load the contents of *_file are in their fields: encryption_key, encryption_global_salt, store_uri, app secrets. A
 * store URI may hold a password: never print it; config_store_name() is for people. */

/** config_load(path, &cfg, err): path NULL: defaults and environment only. A path that does not exist is an
 *  error. Secrets and the store's URI are overwritten in the environment as they are read; the next load has them all the same.
 *  Owns: caller, config_free. */
enum err_code config_load(const char *path, struct config **cfg, struct err *err);
void config_free(struct config *cfg);
/** config_app_find(cfg, platform): NULL if none. Borrowed. */
const struct config_app *config_app_find(const struct config *cfg, const char *platform);
/** config_store_name(cfg, out, size): "sqlite:/path" or "mongodb://host/db" without user, password, options. What stands before
 *  the last '@' is never in it, however wrong the URI. */
const char *config_store_name(const struct config *cfg, char *out, size_t size);
struct buf;
/** config_print_sample(out): the shipped file: every key with its help and default, commented out. */
void config_print_sample(struct buf *out);
/** config_parse_duration(text, &ms): "30m" → 1800000. 1 or 0. */
int config_parse_duration(const char *text, int64_t *ms);
/** config_parse_mode(text, &mode): octal permissions "0660". 1 or 0. */
int config_parse_mode(const char *text, unsigned *mode);
/** config_stray_variables(tell, arg): each name of an environment variable TOKEN_HEALTH_… that sets no key; never its value. */
void config_stray_variables(void (*tell)(void *arg, const char *name), void *arg);

#endif
