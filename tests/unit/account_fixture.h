/* For the tests of shared/health: account documents with real envelopes. In a document's text {"$seal": "TOKEN"} stands for an
 * envelope object, {"$sealText": "TOKEN"} for its JSON text, {"$other": "TOKEN"} for an envelope under a key that is not in the
 * ring, {"$date": …} and {"$oid": …} for themselves. */
#ifndef TH_ACCOUNT_FIXTURE_H
#define TH_ACCOUNT_FIXTURE_H
#include "health/intake.h"
#include "health/validate.h"
#include "keyring_fixture.h"
#include "store/account.h"

/* Tokens of two logins of the shipped instagram.json, and of nobody. */
#define TOKEN_ONE "IGAAone0000000000000000000000000001"
#define TOKEN_TWO "IGAAtwo0000000000000000000000000002"
#define TOKEN_NEW "IGAAnew0000000000000000000000000003"
enum { FIXTURE_KDF = 1000 };

static struct keyring *fixture_keys, *fixture_other_keys;

static inline int fixture_keys_setup(void **state)
{
    (void)state;
    fixture_keys = fixture_ring_of(FIXTURE_KEY, FIXTURE_SALT, FIXTURE_KDF);
    fixture_other_keys = fixture_ring_of(FIXTURE_OLD_KEY, FIXTURE_SALT, FIXTURE_KDF);
    return 0;
}

static inline int fixture_keys_teardown(void **state)
{
    (void)state;
    keyring_free(fixture_keys);
    keyring_free(fixture_other_keys);
    return 0;
}

static inline struct json *fixture_sealed(const struct keyring *ring, const char *text, int as_text)
{
    struct secret token = fixture_secret(text);
    struct envelope env = {0};
    struct json *object;
    struct buf out = {0};

    assert_int_equal(keyring_seal(ring, &token, &env, NULL), ERR_OK);
    object = envelope_to_json(&env);
    envelope_fini(&env);
    secret_free(&token);
    if (!as_text) return object;
    assert_int_equal(json_print(object, &out, NULL), ERR_OK);
    json_free(object);
    object = json_new_string(buf_text(&out));
    buf_free(&out);
    return object;
}

static inline struct json *fixture_filled(const struct json *j)
{
    const char *seal = json_string(json_member(j, "$seal")), *text = json_string(json_member(j, "$sealText")),
               *other = json_string(json_member(j, "$other")), *key;
    struct json *copy;

    if (seal) return fixture_sealed(fixture_keys, seal, 0);
    if (text) return fixture_sealed(fixture_keys, text, 1);
    if (other) return fixture_sealed(fixture_other_keys, other, 0);
    if (json_type(j) != JSON_OBJECT) return json_copy(j);
    copy = json_object_new();
    for (size_t i = 0; i < json_count(j); i++) {
        struct json *value = fixture_filled(json_member_at(j, i, &key));

        json_member_at(j, i, &key);
        json_set(copy, key, value);
    }
    return copy;
}

/** fixture_doc(members): {"_id": "a1", "platform": "instagram", "workspaceId": "w1", members…}; members win. Owns: caller. */
static inline struct json *fixture_doc(const char *members)
{
    struct json *given = fixture_json(members), *doc = fixture_filled(given);

    if (!json_member(doc, "_id")) json_set(doc, "_id", json_new_string("a1"));
    if (!json_member(doc, "platform")) json_set(doc, "platform", json_new_string("instagram"));
    if (!json_member(doc, "workspaceId")) json_set(doc, "workspaceId", json_new_string("w1"));
    json_free(given);
    return doc;
}

static inline struct account fixture_account(const char *members)
{
    struct account account;
    struct err err = {0};

    if (account_parse(fixture_doc(members), &account, &err) != ERR_OK) fail_msg("%s: %s", members, err.text);
    return account;
}

/** fixture_text(j): JSON text, heap (free). */
static inline char *fixture_text(const struct json *j)
{
    struct buf out = {0};

    assert_int_equal(json_print(j, &out, NULL), ERR_OK);
    return buf_take(&out);
}

/** fixture_no_token(j, what): no token of these tests is in ${j}, in the clear. */
static inline void fixture_no_token(const struct json *j, const char *what)
{
    static const char *const tokens[] = {TOKEN_ONE, TOKEN_TWO, TOKEN_NEW, "refresh-one", "refresh-two"};
    char *text = fixture_text(j);

    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (strstr(text, tokens[i])) fail_msg("%s: the token %s is in the clear: %s", what, tokens[i], text);
    free(text);
}

/** fixture_opens(value, token): is ${value} an envelope object of the application that holds ${token}? */
static inline int fixture_opens(const struct json *value, const char *token)
{
    struct envelope env = {0};
    struct secret opened = {0}, wanted = fixture_secret(token);
    int same = envelope_parse(value, &env, NULL) == ERR_OK &&
               keyring_open(fixture_keys, &env, &opened, NULL, NULL) == ERR_OK && secret_equal(&opened, &wanted);

    secret_free(&opened);
    secret_free(&wanted);
    envelope_fini(&env);
    return same;
}

#endif
