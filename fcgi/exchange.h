/* What a handler sees of a request, and what it says for an answer. No FastCGI, no status lines. */
#ifndef TH_EXCHANGE_H
#define TH_EXCHANGE_H
#include "health/service.h"
#include "request.h"
#include "token/apikey.h"

struct exchange {
    const struct request *req;
    struct service *service;
    int64_t began_mono_ms;    /* when the request was read */
    const struct apikey *key; /* who asks; NULL on the open routes */
    char platform[LIMIT_PLATFORM_BYTES];
    char argument[LIMIT_ID_BYTES]; /* the path's last part, decoded: :workspaceId or :accountId */
    const struct json *body;       /* an object, or NULL when there is none */

    /* the answer */
    int status;            /* 0: 200 */
    struct json *json;     /* owned; NULL: no body */
    char health[96];       /* X-Token-Health, "" none */
    const char *lasts;     /* X-Token-Health-Valid-For; static; NULL: not asked */
    int is_stale;          /* X-Token-Health-Stale: it is older than it should be */
    struct err err;        /* an error answer, when code is not ERR_OK */
    int64_t retry_after_s; /* with 429; 0: a moment */
    char allow[48];        /* with 405: "GET, HEAD, PATCH" */
};

/** A handler: reads arguments, makes one service call, fills the answer. Its error is x->err. */
typedef void handler_fn(struct exchange *x);

/** exchange_may_see(x, workspace): is the workspace in the key's list? */
int exchange_may_see(const struct exchange *x, const char *workspace);
/** exchange_deny(x): 404 in the same words for what does not exist and for what the key may not see. */
void exchange_deny(struct exchange *x);
/** exchange_may_touch(x, account): is the account on the platform, and in one of the key's workspaces? Reads the store. 0: x->err
 *  says why not; access is settled before anything else is said about the account. */
int exchange_may_touch(struct exchange *x, const char *account_id);
/** exchange_id(x, member, out): the body's member as an id text: a JSON string or whole number. ERR_OK, or x->err is set. */
enum err_code exchange_id(struct exchange *x, const char *member, char out[LIMIT_ID_BYTES]);
/** exchange_query(x, name, out): 1: the query's parameter, decoded; 0: absent; -1: x->err is set (twice, malformed, too long, empty). */
int exchange_query(struct exchange *x, const char *name, char out[LIMIT_ID_BYTES]);
/** exchange_deadline(x): when the answer is due by [responder] request_timeout, 0: never. */
int64_t exchange_deadline(const struct exchange *x);
/** url_decode(text, len, out, size): percent-decoding, strict: UTF-8, no NUL, no control characters, no bad escapes. 1 or 0. */
int url_decode(const char *text, size_t len, char *out, size_t size);

#define ROUTE(method, path, scope, function, summary) void function(struct exchange *x);
#include "routes.def"
#undef ROUTE

#endif
