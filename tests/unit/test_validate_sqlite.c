/* The pipeline over a store in which rows vanish. */
#include "base/clock.h"
#include "service_fixture.h"
#include <sqlite3.h>

static const struct validate_options usual = {.fix = 1, .refresh = 1};
static const struct validate_options forced = {.fix = 1, .refresh = 1, .force = 1};

static void an_account_that_was_deleted_is_in_no_cache(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct check_result check;
    char path[128];
    const int64_t end_ms = clock_mono_ms() + 20000;
    sqlite3 *db;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}");
    service_fixture_validate(&f, "a1", &usual);
    assert_true(service_check_cached(f.service, "instagram", NULL, "a1", &check));
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 150;
    service_fixture_submit(&f, "a1", &forced, &kept);
    while (*f.provider.calls < 2 && clock_mono_ms() < end_ms)
        validator_run(service_validator(f.service), 5);
    assert_int_equal(*f.provider.calls, 2);
    snprintf(path, sizeof path, "%s/accounts.db", f.store.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM accounts", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.result.store_error, ERR_NOT_FOUND);
    assert_false(service_check_cached(f.service, "instagram", NULL, "a1", &check));
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_account_that_was_deleted_is_in_no_cache)};

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
