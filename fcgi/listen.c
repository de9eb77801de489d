#include "listen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int is_listening(int fd)
{
    int listening = 0;
    socklen_t len = sizeof listening;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

enum err_code listen_inherited(const char **where, struct err *err)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    long count = pid && fds && strtol(pid, NULL, 10) == (long)getpid() ? strtol(fds, NULL, 10) : 0;

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    *where = is_listening(STDIN_FILENO) ? "fd:0" : count == 1 ? "fd:3" : NULL;
    if (*where || count < 1) return ERR_OK;
    return err_set(err, ERR_CONFIG, "LISTEN_FDS",
                   "%ld sockets were given, and only one can be listened on: leave one ListenStream=", count);
}

/* Any address as an IPv6 one (RFC 4291, 2.5.5.2: IPv4 mapped), so that each has one form. */
static int parse_address(const char *text, struct in6_addr *out)
{
    char mapped[INET6_ADDRSTRLEN + 8];

    if (inet_pton(AF_INET6, text, out) == 1) return 1;
    snprintf(mapped, sizeof mapped, "::ffff:%s", text);
    return inet_pton(AF_INET6, mapped, out) == 1;
}

int listen_peer_is_allowed(const struct sockaddr_storage *peer, const char *list)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address, allowed;

    if (!list || peer->ss_family == AF_UNIX || peer->ss_family == AF_UNSPEC) return 1;
    if (getnameinfo((const struct sockaddr *)peer, sizeof *peer, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0 ||
        !parse_address(text, &address))
        return 0;
    while (*list) {
        size_t len = strcspn(list, ", ");

        snprintf(text, sizeof text, "%.*s", (int)len, list);
        if (len && parse_address(text, &allowed) && !memcmp(&address, &allowed, sizeof address)) return 1;
        list += len + strspn(list + len, ", ");
    }
    return 0;
}

/* Only a refusal says that nobody does. No permission, a full queue, a socket of another kind: somebody's. */
static int somebody_may_listen(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), is_refused;

    if (fd < 0) return 1;
    is_refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return !is_refused;
}

static enum err_code listen_unix(const char *path, unsigned mode, int backlog, int *fd, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    mode_t old;
    int bound;

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_CONFIG, path, "a socket path has at most %zu bytes", sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode)) return err_set(err, ERR_CONFIG, path, "is there and no socket");
        if (somebody_may_listen(&address))
            return err_set(err, ERR_CONFIG, path, "another process listens on this socket, or may");
        unlink(path);
    }
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) return err_set(err, ERR_IO, path, "%s", strerror(errno));
    old = umask(0777 & ~mode); /* never wider than asked, not even for a moment */
    bound = bind(*fd, (struct sockaddr *)&address, sizeof address);
    umask(old);
    if (bound == 0 && chmod(path, mode) == 0 && listen(*fd, backlog) == 0) return ERR_OK;
    err_set(err, ERR_CONFIG, path, "%s", strerror(errno));
    close(*fd);
    return ERR_CONFIG;
}

static int bind_tcp(const struct addrinfo *info, int backlog)
{
    int on = 1, fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);

    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, backlog) == 0) return fd;
    close(fd);
    return -1;
}

static enum err_code listen_tcp(const char *where, int backlog, int *fd, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *info = NULL;
    const char *colon = strrchr(where, ':');
    char host[256], *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : 0;
    int rc;

    if (!colon || colon == where || (size_t)(colon - where) >= sizeof host || *end || port < 1 || port > 65535)
        return err_set(err, ERR_CONFIG, where, "unix:PATH, HOST:PORT or fd:0 is expected");
    snprintf(host, sizeof host, "%.*s", (int)(colon - where), where);
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        memmove(host, host + 1, strlen(host));
        host[strlen(host) - 1] = '\0';
    }
    rc = getaddrinfo(host, colon + 1, &hints, &info);
    if (rc != 0) return err_set(err, ERR_CONFIG, where, "%s", gai_strerror(rc));
    *fd = bind_tcp(info, backlog);
    freeaddrinfo(info);
    return *fd >= 0 ? ERR_OK : err_set(err, ERR_CONFIG, where, "%s", strerror(errno));
}

enum err_code listen_open(const char *where, unsigned mode, int backlog, int *fd, int *made, struct err *err)
{
    enum err_code rc;

    *made = 0;
    if (!strcmp(where, "fd:0") || !strcmp(where, "fd:3")) {
        *fd = where[3] - '0';
        if (!is_listening(*fd)) return err_set(err, ERR_CONFIG, where, "descriptor %d is no listening socket", *fd);
        if (*fd != STDIN_FILENO) fcntl(*fd, F_SETFD, FD_CLOEXEC);
        return ERR_OK;
    }
    if (strncmp(where, "unix:", 5) != 0) return listen_tcp(where, backlog, fd, err);
    rc = listen_unix(where + 5, mode, backlog, fd, err);
    *made = rc == ERR_OK;
    return rc;
}
