/* What a test says about a token, as JSON; also one line of the state file. */
#ifndef SANDBOX_REGISTRATION_H
#define SANDBOX_REGISTRATION_H
#include "base/err.h"
#include "base/json.h"
#include "world.h"

/** registration_apply(w, j, err): make the token of ${j} known and change what ${j} tells. Fails: ERR_BAD_INPUT (a field that is
 *  unknown or wrong; some of ${j} may have been applied), ERR_NOMEM. */
enum err_code registration_apply(struct world *w, const struct json *j, struct err *err);
/** registration_print(w, t, out): what ${t} is, as the members of a registration, without braces. */
void registration_print(const struct world *w, const struct token *t, struct buf *out);

/** registration_load(w, path, err) / registration_save: all tokens, one line each. A file that is not there holds none; it is
 *  replaced as a whole. Fails: ERR_IO, ERR_BAD_INPUT, ERR_NOMEM. Blocks: file I/O. */
enum err_code registration_load(struct world *w, const char *path, struct err *err);
enum err_code registration_save(const struct world *w, const char *path, struct err *err);

#endif
