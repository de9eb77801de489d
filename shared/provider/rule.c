/* Classification rules: reading, checking, and which of them apply. What an answer does with them is classify.c. */
#include "provider/provider_internal.h"
#include <string.h>

enum { ALL_KINDS = (1 << REQUEST_KIND_COUNT) - 1 };

/* Names the engine gives itself (login_classify); a rule of that name would make a finding ambiguous. */
static const char *const built_in[] = {"success",      "network",  "status_429", "status_5xx",
                                       "status_other", "not_json", "no_rule",    "success_incomplete"};

static enum err_code read_name(const struct reader *rd, const struct at *at, void *out)
{
    const char *name = json_string(at->value);
    size_t len = strlen(name);
    if (len == 0 || len >= RULE_NAME_BYTES || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
        return reader_fail(rd, at, "a rule's name is 1 to %d of a-z, 0-9 and _", RULE_NAME_BYTES - 1);
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++) {
        if (strcmp(name, built_in[i]) == 0) return reader_fail(rd, at, "the name is the engine's own");
    }
    ((struct rule *)out)->name = name;
    return ERR_OK;
}

static enum err_code read_kind(const struct reader *rd, const struct at *at, void *out)
{
    struct rule *rule = out;
    enum request_kind kind;
    enum err_code code = reader_type(rd, at, JSON_STRING);
    if (code != ERR_OK) return code;
    if (!request_kind_parse(json_string(at->value), &kind)) return reader_fail(rd, at, "unknown kind of request");
    if (rule->kinds & 1U << kind) return reader_fail(rd, at, "the kind is there twice");
    rule->kinds |= 1U << kind;
    return ERR_OK;
}

static enum err_code read_kinds(const struct reader *rd, const struct at *at, void *out)
{
    return reader_each(rd, at, read_kind, out);
}

/* These four are about what we hold, not about what a provider says. */
static int is_ours(enum reason reason)
{
    return reason == REASON_NONE || reason == REASON_UNDECRYPTABLE || reason == REASON_IDENTITY_MISMATCH ||
           reason == REASON_MISSING_TOKEN;
}

static enum err_code read_reason(const struct reader *rd, const struct at *at, void *out)
{
    struct rule *rule = out;
    if (!reason_parse(json_string(at->value), &rule->reason)) return reader_fail(rd, at, "unknown reason");
    if (is_ours(rule->reason)) return reader_fail(rd, at, "not a reason that an answer can give");
    return ERR_OK;
}

static enum err_code read_scope(const struct reader *rd, const struct at *at, void *out)
{
    return scope_read(rd, at, &((struct rule *)out)->is_app_wide);
}

static enum err_code read_test(const struct reader *rd, const struct at *at, void *out)
{
    *(const struct json **)out = at->value;
    return match_read_test(rd, at, NULL);
}

static enum err_code read_status(const struct reader *rd, const struct at *at, void *out)
{
    return read_test(rd, at, &((struct rule *)out)->status);
}

static enum err_code read_code(const struct reader *rd, const struct at *at, void *out)
{
    return read_test(rd, at, &((struct rule *)out)->code);
}

static enum err_code read_subcode(const struct reader *rd, const struct at *at, void *out)
{
    return read_test(rd, at, &((struct rule *)out)->subcode);
}

static enum err_code read_message(const struct reader *rd, const struct at *at, void *out)
{
    return read_test(rd, at, &((struct rule *)out)->message);
}

static enum err_code read_json(const struct reader *rd, const struct at *at, void *out)
{
    ((struct rule *)out)->json = at->value;
    return match_read_paths(rd, at, NULL);
}

static enum err_code read_when(const struct reader *rd, const struct at *at, void *out)
{
    static const struct member members[] = {
        {"status", JSON_ABSENT, 0, read_status},   {"code", JSON_ABSENT, 0, read_code},
        {"subcode", JSON_ABSENT, 0, read_subcode}, {"message", JSON_ABSENT, 0, read_message},
        {"json", JSON_OBJECT, 0, read_json},       {0},
    };
    ((struct rule *)out)->when = at->value;
    if (json_count(at->value) == 0) return reader_fail(rd, at, "an empty condition would match every answer");
    return reader_object(rd, at, members, out);
}

/* ---- rules that can never fire */

static int same_json(const struct json *a, const struct json *b)
{
    struct buf ta = {0}, tb = {0};
    int same = json_print(a, &ta, NULL) == ERR_OK && json_print(b, &tb, NULL) == ERR_OK &&
               strcmp(buf_text(&ta), buf_text(&tb)) == 0;
    buf_free(&ta);
    buf_free(&tb);
    return same;
}

