/* Tokens that have to go without having been asked about are set aside, once, and never in the clear. */
#include "writeback_fixture.h"

#define A_LIST "\"tokenHealth\":{\"setAside\":[1,2,3]}"
enum { NOT, AS_IS, SEALED };
static const struct aside_row {
    const char *name, *members;
    int winner, how;
    int kept; /* of the form that is not the winner */
    int plain, count;
    const char *text; /* what SEALED holds */
    int kdf;          /* put into encryptedAccessToken; 0: none */
} aside_rows[] = {
    {"another key's envelope", "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}," P_TWO "}", P, ALL, AS_IS,
     GONE, 1, NULL, 0},
    {"another key's envelope in accessToken", "{" E_ONE ",\"accessToken\":{\"$other\":\"" TOKEN_TWO "\"}}", E, ALL,
     AS_IS, GONE, 1, NULL, 0},
    {"an envelope whose kdf is over the limit", "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}," P_TWO "}",
     P, ALL, AS_IS, GONE, 1, NULL, 2500000},
    {"another token that nobody was asked about", "{" E_ONE "," P_TWO "}", E, ALL, SEALED, GONE, 1, TOKEN_TWO, 0},
    {"another token, the key may be wrong", "{" E_ONE "," P_TWO "}", E, FIX | DROP, NOT, SAME, 0, NULL, 0},
    {"another envelope in accessToken", "{" E_ONE ",\"accessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}", E, ALL, AS_IS,
     GONE, 1, NULL, 0},
    {"a damaged envelope may hold a token in the clear",
     "{\"encryptedAccessToken\":{\"a\":\"" TOKEN_ONE "\"}," P_TWO "}", P, ALL, SEALED, GONE, 1,
     "{\"a\":\"" TOKEN_ONE "\"}", 0},
    {"junk", "{" E_ONE ",\"accessToken\":\"a b\"}", E, ALL, SEALED, GONE, 1, "a b", 0},
    {"a copy", "{" E_ONE ",\"accessToken\":\"" TOKEN_ONE "\"}", E, ALL, NOT, GONE, 0, NULL, 0},
    {"after others", "{" E_ONE "," P_TWO "," A_LIST "}", E, ALL, SEALED, GONE, 4, TOKEN_TWO, 0},
    {"after a single one", "{" E_ONE "," P_TWO ",\"tokenHealth\":{\"setAside\":\"aes-256-gcm:x\"}}", E, ALL, SEALED,
     GONE, 2, TOKEN_TWO, 0},
    {"the list is full", "{" E_ONE "," P_TWO ",\"tokenHealth\":{\"setAside\":[1,2,3,4]}}", E, ALL, NOT, SAME, 4, NULL,
     0},
    {"the list is full, the plain one works", "{" E_ONE "," P_TWO ",\"tokenHealth\":{\"setAside\":[1,2,3,4]}}", P, ALL,
     NOT, SAME, 4, NULL, 0},
};

static void check_aside(const struct aside_row *r)
{
    const struct row row = {r->name, NULL, r->winner, REASON_OK, r->how, NULL, 0, 0, NULL};
    struct json *doc = fixture_doc(r->members), *now;
    const struct json *lost, *list, *last;
    struct account account;
    struct written w;

    if (r->kdf) {
        struct json *envelope = json_copy(json_member(doc, "encryptedAccessToken"));

        json_set(envelope, "kdf", json_new_int(r->kdf));
        json_set(doc, "encryptedAccessToken", envelope);
    }
    now = json_copy(doc);
    lost = json_member(doc, r->winner == P ? "encryptedAccessToken" : "accessToken");
    assert_int_equal(account_parse(doc, &account, NULL), ERR_OK);
    build(account, &row, &w);
    assert_true(patch_is_sound(&w.patch) && patch_apply(now, &w.patch));
    list = json_get(now, "tokenHealth.setAside");
    last = json_at(list, json_count(list) - 1);
    if ((int)json_count(list) != r->count)
        fail_msg("%s: %zu are set aside, expected %d", r->name, json_count(list), r->count);
    if (r->kept == AS_IS && !json_equal(last, lost)) fail_msg("%s: another value is set aside", r->name);
    if (r->kept == SEALED && !fixture_opens(last, r->text)) fail_msg("%s: it is not set aside sealed", r->name);
    if ((json_member(now, "accessToken") != NULL) != (r->plain == SAME))
        fail_msg("%s: accessToken is %s", r->name, r->plain == SAME ? "gone" : "there");
    json_free(now);
    written_fini(&w);
}

static void a_token_that_has_to_go_unasked_is_set_aside(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof aside_rows / sizeof *aside_rows; i++)
        check_aside(&aside_rows[i]);
}

static void what_is_set_aside_already_is_not_set_aside_again(void **state)
{
    static const struct row row = {"again", NULL, P, REASON_OK, ALL, NULL, 0, 0, NULL};
    struct json *doc = fixture_doc("{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}," P_TWO "}"), *now;
    const struct json *shut = json_member(doc, "encryptedAccessToken");
    struct json *list = json_array_new(), *health = json_object_new();
    struct account account;
    struct written w;

    (void)state;
    json_push(list, json_copy(shut));
    json_set(health, "setAside", list);
    json_set(doc, "tokenHealth", health);
    now = json_copy(doc);
    assert_int_equal(account_parse(doc, &account, NULL), ERR_OK);
    build(account, &row, &w);
    assert_true(patch_apply(now, &w.patch));
    assert_int_equal(json_count(json_get(now, "tokenHealth.setAside")), 1);
    assert_null(json_member(now, "accessToken"));
    json_free(now);
    written_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_that_has_to_go_unasked_is_set_aside),
        cmocka_unit_test(what_is_set_aside_already_is_not_set_aside_again),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
