/* What verdicts write: every fault that is put right, every token that must stay, on a real store. Nothing that is written may hold
 * a token in the clear, and nothing may be written over a change by somebody else. */
#include "writeback_fixture.h"

#define COMPANIONS                                                                                                     \
    "\"tokenStatus\":\"valid\",\"needsReconnection\":false,\"lastTokenValidation\":{\"$date\":\"2026-01-01T00:00:00."  \
    "000Z\"}"

static const struct row rows[] = {
    {"envelope without companions", "{" E_ONE "}", E, REASON_OK, ALL, NULL, GONE, FAULT_NO_COMPANIONS, "valid"},
    {"envelope without companions, no answer", "{" E_ONE "}", E, REASON_TIMEOUT, ALL, NULL, GONE, 0, NULL},
    {"envelope without companions, fixing off", "{" E_ONE "}", E, REASON_OK, 0, NULL, GONE, 0, "valid"},
    {"all in order", "{" E_ONE "," COMPANIONS "}", E, REASON_OK, ALL, NULL, GONE, 0, "valid"},
    {"stale words",
     "{" E_ONE ",\"tokenStatus\":\"expired\",\"needsReconnection\":true,\"lastTokenValidation\":{\"$date\":1}}", E,
     REASON_OK, ALL, NULL, GONE, FAULT_STALE_STATUS, "valid"},
    {"stale words, fixing off: they are the verdict's",
     "{" E_ONE ",\"tokenStatus\":\"expired\",\"needsReconnection\":true}", E, REASON_OK, 0, NULL, GONE, 0, "valid"},
    {"envelope in accessToken", "{\"accessToken\":{\"$sealText\":\"" TOKEN_TWO "\"}}", P, REASON_OK, ALL, TOKEN_TWO,
     GONE, FAULT_ENVELOPE_IN_PLAIN_FIELD, "valid"},
    {"envelope in accessToken, no answer", "{\"accessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}", P, REASON_TIMEOUT, FIX,
     TOKEN_TWO, GONE, FAULT_ENVELOPE_IN_PLAIN_FIELD, NULL},
    {"envelope in accessToken, fixing off", "{\"accessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}", P, REASON_OK, 0, NULL,
     SAME, 0, "valid"},
    {"plain token", "{" P_TWO "}", P, REASON_OK, ALL, TOKEN_TWO, GONE, FAULT_PLAIN_AT_REST, "valid"},
    {"plain token that is refused", "{" P_TWO "}", P, REASON_REVOKED, ALL, TOKEN_TWO, GONE, FAULT_PLAIN_AT_REST,
     "revoked"},
    {"plain token, no answer", "{" P_TWO "}", P, REASON_TRANSIENT, FIX | SEAL, TOKEN_TWO, GONE, FAULT_PLAIN_AT_REST,
     NULL},
    {"plain token under a key that may be wrong", "{" P_TWO "}", P, REASON_OK, FIX | DROP, NULL, SAME, 0, "valid"},
    {"plain token, fixing off", "{" P_TWO "}", P, REASON_OK, SEAL | DROP, NULL, SAME, 0, "valid"},
    {"copy beside a working envelope", "{" E_ONE ",\"accessToken\":\"" TOKEN_ONE "\"," COMPANIONS "}", E, REASON_OK,
     ALL, NULL, GONE, FAULT_PLAIN_AT_REST, "valid"},
    {"copy beside a refused envelope", "{" E_ONE ",\"accessToken\":\"" TOKEN_ONE "\"}", E, REASON_EXPIRED, FIX, NULL,
     GONE, FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS, "expired"},
    {"copy in an envelope, no answer", "{" E_ONE ",\"accessToken\":{\"$seal\":\"" TOKEN_ONE "\"}," COMPANIONS "}", E,
     REASON_TIMEOUT, FIX, NULL, GONE, FAULT_ENVELOPE_IN_PLAIN_FIELD, NULL},
    {"other token beside a working envelope", "{" E_ONE "," P_TWO "," COMPANIONS "}", E, REASON_OK, ALL, NULL, GONE,
     FAULT_PLAIN_AT_REST, "valid"},
    {"other token beside an envelope that lacks a permission, not asked about", "{" E_ONE "," P_TWO "," COMPANIONS "}",
     E, REASON_PERMISSION_MISSING, FIX | SEAL, NULL, SAME, 0, "valid"},
    {"other token beside a refused envelope", "{" E_ONE "," P_TWO "," COMPANIONS "}", E, REASON_REVOKED, ALL, NULL,
     SAME, 0, "revoked"},
    {"other token beside an envelope, no answer", "{" E_ONE "," P_TWO "," COMPANIONS "}", E, REASON_TIMEOUT, FIX | SEAL,
     NULL, SAME, 0, NULL},
    {"working plain token beside a refused envelope", "{" E_ONE "," P_TWO "," COMPANIONS "}", P, REASON_OK, ALL,
     TOKEN_TWO, GONE, FAULT_PLAIN_AT_REST, "valid"},
    {"working plain token beside a refused envelope, key may be wrong", "{" E_ONE "," P_TWO "," COMPANIONS "}", P,
     REASON_OK, FIX | DROP, NULL, SAME, 0, "valid"},
    {"refused plain token beside a refused envelope", "{" E_ONE "," P_TWO "," COMPANIONS "}", P, REASON_EXPIRED, ALL,
     NULL, SAME, 0, "expired"},
    {"working plain token beside a damaged envelope", "{\"encryptedAccessToken\":{\"iv\":\"x\"}," P_TWO "}", P,
     REASON_OK, ALL, TOKEN_TWO, GONE, FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS, "valid"},
    {"plain token beside a damaged envelope, no answer", "{\"encryptedAccessToken\":{\"iv\":\"x\"}," P_TWO "}", P,
     REASON_TIMEOUT, FIX | SEAL, NULL, SAME, 0, NULL},
    {"damaged envelope in accessToken beside a working one",
     "{" E_ONE ",\"accessToken\":\"{\\\"encryptedData\\\"\"," COMPANIONS "}", E, REASON_OK, ALL, NULL, GONE,
     FAULT_ENVELOPE_IN_PLAIN_FIELD, "valid"},
    {"damaged envelope in accessToken beside a refused one",
     "{" E_ONE ",\"accessToken\":\"{\\\"encryptedData\\\"\"," COMPANIONS "}", E, REASON_REVOKED, ALL, NULL, SAME, 0,
     "revoked"},
    {"junk beside a working envelope", "{" E_ONE ",\"accessToken\":\"a b\"," COMPANIONS "}", E, REASON_OK, ALL, NULL,
     GONE, FAULT_PLAIN_AT_REST, "valid"},
    {"junk alone", "{\"accessToken\":\"a b\"}", NONE, REASON_INVALID_TOKEN, ALL, NULL, SAME, 0, "invalid"},
    {"nothing", "{}", NONE, REASON_MISSING_TOKEN, ALL, NULL, GONE, 0, "missing"},
    {"undecryptable leaves the application's words", "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}}", NONE,
     REASON_UNDECRYPTABLE, ALL, NULL, GONE, 0, NULL},
    {"undecryptable with stale words",
     "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"},\"tokenStatus\":\"valid\"}", NONE, REASON_UNDECRYPTABLE,
     ALL, NULL, GONE, 0, NULL},
};

