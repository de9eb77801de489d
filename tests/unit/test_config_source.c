/* Which source wins: default, file, the application's own variables, ours; and a value and its _file are one setting. */
#include "config_fixture.h"

static void assert_key(const struct config *cfg, const char *want)
{
    if (!want) {
        assert_true(secret_is_empty(&cfg->encryption_key));
        return;
    }
    assert_false(secret_is_empty(&cfg->encryption_key));
    assert_string_equal((const char *)secret_bytes(&cfg->encryption_key), want);
}

static void assert_all_from(const struct config *cfg, const char *source, int64_t iterations, const char *uri)
{
    assert_key(cfg, source);
    assert_string_equal((const char *)secret_bytes(&cfg->encryption_global_salt), source);
    assert_int_equal(cfg->kdf_iterations, iterations);
    assert_string_equal(cfg->store_uri, uri);
    assert_int_equal(cfg->app_count, 1);
    assert_string_equal(cfg->apps[0].id, source);
    assert_string_equal((const char *)secret_bytes(&cfg->apps[0].secret), source);
}

static void the_applications_own_names_count_above_the_file_and_below_ours(void **state)
{
    static const char text[] =
        "[encryption]\nkey = file\nglobal_salt = file\nkdf_iterations = 5\n[store]\nuri = sqlite:/file\n"
        "[app.instagram]\nid = file\nsecret = file\n";
    static const char *const variables[][3] = {
        {"TOKEN_ENCRYPTION_KEY", "TOKEN_HEALTH_ENCRYPTION_KEY", NULL},
        {"TOKEN_ENCRYPTION_GLOBAL_SALT", "TOKEN_HEALTH_ENCRYPTION_GLOBAL_SALT", NULL},
        {"INSTAGRAM_APP_ID", "TOKEN_HEALTH_APP_INSTAGRAM_ID", NULL},
        {"INSTAGRAM_APP_SECRET", "TOKEN_HEALTH_APP_INSTAGRAM_SECRET", NULL},
        {"TOKEN_KDF_ITERATIONS", "TOKEN_HEALTH_ENCRYPTION_KDF_ITERATIONS", "67"},
        {"MONGODB_URI", "TOKEN_HEALTH_STORE_URI", "xy"}};
    static const char *const sources[] = {"application", "ours"};
    struct config *cfg = fixture_load(text);

    (void)state;
    assert_all_from(cfg, "file", 5, "sqlite:/file");
    config_free(cfg);
    for (int source = 0; source < 2; source++) {
        for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
            char letter[2] = {variables[i][2] ? variables[i][2][source] : '\0', '\0'};

            setenv(variables[i][source], variables[i][2] ? letter : sources[source], 1);
        }
        cfg = fixture_load(text);
        assert_all_from(cfg, sources[source], 6 + source, source ? "y" : "x");
        config_free(cfg);
    }
}

static void an_empty_variable_of_the_application_is_as_none(void **state)
{
    struct config *cfg;

    (void)state;
    setenv("TOKEN_ENCRYPTION_KEY", "", 1);
    setenv("TOKEN_KDF_ITERATIONS", "", 1);
    setenv("MONGODB_URI", "", 1);
    setenv("INSTAGRAM_APP_ID", "", 1);
    cfg = fixture_load("[encryption]\nkey = file\n");
    assert_key(cfg, "file");
    assert_int_equal(cfg->kdf_iterations, 100000);
    assert_int_equal(strncmp(cfg->store_uri, "sqlite:", 7), 0);
    assert_int_equal(cfg->app_count, 0);
    config_free(cfg);
    setenv("TOKEN_HEALTH_ENCRYPTION_KEY", "", 1); /* ours says that it is empty */
    cfg = fixture_load("[encryption]\nkey = file\n");
    assert_key(cfg, NULL);
    config_free(cfg);
}

