/* Opening what is stored: in microseconds where it can be, once where it must be, never where it need not be. */
#include "account_fixture.h"

static void set_fast(struct account *account, const char *token, const struct envelope *env)
{
    struct fast_binding binding = {account->id.text, account->platform, "access"};
    struct secret secret = fixture_secret(token);
    struct json *health = json_object_new(), *fast = json_object_new(), *access = NULL;
    struct json *doc = json_copy(account->doc);
    unsigned char mirror[32];

    keyring_mirror(fixture_keys, env, mirror);
    assert_int_equal(keyring_fast_seal(fixture_keys, &secret, &binding, mirror, &access, NULL), ERR_OK);
    json_set(fast, "access", access);
    json_set(health, "fast", fast);
    json_set(doc, "tokenHealth", health);
    account_fini(account);
    assert_int_equal(account_parse(doc, account, NULL), ERR_OK);
    secret_free(&secret);
}

static void a_fast_envelope_that_fits_saves_the_derivation(void **state)
{
    struct account account = fixture_account("{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    struct envelope env = {0}, wrong = {0};
    struct intake in;

    (void)state;
    assert_int_equal(envelope_parse(account.encrypted_access, &env, NULL), ERR_OK);
    set_fast(&account, TOKEN_ONE, &env);
    intake_describe(&account, fixture_keys, &in);
    assert_non_null(intake_next(&account, fixture_keys, &in));
    assert_true(in.forms[FIELD_ENCRYPTED].was_fast && !in.was_slow && in.has_opened);
    intake_fini(&in);

    assert_int_equal(envelope_parse(account.encrypted_access, &wrong, NULL), ERR_OK);
    wrong.iv[0] ^= 1; /* the application wrote another one since */
    set_fast(&account, TOKEN_ONE, &wrong);
    intake_describe(&account, fixture_keys, &in);
    assert_non_null(intake_next(&account, fixture_keys, &in));
    assert_true(!in.forms[FIELD_ENCRYPTED].was_fast && in.was_slow);
    intake_fini(&in);
    envelope_fini(&env);
    envelope_fini(&wrong);
    account_fini(&account);
}

static void a_fast_envelope_of_another_account_does_not_open(void **state)
{
    struct account account = fixture_account("{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    struct account other;
    struct envelope env = {0};
    struct json *doc;
    struct intake in;

    (void)state;
    assert_int_equal(envelope_parse(account.encrypted_access, &env, NULL), ERR_OK);
    set_fast(&account, TOKEN_ONE, &env);
    doc = json_copy(account.doc);
    json_set(doc, "_id", json_new_string("a2"));
    assert_int_equal(account_parse(doc, &other, NULL), ERR_OK);
    intake_describe(&other, fixture_keys, &in);
    assert_non_null(intake_next(&other, fixture_keys, &in));
    assert_true(in.was_slow && !in.forms[FIELD_ENCRYPTED].was_fast);
    intake_fini(&in);
    envelope_fini(&env);
    account_fini(&account);
    account_fini(&other);
}

static void the_second_form_is_opened_only_when_it_is_wanted(void **state)
{
    struct account account = fixture_account("{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE
                                             "\"},\"accessToken\":{\"$other\":\"" TOKEN_TWO "\"}}");
    struct intake in;

    (void)state;
    intake_describe(&account, fixture_keys, &in);
    assert_ptr_equal(intake_next(&account, fixture_keys, &in), &in.forms[FIELD_ENCRYPTED]);
    assert_false(in.forms[FIELD_PLAIN].is_shut);
    assert_null(intake_next(&account, fixture_keys, &in));
    assert_true(in.forms[FIELD_PLAIN].is_shut);
    intake_fini(&in);
    account_fini(&account);
}

static void the_same_envelope_in_both_fields_is_opened_once(void **state)
{
    struct json *doc = fixture_doc("{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    struct account account;
    struct intake in;

    (void)state;
    json_set(doc, "accessToken", json_copy(json_member(doc, "encryptedAccessToken")));
    assert_int_equal(account_parse(doc, &account, NULL), ERR_OK);
    intake_describe(&account, fixture_keys, &in);
    assert_non_null(intake_next(&account, fixture_keys, &in));
    assert_null(intake_next(&account, fixture_keys, &in));
    assert_true(in.forms[FIELD_PLAIN].is_copy && secret_is_empty(&in.forms[FIELD_PLAIN].token));
    intake_fini(&in);
    account_fini(&account);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fast_envelope_that_fits_saves_the_derivation),
        cmocka_unit_test(a_fast_envelope_of_another_account_does_not_open),
        cmocka_unit_test(the_second_form_is_opened_only_when_it_is_wanted),
        cmocka_unit_test(the_same_envelope_in_both_fields_is_opened_once),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
