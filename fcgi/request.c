#include "request.h"
#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

struct gateway {
    FCGX_Request fcgi;
    int listen_fd, epoll_fd;
    int kept_fd;                             /* the kept connection that epoll watches, -1: none */
    sigset_t waiting;                        /* signal mask while waiting */
    unsigned long long worker_tag, sequence; /* parts of a request id */
    char body[LIMIT_REQUEST_BODY_BYTES + 2];
};

static void draw_tag(unsigned long long *tag)
{
    if (getrandom(tag, sizeof *tag, 0) != (ssize_t)sizeof *tag) *tag = (unsigned long long)getpid();
}

enum err_code gateway_new(int listen_fd, struct gateway **gateway, struct err *err)
{
    /* Exclusive: a new connection wakes one worker, not all. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listen_fd};
    struct gateway *g = calloc(1, sizeof *g);
    sigset_t blocked;

    *gateway = NULL;
    if (!g) return err_set(err, ERR_NOMEM, NULL, "no memory for the worker");
    g->listen_fd = listen_fd;
    g->kept_fd = -1;
    g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (g->epoll_fd < 0 || epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0 ||
        fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK) != 0 || FCGX_Init() != 0 ||
        FCGX_InitRequest(&g->fcgi, listen_fd, FCGI_FAIL_ACCEPT_ON_INTR) != 0) {
        gateway_free(g);
        return err_set(err, ERR_IO, NULL, "the listening socket cannot be used: %s", strerror(errno));
    }
    draw_tag(&g->worker_tag);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, &g->waiting);
    *gateway = g;
    return ERR_OK;
}

/* 1 and the text copied if it is there and fits; 0 and "" otherwise. *too_long is set when it does not fit. */
static int copy_param(struct gateway *g, const char *name, char *out, size_t size, int *too_long)
{
    const char *value = FCGX_GetParam(name, g->fcgi.envp);
    size_t len = value ? strlen(value) : 0;

    out[0] = '\0';
    if (!value) return 0;
    if (len >= size) {
        *too_long = 1;
        return 0;
    }
    memcpy(out, value, len + 1);
    return 1;
}

static void copy_path(struct gateway *g, struct request *req, int *too_long)
{
    char info[LIMIT_REQUEST_TARGET_BYTES];
    size_t len;

    if (copy_param(g, "REQUEST_URI", req->path, sizeof req->path, too_long)) {
        req->path[strcspn(req->path, "?")] = '\0';
        return;
    }
    copy_param(g, "SCRIPT_NAME", req->path, sizeof req->path, too_long);
    copy_param(g, "PATH_INFO", info, sizeof info, too_long);
    len = strlen(req->path);
    if (len + strlen(info) >= sizeof req->path)
        *too_long = 1;
    else
        memcpy(req->path + len, info, strlen(info) + 1);
}

static void copy_id(struct gateway *g, struct request *req)
{
    int ignored;

    if (copy_param(g, "HTTP_X_REQUEST_ID", req->id, sizeof req->id, &ignored) && req->id[0] &&
        strspn(req->id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(req->id))
        return;
    snprintf(req->id, sizeof req->id, "%016llx-%llx", g->worker_tag, ++g->sequence);
}

/* One byte more than allowed is read, so that too much is told from just enough. */
static void read_body(struct gateway *g, struct request *req)
{
    size_t len = 0;
    int n;

    while (len < LIMIT_REQUEST_BODY_BYTES + 1 &&
           (n = FCGX_GetStr(g->body + len, (int)(LIMIT_REQUEST_BODY_BYTES + 1 - len), g->fcgi.in)) > 0)
        len += (size_t)n;
    req->body_too_large = len > LIMIT_REQUEST_BODY_BYTES;
    g->body[len] = '\0';
    req->body = g->body;
    req->body_len = len;
}

static void copy_request(struct gateway *g, struct request *req)
{
    int too_long = 0, key_too_long = 0;

    copy_param(g, "REQUEST_METHOD", req->method, sizeof req->method, &too_long);
    copy_path(g, req, &too_long);
    copy_param(g, "QUERY_STRING", req->query, sizeof req->query, &too_long);
    copy_param(g, "CONTENT_TYPE", req->content_type, sizeof req->content_type, &too_long);
    copy_param(g, "HTTP_AUTHORIZATION", req->authorization, sizeof req->authorization, &key_too_long);
    copy_param(g, "TOKEN_HEALTH_WORKSPACE", req->workspace_param, sizeof req->workspace_param, &too_long);
    copy_param(g, "TOKEN_HEALTH_ACCOUNT", req->account_param, sizeof req->account_param, &too_long);
    copy_id(g, req);
    req->malformed = too_long ? ERR_BAD_INPUT : ERR_OK;
    req->body = "";
    req->body_len = 0;
    req->body_too_large = 0;
    if (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0) read_body(g, req);
}

/* A kept connection is libfcgi's to read; epoll watches it beside the listening socket. */
static void watch_kept(struct gateway *g)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = g->fcgi.ipcFd};
    int fd = g->fcgi.ipcFd;

    if (g->kept_fd == fd) return;
    g->kept_fd = fd >= 0 && epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? fd : -1;
}

static void drop_kept(struct gateway *g)
{
    if (g->fcgi.ipcFd >= 0) FCGX_Free(&g->fcgi, 1); /* closes it: epoll forgets it too */
    g->kept_fd = -1;
}

int gateway_accept(struct gateway *g, struct request *req)
{
    struct epoll_event events[2];

    for (;;) {
        int count, kept = 0, rc;

        watch_kept(g);
        count = epoll_pwait(g->epoll_fd, events, 2, -1, &g->waiting);
        if (count < 0) return 0;
        for (int i = 0; i < count; i++)
            kept |= events[i].data.fd != g->listen_fd;
        /* Idle, and others wait: libfcgi would pin this worker to the connection. */
        if (!kept && g->kept_fd >= 0) drop_kept(g);
        rc = FCGX_Accept_r(&g->fcgi);
        if (rc == 0) break;
        g->kept_fd = -1; /* another worker was faster, or the peer went away */
    }
    copy_request(g, req);
    return 1;
}

void gateway_put(struct gateway *g, const char *text, size_t len)
{
    FCGX_PutStr(text, (int)len, g->fcgi.out);
}

void gateway_finish(struct gateway *g)
{
    FCGX_Finish_r(&g->fcgi);
    if (g->fcgi.ipcFd < 0) g->kept_fd = -1;
}

void gateway_free(struct gateway *g)
{
    if (!g) return;
    drop_kept(g);
    FCGX_Free(&g->fcgi, 1);
    if (g->epoll_fd >= 0) close(g->epoll_fd);
    free(g);
}
