/* One FastCGI request as plain data, by bounded copy, and the way to its answer. The only file that sees libfcgi. */
#ifndef TH_REQUEST_H
#define TH_REQUEST_H
#include "base/err.h"
#include "base/limits.h"
#include "pulse.h"
#include <stddef.h>

enum { REQUEST_ID_BYTES = 65, METHOD_BYTES = 16, REMOTE_ADDR_BYTES = 64 };

struct request {
    char method[METHOD_BYTES];
    char path[LIMIT_REQUEST_TARGET_BYTES]; /* as sent, percent-encoded, without the query */
    char query[LIMIT_REQUEST_TARGET_BYTES];
    char content_type[128];
    char authorization[LIMIT_API_KEY_BYTES + 16];
    char workspace_param[LIMIT_ID_BYTES]; /* TOKEN_HEALTH_WORKSPACE, set by the web server */
    char account_param[LIMIT_ID_BYTES];   /* TOKEN_HEALTH_ACCOUNT */
    int is_named;             /* one of the two is there, be it empty: the query does not say whom it is about */
    char valid_for_param[16]; /* TOKEN_HEALTH_VALID_FOR: seconds */
    char remote_addr[REMOTE_ADDR_BYTES]; /* REMOTE_ADDR; "" not told */
    char id[REQUEST_ID_BYTES];           /* X-Request-Id, or made here */
    const char *body; /* NUL-terminated behind body_len; valid until the next request; "" with GET and HEAD */
    size_t body_len;
    int body_too_large;
    int input_waits;       /* none of the body is here yet: gateway_input */
    int is_authorizer;     /* the FastCGI role: the question is check's */
    const char *malformed; /* NULL, or why it is refused at once */
};

struct gateway; /* one worker's side of the listening socket */
/** gateway_new(listen_fd, pulse, &gateway, err): see lobby_new. ${pulse} is moved before each wait. Borrows pulse. */
enum err_code gateway_new(int listen_fd, struct pulse *pulse, struct gateway **gateway, struct err *err);
/** gateway_stop(g): no new connection; gateway_accept goes on as after SIGTERM. */
void gateway_stop(struct gateway *g);
/** gateway_on_idle(g, fn, arg): ${fn} is called now and then while gateway_accept waits. */
void gateway_on_idle(struct gateway *g, void (*fn)(void *arg), void *arg);
/** gateway_accept(gateway, req): wait for a request. 1: ${req} is filled; 0: SIGTERM or SIGINT came (they are blocked but while waiting
 *  here, so that no request is cut off). A request that its web server gave up, or did not send whole, is passed over. */
int gateway_accept(struct gateway *gateway, struct request *req);
/** gateway_input(gateway, req, is_wanted): fetch the body that was on its way, for as long as LIMIT_REQUEST_READ_S; or, not wanted, throw
 *  away what comes at once: the connection will be closed behind the answer. Who is let in should be clear before: strangers do
 *  not hold a worker. 0: the web server broke off, and nobody waits for an answer. */
int gateway_input(struct gateway *gateway, struct request *req, int is_wanted);
/** gateway_put(gateway, text, len): part of the answer, CGI style: headers, empty line, body. */
void gateway_put(struct gateway *gateway, const char *text, size_t len);
/** gateway_finish(gateway): the answer is whole. */
void gateway_finish(struct gateway *gateway);
void gateway_free(struct gateway *gateway);

#endif
