/* The side of the sandbox that tests speak to: /_sandbox/…, JSON in and out. tests/lib/sandbox.py is its only client; what each
 * call does is said there. */
#ifndef SANDBOX_CONTROL_H
#define SANDBOX_CONTROL_H
#include "answer.h"
#include "request.h"
#include "world.h"

int control_is(const char *path);
/** control_take(w, req, out): 200 with a JSON object; 400, 404 or 405 with {"error"}. ${out} starts zeroed. */
void control_take(struct world *w, const struct request *req, struct answer *out);

#endif
