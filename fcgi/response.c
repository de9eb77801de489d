#include "response.h"
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *line;
} lines[] = {{200, "200 OK"},
             {202, "202 Accepted"},
             {204, "204 No Content"},
             {400, "400 Bad Request"},
             {401, "401 Unauthorized"},
             {403, "403 Forbidden"},
             {404, "404 Not Found"},
             {405, "405 Method Not Allowed"},
             {409, "409 Conflict"},
             {413, "413 Content Too Large"},
             {415, "415 Unsupported Media Type"},
             {422, "422 Unprocessable Content"},
             {429, "429 Too Many Requests"},
             {500, "500 Internal Server Error"},
             {503, "503 Service Unavailable"}};

static const char *status_line(int status)
{
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (lines[i].status == status) return lines[i].line;
    return "500 Internal Server Error";
}

/* Each part of a header goes straight into libfcgi's buffer: formatting them would be a good part of a cached check. */
static void put(struct gateway *gateway, const char *text)
{
    gateway_put(gateway, text, strlen(text));
}

static void put_header(struct gateway *gateway, const char *name, const char *value)
{
    put(gateway, name);
    put(gateway, value);
    put(gateway, "\r\n");
}

/* What is behind an error of the service itself belongs into the log, not into an answer. */
static struct json *error_json(const struct exchange *x)
{
    struct json *j = json_object_new();
    int inside = err_status(x->err.code) >= 500;

    json_set(j, "success", json_new_bool(0));
    json_set(j, "error", json_new_string(inside || !x->err.text[0] ? err_title(x->err.code) : x->err.text));
    json_set(j, "code", json_new_string(err_word(x->err.code)));
    json_set(j, "requestId", json_new_string(x->req->id));
    return j;
}

/* The answer's body. Whoever has no memory for one answers 503 without. */
static void print_body(struct exchange *x, struct buf *body)
{
    struct err err = {0};

    if (x->err.code == ERR_OK && !x->json && x->status != 204) err_set(&x->err, ERR_NOMEM, NULL, "no answer");
    if (x->err.code != ERR_OK) {
        json_free(x->json);
        x->json = error_json(x);
        if (!x->status) x->status = err_status(x->err.code);
    }
    if (!x->status) x->status = 200;
    if (x->status == 204 || json_print(x->json, body, &err) == ERR_OK) return;
    buf_free(body);
    x->status = 503;
}

static void put_head(struct gateway *gateway, const struct exchange *x, size_t body_len)
{
    char number[24];

    put_header(gateway, "Status: ", status_line(x->status));
    put_header(gateway, "X-Request-Id: ", x->req->id);
    put_header(gateway, "Cache-Control: ", "no-store");
    if (x->health[0]) put_header(gateway, "X-Token-Health: ", x->health);
    if (x->lasts) put_header(gateway, "X-Token-Health-Valid-For: ", x->lasts);
    if (x->is_stale) put_header(gateway, "X-Token-Health-Stale: ", "true");
    if (x->allow[0]) put_header(gateway, "Allow: ", x->allow);
    if (x->status == 401) put_header(gateway, "WWW-Authenticate: ", "Bearer");
    if (x->status == 429 || x->status == 503) {
        snprintf(number, sizeof number, "%lld", (long long)(x->retry_after_s ? x->retry_after_s : 2));
        put_header(gateway, "Retry-After: ", number);
    }
    if (x->status != 204) {
        snprintf(number, sizeof number, "%zu", body_len);
        put_header(gateway, "Content-Type: ", "application/json");
        put_header(gateway, "Content-Length: ", number);
    }
    put(gateway, "\r\n");
}

/* FastCGI specification 6.3: 200 lets the request through, with Variable-… for the application; anything else is the client's answer.
 * Only a refusal by the rules is one: whatever cannot be answered passes. */
static int send_authorizer(struct gateway *gateway, const struct exchange *x)
{
    put(gateway, "Status: 200 OK\r\n");
    if (x->health[0]) put_header(gateway, "Variable-TOKEN_HEALTH: ", x->health);
    if (x->lasts) put_header(gateway, "Variable-TOKEN_HEALTH_VALID_FOR: ", x->lasts);
    if (!x->health[0] && x->err.code != ERR_OK) {
        put(gateway, "Variable-TOKEN_HEALTH: unknown; ");
        put_header(gateway, "", err_word(x->err.code));
    }
    put(gateway, "\r\n");
    gateway_finish(gateway);
    return 200;
}

int response_send(struct gateway *gateway, struct exchange *x)
{
    struct buf body = {0};

    if (x->req->is_authorizer && !(x->status == 403 && x->health[0])) return send_authorizer(gateway, x);
    print_body(x, &body);
    put_head(gateway, x, body.len);
    if (strcmp(x->req->method, "HEAD") != 0) gateway_put(gateway, buf_text(&body), body.len);
    gateway_finish(gateway);
    buf_free(&body);
    json_free(x->json);
    x->json = NULL;
    return x->status;
}
