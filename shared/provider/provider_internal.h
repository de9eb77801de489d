/* What a provider file becomes in memory; shared by the files of this folder only. Everything is read from the file
 * once and checked then; strings and conditions are borrowed from the file's JSON tree, which the provider owns. */
#ifndef TH_PROVIDER_INTERNAL_H
#define TH_PROVIDER_INTERNAL_H
#include "base/json.h"
#include "provider/provider.h"
#include "provider/reader.h"

/* A parameter with this value is left out where there is no proof. */
#define PROOF_PLACE_HOLDER "{app_secret_proof}"

/* A path is dotted text ("error.code"). A choice of paths is one path or an array of them: the first that holds
 * something but null counts. A test is a literal, an object ({"from","to"}, {"contains"}, {"exists"}, {"not"}) or an
 * array of tests of which one must hold. README.md of shared/providers describes the format. */

enum field {
    FIELD_ACCOUNT_ID,
    FIELD_USERNAME,
    FIELD_ACCESS_TOKEN,
    FIELD_REFRESH_TOKEN,
    FIELD_EXPIRES_IN,
    FIELD_EXPIRES_AT,
    FIELD_COUNT
};

/** Where an answer says that something is wrong. */
struct error_shape {
    const struct json *in, *code, *subcode, *message; /* choices of paths */
    const struct json *ok_codes;                      /* tests; NULL: none */
};

struct success_spec {
    const struct json *status, *json; /* tests; status NULL: 200 */
    const struct json *require;       /* choices of paths; NULL: none */
    const struct json *fields[FIELD_COUNT];
};

struct request_spec {
    int present;
    const char *method; /* static */
    const char *url;    /* https://HOST/PATH, no query */
    const struct json *query, *headers, *form;
    int basic_auth;
    const struct error_shape *errors; /* its own or the file's */
    struct error_shape own_errors;
    struct success_spec success;
};

struct rule {
    const char *name;
    unsigned kinds; /* bits 1 << REQUEST_… */
    enum reason reason;
    int is_app_wide;           /* a rate limit of the whole app, not of an account */
    const struct login *login; /* NULL: of all */
    const struct json *when;
    const struct json *status, *code, *subcode, *message, *json;
};

enum usage_value { USAGE_MEMBERS, USAGE_RETRY_AFTER, USAGE_RESET_AT };
struct usage_header {
    const char *name;
    int is_app_wide; /* it speaks of the whole app, not of an account */
    enum usage_value value;
    const struct json *percent, *wait; /* names of members, at any depth */
    int64_t wait_unit_s;
    int64_t wait_from_percent; /* waiting times count only from this usage on */
    const char *left; /* the header that says how many calls are left: the time counts only at 0; NULL: always */
};

struct login {
    struct provider *provider;
    const char *name, *host, *app;
    const struct json *prefixes, *other_hosts;
    struct request_spec requests[REQUEST_KIND_COUNT];
    struct refresh_policy refresh;
};

struct provider {
    struct json *root;
    const char *platform;
    struct error_shape errors;
    struct login *logins;
    size_t login_count;
    const struct login *default_login;
    struct usage_header *usage;
    size_t usage_count;
    struct rule *rules;
    size_t rule_count;
};

/** provider_file_load(path, &p, err): one file. Fails: ERR_CONFIG (place "PATH:LINE"), ERR_NOMEM. Owns: caller,
 * provider_free. */
enum err_code provider_file_load(const char *path, struct provider **p, struct err *err);
void provider_free(struct provider *p);

/** requests_read(rd, at, login): the object of requests; login->host and its provider's errors are known. */
enum err_code requests_read(const struct reader *rd, const struct at *at, struct login *login);
/** error_shape_read(rd, at, shape): a reader_fn. */
enum err_code error_shape_read(const struct reader *rd, const struct at *at, void *shape);
/** request_spec_uses(spec, place_holder): does the request send "{access_token}", … */
int request_spec_uses(const struct request_spec *spec, const char *place_holder);

/** rules_read(rd, at, p, login): appends the array at ${at} to p->rules, which has room. */
enum err_code rules_read(const struct reader *rd, const struct at *at, struct provider *p, const struct login *login);
/** rule_applies(rule, login, kind). */
int rule_applies(const struct rule *rule, const struct login *login, enum request_kind kind);

/** match_read_test, match_read_choice, match_read_paths: check a test, a choice of paths, an object of path → test.
 * out: unused. */
enum err_code match_read_test(const struct reader *rd, const struct at *at, void *out);
enum err_code match_read_choice(const struct reader *rd, const struct at *at, void *out);
enum err_code match_read_paths(const struct reader *rd, const struct at *at, void *out);
/** match_json(test, value), match_int(test, n): does it hold; a NULL test holds. value may be NULL (absent). */
int match_json(const struct json *test, const struct json *value);
int match_int(const struct json *test, int64_t n);
/** match_paths(tests, root): every path's test holds; NULL holds. */
int match_paths(const struct json *tests, const struct json *root);
/** match_find(root, choice): the first that is there and not null; NULL if none or choice is NULL. Borrowed. */
const struct json *match_find(const struct json *root, const struct json *choice);
/** match_number(value, &n): integers, whole doubles and decimal text ("190"); 1 or 0. */
int match_number(const struct json *value, int64_t *n);

/** usage_headers_read(rd, at, p): the array at ${at} becomes p->usage. */
enum err_code usage_headers_read(const struct reader *rd, const struct at *at, struct provider *p);
/** scope_read(rd, at, is_app_wide): the member "scope": "app" or "account". */
enum err_code scope_read(const struct reader *rd, const struct at *at, int *is_app_wide);
/** usage_read(p, answer, f): fills usage_percent and app_usage_percent, retry_after_s and app_wait_s. */
void usage_read(const struct provider *p, const struct http_answer *answer, struct finding *f);
/** scrub_message(l, text, out, size): a provider's text without tokens and control characters, cut at a character. */
void scrub_message(const struct login *l, const char *text, char *out, size_t size);

#endif
