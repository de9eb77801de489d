/* One provider call in, one answer out. call.c finds out what is asked, of whom, and how it ends; the platform's dialect writes
 * the answer. Facts: the platforms' pages on error handling and access tokens, and recorded answers. */
#ifndef SANDBOX_CALL_H
#define SANDBOX_CALL_H
#include "answer.h"
#include "request.h"
#include "world.h"

struct route;
/** A provider call, read. Texts are the request's. */
struct call {
    const struct request *req;
    enum host host; /* HOST_COUNT: one that the sandbox does not play */
    enum kind kind;
    const struct route *route; /* NULL: none */
    const char *path;          /* without host, and without version at the Graph API */
    const char *text;          /* the token that the call is about; NULL if none */
    struct token *token;       /* NULL if no text, or no room for it */
    enum condition end;
};

/** call_take(w, req, out): take one call into the ledger and answer it; ${out} starts zeroed. */
void call_take(struct world *w, const struct request *req, struct answer *out);
/** call_is_success(call): the call is served, if with a twist. */
int call_is_success(const struct call *call);
/** call_account_id, call_username: what a success says of the token's owner. Borrowed until the next registration. */
const char *call_account_id(const struct world *w, const struct call *call);
const char *call_username(const struct world *w, const struct call *call);

/* The dialects: the answer to a call whose end is decided. A refresh takes effect here, and a wrong field changes the end. */
void graph_write(struct world *w, struct call *call, struct answer *out);
void rotating_write(struct world *w, struct call *call, struct answer *out); /* TikTok and X */
void raw_write(const struct world *w, const struct call *call, struct answer *out);

#endif
