/* Every key of config.def: its default, its range, its units, from the file and from the environment. */
#include "config_fixture.h"
#include <ctype.h>

static void the_defaults_are_those_of_the_design(void **state)
{
    struct config *cfg = NULL;

    (void)state;
    assert_int_equal(config_load(NULL, &cfg, NULL), ERR_OK);
    assert_string_equal(cfg->store_uri, "sqlite:/var/lib/token-health/accounts.db");
    assert_string_equal(cfg->store_collection, "socialaccounts");
    assert_int_equal(cfg->kdf_iterations, 100000);
    assert_true(secret_is_empty(&cfg->encryption_key));
    assert_int_equal(cfg->connect_timeout_ms, 3000);
    assert_int_equal(cfg->provider_timeout_ms, 10000);
    assert_string_equal(cfg->sandbox_url, "");
    assert_int_equal(cfg->confirmations, 2);
    assert_int_equal(cfg->confirm_interval_ms, 60000);
    assert_int_equal(cfg->cache_ttl_ms, 5 * 60000);
    assert_true(cfg->cache_inconclusive_ttl_ms < cfg->cache_ttl_ms / 4);
    assert_int_equal(cfg->authorizer_mode, AUTHORIZER_OBSERVE);
    assert_int_equal(cfg->check_interval_ms, 30 * 60000);
    assert_int_equal(cfg->enable_auto_fix, 1);
    assert_int_equal(cfg->enable_auto_refresh, 1);
    assert_int_equal(cfg->app_count, 0);
    assert_int_equal(cfg->old_key_count, 0);
    assert_null(config_app_find(cfg, "instagram"));
    config_free(cfg);
    config_free(NULL);
}

/* "[section]\nname = value\n" */
static const char *line_of(const struct config_key *key, const char *value)
{
    static char text[4096];

    snprintf(text, sizeof text, "[%s]\n%s = %s\n", key->section, key->name, value);
    return text;
}

static const char *variable_of(const struct config_key *key)
{
    static char name[128];

    snprintf(name, sizeof name, "TOKEN_HEALTH_%s_%s", key->section, key->name);
    for (char *c = name; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return name;
}

/* A request that may take longer than a worker may be in one is refused. */
static void allow_long_requests(const struct config_key *key)
{
    if (key && !strcmp(key->name, "request_timeout"))
        setenv("TOKEN_HEALTH_RESPONDER_STUCK_TIMEOUT", "0", 1);
    else
        unsetenv("TOKEN_HEALTH_RESPONDER_STUCK_TIMEOUT");
}

/* A value that is right and not the default. */
static const char *other_value(const struct config_key *key)
{
    static char text[64];

    switch (key->type) {
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_URI:
        return !strcmp(key->name, "old_keys") ? "" : "/other/value";
    case TYPE_LISTEN:
        return "127.0.0.1:9000";
    case TYPE_FILE:
        return fixture_write("value", "other-value\n", 12, 0600);
    case TYPE_URL:
        return "https://sandbox.example/base";
    case TYPE_MODE:
        return "0600";
    case TYPE_SECRET:
        return "another " FIXTURE_SECRET;
    case TYPE_INT:
        snprintf(text, sizeof text, "%lld", (long long)(atoll(key->def) == key->max ? key->min : key->max));
        return text;
    case TYPE_DURATION:
        snprintf(text, sizeof text, "%lldms", (long long)key->max);
        return text;
    case TYPE_BOOL:
        return !strcmp(key->def, "true") ? "off" : "on";
    case TYPE_CHOICE:
        snprintf(text, sizeof text, "%s", strrchr(key->help, '|') + 1);
        text[strcspn(text, ":")] = '\0';
        return text;
    }
    return "";
}

static int is_set(struct config *cfg, const struct config_key *key, const char *value)
{
    const void *field = fixture_field(cfg, key);

    if (key->type == TYPE_SECRET) return !strcmp((const char *)secret_bytes(field), value);
    if (key->type < TYPE_SECRET) return !strcmp(*(char *const *)field, value);
    if (key->type == TYPE_INT || key->type == TYPE_DURATION) return *(const int64_t *)field == atoll(value);
    return key->type == TYPE_BOOL ? *(const int *)field == !strcmp(value, "on") : *(const int *)field > 0;
}

static void every_key_can_be_set_in_the_file_and_the_environment_wins(void **state)
{
    (void)state;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        const char *value = other_value(key);
        struct config *cfg;

        allow_long_requests(key);
        cfg = fixture_load(line_of(key, value));
        if (!is_set(cfg, key, value))
            fail_msg("[%s] %s = %s was not taken from the file", key->section, key->name, value);
        config_free(cfg);
        setenv(variable_of(key), value, 1);
        cfg = fixture_load(line_of(key, key->def));
        if (!is_set(cfg, key, value)) fail_msg("%s=%s was not taken", variable_of(key), value);
        config_free(cfg);
        assert_int_equal(config_load(NULL, &cfg, NULL), ERR_OK); /* without a file, too */
        if (!is_set(cfg, key, value)) fail_msg("%s=%s was not taken without a file", variable_of(key), value);
        config_free(cfg);
        unsetenv(variable_of(key));
    }
    allow_long_requests(NULL);
}

