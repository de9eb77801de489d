/* Everything that the sandbox knows; one thread, so no locks. */
#ifndef SANDBOX_WORLD_H
#define SANDBOX_WORLD_H
#include "base/secret.h"
#include "host.h"
#include "ledger.h"
#include "tokens.h"

/** A fault that overrules what the tokens are. */
struct fault {
    enum condition condition; /* HEALTHY: none */
    enum kind kind;           /* KIND_COUNT: all */
    unsigned percent;
    unsigned turns; /* calls that could have met it */
};

struct world {
    struct tokens *tokens;
    struct ledger *ledger;
    struct fault faults[HOST_COUNT];
    unsigned latency_ms;
    unsigned usage_percent, regain_minutes, retry_after_s;
    struct secret app_secret; /* Facebook wants a proof that is made with it; empty: it does not */
    unsigned concurrency;     /* provider calls under way */
};

/** world_init(w): 1, or 0 if out of memory. */
int world_init(struct world *w);
void world_fini(struct world *w);
/** world_reset(w): as after world_init; calls under way stay counted. */
void world_reset(struct world *w);

#endif