static void any_platform_has_its_variables(void **state)
{
    struct config *cfg = NULL;

    (void)state;
    fixture_write("app", "of-file\n", 8, 0600);
    setenv("TIKTOK_APP_ID", "t1", 1);
    setenv("MY_APP2_APP_SECRET", "m1", 1);
    setenv("TOKEN_HEALTH_APP_X_ID", "x1", 1);
    setenv("TOKEN_HEALTH_APP_X_SECRET_FILE", fixture_path("app"), 1);
    /* none of these is an app's */
    setenv("_APP_ID", "no", 1);
    setenv("APP_ID", "no", 1);
    setenv("instagram_APP_ID", "no", 1);
    setenv("INSTAGRAM_APP_IDS", "no", 1);
    setenv("INSTAGRAM_APP_ID_OLD", "no", 1);
    setenv("A.B_APP_ID", "no", 1);
    setenv("OTHER", "INSTAGRAM_APP_ID=no", 1);
    setenv("TOKEN_HEALTH_APP_ID", "no", 1);
    setenv("TOKEN_HEALTH_APP_SECRET", "no", 1);
    setenv("TOKEN_HEALTH_APP__OTHER", "no", 1);
    setenv("ABCDEFGHIJKLMNOPQRSTUVWXYZ123456_APP_ID", "no", 1);
    assert_int_equal(config_load(NULL, &cfg, NULL), ERR_OK);
    assert_int_equal(cfg->app_count, 3);
    assert_string_equal(config_app_find(cfg, "tiktok")->id, "t1");
    assert_string_equal((const char *)secret_bytes(&config_app_find(cfg, "my_app2")->secret), "m1");
    assert_string_equal(config_app_find(cfg, "x")->id, "x1");
    assert_string_equal((const char *)secret_bytes(&config_app_find(cfg, "x")->secret), "of-file");
    config_free(cfg);
}

/* TOKEN_HEALTH_BUILD, TOKEN_HEALTH_PORT (Kubernetes makes such ones of a service's name). */
static void variables_that_name_no_key_are_left_alone(void **state)
{
    struct config *cfg;

    (void)state;
    setenv("TOKEN_HEALTH_BUILD", "build/release", 1);
    setenv("TOKEN_HEALTH_PORT", "tcp://10.0.0.1:80", 1);
    setenv("TOKEN_HEALTH_CACHE_TTLL", "x", 1);
    cfg = fixture_load("");
    config_free(cfg);
}

static void hear(void *arg, const char *name)
{
    buf_printf(arg, "%s ", name);
}

static void variables_that_name_no_key_are_told_without_their_value(void **state)
{
    struct buf heard = {0};

    (void)state;
    setenv("TOKEN_HEALTH_CACHE_TTL", "5m", 1);
    setenv("TOKEN_HEALTH_APP_INSTAGRAM_SECRET_FILE", "/x", 1);
    setenv("TOKEN_HEALTH_APP_X_ID", "1", 1);
    setenv("TOKEN_ENCRYPTION_KEY", FIXTURE_SECRET, 1);
    config_stray_variables(hear, &heard);
    assert_string_equal(buf_text(&heard), "");
    setenv("TOKEN_HEALTH_CACHE_TTLL", FIXTURE_SECRET, 1);
    config_stray_variables(hear, &heard);
    assert_string_equal(buf_text(&heard), "TOKEN_HEALTH_CACHE_TTLL ");
    buf_free(&heard);
}

static void a_value_and_its_file_in_one_source_are_an_error(void **state)
{
    (void)state;
    fixture_write("k", "file-content", 12, 0600);
    fixture_refuse("[encryption]\nkey = a\nkey_file = /x\n", "conf:3", "key and key_file together");
    fixture_refuse("[encryption]\nkey_file = /x\n#\nkey = a\n", "conf:4", "key and key_file together");
    fixture_refuse("[encryption]\nglobal_salt = a\nglobal_salt_file = /x\n", "conf:3",
                   "global_salt and global_salt_file together");
    fixture_refuse("[store]\nuri_file = /x\nuri = a\n", "conf:3", "uri and uri_file together");
    fixture_refuse("[app.x]\nsecret_file = /x\nsecret = a\n", "conf:3", "secret and secret_file together");
    fixture_refuse("[app.x]\nsecret = a\nsecret_file = /x\n", "conf:3", "secret and secret_file together");
    setenv("TOKEN_HEALTH_STORE_URI", "a", 1);
    setenv("TOKEN_HEALTH_STORE_URI_FILE", fixture_path("k"), 1);
    fixture_refuse("", "TOKEN_HEALTH_STORE_URI_FILE", "uri and uri_file together");
    unsetenv("TOKEN_HEALTH_STORE_URI");
    setenv("TOKEN_HEALTH_APP_X_SECRET_FILE", "/x", 1);
    setenv("TOKEN_HEALTH_APP_X_SECRET", FIXTURE_SECRET, 1);
    fixture_refuse("", "TOKEN_HEALTH_APP_X_SECRET", "secret and secret_file together");
}

