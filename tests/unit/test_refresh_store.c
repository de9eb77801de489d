/* What refreshes write to the store: the lease that one of many gets, failures, an expiry that was learnt, and new tokens whatever
 * others write meanwhile. A real SQLite store, real envelopes. */
#include "account_fixture.h"
#include "base/clock.h"
#include "health/refresh_store.h"
#include "store_fixture.h"

#define E_ONE "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"
#define R_ONE "\"encryptedRefreshToken\":{\"$seal\":\"refresh-one\"}"
#define HEALTHY                                                                                                        \
    "\"tokenHealth\":{\"state\":\"healthy\",\"reason\":\"ok\",\"checkedAt\":{\"$date\":\"2026-01-01T00:00:00Z\"}}"
#define LEASED    "\"tokenHealth\":{\"refresh\":{\"lease\":{\"id\":\"lease-1\"}}}"
#define NEW_TOKEN "act.new-access"
#define NEW_GRANT "rft.new-refresh"
static struct store_fixture fx;

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

static void print_token(const char *text, char out[REFRESH_PRINT_BYTES])
{
    struct secret token = fixture_secret(text);

    refresh_print(&token, out);
    secret_free(&token);
}

/* ---- leases and failures */

static struct refresh_state leased_state(const char *lease)
{
    struct refresh_state s = {.of = "token", .leased = moment_now()};

    snprintf(s.lease, sizeof s.lease, "%s", lease);
    return s;
}

static enum err_code take_lease(const struct account *account, const char *lease)
{
    struct refresh_state s = leased_state(lease);

    return refresh_lease(fx.store, account, &s, NULL, NULL);
}

static void of_all_who_read_the_same_account_one_gets_the_lease(void **state)
{
    struct account first, second;

    (void)state;
    put("{" E_ONE "," R_ONE "}");
    first = store_fixture_get(&fx, "a1");
    second = store_fixture_get(&fx, "a1");
    assert_int_equal(take_lease(&first, "lease-1"), ERR_OK);
    assert_int_equal(take_lease(&second, "lease-2"), ERR_CONFLICT);
    account_fini(&second);
    second = store_fixture_get(&fx, "a1");
    assert_string_equal(json_string(json_get(second.health, "refresh.lease.id")), "lease-1");
    /* Who has read the lease may take it over; who has read an older one may not. */
    assert_int_equal(take_lease(&second, "lease-3"), ERR_OK);
    assert_int_equal(take_lease(&second, "lease-4"), ERR_CONFLICT);
    account_fini(&first);
    account_fini(&second);
}

static void there_is_no_lease_where_the_application_wrote_meanwhile(void **state)
{
    static const char *const changes[] = {"{" E_ONE "," R_ONE "}" /* sealed anew */,
                                          "{" E_ONE ",\"refreshToken\":\"x\"}", "{\"accessToken\":\"y\"," R_ONE "}"};

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct account account;

        put("{" E_ONE "," R_ONE "}");
        account = store_fixture_get(&fx, "a1");
        put(changes[i]);
        if (take_lease(&account, "lease-1") != ERR_CONFLICT) fail_msg("a lease although: %s", changes[i]);
        account_fini(&account);
    }
}

static void a_user_who_disconnected_meanwhile_is_not_refreshed(void **state)
{
    struct account account;
    struct json *doc;

    (void)state;
    put("{" E_ONE "," R_ONE ",\"isActive\":true}");
    account = store_fixture_get(&fx, "a1");
    doc = store_fixture_doc(&fx, "a1");
    json_set(doc, "isActive", json_new_bool(0));
    store_fixture_put(&fx, doc);
    json_free(doc);
    assert_int_equal(take_lease(&account, "lease-1"), ERR_CONFLICT);
    account_fini(&account);
}

static void a_failure_is_noted_by_who_holds_the_lease_only(void **state)
{
    struct refresh_state failed = {.of = "token", .standing = REFRESH_UNSURE, .failures = 1, .failed = moment_now()},
                         read;
    struct account account;

    (void)state;
    put("{" E_ONE "," R_ONE "," HEALTHY "}");
    account = store_fixture_get(&fx, "a1");
    assert_int_equal(take_lease(&account, "lease-1"), ERR_OK);
    assert_int_equal(refresh_note(fx.store, &account.id, "lease-2", &failed, 0, NULL), ERR_CONFLICT);
    assert_int_equal(refresh_note(fx.store, &account.id, "lease-1", &failed, clock_now_ms(), NULL), ERR_OK);
    assert_int_equal(refresh_note(fx.store, &account.id, "lease-1", &failed, 0, NULL), ERR_CONFLICT);
    account_fini(&account);
    account = store_fixture_get(&fx, "a1");
    refresh_state_parse(account.health, "token", &read);
    assert_int_equal(read.standing, REFRESH_UNSURE);
    assert_string_equal(read.lease, "");
    assert_non_null(json_get(account.health, "refresh.nextAt"));
    assert_string_equal(json_string(json_get(account.health, "state")), "healthy");
    account_fini(&account);
}

