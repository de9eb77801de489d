#include "token/apikey.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/utf8.h"
#include "token/apikey_file.h"
#include "token/crypto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct apikeys {
    struct apikey *keys;
    int count;
};

enum { VERSION = 1 };
static const char prefix[] = "thk_";
static const struct {
    const char *word;
    unsigned bit, all;
} scopes_known[] = {{"read", SCOPE_READ, SCOPE_READ},
                    {"write", SCOPE_WRITE, SCOPE_READ | SCOPE_WRITE},
                    {"admin", SCOPE_ADMIN, SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN}};

static unsigned scope_of(const char *word, size_t len)
{
    for (int i = 0; i < 3; i++)
        if (strlen(scopes_known[i].word) == len && !memcmp(scopes_known[i].word, word, len)) return scopes_known[i].all;
    return 0;
}

int apikey_parse_scopes(const char *list, unsigned *scopes)
{
    *scopes = 0;
    while (*list) {
        size_t len = strcspn(list, ",");
        unsigned scope = scope_of(list, len);

        if (!scope) return 0;
        *scopes |= scope;
        list += len + (list[len] == ',');
    }
    return *scopes != 0;
}

/* ---- reading ---- */

static int parse_hash(const char *hex, unsigned char out[32])
{
    if (!hex || strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64) return 0;
    for (int i = 0; i < 32; i++) {
        unsigned byte;

        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (unsigned char)byte;
    }
    return 1;
}

static int parse_text(const struct json *j, char *out, size_t size)
{
    if (json_string_len(j) == 0 || json_string_len(j) >= size) return 0;
    memcpy(out, json_string(j), json_string_len(j) + 1);
    return 1;
}

static int parse_workspaces(const struct json *list, struct apikey *key)
{
    if (json_type(list) != JSON_ARRAY || json_count(list) == 0) return 0;
    if (json_count(list) == 1 && json_string(json_at(list, 0)) && !strcmp(json_string(json_at(list, 0)), "*")) return 1;
    key->workspaces = calloc(json_count(list), sizeof *key->workspaces);
    if (!key->workspaces) return 0;
    for (size_t i = 0; i < json_count(list); i++) {
        const char *text = json_string(json_at(list, i));

        if (!text || !*text || strlen(text) >= LIMIT_ID_BYTES || !(key->workspaces[i] = strdup(text))) return 0;
        key->workspace_count++;
    }
    return 1;
}

static int parse_scopes(const struct json *list, unsigned *scopes)
{
    for (size_t i = 0; i < json_count(list); i++) {
        const char *word = json_string(json_at(list, i));

        if (!word || !scope_of(word, strlen(word))) return 0;
        *scopes |= scope_of(word, strlen(word));
    }
    return *scopes != 0;
}

/* NULL, or the member that is wrong. */
static const char *parse_key(const struct json *j, struct apikey *key)
{
    if (!parse_text(json_member(j, "id"), key->id, sizeof key->id)) return "id";
    if (!parse_text(json_member(j, "name"), key->name, sizeof key->name)) return "name";
    if (!parse_hash(json_string(json_member(j, "sha256")), key->sha256)) return "sha256";
    if (!parse_scopes(json_member(j, "scopes"), &key->scopes)) return "scopes";
    return parse_workspaces(json_member(j, "workspaces"), key) ? NULL : "workspaces";
}

static enum err_code check_head(const struct json *root, const char *path, struct err *err)
{
    const struct json *list = json_member(root, "keys");
    int64_t version = 0;

    if (!json_int(json_member(root, "version"), &version) || version != VERSION)
        return err_set(err, ERR_CONFIG, path, "\"version\" is not %d", VERSION);
    if (json_type(list) != JSON_ARRAY || json_count(list) > LIMIT_API_KEYS)
        return err_set(err, ERR_CONFIG, path, "\"keys\" is no list of at most %d", LIMIT_API_KEYS);
    return ERR_OK;
}

static enum err_code read_keys(const struct json *list, const char *path, struct apikeys *k, struct err *err)
{
    k->keys = calloc(json_count(list) + 1, sizeof *k->keys);
    if (!k->keys) return err_set(err, ERR_NOMEM, path, "no memory for the API keys");
    for (size_t i = 0; i < json_count(list); i++) {
        const char *wrong = parse_key(json_at(list, i), &k->keys[k->count++]);

        if (wrong) return err_set(err, ERR_CONFIG, path, "key %zu: \"%s\" is missing or malformed", i + 1, wrong);
    }
    return ERR_OK;
}