/* The lower one is not even read: it may be gone. */
static void of_a_value_and_its_file_the_higher_source_wins(void **state)
{
    struct config *cfg;

    (void)state;
    fixture_write("k", "file-content", 12, 0600);
    setenv("TOKEN_ENCRYPTION_KEY", "application", 1);
    setenv("MONGODB_URI", "mongodb://application/db", 1);
    setenv("X_APP_SECRET", "application", 1);
    cfg = fixture_load("[encryption]\nkey_file = /gone\n[store]\nuri_file = /gone\n[app.x]\nsecret_file = /gone\n");
    assert_key(cfg, "application");
    assert_string_equal(cfg->store_uri, "mongodb://application/db");
    assert_string_equal((const char *)secret_bytes(&cfg->apps[0].secret), "application");
    config_free(cfg);
    setenv("TOKEN_HEALTH_ENCRYPTION_KEY_FILE", fixture_path("k"), 1);
    setenv("TOKEN_HEALTH_STORE_URI_FILE", fixture_path("k"), 1);
    setenv("TOKEN_HEALTH_APP_X_SECRET_FILE", fixture_path("k"), 1);
    cfg = fixture_load("[encryption]\nkey = file\n[store]\nuri = file\n[app.x]\nsecret = file\n");
    assert_key(cfg, "file-content");
    assert_string_equal(cfg->store_uri, "file-content");
    assert_string_equal((const char *)secret_bytes(&cfg->apps[0].secret), "file-content");
    config_free(cfg);
}

static void an_error_names_the_variable_and_never_shows_a_secret(void **state)
{
    static char long_secret[70001] = FIXTURE_SECRET;

    (void)state;
    memset(long_secret + 6, 'x', sizeof long_secret - 7);
    setenv("TOKEN_KDF_ITERATIONS", "many", 1);
    fixture_refuse("", "TOKEN_KDF_ITERATIONS", "[encryption] kdf_iterations: a whole number from 1 to 2000000");
    unsetenv("TOKEN_KDF_ITERATIONS");
    setenv("TOKEN_ENCRYPTION_KEY", long_secret, 1);
    fixture_refuse("", "TOKEN_ENCRYPTION_KEY", "at most 65535 bytes");
    unsetenv("TOKEN_ENCRYPTION_KEY");
    setenv("INSTAGRAM_APP_SECRET", long_secret, 1);
    fixture_refuse("", "INSTAGRAM_APP_SECRET", "at most 65535 bytes");
    unsetenv("INSTAGRAM_APP_SECRET");
    setenv("TOKEN_HEALTH_APP_X_SECRET_FILE", "/gone", 1);
    fixture_refuse("", "TOKEN_HEALTH_APP_X_SECRET_FILE", "/gone: No such file");
}

static void a_secret_leaves_the_environment_and_the_next_load_still_has_it(void **state)
{
    static const char *const names[] = {"TOKEN_ENCRYPTION_KEY", "TOKEN_HEALTH_ENCRYPTION_GLOBAL_SALT", "MONGODB_URI",
                                        "TIKTOK_APP_SECRET", "TOKEN_HEALTH_APP_X_SECRET"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        setenv(names[i], i == 2 ? "mongodb://u:" FIXTURE_SECRET "@h/app" : FIXTURE_SECRET, 1);
    for (int load = 0; load < 3; load++) {
        struct config *cfg = fixture_load("[log]\nlevel = info\n");

        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            assert_int_equal(strspn(getenv(names[i]), "*"), strlen(getenv(names[i])));
        assert_string_equal((const char *)secret_bytes(&cfg->encryption_key), FIXTURE_SECRET);
        assert_string_equal((const char *)secret_bytes(&cfg->encryption_global_salt), FIXTURE_SECRET);
        assert_string_equal(cfg->store_uri, "mongodb://u:" FIXTURE_SECRET "@h/app");
        assert_string_equal((const char *)secret_bytes(&config_app_find(cfg, "tiktok")->secret), FIXTURE_SECRET);
        assert_string_equal((const char *)secret_bytes(&config_app_find(cfg, "x")->secret), FIXTURE_SECRET);
        config_free(cfg);
    }
    setenv("TOKEN_ENCRYPTION_KEY", "another", 1);
    for (int load = 0; load < 2; load++) {
        struct config *cfg = fixture_load("");

        assert_string_equal((const char *)secret_bytes(&cfg->encryption_key), "another");
        config_free(cfg);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fixture_clear)
    const struct CMUnitTest tests[] = {
        TEST(the_applications_own_names_count_above_the_file_and_below_ours),
        TEST(an_empty_variable_of_the_application_is_as_none),
        TEST(any_platform_has_its_variables),
        TEST(variables_that_name_no_key_are_left_alone),
        TEST(variables_that_name_no_key_are_told_without_their_value),
        TEST(a_value_and_its_file_in_one_source_are_an_error),
        TEST(of_a_value_and_its_file_the_higher_source_wins),
        TEST(an_error_names_the_variable_and_never_shows_a_secret),
        TEST(a_secret_leaves_the_environment_and_the_next_load_still_has_it),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
