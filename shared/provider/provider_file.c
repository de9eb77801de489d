/* One provider file: from JSON to struct provider, every mistake with its line. The parts are request_spec.c, rule.c
 * and usage.c. */
#include "provider/provider_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

static enum err_code check_name(const struct reader *rd, const struct at *at)
{
    const char *name = json_string(at->value);
    size_t len = strlen(name);
    if (len == 0 || len >= LIMIT_PLATFORM_BYTES || name[strspn(name, name_bytes)])
        return reader_fail(rd, at, "a name is 1 to %d of a-z, 0-9, _ and -", LIMIT_PLATFORM_BYTES - 1);
    return ERR_OK;
}

/* ---- refresh */

static enum err_code read_model(const struct reader *rd, const struct at *at, void *out)
{
    static const char *const words[] = {
        [REFRESH_NONE] = "none", [REFRESH_EXTEND] = "extend", [REFRESH_TOKEN] = "refresh_token"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(json_string(at->value), words[i]) == 0) {
            ((struct refresh_policy *)out)->model = (enum refresh_model)i;
            return ERR_OK;
        }
    }
    return reader_fail(rd, at, "unknown model; there are none, extend, refresh_token");
}

static enum err_code read_rotates(const struct reader *rd, const struct at *at, void *out)
{
    (void)rd;
    json_bool(at->value, &((struct refresh_policy *)out)->rotates);
    return ERR_OK;
}

/* "90s", "30m", "24h", "14d" → seconds; up to ten years. */
static enum err_code read_duration(const struct reader *rd, const struct at *at, int64_t *seconds)
{
    static const char units[] = "smhd";
    static const int64_t unit_s[] = {1, 60, 3600, 86400};
    const char *text = json_string(at->value);
    size_t digits = strspn(text, "0123456789");
    const char *unit = digits && text[digits] && !text[digits + 1] ? strchr(units, text[digits]) : NULL;
    if (digits > 9 || !unit) return reader_fail(rd, at, "a duration is a number and s, m, h or d: \"14d\"");
    *seconds = strtol(text, NULL, 10) * unit_s[unit - units];
    if (*seconds > (int64_t)3650 * 86400) return reader_fail(rd, at, "longer than ten years");
    return ERR_OK;
}

static enum err_code read_min_age(const struct reader *rd, const struct at *at, void *out)
{
    return read_duration(rd, at, &((struct refresh_policy *)out)->min_age_s);
}

static enum err_code read_window_start(const struct reader *rd, const struct at *at, void *out)
{
    return read_duration(rd, at, &((struct refresh_policy *)out)->window_start_s);
}

static enum err_code read_window_end(const struct reader *rd, const struct at *at, void *out)
{
    return read_duration(rd, at, &((struct refresh_policy *)out)->window_end_s);
}

static enum err_code check_refresh(const struct reader *rd, const struct at *at, const struct login *login)
{
    const struct refresh_policy *policy = &login->refresh;
    const struct request_spec *spec = &login->requests[REQUEST_REFRESH];
    if (policy->model == REFRESH_NONE) {
        if (json_count(at->value) > 1) return reader_fail(rd, at, "model \"none\" has no other members");
        return spec->present ? reader_fail(rd, at, "there is a refresh request, so the model is not \"none\"") : ERR_OK;
    }
    if (!spec->present) return reader_fail(rd, at, "the model needs a refresh request");
    if (request_spec_uses(spec, "{refresh_token}") != (policy->model == REFRESH_TOKEN))
        return reader_fail(rd, at, "model refresh_token, and no other, sends {refresh_token}");
    if (policy->rotates && !spec->success.fields[FIELD_REFRESH_TOKEN])
        return reader_fail(rd, at, "it rotates, but the refresh request's success.fields has no refresh_token");
    if (policy->window_start_s <= policy->window_end_s)
        return reader_fail(rd, at, "window_start must be longer before the expiry than window_end");
    return ERR_OK;
}

static enum err_code read_refresh(const struct reader *rd, const struct at *at, void *out)
{
    static const struct member members[] = {
        {"model", JSON_STRING, 1, read_model},           {"rotates", JSON_BOOL, 0, read_rotates},
        {"min_age", JSON_STRING, 0, read_min_age},       {"window_start", JSON_STRING, 0, read_window_start},
        {"window_end", JSON_STRING, 0, read_window_end}, {0},
    };
    struct login *login = out;
    enum err_code code = reader_object(rd, at, members, &login->refresh);
    return code == ERR_OK ? check_refresh(rd, at, login) : code;
}

