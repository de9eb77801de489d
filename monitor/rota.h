/* A monitor among others: it takes slices that are due, goes through them, shows that it lives, gives them back with what is done; and
 * stops at once with a slice that it has lost. Any number of monitors may do so on any number of hosts.
 *
 * It believes in a lease for its time, counted from before the last renewal was sent, less a margin in which what is under way
 * (a provider's call, a store's write) ends. Nothing is begun or written after that, whatever happened meanwhile: a stop of the
 * process, a store that was away, a step of a clock. */
#ifndef TH_ROTA_H
#define TH_ROTA_H
#include "board.h"
#include "health/service.h"

struct rota;
enum err_code rota_new(struct service *service, struct rota **rota, struct err *err);
/** rota_turn(r, most_ms): what is to be done now; then waits, ${most_ms} at the most, for something to do. Returns for how long nothing will be
 *  there to do, in ms, if nothing is under way: the caller sleeps; else 0. Blocks: as the store does. */
int64_t rota_turn(struct rota *r, int64_t most_ms);
/** rota_leave(r): end what is under way and give back all slices, for others to go on with. The process is to end: no more turns. */
void rota_leave(struct rota *r);
void rota_free(struct rota *r);

/** rota_sum(r, sums): of all monitors' slices, as last seen, with what we have done since. rota_sweeps(r): sweeps that ended, by whomever, since
 *  we came: in one each slice was gone through. rota_monitors(r): those that are there, we among them: [{host, pid, startedAt}].
 *  Owns: caller. */
void rota_sum(const struct rota *r, struct board_sums *sums);
int64_t rota_sweeps(const struct rota *r);
int rota_is_working(const struct rota *r);
int64_t rota_wall_ms(const struct rota *r, int64_t store_ms); /* a time of the store, by our wall clock */
struct json *rota_monitors(const struct rota *r);

#endif
