/* A worker's connections from web servers: new ones from the listening socket that all workers share, and those that a web
 * server keeps open. A connection with nothing to say, or with half a request, takes nobody's time; one with none that can be answered
 * (records.h) is closed here. */
#ifndef TH_LOBBY_H
#define TH_LOBBY_H
#include "base/err.h"

struct lobby;
/** lobby_new(listen_fd, &lobby, err): the listening socket becomes non-blocking. SIGTERM and SIGINT are blocked from here on: they
 *  end lobby_wait instead. Over TCP only the addresses in FCGI_WEB_SERVER_ADDRS are let in, when it is set. */
enum err_code lobby_new(int listen_fd, struct lobby **lobby, struct err *err);
/** lobby_wait(lobby, &is_whole): a connection that has a request with all its parameters; it is the caller's, who closes it or
 *  gives it to lobby_keep. *is_whole: and all its input, or else LIMIT_INPUT_AHEAD_BYTES at least. -1: SIGTERM or SIGINT came, and no connection that was taken in has something to say any more. Reads and writes on it fail after LIMIT_REQUEST_STALL_S without progress. */
int lobby_wait(struct lobby *lobby, int *is_whole);
/** lobby_stop(lobby): as SIGTERM does: no new connection; lobby_wait gives out what has come so far, then -1. */
void lobby_stop(struct lobby *lobby);
/** lobby_on_idle(lobby, fn, arg): ${fn} is called now and then (LOBBY_IDLE_MS) while lobby_wait has nothing to do. */
enum { LOBBY_IDLE_MS = 500 };
typedef void lobby_idle_fn(void *arg);
void lobby_on_idle(struct lobby *lobby, lobby_idle_fn *fn, void *arg);
/** lobby_keep(lobby, fd): wait for more on this connection. With too many the one that was silent longest is closed. */
void lobby_keep(struct lobby *lobby, int fd);
void lobby_free(struct lobby *lobby); /* closes what is kept; NULL allowed */

#endif