static void expect_field(const char *name, const struct json *now, const struct json *before, const char *field,
                         const char *expected)
{
    const struct json *value = json_member(now, field);

    if (expected ? !json_string(value) || strcmp(json_string(value), expected) != 0
                 : !json_equal(value, json_member(before, field)))
        fail_msg("%s: %s is \"%s\", expected %s", name, field, json_string(value), expected ? expected : "what it was");
}

static void check_tokens(const struct row *row, const struct json *before, const struct written *w,
                         const struct json *now)
{
    const struct json *encrypted = json_member(now, "encryptedAccessToken"), *plain = json_member(now, "accessToken");
    struct account account;
    struct intake in;

    if (row->encrypted ? !fixture_opens(encrypted, row->encrypted)
                       : !json_equal(encrypted, json_member(before, "encryptedAccessToken")))
        fail_msg("%s: encryptedAccessToken is not as expected", row->name);
    if (row->plain == GONE ? plain != NULL : !json_equal(plain, json_member(before, "accessToken")))
        fail_msg("%s: accessToken is %s", row->name, plain ? "there" : "gone");
    if (row->plain == GONE) fixture_no_token(now, row->name);
    assert_int_equal(account_parse(json_copy(now), &account, NULL), ERR_OK);
    intake_describe(&account, fixture_keys, &in);
    if (strcmp(in.print, w->effect.print) != 0 ||
        (in.has_token && strcmp(in.print, json_string(json_get(now, "tokenHealth.print"))) != 0))
        fail_msg("%s: the print that is stored is not that of the document", row->name);
    if (encrypted && row->winner != NONE && in.forms[FIELD_ENCRYPTED].kind == FORM_ENVELOPE &&
        intake_next(&account, fixture_keys, &in) == &in.forms[FIELD_ENCRYPTED] && in.was_slow)
        fail_msg("%s: no fast envelope fits", row->name);
    intake_fini(&in);
    account_fini(&account);
}

