/* The "requests" of a login: reading and checking. Building them is request.c. */
#include "provider/provider_internal.h"
#include <string.h>
#include <strings.h>

static const char *const place_holders[] = {"{access_token}", "{refresh_token}", "{app_id}", "{app_secret}",
                                            PROOF_PLACE_HOLDER};
static const char *const methods[] = {"GET", "POST", "DELETE"};
enum { PLACE_HOLDERS = sizeof place_holders / sizeof *place_holders, METHODS = sizeof methods / sizeof *methods };

static const char *const field_names[FIELD_COUNT] = {
    [FIELD_ACCOUNT_ID] = "account_id",       [FIELD_USERNAME] = "username",       [FIELD_ACCESS_TOKEN] = "access_token",
    [FIELD_REFRESH_TOKEN] = "refresh_token", [FIELD_EXPIRES_IN] = "expires_in_s", [FIELD_EXPIRES_AT] = "expires_at_s",
};

/* ---- templates: what goes into query, headers and form */

static int is_printable(const char *text)
{
    for (; *text; text++) {
        if (*text < 0x20 || *text > 0x7e) return 0;
    }
    return 1;
}

static enum err_code check_template(const struct reader *rd, const struct at *at, int at_header)
{
    enum err_code code = reader_type(rd, at, JSON_STRING);
    if (code != ERR_OK) return code;
    const char *text = json_string(at->value);
    if (!is_printable(text)) return reader_fail(rd, at, "holds bytes that are not printable ASCII");
    if (strstr(text, PROOF_PLACE_HOLDER) && (at_header || strcmp(text, PROOF_PLACE_HOLDER) != 0))
        return reader_fail(rd, at, PROOF_PLACE_HOLDER " stands alone, in a query or a form: it may be left out");
    while ((text = strpbrk(text, "{}"))) {
        size_t i = 0;
        while (i < PLACE_HOLDERS && strncmp(text, place_holders[i], strlen(place_holders[i])) != 0)
            i++;
        if (i == PLACE_HOLDERS)
            return reader_fail(rd, at,
                               "unknown place-holder; there are {access_token}, {refresh_token}, {app_id}, "
                               "{app_secret}, " PROOF_PLACE_HOLDER);
        text += strlen(place_holders[i]);
    }
    return ERR_OK;
}

static enum err_code check_templates(const struct reader *rd, const struct at *at, int at_header)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < json_count(at->value); i++) {
        struct at child = reader_member(at, i);
        if (!*child.key || !is_printable(child.key)) return reader_fail(rd, &child, "not a parameter's name");
        code = check_template(rd, &child, at_header);
    }
    return code;
}

static enum err_code read_query(const struct reader *rd, const struct at *at, void *out)
{
    ((struct request_spec *)out)->query = at->value;
    return check_templates(rd, at, 0);
}

static enum err_code read_form(const struct reader *rd, const struct at *at, void *out)
{
    ((struct request_spec *)out)->form = at->value;
    return check_templates(rd, at, 0);
}

