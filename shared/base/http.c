#include "base/http.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/secret.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* A call. Its easy handle holds the whole request, and goes with the call: one that is kept for the next would keep what it received. */
struct call {
    struct call *next; /* in the list of those that wait or of those under way */
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    struct buf header_text; /* NUL-separated names and values */
    size_t header_at[2 * HTTP_ANSWER_HEADERS_MAX];
    int header_count;
    int is_plain, is_refused; /* http; refused by policy, never given to curl */
    int too_large, not_allowed, head_ended;
    int is_urgent;
    int is_unwanted; /* when its turn came */
    int64_t started_mono_ms, timeout_ms;
    int (*is_wanted)(void *arg);
    http_done_fn *done;
    void *arg;
};

/* The queue is ours: in curl's own, a call's time to connect runs out while it waits for its turn. */
struct http_client {
    CURLM *multi;
    struct http_options options;
    char *ca_file, *user_agent;
    struct call *active, *waiting, **waiting_end;
    int active_count, inflight;
    int watched_fd;
};

/* curl's memory is wiped when it is given back: it holds request headers with tokens. */
static int init_curl(void)
{
    static int ready;

    if (!ready)
        ready = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_heap_free, secret_heap_realloc, strdup,
                                     calloc) == CURLE_OK;
    return ready;
}

/* ---- callbacks of curl ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct call *call = arg;
    size_t len = size * count;

    if (call->body.len + len > LIMIT_PROVIDER_ANSWER_BYTES) {
        call->too_large = 1;
        return 0;
    }
    buf_put(&call->body, data, len);
    return call->body.failed ? 0 : len;
}

/* NUL-terminated, white space around it cut off. */
static void keep_text(struct buf *out, const char *data, size_t len)
{
    while (len > 0 && (*data == ' ' || *data == '\t')) {
        data++;
        len--;
    }
    while (len > 0 && strchr(" \t\r\n", data[len - 1]))
        len--;
    buf_put(out, data, len);
    buf_put(out, "", 1);
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct call *call = arg;
    size_t len = size * count;
    const char *colon = memchr(data, ':', len);

    if (len >= 5 && !strncasecmp(data, "HTTP/", 5)) { /* a new answer, after 100 Continue */
        buf_reset(&call->header_text);
        call->header_count = 0;
        call->head_ended = 0;
        return len;
    }
    if (len && strchr("\r\n", *data)) call->head_ended = 1;
    if (!colon || call->header_count == HTTP_ANSWER_HEADERS_MAX) return len;
    if (call->header_text.len + len > LIMIT_PROVIDER_HEADER_BYTES) {
        call->too_large = 1;
        return 0;
    }
    call->header_at[2 * call->header_count] = call->header_text.len;
    keep_text(&call->header_text, data, (size_t)(colon - data));
    call->header_at[2 * call->header_count + 1] = call->header_text.len;
    keep_text(&call->header_text, colon + 1, len - (size_t)(colon + 1 - data));
    if (!call->header_text.failed) call->header_count++;
    return len;
}

static int is_loopback_address(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    if (address->sa_family == AF_INET) return ntohl(v4->sin_addr.s_addr) >> 24U == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* Names can be made to point anywhere: what counts is the address. Asked before the first packet. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct call *call = arg;

    (void)purpose;
    if (!call->is_plain || is_loopback_address(&address->addr))
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    call->not_allowed = 1;
    return CURL_SOCKET_BAD;
}

/* ---- calls ---- */

static void call_free(struct call *call)
{
    if (!call) return;
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    buf_free(&call->body);
    buf_free(&call->header_text);
    free(call);
}

static struct call *call_new(struct http_client *client)
{
    struct call *call = calloc(1, sizeof *call);

    if (!call) return NULL;
    call->client = client;
    call->easy = curl_easy_init();
    if (call->easy) return call;
    free(call);
    return NULL;
}

static int add_headers(struct call *call, const struct http_request *req)
{
    for (int i = -1; i < req->header_count; i++) {
        /* No Expect: it would cost a round trip with some servers. */
        struct curl_slist *more = curl_slist_append(call->headers, i < 0 ? "Expect:" : buf_text(&req->headers[i]));

        if (!more) return 0;
        call->headers = more;
    }
    return 1;
}

/* A line break in a header would begin another one. */
static int headers_are_clean(const struct http_request *req)
{
    for (int i = 0; i < req->header_count; i++) {
        const struct buf *header = &req->headers[i];

        if (strlen(buf_text(header)) != header->len) return 0;
        for (size_t at = 0; at < header->len; at++)
            if ((unsigned char)header->data[at] < 0x20 || header->data[at] == 0x7f) return 0;
    }
    return 1;
}