static void check_words(const struct row *row, const struct json *before, const struct written *w,
                        const struct json *now)
{
    int decided = w->after.attempt_reason == REASON_NONE && row->reason != REASON_UNDECRYPTABLE, needs = -1;

    expect_field(row->name, now, before, "tokenStatus", row->status);
    if (decided && !(json_bool(json_member(now, "needsReconnection"), &needs) && needs == w->after.needs_reconnection))
        fail_msg("%s: needsReconnection is not the verdict's", row->name);
    if (!decided) expect_field(row->name, now, before, "needsReconnection", NULL);
    if (!decided) expect_field(row->name, now, before, "lastTokenValidation", NULL);
    if (decided == (json_get(now, "tokenHealth.lastAttempt") != NULL) && row->reason != REASON_UNDECRYPTABLE)
        fail_msg("%s: lastAttempt", row->name);
    if ((json_member(now, "lastTokenFix") != NULL) != (row->fixed != 0)) fail_msg("%s: lastTokenFix", row->name);
    expect_field(row->name, now, before, "workspaceId", NULL);
    expect_field(row->name, now, before, "mine", NULL);
}

static void check_row(const struct row *row)
{
    struct store_fixture f;
    struct written w;
    struct json *before = fixture_doc(row->members), *now;
    struct verdict stored;
    struct err err = {0};

    store_fixture_open(&f);
    json_set(before, "mine", json_new_string("the application's"));
    store_fixture_put(&f, before);
    build(store_fixture_get(&f, "a1"), row, &w);
    if (w.effect.fixed != row->fixed) fail_msg("%s: fixed %d, expected %d", row->name, w.effect.fixed, row->fixed);
    if (store_update(f.store, &w.account.id, &w.patch, &err) != ERR_OK) fail_msg("%s: %s", row->name, err.text);
    now = store_fixture_doc(&f, "a1");
    check_tokens(row, before, &w, now);
    check_words(row, before, &w, now);
    verdict_parse(json_member(now, "tokenHealth"), &stored);
    if (stored.state != w.after.state || stored.reason != w.after.reason ||
        stored.checked_at_ms != w.after.checked_at_ms || stored.confirmations != w.after.confirmations ||
        stored.attempt_reason != w.after.attempt_reason || stored.action != w.after.action ||
        stored.confirmed.boot != w.after.confirmed.boot)
        fail_msg("%s: the stored verdict is another: %s/%s", row->name, state_word(stored.state),
                 reason_word(stored.reason));
    json_free(now);
    json_free(before);
    written_fini(&w);
    store_fixture_close(&f);
}

static void every_fault_is_put_right_and_every_token_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i]);
}

/* ---- the refresh token ---- */

