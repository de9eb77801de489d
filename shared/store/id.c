#include "base/id_text.h"
#include "store/account.h"
#include "store/ejson.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char id_letters[] = {[ID_NONE] = '-', [ID_STRING] = 's', [ID_OBJECTID] = 'o', [ID_NUMBER] = 'n'};

/* json_new_string replaces what is not UTF-8; a text that it changes can be no document's id. */
static int is_utf8(const char *text, size_t len)
{
    struct json *copy = json_new_string_len(text, len);
    int same = json_string_len(copy) == len && json_string(copy) && !memcmp(json_string(copy), text, len);

    json_free(copy);
    return same;
}

static int is_id_text(const char *text, size_t len)
{
    if (len == 0 || len >= LIMIT_ID_BYTES) return 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return 0;
    return is_utf8(text, len);
}

/* MongoDB treats ids of 24 hex digits alike in either case once they are ObjectIds; their text is lower case. */
static void put_objectid(struct account_id *id, const char *text)
{
    id->type = ID_OBJECTID;
    id_normal(text, id->text);
}

enum err_code id_parse(const struct json *j, struct account_id *id, struct err *err)
{
    const char *oid = json_string(json_member(j, "$oid"));
    int64_t whole;

    *id = (struct account_id){0};
    if (json_type(j) == JSON_STRING) {
        if (!is_id_text(json_string(j), json_string_len(j)))
            return err_set(err, ERR_BAD_INPUT, NULL, "an id has 1 to %d bytes of text without control characters",
                           LIMIT_ID_BYTES - 1);
        id->type = ID_STRING;
        memcpy(id->text, json_string(j), json_string_len(j) + 1);
        return ERR_OK;
    }
    if (oid && json_count(j) == 1 && id_is_hex(oid)) {
        put_objectid(id, oid);
        return ERR_OK;
    }
    if (ejson_int(j, &whole)) {
        id->type = ID_NUMBER;
        snprintf(id->text, sizeof id->text, "%lld", (long long)whole);
        return ERR_OK;
    }
    *id = (struct account_id){0};
    return err_set(err, ERR_BAD_INPUT, NULL, "an id is a text, an ObjectId or a whole number");
}

static int is_canonical_integer(const char *text)
{
    const char *digits = text + (*text == '-');

    if (!isdigit((unsigned char)*digits) || strspn(digits, "0123456789") != strlen(digits)) return 0;
    if (*digits == '0' && (digits[1] || *text == '-')) return 0;
    errno = 0;
    strtoll(text, NULL, 10);
    return errno == 0;
}

int id_forms(const char *text, struct account_id out[3])
{
    size_t len = text ? strlen(text) : 0;
    int count = 0;

    if (!is_id_text(text, len)) return 0;
    out[count].type = ID_STRING;
    memcpy(out[count++].text, text, len + 1);
    if (id_is_hex(text)) put_objectid(&out[count++], text);
    if (is_canonical_integer(text)) {
        out[count].type = ID_NUMBER;
        memcpy(out[count++].text, text, len + 1);
    }
    return count;
}

struct json *id_to_json(const struct account_id *id)
{
    struct json *j;

    switch (id->type) {
    case ID_STRING:
        return json_new_string(id->text);
    case ID_NUMBER:
        return json_new_int(strtoll(id->text, NULL, 10));
    case ID_OBJECTID:
        j = json_object_new();
        json_set(j, "$oid", json_new_string(id->text));
        return j;
    case ID_NONE:
        break;
    }
    return NULL;
}

void id_key(const struct account_id *id, char *out, size_t size)
{
    if (id->type == ID_NONE)
        snprintf(out, size, "%s", "");
    else
        snprintf(out, size, "%c:%s", id_letters[id->type], id->text);
}

void id_of_key(const char *key, struct account_id *id)
{
    *id = (struct account_id){0};
    for (size_t i = ID_STRING; i < sizeof id_letters; i++)
        if (key[0] == id_letters[i] && key[1] == ':') id->type = (enum id_type)i;
    if (id->type != ID_NONE) snprintf(id->text, sizeof id->text, "%s", key + 2);
}