/* Where a call goes, and that nothing of the environment changes that: no proxy, no netrc, no redirect, no other protocol. */
static void set_destination(const struct call *call, const struct http_request *req)
{
    CURL *easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_URL, buf_text(&req->url));
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, call->is_plain ? "http" : "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!call->client->ca_file) return;
    curl_easy_setopt(easy, CURLOPT_CAINFO, call->client->ca_file);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* else the system's certificates would count beside it */
}

static void set_request(struct call *call, const struct http_request *req)
{
    CURL *easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_USERAGENT, call->client->user_agent);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    if (req->user_password.len) {
        curl_easy_setopt(easy, CURLOPT_USERPWD, buf_text(&req->user_password));
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L); /* a connection that is kept keeps the password */
    }
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    /* Over HTTP/2 one broken connection would break all calls, and its library keeps headers in memory of its own. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (!strcmp(req->method, "POST")) {
        /* On a connection that was used before, curl sends again what got no answer; a refresh token may be single-use. */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)req->body.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, buf_text(&req->body));
    } else if (strcmp(req->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, req->method);
    }
}

static void set_times(const struct call *call, int64_t left_ms)
{
    curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
    /* A resolver that hangs is a thread that hangs; curl would wait for it after the time is up, and all calls with it. */
    curl_easy_setopt(call->easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)call->client->options.connect_timeout_ms);
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
}

enum err_code http_start(struct http_client *client, const struct http_request *req, http_done_fn *done, void *arg,
                         struct err *err)
{
    struct call *call = call_new(client);

    if (!call || !add_headers(call, req)) {
        call_free(call);
        return err_set(err, ERR_NOMEM, NULL, "no memory for a provider call");
    }
    call->is_urgent = req->is_urgent;
    call->is_wanted = req->is_wanted;
    call->done = done;
    call->arg = arg;
    call->is_plain = !strncasecmp(buf_text(&req->url), "http:", 5);
    call->is_refused = http_url_check(buf_text(&req->url), NULL) != ERR_OK || !headers_are_clean(req);
    call->started_mono_ms = clock_mono_ms();
    call->timeout_ms = client->options.total_timeout_ms;
    if (req->timeout_ms > 0 && req->timeout_ms < call->timeout_ms) call->timeout_ms = req->timeout_ms;
    set_destination(call, req);
    set_request(call, req);
    if (call->is_urgent) {
        call->next = client->waiting;
        client->waiting = call;
        if (!call->next) client->waiting_end = &call->next;
    } else {
        *client->waiting_end = call;
        client->waiting_end = &call->next;
    }
    client->inflight++;
    return ERR_OK;
}

static enum http_outcome outcome_of(const struct call *call, CURLcode code)
{
    if (call->is_refused) return HTTP_NOT_ALLOWED;
    if (call->too_large) return HTTP_TOO_LARGE;
    switch (code) {
    case CURLE_OK: /* curl takes a connection that ends within the head for an answer */
        return call->head_ended ? HTTP_ANSWERED : HTTP_BROKEN;
    case CURLE_COULDNT_CONNECT:
        return call->not_allowed ? HTTP_NOT_ALLOWED : HTTP_REFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return HTTP_DNS_FAILED;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_TIMED_OUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        return HTTP_TLS_FAILED;
    default:
        return HTTP_BROKEN;
    }
}

/* Neither connected nor past the handshake: not a byte of the request has left. */
static int is_sent(const struct call *call)
{
    curl_off_t pretransfer_us = 0;

    return curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us) != CURLE_OK || pretransfer_us;
}

/* A time to connect that ran out before is no cut. curl counts from a little later than we, in whole milliseconds. */
static int is_cut(const struct call *call, int64_t elapsed_ms)
{
    enum { CLOCK_SLACK_MS = 5 };

    if (call->is_unwanted) return 1;
    return call->timeout_ms < call->client->options.total_timeout_ms && elapsed_ms + CLOCK_SLACK_MS >= call->timeout_ms;
}

static int64_t date_of(const struct http_answer *answer)
{
    const char *text = http_answer_header(answer, "Date");
    time_t date_s = text ? curl_getdate(text, NULL) : -1;

    return date_s > 0 ? (int64_t)date_s * 1000 : 0;
}

