#include "registration.h"
#include "answer.h"
#include "base/clock.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct subject {
    struct world *world;
    struct token *token;
    int64_t now_s;
};
typedef int set_fn(struct subject *s, const struct json *value); /* 0: not a good value */

static int read_condition(const struct json *value, uint8_t *out)
{
    enum condition c;

    if (!condition_parse(json_string(value), &c)) return 0;
    *out = (uint8_t)c;
    return 1;
}

static int set_condition(struct subject *s, const struct json *value)
{
    uint8_t c;

    if (!read_condition(value, &c)) return 0;
    tokens_set_condition(s->token, (enum condition)c, s->now_s);
    return 1;
}

static int set_refresh_condition(struct subject *s, const struct json *value)
{
    s->token->refresh_condition = CONDITION_COUNT;
    return json_type(value) == JSON_NULL || read_condition(value, &s->token->refresh_condition);
}

static int set_account_id(struct subject *s, const struct json *value)
{
    return json_string(value) && tokens_set_identity(s->world->tokens, s->token, json_string(value), NULL);
}

static int set_username(struct subject *s, const struct json *value)
{
    return json_string(value) && tokens_set_identity(s->world->tokens, s->token, NULL, json_string(value));
}

static int set_expires_in(struct subject *s, const struct json *value)
{
    int64_t seconds;

    if (json_type(value) == JSON_NULL)
        s->token->expires_at_s = 0;
    else if (json_int(value, &seconds))
        s->token->expires_at_s = s->now_s + seconds;
    else
        return 0;
    return 1;
}

static int set_age(struct subject *s, const struct json *value)
{
    int64_t seconds;

    if (!json_int(value, &seconds)) return 0;
    s->token->issued_at_s = s->now_s - seconds;
    return 1;
}

static int set_expires_at(struct subject *s, const struct json *value)
{
    return json_int(value, &s->token->expires_at_s);
}

static int set_issued_at(struct subject *s, const struct json *value)
{
    return json_int(value, &s->token->issued_at_s);
}

static int set_issued(struct subject *s, const struct json *value)
{
    int64_t n;

    if (!json_int(value, &n) || n < 0 || n > UINT32_MAX) return 0;
    s->token->issued = (uint32_t)n;
    return 1;
}

static int set_newest(struct subject *s, const struct json *value)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    const char *hex = json_string(value);
    struct token *next;

    if (!hex || !tokens_unhex(hex, digest)) return 0;
    next = tokens_add(s->world->tokens, digest);
    if (!next) return 0;
    s->token->newest = next;
    next->root = s->token->root; /* it stands further down in a state file, and so does what was issued for it */
    return 1;
}

static int set_host(struct subject *s, const struct json *value)
{
    const char *word = json_string(value);
    int host = 0;

    while (word && host < HOST_COUNT && strcmp(host_words[host], word) != 0)
        host++;
    if (!word || host == HOST_COUNT) return 0;
    s->token->host = (uint8_t)host;
    return 1;
}

static int pair(struct subject *s, struct token *refresh)
{
    if (!refresh || refresh == s->token || s->token->is_refresh || (refresh->partner && !refresh->is_refresh)) return 0;
    tokens_pair(s->token, refresh);
    refresh->is_known = 1;
    refresh->host = s->token->host;
    refresh->identity = s->token->identity;
    return 1;
}

static int set_refresh_token(struct subject *s, const struct json *value)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    const char *text = json_string(value);

    if (!text || !*text) return 0;
    tokens_digest(text, digest);
    return pair(s, tokens_add(s->world->tokens, digest));
}

static int set_refresh_token_sha256(struct subject *s, const struct json *value)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    const char *hex = json_string(value);

    return hex && tokens_unhex(hex, digest) && pair(s, tokens_add(s->world->tokens, digest));
}

static int set_delay_ms(struct subject *s, const struct json *value)
{
    int64_t ms;

    if (!json_int(value, &ms) || ms < 0 || ms > INT32_MAX) return 0;
    s->token->delay_ms = (uint32_t)ms;
    return 1;
}

static int set_rotates(struct subject *s, const struct json *value)
{
    int on;

    if (!json_bool(value, &on)) return 0;
    s->token->rotates = (uint8_t)on;
    return 1;
}

