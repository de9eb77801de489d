/* The HTTP side, on libmicrohttpd: one thread, one epoll loop. An answer that takes its time is suspended and waits in a queue,
 * so that thousands of slow calls cost nothing. Nothing here knows what is asked. */
#ifndef SANDBOX_SERVER_H
#define SANDBOX_SERVER_H
#include "world.h"

/** tls_cert, tls_key: PEM texts, or both NULL. Ports: 0 is any free one. */
struct server_options {
    unsigned port, tls_port;
    const char *tls_cert, *tls_key;
};

/** server_run(w, options): listen on 127.0.0.1, say so on standard output, serve until SIGTERM or SIGINT. The ports are free
 *  when it returns. 0, or -1 with a reason on standard error. */
int server_run(struct world *w, const struct server_options *options);

#endif
