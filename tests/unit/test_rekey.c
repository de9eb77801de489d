/* Sealing again under another key: every form that a token is stored in keeps its place and form and opens under the new key alone; what is
 * no concern of it stays as it is. A real SQLite store, real envelopes. */
#include "account_fixture.h"
#include "health/rekey.h"
#include "store_fixture.h"

#define NEW_KEY "a-key-that-is-new-0123456789abcdef"
static struct keyring *both, *alone; /* the new key and the old one; the new one */
static struct store_fixture fx;

static int group_setup(void **state)
{
    const char *kids[] = {"k2", "k1"}, *keys[] = {NEW_KEY, FIXTURE_KEY};

    both = fixture_ring(kids, keys, 2, FIXTURE_SALT, FIXTURE_KDF);
    alone = fixture_ring(kids, keys, 1, FIXTURE_SALT, FIXTURE_KDF);
    return fixture_keys_setup(state);
}

static int group_teardown(void **state)
{
    keyring_free(both);
    keyring_free(alone);
    return fixture_keys_teardown(state);
}

static int setup(void **state)
{
    (void)state;
    store_fixture_open(&fx);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_fixture_close(&fx);
    return 0;
}

static void put(const char *members)
{
    struct json *doc = fixture_doc(members);

    store_fixture_put(&fx, doc);
    json_free(doc);
}

static struct rekey_totals rekeyed(int dry_run)
{
    const struct rekey_options options = {.store = fx.store, .ring = both, .dry_run = dry_run};
    struct rekey_totals totals;
    struct err err = {0};

    if (rekey_run(&options, &totals, &err) != ERR_OK) fail_msg("rekey_run: %s", err.text);
    return totals;
}

/* Does ${value} open to ${token} under the new key, and nothing else? */
static void expect_new(const struct json *value, const char *token, const char *what)
{
    struct envelope env = {0};
    struct secret opened = {0}, wanted = fixture_secret(token);
    struct err err = {0};

    if (envelope_parse(value, &env, &err) != ERR_OK || keyring_open(alone, &env, &opened, NULL, &err) != ERR_OK)
        fail_msg("%s: %s", what, err.text);
    if (!secret_equal(&opened, &wanted)) fail_msg("%s: opens to another token than %s", what, token);
    secret_free(&opened);
    secret_free(&wanted);
    envelope_fini(&env);
}

static const struct json *at(const struct json *doc, const char *path)
{
    const struct json *value = json_get(doc, path);

    if (!value) fail_msg("%s is not there", path);
    return value;
}

static void expect_count(const char *what, int64_t got, int64_t expected)
{
    if (got != expected) fail_msg("%s: got %lld, expected %lld", what, (long long)got, (long long)expected);
}

#define ALL_FORMS                                                                                                      \
    "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"accessToken\":{\"$sealText\":\"" TOKEN_TWO              \
    "\"},\"encryptedRefreshToken\":{\"$sealText\":\"refresh-one\"},\"refreshToken\":{\"$seal\":\"refresh-two\"},"      \
    "\"platform\":\"nobody-knows\",\"isActive\":false}"

/* The fixture fills no arrays. */
static void put_all_forms(void)
{
    struct json *doc = fixture_doc(ALL_FORMS), *health = json_object_new(), *list = json_array_new();

    json_push(list, fixture_sealed(fixture_keys, TOKEN_NEW, 0));
    json_push(list, fixture_sealed(both, "under-the-new-key", 0));
    json_push(list, fixture_sealed(fixture_keys, "as-text", 1));
    json_set(health, "setAside", list);
    json_set(health, "setAsideRefresh", fixture_sealed(fixture_keys, "refresh-aside", 0));
    json_set(doc, "tokenHealth", health);
    store_fixture_put(&fx, doc);
    json_free(doc);
}

static void every_form_keeps_its_place_and_opens_under_the_new_key_alone(void **state)
{
    struct rekey_totals t;
    struct json *doc;

    (void)state;
    put_all_forms();
    t = rekeyed(0);
    expect_count("accounts", t.accounts, 1);
    expect_count("written", t.written, 1);
    expect_count("resealed", t.resealed, 7);
    expect_count("found under k2", t.found[0], 1);
    expect_count("found under k1", t.found[1], 7);
    expect_count("left under k2", t.left[0], 8);
    expect_count("left under k1", t.left[1], 0);
    assert_true(rekey_is_unused(&t, 1));
    doc = store_fixture_doc(&fx, "a1");
    expect_new(at(doc, "encryptedAccessToken"), TOKEN_ONE, "encryptedAccessToken");
    expect_new(at(doc, "accessToken"), TOKEN_TWO, "accessToken");
    expect_new(at(doc, "encryptedRefreshToken"), "refresh-one", "encryptedRefreshToken");
    expect_new(at(doc, "refreshToken"), "refresh-two", "refreshToken");
    expect_new(at(doc, "tokenHealth.setAside.0"), TOKEN_NEW, "setAside.0");
    expect_new(at(doc, "tokenHealth.setAside.1"), "under-the-new-key", "setAside.1");
    expect_new(at(doc, "tokenHealth.setAside.2"), "as-text", "setAside.2");
    expect_new(at(doc, "tokenHealth.setAsideRefresh"), "refresh-aside", "setAsideRefresh");
    assert_int_equal(json_type(at(doc, "encryptedAccessToken")), JSON_OBJECT);
    assert_int_equal(json_type(at(doc, "accessToken")), JSON_STRING);
    assert_int_equal(json_type(at(doc, "encryptedRefreshToken")), JSON_STRING);
    assert_int_equal(json_type(at(doc, "refreshToken")), JSON_OBJECT);
    assert_int_equal(json_type(at(doc, "tokenHealth.setAside.2")), JSON_STRING);
    fixture_no_token(doc, "after rekey");
    json_free(doc);
}

