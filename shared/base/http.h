/* HTTP client: many calls at once on one curl multi handle. HTTPS verified; http only to loopback (checked by name and by
 * address, before a packet is sent); no redirects; bounded times and body. What the environment says of proxies is ignored, as is
 * .netrc: a token goes to its provider and nowhere else. A POST is sent once, never again. Nothing of a call stays in memory after its end. Knows nothing of tokens
 * or platforms. curl stays inside http*.c. */
#ifndef TH_HTTP_H
#define TH_HTTP_H
#include "base/buf.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/** What became of a call, apart from its HTTP status. */
enum http_outcome {
    HTTP_ANSWERED, /* a complete answer: see status, body */
    HTTP_REFUSED,  /* connection refused or unreachable */
    HTTP_DNS_FAILED,
    HTTP_TIMED_OUT,  /* to connect or in all */
    HTTP_TLS_FAILED, /* certificate or handshake */
    HTTP_BROKEN,     /* connection closed early, body shorter than promised, protocol error */
    HTTP_TOO_LARGE,  /* body or headers over their limit */
    HTTP_NOT_ALLOWED /* the URL or a header is refused by policy; nothing was sent */
};
const char *http_outcome_name(enum http_outcome outcome); /* "answered", "connection refused", "DNS failure", … */

enum { HTTP_HEADERS_MAX = 16, HTTP_ANSWER_HEADERS_MAX = 64 };

/** A request. All memory is the request's own; http_request_fini wipes it (it may hold a token). */
struct http_request {
    const char *method; /* static text: "GET", "POST", "DELETE" */
    struct buf url;
    struct buf headers[HTTP_HEADERS_MAX]; /* each "Name: value" */
    int header_count;
    struct buf body;          /* form body; its Content-Type is among the headers */
    struct buf user_password; /* Basic authentication: "user:password"; empty: none. No colon in the user */
    int64_t timeout_ms;       /* of this call in all, if shorter than the client's; 0: the client's */
    int is_urgent; /* it does not wait for its turn: with less time than all it might be cut off in the middle */
    /* Asked, with done's arg, when the call's turn comes; 0: it is not made, which is_cut says. NULL: it is wanted. */
    int (*is_wanted)(void *arg);
};
void http_request_fini(struct http_request *req);

struct http_header {
    const char *name, *value;
};
/** An answer; borrowed by the callback for the time of the call. */
struct http_answer {
    enum http_outcome outcome;
    char detail[160];                                    /* for people: curl's word, without URL */
    int status;                                          /* 0 unless answered */
    struct http_header headers[HTTP_ANSWER_HEADERS_MAX]; /* those beyond are left out */
    int header_count;
    const char *body; /* NUL-terminated, never NULL */
    size_t body_len;
    int64_t elapsed_ms;
    int is_sent; /* the request, or a part of it, may have left this host; 0: certainly not */
    int is_cut;  /* HTTP_TIMED_OUT by the request's own timeout_ms, or not wanted any more: says nothing of the host */
    int64_t date_ms; /* the host's own time, from its Date header; 0: none */
};
/** http_answer_header(answer, name): value of the first such header, case-insensitive; NULL if none. */
const char *http_answer_header(const struct http_answer *answer, const char *name);

/** http_url_check(url, err): ERR_OK if https, or http to a loopback host (127.0.0.0/8, [::1], localhost);
 *  ERR_BAD_INPUT with the reason (user info, other schemes, other hosts, control bytes are refused). */
enum err_code http_url_check(const char *url, struct err *err);

struct http_options {
    int64_t connect_timeout_ms; /* 3000 */
    int64_t total_timeout_ms;   /* 10000 */
    int max_connections;        /* calls at the same time; the others wait for their turn */
    const char *ca_file;        /* NULL: the system's */
    const char *user_agent;
};
struct http_client;
typedef void http_done_fn(void *arg, const struct http_answer *answer);

/** http_client_new(options, &client, err): Owns: caller, http_client_free. Call after fork only. */
enum err_code http_client_new(const struct http_options *options, struct http_client **client, struct err *err);
/** http_start(client, req, done, arg): start a call; ${req} is copied and may go at once. ${done} is called
 *  exactly once, from http_run (never from here), whatever happens. The time in all counts from here, connect_timeout from the
 *  call's turn. Fails: ERR_NOMEM (done is then not called). */
enum err_code http_start(struct http_client *client, const struct http_request *req, http_done_fn *done, void *arg,
                         struct err *err);
/** http_run(client, wait_ms): move all calls on; wait at most wait_ms for something to happen (0: do not
 *  wait); calls done callbacks, which may start new calls but not run or free the client. Returns the number of calls still under way.
 *  With none under way it returns 0 at once. Interrupted by signals: returns early. */
int http_run(struct http_client *client, int wait_ms);
int http_inflight(const struct http_client *client);
/** http_client_watch(client, fd): http_run ends its wait, too, when ${fd} can be read; -1: no more. Borrowed. */
void http_client_watch(struct http_client *client, int fd);
/** http_client_resize(c, max_connections): so many calls at the same time from now on; those under way beyond that are not broken off. */
void http_client_resize(struct http_client *client, int max_connections);
/** http_client_free(client): drops calls under way without calling done. NULL allowed. */
void http_client_free(struct http_client *client);

#endif
