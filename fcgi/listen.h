/* The listening socket. */
#ifndef TH_LISTEN_H
#define TH_LISTEN_H
#include "base/err.h"

/** listen_open(where, mode, backlog, &fd, &made, err): "unix:PATH", "HOST:PORT" or "fd:0". A unix socket that nobody listens
 *  on any more is replaced; one in use is ERR_CONFIG. *made: a socket file was made here and should be removed at the end. */
enum err_code listen_open(const char *where, unsigned mode, int backlog, int *fd, int *made, struct err *err);
/** listen_given(fd): is this descriptor a listening socket (spawn-fcgi, mod_fcgid)? */
int listen_given(int fd);

#endif
