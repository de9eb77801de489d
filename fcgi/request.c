#include "request.h"
#include "base/clock.h"
#include "base/secret.h"
#include "lobby.h"
#include <fcgiapp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    ROLE_AUTHORIZER = 2,       /* FastCGI specification 1.0, 5.1 */
    LONG_ANSWER_BYTES = 16384, /* what every socket takes at once is not clocked */
    SKIP_MS = 250,             /* for all of an input that nobody wants, */
    SKIP_PAUSE_MS = 50         /* and until more of it comes */
};

struct gateway {
    FCGX_Request fcgi;
    struct lobby *lobby;
    struct pulse *pulse;
    unsigned long long worker_tag, sequence; /* parts of a request id */
    char body[LIMIT_REQUEST_BODY_BYTES + 2];
};

/* ---- a time for all the reading of a request, and for all the writing of a long answer ---- */

static volatile sig_atomic_t clocked_fd = -1;

/* libfcgi sees the end of the stream, and gives the request up. */
static void on_time_over(int signo)
{
    (void)signo;
    if (clocked_fd >= 0) shutdown(clocked_fd, SHUT_RDWR);
}

static void start_clock(int fd)
{
    clocked_fd = fd;
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_sec = LIMIT_REQUEST_READ_S}, NULL);
}

