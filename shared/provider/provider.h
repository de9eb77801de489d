/* Providers are data (DESIGN 5): one JSON file a platform says how to ask it and what its answers mean. This
 * engine knows no platform by name. It loads the files, builds requests and classifies answers; it does no
 * network I/O. Facts about the platforms: the files themselves cite them. */
#ifndef TH_PROVIDER_H
#define TH_PROVIDER_H
#include "base/err.h"
#include "base/http.h"
#include "base/limits.h"
#include "base/secret.h"

enum reason {
#define REASON(name, word, class) REASON_##name,
#include "provider/reason.def"
#undef REASON
    REASON_COUNT
};
enum reason_class { CLASS_INCONCLUSIVE, CLASS_ACCEPTED, CLASS_DEFINITIVE };
const char *reason_word(enum reason reason);          /* "password_changed" */
int reason_parse(const char *word, enum reason *out); /* 1 or 0 */
enum reason_class reason_class(enum reason reason);
const char *reason_class_word(enum reason_class c); /* "definitive", "accepted", "inconclusive" */

struct provider_set; /* all platforms */
struct provider;     /* one platform */
struct login;        /* one of its ways to log in: host, requests, rules; chosen by the token's prefix */

/** provider_set_load(dir, override_dir, &set, err): every *.json of ${dir}; a file of the same name in ${override_dir}
 *  (may be NULL or not exist) replaces it, other files there are added. A file with any mistake (JSON, unknown member,
 * wrong type, unknown reason, unknown place-holder, URL not https, rule that can never match) is refused: ERR_CONFIG,
 * place "FILE:LINE", reason in text. Owns: caller. */
enum err_code provider_set_load(const char *dir, const char *override_dir, struct provider_set **set, struct err *err);
void provider_set_free(struct provider_set *set);
const struct provider *provider_find(const struct provider_set *set, const char *platform); /* NULL if none */
size_t provider_count(const struct provider_set *set);
const struct provider *provider_at(const struct provider_set *set, size_t index);
const char *provider_platform(const struct provider *p);

/** provider_login(p, token): the login whose prefix the token has, else the file's default. Never NULL. */
const struct login *provider_login(const struct provider *p, const struct secret *token);
/** provider_login_named(p, token): the login whose prefix the token has; NULL: none, so that the default is no more than a guess. */
const struct login *provider_login_named(const struct provider *p, const struct secret *token);
/** provider_login_after(p, first, l): when ${first} was asked first and ${l} last, the login to ask next: the others in the file's
 *  order; NULL: all were. provider_login_count(p): how many there are. */
const struct login *provider_login_after(const struct provider *p, const struct login *first, const struct login *l);
size_t provider_login_count(const struct provider *p);
const struct login *provider_login_find(const struct provider *p, const char *name); /* NULL if none */
const char *login_name(const struct login *l);
const char *login_host(const struct login *l);
/** login_app(l): the platform whose [app.NAME] id and secret its requests need ("facebook" for Facebook Login). */
const char *login_app(const struct login *l);

enum request_kind { REQUEST_VALIDATE, REQUEST_INTROSPECT, REQUEST_REFRESH, REQUEST_EXCHANGE, REQUEST_KIND_COUNT };
const char *request_kind_word(enum request_kind kind);
int request_kind_parse(const char *word, enum request_kind *out);

/** How tokens of a login are refreshed. */
struct refresh_policy {
    enum refresh_model { REFRESH_NONE, REFRESH_EXTEND, REFRESH_TOKEN } model; /* extend while alive, or refresh token */
    int rotates;                                                              /* the refresh token is single-use */
    int64_t min_age_s;      /* refused when the token is younger (24 h at Instagram) */
    int64_t window_start_s; /* refresh from this long before expiry … */
    int64_t window_end_s;   /* … to this long before expiry */
};
const struct refresh_policy *login_refresh(const struct login *l);

/** What a request is made from. Any may be NULL when the request does not use it. */
struct request_input {
    const struct secret *access_token;
    const struct secret *refresh_token;
    const char *app_id;
    const struct secret *app_secret;
    const struct secret *
        app_secret_proof; /* HMAC-SHA256 of the access token under the secret, lowercase hex; NULL or empty: left out */
    const char *sandbox_url; /* NULL or "": the real host */
};
/** login_has_request(l, kind). */
int login_has_request(const struct login *l, enum request_kind kind);
/** login_build_request(l, kind, in, req, err): URL-encodes what goes into URLs and forms; tokens go where the
 *  file says. req: caller's, http_request_fini in every case. Fails: ERR_NOT_FOUND (no such request), ERR_CONFIG (it
 * needs the app id or secret and there is none: app_misconfigured), ERR_BAD_INPUT (a token with control characters),
 * ERR_NOMEM. */
enum err_code login_build_request(const struct login *l, enum request_kind kind, const struct request_input *in,
                                  struct http_request *req, struct err *err);

enum { RULE_NAME_BYTES = 64 };
/** What an answer means. Strings are copies; finding_fini wipes the secrets. Absent numbers are 0. */
struct finding {
    enum reason reason;
    char rule[RULE_NAME_BYTES]; /* the rule that fired: "success", a name from the file, or a built-in one: "network",
                                   "status_429", "status_5xx", "status_other", "not_json", "no_rule",
                                   "success_incomplete" */
    int http_status;
    int64_t code, subcode;             /* the provider's, when numbers */
    char message[256];                 /* the provider's, scrubbed: tokens and long opaque words replaced by "…" */
    char account_id[LIMIT_NAME_BYTES]; /* the provider's id of the token's owner */
    char username[LIMIT_NAME_BYTES];
    int64_t expires_in_s;  /* from refresh/exchange */
    int64_t expires_at_s;  /* from introspection: Unix seconds */
    int64_t retry_after_s; /* from Retry-After or usage headers */
    int64_t app_wait_s;    /* no call for the whole app for so long; 0: none is asked for, or of this account alone */
    int usage_percent;     /* the highest of the usage headers; -1 unknown */
    int app_usage_percent; /* the highest of those that speak of the whole app; -1 unknown */
    struct secret access_token, refresh_token; /* new ones, refresh/exchange only */
    int may_have_worked; /* no success, but what was asked may have been done: no whole answer to a request that was sent, a
                            server's error, a 2xx that says neither yes nor no, or both */
};
void finding_fini(struct finding *f);
/** login_classify(l, kind, answer, f): always gives a finding. Order: not answered → timeout/transient; the
 *  success shape of ${kind}; the file's rules in order; built-ins (429, 5xx, not JSON, nothing matched): inconclusive.
 * A 2xx that lacks what success needs is bad_response. A success of refresh with a blank token is bad_response. Rules
 *  are tried on JSON only; under 429, 5xx, 1xx and 3xx only those with an inconclusive reason other than bad_response. */
void login_classify(const struct login *l, enum request_kind kind, const struct http_answer *answer, struct finding *f);

#endif