static void the_second_time_there_is_nothing_to_do(void **state)
{
    struct rekey_totals t;
    struct json *before, *after;

    (void)state;
    put_all_forms();
    rekeyed(0);
    before = store_fixture_doc(&fx, "a1");
    t = rekeyed(0);
    after = store_fixture_doc(&fx, "a1");
    expect_count("written", t.written, 0);
    expect_count("found under k2", t.found[0], 8);
    assert_true(json_equal(before, after));
    json_free(before);
    json_free(after);
}

static void to_see_that_costs_no_key_derivation(void **state)
{
    enum { SLOW_KDF = 1500000 };
    const char *kids[] = {"k2", "k1"}, *keys[] = {NEW_KEY, FIXTURE_KEY};
    struct keyring *slow = fixture_ring(kids, keys, 2, FIXTURE_SALT, SLOW_KDF);
    const struct rekey_options options = {.store = fx.store, .ring = slow};
    struct rekey_totals t;
    int64_t first_ms, second_ms;

    (void)state;
    put("{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE
        "\"},\"encryptedRefreshToken\":{\"$seal\":\"refresh-one\"}}");
    first_ms = fixture_cpu_ms();
    assert_int_equal(rekey_run(&options, &t, NULL), ERR_OK);
    second_ms = fixture_cpu_ms();
    assert_int_equal(rekey_run(&options, &t, NULL), ERR_OK);
    expect_count("found under k2", t.found[0], 2);
    first_ms = second_ms - first_ms;
    second_ms = fixture_cpu_ms() - second_ms;
    if (second_ms * 4 > first_ms)
        fail_msg("%lld ms, then %lld ms: expected a fourth at most", (long long)first_ms, (long long)second_ms);
    keyring_free(slow);
}

