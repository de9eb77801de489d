/* Configuration: the INI file (inih), environment overrides, defaults; every key is a line of config.def.
 * Order: default < file < environment. Environment: TOKEN_HEALTH_<SECTION>_<KEY>, and the application's own
 * TOKEN_ENCRYPTION_KEY, TOKEN_ENCRYPTION_GLOBAL_SALT, TOKEN_KDF_ITERATIONS, MONGODB_URI, <PLATFORM>_APP_ID,
 * <PLATFORM>_APP_SECRET (TOKEN_HEALTH_… wins over these). Unknown keys and sections, doubled keys, bad values:
 * ERR_CONFIG with "FILE:LINE" (or the variable's name) as place. *_file keys: the file is read, one trailing
 * newline is dropped; a secret file that others may read (mode & 007) is refused; a value and its _file together are an error. */
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
/* After config_load the *_file contents are in their fields: encryption_key, app secret; store_uri is final
 * (uri_file read). A store URI may hold a password: never print it; config_store_name() is for people. */

/** config_load(path, &cfg, err): path NULL: defaults and environment only. A path that does not exist is an
 *  error. Owns: caller, config_free. */
enum err_code config_load(const char *path, struct config **cfg, struct err *err);
void config_free(struct config *cfg);
/** config_app_find(cfg, platform): NULL if none. Borrowed. */
const struct config_app *config_app_find(const struct config *cfg, const char *platform);
/** config_store_name(cfg, out, size): "sqlite:/path" or "mongodb://host/db" without user, password, options. */
const char *config_store_name(const struct config *cfg, char *out, size_t size);
/** config_print_sample(out): the shipped file: every key with its help and default, commented out. */
struct buf;
void config_print_sample(struct buf *out);
/** config_parse_duration(text, &ms): "30m" → 1800000. 1 or 0. */
int config_parse_duration(const char *text, int64_t *ms);
/** config_parse_mode(text, &mode): octal permissions "0660". 1 or 0. */
int config_parse_mode(const char *text, unsigned *mode);

#endif
