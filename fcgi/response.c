#include "response.h"
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *phrase;
} phrases[] = {{200, "OK"},
               {204, "No Content"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {409, "Conflict"},
               {413, "Content Too Large"},
               {415, "Unsupported Media Type"},
               {422, "Unprocessable Content"},
               {429, "Too Many Requests"},
               {500, "Internal Server Error"},
               {503, "Service Unavailable"}};

static const char *phrase_of(int status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].status == status) return phrases[i].phrase;
    return "Error";
}

/* What is behind an error of the service itself belongs into the log, not into an answer. */
static struct json *error_json(const struct exchange *x)
{
    struct json *j = json_object_new();
    int inside = err_status(x->err.code) == 500;

    json_set(j, "success", json_new_bool(0));
    json_set(j, "error", json_new_string(inside || !x->err.text[0] ? err_title(x->err.code) : x->err.text));
    json_set(j, "code", json_new_string(err_word(x->err.code)));
    json_set(j, "requestId", json_new_string(x->req->id));
    return j;
}

static void take_error(struct exchange *x)
{
    if (x->err.code == ERR_OK) return;
    json_free(x->json);
    x->json = error_json(x);
    if (!x->status) x->status = err_status(x->err.code);
}

int response_send(struct gateway *gateway, struct exchange *x)
{
    struct buf out = {0}, body = {0};
    struct err err = {0};

    take_error(x);
    if (x->json && json_print(x->json, &body, &err) != ERR_OK) x->status = 500;
    if (!x->status) x->status = 200;
    buf_printf(&out, "Status: %d %s\r\nX-Request-Id: %s\r\nCache-Control: no-store\r\n", x->status,
               phrase_of(x->status), x->req->id);
    if (x->health[0]) buf_printf(&out, "X-Token-Health: %s\r\n", x->health);
    if (x->allow) buf_printf(&out, "Allow: %s\r\n", x->allow);
    if (x->status == 401) buf_puts(&out, "WWW-Authenticate: Bearer\r\n");
    if (x->status == 429 || x->status == 503) buf_puts(&out, "Retry-After: 2\r\n");
    if (x->status != 204) buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    buf_puts(&out, "\r\n");
    if (strcmp(x->req->method, "HEAD") != 0 && x->status != 204) buf_put(&out, buf_text(&body), body.len);
    gateway_put(gateway, buf_text(&out), out.len);
    gateway_finish(gateway);
    buf_free(&out);
    buf_free(&body);
    json_free(x->json);
    x->json = NULL;
    return x->status;
}