/* A rule of a login is tried before those of all logins, so only its own kind can hide it. */
static int hides(const struct rule *first, const struct rule *later)
{
    return first->login == later->login && (later->kinds & ~first->kinds) == 0 && same_json(first->when, later->when);
}

static unsigned kinds_of(const struct provider *p, const struct login *login)
{
    unsigned kinds = 0;
    for (size_t i = 0; i < p->login_count; i++) {
        if (login && login != &p->logins[i]) continue;
        for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++)
            kinds |= (unsigned)p->logins[i].requests[kind].present << kind;
    }
    return kinds;
}

/* Does some request that the rule is for say where its subcode, its message is? */
static int shapes_tell(const struct provider *p, const struct rule *rule)
{
    int subcode = 0, message = 0;
    for (size_t i = 0; i < p->login_count; i++) {
        for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++) {
            const struct error_shape *shape = p->logins[i].requests[kind].errors;
            if (!shape || !rule_applies(rule, &p->logins[i], (enum request_kind)kind)) continue;
            subcode |= shape->subcode != NULL;
            message |= shape->message != NULL;
        }
    }
    return (subcode || !rule->subcode) && (message || !rule->message);
}

/* Against the rules before it. */
static enum err_code check_twins(const struct reader *rd, const struct at *at, const struct provider *p)
{
    const struct rule *rule = &p->rules[p->rule_count];
    struct at name = *at, when = *at;
    reader_find(at, "name", &name);
    reader_find(at, "when", &when);
    for (size_t i = 0; i < p->rule_count; i++) {
        if (strcmp(p->rules[i].name, rule->name) == 0)
            return reader_fail(rd, &name, "a rule of the name \"%s\" is there already", rule->name);
        if (hides(&p->rules[i], rule))
            return reader_fail(rd, &when, "can never match: rule \"%s\" has the same condition", p->rules[i].name);
    }
    return ERR_OK;
}

static enum err_code check_rule(const struct reader *rd, const struct at *at, const struct provider *p)
{
    const struct rule *rule = &p->rules[p->rule_count];
    if (!(rule->kinds & kinds_of(p, rule->login)))
        return reader_fail(rd, at, "can never match: no login has a request of these kinds");
    if (!shapes_tell(p, rule))
        return reader_fail(rd, at, "can never match: \"error\" does not say where the subcode or message is");
    if (rule->reason == REASON_OK && rule->kinds & (1U << REQUEST_REFRESH | 1U << REQUEST_EXCHANGE))
        return reader_fail(rd, at, "a refused refresh or exchange cannot be ok: say for which kinds the rule is");
    if (reason_class(rule->reason) == CLASS_DEFINITIVE && rule->status && json_count(rule->when) == 1)
        return reader_fail(rd, at, "a status alone proves nothing about a token: test the code or the body, too");
    if (rule->is_app_wide && rule->reason != REASON_RATE_LIMITED)
        return reader_fail(rd, at, "only rate_limited can be of the whole app");
    return check_twins(rd, at, p);
}

enum err_code rules_read(const struct reader *rd, const struct at *at, struct provider *p, const struct login *login)
{
    static const struct member members[] = {
        {"about", JSON_STRING, 0, reader_about},
        {"name", JSON_STRING, 1, read_name},
        {"kinds", JSON_ARRAY, 0, read_kinds},
        {"when", JSON_OBJECT, 1, read_when},
        {"reason", JSON_STRING, 1, read_reason},
        {"scope", JSON_STRING, 0, read_scope},
        {0},
    };
    enum err_code code = reader_type(rd, at, JSON_ARRAY);
    for (size_t i = 0; code == ERR_OK && i < json_count(at->value); i++) {
        struct at child = reader_element(at, i);
        if (p->rule_count == LIMIT_PROVIDER_RULES) return reader_fail(rd, &child, "too many rules in one file");
        struct rule *rule = &p->rules[p->rule_count];
        *rule = (struct rule){.login = login};
        code = reader_object(rd, &child, members, rule);
        if (!rule->kinds) rule->kinds = ALL_KINDS;
        if (code == ERR_OK) code = check_rule(rd, &child, p);
        if (code == ERR_OK) p->rule_count++;
    }
    return code;
}

int rule_applies(const struct rule *rule, const struct login *login, enum request_kind kind)
{
    return (!rule->login || rule->login == login) && (rule->kinds & 1U << kind);
}
