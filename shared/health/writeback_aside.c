/* tokenHealth.setAside: the access tokens that lost their place in the document, oldest first. Nobody was asked whether they live,
 * so they are kept for the operator. A single value in place of the list is what earlier versions wrote. */
#include "health/writeback.h"
#include <string.h>

static const char path[] = "tokenHealth.setAside";

/* An envelope whose only fault is its kdf is ciphertext like any other. */
static int is_ciphertext(const struct form *form, const struct json *value)
{
    struct envelope env = {0};
    struct json *rest;
    int is_whole;

    if (form->env.data) return 1; /* whatever became of it: it parsed */
    if (form->kind != FORM_DAMAGED || json_type(value) != JSON_OBJECT) return 0;
    rest = json_copy(value);
    json_remove(rest, "kdf");
    is_whole = rest && json_count(rest) == 4 && envelope_parse(rest, &env, NULL) == ERR_OK;
    envelope_fini(&env);
    json_free(rest);
    return is_whole;
}

/* The text of a value that may hold a token in the clear. */
static enum err_code text_of(const struct form *form, const struct json *value, struct secret *text, struct err *err)
{
    struct buf printed = {0};
    enum err_code rc;

    if (form->kind == FORM_PLAIN) return secret_put(text, secret_bytes(&form->token), form->token.len, err);
    if (json_string(value)) return secret_put(text, json_string(value), json_string_len(value), err);
    rc = json_print(value, &printed, err);
    if (rc == ERR_OK) rc = secret_put(text, buf_text(&printed), printed.len, err);
    buf_free(&printed);
    return rc;
}

static enum err_code sealed(const struct writeback *w, const struct form *form, const struct json *value,
                            struct json **out, struct err *err)
{
    struct envelope env = {0};
    struct secret text = {0};
    enum err_code rc;

    rc = text_of(form, value, &text, err);
    if (rc == ERR_OK) rc = keyring_seal(w->ring, &text, &env, err);
    if (rc == ERR_OK && !(*out = envelope_to_json(&env))) rc = err_set(err, ERR_NOMEM, NULL, "no memory");
    envelope_fini(&env);
    secret_free(&text);
    return rc;
}

/* The list as it is, to be added to. */
static struct json *list_of(const struct json *kept)
{
    struct json *list = json_type(kept) == JSON_ARRAY ? json_copy(kept) : json_array_new();

    if (list && kept && json_type(kept) != JSON_ARRAY && !value_is_blank(kept)) json_push(list, json_copy(kept));
    return list;
}

static int holds(const struct json *list, const struct json *value)
{
    for (size_t i = 0; i < json_count(list); i++)
        if (json_equal(json_at(list, i), value)) return 1;
    return 0;
}

static enum err_code add(const struct writeback *w, const struct form *form, const struct json *value,
                         struct json *list, int *added, struct err *err)
{
    struct json *item = NULL;
    enum err_code rc;

    *added = 0;
    if (json_count(list) >= ASIDE_MAX) return ERR_OK;
    if (is_ciphertext(form, value)) {
        item = json_copy(value);
    } else {
        if (!w->may_seal) return ERR_OK;
        rc = sealed(w, form, value, &item, err);
        if (rc == ERR_BAD_INPUT) return ERR_OK; /* more bytes than an envelope takes */
        if (rc != ERR_OK) return rc;
    }
    if (!item) return err_set(err, ERR_NOMEM, NULL, "no memory to set a token aside");
    json_push(list, item);
    *added = 1;
    return ERR_OK;
}

enum err_code writeback_set_aside(const struct writeback *w, enum form_field field, struct patch *patch, int *is_safe,
                                  struct err *err)
{
    const struct form *form = &w->intake->forms[field];
    const struct json *value = field == FIELD_ENCRYPTED ? w->account->encrypted_access : w->account->plain_access;
    const struct json *kept = json_get(w->account->health, "setAside");
    struct json *list;
    enum err_code rc;

    *is_safe = form->kind == FORM_ABSENT || form->is_copy || form->is_dead;
    if (*is_safe) return ERR_OK;
    list = list_of(kept);
    if (!list) return err_set(err, ERR_NOMEM, NULL, "no memory to set a token aside");
    *is_safe = holds(list, value);
    rc = *is_safe ? ERR_OK : add(w, form, value, list, is_safe, err);
    if (rc == ERR_OK && *is_safe && !json_equal(list, kept)) {
        patch_guard(patch, path, kept);
        patch_set(patch, path, list);
        return ERR_OK;
    }
    json_free(list);
    return rc;
}
