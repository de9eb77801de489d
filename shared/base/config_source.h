/* Where values come from: the file and the environment. Private to config*.c. */
#ifndef TH_CONFIG_SOURCE_H
#define TH_CONFIG_SOURCE_H
#include "base/config_value.h"

/** A higher source wins. APPLICATION: the variables that the application has anyway. */
enum config_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_APPLICATION, SOURCE_ENVIRONMENT };

enum app_key { APP_ID, APP_SECRET, APP_SECRET_FILE, APP_KEY_COUNT };
/** What is known of [app.NAME] while a configuration is loaded. */
struct app_settings {
    unsigned char source[APP_KEY_COUNT];
    char *secret_file, place[ERR_PLACE_MAX];
};

/** A configuration while it is loaded. */
struct config_loading {
    struct config *cfg;
    struct err *err;
    enum config_source now;
    int file_is_public; /* others may read the file */
    unsigned char source[CONFIG_KEY_COUNT];
    char place[CONFIG_KEY_COUNT][ERR_PLACE_MAX];
    struct app_settings apps[CONFIG_APPS_MAX];
};

/** config_take(l, section, name, value, place): one setting of l->now; a lower source's value is replaced. Fails: ERR_CONFIG. */
enum err_code config_take(struct config_loading *l, const char *section, const char *name, const char *value,
                          const char *place);
/** config_read_file(l, path), config_read_environment(l): all settings of that source. */
enum err_code config_read_file(struct config_loading *l, const char *path);
enum err_code config_read_environment(struct config_loading *l);
/** config_key_index(section, name): -1 if there is none. */
int config_key_index(const char *section, const char *name);
/** config_partner(index): of a FILE key, the key whose value is in the file. */
int config_partner(int index);

#endif
