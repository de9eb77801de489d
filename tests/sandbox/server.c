#include "server.h"
#include "answer.h"
#include "base/clock.h"
#include "call.h"
#include "control.h"
#include "listener.h"
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { BODY_BYTES_MAX = 16 << 20, CONNECTIONS_MAX = 100000, EVENTS = 256, FORM_BUFFER_BYTES = 1024, CUT_BYTES = 400 };
enum stage { STAGE_READING, STAGE_WAITING, STAGE_READY, STAGE_GONE };

/* One request and its answer: made with the first header, freed when the library is done with it. */
struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    struct buf body, form; /* form: "name\0value\0" of each field of a form in the body */
    struct answer answer;
    enum stage stage;
    int is_call; /* counted in world.concurrency */
    int64_t due_mono_ms;
    TAILQ_ENTRY(exchange) link; /* while it is WAITING */
};
TAILQ_HEAD(exchanges, exchange);

struct server {
    struct world *world;
    struct MHD_Daemon *daemons[2]; /* plain, TLS or NULL */
    int epoll_fd, signal_fd;
    struct exchanges waiting; /* soonest first */
    struct exchanges hanging; /* until the client goes */
};

static const char *form_value(const struct buf *form, const char *name)
{
    const char *at = form->data, *end = at + form->len;

    while (form->len && at < end) {
        const char *value = at + strlen(at) + 1;

        if (strcmp(at, name) == 0) return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

static const char *get_param(void *arg, const char *name)
{
    struct exchange *x = arg;
    const char *value = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);

    return value ? value : form_value(&x->form, name);
}

static enum MHD_Result put_form_field(void *arg, enum MHD_ValueKind kind, const char *key, const char *filename,
                                      const char *content_type, const char *encoding, const char *data, uint64_t offset,
                                      size_t size)
{
    struct buf *form = arg;

    (void)kind, (void)filename, (void)content_type, (void)encoding;
    if (offset) /* more of the field before: its end mark goes */
        form->len--;
    else
        buf_put(form, key, strlen(key) + 1);
    buf_put(form, data, size);
    buf_put(form, "", 1);
    return MHD_YES;
}

/* A body that is no form leaves no fields. */
static void read_form(struct exchange *x)
{
    struct MHD_PostProcessor *reader =
        x->body.len ? MHD_create_post_processor(x->connection, FORM_BUFFER_BYTES, put_form_field, &x->form) : NULL;

    if (!reader) return;
    MHD_post_process(reader, x->body.data, x->body.len);
    MHD_destroy_post_processor(reader);
}

static void wait_until(struct exchange *x, int64_t due_mono_ms)
{
    struct exchanges *queue = &x->server->waiting;
    struct exchange *before = TAILQ_LAST(queue, exchanges);

    x->due_mono_ms = due_mono_ms;
    while (before && before->due_mono_ms > due_mono_ms) /* mostly all wait equally long: no step */
        before = TAILQ_PREV(before, exchanges, link);
    if (before)
        TAILQ_INSERT_AFTER(queue, before, x, link);
    else
        TAILQ_INSERT_HEAD(queue, x, link);
}

static int fd_of(const struct exchange *x)
{
    return MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* The library does not look at a suspended connection, so its end is watched for here. */
static void hang(struct exchange *x)
{
    struct epoll_event watch = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = x};

    TAILQ_INSERT_TAIL(&x->server->hanging, x, link);
    if (epoll_ctl(x->server->epoll_fd, EPOLL_CTL_ADD, fd_of(x), &watch) != 0) perror("sandbox: epoll_ctl");
}

/* Decides about the request; afterwards it is READY, or WAITING and suspended. */
static void take(struct exchange *x, const char *method, const char *path)
{
    struct world *w = x->server->world;
    struct request req = {
        .method = method,
        .path = path,
        .authorization = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Authorization"),
        .body = buf_text(&x->body),
        .body_len = x->body.len,
        .param = get_param,
        .connection = x,
    };

    x->stage = STAGE_READY;
    if (control_is(path)) {
        control_take(w, &req, &x->answer);
        return;
    }
    read_form(x);
    x->is_call = 1;
    w->concurrency++;
    call_take(w, &req, &x->answer);
    unsigned delay_ms = w->latency_ms + x->answer.delay_ms;
    if (!delay_ms && x->answer.ending != ENDING_HANG) return;
    x->stage = STAGE_WAITING;
    if (x->answer.ending == ENDING_HANG)
        hang(x);
    else
        wait_until(x, clock_mono_ms() + delay_ms);
    MHD_suspend_connection(x->connection);
}

static ssize_t give_half(void *arg, uint64_t at, char *out, size_t room)
{
    const struct buf *body = arg;
    size_t n = at < body->len ? body->len - at : 0;

    if (n > room) n = room;
    if (!n) return MHD_CONTENT_READER_END_WITH_ERROR;
    memcpy(out, body->data + at, n);
    return (ssize_t)n;
}

static enum MHD_Result send_answer(struct exchange *x)
{
    struct answer *a = &x->answer;
    struct MHD_Response *response;
    enum MHD_Result result;

    if (a->ending == ENDING_CUT)
        response = MHD_create_response_from_callback(a->body.len + CUT_BYTES, 4096, give_half, &a->body, NULL);
    else
        response = MHD_create_response_from_buffer(a->body.len, (void *)a->body.data, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", a->content_type);
    for (int i = 0; i < a->header_count; i++)
        MHD_add_response_header(response, a->headers[i].name, buf_text(&a->headers[i].value));
    result = MHD_queue_response(x->connection, (unsigned)a->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Not SO_LINGER: the library says an orderly goodbye before it closes. */
static enum MHD_Result reset(const struct exchange *x)
{
    static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (connect(fd_of(x), &nobody, sizeof nobody) != 0) perror("sandbox: reset");
    return MHD_NO;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *size, void **state)
{
    struct exchange *x = *state;

    (void)version;
    if (!x) {
        *state = x = calloc(1, sizeof *x);
        if (!x) return MHD_NO;
        x->server = arg;
        x->connection = connection;
        return MHD_YES;
    }
    if (*size) {
        if (x->body.len + *size > BODY_BYTES_MAX) return MHD_NO;
        buf_put(&x->body, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (x->stage == STAGE_READING) take(x, method, path);
    if (x->stage == STAGE_WAITING) return MHD_YES;
    if (x->stage == STAGE_GONE) return MHD_NO;
    return x->answer.ending == ENDING_RESET ? reset(x) : send_answer(x);
}

static void complete(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode why)
{
    struct exchange *x = *state;

    (void)arg, (void)connection, (void)why;
    if (!x) return;
    if (x->is_call) x->server->world->concurrency--;
    answer_fini(&x->answer);
    buf_free(&x->body);
    buf_free(&x->form);
    free(x);
    *state = NULL;
}

static void resume(struct exchanges *queue, struct exchange *x, enum stage stage)
{
    TAILQ_REMOVE(queue, x, link);
    x->stage = stage;
    MHD_resume_connection(x->connection);
}

static struct MHD_Daemon *serve(struct server *s, int fd, const char *tls_cert, const char *tls_key)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (tls_cert ? MHD_USE_TLS : 0U);
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)tls_cert},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)tls_key},
                                   {MHD_OPTION_END, 0, NULL}};
    struct MHD_Daemon *daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, handle, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
                         complete, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_ARRAY,
                         tls_cert ? tls : tls + 2, MHD_OPTION_END);
    struct epoll_event readable = {.events = EPOLLIN, .data.ptr = NULL};

    if (!daemon) return NULL;
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                  &readable) == 0)
        return daemon;
    MHD_stop_daemon(daemon);
    return NULL;
}