static void expect_refused(const struct config_key *key, const char *value)
{
    char reason[64];

    snprintf(reason, sizeof reason, "[%s] %s", key->section, key->name);
    fixture_refuse(line_of(key, value), "conf:2", reason);
    setenv(variable_of(key), value, 1);
    fixture_refuse("", variable_of(key), reason);
    unsetenv(variable_of(key));
}

static void numbers_are_taken_in_their_range_only(void **state)
{
    static const char *const bad[] = {"", "x", "1x", "0x10", "1.5", "1e3", "--1", "+1", "1 0", "99999999999999999999",
                                      "-"};

    (void)state;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        const char *unit = key->type == TYPE_DURATION ? "ms" : "";
        char text[64];

        if (key->type != TYPE_INT && key->type != TYPE_DURATION) continue;
        allow_long_requests(key);
        for (int end = 0; end < 2; end++) {
            int64_t edge = end ? key->max : key->min;
            struct config *cfg;

            snprintf(text, sizeof text, "%lld%s", (long long)edge, unit);
            cfg = fixture_load(line_of(key, text));
            if (*(int64_t *)fixture_field(cfg, key) != edge)
                fail_msg("[%s] %s = %s: not taken", key->section, key->name, text);
            config_free(cfg);
            snprintf(text, sizeof text, "%lld%s", (long long)(end ? edge + 1 : edge - 1), unit);
            expect_refused(key, text);
        }
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
            expect_refused(key, bad[b]);
    }
    allow_long_requests(NULL);
}

static void choices_and_booleans_are_words_of_their_lists(void **state)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    static const char *const bad[] = {"", "2", "TRUE", "Yes", "observe|enforce", "err", "info ,", "enabled", "|"};

    (void)state;
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        struct config *cfg;

        if (key->type != TYPE_BOOL && key->type != TYPE_CHOICE) continue;
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
            expect_refused(key, bad[b]);
        for (int word = 0; key->type == TYPE_BOOL && word < 4; word++) {
            cfg = fixture_load(line_of(key, yes[word]));
            assert_int_equal(*(int *)fixture_field(cfg, key), 1);
            config_free(cfg);
            cfg = fixture_load(line_of(key, no[word]));
            assert_int_equal(*(int *)fixture_field(cfg, key), 0);
            config_free(cfg);
        }
    }
    static const char *const levels[] = {"error", "warn", "info", "debug"}, *const modes[] = {"off", "observe",
                                                                                              "enforce"};
    for (int level = 0; level < 4; level++) {
        char text[64];
        struct config *cfg;

        snprintf(text, sizeof text, "[log]\nlevel=%s\n[authorizer]\nmode=%s\n", levels[level], modes[level % 3]);
        cfg = fixture_load(text);
        assert_int_equal(cfg->log_level, level);
        assert_int_equal(cfg->authorizer_mode, level % 3);
        config_free(cfg);
    }
}

