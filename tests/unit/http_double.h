/* A provider in a process of its own on 127.0.0.1, for the tests of shared/health: answers about each token as it is told, at any
 * time, and counts. Connections are served by a process each, so that slow answers do not hold up others. */
#ifndef TH_HTTP_DOUBLE_H
#define TH_HTTP_DOUBLE_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DOUBLE_TOKENS = 64, DOUBLE_TEXT = 1024 };
/** What is said about a token: status 0: the connection is closed unanswered; -1: the body is cut short. */
struct double_answer {
    char token[64];
    int status, delay_ms;
    char body[DOUBLE_TEXT];
    int bad_first;             /* so many calls are answered with 500 first */
    _Atomic int calls;         /* of validate */
    char refresh[DOUBLE_TEXT]; /* body of a refresh, "" for a refusal */
    _Atomic int refreshes;
};
struct http_double {
    struct double_answer *answers; /* shared with the server */
    _Atomic int *calls;            /* in all */
    pid_t pid;
    int port;
};

static inline void double_sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static inline void double_write(int fd, int status, const char *body)
{
    char text[2 * DOUBLE_TEXT];
    int len = snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                       status < 0 ? 200 : status, strlen(body) + (status < 0 ? 50 : 0), body);

    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) < 0) _exit(1);
}

static inline void double_serve(struct http_double *d, int fd)
{
    static const char refused[] =
        "{\"error\":{\"message\":\"no\",\"type\":\"OAuthException\",\"code\":190,\"error_subcode\":467}}";
    char request[8192];
    size_t len = 0;
    ssize_t n;

    while (len + 1 < sizeof request && (n = recv(fd, request + len, sizeof request - 1 - len, 0)) > 0) {
        len += (size_t)n;
        request[len] = '\0';
        if (request[0] == 0x16) return; /* TLS is not spoken here */
        if (strstr(request, "\r\n\r\n")) break;
    }
    ++*d->calls;
    for (int i = 0; i < DOUBLE_TOKENS; i++) {
        struct double_answer *a = &d->answers[i];

        if (!a->token[0] || !strstr(request, a->token)) continue;
        if (strstr(request, "refresh_access_token")) {
            a->refreshes++;
            double_write(fd, a->refresh[0] ? 200 : 400, a->refresh[0] ? a->refresh : refused);
            return;
        }
        int call = ++a->calls;
        if (a->delay_ms) double_sleep_ms(a->delay_ms);
        if (call <= a->bad_first)
            double_write(fd, 500, "{}");
        else if (a->status)
            double_write(fd, a->status, a->body);
        return;
    }
    double_write(fd, 400, refused);
}

static inline void double_start(struct http_double *d)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *shared = mmap(NULL, sizeof *d->answers * DOUBLE_TOKENS + sizeof *d->calls, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(listener >= 0 && shared != MAP_FAILED);
    d->answers = (struct double_answer *)(void *)shared;
    d->calls = (_Atomic int *)(void *)(shared + sizeof *d->answers * DOUBLE_TOKENS);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(listener, 256), 0);
    d->port = ntohs(address.sin_port);
    fflush(NULL);
    d->pid = fork();
    assert_true(d->pid >= 0);
    if (d->pid > 0) {
        close(listener);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            double_serve(d, fd);
            _exit(0);
        }
        close(fd);
    }
}

static inline void double_stop(struct http_double *d)
{
    kill(d->pid, SIGKILL);
    waitpid(d->pid, NULL, 0);
    munmap(d->answers, sizeof *d->answers * DOUBLE_TOKENS + sizeof *d->calls);
}

/** double_about(d, token): its answers; made when it is new. */
static inline struct double_answer *double_about(struct http_double *d, const char *token)
{
    for (int i = 0; i < DOUBLE_TOKENS; i++) {
        if (!d->answers[i].token[0]) snprintf(d->answers[i].token, sizeof d->answers[i].token, "%s", token);
        if (!strcmp(d->answers[i].token, token)) return &d->answers[i];
    }
    fail_msg("too many tokens");
    return NULL;
}

static inline void double_says(struct http_double *d, const char *token, int status, const char *body)
{
    struct double_answer *a = double_about(d, token);

    a->status = status;
    snprintf(a->body, sizeof a->body, "%s", body);
}

/** double_graph_error(d, token, code, subcode): in the Graph API's words. */
static inline void double_graph_error(struct http_double *d, const char *token, int code, int subcode)
{
    char body[256];

    snprintf(body, sizeof body,
             "{\"error\":{\"message\":\"m\",\"type\":\"OAuthException\",\"code\":%d,\"error_subcode\":%d}}", code,
             subcode);
    double_says(d, token, 400, body);
}

static inline void double_healthy(struct http_double *d, const char *token)
{
    double_says(d, token, 200, "{\"user_id\":\"1784\",\"username\":\"u\"}");
}

static inline void double_revoked(struct http_double *d, const char *token)
{
    double_graph_error(d, token, 190, 458);
}

#endif