static int timeout_ms(const struct server *s)
{
    const struct exchange *first = TAILQ_FIRST(&s->waiting);
    int64_t timeout = first ? first->due_mono_ms - clock_mono_ms() : -1;

    if (first && timeout < 0) timeout = 0;
    for (int i = 0; i < 2; i++) {
        MHD_UNSIGNED_LONG_LONG ms;

        if (!s->daemons[i] || MHD_get_timeout(s->daemons[i], &ms) != MHD_YES) continue;
        if (timeout < 0 || (int64_t)ms < timeout) timeout = (int64_t)ms;
    }
    return timeout > INT32_MAX ? INT32_MAX : (int)timeout;
}

static void run_daemons(struct server *s)
{
    for (int i = 0; i < 2; i++)
        if (s->daemons[i]) MHD_run(s->daemons[i]);
}

static void loop(struct server *s)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int n = epoll_wait(s->epoll_fd, events, EVENTS, timeout_ms(s));
        struct exchange *x;

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == s) return; /* the signal */
            if (events[i].data.ptr) resume(&s->hanging, events[i].data.ptr, STAGE_GONE);
        }
        while ((x = TAILQ_FIRST(&s->waiting)) && x->due_mono_ms <= clock_mono_ms())
            resume(&s->waiting, x, STAGE_READY);
        run_daemons(s);
    }
}

/* A daemon must not be stopped while connections are suspended. */
static void stop(struct server *s)
{
    struct exchange *x;

    while ((x = TAILQ_FIRST(&s->waiting)))
        resume(&s->waiting, x, STAGE_GONE);
    while ((x = TAILQ_FIRST(&s->hanging)))
        resume(&s->hanging, x, STAGE_GONE);
    run_daemons(s);
    for (int i = 0; i < 2; i++)
        if (s->daemons[i]) MHD_stop_daemon(s->daemons[i]);
    if (s->signal_fd >= 0) close(s->signal_fd);
    if (s->epoll_fd >= 0) close(s->epoll_fd);
}

static int watch_signals(struct server *s)
{
    struct epoll_event readable = {.events = EPOLLIN, .data.ptr = s};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    return s->signal_fd >= 0 && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->signal_fd, &readable) == 0;
}

static int listen_and_serve(struct server *s, const struct server_options *o, int is_tls)
{
    unsigned port = is_tls ? o->tls_port : o->port;
    int fd = listener_open(&port);

    if (fd < 0) {
        fprintf(stderr, "sandbox: port %u: %s\n", port, strerror(errno));
        return 0;
    }
    s->daemons[is_tls] = serve(s, fd, is_tls ? o->tls_cert : NULL, is_tls ? o->tls_key : NULL);
    if (!s->daemons[is_tls]) {
        fprintf(stderr, "sandbox: cannot serve%s\n", is_tls ? " TLS: is the certificate good?" : "");
        close(fd);
        return 0;
    }
    printf("listening %son 127.0.0.1:%u\n", is_tls ? "with TLS " : "", port);
    return 1;
}

int server_run(struct world *w, const struct server_options *o)
{
    struct server s = {.world = w, .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .signal_fd = -1};
    struct rlimit files;
    int is_up;

    TAILQ_INIT(&s.waiting);
    TAILQ_INIT(&s.hanging);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    is_up = s.epoll_fd >= 0 && watch_signals(&s) && listen_and_serve(&s, o, 0) &&
            (!o->tls_cert || listen_and_serve(&s, o, 1));
    if (is_up && fflush(stdout) == 0) loop(&s);
    stop(&s);
    return is_up ? 0 : -1;
}
