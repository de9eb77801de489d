/* An HTTP request as plain data; the pretend provider sees nothing of the HTTP library. All of it is borrowed for one call. */
#ifndef SANDBOX_REQUEST_H
#define SANDBOX_REQUEST_H
#include <stddef.h>

struct request {
    const char *method;
    const char *path;          /* decoded, without query */
    const char *authorization; /* the header's value; NULL if none */
    const char *body;          /* NUL-terminated */
    size_t body_len;
    /** param(connection, name): a parameter of the query, decoded; NULL if absent. */
    const char *(*param)(void *connection, const char *name);
    void *connection;
};

static inline const char *request_param(const struct request *req, const char *name)
{
    return req->param(req->connection, name);
}

#endif
