/* Paths to routes. Pure. */
#ifndef TH_ROUTER_H
#define TH_ROUTER_H
#include "exchange.h"

struct route {
    const char *method, *path;
    unsigned scope;
    handler_fn *handler;
    const char *summary;
};

enum route_result { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD, ROUTE_BAD_PATH };
/** router_find(method, path, x, &route): path is percent-encoded; its parameters are decoded into x->platform and x->argument, each from one
 *  segment ("%2F" stays inside its segment). HEAD finds GET's route. With ROUTE_NO_METHOD *route is one of that path. */
enum route_result router_find(const char *method, const char *path, struct exchange *x, const struct route **route);

#endif