#define ER_ONE "\"encryptedRefreshToken\":{\"$seal\":\"refresh-one\"}"
static const struct refresh_row {
    const char *name, *members;
    int how;
    const char *encrypted; /* the token in encryptedRefreshToken afterwards; NULL: as it was */
    int plain, fixed, fast;
} refresh_rows[] = {
    {"plain", "{" E_ONE "," COMPANIONS ",\"refreshToken\":\"refresh-one\"}", ALL, "refresh-one", GONE,
     FAULT_PLAIN_AT_REST, 1},
    {"plain, fixing off", "{" E_ONE "," COMPANIONS ",\"refreshToken\":\"refresh-one\"}", 0, NULL, SAME, 0, 0},
    {"plain under a key that may be wrong", "{" E_ONE "," COMPANIONS ",\"refreshToken\":\"refresh-one\"}", FIX, NULL,
     SAME, 0, 0},
    {"envelope object in the plain field", "{" E_ONE "," COMPANIONS ",\"refreshToken\":{\"$seal\":\"refresh-one\"}}",
     FIX, "refresh-one", GONE, FAULT_ENVELOPE_IN_PLAIN_FIELD, 1},
    {"envelope text in the plain field", "{" E_ONE "," COMPANIONS ",\"refreshToken\":{\"$sealText\":\"refresh-one\"}}",
     FIX, "refresh-one", GONE, FAULT_ENVELOPE_IN_PLAIN_FIELD, 1},
    {"another key's envelope in the plain field",
     "{" E_ONE "," COMPANIONS ",\"refreshToken\":{\"$other\":\"refresh-one\"}}", ALL, NULL, SAME, 0, 0},
    {"damaged envelope in the plain field", "{" E_ONE "," COMPANIONS ",\"refreshToken\":\"{\\\"encryptedData\\\"\"}",
     ALL, NULL, SAME, 0, 0},
    {"junk", "{" E_ONE "," COMPANIONS ",\"refreshToken\":\"a b\"}", ALL, NULL, SAME, 0, 0},
    {"number", "{" E_ONE "," COMPANIONS ",\"refreshToken\":7}", ALL, NULL, SAME, 0, 0},
    {"blank", "{" E_ONE "," COMPANIONS ",\"refreshToken\":\" \"}", ALL, NULL, SAME, 0, 0},
    {"plain copy", "{" E_ONE "," COMPANIONS "," ER_ONE ",\"refreshToken\":\"refresh-one\"}", FIX, NULL, GONE,
     FAULT_PLAIN_AT_REST, 1},
    {"copy in an envelope", "{" E_ONE "," COMPANIONS "," ER_ONE ",\"refreshToken\":{\"$seal\":\"refresh-one\"}}", FIX,
     NULL, GONE, FAULT_ENVELOPE_IN_PLAIN_FIELD, 1},
    {"another plain one", "{" E_ONE "," COMPANIONS "," ER_ONE ",\"refreshToken\":\"refresh-two\"}", ALL, NULL, SAME, 0,
     1},
    {"another in an envelope", "{" E_ONE "," COMPANIONS "," ER_ONE ",\"refreshToken\":{\"$seal\":\"refresh-two\"}}",
     ALL, NULL, SAME, 0, 1},
    {"plain beside another key's envelope",
     "{" E_ONE "," COMPANIONS
     ",\"encryptedRefreshToken\":{\"$other\":\"refresh-one\"},\"refreshToken\":\"refresh-two\"}",
     ALL, NULL, SAME, 0, 0},
    {"plain beside a blank envelope",
     "{" E_ONE "," COMPANIONS ",\"encryptedRefreshToken\":\" \",\"refreshToken\":\"refresh-two\"}", ALL, "refresh-two",
     GONE, FAULT_PLAIN_AT_REST, 1},
    {"in order, not used", "{" E_ONE "," COMPANIONS "," ER_ONE "}", ALL, NULL, GONE, 0, 0},
    {"in order, used", "{" E_ONE "," COMPANIONS "," ER_ONE "}", ALL | USES_REFRESH, NULL, GONE, 0, 1},
    {"in order, used, fixing off", "{" E_ONE "," COMPANIONS "," ER_ONE "}", USES_REFRESH, NULL, GONE, 0, 1},
};

static void the_refresh_token_is_moved_sealed_or_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refresh_rows / sizeof *refresh_rows; i++) {
        const struct refresh_row *r = &refresh_rows[i];
        struct row row = {r->name, r->members, E, REASON_TIMEOUT, r->how, NULL, GONE, r->fixed, NULL};
        struct json *before = fixture_doc(r->members), *now;
        const struct json *encrypted, *plain;
        struct store_fixture f;
        struct written w;

        store_fixture_open(&f);
        store_fixture_put(&f, before);
        build(store_fixture_get(&f, "a1"), &row, &w);
        if (w.effect.fixed != r->fixed) fail_msg("%s: fixed %d, expected %d", r->name, w.effect.fixed, r->fixed);
        assert_int_equal(store_update(f.store, &w.account.id, &w.patch, NULL), ERR_OK);
        now = store_fixture_doc(&f, "a1");
        encrypted = json_member(now, "encryptedRefreshToken");
        plain = json_member(now, "refreshToken");
        if (r->encrypted ? !fixture_opens(encrypted, r->encrypted)
                         : !json_equal(encrypted, json_member(before, "encryptedRefreshToken")))
            fail_msg("%s: encryptedRefreshToken is not as expected", r->name);
        if (r->plain == GONE ? plain != NULL : !json_equal(plain, json_member(before, "refreshToken")))
            fail_msg("%s: refreshToken is %s", r->name, plain ? "there" : "gone");
        if ((json_get(now, "tokenHealth.fast.refresh") != NULL) != r->fast)
            fail_msg("%s: fast envelope %s", r->name, r->fast ? "missing" : "made");
        json_free(now);
        json_free(before);
        written_fini(&w);
        store_fixture_close(&f);
    }
}

