/* A small real server for the tests of the HTTP client: processes on 127.0.0.1, one a connection, that do what a test asks for. */
#ifndef TH_HTTP_FIXTURE_H
#define TH_HTTP_FIXTURE_H
#include "base/clock.h"
#include "base/http.h"
#include "cmocka_all.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a server does with a request. */
enum behaviour {
    ANSWER,           /* send the text, keep the connection */
    ANSWER_AND_CLOSE, /* send the text, close */
    ANSWER_AND_RESET, /* send the text, reset the connection */
    SAY_NOTHING,      /* neither answer nor close */
    ANSWER_ONCE       /* the second request of a connection: close without a word */
};

/* Shared with the server's processes. */
struct server_state {
    atomic_int requests, at_work, most_at_work, connections;
    char last_request[8192];
};
struct server {
    int port;
    pid_t pid;
    enum behaviour behaviour;
    const char *text;
    size_t text_len;
    int work_ms; /* time that an answer takes */
    struct server_state *state;
};

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

static inline int fixture_listen(int backlog, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A whole request, head and body; its length, or 0 at the end of the connection. */
static inline size_t server_read(int fd, char *request, size_t size)
{
    size_t len = 0, want = 0;

    while (len + 1 < size) {
        ssize_t n = read(fd, request + len, size - len - 1);
        const char *end, *length;

        if (n <= 0) return 0;
        len += (size_t)n;
        request[len] = '\0';
        end = strstr(request, "\r\n\r\n");
        if (!end) continue;
        length = strcasestr(request, "\r\nContent-Length:");
        want = (size_t)(end + 4 - request) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
        if (len >= want) return len;
    }
    return len;
}

static inline void server_write(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0) return;
        text += n;
        len -= (size_t)n;
    }
}

static inline void server_work(struct server *server)
{
    struct server_state *state = server->state;
    int now = atomic_fetch_add(&state->at_work, 1) + 1, most = atomic_load(&state->most_at_work);

    while (now > most && !atomic_compare_exchange_weak(&state->most_at_work, &most, now))
        ;
    usleep((useconds_t)server->work_ms * 1000);
    atomic_fetch_sub(&state->at_work, 1);
}

static inline void server_talk(struct server *server, int fd)
{
    static char request[8192];
    struct linger reset = {1, 0};

    for (int number = 1; server_read(fd, request, sizeof request) > 0; number++) {
        atomic_fetch_add(&server->state->requests, 1);
        memcpy(server->state->last_request, request, sizeof request);
        server_work(server);
        if (server->behaviour == SAY_NOTHING) pause();
        if (server->behaviour == ANSWER_ONCE && number > 1) return;
        server_write(fd, server->text, server->text_len);
        if (server->behaviour == ANSWER_AND_RESET) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (server->behaviour == ANSWER_AND_CLOSE || server->behaviour == ANSWER_AND_RESET) return;
    }
}

/** fixture_serve(server): start it; behaviour, text and work_ms are set, text_len 0 is the text's length. */
static inline void fixture_serve(struct server *server)
{
    int fd = fixture_listen(128, &server->port);

    if (!server->text_len && server->text) server->text_len = strlen(server->text);
    server->state = mmap(NULL, sizeof *server->state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(server->state != MAP_FAILED);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid > 0) {
        close(fd);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    setpgid(0, 0);
    for (;;) {
        int connection = accept(fd, NULL, NULL);

        if (connection < 0) continue;
        atomic_fetch_add(&server->state->connections, 1);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            server_talk(server, connection);
            close(connection);
            _exit(0);
        }
        close(connection);
    }
}

static inline void fixture_stop(struct server *server)
{
    kill(server->pid, SIGKILL); /* its children end with it */
    waitpid(server->pid, NULL, 0);
    munmap(server->state, sizeof *server->state);
}

/* ---- calls */

/* What came of a call: a copy of what the callback saw. */
struct outcome {
    int calls; /* of the callback */
    enum http_outcome outcome;
    int status, header_count;
    size_t body_len;
    int64_t elapsed_ms;
    char detail[160], body[512], header[512], location[256];
};

static inline void fixture_done(void *arg, const struct http_answer *answer)
{
    struct outcome *o = arg;
    const char *header = http_answer_header(answer, "x-test"), *location = http_answer_header(answer, "LOCATION");

    o->calls++;
    o->outcome = answer->outcome;
    o->status = answer->status;
    o->header_count = answer->header_count;
    o->body_len = answer->body_len;
    o->elapsed_ms = answer->elapsed_ms;
    snprintf(o->detail, sizeof o->detail, "%s", answer->detail);
    snprintf(o->body, sizeof o->body, "%.*s", (int)(sizeof o->body - 1), answer->body);
    snprintf(o->header, sizeof o->header, "%s", header ? header : "(none)");
    snprintf(o->location, sizeof o->location, "%s", location ? location : "(none)");
}

static inline struct http_client *fixture_client(const struct http_options *given)
{
    struct http_options options = *given;
    struct http_client *client = NULL;
    struct err err = {0};

    if (!options.connect_timeout_ms) options.connect_timeout_ms = 3000;
    if (!options.total_timeout_ms) options.total_timeout_ms = 10000;
    if (!options.max_connections) options.max_connections = 8;
    if (http_client_new(&options, &client, &err) != ERR_OK) fail_msg("http_client_new: %s", err.text);
    return client;
}

static inline void fixture_finish(struct http_client *client)
{
    int64_t end_ms = clock_mono_ms() + 60000;

    while (http_run(client, 100) > 0)
        if (clock_mono_ms() > end_ms) fail_msg("%d calls are still under way after a minute", http_inflight(client));
}

static inline void fixture_request(struct http_request *req, const char *method, const char *url)
{
    *req = (struct http_request){.method = method};
    buf_puts(&req->url, url);
}

/** fixture_get(options, url, o): one GET with a client of its own. */
static inline void fixture_get(const struct http_options *options, const char *url, struct outcome *o)
{
    struct http_client *client = fixture_client(options);
    struct http_request req;

    *o = (struct outcome){0};
    fixture_request(&req, "GET", url);
    assert_int_equal(http_start(client, &req, fixture_done, o, NULL), ERR_OK);
    http_request_fini(&req);
    assert_int_equal(o->calls, 0); /* never from http_start */
    assert_int_equal(http_inflight(client), 1);
    fixture_finish(client);
    http_client_free(client);
    if (o->calls != 1) fail_msg("%s: done was called %d times", url, o->calls);
}

static inline const char *fixture_url(const struct server *server, const char *path)
{
    static char url[256];

    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", server->port, path);
    return url;
}

static inline void fixture_expect(const struct outcome *o, enum http_outcome want, const char *what)
{
    if (o->outcome != want)
        fail_msg("%s: got \"%s\" (%s, status %d), expected \"%s\"", what, http_outcome_name(o->outcome), o->detail,
                 o->status, http_outcome_name(want));
    if (want != HTTP_ANSWERED && (o->status != 0 || o->body_len != 0 || o->header_count != 0))
        fail_msg("%s: no answer, but status %d, %zu bytes, %d headers", what, o->status, o->body_len, o->header_count);
}

#endif
