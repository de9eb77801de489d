/* What the operator orders of the mass-failure guards, on its way to all hosts: the watched document "guard" (watch.h), the last order of
 * each platform. A host obeys when a bad answer is about to be decided, so that an order counts for every decision from then on. */
#ifndef TH_GUARD_ORDERS_H
#define TH_GUARD_ORDERS_H
#include "cache/guard.h"
#include "provider/provider.h"
#include "store/store.h"

enum { GUARD_NAME_BYTES = 2 * LIMIT_PLATFORM_BYTES };

struct guard_place {
    struct cache *cache;
    struct store *store;
    const struct provider *provider;
    int64_t interval_ms;
};
/** guard_name(platform, app, name): the name of a guard. Returns name. */
const char *guard_name(const char *platform, const char *app, char name[GUARD_NAME_BYTES]);
/** guard_each(provider, fn, arg): for each app that the platform's logins belong to, once. */
typedef void guard_fn(void *arg, const char *app, const char *name);
void guard_each(const struct provider *provider, guard_fn *fn, void *arg);

/** guard_orders_put(place, order, by, err): give an order, obeyed here at once. Blocks: as the store does. */
enum err_code guard_orders_put(const struct guard_place *place, enum guard_order order, const char *by,
                               struct err *err);
/** guard_orders_look(place): obey what was ordered since the last look. Blocks: as the store does, when it is time to look (watch_look) or there is
 *  something new. Without the store it stays as it is. An order that is older than a confirmation lasts is passed over. */
void guard_orders_look(const struct guard_place *place);

#endif