static void an_expiry_is_learnt_of_the_token_that_was_asked_about(void **state)
{
    struct refresh_state learnt = {.of = "token", .learnt = moment_now()};
    struct account account;

    (void)state;
    put("{" E_ONE "}");
    account = store_fixture_get(&fx, "a1");
    assert_int_equal(refresh_learn(fx.store, &account, &learnt, INT64_C(1900000000000), NULL, NULL), ERR_OK);
    account_fini(&account);
    account = store_fixture_get(&fx, "a1");
    assert_true(account.expires_at_ms == INT64_C(1900000000000));
    put("{" E_ONE "}");
    assert_int_equal(refresh_learn(fx.store, &account, &learnt, INT64_C(1900000000000), NULL, NULL), ERR_CONFLICT);
    account_fini(&account);
}

/* ---- new tokens */

enum { EXTEND = 1, NO_GRANT = 2, NO_EXPIRY = 4, SAME = 8 /* access token as before */ };
static const struct row {
    const char *name;
    const char *before; /* as the refresh began */
    const char *now;    /* as it is when the tokens come; NULL: the same */
    int how;
    enum err_code rc;
    enum refresh_put what;
    const char *access, *refresh; /* encrypted… afterwards; NULL: as it was */
    const char *gone;             /* a field that is not there any more; NULL: none */
} rows[] = {
    {"a refresh token is replaced with its access token", "{" E_ONE "," R_ONE "}", NULL, 0, ERR_OK, REFRESH_PUT_STORED,
     NEW_TOKEN, NEW_GRANT, "tokenHealth.refresh.lease"},
    {"none is given: the old one stays", "{" E_ONE "," R_ONE "}", NULL, NO_GRANT, ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN,
     NULL, NULL},
    {"no expiry is given: the old one goes", "{" E_ONE "," R_ONE ",\"expiresAt\":{\"$date\":\"2026-01-01T00:00:00Z\"}}",
     NULL, NO_EXPIRY, ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN, NEW_GRANT, "expiresAt"},
    {"extended", "{" E_ONE "}", NULL, EXTEND, ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN, NULL, NULL},
    {"extended from the plain field", "{\"accessToken\":\"" TOKEN_ONE "\"}", NULL, EXTEND, ERR_OK, REFRESH_PUT_STORED,
     NEW_TOKEN, NULL, "accessToken"},
    {"tokens in the plain fields", "{\"accessToken\":\"" TOKEN_ONE "\",\"refreshToken\":\"refresh-one\"}", NULL, 0,
     ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN, NEW_GRANT, "refreshToken"},
    {"another refresh token in the encrypted field is kept aside",
     "{" E_ONE ",\"encryptedRefreshToken\":{\"$seal\":\"refresh-two\"},\"refreshToken\":\"refresh-one\"}", NULL, 0,
     ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN, NEW_GRANT, "refreshToken"},
    {"envelopes as text",
     "{\"encryptedAccessToken\":{\"$sealText\":\"" TOKEN_ONE "\"},\"encryptedRefreshToken\":{\"$sealText\":"
     "\"refresh-one\"}}",
     NULL, 0, ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN, NEW_GRANT, NULL},

    {"the application sealed the same tokens anew", "{" E_ONE "," R_ONE "}", "{" E_ONE "," R_ONE "}", 0, ERR_OK,
     REFRESH_PUT_STORED, NEW_TOKEN, NEW_GRANT, NULL},
    {"somebody changed the access token only", "{" E_ONE "," R_ONE "}",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO "\"}," R_ONE "}", 0, ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN,
     NEW_GRANT, NULL},
    {"the access token went away", "{" E_ONE "," R_ONE "}", "{" R_ONE "}", 0, ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN,
     NEW_GRANT, NULL},
    {"the user connected anew", "{" E_ONE "," R_ONE "}",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO "\"},\"encryptedRefreshToken\":{\"$seal\":\"refresh-two\"}}",
     0, ERR_OK, REFRESH_PUT_THEIRS, NULL, NULL, NULL},
    {"the user connected anew, extended", "{" E_ONE "}", "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}",
     EXTEND, ERR_OK, REFRESH_PUT_THEIRS, NULL, NULL, NULL},
    {"the user disconnected: tokens are kept, nobody is revived", "{" E_ONE "," R_ONE "}",
     "{" E_ONE "," R_ONE ",\"isActive\":false}", 0, ERR_OK, REFRESH_PUT_STORED, NEW_TOKEN, NEW_GRANT, NULL},
    {"they are there already", "{" E_ONE "," R_ONE "}",
     "{\"encryptedAccessToken\":{\"$seal\":\"" NEW_TOKEN "\"},\"encryptedRefreshToken\":{\"$seal\":\"" NEW_GRANT "\"}}",
     0, ERR_OK, REFRESH_PUT_ALREADY, NULL, NULL, NULL},
    {"extended, and the same token given", "{" E_ONE "," LEASED "}", NULL, EXTEND | SAME, ERR_OK, REFRESH_PUT_STORED,
     TOKEN_ONE, NULL, "tokenHealth.refresh.lease"},
    {"extended, the same token given, and that is there already", "{" E_ONE "}", NULL, EXTEND | SAME, ERR_OK,
     REFRESH_PUT_ALREADY, NULL, NULL, NULL},
    {"the same access token and no other refresh token", "{" E_ONE "," R_ONE "," LEASED "}", NULL, NO_GRANT | SAME,
     ERR_OK, REFRESH_PUT_STORED, TOKEN_ONE, NULL, "tokenHealth.refresh.lease"},
    {"the same access token with a new refresh token", "{" E_ONE "," R_ONE "}", NULL, SAME, ERR_OK, REFRESH_PUT_STORED,
     TOKEN_ONE, NEW_GRANT, NULL},
    {"the same access token with a new refresh token, there already",
     "{" E_ONE ",\"encryptedRefreshToken\":{\"$seal\":\"" NEW_GRANT "\"}}", NULL, SAME, ERR_OK, REFRESH_PUT_ALREADY,
     NULL, NULL, NULL},
    {"the same access token with a new refresh token, and the user connected anew",
     "{" E_ONE ",\"encryptedRefreshToken\":{\"$seal\":\"refresh-two\"}}", NULL, SAME, ERR_OK, REFRESH_PUT_THEIRS, NULL,
     NULL, NULL},

    {"nobody can tell what is there", "{" E_ONE "," R_ONE "}",
     "{" E_ONE ",\"encryptedRefreshToken\":{\"$other\":\"refresh-one\"}}", 0, ERR_UNDECRYPTABLE, REFRESH_PUT_THEIRS,
     NULL, NULL, NULL},
    {"nobody can tell what is there, extended", "{" E_ONE "}",
     "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}}", EXTEND, ERR_UNDECRYPTABLE, REFRESH_PUT_THEIRS, NULL,
     NULL, NULL},
    {"an access token that does not open is set aside",
     "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}," R_ONE "}", NULL, 0, ERR_OK, REFRESH_PUT_STORED,
     NEW_TOKEN, NEW_GRANT, NULL},
};