static void stop_clock(void)
{
    clocked_fd = -1;
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

static void draw_tag(unsigned long long *tag)
{
    if (getrandom(tag, sizeof *tag, 0) != (ssize_t)sizeof *tag) *tag = (unsigned long long)getpid();
}

enum err_code gateway_new(int listen_fd, struct pulse *pulse, struct gateway **gateway, struct err *err)
{
    struct gateway *g = calloc(1, sizeof *g);
    enum err_code rc = ERR_OK;

    *gateway = NULL;
    if (!g) return err_set(err, ERR_NOMEM, NULL, "no memory for the worker");
    g->pulse = pulse;
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_time_over, .sa_flags = SA_RESTART}, NULL);
    /* libfcgi gets connections from the lobby and none from the socket: its own accept would block on a silent one. */
    if (FCGX_Init() != 0 || FCGX_InitRequest(&g->fcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
        rc = err_set(err, ERR_INTERNAL, NULL, "libfcgi cannot be started");
    if (rc == ERR_OK) rc = lobby_new(listen_fd, &g->lobby, err);
    if (rc == ERR_OK) {
        draw_tag(&g->worker_tag);
        *gateway = g;
    } else {
        gateway_free(g);
    }
    return rc;
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

static void copy_target(struct gateway *g, struct request *req, int *too_long)
{
    copy_param(g, "REQUEST_METHOD", req->method, sizeof req->method, too_long);
    copy_path(g, req, too_long);
    copy_param(g, "QUERY_STRING", req->query, sizeof req->query, too_long);
    copy_param(g, "CONTENT_TYPE", req->content_type, sizeof req->content_type, too_long);
}

/* Of the query the first id counts and nothing else: a web server that has no other place for it (lighttpd) puts it in front, and
 * what the client sends behind it, of whatever size, changes nothing. */
static void copy_first_id(struct gateway *g, struct request *req)
{
    const char *at = FCGX_GetParam("QUERY_STRING", g->fcgi.envp);

    for (size_t len; at && *at; at += len + (at[len] == '&')) {
        len = strcspn(at, "&");
        if (strncmp(at, "accountId=", 10) != 0 && strncmp(at, "workspaceId=", 12) != 0) continue;
        if (len < sizeof req->query) snprintf(req->query, sizeof req->query, "%.*s", (int)len, at);
        return;
    }
}

/* An Authorizer is asked about the application's request: the question is check, whatever that request is. Of that only the query
 * counts, and only where the web server names no id: a client must not get past the check by what it sends beside. */
static void copy_question(struct gateway *g, struct request *req, int *too_long)
{
    char platform[LIMIT_PLATFORM_BYTES];

    req->content_type[0] = req->query[0] = '\0';
    if (!req->is_named) copy_first_id(g, req);
    if (!copy_param(g, "TOKEN_HEALTH_PLATFORM", platform, sizeof platform, too_long)) strcpy(platform, "instagram");
    strcpy(req->method, "GET");
    snprintf(req->path, sizeof req->path, "/api/%s/token-health/check", platform);
}

static int has_param(struct gateway *g, const char *name)
{
    return FCGX_GetParam(name, g->fcgi.envp) != NULL;
}

/* TOKEN_HEALTH_KEY is set by the web server: a client's headers become HTTP_… parameters. One that cannot be a key is none: the
 * client's own does not take its place. */
static void copy_key(struct gateway *g, struct request *req)
{
    char key[LIMIT_API_KEY_BYTES + 1];
    int too_long = 0;

    req->authorization[0] = '\0';
    if (copy_param(g, "TOKEN_HEALTH_KEY", key, sizeof key, &too_long))
        snprintf(req->authorization, sizeof req->authorization, "Bearer %s", key);
    else if (!req->is_authorizer && !has_param(g, "TOKEN_HEALTH_KEY"))
        copy_param(g, "HTTP_AUTHORIZATION", req->authorization, sizeof req->authorization, &too_long);
    secret_wipe(key, sizeof key);
}

static void copy_id(struct gateway *g, struct request *req)
{
    int ignored;

    copy_param(g, "REMOTE_ADDR", req->remote_addr, sizeof req->remote_addr, &ignored);
    if (copy_param(g, "HTTP_X_REQUEST_ID", req->id, sizeof req->id, &ignored) && req->id[0] &&
        strspn(req->id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(req->id))
        return;
    snprintf(req->id, sizeof req->id, "%016llx-%llx", g->worker_tag, ++g->sequence);
}

/* Reads on without keeping anything; 1 if that reached the end. */
static int discard(struct gateway *g, size_t most)
{
    char chunk[8192];

    while (most > 0) {
        size_t want = most < sizeof chunk ? most : sizeof chunk;

        if (FCGX_GetStr(chunk, (int)want, g->fcgi.in) < (int)want) return 1;
        most -= want;
    }
    return 0;
}

/* The whole stream is read, with any method: what stayed behind would be taken for the connection's next request. One byte more
 * than allowed is asked for, so that too much is told from just enough. 0: the web server broke off. */
static int read_body(struct gateway *g, struct request *req)
{
    int most = LIMIT_REQUEST_BODY_BYTES + 1, whole = 1;
    int len = FCGX_GetStr(g->body, most, g->fcgi.in);

    if (len == most) whole = discard(g, LIMIT_REQUEST_DISCARD_BYTES);
    if (FCGX_GetError(g->fcgi.in) != 0) return 0;
    if (!whole) g->fcgi.keepConnection = 0;
    req->body_too_large = len == most;
    g->body[len] = '\0';
    req->body = g->body;
    req->body_len = (size_t)len;
    return 1;
}

static void forget_body(struct request *req)
{
    req->body = "";
    req->body_len = 0;
    req->body_too_large = 0;
}

static int has_no_body(const struct request *req)
{
    return !strcmp(req->method, "GET") || !strcmp(req->method, "HEAD"); /* RFC 9110, 9.3.1: it has no meaning there */
}

static int read_input(struct gateway *g, struct request *req)
{
    char declared[24], *end;
    int too_long = 0;

    if (g->fcgi.role == ROLE_AUTHORIZER) {
        g->fcgi.keepConnection = 0; /* it has no input by the specification; some servers send an empty one */
        return 1;
    }
    if (!read_body(g, req)) return 0;
    if (has_no_body(req)) {
        forget_body(req);
        return 1; /* Caddy declares the length of a body that it does not send */
    }
    copy_param(g, "CONTENT_LENGTH", declared, sizeof declared, &too_long);
    if (!strcmp(declared, "-1")) declared[0] = '\0'; /* Caddy, for a body of unknown length */
    if (too_long || (declared[0] && !req->body_too_large && (strtoull(declared, &end, 10) != req->body_len || *end)))
        req->malformed = "the body is not as long as its Content-Length";
    return 1;
}

static int copy_request(struct gateway *g, struct request *req, int is_whole)
{
    int too_long = 0;

    req->is_authorizer = g->fcgi.role == ROLE_AUTHORIZER;
    copy_key(g, req);
    copy_param(g, "TOKEN_HEALTH_WORKSPACE", req->workspace_param, sizeof req->workspace_param, &too_long);
    copy_param(g, "TOKEN_HEALTH_ACCOUNT", req->account_param, sizeof req->account_param, &too_long);
    req->is_named = has_param(g, "TOKEN_HEALTH_WORKSPACE") || has_param(g, "TOKEN_HEALTH_ACCOUNT");
    copy_param(g, "TOKEN_HEALTH_VALID_FOR", req->valid_for_param, sizeof req->valid_for_param, &too_long);
    if (req->is_authorizer)
        copy_question(g, req, &too_long);
    else
        copy_target(g, req, &too_long);
    copy_id(g, req);
    req->malformed = too_long ? "a part of the request is too long" : NULL;
    forget_body(req);
    req->input_waits = !is_whole && !req->is_authorizer;
    return req->input_waits || read_input(g, req);
}

/* Whoever is still sending would not read the answer. */
static void skip_input(struct gateway *g)
{
    struct pollfd more = {.fd = g->fcgi.ipcFd, .events = POLLIN};
    int64_t end_ms = clock_mono_ms() + SKIP_MS;
    ssize_t len = 1;

    g->fcgi.keepConnection = 0;
    for (size_t skipped = 0; len > 0 && skipped < LIMIT_REQUEST_DISCARD_BYTES; skipped += (size_t)len)
        if (clock_mono_ms() >= end_ms || poll(&more, 1, SKIP_PAUSE_MS) <= 0 ||
            (len = recv(more.fd, g->body, sizeof g->body, MSG_DONTWAIT)) <= 0)
            return;
}

int gateway_input(struct gateway *g, struct request *req, int is_wanted)
{
    int is_good;

    if (!req->input_waits) return 1;
    req->input_waits = 0;
    if (!is_wanted || has_no_body(req)) {
        skip_input(g);
        return 1;
    }
    start_clock(g->fcgi.ipcFd);
    is_good = read_input(g, req);
    stop_clock();
    if (!is_good) FCGX_Free(&g->fcgi, 1);
    return is_good;
}

void gateway_on_idle(struct gateway *g, void (*fn)(void *arg), void *arg)
{
    lobby_on_idle(g->lobby, fn, arg);
}

void gateway_stop(struct gateway *g)
{
    lobby_stop(g->lobby);
}

int gateway_accept(struct gateway *g, struct request *req)
{
    for (;;) {
        int fd, is_good, has_all, is_whole;

        pulse_move(g->pulse);
        fd = lobby_wait(g->lobby, &is_whole);
        if (fd < 0) return 0;
        g->fcgi.ipcFd = fd;
        g->fcgi.keepConnection = 1; /* or FCGX_Accept_r would close it as the last request's */
        /* Closed at once, without libfcgi's two seconds for the peer to close first: what it sent has been read. */
        FCGX_Detach(&g->fcgi);
        start_clock(fd);
        is_good = FCGX_Accept_r(&g->fcgi) == 0; /* else there is no request, and libfcgi closed the connection */
        /* libfcgi takes parameters that break off for all of them, with the error beside. */
        has_all = is_good && FCGX_GetError(g->fcgi.in) == 0 && copy_request(g, req, is_whole);
        stop_clock();
        if (has_all) return 1;
        if (is_good) FCGX_Free(&g->fcgi, 1);
    }
}

void gateway_put(struct gateway *g, const char *text, size_t len)
{
    if (len > LONG_ANSWER_BYTES) start_clock(g->fcgi.ipcFd);
    FCGX_PutStr(text, (int)len, g->fcgi.out);
}

void gateway_finish(struct gateway *g)
{
    FCGX_Finish_r(&g->fcgi);
    if (clocked_fd >= 0) stop_clock();
    if (g->fcgi.ipcFd >= 0) lobby_keep(g->lobby, g->fcgi.ipcFd);
    g->fcgi.ipcFd = -1;
}

void gateway_free(struct gateway *g)
{
    if (!g) return;
    if (g->fcgi.ipcFd >= 0) FCGX_Free(&g->fcgi, 1);
    lobby_free(g->lobby);
    secret_wipe(g->body, sizeof g->body);
    free(g);
}
