/* livez, readyz: for the supervisor and the load balancer. */
#include "exchange.h"

void h_livez(struct exchange *x)
{
    x->json = json_object_new();
    json_set(x->json, "status", json_new_string("alive"));
}

void h_readyz(struct exchange *x)
{
    struct err why = {0};

    if (store_ping(service_store(x->service), &why) != ERR_OK) {
        /* Open to all: which store it is stays inside. */
        err_set(&x->err, ERR_UNAVAILABLE, NULL, "the account store cannot be reached");
        return;
    }
    x->json = json_object_new();
    json_set(x->json, "status", json_new_string("ready"));
}
