/* The platforms that the sandbox plays, by the host that its calls name. */
#ifndef SANDBOX_HOST_H
#define SANDBOX_HOST_H

enum host { HOST_INSTAGRAM, HOST_FACEBOOK, HOST_THREADS, HOST_TIKTOK, HOST_X, HOST_COUNT };
enum dialect { DIALECT_GRAPH, DIALECT_TIKTOK, DIALECT_X }; /* the last two have refresh tokens, which rotate */

enum { HOST_PREFIXES = 2 };
struct host_row {
    enum dialect dialect;
    const char *prefixes[HOST_PREFIXES]; /* how its access tokens begin; "": nothing to go by */
};
extern const char *const host_words[HOST_COUNT];
extern const struct host_row host_rows[HOST_COUNT];

/** host_prefix(host, token): the prefix of this host that the token has, else "". Static. */
const char *host_prefix(enum host host, const char *token);
/** host_of_token(token): whose prefix it has; HOST_COUNT: nobody's. */
enum host host_of_token(const char *token);

#endif
