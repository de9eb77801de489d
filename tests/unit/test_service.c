/* What programs ask of the service: whole workspaces, single accounts, the hot path, statistics. */
#include "base/clock.h"
#include "service_fixture.h"

static const struct service_terms terms_usual = {.force = 0}, terms_forced = {.force = 1};

static const char healthy[] =
    "{\"_id\":\"a1\",\"workspaceId\":\"w1\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}";

static void token_of(int i, char out[64])
{
    snprintf(out, 64, "IGAAmany%024d", i);
}

static void put_many(struct service_fixture *f, int count, int delay_ms)
{
    char members[256], token[64];

    for (int i = 0; i < count; i++) {
        token_of(i, token);
        snprintf(members, sizeof members,
                 "{\"_id\":\"m%02d\",\"workspaceId\":\"many\",\"encryptedAccessToken\":{\"$seal\":\"%s\"}}", i, token);
        service_fixture_put(f, members);
        double_healthy(&f->provider, token);
        double_about(&f->provider, token)->delay_ms = delay_ms;
    }
}

static void the_accounts_of_a_workspace_are_checked_at_the_same_time(void **state)
{
    enum { COUNT = 40, DELAY_MS = 300 };
    struct report_list list = {0};
    struct service_fixture f;
    int64_t start_ms;

    (void)state;
    service_fixture_open(&f, "[responder]\nconcurrency = 20\n");
    put_many(&f, COUNT, DELAY_MS);
    start_ms = clock_mono_ms();
    assert_int_equal(service_validate(f.service, "instagram", "many", &terms_usual, &list, NULL), ERR_OK);
    assert_in_range(clock_mono_ms() - start_ms, 2 * DELAY_MS, COUNT * DELAY_MS / 2);
    assert_int_equal(list.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        char id[16];

        snprintf(id, sizeof id, "m%02d", i);
        assert_string_equal(list.items[i].id, id); /* in the store's order, whoever answered first */
        assert_int_equal(list.items[i].verdict.state, STATE_HEALTHY);
    }
    assert_int_equal(*f.provider.calls, COUNT);
    report_list_fini(&list);
    service_fixture_close(&f);
}

static void other_workspaces_and_platforms_are_left_out(void **state)
{
    struct report_list list = {0};
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, healthy);
    service_fixture_put(&f, "{\"_id\":\"a2\",\"workspaceId\":\"w2\",\"accessToken\":\"" TOKEN_ONE "\"}");
    service_fixture_put(
        &f, "{\"_id\":\"a3\",\"workspaceId\":\"w1\",\"platform\":\"facebook\",\"accessToken\":\"" TOKEN_ONE "\"}");
    assert_int_equal(service_validate(f.service, "instagram", "w1", &terms_forced, &list, NULL), ERR_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].id, "a1");
    report_list_fini(&list);
    assert_int_equal(service_validate(f.service, "instagram", "none", &terms_forced, &list, NULL), ERR_OK);
    assert_int_equal(list.count, 0);
    report_list_fini(&list);
    service_fixture_close(&f);
}

static void a_status_asks_nobody_and_writes_nothing(void **state)
{
    struct report_list list = {0};
    struct service_fixture f;
    struct json *before, *now;

    (void)state;
    service_fixture_open(&f, "");
    service_fixture_put(&f, healthy);
    before = store_fixture_doc(&f.store, "a1");
    assert_int_equal(service_status(f.service, "instagram", "w1", &list, NULL), ERR_OK);
    assert_int_equal(list.count, 1);
    assert_true(list.items[0].has_token && list.items[0].verdict.state == STATE_UNKNOWN);
    now = store_fixture_doc(&f.store, "a1");
    assert_true(json_equal(before, now));
    assert_int_equal(*f.provider.calls, 0);
    json_free(before);
    json_free(now);
    report_list_fini(&list);
    service_fixture_close(&f);
}

