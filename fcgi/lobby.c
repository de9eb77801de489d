#include "lobby.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "listen.h"
#include "records.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = LIMIT_KEPT_CONNECTIONS + 2, /* all that can be ready at once */
    LAST_ONES = 16,      /* connections taken in at the end: under more than that the other workers are awake */
    LAST_CALL_MS = 200,  /* for a request that is on its way when the worker has to stop, */
    LAST_INPUT_MS = 5000 /* and for the rest of one that has begun */
};

struct kept {
    int fd;
    int64_t slow_mono_ms; /* since when it has begun a request that is not whole; 0: it has not */
};

struct lobby {
    int listen_fd, epoll_fd, signal_fd;
    lobby_idle_fn *idle; /* NULL: none */
    void *idle_arg;
    struct kept kept[LIMIT_KEPT_CONNECTIONS]; /* the one that was silent longest comes first */
    int kept_count, slow_count;
    int new_was_last; /* the last connection given out was a new one */
    int stopping;
    int looked_whole; /* at what was judged last: nothing of it is missing */
    int hurried_fd;   /* the connection given out last that may wait for a moment only; -1: none */
    const char *web_servers;
    unsigned char peek[LIMIT_PEEK_BYTES];
};

static int watch(const struct lobby *l, int fd, unsigned how)
{
    struct epoll_event event = {.events = how, .data.fd = fd};

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

enum err_code lobby_new(int listen_fd, struct lobby **lobby, struct err *err)
{
    struct lobby *l = calloc(1, sizeof *l);
    sigset_t stop;

    *lobby = NULL;
    if (!l) return err_set(err, ERR_NOMEM, NULL, "no memory for the worker");
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    l->listen_fd = listen_fd;
    l->hurried_fd = -1;
    l->web_servers = getenv("FCGI_WEB_SERVER_ADDRS");
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->signal_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    /* Exclusive: a new connection wakes one worker, not all. */
    if (l->epoll_fd < 0 || l->signal_fd < 0 || !watch(l, l->signal_fd, EPOLLIN) ||
        !watch(l, listen_fd, EPOLLIN | EPOLLEXCLUSIVE) ||
        fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK) != 0) {
        err_set(err, ERR_IO, NULL, "the listening socket cannot be used: %s", strerror(errno));
        lobby_free(l);
        return ERR_IO;
    }
    *lobby = l;
    return ERR_OK;
}

static void set_stall(int fd, int seconds)
{
    struct timeval stall = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall);
}

static void set_options(int fd, int family)
{
    struct timeval stall = {.tv_sec = LIMIT_REQUEST_STALL_S};
    int on = 1;

    set_stall(fd, LIMIT_REQUEST_STALL_S);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
    if (family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* ---- what a connection has to say ---- */

enum fate { FATE_TAKE, FATE_WAIT, FATE_CLOSE };

/* libfcgi answers the question about itself, and then waits for a request: not for long. */
static void hurry(struct lobby *l, int fd)
{
    set_stall(fd, 1);
    l->hurried_fd = fd;
}

static enum fate judge(struct lobby *l, int fd, unsigned events)
{
    unsigned char refusal[RECORDS_REFUSAL_BYTES];
    ssize_t len = recv(fd, l->peek, sizeof l->peek, MSG_PEEK | MSG_DONTWAIT);
    enum records found;

    if (len < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? FATE_WAIT : FATE_CLOSE;
    if (len == 0) return FATE_CLOSE;
    found = records_look(l->peek, (size_t)len);
    l->looked_whole = found != RECORDS_HEAD;
    switch (found) {
    case RECORDS_MANAGEMENT:
        hurry(l, fd);
        return FATE_TAKE;
    case RECORDS_WHOLE:
        return FATE_TAKE;
    case RECORDS_HEAD:
        if (len >= LIMIT_INPUT_AHEAD_BYTES) return FATE_TAKE;
        /* fall through */
    case RECORDS_PARTIAL:
        return events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? FATE_CLOSE : FATE_WAIT;
    case RECORDS_TOO_LARGE:
        (void)!send(fd, refusal, records_refuse(l->peek, refusal), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case RECORDS_BROKEN:
        break;
    }
    log_debug("TOKEN HEALTH", "a connection that speaks no FastCGI of ours is closed");
    return FATE_CLOSE;
}

static void take_off(struct lobby *l, int k)
{
    l->slow_count -= l->kept[k].slow_mono_ms != 0;
    l->kept_count--;
    memmove(&l->kept[k], &l->kept[k + 1], (size_t)(l->kept_count - k) * sizeof l->kept[0]);
}

static void drop(struct lobby *l, int k)
{
    close(l->kept[k].fd); /* epoll forgets it too */
    take_off(l, k);
}

/* A request that is not whole wakes nobody again until more of it comes. */
static void set_slow(struct lobby *l, struct kept *kept, int is_slow)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (is_slow ? EPOLLET : 0), .data.fd = kept->fd};

    kept->slow_mono_ms = is_slow ? clock_mono_ms() : 0;
    l->slow_count += is_slow ? 1 : -1;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, kept->fd, &event);
}

/* Out of descriptors or memory: the socket stays readable, and trying again at once would only burn the CPU. */
static void accept_failed(void)
{
    struct timespec pause = {.tv_nsec = 50000000};

    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    log_error("TOKEN HEALTH", "no connection can be accepted", LOG_S("why", strerror(errno)));
    nanosleep(&pause, NULL);
}

/* A new connection that has something to say; -1 if another worker was faster or it is silent so far. */
static int accept_one(struct lobby *l)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    int fd = accept4(l->listen_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
    enum fate fate;

    if (fd < 0) {
        accept_failed();
        return -1;
    }
    if (!listen_peer_is_allowed(&peer, l->web_servers)) {
        log_warn("TOKEN HEALTH", "a connection from an address that is not in FCGI_WEB_SERVER_ADDRS was closed");
        close(fd);
        return -1;
    }
    set_options(fd, peer.ss_family);
    fate = judge(l, fd, 0);
    if (fate == FATE_TAKE) return fd;
    if (fate == FATE_WAIT)
        lobby_keep(l, fd);
    else
        close(fd);
    return -1;
}

static unsigned happened(const struct epoll_event *events, int count, int fd)
{
    for (int i = 0; i < count; i++)
        if (events[i].data.fd == fd) return events[i].events;
    return 0;
}

/* More of the requests that were not whole: all of them are looked at, as nothing tells of it again. */
static void look_at_slow(struct lobby *l, const struct epoll_event *events, int count)
{
    int64_t now_ms = clock_mono_ms();

    for (int k = l->kept_count - 1; k >= 0 && l->slow_count > 0; k--) {
        struct kept *kept = &l->kept[k];
        unsigned what = happened(events, count, kept->fd);
        enum fate fate = FATE_WAIT;

        if (!kept->slow_mono_ms) continue;
        if (what) fate = judge(l, kept->fd, what);
        if (fate == FATE_TAKE)
            set_slow(l, kept, 0);
        else if (fate == FATE_CLOSE || now_ms - kept->slow_mono_ms > LIMIT_REQUEST_READ_S * 1000)
            drop(l, k);
    }
}

/* The ready one that has waited longest for its turn, taken off the list; -1 if none is ready. */
static int take_kept(struct lobby *l, const struct epoll_event *events, int count)
{
    for (int k = 0; k < l->kept_count; k++) {
        int fd = l->kept[k].fd;
        unsigned what = l->kept[k].slow_mono_ms ? 0 : happened(events, count, fd);
        enum fate fate = what ? judge(l, fd, what) : FATE_WAIT;

        if (fate == FATE_TAKE) {
            take_off(l, k);
            return fd;
        }
        if (fate == FATE_CLOSE)
            drop(l, k--);
        else if (what)
            set_slow(l, &l->kept[k], 1);
    }
    return -1;
}

/* Connections that came before the socket was left may have woken this worker alone: they are its own. */
void lobby_stop(struct lobby *l)
{
    int fd;

    if (l->stopping) return;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->listen_fd, NULL);
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->signal_fd, NULL);
    for (int i = 0; i < LAST_ONES && (fd = accept_one(l)) >= 0; i++)
        lobby_keep(l, fd);
    l->stopping = 1;
}

