/* Makes account documents with real envelopes, for the demo and the tests: reads JSON documents, one a line, and replaces each
 * {"$seal": "TOKEN"} by the envelope object and each {"$sealText": "TOKEN"} by its JSON text. The key is the configuration's.
 * With --open: the other way round, of stored documents: {access, refresh, fastAccess, fastRefresh}, each the SHA-256 of the token
 * in that envelope, or null. With --tokens: {path: that} of every envelope wherever it stands in a document, but for the fast ones. */
#include "base/config.h"
#include "base/json.h"
#include "store/account.h"
#include "token/crypto.h"
#include "token/keyring.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct keyring *ring;

static void die(const struct err *err)
{
    fprintf(stderr, "seed: %s %s\n", err->place, err->text);
    exit(EXIT_FAILURE);
}

static struct json *sealed(const char *text, int as_text)
{
    struct secret token = {0};
    struct envelope env = {0};
    struct err err = {0};
    struct json *object;
    struct buf out = {0};

    if (secret_put(&token, text, strlen(text), &err) != ERR_OK || keyring_seal(ring, &token, &env, &err) != ERR_OK)
        die(&err);
    object = envelope_to_json(&env);
    envelope_fini(&env);
    secret_free(&token);
    if (!as_text) return object;
    if (json_print(object, &out, &err) != ERR_OK) die(&err);
    json_free(object);
    object = json_new_string(buf_text(&out));
    buf_free(&out);
    return object;
}

static struct json *filled(const struct json *j)
{
    const char *key, *token = json_string(json_member(j, "$seal")), *text = json_string(json_member(j, "$sealText"));
    struct json *copy;

    if (token) return sealed(token, 0);
    if (text) return sealed(text, 1);
    if (json_type(j) == JSON_OBJECT) {
        copy = json_object_new();
        for (size_t i = 0; i < json_count(j); i++) {
            const struct json *member = json_member_at(j, i, &key);

            json_set(copy, key, filled(member));
        }
        return copy;
    }
    if (json_type(j) == JSON_ARRAY) {
        copy = json_array_new();
        for (size_t i = 0; i < json_count(j); i++)
            json_push(copy, filled(json_at(j, i)));
        return copy;
    }
    return json_copy(j);
}

static struct json *print_of(const struct secret *token)
{
    char hex[SHA256_HEX_BYTES];

    if (secret_is_empty(token)) return NULL;
    crypto_sha256_hex(secret_bytes(token), token->len, hex);
    return json_new_string(hex);
}

/* One envelope, and the fast one that mirrors it. */
static void open_pair(const struct account *a, const struct json *envelope, const char *field, struct json *out)
{
    struct fast_binding binding = {a->id.text, a->platform, field};
    struct secret token = {0}, fast_token = {0};
    struct envelope env = {0};
    unsigned char mirror[SHA256_BYTES];
    char path[32], name[32];

    snprintf(path, sizeof path, "fast.%s", field);
    snprintf(name, sizeof name, "fast%c%s", field[0] == 'a' ? 'A' : 'R', field + 1);
    if (envelope && envelope_parse(envelope, &env, NULL) == ERR_OK) {
        keyring_open(ring, &env, &token, NULL, NULL);
        keyring_mirror(ring, &env, mirror);
        keyring_fast_open(ring, json_get(a->health, path), &binding, mirror, &fast_token, NULL);
    }
    json_set(out, field, print_of(&token));
    json_set(out, name, print_of(&fast_token));
    secret_free(&token);
    secret_free(&fast_token);
    envelope_fini(&env);
}

static struct json *opened(const struct json *doc)
{
    struct account account = {0};
    struct json *out = json_object_new();
    struct err err = {0};

    if (account_parse(json_copy(doc), &account, &err) != ERR_OK) die(&err);
    open_pair(&account, account.encrypted_access, "access", out);
    open_pair(&account, account.encrypted_refresh, "refresh", out);
    account_fini(&account);
    return out;
}

static void open_all(const struct json *j, const char *path, struct json *out)
{
    struct secret token = {0};
    struct envelope env = {0};
    char inner[256], index[24];

    if (envelope_parse(j, &env, NULL) == ERR_OK) {
        keyring_open(ring, &env, &token, NULL, NULL);
        json_set(out, path, print_of(&token));
    } else if (strcmp(path, "tokenHealth.fast") != 0) {
        for (size_t i = 0; i < json_count(j); i++) {
            const int is_array = json_type(j) == JSON_ARRAY;
            const char *key = index;
            const struct json *member = is_array ? json_at(j, i) : json_member_at(j, i, &key);

            snprintf(index, sizeof index, "%zu", i);
            snprintf(inner, sizeof inner, "%s%s%s", path, path[0] ? "." : "", key);
            open_all(member, inner, out);
        }
    }
    secret_free(&token);
    envelope_fini(&env);
}

static struct json *tokens(const struct json *doc)
{
    struct json *out = json_object_new();

    open_all(doc, "", out);
    return out;
}

static void convert_line(const char *line, struct json *(*convert)(const struct json *))
{
    struct json *doc = NULL, *out;
    struct buf text = {0};
    struct err err = {0};

    if (json_parse(line, strlen(line), &doc, &err) != ERR_OK) die(&err);
    out = convert(doc);
    if (json_print(out, &text, &err) != ERR_OK) die(&err);
    puts(buf_text(&text));
    buf_free(&text);
    json_free(out);
    json_free(doc);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"open", no_argument, NULL, 'o'},
                                            {"tokens", no_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    struct json *(*convert)(const struct json *) = filled;
    struct keyring_key key;
    struct keyring_options ring_options = {&key, 1, NULL, 0};
    struct config *cfg = NULL;
    struct err err = {0};
    char *line = NULL;
    size_t cap = 0;
    int opt;

    while ((opt = getopt_long(argc, argv, "c:", options, NULL)) != -1)
        if (opt == 'o')
            convert = opened;
        else if (opt == 't')
            convert = tokens;
        else if (opt != 'c' || config_load(optarg, &cfg, &err) != ERR_OK)
            die(&err);
    if (!cfg) return fputs("Usage: seed --config FILE [--open | --tokens] < documents > documents\n", stderr), 2;
    key = (struct keyring_key){cfg->encryption_kid, &cfg->encryption_key};
    ring_options.global_salt = &cfg->encryption_global_salt;
    ring_options.kdf_iterations = cfg->kdf_iterations;
    if (crypto_init(&err) != ERR_OK || keyring_new(&ring_options, &ring, &err) != ERR_OK) die(&err);
    while (getline(&line, &cap, stdin) >= 0)
        if (line[0] != '\n') convert_line(line, convert);
    free(line);
    keyring_free(ring);
    config_free(cfg);
    return EXIT_SUCCESS;
}
