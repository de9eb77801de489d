/* Leases in the store: small named records of which each has at most one holder, among all hosts. They are how many monitors share
 * the accounts. Invariants:
 * - No clock of another host is believed. A holder says how long it promises to be silent at the most (ttl) and shows that it lives by
 *   writing its lease, which changes its beat. Who has seen a lease stand still for its ttl, by the own clock, may take it.
 * - The holder counts from before each write that it sent, by CLOCK_BOOTTIME, which no step of the wall clock touches and which
 *   goes on while a process is stopped or the host sleeps: it stops to believe in its lease before anybody else may take it.
 * - Each taking has an epoch of its own, larger than all before it, of any lease. A write that carries a fence gets through only
 *   as long as the lease is still that of its epoch (see store_update). */
#ifndef TH_LEASE_H
#define TH_LEASE_H
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"

struct store;
enum { LEASE_NAME_BYTES = LIMIT_ID_BYTES + 64, LEASE_OWNER_BYTES = 160 };
struct lease {
    char name[LEASE_NAME_BYTES];
    char owner[LEASE_OWNER_BYTES]; /* "": nobody's */
    int64_t epoch;                 /* of the last taking; 0: never taken */
    int64_t beat;                  /* another one after each write of the lease */
    int64_t ttl_ms;                /* as the holder promised */
    struct json *state;            /* what the holder keeps in it; owned: lease_fini */
};
void lease_fini(struct lease *lease);

/** What a holder gives with its writes. */
struct fence {
    char lease[LEASE_NAME_BYTES];
    int64_t epoch;
    int64_t until_boot_ms; /* by clock_boot_ms: believed until then; 0: lost */
};
/** fence_holds(f): may the work go on? NULL: yes, there is no fence. fence_lose(f): it does not hold any more. */
int fence_holds(const struct fence *f);
void fence_lose(struct fence *f);

/** store_now(store, &now_ms, err): the store's clock, Unix ms: the same for all hosts. MongoDB: that of the primary. SQLite: this
 *  host's, which no step of the wall clock moves until the next boot. It may be wrong, and after a boot or a fail-over it may jump. */
enum err_code store_now(struct store *store, int64_t *now_ms, struct err *err);

/** store_lease_create(store, name, state, fence, err): a lease that nobody holds. ${fence} (NULL allowed) as with store_update. Fails:
 *  ERR_CONFLICT: there is one of that name, or the fence does not hold. */
enum err_code store_lease_create(struct store *store, const char *name, const struct json *state, struct fence *fence,
                                 struct err *err);
/** store_lease_list(store, prefix, fn, arg, err): all leases whose name begins with ${prefix}, in any order. The lease is the callee's
 *  (lease_fini). What cannot be read is passed over. */
typedef void store_lease_fn(void *arg, struct lease *lease);
enum err_code store_lease_list(struct store *store, const char *prefix, store_lease_fn *fn, void *arg, struct err *err);
/** store_lease_take(store, lease, owner, ttl_ms, err): make ${lease}, as it was seen, ${owner}'s, with a new epoch; its state stays. Whether
 *  it may be taken is for the caller to know. Fails: ERR_CONFLICT: it was written since it was seen, or is gone; ERR_UNAVAILABLE: it
 *  may be taken or not: nobody holds it then, and it stands still. */
enum err_code store_lease_take(struct store *store, struct lease *lease, const char *owner, int64_t ttl_ms,
                               struct err *err);
/** store_lease_renew / _release(store, lease, err): show that the holder lives, or give it up; either writes lease->state.
 *  store_lease_delete: as release, and the lease is gone. Fails: ERR_CONFLICT: it is not ours any more. */
enum err_code store_lease_renew(struct store *store, struct lease *lease, struct err *err);
enum err_code store_lease_release(struct store *store, struct lease *lease, struct err *err);
enum err_code store_lease_delete(struct store *store, const struct lease *lease, struct err *err);

#endif