static void fix_puts_right_although_fixing_is_off_for_others(void **state)
{
    struct account_report report;
    struct service_fixture f;
    struct report_list list = {0};

    (void)state;
    service_fixture_open(&f, "[monitor]\nenable_auto_fix = false\n");
    double_healthy(&f.provider, TOKEN_TWO);
    service_fixture_put(&f, "{\"accessToken\":\"" TOKEN_TWO "\"}");
    assert_int_equal(service_validate(f.service, "instagram", "w1", &terms_usual, &list, NULL), ERR_OK);
    assert_false(list.items[0].fixed);
    report_list_fini(&list);
    assert_string_equal(service_fixture_text(&f, "a1", "accessToken"), TOKEN_TWO);
    assert_int_equal(service_fix(f.service, "instagram", "a1", 0, &report, NULL), ERR_OK);
    assert_true(report.fixed && report.is_valid);
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_TWO);
    assert_int_equal(service_fix(f.service, "instagram", "none", 0, &report, NULL), ERR_NOT_FOUND);
    assert_int_equal(service_fix(f.service, "facebook", "a1", 0, &report, NULL), ERR_BAD_INPUT);
    service_fixture_close(&f);
}

static void the_workspace_of_an_account_is_told_whatever_its_platform(void **state)
{
    char workspace[LIMIT_ID_BYTES];
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    service_fixture_put(&f, healthy);
    assert_int_equal(service_account_workspace(f.service, "a1", "instagram", workspace, NULL), ERR_OK);
    assert_string_equal(workspace, "w1");
    assert_int_equal(service_account_workspace(f.service, "a1", "facebook", workspace, NULL), ERR_BAD_INPUT);
    assert_string_equal(workspace, "w1");
    assert_int_equal(service_account_workspace(f.service, "none", "facebook", workspace, NULL), ERR_NOT_FOUND);
    assert_string_equal(workspace, "");
    service_fixture_close(&f);
}

/* ---- check ---- */

static void expect_verdict(struct service_fixture *f, const char *workspace, const char *account, enum state state,
                           enum reason reason, const char *what)
{
    struct check_result r;
    struct err err = {0};

    if (service_check(f->service, "instagram", workspace, account, &r, &err) != ERR_OK)
        fail_msg("%s: %s", what, err.text);
    if (r.state != state || r.reason != reason)
        fail_msg("%s: %s; %s, expected %s; %s", what, state_word(r.state), reason_word(r.reason), state_word(state),
                 reason_word(reason));
}

static void a_check_of_a_workspace_is_its_worst_account(void **state)
{
    struct service_fixture f;
    struct check_result r;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_revoked(&f.provider, TOKEN_TWO);
    service_fixture_put(&f, healthy);
    expect_verdict(&f, "w1", NULL, STATE_HEALTHY, REASON_OK, "one account");
    service_fixture_put(&f, "{\"_id\":\"a2\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO "\"}}");
    service_fixture_put(&f, "{\"_id\":\"a3\",\"isActive\":false}");
    expect_verdict(&f, "w1", NULL, STATE_HEALTHY, REASON_OK, "still cached");
    expect_verdict(&f, NULL, "a2", STATE_BROKEN, REASON_REVOKED, "the new one by itself");
    expect_verdict(&f, "w1", NULL, STATE_BROKEN, REASON_REVOKED, "a change of state drops the workspace's verdict");
    assert_int_equal(*f.provider.calls, 2);
    assert_true(service_check_cached(f.service, "instagram", "w1", NULL, &r));
    assert_true(r.workspace_hash == cache_hash(service_cache(f.service), "w1"));
    assert_true(service_check_cached(f.service, "instagram", NULL, "a1", &r));
    assert_true(r.workspace_hash == cache_hash(service_cache(f.service), "w1"));
    assert_int_equal(service_check(f.service, "instagram", "none", NULL, &r, NULL), ERR_NOT_FOUND);
    assert_int_equal(service_check(f.service, "instagram", NULL, "none", &r, NULL), ERR_NOT_FOUND);
    assert_int_equal(service_check(f.service, "facebook", NULL, "a1", &r, NULL), ERR_BAD_INPUT);
    service_fixture_close(&f);
}