static enum err_code read_headers(const struct reader *rd, const struct at *at, void *out)
{
    ((struct request_spec *)out)->headers = at->value;
    /* One is the engine's own: Content-Type of a form. */
    if (json_count(at->value) > HTTP_HEADERS_MAX - 1) return reader_fail(rd, at, "too many headers");
    for (size_t i = 0; i < json_count(at->value); i++) {
        struct at child = reader_member(at, i);
        if (child.key[strspn(child.key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")])
            return reader_fail(rd, &child, "not a header's name");
    }
    return check_templates(rd, at, 1);
}

static int templates_use(const struct json *object, const char *place_holder)
{
    for (size_t i = 0; i < json_count(object); i++) {
        const char *key;
        if (strstr(json_string(json_member_at(object, i, &key)), place_holder)) return 1;
    }
    return 0;
}

int request_spec_uses(const struct request_spec *spec, const char *place_holder)
{
    return templates_use(spec->query, place_holder) || templates_use(spec->headers, place_holder) ||
           templates_use(spec->form, place_holder);
}

/* ---- the plain members */

static enum err_code read_method(const struct reader *rd, const struct at *at, void *out)
{
    for (size_t i = 0; i < METHODS; i++) {
        if (strcmp(json_string(at->value), methods[i]) == 0) {
            ((struct request_spec *)out)->method = methods[i];
            return ERR_OK;
        }
    }
    return reader_fail(rd, at, "unknown method; there are GET, POST, DELETE");
}

static enum err_code read_url(const struct reader *rd, const struct at *at, void *out)
{
    (void)rd;
    ((struct request_spec *)out)->url = json_string(at->value);
    return ERR_OK;
}

static enum err_code read_auth(const struct reader *rd, const struct at *at, void *out)
{
    if (strcmp(json_string(at->value), "basic") != 0) return reader_fail(rd, at, "unknown; there is \"basic\"");
    ((struct request_spec *)out)->basic_auth = 1;
    return ERR_OK;
}

static enum err_code read_own_errors(const struct reader *rd, const struct at *at, void *out)
{
    struct request_spec *spec = out;
    spec->errors = &spec->own_errors;
    return error_shape_read(rd, at, &spec->own_errors);
}

/* ---- errors */

static enum err_code read_in(const struct reader *rd, const struct at *at, void *out)
{
    ((struct error_shape *)out)->in = at->value;
    return match_read_choice(rd, at, NULL);
}

static enum err_code read_code(const struct reader *rd, const struct at *at, void *out)
{
    ((struct error_shape *)out)->code = at->value;
    return match_read_choice(rd, at, NULL);
}

static enum err_code read_subcode(const struct reader *rd, const struct at *at, void *out)
{
    ((struct error_shape *)out)->subcode = at->value;
    return match_read_choice(rd, at, NULL);
}

static enum err_code read_message(const struct reader *rd, const struct at *at, void *out)
{
    ((struct error_shape *)out)->message = at->value;
    return match_read_choice(rd, at, NULL);
}

static enum err_code read_ok_codes(const struct reader *rd, const struct at *at, void *out)
{
    ((struct error_shape *)out)->ok_codes = at->value;
    return match_read_test(rd, at, NULL);
}

enum err_code error_shape_read(const struct reader *rd, const struct at *at, void *shape)
{
    static const struct member members[] = {
        {"in", JSON_ABSENT, 1, read_in},
        {"code", JSON_ABSENT, 1, read_code},
        {"subcode", JSON_ABSENT, 0, read_subcode},
        {"message", JSON_ABSENT, 0, read_message},
        {"ok_codes", JSON_ABSENT, 0, read_ok_codes},
        {0},
    };
    return reader_object(rd, at, members, shape);
}

/* ---- success */

static enum err_code read_status(const struct reader *rd, const struct at *at, void *out)
{
    ((struct success_spec *)out)->status = at->value;
    return match_read_test(rd, at, NULL);
}

static enum err_code read_json(const struct reader *rd, const struct at *at, void *out)
{
    ((struct success_spec *)out)->json = at->value;
    return match_read_paths(rd, at, NULL);
}

static enum err_code read_require(const struct reader *rd, const struct at *at, void *out)
{
    ((struct success_spec *)out)->require = at->value;
    return reader_each(rd, at, match_read_choice, NULL);
}

static enum err_code read_fields(const struct reader *rd, const struct at *at, void *out)
{
    struct success_spec *success = out;
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < json_count(at->value); i++) {
        struct at child = reader_member(at, i);
        int field = 0;
        while (field < FIELD_COUNT && strcmp(child.key, field_names[field]) != 0)
            field++;
        if (field == FIELD_COUNT) return reader_fail(rd, &child, "unknown field");
        success->fields[field] = child.value;
        code = match_read_choice(rd, &child, NULL);
    }
    return code;
}

static enum err_code read_success(const struct reader *rd, const struct at *at, void *out)
{
    static const struct member members[] = {
        {"status", JSON_ABSENT, 0, read_status},
        {"json", JSON_OBJECT, 0, read_json},
        {"require", JSON_ARRAY, 0, read_require},
        {"fields", JSON_OBJECT, 1, read_fields},
        {0},
    };
    return reader_object(rd, at, members, &((struct request_spec *)out)->success);
}

/* ---- one request, all requests */

/* A token must not go to a host that the login does not name: a slip of the pen would hand it to a stranger. */
static int url_is_of(const char *url, const char *host)
{
    size_t len = strlen(host);
    return strncmp(url, "https://", 8) == 0 && strncmp(url + 8, host, len) == 0 && url[8 + len] == '/';
}

static enum err_code check_url(const struct reader *rd, const struct at *at, const struct login *login)
{
    const char *url = json_string(at->value);
    if (strncmp(url, "https://", 8) != 0) return reader_fail(rd, at, "must begin with https://");
    if (!is_printable(url) || strpbrk(url, " ?#{}\"<>\\@"))
        return reader_fail(rd, at, "must be https://HOST/PATH and no more");
    if (url_is_of(url, login->host)) return ERR_OK;
    for (size_t i = 0; i < json_count(login->other_hosts); i++) {
        if (url_is_of(url, json_string(json_at(login->other_hosts, i)))) return ERR_OK;
    }
    return reader_fail(rd, at, "its host is neither the login's \"host\" nor one of \"other_hosts\"");
}

static int has_header(const struct request_spec *spec, const char *name)
{
    for (size_t i = 0; i < json_count(spec->headers); i++) {
        const char *key;
        json_member_at(spec->headers, i, &key);
        if (strcasecmp(key, name) == 0) return 1;
    }
    return 0;
}

static enum err_code check_kind(const struct reader *rd, const struct at *at, const struct request_spec *spec,
                                enum request_kind kind)
{
    int is_grant = kind == REQUEST_REFRESH || kind == REQUEST_EXCHANGE;
    if (spec->basic_auth && has_header(spec, "Authorization"))
        return reader_fail(rd, at, "basic auth and a header Authorization are one too many");
    if (spec->form && strcmp(spec->method, "POST") != 0) return reader_fail(rd, at, "a form needs the method POST");
    if (spec->form && has_header(spec, "Content-Type"))
        return reader_fail(rd, at, "a form has its Content-Type already");
    if (!request_spec_uses(spec, "{access_token}") &&
        !(kind == REQUEST_REFRESH && request_spec_uses(spec, "{refresh_token}")))
        return reader_fail(rd, at, "the request sends no token: {access_token} is nowhere");
    if (is_grant != (spec->success.fields[FIELD_ACCESS_TOKEN] != NULL))
        return reader_fail(rd, at,
                           is_grant ? "success.fields needs access_token"
                                    : "success.fields.access_token is for refresh and exchange only");
    if (spec->success.fields[FIELD_REFRESH_TOKEN] && !is_grant)
        return reader_fail(rd, at, "success.fields.refresh_token is for refresh and exchange only");
    if (!is_grant && !spec->success.require && !spec->success.json)
        return reader_fail(rd, at, "success needs \"require\" or \"json\": status 200 alone proves nothing");
    return ERR_OK;
}

static enum err_code read_request(const struct reader *rd, const struct at *at, enum request_kind kind,
                                  struct login *login)
{
    static const struct member members[] = {
        {"about", JSON_STRING, 0, reader_about},   {"method", JSON_STRING, 1, read_method},
        {"url", JSON_STRING, 1, read_url},         {"query", JSON_OBJECT, 0, read_query},
        {"headers", JSON_OBJECT, 0, read_headers}, {"form", JSON_OBJECT, 0, read_form},
        {"auth", JSON_STRING, 0, read_auth},       {"error", JSON_OBJECT, 0, read_own_errors},
        {"success", JSON_OBJECT, 1, read_success}, {0},
    };
    struct request_spec *spec = &login->requests[kind];
    struct at url;
    spec->present = 1;
    spec->errors = &login->provider->errors;
    enum err_code code = reader_object(rd, at, members, spec);
    if (code == ERR_OK && reader_find(at, "url", &url)) code = check_url(rd, &url, login);
    return code == ERR_OK ? check_kind(rd, at, spec, kind) : code;
}

enum err_code requests_read(const struct reader *rd, const struct at *at, struct login *login)
{
    enum err_code code = reader_type(rd, at, JSON_OBJECT);
    for (size_t i = 0; code == ERR_OK && i < json_count(at->value); i++) {
        struct at child = reader_member(at, i);
        enum request_kind kind;
        code = request_kind_parse(child.key, &kind) ? read_request(rd, &child, kind, login)
                                                    : reader_fail(rd, &child, "unknown kind of request");
    }
    if (code == ERR_OK && !login->requests[REQUEST_VALIDATE].present)
        code = reader_fail(rd, at, "\"validate\" is missing");
    return code;
}
