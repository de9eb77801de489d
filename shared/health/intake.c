#include "health/intake.h"
#include "health/validate.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

/* ---- fingerprints ---- */

static void print_bytes(const unsigned char sum[SHA256_BYTES], char out[PRINT_BYTES])
{
    struct buf text = {0};

    b64_encode(sum, SHA256_BYTES, &text);
    snprintf(out, PRINT_BYTES, "%s", buf_text(&text));
    buf_free(&text);
}

static void print_of(const void *data, size_t len, char out[PRINT_BYTES])
{
    unsigned char sum[SHA256_BYTES];

    crypto_sha256(data, len, sum);
    print_bytes(sum, out);
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

/* A stored value that is no well-formed envelope has a fingerprint, too: the application may replace it. */
static void value_fingerprint(const struct json *value, char out[PRINT_BYTES])
{
    struct buf text = {0};

    if (json_print(value, &text, NULL) == ERR_OK) print_of(buf_text(&text), text.len, out);
    buf_free(&text);
}

void intake_print(const char *encrypted, const char *plain, char out[PRINT_BYTES])
{
    char both[2 * PRINT_BYTES];

    if (encrypted[0] && plain[0]) {
        int len = snprintf(both, sizeof both, "%s+%s", encrypted, plain);

        print_of(both, (size_t)len, out);
    } else {
        memmove(out, encrypted[0] ? encrypted : plain, PRINT_BYTES);
    }
}

/* ---- forms ---- */

int token_is_sendable(const unsigned char *text, size_t len)
{
    if (len == 0 || len > LIMIT_TOKEN_BYTES || strchr("{[\"", text[0])) return 0;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= 0x20 || text[i] > 0x7e) return 0;
    return 1;
}

int value_is_envelope(const struct json *value)
{
    const char *text = json_string(value);

    if (json_type(value) == JSON_OBJECT) return 1;
    return text && envelope_looks_like(text, json_string_len(value));
}

int value_is_blank(const struct json *value)
{
    const char *text = json_string(value);

    if (!text) return json_type(value) != JSON_OBJECT;
    return strspn(text, " \t\r\n") == json_string_len(value);
}

static void describe_envelope(const struct json *value, struct form *form, struct intake *in)
{
    struct err err = {0};

    if (envelope_parse(value, &form->env, &err) == ERR_OK) {
        form->kind = FORM_ENVELOPE;
        envelope_fingerprint(&form->env, form->print);
        return;
    }
    form->kind = FORM_DAMAGED;
    value_fingerprint(value, form->print);
    snprintf(in->why, sizeof in->why, "%s", err.text);
}

/* A token that was pasted with a line feed is a token. Nothing but blanks: 0 bytes. */
static size_t trim(const char **text, size_t len)
{
    static const char blanks[] = " \t\r\n\v\f";

    for (; len > 0 && **text && strchr(blanks, **text); len--)
        ++*text;
    while (len > 0 && (*text)[len - 1] && strchr(blanks, (*text)[len - 1]))
        len--;
    return len;
}

static void describe_plain(const struct json *value, const struct keyring *ring, struct form *form, struct intake *in)
{
    const char *text = json_string(value);
    size_t len = trim(&text, json_string_len(value));
    unsigned char sum[SHA256_BYTES];

    form->kind = FORM_JUNK;
    if (!token_is_sendable((const unsigned char *)text, len) || secret_put(&form->token, text, len, NULL) != ERR_OK) {
        value_fingerprint(value, form->print);
        snprintf(in->why, sizeof in->why, "%sToken holds %zu bytes that are no token", in->what, len);
        return;
    }
    form->kind = FORM_PLAIN;
    if (!ring) return;
    keyring_print(ring, &form->token, sum);
    print_bytes(sum, form->print);
}

static void describe_forms(const struct json *encrypted, const struct json *plain, const struct keyring *ring,
                           struct intake *in)
{
    if (encrypted && !value_is_blank(encrypted)) describe_envelope(encrypted, &in->forms[FIELD_ENCRYPTED], in);
    if (!plain || value_is_blank(plain)) return;
    if (value_is_envelope(plain))
        describe_envelope(plain, &in->forms[FIELD_PLAIN], in);
    else
        describe_plain(plain, ring, &in->forms[FIELD_PLAIN], in);
}

static void describe(const struct json *encrypted, const struct json *plain, const struct keyring *ring,
                     struct intake *in)
{
    describe_forms(encrypted, plain, ring, in);
    in->has_token = in->forms[FIELD_ENCRYPTED].kind != FORM_ABSENT || in->forms[FIELD_PLAIN].kind != FORM_ABSENT;
    intake_print(in->forms[FIELD_ENCRYPTED].print, in->forms[FIELD_PLAIN].print, in->print);
}

static void describe_faults(const struct account *account, struct intake *in)
{
    const struct json *refresh = account->plain_refresh;
    int has_envelope = in->forms[FIELD_ENCRYPTED].kind != FORM_ABSENT;

    switch (in->forms[FIELD_PLAIN].kind) {
    case FORM_ENVELOPE:
    case FORM_DAMAGED:
        in->faults |= FAULT_ENVELOPE_IN_PLAIN_FIELD;
        break;
    case FORM_PLAIN:
    case FORM_JUNK:
        in->faults |= FAULT_PLAIN_AT_REST;
        break;
    case FORM_ABSENT:
        break;
    }
    if (refresh && !value_is_blank(refresh))
        in->faults |= value_is_envelope(refresh) ? FAULT_ENVELOPE_IN_PLAIN_FIELD : FAULT_PLAIN_AT_REST;
    if (has_envelope && !account->has_companion_fields) in->faults |= FAULT_NO_COMPANIONS;
}