static void durations_have_units(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {{"0", 0},
                 {"5", 5000},
                 {"500ms", 500},
                 {"90s", 90000},
                 {"30m", 1800000},
                 {"2h", 7200000},
                 {"7d", 604800000},
                 {"007s", 7000},
                 {"", -1},
                 {"s", -1},
                 {"-5s", -1},
                 {"+5s", -1},
                 {" 5s", -1},
                 {"5 s", -1},
                 {"5S", -1},
                 {"5min", -1},
                 {"5sec", -1},
                 {"1.5h", -1},
                 {"1h30m", -1},
                 {"5ms ", -1},
                 {"0x5s", -1},
                 {"5w", -1},
                 {"9223372036854775807ms", INT64_MAX},
                 {"9223372036854775807s", -1},
                 {"9223372036854775808ms", -1},
                 {"106751991167d", INT64_C(9223372036828800000)},
                 {"106751991168d", -1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -1;

        if (config_parse_duration(cases[i].text, &ms) != (cases[i].ms >= 0) || ms != cases[i].ms)
            fail_msg("\"%s\": got %lld, expected %lld", cases[i].text, (long long)ms, (long long)cases[i].ms);
    }
}

static void modes_are_octal_permissions(void **state)
{
    static const struct {
        const char *text;
        int mode; /* -1: refused */
    } cases[] = {{"0660", 0660}, {"660", 0660}, {"0600", 0600}, {"0", 0},      {"777", 0777},     {"0777", 0777},
                 {"", -1},       {"1000", -1},  {"7777", -1},   {"00660", -1}, {"0680", -1},      {"0o660", -1},
                 {"-660", -1},   {"+660", -1},  {" 660", -1},   {"660 ", -1},  {"rw-rw----", -1}, {"0x1b0", -1}};
    unsigned mode;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mode = 0;
        if (config_parse_mode(cases[i].text, &mode) != (cases[i].mode >= 0) ||
            (cases[i].mode > 0 && (int)mode != cases[i].mode))
            fail_msg("\"%s\": got %o, expected %o", cases[i].text, mode, (unsigned)cases[i].mode);
    }
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (config_keys[i].type == TYPE_MODE) {
            expect_refused(&config_keys[i], "rw");
            expect_refused(&config_keys[i], "01777");
        }
}

static void the_sandbox_is_https_or_on_this_host(void **state)
{
    static const char *const good[] = {"", "http://127.0.0.1:9000", "http://localhost:9000/x", "http://[::1]:9000",
                                       "https://sandbox.example"};
    static const char *const bad[] = {"127.0.0.1:9000",           "http://sandbox.example", "http://127.0.0.1.example/",
                                      "ftp://127.0.0.1/",         "file:///etc/passwd",     "http://10.0.0.1:9000",
                                      "https://user:sEcReT@host/"};
    const struct config_key *key = &config_keys[0];

    (void)state;
    while (strcmp(key->name, "sandbox_url") != 0)
        key++;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct config *cfg = fixture_load(line_of(key, good[i]));

        assert_string_equal(cfg->sandbox_url, good[i]);
        config_free(cfg);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(key, bad[i]);
}

/* The sample with every key uncommented, but for those whose default is nothing and which may not be given. */
static void uncomment(const struct buf *sample, struct buf *out)
{
    const char *at = buf_text(sample);

    while (*at && strncmp(at, "\n# Your registration", 20) != 0) {
        size_t len = strcspn(at, "\n") + 1;
        int is_key = at[0] == '#' && at[1] != ' ';
        int is_file = is_key && len > 9 && !memcmp(at + len - 9, "_file = \n", 9);

        if (!is_file) buf_put(out, at + is_key, len - (size_t)is_key);
        at += len;
    }
}

