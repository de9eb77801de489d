/* What every host has to hear of within seconds: documents of the store (watch.def), each with a version that every write changes. One process
 * of a host at a time looks, all versions in one read, and notes them in the shared memory; there all others see them at no cost. Who
 * reads a document that was noted as changed gets the new one.
 *
 * The processes call watch_look where they have time: the monitor in each turn, a responder's worker while it waits, and after a request
 * only when none of the host had time for long. Never before an answer: it is a store call. */
#ifndef TH_WATCH_H
#define TH_WATCH_H
#include "cache/cache.h"
#include "store/store.h"

enum watched {
#define WATCHED(name, document) WATCH_##name,
#include "health/watch.def"
#undef WATCHED
    WATCHED_COUNT
};
enum { WATCH_EVERY_MS = 1000, WATCH_LATEST_MS = 1500 /* for who has better things to do */ };

/** watch_look(cache, store, every_ms): if none of this host's processes has looked for ${every_ms}: what is new? Verdicts that were cleared anywhere are
 *  cleared here, too. 1: looked. Costs two loads when it is too early. Blocks: as the store does. What fails is tried the next time;
 *  said in the log once an outage. */
int watch_look(struct cache *cache, struct store *store, int64_t every_ms);
/** watch_version(cache, which): as this host has last seen it; 0: there is no such document, or nobody has looked yet. */
int64_t watch_version(const struct cache *cache, enum watched which);
/** watch_document(which): its name, for store_meta_get and store_meta_put. */
const char *watch_document(enum watched which);

/** watch_clear(cache, store, err): all verdicts are forgotten: here at once, on the other hosts soon. watch_drop: those of one account and its
 *  workspace. Fails: as the store does; then only this host has forgotten them. */
enum err_code watch_clear(struct cache *cache, struct store *store, struct err *err);
enum err_code watch_drop(struct cache *cache, struct store *store, const struct account *account, struct err *err);

#endif
