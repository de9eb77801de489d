/* Who asks: the Authorization header to an API key. The key file is looked at again once a second at most, and when
 * a key is not known: one that is revoked is good for a second more, a new one is good at once. A file that could not be
 * read is tried again once a second, changed or not. */
#ifndef TH_AUTH_H
#define TH_AUTH_H
#include "base/err.h"
#include "token/apikey.h"

struct auth;
/** auth_new(keys_file, &auth, err): the file may be missing or bad: then no key is good, which the log says,
 *  once for each reason. */
enum err_code auth_new(const char *keys_file, struct auth **auth, struct err *err);
/** auth_key(auth, authorization): the key of "Bearer thk_…", valid until the next call; NULL if there is none.
 *  auth_key_known(auth, authorization): the same without a look for one that was made just now. */
const struct apikey *auth_key(struct auth *auth, const char *authorization);
const struct apikey *auth_key_known(struct auth *auth, const char *authorization);
void auth_free(struct auth *auth);

#endif
