/* The pretend Graph API: one provider call in, one answer out. graph.c finds out what is asked and how it ends, graph_answer.c
 * writes it. Facts: the platforms' pages on error handling and access tokens, and recorded answers. */
#ifndef SANDBOX_GRAPH_H
#define SANDBOX_GRAPH_H
#include "answer.h"
#include "request.h"
#include "world.h"

/** A provider call, read. Texts are the request's. */
struct call {
    const struct request *req;
    enum host host;
    int is_host_known;
    enum kind kind;
    const char *path;    /* without host and version */
    const char *text;    /* the token that the call is about; NULL if none */
    const char *caller;  /* who asks; the token itself where there is no other */
    struct token *token; /* NULL if no text, or no room for it */
    enum condition end;
};

/** graph_take(w, req, out): take one call into the ledger and decide about it; ${out} starts zeroed. */
void graph_take(struct world *w, const struct request *req, struct answer *out);
/** graph_host_of(token): whose prefix it has; HOST_COUNT: nobody's. */
enum host graph_host_of(const char *token);
/** graph_is_alive(t): a call with it would be served. */
int graph_is_alive(const struct token *t);
/** graph_is_success(call): the call is served, if with a twist. */
int graph_is_success(const struct call *call);
/** graph_write(w, call, out): the answer to a call whose end is decided; a refresh takes effect here, and a wrong field changes the end. */
void graph_write(struct world *w, struct call *call, struct answer *out);
/** graph_write_raw(w, call, out): those of effect RAW. */
void graph_write_raw(struct world *w, const struct call *call, struct answer *out);

#endif