/* ---- logins */

static enum err_code read_login_name(const struct reader *rd, const struct at *at, void *out)
{
    struct login *login = out;
    const struct provider *p = login->provider;
    login->name = json_string(at->value);
    for (const struct login *l = p->logins; l < login; l++) {
        if (strcmp(l->name, login->name) == 0) return reader_fail(rd, at, "a login of this name is there already");
    }
    return check_name(rd, at);
}

/* Empty prefix or one that two logins claim: the token could not tell. Of "EAA" and "EAAG" the longer wins. */
static enum err_code read_prefix(const struct reader *rd, const struct at *at, void *out)
{
    const struct login *login = out;
    enum err_code code = reader_type(rd, at, JSON_STRING);
    if (code != ERR_OK) return code;
    const char *prefix = json_string(at->value);
    if (strlen(prefix) < 2) return reader_fail(rd, at, "a prefix has at least two characters");
    for (const struct login *l = login->provider->logins; l <= login; l++) {
        size_t count = l == login ? at->index : json_count(l->prefixes);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(json_string(json_at(l->prefixes, i)), prefix) == 0)
                return reader_fail(rd, at, "the prefix is there twice");
        }
    }
    return ERR_OK;
}

static enum err_code read_prefixes(const struct reader *rd, const struct at *at, void *out)
{
    ((struct login *)out)->prefixes = at->value;
    return reader_each(rd, at, read_prefix, out);
}