static const char *format_word(const struct account *account, const struct intake *in)
{
    enum form_kind plain = in->forms[FIELD_PLAIN].kind;

    if (in->forms[FIELD_ENCRYPTED].kind != FORM_ABSENT)
        return json_type(account->encrypted_access) == JSON_OBJECT ? "encrypted" : "encrypted_json";
    if (plain == FORM_ABSENT) return "none";
    return plain == FORM_PLAIN || plain == FORM_JUNK ? "plain" : "encrypted_in_access_field";
}

void intake_describe(const struct account *account, const struct keyring *ring, struct intake *in)
{
    *in = (struct intake){.what = "access"};
    describe(account->encrypted_access, account->plain_access, ring, in);
    describe_faults(account, in);
    in->token_format = format_word(account, in);
}

void intake_describe_refresh(const struct account *account, const struct keyring *ring, struct intake *in)
{
    *in = (struct intake){.what = "refresh"};
    describe(account->encrypted_refresh, account->plain_refresh, ring, in);
}

/* ---- opening ---- */

static int take_opened(struct form *form)
{
    const char *text = (const char *)secret_bytes(&form->token);
    size_t len = trim(&text, form->token.len);

    return token_is_sendable((const unsigned char *)text, len) &&
           (len == form->token.len || secret_put(&form->token, text, len, NULL) == ERR_OK);
}

static int open_fast(const struct account *account, const struct keyring *ring, const char *what, struct form *form)
{
    struct fast_binding binding = {account->id.text, account->platform, what};
    const struct json *fast = json_member(json_member(account->health, "fast"), what);

    keyring_mirror(ring, &form->env, form->mirror);
    return fast && keyring_fast_open(ring, fast, &binding, form->mirror, &form->token, NULL) == ERR_OK;
}

/* 1: whether it opens is known now; 0: only a key derivation tells. */
static int open_cheaply(const struct account *account, const struct keyring *ring, const char *what, struct form *form)
{
    if (form->was_fast || form->is_shut || form->opening.is_done) return 1;
    form->was_fast = open_fast(account, ring, what, form);
    if (!form->was_fast) form->is_shut = shut_recall(account, ring, &form->env, &form->shut);
    return form->was_fast || form->is_shut;
}

static void take_opening(struct form *form, struct intake *in)
{
    struct opening *o = &form->opening;

    shut_tried(&form->shut, o->rc);
    in->was_slow = 1;
    form->is_shut = o->rc != ERR_OK;
    if (form->is_shut)
        snprintf(in->why, sizeof in->why, "%s", o->err.text);
    else
        secret_move(&form->token, &o->room.token);
    opening_fini(o);
}

static int open_envelope(const struct account *account, const struct keyring *ring, struct form *form,
                         struct intake *in)
{
    if (!open_cheaply(account, ring, in->what, form) && opening_begin(&form->opening, &form->env))
        opening_run(&form->opening, ring);
    if (form->opening.is_done)
        take_opening(form, in);
    else if (form->is_shut)
        snprintf(in->why, sizeof in->why, "as found before, no key opens the envelope");
    if (form->is_shut) return 0;
    in->has_opened = 1;
    if (take_opened(form)) return 1;
    form->kind = FORM_JUNK;
    snprintf(in->why, sizeof in->why, "the envelope holds %zu bytes that are no token", form->token.len);
    secret_free(&form->token);
    return 0;
}

static int is_copy(const struct form *form, const struct form *before)
{
    return !secret_is_empty(&before->token) && secret_equal(&form->token, &before->token);
}

static int is_same_envelope(const struct form *form, const struct form *before)
{
    return form != before && form->kind == FORM_ENVELOPE && before->kind == FORM_ENVELOPE &&
           !strcmp(form->print, before->print);
}

struct form *intake_next(const struct account *account, const struct keyring *ring, struct intake *in)
{
    while (in->next < FIELD_COUNT) {
        struct form *form = &in->forms[in->next++], *before = &in->forms[FIELD_ENCRYPTED];

        if (is_same_envelope(form, before))
            form->is_copy = 1;
        else if (form->kind != FORM_PLAIN && !(form->kind == FORM_ENVELOPE && open_envelope(account, ring, form, in)))
            continue;
        else if (form != before)
            form->is_copy = is_copy(form, before);
        if (!form->is_copy) return form;
    }
    return NULL;
}

/* What was opened may still be no token, or another form's: then intake_next pays for the one behind itself. */
struct form *intake_closed(const struct account *account, const struct keyring *ring, struct intake *in)
{
    for (int i = in->next; i < FIELD_COUNT; i++) {
        struct form *form = &in->forms[i];

        if (form->kind == FORM_PLAIN) return NULL;
        if (form->kind != FORM_ENVELOPE || is_same_envelope(form, &in->forms[FIELD_ENCRYPTED])) continue;
        if (!open_cheaply(account, ring, in->what, form)) return form;
        if (form->opening.is_done ? form->opening.rc == ERR_OK : form->was_fast) return NULL;
    }
    return NULL;
}

enum reason intake_reason(const struct intake *in)
{
    /* Junk says nothing of the user's token: who wrote it there has to look. */
    for (int i = 0; i < FIELD_COUNT; i++)
        if (in->forms[i].kind != FORM_ABSENT) return REASON_UNDECRYPTABLE;
    return REASON_MISSING_TOKEN;
}

void intake_fini(struct intake *in)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        secret_free(&in->forms[i].token);
        opening_fini(&in->forms[i].opening);
        envelope_fini(&in->forms[i].env);
    }
    memset(in, 0, sizeof *in);
}
