/* What needs no connection: requests, answers and URLs as data. */
#include "base/http.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

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
    buf_free(&req->user_password);
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

/* curl itself makes 127.0.0.1 and ::1 of "localhost", whatever a resolver says. */
static int is_loopback_host(const char *host)
{
    struct in_addr address;

    if (!strcasecmp(host, "localhost") || !strcmp(host, "[::1]")) return 1;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24U == 127;
}

static int has_part(CURLU *parts, CURLUPart part)
{
    char *text = NULL;
    int has = curl_url_get(parts, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

enum err_code http_url_check(const char *url, struct err *err)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL;
    enum err_code rc = ERR_OK;

    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            rc = err_set(err, ERR_BAD_INPUT, NULL, "a URL with white space or control characters");
    if (rc == ERR_OK && (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
                         curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
                         curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK))
        rc = err_set(err, ERR_BAD_INPUT, NULL, "not a URL");
    if (rc == ERR_OK && (has_part(parts, CURLUPART_USER) || has_part(parts, CURLUPART_PASSWORD)))
        rc = err_set(err, ERR_BAD_INPUT, NULL, "a URL with a user in it");
    if (rc == ERR_OK && strcmp(scheme, "https") != 0 && !(strcmp(scheme, "http") == 0 && is_loopback_host(host)))
        rc = err_set(err, ERR_BAD_INPUT, NULL, "only https is allowed, and http to this host itself (loopback)");
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parts);
    return rc;
}