/* In the order in which they are applied: a condition brings a lifetime along, which the fields behind it overrule. */
static const struct field {
    const char *name;
    set_fn *set;
} fields[] = {
    {"condition", set_condition},
    {"refresh_condition", set_refresh_condition},
    {"account_id", set_account_id},
    {"username", set_username},
    {"expires_in", set_expires_in},
    {"age", set_age},
    {"expires_at", set_expires_at},
    {"issued_at", set_issued_at},
    {"issued", set_issued},
    {"newest", set_newest},
    {"delay_ms", set_delay_ms},
    {"rotates", set_rotates},
    {"host", set_host},
    {"refresh_token", set_refresh_token},
    {"refresh_token_sha256", set_refresh_token_sha256},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static int is_field(const char *name)
{
    for (int i = 0; i < FIELDS; i++)
        if (strcmp(fields[i].name, name) == 0) return 1;
    return strcmp(name, "token") == 0 || strcmp(name, "token_sha256") == 0;
}

static int read_digest(const struct json *j, uint8_t digest[TOKEN_DIGEST_BYTES])
{
    const char *text = json_string(json_member(j, "token")), *hex = json_string(json_member(j, "token_sha256"));

    if (text && *text)
        tokens_digest(text, digest);
    else if (!hex || !tokens_unhex(hex, digest))
        return 0;
    return 1;
}

enum err_code registration_apply(struct world *w, const struct json *j, struct err *err)
{
    struct subject s = {.world = w, .now_s = clock_now_ms() / 1000};
    uint8_t digest[TOKEN_DIGEST_BYTES];
    const char *text;

    if (json_type(j) != JSON_OBJECT || !read_digest(j, digest))
        return err_set(err, ERR_BAD_INPUT, NULL, "an object with \"token\" or \"token_sha256\" is needed");
    for (size_t i = 0; i < json_count(j); i++) {
        const char *name;

        json_member_at(j, i, &name);
        if (!is_field(name)) return err_set(err, ERR_BAD_INPUT, name, "there is no such field");
    }
    s.token = tokens_add(w->tokens, digest);
    if (!s.token || (!s.token->is_known && !tokens_set_identity(w->tokens, s.token, NULL, NULL)))
        return err_set(err, ERR_NOMEM, NULL, "no memory for one more token");
    s.token->is_known = 1;
    text = json_string(json_member(j, "token"));
    if (text && s.token->host == HOST_COUNT) s.token->host = (uint8_t)host_of_token(text);
    for (int i = 0; i < FIELDS; i++) {
        const struct json *value = json_member(j, fields[i].name);

        if (value && !fields[i].set(&s, value)) return err_set(err, ERR_BAD_INPUT, fields[i].name, "not a good value");
    }
    return ERR_OK;
}

void registration_print(const struct world *w, const struct token *t, struct buf *out)
{
    char hex[TOKEN_HEX_BYTES];

    tokens_hex(t->digest, hex);
    buf_printf(out, "\"token_sha256\":\"%s\",\"condition\":\"%s\"", hex, condition_rows[t->condition].word);
    if (t->refresh_condition != CONDITION_COUNT)
        buf_printf(out, ",\"refresh_condition\":\"%s\"", condition_rows[t->refresh_condition].word);
    if (t->host != HOST_COUNT) buf_printf(out, ",\"host\":\"%s\"", host_words[t->host]);
    buf_puts(out, ",\"account_id\":");
    answer_quote(out, tokens_account_id(w->tokens, t));
    buf_puts(out, ",\"username\":");
    answer_quote(out, tokens_username(w->tokens, t));
    buf_printf(out,
               ",\"expires_at\":%" PRId64 ",\"issued_at\":%" PRId64 ",\"issued\":%" PRIu32 ",\"delay_ms\":%" PRIu32
               ",\"rotates\":%s",
               t->expires_at_s, t->issued_at_s, t->issued, t->delay_ms, t->rotates ? "true" : "false");
    if (!t->partner || t->is_refresh) return;
    tokens_hex(t->partner->digest, hex);
    buf_printf(out, ",\"refresh_token_sha256\":\"%s\"", hex);
}

static int save_line(const struct world *w, const struct token *t, FILE *f)
{
    struct buf line = {0};
    char hex[TOKEN_HEX_BYTES];
    int is_good;

    registration_print(w, t, &line);
    tokens_hex(t->newest->digest, hex);
    is_good = fprintf(f, "{%s,\"newest\":\"%s\"}\n", buf_text(&line), hex) > 0 && !line.failed;
    buf_free(&line);
    return is_good;
}

static enum err_code load_line(struct world *w, const char *line, size_t len, struct err *err)
{
    struct json *j = NULL;
    enum err_code rc = json_parse(line, len, &j, err);

    if (rc == ERR_OK) rc = registration_apply(w, j, err);
    json_free(j);
    return rc;
}

static enum err_code load_lines(struct world *w, const char *path, FILE *f, struct err *err)
{
    struct err why = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    for (int n = 1; why.code == ERR_OK && (len = getline(&line, &cap, f)) > 0; n++)
        if (load_line(w, line, (size_t)len, &why) != ERR_OK)
            err_set(err, why.code, path, "line %d: %s: %s", n, why.place, why.text);
    free(line);
    return why.code;
}

enum err_code registration_load(struct world *w, const char *path, struct err *err)
{
    FILE *f = fopen(path, "re");
    enum err_code rc;

    if (!f && errno == ENOENT) return ERR_OK;
    if (!f) return err_set(err, ERR_IO, path, "%s", strerror(errno));
    rc = load_lines(w, path, f, err);
    if (rc == ERR_OK && ferror(f)) rc = err_set(err, ERR_IO, path, "%s", strerror(errno));
    fclose(f);
    return rc;
}

enum err_code registration_save(const struct world *w, const char *path, struct err *err)
{
    struct buf draft = {0};
    FILE *f = NULL;
    int is_good;

    buf_printf(&draft, "%s.new", path);
    f = fopen(buf_text(&draft), "we");
    is_good = f != NULL;
    for (size_t i = 0; is_good && i < tokens_count(w->tokens); i++)
        if (tokens_at(w->tokens, i)->is_known) is_good = save_line(w, tokens_at(w->tokens, i), f);
    if (f && fclose(f) != 0) is_good = 0;
    is_good = is_good && rename(buf_text(&draft), path) == 0;
    buf_free(&draft);
    return is_good ? ERR_OK : err_set(err, ERR_IO, path, "%s", strerror(errno));
}
