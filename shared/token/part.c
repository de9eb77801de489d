#include "token/part.h"
#include "token/crypto.h"
#include <string.h>

enum err_code part_get(const struct json *object, const char *name, unsigned char *out, size_t cap, size_t *len,
                       struct err *err)
{
    const struct json *part = json_member(object, name);
    const char *text = json_string(part);
    size_t text_len = json_string_len(part);

    if (!part) return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is missing", name);
    if (!text) return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is not a string", name);
    if (text_len > (cap + 2) / 3 * 4)
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is longer than %zu bytes", name, cap);
    if (!b64_decode(text, text_len, out, cap, len))
        return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is not base64 of at most %zu bytes", name, cap);
    return ERR_OK;
}

enum err_code part_get_exact(const struct json *object, const char *name, unsigned char *out, size_t size,
                             struct err *err)
{
    unsigned char decoded[256]; /* larger than any part, so that the reason can name the size that was found */
    size_t len = 0;
    enum err_code rc = part_get(object, name, decoded, sizeof decoded, &len, err);

    if (rc != ERR_OK) return rc;
    if (len != size) return err_set(err, ERR_UNDECRYPTABLE, NULL, "%s is %zu bytes, not %zu", name, len, size);
    memcpy(out, decoded, size);
    return ERR_OK;
}

int part_put_value(struct json *object, const char *name, struct json *value)
{
    if (!object || !value) {
        json_free(value);
        return 0;
    }
    json_set(object, name, value);
    return json_member(object, name) != NULL;
}

int part_put(struct json *object, const char *name, const void *data, size_t len)
{
    struct buf text = {0};
    int ok;

    b64_encode(data, len, &text);
    ok = !text.failed && part_put_value(object, name, json_new_string_len(buf_text(&text), text.len));
    buf_free(&text);
    return ok;
}