static void what_the_application_writes_later_under_the_old_key_is_found(void **state)
{
    struct rekey_totals t;
    struct json *doc;

    (void)state;
    put("{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    rekeyed(0);
    doc = store_fixture_doc(&fx, "a1");
    json_set(doc, "encryptedAccessToken", fixture_sealed(fixture_keys, TOKEN_TWO, 0));
    store_fixture_put(&fx, doc);
    json_free(doc);
    t = rekeyed(1);
    expect_count("found under k1", t.found[1], 1);
    assert_false(rekey_is_unused(&t, 1));
    t = rekeyed(0);
    assert_true(rekey_is_unused(&t, 1));
    doc = store_fixture_doc(&fx, "a1");
    expect_new(at(doc, "encryptedAccessToken"), TOKEN_TWO, "encryptedAccessToken");
    json_free(doc);
}

static void further_members_and_the_prefix_stay(void **state)
{
    struct json *doc = fixture_doc("{}"), *env = fixture_sealed(fixture_keys, TOKEN_ONE, 0), *value;
    struct buf text = {0};

    (void)state;
    json_set(env, "algorithm", json_new_string("aes-256-gcm"));
    buf_puts(&text, "aes-256-gcm:");
    assert_int_equal(json_print(env, &text, NULL), ERR_OK);
    json_set(doc, "encryptedAccessToken", env);
    json_set(doc, "encryptedRefreshToken", json_new_string(buf_text(&text)));
    json_set(doc, "theirs", json_new_int(7));
    store_fixture_put(&fx, doc);
    json_free(doc);
    expect_count("resealed", rekeyed(0).resealed, 2);
    doc = store_fixture_doc(&fx, "a1");
    expect_new(at(doc, "encryptedAccessToken"), TOKEN_ONE, "encryptedAccessToken");
    expect_new(at(doc, "encryptedRefreshToken"), TOKEN_ONE, "encryptedRefreshToken");
    assert_string_equal(json_string(at(doc, "encryptedAccessToken.algorithm")), "aes-256-gcm");
    assert_memory_equal(json_string(at(doc, "encryptedRefreshToken")), "aes-256-gcm:{", 13);
    value = fixture_json(json_string(at(doc, "encryptedRefreshToken")) + 12);
    assert_string_equal(json_string(at(value, "algorithm")), "aes-256-gcm");
    json_free(value);
    json_free(doc);
    buf_free(&text);
}

static void put_with_verdict(int about_this_token)
{
    struct json *doc = fixture_doc("{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    struct json *health = fixture_json("{\"state\":\"broken\",\"reason\":\"revoked\"}");
    struct account account;
    struct intake in;

    assert_int_equal(account_parse(json_copy(doc), &account, NULL), ERR_OK);
    intake_describe(&account, both, &in);
    json_set(health, "print", json_new_string(about_this_token ? in.print : "of-another-token"));
    json_set(doc, "tokenHealth", health);
    store_fixture_put(&fx, doc);
    intake_fini(&in);
    account_fini(&account);
    json_free(doc);
}

/* Else a user who has to reconnect would be forgotten, and one who just did be judged as before. */
static void a_verdict_stays_with_the_token_that_it_was_about(void **state)
{
    (void)state;
    for (int same = 0; same < 2; same++) {
        struct account account;
        struct intake in;
        const char *print;

        put_with_verdict(same);
        rekeyed(0);
        account = store_fixture_get(&fx, "a1");
        intake_describe(&account, both, &in);
        print = json_string(at(account.doc, "tokenHealth.print"));
        assert_string_equal(print, same ? in.print : "of-another-token");
        assert_string_equal(json_string(at(account.doc, "tokenHealth.state")), "broken");
        intake_fini(&in);
        account_fini(&account);
    }
}

static void a_dry_run_counts_the_same_and_writes_nothing(void **state)
{
    struct rekey_totals dry, real;
    struct json *before, *after;

    (void)state;
    put_all_forms();
    before = store_fixture_doc(&fx, "a1");
    dry = rekeyed(1);
    after = store_fixture_doc(&fx, "a1");
    assert_true(json_equal(before, after));
    real = rekeyed(0);
    expect_count("would change", dry.written, real.written);
    expect_count("would be sealed again", dry.resealed, real.resealed);
    expect_count("found", dry.found[1], real.found[1]);
    expect_count("left", dry.left[1], dry.found[1]);
    assert_false(rekey_is_unused(&dry, 1));
    json_free(before);
    json_free(after);
}

static void what_no_key_opens_is_counted_named_and_left(void **state)
{
    struct rekey_totals t;
    struct json *before, *after;

    (void)state;
    put("{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"},\"encryptedRefreshToken\":{\"iv\":\"AAAA\"},"
        "\"accessToken\":\"" TOKEN_TWO "\"}");
    before = store_fixture_doc(&fx, "a1");
    t = rekeyed(0);
    after = store_fixture_doc(&fx, "a1");
    assert_true(json_equal(before, after));
    expect_count("undecryptable", t.undecryptable, 2);
    expect_count("plain", t.plain, 1);
    expect_count("written", t.written, 0);
    assert_string_equal(t.shut[0].account, "a1");
    assert_string_equal(t.shut[0].field, "encryptedAccessToken");
    assert_string_equal(t.shut[1].field, "encryptedRefreshToken");
    json_free(before);
    json_free(after);
}

struct rival {
    int writes;
};

/* The application writes each time before we do: between our reading and our writing, as the progress is told in between. */
static void write_as_the_application(void *arg, const struct rekey_totals *totals)
{
    struct rival *rival = arg;
    struct json *doc = fixture_doc("{\"_id\":\"a2\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_NEW "\"}}");

    (void)totals;
    if (rival->writes++ == 0) store_fixture_put(&fx, doc);
    json_free(doc);
}

static void a_token_that_the_application_writes_meanwhile_is_kept(void **state)
{
    struct rival rival = {0};
    const struct rekey_options options = {fx.store, both, 0, write_as_the_application, &rival};
    struct rekey_totals t;
    struct json *doc;

    (void)state;
    put("{\"_id\":\"a1\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    put("{\"_id\":\"a2\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}");
    assert_int_equal(rekey_run(&options, &t, NULL), ERR_OK);
    expect_count("accounts", t.accounts, 2);
    expect_count("resealed", t.resealed, 2);
    expect_count("contended", t.contended, 0);
    doc = store_fixture_doc(&fx, "a2");
    expect_new(at(doc, "encryptedAccessToken"), TOKEN_NEW, "the newer token");
    json_free(doc);
}

static void more_accounts_than_a_page_are_all_seen(void **state)
{
    enum { MANY = 70 };
    struct rekey_totals t;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        char text[256];

        snprintf(text, sizeof text, "{\"_id\":\"m%d\",\"encryptedAccessToken\":{\"$seal\":\"IGAAmany%d\"}}", i, i);
        put(text);
    }
    t = rekeyed(0);
    expect_count("accounts", t.accounts, MANY);
    expect_count("resealed", t.resealed, MANY);
    expect_count("unread", t.unread, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_form_keeps_its_place_and_opens_under_the_new_key_alone),
        TEST(the_second_time_there_is_nothing_to_do),
        TEST(to_see_that_costs_no_key_derivation),
        TEST(what_the_application_writes_later_under_the_old_key_is_found),
        TEST(further_members_and_the_prefix_stay),
        TEST(a_verdict_stays_with_the_token_that_it_was_about),
        TEST(a_dry_run_counts_the_same_and_writes_nothing),
        TEST(what_no_key_opens_is_counted_named_and_left),
        TEST(a_token_that_the_application_writes_meanwhile_is_kept),
        TEST(more_accounts_than_a_page_are_all_seen),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
