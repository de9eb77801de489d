/* The mass-failure guard: for who may see and decide about all workspaces. */
#include "exchange.h"
#include <stdio.h>

static int is_for_all(struct exchange *x)
{
    if (!x->key->workspaces) return 1;
    err_set(&x->err, ERR_FORBIDDEN, NULL, "the mass-failure guard needs a key for all workspaces");
    return 0;
}

void h_guard(struct exchange *x)
{
    if (is_for_all(x)) service_guard_status(x->service, x->platform, &x->json, NULL, &x->err);
}

void h_guard_order(struct exchange *x)
{
    char by[LIMIT_API_KEY_BYTES];
    enum guard_order order;

    if (!is_for_all(x)) return;
    if (!guard_order_parse(json_string(json_member(x->body, "action")), &order)) {
        err_set(&x->err, ERR_BAD_INPUT, "action", "\"action\" must be \"confirm\" or \"release\"");
        return;
    }
    snprintf(by, sizeof by, "API key %s", x->key->id);
    if (service_guard_order(x->service, x->platform, order, by, &x->err) == ERR_OK)
        service_guard_status(x->service, x->platform, &x->json, NULL, &x->err);
}
