/* The settings that may be changed while the programs run (config_live.h), as they are in force in this process: defaults, under the file and
 * the environment, under what was set by API or command line. That is kept in a document of the store: { NAME: { value, by, at } }, and so
 * outlives restarts and reaches every host (watch.h). What is stored and cannot be used any more is passed over. */
#ifndef TH_SETTINGS_H
#define TH_SETTINGS_H
#include "base/config_live.h"
#include "cache/cache.h"
#include "store/store.h"

struct settings {
    struct config *cfg; /* in force; borrowed */
    struct config base; /* of which only the live keys count: as in the file and the environment */
    int64_t version;    /* of the document that was taken over; -1: it has to be read again, whatever it is */
    int64_t retry_mono_ms;
    int is_changed; /* something is in force that nobody was told of by settings_take or settings_load */
    int is_loud;    /* what is taken over is worth a line in the log */
};
/** settings_init(s, cfg): ${cfg} as it was loaded. settings_rebase(s, fresh): the file was read again; what is stored stays in force over it: call settings_take
 *  next. */
void settings_init(struct settings *s, struct config *cfg);
void settings_rebase(struct settings *s, const struct config *fresh);
/** settings_take(s, cache, store): if this host has noted that they were changed: take them over. 1: something is in force that was not at the last call, whoever changed it. Costs a
 *  load when there is nothing new. Blocks: else as the store does; what fails is tried again after 10 s. settings_load(s, store): the same
 *  whatever is noted: at the start. */
int settings_take(struct settings *s, const struct cache *cache, struct store *store);
int settings_load(struct settings *s, struct store *store);

/** A wish to change some: {name: value}, by either name (config_live.h), null: no longer set, the file counts. */
struct settings_wish {
    const struct json *changes;
    const char *by; /* who asks, for the log and for who asks later */
    int as_text; /* values are texts as in the file; else numbers, booleans, and texts for times and words; a time may be a number of seconds */
};
/** settings_change(s, cache, store, wish, err): all or nothing. In the log with old and new value and who asked. In force here at once, in the other
 *  processes of this host with their next request or turn, on other hosts soon. Fails: ERR_BAD_INPUT: the name as place, what is expected as
 *  text; else as the store does, ERR_CONFLICT when others change it again and again. */
enum err_code settings_change(struct settings *s, struct cache *cache, struct store *store,
                              const struct settings_wish *wish, struct err *err);
/** settings_json(s, store, out, err): {apiName: {value, default, range, source: "default"|"configuration"|"stored", by?, at?}} for people. Owns: caller. */
enum err_code settings_json(struct settings *s, struct store *store, struct json **out, struct err *err);

#endif