static struct refresh_record record_of(const struct row *r)
{
    struct refresh_record record = {.id = {ID_STRING, "a1"}, .platform = "instagram", .lease = "lease-1"};

    record.uses_refresh_token = !(r->how & EXTEND);
    record.rotates = record.uses_refresh_token;
    print_token(TOKEN_ONE, record.access);
    print_token(r->how & EXTEND ? TOKEN_ONE : "refresh-one", record.used);
    return record;
}

static struct refresh_tokens tokens_of(const struct row *r)
{
    struct refresh_tokens t = {.access = fixture_secret(r->how & SAME ? TOKEN_ONE : NEW_TOKEN)};

    if (!(r->how & (EXTEND | NO_GRANT))) t.refresh = fixture_secret(NEW_GRANT);
    if (!(r->how & NO_EXPIRY)) t.expires_at_ms = INT64_C(1900000000000);
    return t;
}

static void expect_token(const struct row *r, const struct json *now, const struct json *before, const char *field,
                         const char *token)
{
    const struct json *value = json_member(now, field);

    if (token ? !fixture_opens(value, token) : !json_equal(value, json_member(before, field)))
        fail_msg("%s: %s: expected %s", r->name, field, token ? token : "what was there");
}

static void expect_no_token(const struct json *j, const char *name)
{
    char *text = fixture_text(j);

    if (strstr(text, NEW_TOKEN) || strstr(text, NEW_GRANT)) fail_msg("%s: a new token is in the clear", name);
    free(text);
    fixture_no_token(j, name);
}