static enum err_code check_host(const struct reader *rd, const struct at *at, void *out)
{
    (void)out;
    enum err_code code = reader_type(rd, at, JSON_STRING);
    if (code != ERR_OK) return code;
    const char *host = json_string(at->value);
    size_t len = strlen(host);
    if (len < 3 || len > 253 || host[strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-")] || !strchr(host, '.') ||
        host[0] == '.' || host[len - 1] == '.')
        return reader_fail(rd, at, "not a host's name: small letters, no scheme, no port");
    return ERR_OK;
}

static enum err_code read_host(const struct reader *rd, const struct at *at, void *out)
{
    ((struct login *)out)->host = json_string(at->value);
    return check_host(rd, at, NULL);
}

static enum err_code read_other_hosts(const struct reader *rd, const struct at *at, void *out)
{
    ((struct login *)out)->other_hosts = at->value;
    return reader_each(rd, at, check_host, NULL);
}

static enum err_code read_app(const struct reader *rd, const struct at *at, void *out)
{
    ((struct login *)out)->app = json_string(at->value);
    return check_name(rd, at);
}

static enum err_code read_requests(const struct reader *rd, const struct at *at, void *out)
{
    return requests_read(rd, at, out);
}

static enum err_code read_login_rules(const struct reader *rd, const struct at *at, void *out)
{
    struct login *login = out;
    return rules_read(rd, at, login->provider, login);
}

static enum err_code read_login(const struct reader *rd, const struct at *at, void *out)
{
    static const struct member members[] = {
        {"about", JSON_STRING, 0, reader_about},          {"name", JSON_STRING, 1, read_login_name},
        {"prefixes", JSON_ARRAY, 0, read_prefixes},       {"host", JSON_STRING, 1, read_host},
        {"other_hosts", JSON_ARRAY, 0, read_other_hosts}, {"app", JSON_STRING, 0, read_app},
        {"requests", JSON_OBJECT, 1, read_requests},      {"refresh", JSON_OBJECT, 1, read_refresh},
        {"rules", JSON_ARRAY, 0, read_login_rules},       {0},
    };
    struct provider *p = out;
    struct login *login = &p->logins[p->login_count++];
    login->provider = p;
    login->app = p->platform;
    return reader_object(rd, at, members, login);
}

static enum err_code read_logins(const struct reader *rd, const struct at *at, void *out)
{
    struct provider *p = out;
    /* As many rules as a file may have: pointers to logins and rules never move. */
    p->logins = calloc(json_count(at->value) + 1, sizeof *p->logins);
    p->rules = calloc(LIMIT_PROVIDER_RULES, sizeof *p->rules);
    if (!p->logins || !p->rules) return err_set(rd->err, ERR_NOMEM, NULL, "out of memory");
    return reader_each(rd, at, read_login, p);
}

/* ---- the file */

static enum err_code read_platform(const struct reader *rd, const struct at *at, void *out)
{
    ((struct provider *)out)->platform = json_string(at->value);
    return check_name(rd, at);
}

static enum err_code read_errors(const struct reader *rd, const struct at *at, void *out)
{
    return error_shape_read(rd, at, &((struct provider *)out)->errors);
}

static enum err_code read_default_login(const struct reader *rd, const struct at *at, void *out)
{
    struct provider *p = out;
    p->default_login = provider_login_find(p, json_string(at->value));
    return p->default_login ? ERR_OK : reader_fail(rd, at, "there is no login of this name");
}

static enum err_code read_usage_headers(const struct reader *rd, const struct at *at, void *out)
{
    return usage_headers_read(rd, at, out);
}

static enum err_code read_rules(const struct reader *rd, const struct at *at, void *out)
{
    return rules_read(rd, at, out, NULL);
}

static enum err_code read_file(const struct reader *rd, struct provider *p)
{
    static const struct member members[] = {
        {"about", JSON_STRING, 0, reader_about},
        {"platform", JSON_STRING, 1, read_platform},
        {"error", JSON_OBJECT, 1, read_errors},
        {"logins", JSON_ARRAY, 1, read_logins},
        {"default_login", JSON_STRING, 0, read_default_login},
        {"usage_headers", JSON_ARRAY, 0, read_usage_headers},
        {"rules", JSON_ARRAY, 1, read_rules},
        {0},
    };
    struct at root = {.value = p->root};
    enum err_code code = reader_object(rd, &root, members, p);
    if (code == ERR_OK && !p->default_login && p->login_count > 1)
        code = reader_fail(rd, &root, "\"default_login\" is missing: there is more than one login");
    if (code == ERR_OK && !p->default_login) p->default_login = &p->logins[0];
    return code;
}

static enum err_code slurp(const char *path, struct buf *text, struct err *err)
{
    char chunk[8192];
    size_t got;
    FILE *in = fopen(path, "re");
    if (!in) return err_set(err, ERR_CONFIG, path, "cannot be opened: %s", strerror(errno));
    while ((got = fread(chunk, 1, sizeof chunk, in)) > 0 && text->len <= LIMIT_PROVIDER_FILE_BYTES)
        buf_put(text, chunk, got);
    int failed = ferror(in);
    fclose(in);
    if (failed) return err_set(err, ERR_CONFIG, path, "cannot be read: %s", strerror(errno));
    if (text->failed) return err_set(err, ERR_NOMEM, path, "out of memory");
    if (text->len > LIMIT_PROVIDER_FILE_BYTES)
        return err_set(err, ERR_CONFIG, path, "larger than %d bytes", LIMIT_PROVIDER_FILE_BYTES);
    return ERR_OK;
}

/* json_parse says "line L, column C", but not of a number that is too large. */
static enum err_code syntax_error(const struct reader *rd, const struct err *cause)
{
    size_t line = 1;
    if (cause->code == ERR_NOMEM) return err_set(rd->err, ERR_NOMEM, rd->file, "%s", cause->text);
    if (sscanf(cause->place, "line %zu,", &line) != 1) line = 1;
    return reader_fail_line(rd, line, "not JSON: %s", cause->text);
}

enum err_code provider_file_load(const char *path, struct provider **out, struct err *err)
{
    struct buf text = {0};
    struct err cause = {0};
    struct provider *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return err_set(err, ERR_NOMEM, path, "out of memory");
    enum err_code code = slurp(path, &text, err);
    if (code != ERR_OK) goto out;
    const struct reader rd = {.file = path, .text = buf_text(&text), .len = text.len, .err = err};
    if (json_parse(rd.text, rd.len, &p->root, &cause) == ERR_OK)
        code = read_file(&rd, p);
    else
        code = syntax_error(&rd, &cause);
out:
    buf_free(&text);
    if (code != ERR_OK) {
        provider_free(p);
        p = NULL;
    }
    *out = p;
    return code;
}

void provider_free(struct provider *p)
{
    if (!p) return;
    json_free(p->root);
    free(p->logins);
    free(p->usage);
    free(p->rules);
    free(p);
}
