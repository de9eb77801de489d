/* The configuration file as text: what is refused and where, secrets in files of their own, [app.NAME], which source wins. */
#include "base/limits.h"
#include "config_fixture.h"

static void mistakes_are_told_with_file_and_line(void **state)
{
    static const struct {
        const char *text, *place, *reason;
    } cases[] = {{"[log]\nlevel = info\nlevel = warn\n", "conf:3", "[log] level stands twice"},
                 {"[log]\nlevel = info\n[cache]\n[log]\nlevel = info\n", "conf:5", "[log] level stands twice"},
                 {"[log]\nlevle = info\n", "conf:2", "[log] levle: there is no such key"},
                 {"[log]\nLevel = info\n", "conf:2", "[log] this line: there is no such key"},
                 {"\n\n[lgo]\nlevel = info\n", "conf:4", "[lgo]: there is no such section"},
                 {"[LOG]\nlevel = info\n", "conf:2", "[this line]: there is no such section"},
                 {"[ log ]\nlevel = info\n", "conf:2", "[this line]: there is no such section"},
                 {"level = info\n", "conf:1", "below a [section]"},
                 {"[log]\nlevel\n", "conf:2", "\"key = value\""},
                 {"[log]\nlevel info\n", "conf:2", "\"key = value\""},
                 {"[log]\n= info\n", "conf:2", "\"key = value\""},
                 {"[log]\n:\n", "conf:2", "\"key = value\""},
                 {"[log\nlevel = info\n", "conf:1", "a section name in brackets"},
                 {"[]\nlevel = info\n", "conf:1", "a section name in brackets"},
                 {"[log] level = info\n", "conf:1", "a section name in brackets"},
                 {"[log] # comment\n", "conf:1", "a section name in brackets"},
                 {"[log]]\n", "conf:1", "a section name in brackets"},
                 {"[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n", "conf:1",
                  "a section name"},
                 {"[log]\n level = info\n", "conf:2", "must not begin with white space"},
                 {"[log]\nlevel = info\n\tcontinued\n", "conf:3", "must not begin with white space"},
                 {" [log]\n", "conf:1", "must not begin with white space"},
                 {"[log]\nlevel = info ; comment\n", "conf:2", "a line of its own"},
                 {"[log]\nlevel = info\t# comment\n", "conf:2", "a line of its own"},
                 {"[log]\nlevel: info #\n", "conf:2", "a line of its own"},
                 {"[log]\nlevel = \"info\"\n", "conf:2", "one of error|warn|info|debug"},
                 {"[authorizer]\nmode = enforced\n", "conf:2", "one of off|observe|enforce is expected"},
                 {"[authorizer]\nmode = \n", "conf:2", "one of off|observe|enforce is expected"},
                 {"\xef\xbb\xbf[log]\nlevel = info\n", "conf:1", "below a [section]"},
                 {"[app.]\nid = 1\n", "conf:2", "a platform's name"},
                 {"[app.Instagram]\nid = 1\n", "conf:2", "a platform's name"},
                 {"[app.a b]\nid = 1\n", "conf:2", "a platform's name"},
                 {"[app.abcdefghijklmnopqrstuvwxyz123456]\nid = 1\n", "conf:2", "a platform's name"},
                 {"[app]\nid = 1\n", "conf:2", "no such section"},
                 {"[app.x]\nkey = 1\n", "conf:2", "[app.x] key: there is no such key"},
                 {"[responder]\nrequest_timeout = 3m\n", "conf:2", "stuck_timeout: longer than request_timeout"},
                 {"[responder]\nrequest_timeout = 1m\nstuck_timeout = 60s\n", "conf:3", "longer than request_timeout"},
                 {"[encryption]\nkey = abc\nsEcReT4Zg==\n", "conf:3", "[encryption] this line: there is no such key"},
                 {"[app.x]\nid = 1\nid = 1\n", "conf:3", "[app.x] id stands twice"},
                 {"[app.x]\nsecret = a\n[app.y]\n[app.x]\nsecret = a\n", "conf:5", "[app.x] secret stands twice"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fixture_refuse(cases[i].text, cases[i].place, cases[i].reason);
}

static void every_usual_way_to_write_a_file_is_taken(void **state)
{
    static const char *const texts[] = {
        "[log]\nlevel = debug\n[store]\ncollection = a b;c#d",
        "[log]\r\nlevel = debug\r\n\r\n[store]\r\ncollection = a b;c#d\r\n",
        "# c\n; c\n\n   \n[log]   \nlevel=debug\n[store]\ncollection=a b;c#d   \n",
        "[store]\ncollection :  a b;c#d\n[log]\nlevel\t=\tdebug\n",
        "[log]\n#level = warn\nlevel = debug\n;level = warn\n[store]\n[store]\ncollection = a b;c#d\n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *cfg = fixture_load(texts[i]);

        if (cfg->log_level != 3 || strcmp(cfg->store_collection, "a b;c#d") != 0)
            fail_msg("%s\ngot level %d, collection \"%s\"", texts[i], cfg->log_level, cfg->store_collection);
        config_free(cfg);
    }
}

static void a_value_is_kept_whole_whatever_is_in_it(void **state)
{
    static const char *const values[] = {
        "mongodb://u:p%40@a:1,b:2,c:3/db?replicaSet=r&authSource=admin&w=majority&x=y==",
        "a;b",
        "a#b",
        "\"quoted\"",
        "'x'",
        "a=b",
        "=",
        "[x]",
        "\\n",
        "J\xc3\xa4ne",
        "a  b",
        ";",
        "#"};
    struct buf text = {0};
    struct config *cfg;

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        buf_reset(&text);
        buf_printf(&text, "[store]\nuri =%s\n", values[i]);
        cfg = fixture_load(buf_text(&text));
        assert_string_equal(cfg->store_uri, values[i]);
        config_free(cfg);
    }
    for (int len = 100; len < 70000; len = len * 3 / 2) { /* inih alone would make two lines of more than 200 bytes */
        buf_reset(&text);
        buf_printf(&text, "[store]\nuri = x%0*d=y\ncollection = c\n", len, 7);
        cfg = fixture_load(buf_text(&text));
        assert_int_equal(strlen(cfg->store_uri), len + 3);
        assert_string_equal(cfg->store_uri + len, "7=y");
        assert_string_equal(cfg->store_collection, "c");
        config_free(cfg);
    }
    buf_free(&text);
}

static void sizes_have_limits_and_nul_is_no_text(void **state)
{
    static const char nul[] = "[store]\ncollection = a\0b\n";
    struct config *cfg = NULL;
    struct buf text = {0};
    struct err err = {0};

    (void)state;
    assert_int_equal(fixture_try(nul, sizeof nul - 1, &cfg, &err), ERR_CONFIG);
    assert_string_equal(err.place, fixture_path("conf:2"));
    assert_non_null(strstr(err.text, "NUL"));
    buf_printf(&text, "[store]\nuri = %0*d\n", LIMIT_CONFIG_LINE_BYTES, 7);
    fixture_refuse(buf_text(&text), "conf:2", "a line of more than");
    buf_reset(&text);
    buf_printf(&text, "[encryption]\nkey = " FIXTURE_SECRET "%0*d\n", 65536, 7);
    fixture_refuse(buf_text(&text), "conf:2", "a secret has at most 65535 bytes");
    buf_reset(&text);
    while (text.len <= LIMIT_CONFIG_FILE_BYTES)
        buf_puts(&text, "# a comment that goes on and on\n");
    fixture_refuse(buf_text(&text), "conf", "larger than");
    buf_free(&text);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    struct config *cfg = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(config_load(fixture_path("none"), &cfg, &err), ERR_CONFIG);
    assert_string_equal(err.place, fixture_path("none"));
    assert_string_equal(err.text, "No such file or directory");
    err_clear(&err);
    assert_int_equal(config_load(fixture_dir, &cfg, &err), ERR_CONFIG);
    assert_string_equal(err.text, "Is a directory");
    assert_null(cfg);
}

/* ---- secrets */

static void assert_secret(const struct secret *secret, const char *want)
{
    if (!want) {
        assert_true(secret_is_empty(secret));
        return;
    }
    assert_false(secret_is_empty(secret));
    assert_int_equal(secret->len, strlen(want));
    assert_string_equal((const char *)secret_bytes(secret), want);
}

/* "[encryption]\nkey_file = DIR/name\n" */
static const char *key_file_line(const char *name)
{
    static char text[700];

    snprintf(text, sizeof text, "[encryption]\nkey_file = %s\n", strchr(name, '/') ? name : fixture_path(name));
    return text;
}

static void a_secret_file_loses_one_newline_and_nothing_else(void **state)
{
    static const struct {
        const char *content, *want;
    } cases[] = {{"abc", "abc"},       {"abc\n", "abc"},   {"abc\r\n", "abc"}, {"abc\n\n", "abc\n"},
                 {" abc \n", " abc "}, {"abc\r", "abc\r"}, {"a\nb\n", "a\nb"}, {"# ; = [x]\n", "# ; = [x]"},
                 {"\xff\n", "\xff"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config *cfg;

        fixture_write("secret", cases[i].content, strlen(cases[i].content), 0600);
        cfg = fixture_load(key_file_line("secret"));
        assert_secret(&cfg->encryption_key, cases[i].want);
        config_free(cfg);
    }
}

static void a_secret_file_may_be_as_long_as_a_secret_and_no_longer(void **state)
{
    static char content[70000];
    struct config *cfg;

    (void)state;
    memset(content, 'x', sizeof content);
    content[65535] = '\n';
    fixture_write("secret", content, 65536, 0600);
    cfg = fixture_load(key_file_line("secret"));
    assert_int_equal(cfg->encryption_key.len, 65535);
    config_free(cfg);
    fixture_write("secret", content, 65537, 0600); /* a newline, and more behind it */
    fixture_refuse(key_file_line("secret"), "conf:2", "1 to 65535 bytes");
    fixture_write("secret", content, sizeof content, 0600);
    fixture_refuse(key_file_line("secret"), "conf:2", "1 to 65535 bytes");
}

static void a_secret_file_that_is_not_fit_is_refused(void **state)
{
    static const struct {
        const char *content;
        size_t len;
        mode_t mode;
        const char *reason;
    } cases[] = {{"", 0, 0600, "1 to 65535 bytes"},
                 {"\n", 1, 0600, "1 to 65535 bytes"},
                 {"\r\n", 2, 0600, "1 to 65535 bytes"},
                 {FIXTURE_SECRET "\0x", 8, 0600, "without NUL"},
                 {FIXTURE_SECRET, 6, 0604, "other users may read"},
                 {FIXTURE_SECRET, 6, 0644, "other users may read"},
                 {FIXTURE_SECRET, 6, 0602, "other users may read"},
                 {FIXTURE_SECRET, 6, 0601, "other users may read"},
                 {FIXTURE_SECRET, 6, 0666, "other users may read"}};
    struct config *cfg;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_write("secret", cases[i].content, cases[i].len, cases[i].mode);
        fixture_refuse(key_file_line("secret"), "conf:2", cases[i].reason);
    }
    fixture_write("secret", FIXTURE_SECRET, 6, 0640);
    cfg = fixture_load(key_file_line("secret"));
    config_free(cfg);
    fixture_refuse(key_file_line("absent"), "conf:2", "No such file");
    fixture_refuse(key_file_line(fixture_dir), "conf:2", "Is a directory");
}

static void a_secret_in_a_file_that_others_may_read_is_refused(void **state)
{
    static const char *const texts[] = {
        "[encryption]\nkey = " FIXTURE_SECRET "\n", "[encryption]\nglobal_salt = " FIXTURE_SECRET "\n",
        "[app.x]\nsecret = " FIXTURE_SECRET "\n", "[store]\nuri = mongodb://u:" FIXTURE_SECRET "@h/d\n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *cfg = fixture_load(texts[i]); /* 0600 */
        struct err err = {0};

        config_free(cfg);
        fixture_write("conf", texts[i], strlen(texts[i]), 0644);
        assert_int_equal(config_load(fixture_path("conf"), &cfg, &err), ERR_CONFIG);
        assert_string_equal(err.place, fixture_path("conf:2"));
        assert_non_null(strstr(err.text, "chmod o="));
        assert_null(strstr(err.text, FIXTURE_SECRET));
    }
    struct config *cfg = NULL;
    static const char harmless[] = "[encryption]\nkey =\n[store]\nuri = mongodb://h/d\n[app.x]\nid = 1\n";
    fixture_write("conf", harmless, strlen(harmless), 0644);
    assert_int_equal(config_load(fixture_path("conf"), &cfg, NULL), ERR_OK);
    config_free(cfg);
}

static void a_bare_name_is_a_systemd_credential_where_there_is_one(void **state)
{
    struct config *cfg;

    (void)state;
    fixture_write("th-master-key", "from-credential\n", 16, 0600);
    setenv("CREDENTIALS_DIRECTORY", fixture_dir, 1);
    cfg = fixture_load("[encryption]\nkey_file = th-master-key\n");
    assert_secret(&cfg->encryption_key, "from-credential");
    config_free(cfg);
    fixture_refuse("[encryption]\nkey_file = th-no-such-key\n", "conf:2", "th-no-such-key: No such file");
    unsetenv("CREDENTIALS_DIRECTORY");
    fixture_refuse("[encryption]\nkey_file = th-master-key\n", "conf:2", "No such file");
    setenv("CREDENTIALS_DIRECTORY", "", 1);
    fixture_refuse("[encryption]\nkey_file = th-master-key\n", "conf:2", "No such file");
}

static void contents_of_files_arrive_where_they_belong(void **state)
{
    struct buf text = {0};
    struct config *cfg;

    (void)state;
    fixture_write("k", "the key", 7, 0600);
    fixture_write("s", "the salt\n", 9, 0600);
    fixture_write("u", "mongodb://u:p@h/d\n", 18, 0600);
    fixture_write("a", "the app's\n", 10, 0600);
    buf_printf(&text, "[encryption]\nkey_file=%s\nglobal_salt_file=%s\n[store]\nuri_file=%s\n", fixture_path("k"),
               fixture_path("s"), fixture_path("u"));
    buf_printf(&text, "[app.instagram]\nid=17\nsecret_file=%s\n[app.facebook]\nsecret=direct\n", fixture_path("a"));
    cfg = fixture_load(buf_text(&text));
    assert_secret(&cfg->encryption_key, "the key");
    assert_secret(&cfg->encryption_global_salt, "the salt");
    assert_string_equal(cfg->store_uri, "mongodb://u:p@h/d");
    assert_int_equal(cfg->app_count, 2);
    assert_string_equal(config_app_find(cfg, "instagram")->id, "17");
    assert_secret(&config_app_find(cfg, "instagram")->secret, "the app's");
    assert_secret(&config_app_find(cfg, "facebook")->secret, "direct");
    assert_null(config_app_find(cfg, "threads"));
    config_free(cfg);
    buf_free(&text);
}

static void old_keys_are_read_from_their_files(void **state)
{
    struct buf text = {0};
    struct config *cfg;

    (void)state;
    fixture_write("old1", "first\n", 6, 0600);
    fixture_write("old2", "second\n", 7, 0600);
    buf_printf(&text, "[encryption]\nold_keys = 2023:%s  k:2:%s\n", fixture_path("old1"), "/nowhere");
    fixture_refuse(buf_text(&text), "conf:2", "2:/nowhere"); /* the kid ends at the first colon */
    buf_reset(&text);
    buf_printf(&text, "[encryption]\nold_keys = 2023:%s  k2:%s\n", fixture_path("old1"), fixture_path("old2"));
    cfg = fixture_load(buf_text(&text));
    assert_int_equal(cfg->old_key_count, 2);
    assert_string_equal(cfg->old_keys[0].kid, "2023");
    assert_secret(&cfg->old_keys[0].key, "first");
    assert_string_equal(cfg->old_keys[1].kid, "k2");
    assert_secret(&cfg->old_keys[1].key, "second");
    config_free(cfg);
    fixture_refuse("[encryption]\nold_keys = nocolon\n", "conf:2", "kid:/path/of/file");
    fixture_refuse("[encryption]\nold_keys = :/path\n", "conf:2", "kid:/path/of/file");
    fixture_refuse("[encryption]\nold_keys = k:\n", "conf:2", "No such file");
    fixture_write("old2", "second\n", 7, 0644);
    fixture_refuse(buf_text(&text), "conf:2", "other users may read");
    buf_reset(&text);
    buf_puts(&text, "[encryption]\nold_keys =");
    for (int i = 0; i < CONFIG_OLD_KEYS_MAX + 1; i++)
        buf_printf(&text, " k%d:%s", i, fixture_path("old1"));
    fixture_refuse(buf_text(&text), "conf:2", "at most 8 keys");
    buf_free(&text);
}

static void platforms_have_a_limit(void **state)
{
    struct buf text = {0};
    struct config *cfg;

    (void)state;
    for (int i = 0; i < CONFIG_APPS_MAX; i++)
        buf_printf(&text, "[app.p%d]\nid = %d\n", i, i);
    cfg = fixture_load(buf_text(&text));
    assert_int_equal(cfg->app_count, CONFIG_APPS_MAX);
    assert_string_equal(config_app_find(cfg, "p15")->id, "15");
    config_free(cfg);
    buf_puts(&text, "[app.one_more]\nid = 1\n");
    fixture_refuse(buf_text(&text), "conf:34", "more than 16 platforms");
    buf_reset(&text);
    buf_printf(&text, "[app.x]\nid = %0128d\n", 1);
    fixture_refuse(buf_text(&text), "conf:2", "the app id is too long");
    buf_free(&text);
}

static void places_that_cannot_be_are_refused(void **state)
{
    static const char *const uris[] = {"mongodb://h", "mongodb://h/", "mongodb://h/?w=1", "mongodb+srv://u:p@h",
                                       "mongodb://u:p@h:1,i:2/?replicaSet=r"};
    static const char *const good_uris[] = {"mongodb://h/d",       "mongodb+srv://u:p%40@h/d?w=1",
                                            "mongodb://u:a/b@h/d", "mongodb://h/d?appName=a@b",
                                            "mongodb://u:a?b@h/d", "sqlite:a.db"};
    static const char *const places[] = {"127.0.0.1:65536",
                                         "127.0.0.1:0",
                                         "127.0.0.1:99999999999999999999",
                                         "h:",
                                         ":1",
                                         "h",
                                         "h:http",
                                         "unix:",
                                         "",

                                         "h:-1",
                                         "h: 80"};
    static const char *const good_places[] = {"127.0.0.1:65535", "[::1]:1", "unix:/x:99999", "fd:0", "localhost:9000"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        snprintf(text, sizeof text, "[store]\nuri = %s\n", uris[i]);
        fixture_refuse(text, "conf:2", "names no database");
    }
    for (size_t i = 0; i < sizeof good_uris / sizeof *good_uris; i++) {
        snprintf(text, sizeof text, "[store]\nuri = %s\n", good_uris[i]);
        config_free(fixture_load(text));
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(text, sizeof text, "[responder]\nlisten = %s\n", places[i]);
        fixture_refuse(text, "conf:2", "HOST:PORT");
    }
    for (size_t i = 0; i < sizeof good_places / sizeof *good_places; i++) {
        snprintf(text, sizeof text, "[responder]\nlisten = %s\n", good_places[i]);
        config_free(fixture_load(text));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fixture_clear)
    const struct CMUnitTest tests[] = {
        TEST(mistakes_are_told_with_file_and_line),
        TEST(every_usual_way_to_write_a_file_is_taken),
        TEST(a_value_is_kept_whole_whatever_is_in_it),
        TEST(sizes_have_limits_and_nul_is_no_text),
        TEST(a_file_that_cannot_be_read_is_an_error),
        TEST(a_secret_file_loses_one_newline_and_nothing_else),
        TEST(a_secret_file_may_be_as_long_as_a_secret_and_no_longer),
        TEST(a_secret_file_that_is_not_fit_is_refused),
        TEST(a_secret_in_a_file_that_others_may_read_is_refused),
        TEST(a_bare_name_is_a_systemd_credential_where_there_is_one),
        TEST(contents_of_files_arrive_where_they_belong),
        TEST(old_keys_are_read_from_their_files),
        TEST(platforms_have_a_limit),
        TEST(places_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