static void expect_document(const struct row *r, const struct json *now, const struct json *before)
{
    const char *status = json_string(json_member(now, "tokenStatus"));
    int is_stored = r->rc == ERR_OK && r->what == REFRESH_PUT_STORED;

    expect_token(r, now, before, "encryptedAccessToken", r->access);
    expect_token(r, now, before, "encryptedRefreshToken", r->refresh);
    if (r->gone && json_get(now, r->gone)) fail_msg("%s: %s is still there", r->name, r->gone);
    if (is_stored != (status && !strcmp(status, "valid")))
        fail_msg("%s: tokenStatus %s", r->name, status ? status : "absent");
    if (is_stored && !json_get(now, "tokenHealth.fast.access")) fail_msg("%s: no fast envelope", r->name);
    if (is_stored && (json_get(now, "tokenHealth.fast.refresh") != NULL) != (r->refresh != NULL))
        fail_msg("%s: fast envelope of the refresh token", r->name);
    if (is_stored && !(r->how & NO_EXPIRY) && !json_member(now, "expiresAt")) fail_msg("%s: no expiresAt", r->name);
    if (is_stored && (json_get(now, "tokenHealth.refresh.learntAt") != NULL) != !!(r->how & NO_EXPIRY))
        fail_msg("%s: when the expiry was asked for", r->name);
    if (is_stored && (strstr(r->name, "set aside") || strstr(r->name, "changed the access")) &&
        !json_equal(json_get(now, "tokenHealth.setAside.0"), json_member(before, "encryptedAccessToken")))
        fail_msg("%s: it is not kept aside", r->name);
    if (is_stored && strstr(r->name, "another refresh token") &&
        !json_equal(json_get(now, "tokenHealth.setAsideRefresh"), json_member(before, "encryptedRefreshToken")))
        fail_msg("%s: it is not", r->name);
    if (is_stored) expect_no_token(now, r->name);
}

/* is_stale: the account is given as it was read before the others wrote. */
static void put_tokens(const struct row *r, int is_stale)
{
    struct refresh_record record = record_of(r);
    struct refresh_tokens tokens = tokens_of(r);
    enum refresh_put what = REFRESH_PUT_THEIRS;
    struct account account = {0};
    struct json *before, *now;
    struct err err = {0};
    enum err_code rc;

    put(r->before);
    if (is_stale) account = store_fixture_get(&fx, "a1");
    if (r->now) put(r->now);
    before = store_fixture_doc(&fx, "a1");
    rc = refresh_put(fx.store, fixture_keys, &record, &tokens, &account, &what, &err);
    now = store_fixture_doc(&fx, "a1");
    if (rc != r->rc || (rc == ERR_OK && what != r->what))
        fail_msg("%s (stale %d): got %d, %d (%s), expected %d, %d", r->name, is_stale, rc, what, err.text, r->rc,
                 r->what);
    expect_document(r, now, before);
    json_free(before);
    json_free(now);
    account_fini(&account);
    refresh_tokens_fini(&tokens);
}

static void new_tokens_are_stored_where_the_old_ones_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int is_stale = 0; is_stale < 2; is_stale++)
            put_tokens(&rows[i], is_stale);
}

static void an_account_that_is_gone_has_no_place_for_tokens(void **state)
{
    struct refresh_record record = record_of(&rows[0]);
    struct refresh_tokens tokens = tokens_of(&rows[0]);
    enum refresh_put what = REFRESH_PUT_STORED;
    struct account account = {0};

    (void)state;
    assert_int_equal(refresh_put(fx.store, fixture_keys, &record, &tokens, &account, &what, NULL), ERR_OK);
    assert_int_equal(what, REFRESH_PUT_THEIRS);
    refresh_tokens_fini(&tokens);
}

static void putting_them_twice_is_as_once(void **state)
{
    struct refresh_record record = record_of(&rows[0]);
    struct refresh_tokens tokens = tokens_of(&rows[0]);
    enum refresh_put what;
    struct json *once = NULL, *twice;

    (void)state;
    put(rows[0].before);
    for (int i = 0; i < 2; i++) {
        struct account account = {0};

        assert_int_equal(refresh_put(fx.store, fixture_keys, &record, &tokens, &account, &what, NULL), ERR_OK);
        account_fini(&account);
        if (i == 0) once = store_fixture_doc(&fx, "a1");
    }
    assert_int_equal(what, REFRESH_PUT_ALREADY);
    twice = store_fixture_doc(&fx, "a1");
    assert_true(json_equal(once, twice));
    json_free(once);
    json_free(twice);
    refresh_tokens_fini(&tokens);
}