/* ---- guards ---- */

static void nothing_is_written_over_somebody_elses_change(void **state)
{
    static const char members[] =
        "{" E_ONE "," P_TWO "," ER_ONE ",\"refreshToken\":\"refresh-one\",\"isActive\":true,"
        "\"tokenHealth\":{\"state\":\"healthy\",\"reason\":\"ok\",\"checkedAt\":{\"$date\":5}}}";
    static const struct {
        const char *field, *value; /* NULL: removed */
    } changes[] = {
        {"encryptedAccessToken", "{\"$seal\":\"" TOKEN_NEW "\"}"},
        {"encryptedAccessToken", NULL},
        {"accessToken", "\"" TOKEN_NEW "\""},
        {"accessToken", NULL},
        {"isActive", "false"},
        {"encryptedRefreshToken", "{\"$seal\":\"refresh-two\"}"},
        {"refreshToken", "\"refresh-two\""},
        {"refreshToken", NULL},
        {"tokenHealth", "{\"state\":\"healthy\",\"reason\":\"ok\",\"checkedAt\":{\"$date\":6}}"},
        {"tokenHealth", NULL},
    };
    static const struct row row = {"guards", NULL, E, REASON_OK, ALL, NULL, GONE, 0, NULL};

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct json *doc = fixture_doc(members), *now;
        struct store_fixture f;
        struct written w;

        store_fixture_open(&f);
        store_fixture_put(&f, doc);
        build(store_fixture_get(&f, "a1"), &row, &w);
        json_remove(doc, changes[i].field);
        if (changes[i].value) {
            struct json *value = fixture_json(changes[i].value);

            json_set(doc, changes[i].field, fixture_filled(value));
            json_free(value);
        }
        store_fixture_put(&f, doc);
        if (store_update(f.store, &w.account.id, &w.patch, NULL) != ERR_CONFLICT)
            fail_msg("%s was changed to %s meanwhile, and written over", changes[i].field, changes[i].value);
        now = store_fixture_doc(&f, "a1");
        assert_true(json_equal(now, doc));
        json_free(now);
        json_free(doc);
        written_fini(&w);
        store_fixture_close(&f);
    }
}

static void write_again(struct store_fixture *f, enum reason reason, struct written *w)
{
    struct row row = {"again", NULL, E, reason, ALL, NULL, GONE, 0, NULL};

    build(store_fixture_get(f, "a1"), &row, w);
    assert_int_equal(store_update(f->store, &w->account.id, &w->patch, NULL), ERR_OK);
}

static void only_what_changed_is_written(void **state)
{
    struct json *doc = fixture_doc("{" E_ONE "," COMPANIONS "}"), *now;
    struct store_fixture f;
    struct written w;

    (void)state;
    store_fixture_open(&f);
    store_fixture_put(&f, doc);
    write_again(&f, REASON_TIMEOUT, &w);
    written_fini(&w);
    write_again(&f, REASON_OK, &w);
    written_fini(&w);
    now = store_fixture_doc(&f, "a1");
    assert_null(json_get(now, "tokenHealth.lastAttempt"));
    json_free(now);
    write_again(&f, REASON_OK, &w); /* at the same time: checkedAt is the same, too */
    for (int i = 0; i < w.patch.field_count; i++)
        if (strcmp(w.patch.fields[i].path, "lastTokenValidation") != 0)
            fail_msg("%s is written again", w.patch.fields[i].path);
    written_fini(&w);
    json_free(doc);
    store_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_put_right_and_every_token_stays),
        cmocka_unit_test(the_refresh_token_is_moved_sealed_or_left),
        cmocka_unit_test(nothing_is_written_over_somebody_elses_change),
        cmocka_unit_test(only_what_changed_is_written),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
