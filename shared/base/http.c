#include "base/http.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/secret.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A call under way, or one kept for the next. */
struct call {
    struct call *next; /* in the list of free ones or of those under way */
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    struct buf header_text; /* NUL-separated names and values */
    size_t header_at[2 * HTTP_ANSWER_HEADERS_MAX];
    int header_count;
    int too_large;
    int not_allowed;
    int refused; /* by policy, before anything was sent */
    int plain_http;
    char detail[CURL_ERROR_SIZE];
    int64_t started_mono_ms;
    http_done_fn *done;
    void *arg;
};

struct http_client {
    CURLM *multi;
    struct http_options options;
    char *ca_file, *user_agent;
    struct call *active, *idle;
    int inflight;
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

/* ---- plain data ---- */

const char *http_outcome_name(enum http_outcome outcome)
{
    static const char *const names[] = {"answered",    "connection refused", "DNS failure",      "timed out",
                                        "TLS failure", "broken connection",  "answer too large", "not allowed"};

    return (unsigned)outcome < sizeof names / sizeof *names ? names[outcome] : "unknown";
}

void http_request_fini(struct http_request *req)
{
    buf_free(&req->url);
    buf_free(&req->body);
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        buf_free(&req->headers[i]);
    req->header_count = 0;
}

const char *http_answer_header(const struct http_answer *answer, const char *name)
{
    for (int i = 0; i < answer->header_count; i++)
        if (!strcasecmp(answer->headers[i].name, name)) return answer->headers[i].value;
    return NULL;
}

static int is_loopback_host(const char *host)
{
    unsigned a, b, c, d;
    char end;

    if (!strcasecmp(host, "localhost") || !strcmp(host, "[::1]") || !strcmp(host, "::1")) return 1;
    return sscanf(host, "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &end) == 4 && a == 127 && b < 256 && c < 256 && d < 256;
}

enum err_code http_url_check(const char *url, struct err *err)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    enum err_code rc = ERR_OK;

    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            rc = err_set(err, ERR_BAD_INPUT, NULL, "a URL with white space or control characters");
    if (rc == ERR_OK && (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
                         curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
                         curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK))
        rc = err_set(err, ERR_BAD_INPUT, NULL, "not a URL");
    if (rc == ERR_OK && curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK)
        rc = err_set(err, ERR_BAD_INPUT, NULL, "a URL with a user in it");
    if (rc == ERR_OK && strcmp(scheme, "https") != 0 && !(strcmp(scheme, "http") == 0 && is_loopback_host(host)))
        rc = err_set(err, ERR_BAD_INPUT, NULL, "only https is allowed, and http to this host itself (loopback)");
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(parts);
    return rc;
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

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct call *call = arg;
    size_t len = size * count;
    const char *colon = memchr(data, ':', len);
    size_t name_len = colon ? (size_t)(colon - data) : 0, from = name_len + 1, to = len;

    if (len >= 5 && !strncasecmp(data, "HTTP/", 5)) { /* a new answer, after 100 Continue */
        buf_reset(&call->header_text);
        call->header_count = 0;
    }
    if (!colon || call->header_count == HTTP_ANSWER_HEADERS_MAX) return len;
    while (from < to && (data[from] == ' ' || data[from] == '\t'))
        from++;
    while (to > from && strchr(" \t\r\n", data[to - 1]))
        to--;
    call->header_at[2 * call->header_count] = call->header_text.len;
    buf_put(&call->header_text, data, name_len);
    buf_put(&call->header_text, "", 1);
    call->header_at[2 * call->header_count + 1] = call->header_text.len;
    buf_put(&call->header_text, data + from, to - from);
    buf_put(&call->header_text, "", 1);
    if (!call->header_text.failed) call->header_count++;
    return len;
}

/* Names can be made to point anywhere: what counts is the address that was connected to. */
static int on_connected(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct call *call = arg;

    (void)local, (void)peer_port, (void)local_port;
    if (!call->plain_http || is_loopback_host(peer)) return CURL_PREREQFUNC_OK;
    call->not_allowed = 1;
    return CURL_PREREQFUNC_ABORT;
}

/* ---- calls ---- */

static void call_reset(struct call *call)
{
    curl_slist_free_all(call->headers);
    call->headers = NULL;
    buf_free(&call->body);
    buf_free(&call->header_text);
    call->header_count = 0;
    call->too_large = call->not_allowed = 0;
    call->detail[0] = '\0';
}

static void call_free(struct call *call)
{
    if (!call) return;
    call_reset(call);
    curl_easy_cleanup(call->easy);
    free(call);
}

static struct call *call_new(struct http_client *client)
{
    struct call *call = client->idle;

