/* The keys that may change while the programs run: their names, what they take, what they print. */
#include "base/config_live.h"
#include "config_fixture.h"

static struct config *loaded(void)
{
    struct config *cfg = NULL;
    struct err err = {0};

    if (config_load(NULL, &cfg, &err) != ERR_OK) fail_msg("config_load: %s", err.text);
    return cfg;
}

static int find(const char *name)
{
    const int i = config_live_find(name);

    if (i < 0) fail_msg("%s cannot be changed", name);
    return i;
}

static void each_key_is_found_by_both_its_names_and_prints_its_default(void **state)
{
    struct config *cfg = loaded();

    (void)state;
    assert_int_equal(CONFIG_LIVE_COUNT, 7);
    for (int i = 0; i < CONFIG_LIVE_COUNT; i++) {
        char name[CONFIG_LIVE_BYTES], text[CONFIG_LIVE_BYTES];

        assert_int_equal(config_live_find(config_live_name(i, name)), i);
        assert_int_equal(config_live_find(config_live_api_name(i, name)), i);
        assert_string_equal(config_live_print(cfg, i, text), config_live_default(i));
    }
    assert_int_equal(find("check_interval"), find("checkInterval"));
    assert_int_equal(find("log_level"), find("logLevel"));
    assert_int_equal(config_live_find("level"), -1);
    assert_int_equal(config_live_find("uri"), -1);
    assert_int_equal(config_live_find(""), -1);
    config_free(cfg);
}

static const struct {
    const char *name, *text, *printed; /* printed NULL: refused */
} cases[] = {
    {"check_interval", "90s", "90s"},
    {"check_interval", "120s", "2m"},
    {"check_interval", "36h", "36h"},
    {"check_interval", "48h", "2d"},
    {"check_interval", "1500ms", "1500ms"},
    {"check_interval", "60", "1m"},
    {"check_interval", "999ms", NULL},
    {"check_interval", "8d", NULL},
    {"check_interval", "soon", NULL},
    {"check_interval", "", NULL},
    {"batch_size", "1", "1"},
    {"batch_size", "1024", "1024"},
    {"batch_size", "0", NULL},
    {"batch_size", "1025", NULL},
    {"batch_size", "12.5", NULL},
    {"batch_size", "-1", NULL},
    {"retry_delay", "0ms", "0ms"},
    {"enable_auto_fix", "false", "false"},
    {"enable_auto_fix", "on", "true"},
    {"enable_auto_fix", "maybe", NULL},
    {"log_level", "debug", "debug"},
    {"log_level", "warn", "warn"},
    {"log_level", "loud", NULL},
};

static void a_value_is_taken_in_its_range_and_else_nothing_changes(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct config *cfg = loaded();
        const int i = find(cases[c].name);
        char before[CONFIG_LIVE_BYTES], after[CONFIG_LIVE_BYTES], range[CONFIG_LIVE_BYTES];
        struct err err = {0};
        enum err_code rc;

        config_live_print(cfg, i, before);
        rc = config_live_set(cfg, i, cases[c].text, &err);
        config_live_print(cfg, i, after);
        if ((rc == ERR_OK) != (cases[c].printed != NULL) ||
            strcmp(after, cases[c].printed ? cases[c].printed : before) != 0)
            fail_msg("%s=%s: got %s, %s, expected %s", cases[c].name, cases[c].text, err_word(rc), after,
                     cases[c].printed ? cases[c].printed : "a refusal");
        if (rc != ERR_OK) {
            assert_int_equal(rc, ERR_BAD_INPUT);
            assert_string_equal(err.place, cases[c].name);
            assert_non_null(strstr(err.text, config_live_range(i, range)));
        }
        config_free(cfg);
    }
}

static void a_copy_takes_one_value_and_no_other(void **state)
{
    struct config *from = loaded(), *to = loaded();

    (void)state;
    from->batch_size = 7;
    from->check_interval_ms = 7000;
    from->enable_auto_fix = 0;
    config_live_copy(to, from, find("batch_size"));
    assert_true(to->batch_size == 7 && to->check_interval_ms == 1800000 && to->enable_auto_fix == 1);
    config_live_copy(to, from, find("enable_auto_fix"));
    assert_true(to->check_interval_ms == 1800000 && to->enable_auto_fix == 0 && to->enable_auto_refresh == 1);
    config_free(from);
    config_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_key_is_found_by_both_its_names_and_prints_its_default, fixture_clear),
        cmocka_unit_test_setup(a_value_is_taken_in_its_range_and_else_nothing_changes, fixture_clear),
        cmocka_unit_test_setup(a_copy_takes_one_value_and_no_other, fixture_clear),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
