/* API keys (DESIGN 10): "thk_" and 32 random bytes in base64url. Only SHA-256 hashes are kept, in a file that nobody else may
 * read: {"version":1,"keys":[{"id","name","sha256","scopes":[…],"workspaces":["*"] or ids,"createdAt"}]}. */
#ifndef TH_APIKEY_H
#define TH_APIKEY_H
#include "base/err.h"
#include "base/json.h"
#include <stddef.h>

enum scope { SCOPE_READ = 1, SCOPE_WRITE = 2, SCOPE_ADMIN = 4 }; /* write includes read, admin both */

struct apikey {
    char id[32];
    char name[64];
    unsigned char sha256[32];
    unsigned scopes;
    char **workspaces; /* NULL: all */
    int workspace_count;
};
struct apikeys; /* the file's content */

/** apikey_load(path, &keys, err): Fails: ERR_CONFIG (not there, others may read it: mode & 007, malformed), place = path; the
 *  text says which key and member, or line and column. */
enum err_code apikey_load(const char *path, struct apikeys **keys, struct err *err);
void apikey_free(struct apikeys *keys);
int apikey_count(const struct apikeys *keys);
const struct apikey *apikey_at(const struct apikeys *keys, int index);
/** apikey_find(keys, text, len): the key whose hash is that of the presented text; all hashes are compared, each in constant
 *  time. NULL if none. One SHA-256, no allocation. */
const struct apikey *apikey_find(const struct apikeys *keys, const char *text, size_t len);
/** apikey_parse_scopes("read,write", &scopes): 1 or 0. */
int apikey_parse_scopes(const char *list, unsigned *scopes);
/** apikey_create(path, request, text, id, err): adds a key; workspaces: ids separated by commas, NULL or "*": all. The key's text
 *  is appended to ${text}: the only time it exists. Atomic (flock, temporary file, fsync, rename). Fails: ERR_BAD_INPUT, ERR_IO,
 *  ERR_NOSPACE, ERR_CONFIG; then the file is as it was and ${text}, too. */
struct apikey_request {
    const char *name, *workspaces;
    unsigned scopes;
};
enum err_code apikey_create(const char *path, const struct apikey_request *request, struct buf *text, char id[32],
                            struct err *err);
/** apikey_revoke(path, id, err): ERR_NOT_FOUND if there is none of that id. */
enum err_code apikey_revoke(const char *path, const char *id, struct err *err);
/** apikey_to_json(key): for lists; no hash. Owns: caller. */
struct json *apikey_to_json(const struct apikey *key);

#endif