static void an_attempt_shows_its_reason_only_where_nothing_is_known(void **state)
{
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "inconclusive_ttl = 100ms\nttl = 100ms\n");
    double_says(&f.provider, TOKEN_ONE, 500, "");
    service_fixture_put(&f, healthy);
    expect_verdict(&f, NULL, "a1", STATE_UNKNOWN, REASON_TRANSIENT, "asked");
    expect_verdict(&f, NULL, "a1", STATE_UNKNOWN, REASON_TRANSIENT, "cached");
    double_healthy(&f.provider, TOKEN_ONE);
    double_sleep_ms(150);
    expect_verdict(&f, NULL, "a1", STATE_HEALTHY, REASON_OK, "answered");
    double_says(&f.provider, TOKEN_ONE, 500, "");
    double_sleep_ms(150);
    expect_verdict(&f, NULL, "a1", STATE_HEALTHY, REASON_OK, "an outage changes nothing");
    service_fixture_close(&f);
}

static void with_the_store_away_a_check_goes_on_from_the_cache(void **state)
{
    struct service_fixture f;
    struct check_result r;
    char away[128], path[128];
    int64_t start_ms;

    (void)state;
    service_fixture_open(&f, "ttl = 200ms\n");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, healthy);
    expect_verdict(&f, NULL, "a1", STATE_HEALTHY, REASON_OK, "at first");
    expect_verdict(&f, "w1", NULL, STATE_HEALTHY, REASON_OK, "the workspace");
    snprintf(path, sizeof path, "%s/accounts.db", f.store.dir);
    snprintf(away, sizeof away, "%s/away", f.store.dir);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_verdict(&f, NULL, "a1", STATE_HEALTHY, REASON_OK, "within its time");
    double_sleep_ms(250);
    start_ms = clock_mono_ms();
    assert_int_equal(service_check(f.service, "instagram", NULL, "a1", &r, NULL), ERR_OK);
    assert_true(r.stale && r.state == STATE_HEALTHY);
    assert_int_equal(service_check(f.service, "instagram", "w1", NULL, &r, NULL), ERR_OK);
    assert_true(r.stale && r.state == STATE_HEALTHY);
    assert_int_equal(service_check(f.service, "instagram", NULL, "never seen", &r, NULL), ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - start_ms < 4000);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(service_check(f.service, "instagram", NULL, "a1", &r, NULL), ERR_OK);
    assert_false(r.stale);
    service_fixture_close(&f);
}

static void clearing_one_account_leaves_the_others(void **state)
{
    struct service_fixture f;
    struct check_result r;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_healthy(&f.provider, TOKEN_TWO);
    service_fixture_put(&f, healthy);
    service_fixture_put(&f, "{\"_id\":\"a2\",\"workspaceId\":\"w2\",\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_TWO
                            "\"}}");
    expect_verdict(&f, "w1", NULL, STATE_HEALTHY, REASON_OK, "w1");
    expect_verdict(&f, "w2", NULL, STATE_HEALTHY, REASON_OK, "w2");
    assert_int_equal(service_clear_cache(f.service, "instagram", "a1", NULL), ERR_OK);
    assert_false(service_check_cached(f.service, "instagram", NULL, "a1", &r));
    assert_false(service_check_cached(f.service, "instagram", "w1", NULL, &r));
    assert_true(service_check_cached(f.service, "instagram", NULL, "a2", &r));
    assert_true(service_check_cached(f.service, "instagram", "w2", NULL, &r));
    assert_int_equal(service_clear_cache(f.service, "instagram", "none", NULL), ERR_NOT_FOUND);
    assert_int_equal(service_clear_cache(f.service, "facebook", "a2", NULL), ERR_BAD_INPUT);
    assert_int_equal(service_clear_cache(f.service, "instagram", NULL, NULL), ERR_OK);
    assert_false(service_check_cached(f.service, "instagram", "w2", NULL, &r));
    service_fixture_close(&f);
}

