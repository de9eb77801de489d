#include "world.h"
#include <string.h>

static void set_defaults(struct world *w)
{
    memset(w->faults, 0, sizeof w->faults);
    w->latency_ms = w->usage_percent = w->regain_minutes = 0;
    w->retry_after_s = 30;
    secret_free(&w->app_secret);
}

int world_init(struct world *w)
{
    *w = (struct world){.tokens = tokens_new(), .ledger = ledger_new()};
    set_defaults(w);
    if (w->tokens && w->ledger) return 1;
    world_fini(w);
    return 0;
}

void world_fini(struct world *w)
{
    tokens_free(w->tokens);
    ledger_free(w->ledger);
    secret_free(&w->app_secret);
    *w = (struct world){0};
}

void world_reset(struct world *w)
{
    set_defaults(w);
    ledger_reset(w->ledger, w->tokens); /* first: its entries point to tokens */
    tokens_reset(w->tokens);
}