/* Ends a call that is in no list any more. */
static void finish(struct call *call, CURLcode code)
{
    struct http_answer answer = {.outcome = outcome_of(call, code), .body = ""};
    long status = 0;

    call->client->inflight--;
    answer.elapsed_ms = clock_mono_ms() - call->started_mono_ms;
    answer.is_sent = is_sent(call);
    answer.is_cut = answer.outcome == HTTP_TIMED_OUT && is_cut(call, answer.elapsed_ms);
    if (answer.outcome == HTTP_ANSWERED) {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int)status;
        answer.body = buf_text(&call->body);
        answer.body_len = call->body.len;
        answer.header_count = call->header_count;
        for (int i = 0; i < call->header_count; i++) {
            answer.headers[i].name = buf_text(&call->header_text) + call->header_at[2 * i];
            answer.headers[i].value = buf_text(&call->header_text) + call->header_at[2 * i + 1];
        }
        answer.date_ms = date_of(&answer);
    } else if (call->is_refused) {
        snprintf(answer.detail, sizeof answer.detail, "the URL or a header is not allowed");
    } else {
        snprintf(answer.detail, sizeof answer.detail, "%s", curl_easy_strerror(code));
    }
    call->done(call->arg, &answer);
    call_free(call);
}

/* ---- running ---- */

/* Those that wait get the places that are free, in their order, urgent ones get theirs beside them; gives how many came to their end by that. */
static int start_waiting(struct http_client *client)
{
    int finished = 0;

    while (client->waiting && (client->waiting->is_urgent || client->active_count < client->options.max_connections)) {
        struct call *call = client->waiting;
        int64_t left_ms = call->timeout_ms - (clock_mono_ms() - call->started_mono_ms);
        CURLcode failure = CURLE_OK;

        call->is_unwanted = call->is_wanted && !call->is_wanted(call->arg);
        if (left_ms <= 0 || call->is_unwanted) failure = CURLE_OPERATION_TIMEDOUT;
        client->waiting = call->next;
        if (!client->waiting) client->waiting_end = &client->waiting;
        set_times(call, left_ms);
        if (failure == CURLE_OK && !call->is_refused && curl_multi_add_handle(client->multi, call->easy) != CURLM_OK)
            failure = CURLE_OUT_OF_MEMORY;
        if (failure != CURLE_OK || call->is_refused) {
            finish(call, failure);
            finished++;
            continue;
        }
        call->next = client->active;
        client->active = call;
        client->active_count++;
    }
    return finished;
}

static void end_active(struct call *call)
{
    struct call **at = &call->client->active;

    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    call->client->active_count--;
    curl_multi_remove_handle(call->client->multi, call->easy);
}

static int read_finished(struct http_client *client)
{
    CURLMsg *msg;
    int left, finished = 0;

    while ((msg = curl_multi_info_read(client->multi, &left))) {
        struct call *call = NULL;
        CURLcode code = msg->data.result;

        if (msg->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        end_active(call);
        finish(call, code);
        finished++;
    }
    return finished;
}

/* A place that gets free is filled at once, not when the caller comes again. */
static int step(struct http_client *client)
{
    int finished = 0, ended, running;

    do {
        finished += start_waiting(client);
        curl_multi_perform(client->multi, &running);
        ended = read_finished(client);
        finished += ended;
    } while (ended && client->waiting);
    return finished;
}

int http_run(struct http_client *client, int wait_ms)
{
    struct curl_waitfd watched = {.fd = client->watched_fd, .events = CURL_WAIT_POLLIN};

    if (client->inflight == 0) return 0;
    if (step(client) == 0 && wait_ms > 0) {
        curl_multi_poll(client->multi, &watched, client->watched_fd >= 0, wait_ms, NULL);
        step(client);
    }
    return client->inflight;
}

int http_inflight(const struct http_client *client)
{
    return client->inflight;
}

enum err_code http_client_new(const struct http_options *options, struct http_client **client, struct err *err)
{
    struct http_client *c = NULL;

    *client = NULL;
    if (!init_curl() || !(c = calloc(1, sizeof *c))) goto fail;
    c->options = *options;
    c->waiting_end = &c->waiting;
    c->watched_fd = -1;
    c->user_agent = strdup(options->user_agent ? options->user_agent : "token-health");
    c->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
    c->multi = curl_multi_init();
    if (!c->user_agent || !c->multi || (options->ca_file && !c->ca_file)) goto fail;
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)options->max_connections);
    *client = c;
    return ERR_OK;
fail:
    http_client_free(c);
    return err_set(err, ERR_NOMEM, NULL, "no memory for the HTTP client");
}

void http_client_watch(struct http_client *client, int fd)
{
    client->watched_fd = fd;
}

void http_client_resize(struct http_client *client, int max_connections)
{
    if (max_connections == client->options.max_connections) return;
    client->options.max_connections = max_connections;
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)max_connections);
}

void http_client_free(struct http_client *client)
{
    struct call *call;

    if (!client) return;
    while ((call = client->active)) {
        end_active(call);
        call_free(call);
    }
    while ((call = client->waiting)) {
        client->waiting = call->next;
        call_free(call);
    }
    curl_multi_cleanup(client->multi);
    free(client->user_agent);
    free(client->ca_file);
    free(client);
}
