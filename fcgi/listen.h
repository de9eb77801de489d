/* The listening socket. */
#ifndef TH_LISTEN_H
#define TH_LISTEN_H
#include "base/err.h"
#include <sys/socket.h>

/** listen_open(where, mode, backlog, &fd, &made, err): "unix:PATH", "HOST:PORT", "fd:0" or "fd:3". A unix socket that nobody listens
 *  on any more (the connection is refused) is replaced; any other is ERR_CONFIG. Does not block. *made: a socket file was made here and should be removed at the end. */
enum err_code listen_open(const char *where, unsigned mode, int backlog, int *fd, int *made, struct err *err);
/** listen_inherited(&where, err): where the socket is that whoever started this process gives it: "fd:0" (spawn-fcgi, mod_fcgid, systemd's
 *  StandardInput=socket), "fd:3" (sd_listen_fds(3): $LISTEN_PID names this process, $LISTEN_FDS is 1), or NULL. The variables are taken
 *  out of the environment. Static. Fails: ERR_CONFIG, more than one socket: those behind the first would never be answered. */
enum err_code listen_inherited(const char **where, struct err *err);
/** listen_peer_is_allowed(peer, list): is the address in the comma-separated list (FCGI_WEB_SERVER_ADDRS)? NULL: everybody is, and so
 *  is whoever comes over a unix socket, whose permissions are its guard. */
int listen_peer_is_allowed(const struct sockaddr_storage *peer, const char *list);

#endif