/* The verdict of a token that works is about its successor, too: nothing is forgotten, no grace begins, nobody is told. */
static void a_good_verdict_stands_and_a_bad_one_does_not(void **state)
{
    static const char *const verdicts[][2] = {{"healthy", "ok"}, {"broken", "expired"}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct account account;
        struct intake in;
        struct verdict v;
        struct json *doc;

        put("{" E_ONE "," R_ONE "," HEALTHY "}");
        account = store_fixture_get(&fx, "a1");
        intake_describe(&account, fixture_keys, &in);
        doc = store_fixture_doc(&fx, "a1");
        json_set((struct json *)(uintptr_t)json_member(doc, "tokenHealth"), "print", json_new_string(in.print));
        json_set((struct json *)(uintptr_t)json_member(doc, "tokenHealth"), "state", json_new_string(verdicts[i][0]));
        json_set((struct json *)(uintptr_t)json_member(doc, "tokenHealth"), "reason", json_new_string(verdicts[i][1]));
        store_fixture_put(&fx, doc);
        json_free(doc);
        intake_fini(&in);
        account_fini(&account);
        struct refresh_record record = record_of(&rows[0]);
        struct refresh_tokens tokens = tokens_of(&rows[0]);
        enum refresh_put what;
        assert_int_equal(refresh_put(fx.store, fixture_keys, &record, &tokens, &account, &what, NULL), ERR_OK);
        account_fini(&account);
        account = store_fixture_get(&fx, "a1");
        intake_describe(&account, fixture_keys, &in);
        verdict_parse(account.health, &v);
        if ((strcmp(v.print, in.print) == 0) != (i == 0))
            fail_msg("the verdict \"%s\" is about the new token: %d", verdicts[i][0], i);
        if (i == 0) assert_true(v.token_since.at_ms > 0);
        refresh_tokens_fini(&tokens);
        intake_fini(&in);
        account_fini(&account);
    }
}

/* ---- the description in the spool */

static void a_description_is_read_as_it_was_written(void **state)
{
    static const enum id_type types[] = {ID_STRING, ID_OBJECTID, ID_NUMBER};
    static const char *const ids[] = {"a1", "0123456789abcdef01234567", "9007199254740993"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct refresh_record r = record_of(&rows[i == 1 ? 3 : 0]), read;
        struct json *about;

        r.id.type = types[i];
        snprintf(r.id.text, sizeof r.id.text, "%s", ids[i]);
        r.is_uncalled = i == 2;
        about = refresh_record_print(&r);
        fixture_no_token(about, "a description");
        assert_int_equal(refresh_record_parse(about, &read), 1);
        assert_int_equal(read.id.type, r.id.type);
        assert_string_equal(read.id.text, r.id.text);
        assert_string_equal(read.platform, r.platform);
        assert_string_equal(read.lease, r.lease);
        assert_string_equal(read.used, r.used);
        assert_string_equal(read.access, r.access);
        assert_int_equal(read.uses_refresh_token, r.uses_refresh_token);
        assert_int_equal(read.rotates, r.rotates);
        assert_int_equal(read.is_uncalled, r.is_uncalled);
        json_remove(about, i == 0 ? "lease" : i == 1 ? "account" : "rotates");
        assert_int_equal(refresh_record_parse(about, &read), 0);
        json_free(about);
    }
    assert_int_equal(refresh_record_parse(NULL, &(struct refresh_record){0}), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_all_who_read_the_same_account_one_gets_the_lease),
        TEST(there_is_no_lease_where_the_application_wrote_meanwhile),
        TEST(a_user_who_disconnected_meanwhile_is_not_refreshed),
        TEST(a_failure_is_noted_by_who_holds_the_lease_only),
        TEST(an_expiry_is_learnt_of_the_token_that_was_asked_about),
        TEST(new_tokens_are_stored_where_the_old_ones_are),
        TEST(an_account_that_is_gone_has_no_place_for_tokens),
        TEST(putting_them_twice_is_as_once),
        TEST(a_good_verdict_stands_and_a_bad_one_does_not),
        TEST(a_description_is_read_as_it_was_written),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
