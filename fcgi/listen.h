/* The listening socket. */
#ifndef TH_LISTEN_H
#define TH_LISTEN_H
#include "base/err.h"
#include <sys/socket.h>

/** listen_open(where, mode, backlog, &fd, &made, err): "unix:PATH", "HOST:PORT" or "fd:0". A unix socket that nobody listens
 *  on any more (the connection is refused) is replaced; any other is ERR_CONFIG. Does not block. *made: a socket file was made here and should be removed at the end. */
enum err_code listen_open(const char *where, unsigned mode, int backlog, int *fd, int *made, struct err *err);
/** listen_given(fd): is this descriptor a listening socket (spawn-fcgi, mod_fcgid)? */
int listen_given(int fd);
/** listen_peer_is_allowed(peer, list): is the address in the comma-separated list (FCGI_WEB_SERVER_ADDRS)? NULL: everybody is, and so
 *  is whoever comes over a unix socket, whose permissions are its guard. */
int listen_peer_is_allowed(const struct sockaddr_storage *peer, const char *list);

#endif
