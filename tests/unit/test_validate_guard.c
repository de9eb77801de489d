/* The mass-failure guard in the pipeline: what a held answer leaves in the document, and what the next one does. */
#include "cache/guard.h"
#include "health/watch.h"
#include "service_fixture.h"

#define E_ONE "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"
static const char name[] = "instagram/instagram";
static const char settings[] = "[health]\nconfirm_interval = 0\n";
static const struct validate_options usual = {.force = 1, .fix = 1, .refresh = 1};

/* A healthy account while the guard has tripped. */
static void open_tripped(struct service_fixture *f, const char *more)
{
    service_fixture_open(f, more);
    double_healthy(&f->provider, TOKEN_ONE);
    service_fixture_put(f, "{" E_ONE "}");
    service_fixture_validate(f, "a1", &usual);
    for (int i = 0; i < 30; i++)
        guard_count(service_cache(f->service), name, 1, f->cfg->check_interval_ms);
    assert_int_equal(guard_holds(service_cache(f->service), name, 0, f->cfg->check_interval_ms), 1);
    double_revoked(&f->provider, TOKEN_ONE);
}

static void order(struct service_fixture *f, enum guard_order what)
{
    struct err err = {0};

    if (service_guard_order(f->service, "instagram", what, "a test", &err) != ERR_OK) fail_msg("%s", err.text);
}

static void expect(struct service_fixture *f, const char *state, const char *status, int needs, const char *held)
{
    char got[3][256];

    snprintf(got[0], sizeof got[0], "%s", service_fixture_text(f, "a1", "tokenHealth.state"));
    snprintf(got[1], sizeof got[1], "%s", service_fixture_text(f, "a1", "tokenStatus"));
    snprintf(got[2], sizeof got[2], "%s", service_fixture_text(f, "a1", "tokenHealth.held.reason"));
    if (strcmp(got[0], state) != 0 || strcmp(got[1], status) != 0 || strcmp(got[2], held) != 0 ||
        service_fixture_needs(f, "a1") != needs)
        fail_msg("state %s, tokenStatus %s, held \"%s\", needsReconnection %d; expected %s, %s, \"%s\", %d", got[0],
                 got[1], got[2], service_fixture_needs(f, "a1"), state, status, held, needs);
}

static void a_held_answer_changes_nothing_but_is_recorded(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct json *health;

    (void)state;
    open_tripped(&f, settings);
    kept = service_fixture_validate(&f, "a1", &usual);
    expect(&f, "healthy", "valid", 0, "revoked");
    assert_string_equal(service_fixture_text(&f, "a1", "tokenHealth.lastAttempt.reason"), "revoked");
    assert_true(kept.report.is_valid && !kept.result.state_changed);
    health = report_health_json(&kept.report);
    assert_string_equal(json_string(json_get(health, "held.reason")), "revoked");
    json_free(health);
    service_fixture_validate(&f, "a1", &usual);
    expect(&f, "healthy", "valid", 0, "revoked");
    service_fixture_close(&f);
}

static void after_the_release_the_next_answer_decides_at_once(void **state)
{
    struct service_fixture f;

    (void)state;
    open_tripped(&f, settings);
    service_fixture_validate(&f, "a1", &usual); /* two definitive answers, as the settings want */
    order(&f, GUARD_RELEASE);
    service_fixture_validate(&f, "a1", &usual);
    expect(&f, "broken", "revoked", 1, "");
    service_fixture_close(&f);
}

static void what_is_confirmed_passes(void **state)
{
    struct service_fixture f;

    (void)state;
    open_tripped(&f, settings);
    order(&f, GUARD_CONFIRM);
    service_fixture_validate(&f, "a1", &usual);
    expect(&f, "broken", "revoked", 0, "");
    service_fixture_validate(&f, "a1", &usual);
    expect(&f, "broken", "revoked", 1, "");
    service_fixture_close(&f);
}

static void a_good_answer_is_believed_while_the_guard_has_tripped(void **state)
{
    struct service_fixture f;

    (void)state;
    open_tripped(&f, settings);
    service_fixture_validate(&f, "a1", &usual);
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_validate(&f, "a1", &usual);
    expect(&f, "healthy", "valid", 0, "");
    assert_string_equal(service_fixture_text(&f, "a1", "tokenHealth.lastAttempt.reason"), "");
    service_fixture_close(&f);
}

static void another_token_of_the_application_drops_the_old_verdict_and_is_not_condemned(void **state)
{
    struct service_fixture f;

    (void)state;
    open_tripped(&f, "[health]\nconfirm_interval = 0\nreconnect_grace = 0\n");
    service_fixture_validate(&f, "a1", &usual);
    double_revoked(&f.provider, TOKEN_TWO);
    service_fixture_change(&f, "a1", "encryptedAccessToken", "{\"$seal\":\"" TOKEN_TWO "\"}");
    service_fixture_validate(&f, "a1", &usual);
    expect(&f, "unknown", "valid", 0, "revoked");
    service_fixture_close(&f);
}

static void switched_off_it_holds_nothing(void **state)
{
    struct service_fixture f;

    (void)state;
    open_tripped(&f, "[health]\nconfirm_interval = 0\nmass_guard = false\n");
    service_fixture_validate(&f, "a1", &usual);
    expect(&f, "broken", "revoked", 0, "");
    service_fixture_close(&f);
}

static void an_order_that_is_old_or_unreadable_is_not_obeyed(void **state)
{
    static const char *const orders[] = {
        "{\"instagram\":{\"order\":\"confirm\",\"atMs\":1000,\"by\":\"long ago\"}}",
        "{\"instagram\":{\"order\":\"explode\",\"atMs\":99999999999999}}",
        "{\"instagram\":\"confirm\"}",
        "[1]",
        "{\"tiktok\":{\"order\":\"confirm\",\"atMs\":99999999999999}}",
    };
    struct service_fixture f;

    (void)state;
    open_tripped(&f, settings);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct json *doc = fixture_json(orders[i]), *status = NULL;
        int tripped = 0;

        assert_int_equal(store_meta_put(service_store(f.service), "guard", doc, NULL), ERR_OK);
        note_put(service_cache(f.service), WATCH_GUARD,
                 (int64_t)i + 100); /* as if the host had just seen another version */
        assert_int_equal(service_guard_status(f.service, "instagram", &status, &tripped, NULL), ERR_OK);
        if (tripped != 1) fail_msg("%s was obeyed", orders[i]);
        json_free(status);
        json_free(doc);
    }
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_held_answer_changes_nothing_but_is_recorded),
        cmocka_unit_test(after_the_release_the_next_answer_decides_at_once),
        cmocka_unit_test(what_is_confirmed_passes),
        cmocka_unit_test(a_good_answer_is_believed_while_the_guard_has_tripped),
        cmocka_unit_test(another_token_of_the_application_drops_the_old_verdict_and_is_not_condemned),
        cmocka_unit_test(switched_off_it_holds_nothing),
        cmocka_unit_test(an_order_that_is_old_or_unreadable_is_not_obeyed),
    };
    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
