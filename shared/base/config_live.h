/* The keys that may be changed while a program runs: the CONFIG_LIVE lines of config.def, by index. All are numbers in memory, so that setting
 * one cannot fail for want of it. Knows their names, texts and ranges; nothing of where settings are kept. */
#ifndef TH_CONFIG_LIVE_H
#define TH_CONFIG_LIVE_H
#include "base/config.h"

enum {
#define CONFIG(section, name, type, field, def, min, max, help)
#define CONFIG_LIVE(section, name, type, field, def, min, max, help) CONFIG_LIVE_##field,
#include "base/config.def"
#undef CONFIG
    CONFIG_LIVE_COUNT
};
enum { CONFIG_LIVE_BYTES = 64 };
enum config_live_kind { CONFIG_LIVE_NUMBER, CONFIG_LIVE_TIME, CONFIG_LIVE_FLAG, CONFIG_LIVE_WORD };
enum config_live_kind config_live_kind(int i);

/** config_live_name(i, out): as in the file, "check_interval"; of another section than monitor with its name, "log_level". config_live_api_name: the same
 *  as JSON has it, "checkInterval", "logLevel". Return out. */
const char *config_live_name(int i, char out[CONFIG_LIVE_BYTES]);
const char *config_live_api_name(int i, char out[CONFIG_LIVE_BYTES]);
/** config_live_find(name): by either name; -1: there is none. */
int config_live_find(const char *name);
/** config_live_set(cfg, i, text, err): as from the file. ERR_BAD_INPUT: the name as place, what is expected as text; nothing is changed. */
enum err_code config_live_set(struct config *cfg, int i, const char *text, struct err *err);
/** config_live_print(cfg, i, out): as the file would have it: "30m", "64", "true", "info". config_live_default(i). config_live_range(i, out): "1s
 *  to 7d", "true or false", "error|warn|info|debug". Return out. */
const char *config_live_print(const struct config *cfg, int i, char out[CONFIG_LIVE_BYTES]);
const char *config_live_default(int i);
const char *config_live_range(int i, char out[CONFIG_LIVE_BYTES]);
/** config_live_copy(to, from, i): the value. */
void config_live_copy(struct config *to, const struct config *from, int i);

#endif