static int last_call(struct lobby *l)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t left_ms, start_ms = clock_mono_ms();

    while (l->kept_count &&
           (left_ms = start_ms + (l->slow_count ? LAST_INPUT_MS : LAST_CALL_MS) - clock_mono_ms()) > 0) {
        int count = epoll_wait(l->epoll_fd, events, EVENTS_MAX, (int)left_ms), fd;

        look_at_slow(l, events, count);
        fd = take_kept(l, events, count);
        if (fd >= 0) return fd;
    }
    return -1;
}

void lobby_on_idle(struct lobby *l, lobby_idle_fn *fn, void *arg)
{
    l->idle = fn;
    l->idle_arg = arg;
}

/* New and kept connections take turns. But whoever was woken up by a new connection has to accept it now: the kernel woke
 * nobody else for it. Only the wait that sleeps can have been that waking. */
static int wait_connection(struct lobby *l)
{
    struct epoll_event events[EVENTS_MAX];

    while (!l->stopping) {
        int count = epoll_wait(l->epoll_fd, events, EVENTS_MAX, 0), slept = count == 0, fd = -1, newcomer, goes_first;

        if (slept) count = epoll_wait(l->epoll_fd, events, EVENTS_MAX, l->idle ? LOBBY_IDLE_MS : -1);
        if (count == 0 && l->idle) l->idle(l->idle_arg);
        if (count < 0) continue; /* a debugger, SIGSTOP */
        if (happened(events, count, l->signal_fd)) {
            lobby_stop(l);
            break;
        }
        newcomer =
            count == 0 || happened(events, count, l->listen_fd); /* count == 0: it may have woken a worker that died */
        if (l->slow_count) look_at_slow(l, events, count);
        goes_first = newcomer && (slept || !l->new_was_last);
        if (goes_first) fd = accept_one(l);
        l->new_was_last = fd >= 0;
        if (fd < 0) fd = take_kept(l, events, count);
        if (fd < 0 && newcomer && !goes_first) {
            fd = accept_one(l);
            l->new_was_last = fd >= 0;
        }
        if (fd >= 0) return fd;
    }
    return last_call(l);
}

int lobby_wait(struct lobby *l, int *is_whole)
{
    int fd = wait_connection(l);

    *is_whole = l->looked_whole;
    return fd;
}

void lobby_keep(struct lobby *l, int fd)
{
    if (l->stopping || (!watch(l, fd, EPOLLIN | EPOLLRDHUP) && errno != EEXIST)) {
        close(fd);
        return;
    }
    if (fd == l->hurried_fd) {
        set_stall(fd, LIMIT_REQUEST_STALL_S);
        l->hurried_fd = -1;
    }
    if (l->kept_count == LIMIT_KEPT_CONNECTIONS) drop(l, 0);
    l->kept[l->kept_count++] = (struct kept){.fd = fd};
}

void lobby_free(struct lobby *l)
{
    if (!l) return;
    for (int i = 0; i < l->kept_count; i++)
        close(l->kept[i].fd);
    if (l->signal_fd >= 0) close(l->signal_fd);
    if (l->epoll_fd >= 0) close(l->epoll_fd);
    free(l);
}
