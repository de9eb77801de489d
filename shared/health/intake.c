#include "health/intake.h"
#include "health/validate.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

static void print_of(const void *data, size_t len, char out[PRINT_BYTES])
{
    unsigned char sum[SHA256_BYTES];
    struct buf text = {0};

    crypto_sha256(data, len, sum);
    b64_encode(sum, sizeof sum, &text);
    snprintf(out, PRINT_BYTES, "%s", buf_text(&text));
    buf_free(&text);
}

void envelope_fingerprint(const struct envelope *env, char out[PRINT_BYTES])
{
    struct buf parts = {0};

    buf_printf(&parts, "%lld.", (long long)env->kdf);
    buf_put(&parts, env->iv, sizeof env->iv);
    buf_put(&parts, env->salt, sizeof env->salt);
    buf_put(&parts, env->tag, sizeof env->tag);
    buf_put(&parts, env->data, env->data_len);
    print_of(parts.data, parts.len, out);
    buf_free(&parts);
}

/* A stored value that is no well-formed envelope still has a fingerprint: the application may replace it. */
static void value_fingerprint(const struct json *value, char out[PRINT_BYTES])
{
    struct buf text = {0};

    if (json_print(value, &text, NULL) == ERR_OK) print_of(buf_text(&text), text.len, out);
    buf_free(&text);
}

static int is_envelope_value(const struct json *value)
{
    const char *text = json_string(value);

    if (json_type(value) == JSON_OBJECT) return 1;
    return text && envelope_looks_like(text, json_string_len(value));
}

static void describe_format(const struct account *account, struct intake *in)
{
    const char *plain = json_string(account->plain_access);
    int misplaced = account->plain_access && is_envelope_value(account->plain_access);
    int plain_refresh = json_type(account->plain_refresh) == JSON_STRING && !is_envelope_value(account->plain_refresh);
    int refresh_misplaced = account->plain_refresh && is_envelope_value(account->plain_refresh);

    in->has_token = account->encrypted_access != NULL || misplaced || plain != NULL;
    if (misplaced || refresh_misplaced) in->faults |= FAULT_ENVELOPE_IN_PLAIN_FIELD;
    if ((plain && !misplaced) || plain_refresh) in->faults |= FAULT_PLAIN_AT_REST;
    if (account->encrypted_access)
        in->token_format = json_type(account->encrypted_access) == JSON_OBJECT ? "encrypted" : "encrypted_json";
    else if (misplaced)
        in->token_format = "encrypted_in_access_field";
    else
        in->token_format = plain ? "plain" : "none";
    if (account->encrypted_access && !account->has_companion_fields) in->faults |= FAULT_NO_COMPANIONS;
}

static int open_fast(const struct account *account, const struct keyring *ring, struct candidate *c)
{
    struct fast_binding binding = {account->id.text, account->platform, "access"};
    const struct json *fast = json_get(account->health, "fast.access");

    return fast && keyring_fast_open(ring, fast, &binding, c->mirror, &c->token, NULL) == ERR_OK;
}

/* Adds the envelope in ${value} to the candidates if it opens. */
static void take_envelope(const struct account *account, const struct keyring *ring, const struct json *value,
                          enum token_place place, struct intake *in)
{
    struct candidate *c = &in->candidates[in->count];
    struct err err = {0};
    const char *kid = NULL;

    c->place = place;
    if (envelope_parse(value, &c->env, &err) != ERR_OK) {
        value_fingerprint(value, c->print);
        goto closed;
    }
    envelope_fingerprint(&c->env, c->print);
    keyring_mirror(ring, &c->env, c->mirror);
    c->was_fast = open_fast(account, ring, c);
    if (!c->was_fast && keyring_open(ring, &c->env, &c->token, &kid, &err) != ERR_OK) goto closed;
    if (!in->print[0]) memcpy(in->print, c->print, sizeof in->print);
    in->count++;
    return;
closed:
    in->undecryptable = 1;
    snprintf(in->why, sizeof in->why, "%s", err.text);
    if (!in->print[0]) memcpy(in->print, c->print, sizeof in->print);
    envelope_fini(&c->env);
    memset(c, 0, sizeof *c);
}

static void take_plain(const struct account *account, const struct keyring *ring, struct intake *in)
{
    struct candidate *c = &in->candidates[in->count];
    size_t len = json_string_len(account->plain_access);
    unsigned char sum[32];
    struct buf text = {0};

    if (len == 0) return;
    if (len > LIMIT_TOKEN_BYTES || secret_put(&c->token, json_string(account->plain_access), len, NULL) != ERR_OK) {
        in->undecryptable = 1;
        snprintf(in->why, sizeof in->why, "accessToken is longer than %d bytes", LIMIT_TOKEN_BYTES);
        return;
    }
    c->place = PLACE_PLAIN;
    keyring_print(ring, &c->token, sum);
    b64_encode(sum, sizeof sum, &text);
    snprintf(c->print, sizeof c->print, "%s", buf_text(&text));
    buf_free(&text);
    if (!in->print[0]) memcpy(in->print, c->print, sizeof in->print);
    in->count++;
}

void intake_read(const struct account *account, const struct keyring *ring, struct intake *in)
{
    memset(in, 0, sizeof *in);
    describe_format(account, in);
    if (account->encrypted_access) take_envelope(account, ring, account->encrypted_access, PLACE_ENVELOPE, in);
    if (!account->plain_access) return;
    if (is_envelope_value(account->plain_access))
        take_envelope(account, ring, account->plain_access, PLACE_MISPLACED, in);
    else if (json_type(account->plain_access) == JSON_STRING)
        take_plain(account, ring, in);
}

void intake_describe(const struct account *account, struct intake *in)
{
    struct envelope env = {0};

    memset(in, 0, sizeof *in);
    describe_format(account, in);
    if (account->encrypted_access) {
        if (envelope_parse(account->encrypted_access, &env, NULL) == ERR_OK)
            envelope_fingerprint(&env, in->print);
        else
            value_fingerprint(account->encrypted_access, in->print);
    }
    envelope_fini(&env);
}

void intake_fini(struct intake *in)
{
    for (int i = 0; i < CANDIDATES_MAX; i++) {
        secret_free(&in->candidates[i].token);
        envelope_fini(&in->candidates[i].env);
    }
    memset(in, 0, sizeof *in);
}