void apikey_free(struct apikeys *keys)
{
    if (!keys) return;
    for (int i = 0; i < keys->count; i++) {
        for (int w = 0; w < keys->keys[i].workspace_count; w++)
            free(keys->keys[i].workspaces[w]);
        free(keys->keys[i].workspaces);
    }
    free(keys->keys);
    free(keys);
}

/* All of ${root}, checked. */
static enum err_code read_root(const struct json *root, const char *path, struct apikeys **keys, struct err *err)
{
    struct apikeys *k = calloc(1, sizeof *k);
    enum err_code rc = k ? check_head(root, path, err) : err_set(err, ERR_NOMEM, path, "no memory for the API keys");

    if (rc == ERR_OK) rc = read_keys(json_member(root, "keys"), path, k, err);
    if (rc == ERR_OK)
        *keys = k;
    else
        apikey_free(k);
    return rc;
}

enum err_code apikey_load(const char *path, struct apikeys **keys, struct err *err)
{
    struct json *root = NULL;
    enum err_code rc = apikey_file_read(path, &root, err);

    *keys = NULL;
    if (rc == ERR_OK) rc = read_root(root, path, keys, err);
    json_free(root);
    return rc == ERR_NOT_FOUND ? ERR_CONFIG : rc;
}

int apikey_count(const struct apikeys *keys)
{
    return keys->count;
}

const struct apikey *apikey_at(const struct apikeys *keys, int index)
{
    return &keys->keys[index];
}

const struct apikey *apikey_find(const struct apikeys *keys, const char *text, size_t len)
{
    const struct apikey *found = NULL;
    unsigned char sum[SHA256_BYTES];

    crypto_sha256(text, len, sum);
    for (int i = 0; i < keys->count; i++)
        if (crypto_equal(sum, keys->keys[i].sha256, sizeof sum)) found = &keys->keys[i];
    return found;
}

/* ---- writing ---- */

/* ${list} was checked. */
static struct json *workspaces_json(const char *list)
{
    struct json *out = json_array_new();

    if (!list) json_push(out, json_new_string("*"));
    for (; list && *list; list += *list == ',') {
        size_t len = strcspn(list, ",");

        json_push(out, json_new_string_len(list, len));
        list += len;
    }
    return out;
}

/* An empty list is a slip (an unset variable of a shell) and must not become "all". */
static enum err_code check_workspaces(const char *list, struct err *err)
{
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t len = strcspn(at, ",");

        if (len == 0 || len >= LIMIT_ID_BYTES)
            return err_set(err, ERR_BAD_INPUT, NULL, "a workspace's id has 1 to %d bytes", LIMIT_ID_BYTES - 1);
        if (*at == '*' && len == 1 && strcmp(list, "*") != 0)
            return err_set(err, ERR_BAD_INPUT, NULL, "\"*\" stands for all workspaces, and alone");
    }
    return ERR_OK;
}

static int is_printable(const char *text)
{
    size_t left = strlen(text), length;

    for (; left > 0; text += length, left -= length) {
        length = utf8_length(text, left);
        if (length == 0 || (unsigned char)*text < 0x20 || *text == 0x7f) return 0;
    }
    return 1;
}

static enum err_code check_request(const struct apikey_request *request, struct err *err)
{
    if (!request->name || !*request->name || strlen(request->name) >= sizeof((struct apikey *)0)->name ||
        !is_printable(request->name))
        return err_set(err, ERR_BAD_INPUT, NULL, "a name has 1 to 63 bytes of printable UTF-8");
    if (!request->scopes || (request->scopes & ~(unsigned)(SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN)))
        return err_set(err, ERR_BAD_INPUT, NULL, "a key has at least one of the scopes read, write, admin");
    if (request->workspaces && !is_printable(request->workspaces))
        return err_set(err, ERR_BAD_INPUT, NULL, "a workspace's id is printable UTF-8");
    return check_workspaces(request->workspaces, err);
}

static struct json *scopes_json(unsigned scopes)
{
    struct json *out = json_array_new();

    for (int i = 0; i < 3; i++)
        if (scopes & scopes_known[i].bit) json_push(out, json_new_string(scopes_known[i].word));
    return out;
}

static enum err_code draw_key(struct buf *text, char id[32], char sha256[SHA256_HEX_BYTES], struct err *err)
{
    unsigned char random[32], id_random[6];
    size_t from = text->len;
    enum err_code rc = crypto_init(err);