static void assert_all_default(const struct buf *text)
{
    struct config *defaults = NULL, *cfg = fixture_load(buf_text(text));

    assert_int_equal(config_load(NULL, &defaults, NULL), ERR_OK);
    for (int i = 0; i < CONFIG_KEY_COUNT; i++)
        if (!fixture_same(cfg, defaults, &config_keys[i]))
            fail_msg("[%s] %s is not the default", config_keys[i].section, config_keys[i].name);
    assert_int_equal(cfg->app_count, 0);
    config_free(cfg);
    config_free(defaults);
}

static void the_printed_sample_gives_exactly_the_defaults(void **state)
{
    struct buf sample = {0}, uncommented = {0};

    (void)state;
    config_print_sample(&sample);
    assert_all_default(&sample);
    uncomment(&sample, &uncommented);
    assert_all_default(&uncommented);
    for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
        char line[256];

        snprintf(line, sizeof line, "\n#%s = %s\n", config_keys[i].name, config_keys[i].def);
        if (!strstr(buf_text(&sample), line)) fail_msg("not in the sample: %s", line + 1);
        if (!strstr(buf_text(&sample), config_keys[i].help))
            fail_msg("no help for %s in the sample", config_keys[i].name);
    }
    buf_free(&sample);
    buf_free(&uncommented);
}

static void the_name_of_the_store_has_no_password_in_it(void **state)
{
    static const struct {
        const char *uri, *name;
    } cases[] = {{"sqlite:/var/lib/a.db", "sqlite:/var/lib/a.db"},
                 {"mongodb://host/db", "mongodb://host/db"},
                 {"mongodb://host:27017,other:27018/db?replicaSet=r", "mongodb://host:27017,other:27018/db"},
                 {"mongodb://user:" FIXTURE_SECRET "@host/db", "mongodb://host/db"},
                 {"mongodb+srv://user:" FIXTURE_SECRET "@host/db?w=1", "mongodb+srv://host/db"},
                 {"mongodb://user:a/" FIXTURE_SECRET "@host/db", "mongodb://host/db"},
                 {"mongodb://user:a?" FIXTURE_SECRET "@host/db", "mongodb://host/db"},
                 {"mongodb://user:a@" FIXTURE_SECRET "@host/db", "mongodb://host/db"},
                 {"mongodb:user:" FIXTURE_SECRET "@host/db", "mongodbhost/db"},
                 {"user:" FIXTURE_SECRET "@host/db", "userhost/db"},
                 {FIXTURE_SECRET "@host://x", "host://x"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config cfg = {.store_uri = strdup(cases[i].uri)};
        char name[128], small[8];

        config_store_name(&cfg, name, sizeof name);
        if (strstr(name, FIXTURE_SECRET)) fail_msg("%s: shown as %s", cases[i].uri, name);
        if (i < 8 && strcmp(name, cases[i].name) != 0)
            fail_msg("%s: got %s, expected %s", cases[i].uri, name, cases[i].name);
        assert_true(strlen(config_store_name(&cfg, small, sizeof small)) < sizeof small);
        free(cfg.store_uri);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fixture_clear)
    const struct CMUnitTest tests[] = {
        TEST(the_defaults_are_those_of_the_design),
        TEST(every_key_can_be_set_in_the_file_and_the_environment_wins),
        TEST(numbers_are_taken_in_their_range_only),
        TEST(choices_and_booleans_are_words_of_their_lists),
        TEST(durations_have_units),
        TEST(modes_are_octal_permissions),
        TEST(the_sandbox_is_https_or_on_this_host),
        TEST(the_printed_sample_gives_exactly_the_defaults),
        TEST(the_name_of_the_store_has_no_password_in_it),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
