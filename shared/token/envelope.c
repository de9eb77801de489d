#include "token/envelope.h"
#include "token/crypto.h"
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "aes-256-gcm:";

static enum err_code decode_part(const struct json *object, const char *name, unsigned char *out, size_t cap, size_t *len,
                                 struct err *err)
{
    const struct json *part = json_member(object, name);
    const char *text = json_string(part);

    if (!part) return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is missing", name);
    if (!text) return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is not a string", name);
    if (!b64_decode(text, json_string_len(part), out, cap, len))
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is not base64 or longer than %zu bytes", name, cap);
    return ERR_OK;
}

static enum err_code decode_fixed(const struct json *object, const char *name, unsigned char *out, size_t size, struct err *err)
{
    unsigned char decoded[256];
    size_t len = 0;
    enum err_code rc = decode_part(object, name, decoded, sizeof decoded, &len, err);

    if (rc != ERR_OK) return rc;
    if (len != size) return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is %zu bytes, not %zu", name, len, size);
    memcpy(out, decoded, size);
    return ERR_OK;
}

static enum err_code decode_data(const struct json *object, struct envelope *env, struct err *err)
{
    enum err_code rc;

    env->data = malloc(LIMIT_TOKEN_BYTES);
    if (!env->data) return err_set(err, ERR_NOMEM, NULL, "no memory for an envelope");
    rc = decode_part(object, "encryptedData", env->data, LIMIT_TOKEN_BYTES, &env->data_len, err);
    if (rc == ERR_OK && env->data_len == 0) rc = err_set(err, ERR_UNDECRYPTABLE, NULL, "encryptedData is empty");
    return rc;
}

static enum err_code decode_kdf(const struct json *object, struct envelope *env, struct err *err)
{
    const struct json *kdf = json_member(object, "kdf");

    env->kdf = 0;
    if (!kdf) return ERR_OK;
    if (!json_int(kdf, &env->kdf) || env->kdf < 1 || env->kdf > LIMIT_KDF_ITERATIONS)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "kdf is not a whole number from 1 to %d", LIMIT_KDF_ITERATIONS);
    return ERR_OK;
}

static enum err_code parse_object(const struct json *object, struct envelope *env, struct err *err)
{
    enum err_code rc;

    if (json_type(object) != JSON_OBJECT) return err_set(err, ERR_UNDECRYPTABLE, NULL, "an envelope is a JSON object");
    rc = decode_fixed(object, "iv", env->iv, sizeof env->iv, err);
    if (rc == ERR_OK) rc = decode_fixed(object, "salt", env->salt, sizeof env->salt, err);
    if (rc == ERR_OK) rc = decode_fixed(object, "tag", env->tag, sizeof env->tag, err);
    if (rc == ERR_OK) rc = decode_kdf(object, env, err);
    if (rc == ERR_OK) rc = decode_data(object, env, err);
    return rc;
}

static enum err_code parse_string(const char *text, size_t len, struct envelope *env, struct err *err)
{
    struct json *object = NULL;
    struct err why = {0};
    enum err_code rc;

    if (len > LIMIT_ENVELOPE_BYTES)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "an envelope of more than %d bytes", LIMIT_ENVELOPE_BYTES);
    if (len >= sizeof prefix - 1 && !memcmp(text, prefix, sizeof prefix - 1)) {
        text += sizeof prefix - 1;
        len -= sizeof prefix - 1;
    }
    if (json_parse(text, len, &object, &why) != ERR_OK)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "the envelope's text is not JSON: %s", why.text);
    if (json_type(object) == JSON_STRING) /* the CLI is given a document's value as it stands: text in quotes */
        rc = json_string_len(object) < len ? parse_string(json_string(object), json_string_len(object), env, err)
                                           : err_set(err, ERR_UNDECRYPTABLE, NULL, "an envelope is a JSON object");
    else
        rc = parse_object(object, env, err);
    json_free(object);
    return rc;
}

static enum err_code finish_parse(enum err_code rc, struct envelope *env)
{
    if (rc != ERR_OK) envelope_fini(env);
    return rc;
}

enum err_code envelope_parse(const struct json *value, struct envelope *env, struct err *err)
{
    memset(env, 0, sizeof *env);
    if (json_type(value) == JSON_STRING)
        return finish_parse(parse_string(json_string(value), json_string_len(value), env, err), env);
    return finish_parse(parse_object(value, env, err), env);
}

enum err_code envelope_parse_text(const char *text, size_t len, struct envelope *env, struct err *err)
{
    memset(env, 0, sizeof *env);
    return finish_parse(parse_string(text, len, env, err), env);
}

int envelope_looks_like(const char *text, size_t len)
{
    struct json *object = NULL;
    int is;

    if (len >= sizeof prefix - 1 && !memcmp(text, prefix, sizeof prefix - 1)) return 1;
    text += strspn(text, " \t\r\n");
    if (*text != '{') return 0;
    is = json_parse(text, strlen(text), &object, NULL) != ERR_OK || json_member(object, "encryptedData") ||
         json_member(object, "iv");
    json_free(object);
    return is;
}

static void set_b64(struct json *object, const char *name, const void *data, size_t len)
{
    struct buf text = {0};

    b64_encode(data, len, &text);
    json_set(object, name, json_new_string(buf_text(&text)));
    buf_free(&text);
}

struct json *envelope_to_json(const struct envelope *env)
{
    struct json *object = json_object_new();

    set_b64(object, "encryptedData", env->data, env->data_len);
    set_b64(object, "iv", env->iv, sizeof env->iv);
    set_b64(object, "salt", env->salt, sizeof env->salt);
    set_b64(object, "tag", env->tag, sizeof env->tag);
    if (env->kdf) json_set(object, "kdf", json_new_int(env->kdf));
    return object;
}

void envelope_fini(struct envelope *env)
{
    if (!env) return;
    free(env->data);
    memset(env, 0, sizeof *env);
}
