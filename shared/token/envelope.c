#include "token/envelope.h"
#include "token/part.h"
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "aes-256-gcm:";
enum { PREFIX_LEN = sizeof prefix - 1 };

static int has_prefix(const char *text, size_t len)
{
    return len >= PREFIX_LEN && !memcmp(text, prefix, PREFIX_LEN);
}

static enum err_code parse_data(const struct json *object, struct envelope *env, struct err *err)
{
    unsigned char data[LIMIT_TOKEN_BYTES];
    size_t len = 0;
    enum err_code rc = part_get(object, "encryptedData", data, sizeof data, &len, err);

    if (rc != ERR_OK) return rc;
    if (len == 0) return err_set(err, ERR_UNDECRYPTABLE, NULL, "encryptedData is empty");
    env->data = malloc(len);
    if (!env->data) return err_set(err, ERR_NOMEM, NULL, "no memory for an envelope");
    memcpy(env->data, data, len);
    env->data_len = len;
    return ERR_OK;
}

/* 1e5 and 100000.0 are whole numbers: BSON has doubles, and JavaScript knows nothing else. */
static enum err_code parse_kdf(const struct json *object, struct envelope *env, struct err *err)
{
    const struct json *kdf = json_member(object, "kdf");
    double v = 0;

    env->kdf = 0;
    if (!kdf) return ERR_OK;
    if (!json_double(kdf, &v) || !(v >= 1 && v <= LIMIT_KDF_ITERATIONS) || v != (double)(int64_t)v)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "kdf is not a whole number from 1 to %d", LIMIT_KDF_ITERATIONS);
    env->kdf = (int64_t)v;
    return ERR_OK;
}

static enum err_code parse_object(const struct json *object, struct envelope *env, struct err *err)
{
    enum err_code rc;

    if (json_type(object) != JSON_OBJECT) return err_set(err, ERR_UNDECRYPTABLE, NULL, "an envelope is a JSON object");
    rc = part_get_exact(object, "iv", env->iv, sizeof env->iv, err);
    if (rc == ERR_OK) rc = part_get_exact(object, "salt", env->salt, sizeof env->salt, err);
    if (rc == ERR_OK) rc = part_get_exact(object, "tag", env->tag, sizeof env->tag, err);
    if (rc == ERR_OK) rc = parse_kdf(object, env, err);
    if (rc == ERR_OK) rc = parse_data(object, env, err);
    return rc;
}

static enum err_code read_json(const char *text, size_t len, struct json **root, struct err *err)
{
    struct err why = {0};
    enum err_code rc;

    *root = NULL;
    if (len > LIMIT_ENVELOPE_BYTES)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "the envelope is longer than %d bytes", LIMIT_ENVELOPE_BYTES);
    rc = json_parse(text, len, root, &why);
    if (rc == ERR_OK) return ERR_OK;
    if (rc == ERR_NOMEM) return err_set(err, rc, NULL, "%s", why.text); /* says nothing of the envelope */
    return err_set(err, ERR_UNDECRYPTABLE, why.place, "the envelope is not JSON: %s", why.text);
}

static enum err_code parse_string(const char *text, size_t len, struct envelope *env, struct err *err)
{
    size_t skip = has_prefix(text, len) ? PREFIX_LEN : 0;
    struct json *object = NULL;
    enum err_code rc = read_json(text + skip, len - skip, &object, err);

    if (rc == ERR_OK) rc = parse_object(object, env, err);
    json_free(object);
    return rc;
}

static enum err_code finish(enum err_code rc, struct envelope *env)
{
    if (rc != ERR_OK) envelope_fini(env);
    return rc;
}

enum err_code envelope_parse(const struct json *value, struct envelope *env, struct err *err)
{
    memset(env, 0, sizeof *env);
    if (json_type(value) == JSON_STRING)
        return finish(parse_string(json_string(value), json_string_len(value), env, err), env);
    return finish(parse_object(value, env, err), env);
}

enum err_code envelope_parse_text(const char *text, size_t len, struct envelope *env, struct err *err)
{
    struct json *value = NULL;
    enum err_code rc;

    memset(env, 0, sizeof *env);
    if (has_prefix(text, len)) return finish(parse_string(text, len, env, err), env);
    rc = read_json(text, len, &value, err);
    if (rc == ERR_OK) rc = envelope_parse(value, env, err);
    json_free(value);
    return rc;
}

int envelope_looks_like(const char *text, size_t len)
{
    struct json *object = NULL;
    enum err_code rc;
    int is_one;

    while (len > 0 && *text && strchr(" \t\r\n\"", *text)) { /* a quote: JSON text that was made JSON text again */
        text++;
        len--;
    }
    if (has_prefix(text, len)) return 1;
    if (len == 0 || *text != '{') return 0;
    rc = json_parse(text, len, &object, NULL);
    is_one = rc != ERR_OK ||
             json_member(object, "encryptedData") != NULL; /* cut short or garbled: no token starts like this */
    json_free(object);
    return is_one;
}

struct json *envelope_to_json(const struct envelope *env)
{
    struct json *object = json_object_new();
    int ok = part_put(object, "encryptedData", env->data, env->data_len) &&
             part_put(object, "iv", env->iv, sizeof env->iv) && part_put(object, "salt", env->salt, sizeof env->salt) &&
             part_put(object, "tag", env->tag, sizeof env->tag);

    if (ok && env->kdf) ok = part_put_value(object, "kdf", json_new_int(env->kdf));
    if (ok) return object;
    json_free(object);
    return NULL;
}

/* The further members of ${old} stay: they are the application's. */
static struct json *object_in_place_of(const struct envelope *env, const struct json *old)
{
    struct json *object = json_copy(old), *fresh = envelope_to_json(env);
    const char *key;

    for (size_t i = 0; i < json_count(fresh); i++) {
        const struct json *member = json_member_at(fresh, i, &key);

        json_set(object, key, json_copy(member));
    }
    if (!fresh) {
        json_free(object);
        object = NULL;
    }
    json_free(fresh);
    return object;
}

struct json *envelope_in_place_of(const struct envelope *env, const struct json *old)
{
    const char *text = json_string(old);
    size_t len = text ? json_string_len(old) : 0, skip = text && has_prefix(text, len) ? PREFIX_LEN : 0;
    struct json *parsed = NULL, *object, *value = NULL;
    struct buf out = {0};

    if (!text) return object_in_place_of(env, old);
    if (read_json(text + skip, len - skip, &parsed, NULL) != ERR_OK) return NULL;
    object = object_in_place_of(env, parsed);
    buf_put(&out, text, skip);
    if (object && json_print(object, &out, NULL) == ERR_OK) value = json_new_string_len(out.data, out.len);
    buf_free(&out);
    json_free(object);
    json_free(parsed);
    return value;
}

void envelope_fini(struct envelope *env)
{
    if (!env) return;
    free(env->data);
    memset(env, 0, sizeof *env);
}