static void an_objectid_hits_its_entry_in_either_case(void **state)
{
    static const char *const cases[][2] = {
        {"ABCDEFABCDEFABCDEFABCDEF", "0123456789ABCDEF01234567"},
        {"abcdefabcdefabcdefabcdef", "0123456789abcdef01234567"},
    };
    struct service_fixture f;
    struct check_result r;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"},\"workspaceId\":{\"$oid\":"
                            "\"abcdefabcdefabcdefabcdef\"},\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    for (int asked = 0; asked < 2; asked++) {
        expect_verdict(&f, cases[asked][0], NULL, STATE_HEALTHY, REASON_OK, cases[asked][0]);
        expect_verdict(&f, NULL, cases[asked][1], STATE_HEALTHY, REASON_OK, cases[asked][1]);
        for (int other = 0; other < 2; other++) {
            assert_true(service_check_cached(f.service, "instagram", cases[other][0], NULL, &r));
            assert_true(r.workspace_hash == cache_hash_id(service_cache(f.service), cases[other][0]));
            assert_true(service_check_cached(f.service, "instagram", NULL, cases[other][1], &r));
        }
        assert_int_equal(service_clear_cache(f.service, "instagram", cases[!asked][1], NULL), ERR_OK);
        for (int other = 0; other < 2; other++) {
            assert_false(service_check_cached(f.service, "instagram", cases[other][0], NULL, &r));
            assert_false(service_check_cached(f.service, "instagram", NULL, cases[other][1], &r));
        }
    }
    service_fixture_close(&f);
}

/* ---- the rest ---- */

static int64_t number_at(const struct json *j, const char *path)
{
    int64_t n = -1;

    if (!json_int(json_get(j, path), &n)) fail_msg("%s is no number", path);
    return n;
}

static void statistics_count_what_was_done(void **state)
{
    static const char *const parts[] = {"success",  "validator", "healthChecker", "monitor",
                                        "accounts", "providers", "timestamp"};
    struct report_list list = {0};
    struct service_fixture f;
    struct json *stats = NULL;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_says(&f.provider, TOKEN_TWO, 500, "");
    service_fixture_put(&f, healthy);
    service_fixture_put(&f, "{\"_id\":\"a2\",\"accessToken\":\"" TOKEN_TWO "\"}");
    assert_int_equal(service_validate(f.service, "instagram", "w1", &terms_usual, &list, NULL), ERR_OK);
    report_list_fini(&list);
    assert_int_equal(service_validate(f.service, "instagram", "w1", &terms_usual, &list, NULL), ERR_OK);
    report_list_fini(&list);
    assert_int_equal(service_stats(f.service, "instagram", &stats, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!json_member(stats, parts[i])) fail_msg("%s is missing", parts[i]);
    assert_true(number_at(stats, "accounts.total") == 2 && number_at(stats, "accounts.active") == 2);
    assert_true(number_at(stats, "accounts.byState.healthy") == 1 && number_at(stats, "accounts.byState.unknown") == 1);
    assert_true(number_at(stats, "validator.validations") == 4 && number_at(stats, "validator.cacheHits") == 2);
    assert_true(number_at(stats, "validator.providerCalls") == 2 && number_at(stats, "validator.definitive") == 1 &&
                number_at(stats, "validator.inconclusive") == 1);
    assert_true(number_at(stats, "healthChecker.fixes") == 2 && number_at(stats, "healthChecker.stateChanges") == 1);
    json_free(stats);
    service_fixture_close(&f);
}

static void a_service_without_its_key_does_not_start(void **state)
{
    struct service_fixture f;
    struct service *service = (struct service *)&f;
    struct err err = {0};

    (void)state;
    service_fixture_open(&f, "");
    secret_free(&f.cfg->encryption_key);
    assert_int_equal(service_open(f.cfg, &service, &err), ERR_CONFIG);
    assert_null(service);
    assert_non_null(strstr(err.text, "master key"));
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_accounts_of_a_workspace_are_checked_at_the_same_time),
        cmocka_unit_test(other_workspaces_and_platforms_are_left_out),
        cmocka_unit_test(a_status_asks_nobody_and_writes_nothing),
        cmocka_unit_test(fix_puts_right_although_fixing_is_off_for_others),
        cmocka_unit_test(the_workspace_of_an_account_is_told_whatever_its_platform),
        cmocka_unit_test(a_check_of_a_workspace_is_its_worst_account),
        cmocka_unit_test(an_attempt_shows_its_reason_only_where_nothing_is_known),
        cmocka_unit_test(with_the_store_away_a_check_goes_on_from_the_cache),
        cmocka_unit_test(clearing_one_account_leaves_the_others),
        cmocka_unit_test(an_objectid_hits_its_entry_in_either_case),
        cmocka_unit_test(statistics_count_what_was_done),
        cmocka_unit_test(a_service_without_its_key_does_not_start),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