    if (call) {
        client->idle = call->next;
        curl_easy_reset(call->easy);
        return call;
    }
    call = calloc(1, sizeof *call);
    if (!call) return NULL;
    call->client = client;
    call->easy = curl_easy_init();
    if (!call->easy) {
        free(call);
        return NULL;
    }
    return call;
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

static void call_setup(struct call *call, const struct http_request *req)
{
    const struct http_client *client = call->client;
    CURL *easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_URL, buf_text(&req->url));
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, call->plain_http ? "http" : "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
    if (call->plain_http) curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->options.connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)client->options.total_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, client->user_agent);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    if (!strcmp(req->method, "POST")) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)req->body.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, buf_text(&req->body));
    } else if (strcmp(req->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, req->method);
    }
}

enum err_code http_start(struct http_client *client, const struct http_request *req, http_done_fn *done, void *arg,
                         struct err *err)
{
    struct call *call = call_new(client);

    if (!call) return err_set(err, ERR_NOMEM, NULL, "no memory for a provider call");
    call->done = done;
    call->arg = arg;
    call->plain_http = !strncasecmp(buf_text(&req->url), "http:", 5);
    call->refused = http_url_check(buf_text(&req->url), NULL) != ERR_OK;
    call->not_allowed = call->refused;
    call->started_mono_ms = clock_mono_ms();
    if (!add_headers(call, req)) goto fail;
    if (!call->refused) {
        call_setup(call, req);
        if (curl_multi_add_handle(client->multi, call->easy) != CURLM_OK) goto fail;
    }
    call->next = client->active;
    client->active = call;
    client->inflight++;
    return ERR_OK;
fail:
    call_free(call);
    return err_set(err, ERR_NOMEM, NULL, "no memory for a provider call");
}

static enum http_outcome outcome_of(const struct call *call, CURLcode code)
{
    if (call->not_allowed) return HTTP_NOT_ALLOWED;
    if (call->too_large) return HTTP_TOO_LARGE;
    switch (code) {
    case CURLE_OK:
        return HTTP_ANSWERED;
    case CURLE_COULDNT_CONNECT:
        return HTTP_REFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
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

static void unlink_call(struct call *call)
{
    for (struct call **at = &call->client->active; *at; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            break;
        }
    call->client->inflight--;
}

/* The call goes back to the pool only after ${done}, which may start new ones. */
static void finish(struct call *call, CURLcode code)
{
    struct http_answer answer = {.outcome = outcome_of(call, code), .body = "", .header_count = call->header_count};
    long status = 0;

    unlink_call(call);
    if (answer.outcome == HTTP_ANSWERED) {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int)status;
        answer.body = buf_text(&call->body);
        answer.body_len = call->body.len;
    }
    for (int i = 0; i < call->header_count; i++) {
        answer.headers[i].name = buf_text(&call->header_text) + call->header_at[2 * i];
        answer.headers[i].value = buf_text(&call->header_text) + call->header_at[2 * i + 1];
    }
    snprintf(answer.detail, sizeof answer.detail, "%s",
             answer.outcome == HTTP_ANSWERED ? "" : curl_easy_strerror(code));
    answer.elapsed_ms = clock_mono_ms() - call->started_mono_ms;
    call->done(call->arg, &answer);
    call_reset(call);
    call->next = call->client->idle;
    call->client->idle = call;
}

/* Calls that policy refuses were never given to curl; their callback must not run from http_start. */
static void finish_refused(struct http_client *client)
{
    struct call *call = client->active;

    while (call) {
        if (call->refused) {
            finish(call, CURLE_URL_MALFORMAT);
            call = client->active; /* the callback may have started others */
        } else {
            call = call->next;
        }
    }
}

static void read_finished(struct http_client *client)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(client->multi, &left))) {
        struct call *call = NULL;
        CURLcode code = msg->data.result;
        CURL *easy = msg->easy_handle;

        if (msg->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
        curl_multi_remove_handle(client->multi, easy);
        finish(call, code);
    }
}

int http_run(struct http_client *client, int wait_ms)
{
    int running = 0;

    if (client->inflight == 0) return 0;
    finish_refused(client);
    curl_multi_perform(client->multi, &running);
    if (running == client->inflight && running > 0 && wait_ms > 0) {
        curl_multi_poll(client->multi, NULL, 0, wait_ms, NULL);
        curl_multi_perform(client->multi, &running);
    }
    read_finished(client);
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
    c->user_agent = strdup(options->user_agent ? options->user_agent : "token-health");
    c->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
    c->multi = curl_multi_init();
    if (!c->user_agent || !c->multi || (options->ca_file && !c->ca_file)) goto fail;
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)options->max_connections);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)options->max_connections);
    *client = c;
    return ERR_OK;
fail:
    http_client_free(c);
    return err_set(err, ERR_NOMEM, NULL, "no memory for the HTTP client");
}

void http_client_free(struct http_client *client)
{
    struct call *next;

    if (!client) return;
    for (struct call *call = client->active; call; call = next) {
        next = call->next;
        if (!call->refused) curl_multi_remove_handle(client->multi, call->easy);
        call_free(call);
    }
    for (struct call *call = client->idle; call; call = next) {
        next = call->next;
        call_free(call);
    }
    curl_multi_cleanup(client->multi);
    free(client->user_agent);
    free(client->ca_file);
    free(client);
}