    if (rc == ERR_OK) rc = crypto_random(random, sizeof random, err);
    if (rc == ERR_OK) rc = crypto_random(id_random, sizeof id_random, err);
    if (rc != ERR_OK) return rc;
    buf_puts(text, prefix);
    b64url_encode(random, sizeof random, text);
    secret_wipe(random, sizeof random);
    if (text->failed) return err_set(err, ERR_NOMEM, NULL, "no memory for a key");
    crypto_sha256_hex(text->data + from, text->len - from, sha256);
    for (int i = 0; i < 6; i++)
        snprintf(id + 2 * i, 3, "%02x", id_random[i]);
    return ERR_OK;
}

static enum err_code read_or_new(const char *path, struct json **root, struct err *err)
{
    struct apikeys *keys = NULL;
    struct err why = {0};
    enum err_code rc = apikey_file_read(path, root, &why);

    if (rc == ERR_NOT_FOUND) {
        *root = json_object_new();
        json_set(*root, "version", json_new_int(VERSION));
        json_set(*root, "keys", json_array_new());
        return ERR_OK;
    }
    if (rc != ERR_OK) return err_set(err, rc, why.place, "%s", why.text);
    rc = read_root(*root, path, &keys, err); /* a damaged file is not written again */
    apikey_free(keys);
    return rc;
}

static struct json *key_json(const struct apikey_request *request, const char *id, const char *sha256)
{
    struct json *key = json_object_new();

    json_set(key, "id", json_new_string(id));
    json_set(key, "name", json_new_string(request->name));
    json_set(key, "sha256", json_new_string(sha256));
    json_set(key, "scopes", scopes_json(request->scopes));
    json_set(key, "workspaces", workspaces_json(request->workspaces));
    json_set(key, "createdAt", json_new_date(clock_now_ms()));
    return key;
}

static enum err_code add_key(const char *path, const struct apikey_request *request, struct buf *text, char id[32],
                             struct err *err)
{
    char sha256[SHA256_HEX_BYTES];
    struct json *root = NULL, *keys;
    enum err_code rc = read_or_new(path, &root, err);

    if (rc == ERR_OK && json_count(json_member(root, "keys")) >= LIMIT_API_KEYS)
        rc = err_set(err, ERR_BAD_INPUT, NULL, "there are %d keys already", LIMIT_API_KEYS);
    if (rc == ERR_OK) rc = draw_key(text, id, sha256, err);
    if (rc == ERR_OK) {
        keys = json_copy(json_member(root, "keys"));
        json_push(keys, key_json(request, id, sha256));
        json_set(root, "keys", keys);
        rc = apikey_file_write(path, root, err);
    }
    json_free(root);
    return rc;
}

enum err_code apikey_create(const char *path, const struct apikey_request *request, struct buf *text, char id[32],
                            struct err *err)
{
    size_t from = text->len;
    int lock = -1;
    enum err_code rc = check_request(request, err);

    if (rc == ERR_OK) rc = apikey_file_lock(path, &lock, err);
    if (rc == ERR_OK) rc = add_key(path, request, text, id, err);
    if (lock >= 0) close(lock);
    if (rc != ERR_OK && text->len > from) { /* it was not kept: nobody shall think that it works */
        secret_wipe(text->data + from, text->len - from);
        text->len = from;
    }
    return rc;
}

enum err_code apikey_revoke(const char *path, const char *id, struct err *err)
{
    struct json *root = NULL, *kept;
    int lock = -1;
    size_t before;
    enum err_code rc = apikey_file_lock(path, &lock, err);

    if (rc == ERR_OK) rc = read_or_new(path, &root, err);
    if (rc == ERR_OK) {
        before = json_count(json_member(root, "keys"));
        kept = json_array_new();
        for (size_t i = 0; i < before; i++) {
            const struct json *key = json_at(json_member(root, "keys"), i);
            const char *text = json_string(json_member(key, "id"));

            if (!text || strcmp(text, id) != 0) json_push(kept, json_copy(key));
        }
        json_set(root, "keys", kept);
        rc = json_count(kept) < before ? apikey_file_write(path, root, err)
                                       : err_set(err, ERR_NOT_FOUND, NULL, "there is no key with the id \"%.31s\"", id);
    }
    json_free(root);
    if (lock >= 0) close(lock);
    return rc;
}

struct json *apikey_to_json(const struct apikey *key)
{
    struct json *j = json_object_new(), *workspaces = json_array_new();

    for (int i = 0; i < key->workspace_count; i++)
        json_push(workspaces, json_new_string(key->workspaces[i]));
    if (!key->workspaces) json_push(workspaces, json_new_string("*"));
    json_set(j, "id", json_new_string(key->id));
    json_set(j, "name", json_new_string(key->name));
    json_set(j, "scopes", scopes_json(key->scopes));
    json_set(j, "workspaces", workspaces);
    return j;
}
