/* The budget of calls to each provider's host, shared by all processes through the shared-memory segment: budget_rule.h on words
 * in it. A host has a slot, found by a seeded hash; its name is not kept. No lock and no owner: a process killed anywhere leaves
 * at most one call counted that it did not make, or a probe that its deadline ends. When the segment is replaced the budget
 * starts anew. */
#ifndef TH_BUDGET_H
#define TH_BUDGET_H
#include "cache/budget_rule.h"
#include "cache/cache.h"

/** budget_take(cache, host, limits, kind): go, or how long to wait before asking again. After a go make one call and tell its
 *  end to budget_report (if the call is not made: BUDGET_NO_CALL, or nothing). All processes should have the same limits. Never
 *  blocks. More hosts than CACHE_BUDGETS share slots, which makes them slower, never faster. */
struct budget_decision budget_take(struct cache *cache, const char *host, const struct budget_limits *limits,
                                   enum budget_kind kind);
/** budget_report(cache, host, event): what a call taught. Returns the news of it (enum budget_news) for the operator; of all processes,
 *  the one that made the change has it. */
unsigned budget_report(struct cache *cache, const char *host, const struct budget_event *event);
/** budget_look(cache, host, view): for statistics; changes nothing. */
void budget_look(const struct cache *cache, const char *host, struct budget_view *view);

#endif
