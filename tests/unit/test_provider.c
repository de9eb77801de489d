/* Provider files: the shipped ones, overriding, choosing a login, and every mistake told with its line. */
#include "base/json.h"
#include "provider_fixture.h"

static void put(struct secret *s, const char *text)
{
    assert_int_equal(secret_put(s, text, strlen(text), NULL), ERR_OK);
}

static void shipped_files_load(void **state)
{
    (void)state;
    struct provider_set *set = fixture_shipped();
    assert_true(provider_count(set) >= 2);
    assert_non_null(provider_at(set, 0));
    assert_null(provider_at(set, provider_count(set)));
    assert_null(provider_find(set, "myspace"));
    assert_string_equal(provider_platform(provider_find(set, "instagram")), "instagram");
    assert_string_equal(provider_platform(provider_find(set, "facebook")), "facebook");
    provider_set_free(set);
    provider_set_free(NULL);
}

static void token_prefix_chooses_the_login(void **state)
{
    (void)state;
    static const struct {
        const char *platform, *token, *login, *host, *app;
    } rows[] = {
        {"instagram", "IGAAHsomething", "instagram", "graph.instagram.com", "instagram"},
        {"instagram", "IGQVJsomething", "instagram", "graph.instagram.com", "instagram"},
        {"instagram", "EAABsomething", "facebook", "graph.facebook.com", "facebook"},
        {"instagram", "somethingelse", "instagram", "graph.instagram.com", "instagram"},
        {"instagram", "eaabsomething", "instagram", "graph.instagram.com", "instagram"},
        {"instagram", NULL, "instagram", "graph.instagram.com", "instagram"},
        {"facebook", "EAABsomething", "facebook", "graph.facebook.com", "facebook"},
        {"facebook", "IGAAsomething", "facebook", "graph.facebook.com", "facebook"},
    };
    struct provider_set *set = fixture_shipped();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct secret token = {0};
        if (rows[i].token) put(&token, rows[i].token);
        const struct login *l = provider_login(provider_find(set, rows[i].platform), rows[i].token ? &token : NULL);
        assert_string_equal(login_name(l), rows[i].login);
        assert_string_equal(login_host(l), rows[i].host);
        assert_string_equal(login_app(l), rows[i].app);
        secret_free(&token);
    }
    assert_null(provider_login_find(provider_find(set, "facebook"), "instagram"));
    provider_set_free(set);
}

static void longest_prefix_wins(void **state)
{
    (void)state;
    static const char text[] =
        "{\"platform\": \"two\", \"default_login\": \"short\", \"error\": {\"in\": \"error\", \"code\": \"error\"}, "
        "\"rules\": [],\n"
        "\"logins\": [\n"
        "{\"name\": \"short\", \"prefixes\": [\"AB\"], \"host\": \"a.example\", \"refresh\": {\"model\": \"none\"}, "
        "\"requests\": {\"validate\":\n"
        "{\"method\": \"GET\", \"url\": \"https://a.example/me\", \"query\": {\"t\": \"{access_token}\"},\n"
        "\"success\": {\"require\": [\"id\"], \"fields\": {}}}}},\n"
        "{\"name\": \"long\", \"prefixes\": [\"ABC\"], \"host\": \"b.example\", \"refresh\": {\"model\": \"none\"}, "
        "\"requests\": {\"validate\":\n"
        "{\"method\": \"GET\", \"url\": \"https://b.example/me\", \"query\": {\"t\": \"{access_token}\"},\n"
        "\"success\": {\"require\": [\"id\"], \"fields\": {}}}}}]}";
    struct provider_set *set = fixture_load_text(text);
    struct secret token = {0};
    put(&token, "ABCD");
    assert_string_equal(login_name(provider_login(provider_at(set, 0), &token)), "long");
    put(&token, "ABD");
    assert_string_equal(login_name(provider_login(provider_at(set, 0), &token)), "short");
    assert_int_equal(login_refresh(provider_login(provider_at(set, 0), &token))->model, REFRESH_NONE);
    secret_free(&token);
    provider_set_free(set);
}

static void refresh_policies_are_read(void **state)
{
    (void)state;
    struct provider_set *set = fixture_shipped();
    const struct refresh_policy *ig = login_refresh(fixture_login(set, "instagram", "instagram"));
    assert_int_equal(ig->model, REFRESH_EXTEND);
    assert_false(ig->rotates);
    assert_int_equal(ig->min_age_s, 86400);
    assert_int_equal(ig->window_start_s, 14 * 86400);
    assert_int_equal(ig->window_end_s, 3 * 86400);
    assert_int_equal(login_refresh(fixture_login(set, "facebook", "facebook"))->min_age_s, 0);
    provider_set_free(set);

    set = fixture_load_text(fixture_rotating);
    const struct refresh_policy *clip = login_refresh(fixture_login(set, "clip", "clip"));
    assert_int_equal(clip->model, REFRESH_TOKEN);
    assert_true(clip->rotates);
    assert_int_equal(clip->window_start_s, 8 * 3600);
    assert_int_equal(clip->window_end_s, 90 * 60);
    provider_set_free(set);
}

static void introspection_is_for_facebook_tokens_only(void **state)
{
    (void)state;
    struct provider_set *set = fixture_shipped();
    const struct login *ig = fixture_login(set, "instagram", "instagram");
    const struct login *ig_fb = fixture_login(set, "instagram", "facebook");
    assert_false(login_has_request(ig, REQUEST_INTROSPECT));
    assert_true(login_has_request(ig, REQUEST_EXCHANGE));
    for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++)
        assert_true(login_has_request(ig_fb, (enum request_kind)kind));
    assert_false(login_has_request(ig, REQUEST_KIND_COUNT));
    provider_set_free(set);
}

/* Both speak Graph: a correction in one file must reach the other. */
static void graph_rules_are_the_same_in_both_files(void **state)
{
    (void)state;
    static const char *const paths[] = {PROVIDER_DIR "/instagram.json", PROVIDER_DIR "/facebook.json"};
    static const char *const members[] = {"rules", "error", "usage_headers"};
    struct json *roots[2];
    for (int i = 0; i < 2; i++) {
        char *text = calloc(1, LIMIT_PROVIDER_FILE_BYTES);
        FILE *in = fopen(paths[i], "r");
        assert_non_null(in);
        size_t len = fread(text, 1, LIMIT_PROVIDER_FILE_BYTES, in);
        fclose(in);
        assert_int_equal(json_parse(text, len, &roots[i], NULL), ERR_OK);
        free(text);
    }
    for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
        struct buf a = {0}, b = {0};
        assert_int_equal(json_print(json_member(roots[0], members[m]), &a, NULL), ERR_OK);
        assert_int_equal(json_print(json_member(roots[1], members[m]), &b, NULL), ERR_OK);
        assert_string_equal(buf_text(&a), buf_text(&b));
        buf_free(&a);
        buf_free(&b);
    }
    json_free(roots[0]);
    json_free(roots[1]);
}

/* ---- directories */

static void override_replaces_by_name_and_adds(void **state)
{
    (void)state;
    char dir[64], over[64];
    struct provider_set *set = NULL;
    struct err err = {0};
    fixture_dir_make(dir);
    fixture_dir_make(over);
    fixture_write(dir, "a.json", "{ not JSON: replaced, so it is not even read");
    fixture_write(dir, "README.md", "not a provider file");
    fixture_write(dir, ".hidden.json", "{");
    fixture_write(over, "a.json", fixture_rotating);
    assert_int_equal(provider_set_load(dir, over, &set, &err), ERR_OK);
    assert_int_equal(provider_count(set), 1);
    assert_non_null(provider_find(set, "clip"));
    provider_set_free(set);

    fixture_write(dir, "a.json", fixture_rotating);
    assert_int_equal(provider_set_load(dir, "/nonexistent/override", &set, &err), ERR_OK);
    assert_int_equal(provider_count(set), 1);
    provider_set_free(set);

    fixture_write(over, "b.json", fixture_rotating);
    assert_int_equal(provider_set_load(dir, over, &set, &err), ERR_CONFIG);
    assert_null(set);
    assert_non_null(strstr(err.text, "another file"));
    assert_non_null(strstr(err.place, "b.json"));
    fixture_dir_remove(dir, (const char *const[]){"a.json", "README.md", ".hidden.json", NULL});
    fixture_dir_remove(over, (const char *const[]){"a.json", "b.json", NULL});
}

static void missing_or_empty_directory_is_refused(void **state)
{
    (void)state;
    char dir[64];
    struct provider_set *set = NULL;
    struct err err = {0};
    assert_int_equal(provider_set_load("/nonexistent/providers", NULL, &set, &err), ERR_CONFIG);
    assert_null(set);
    assert_string_equal(err.place, "/nonexistent/providers");
    err_clear(&err);
    fixture_dir_make(dir);
    assert_int_equal(provider_set_load(dir, "", &set, &err), ERR_CONFIG);
    assert_null(set);
    assert_int_equal(provider_set_load(dir, NULL, &set, NULL), ERR_CONFIG);
    fixture_dir_remove(dir, (const char *const[]){NULL});
}

static void oversized_file_is_refused(void **state)
{
    (void)state;
    char dir[64];
    struct provider_set *set = NULL;
    struct err err = {0};
    char *text = malloc(LIMIT_PROVIDER_FILE_BYTES + 2);
    memset(text, ' ', LIMIT_PROVIDER_FILE_BYTES + 1);
    text[LIMIT_PROVIDER_FILE_BYTES + 1] = '\0';
    fixture_dir_make(dir);
    fixture_write(dir, "big.json", text);
    assert_int_equal(provider_set_load(dir, NULL, &set, &err), ERR_CONFIG);
    assert_non_null(strstr(err.text, "larger"));
    free(text);
    fixture_dir_remove(dir, (const char *const[]){"big.json", NULL});
}

/* ---- mistakes */

/* Valid as it stands; each mistake replaces one piece of it. */
static const char good[] =
    "{\n"
    "  \"platform\": \"demo\",\n"
    "  \"error\": {\n"
    "    \"in\": \"error\",\n"
    "    \"code\": \"error.code\"\n"
    "  },\n"
    "  \"default_login\": \"one\",\n"
    "  \"logins\": [\n"
    "    {\n"
    "      \"name\": \"one\",\n"
    "      \"prefixes\": [\"AAA\",\n"
    "        \"BBB\"],\n"
    "      \"host\": \"one.example\",\n"
    "      \"requests\": {\n"
    "        \"validate\": {\n"
    "          \"method\": \"GET\",\n"
    "          \"url\": \"https://one.example/me\",\n"
    "          \"query\": {\"q\": \"x\"},\n"
    "          \"headers\": {\"Authorization\": \"Bearer {access_token}\"},\n"
    "          \"success\": {\n"
    "            \"require\": [\"id\"],\n"
    "            \"fields\": {\"account_id\": \"id\"}\n"
    "          }\n"
    "        },\n"
    "        \"refresh\": {\n"
    "          \"method\": \"POST\",\n"
    "          \"url\": \"https://one.example/refresh\",\n"
    "          \"form\": {\n"
    "            \"t\": \"{access_token}\"\n"
    "          },\n"
    "          \"success\": {\"fields\": {\n"
    "            \"access_token\": \"access_token\"}}\n"
    "        }\n"
    "      },\n"
    "      \"refresh\": {\n"
    "        \"model\": \"extend\",\n"
    "        \"window_start\": \"14d\",\n"
    "        \"window_end\": \"3d\"\n"
    "      }\n"
    "    },\n"
    "    {\n"
    "      \"name\": \"two\", \"prefixes\": [\"CCC\"], \"host\": \"two.example\",\n"
    "      \"requests\": {\"validate\": {\"method\": \"GET\", \"url\": \"https://two.example/me\",\n"
    "        \"query\": {\"access\": \"{access_token}\"}, \"success\": {\"require\": [\"id\"], \"fields\": {}}}},\n"
    "      \"refresh\": {\"model\": \"none\"}\n"
    "    }\n"
    "  ],\n"
    "  \"usage_headers\": [\n"
    "    {\"name\": \"X-Usage\", \"value\": \"members\", \"percent\": [\"used\"]}\n"
    "  ],\n"
    "  \"rules\": [\n"
    "    {\n"
    "      \"name\": \"first\",\n"
    "      \"kinds\": [\"validate\"],\n"
    "      \"when\": {\"code\": [4, {\"from\": 10, \"to\": 19}]},\n"
    "      \"reason\": \"rate_limited\"\n"
    "    },\n"
    "    {\"name\": \"second\",\n"
    "      \"when\": {\"code\": 5,\n"
    "        \"json\": {\"error.flag\": true}},\n"
    "      \"reason\": \"transient\"}\n"
    "  ]\n"
    "}\n";

struct mistake {
    const char *what, *piece, *instead;
    int line;
    const char *text; /* part of the reason */
};
static const struct mistake mistakes[] = {
    {"syntax", "\"name\": \"one\",", "\"name\": \"one\"", 11, "not JSON"},
    {"key twice", "\"name\": \"one\",", "\"name\": \"one\", \"name\": \"one\",", 10, "not JSON"},
    {"unknown member of the file", "\"usage_headers\":", "\"usage\":", 48, "no such member"},
    {"unknown member of a login", "\"host\": \"one.example\",", "\"hosts\": \"one.example\",", 13, "no such member"},
    {"unknown member of a request", "\"query\": {\"q\": \"x\"},", "\"params\": {\"q\": \"x\"},", 18, "no such member"},
    {"unknown member of a rule", "\"kinds\": [\"validate\"],", "\"kind\": [\"validate\"],", 54, "no such member"},
    {"unknown scope", "\"kinds\": [\"validate\"],", "\"scope\": \"world\",", 54, "there are app, account"},
    {"scope of a verdict", "\"reason\": \"transient\"}", "\"reason\": \"transient\", \"scope\": \"app\"}", 58,
     "only rate_limited"},
    {"unknown member of a condition", "\"when\": {\"code\": 5,", "\"when\": {\"kode\": 5,", 59, "no such member"},
    {"platform missing", "  \"platform\": \"demo\",\n", "", 1, "\"platform\" is missing"},
    {"host missing", "      \"host\": \"one.example\",\n", "", 9, "\"host\" is missing"},
    {"success missing", "\"success\": {\"require\": [\"id\"], \"fields\": {}}", "\"headers\": {}", 43,
     "\"success\" is missing"},
    {"validate missing", "        \"validate\": {\n", "        \"introspect\": {\n", 14, "\"validate\" is missing"},
    {"platform not text", "\"platform\": \"demo\"", "\"platform\": 7", 2, "must be a string"},
    {"platform with capitals", "\"platform\": \"demo\"", "\"platform\": \"Demo\"", 2, "a name is"},
    {"logins not an array", "\"logins\": [", "\"logins\": 7, \"x\": [", 8, "must be an array"},
    {"prefix not text", "        \"BBB\"],", "        12],", 12, "must be a string"},
    {"prefix twice", "        \"BBB\"],", "        \"AAA\"],", 12, "there twice"},
    {"prefix of two logins", "\"prefixes\": [\"CCC\"]", "\"prefixes\": [\"BBB\"]", 42, "there twice"},
    {"prefix too short", "        \"BBB\"],", "        \"\"],", 12, "at least two"},
    {"host with scheme", "\"host\": \"one.example\"", "\"host\": \"https://one.example\"", 13, "not a host"},
    {"login name twice", "\"name\": \"two\"", "\"name\": \"one\"", 42, "there already"},
    {"default login unknown", "\"default_login\": \"one\"", "\"default_login\": \"three\"", 7, "no login of this name"},
    {"default login missing", "  \"default_login\": \"one\",\n", "", 1, "default_login"},
    {"unknown kind of request", "        \"refresh\": {\n          \"method\"",
     "        \"renew\": {\n          \"method\"", 25, "unknown kind"},
    {"unknown method", "\"method\": \"GET\",\n", "\"method\": \"FETCH\",\n", 16, "unknown method"},
    {"plain http", "https://one.example/me", "http://one.example/me", 17, "must begin with https://"},
    {"another host", "https://one.example/me", "https://one.example.evil/me", 17, "its host is neither"},
    {"user info in URL", "https://one.example/me", "https://one.example@evil/me", 17, "https://HOST/PATH"},
    {"query in URL", "https://one.example/me", "https://one.example/me?x=1", 17, "https://HOST/PATH"},
    {"unknown place-holder", "{\"q\": \"x\"}", "{\"q\": \"{token}\"}", 18, "unknown place-holder"},
    {"proof beside something", "{\"q\": \"x\"}", "{\"q\": \"v1={app_secret_proof}\"}", 18, "stands alone"},
    {"proof in a header", "\"Bearer {access_token}\"", "\"{app_secret_proof}\"", 19, "stands alone"},
    {"brace left open", "{\"q\": \"x\"}", "{\"q\": \"{access_token\"}", 18, "unknown place-holder"},
    {"header with line break", "\"Bearer {access_token}\"", "\"Bearer {access_token}\\r\\nX: y\"", 19, "not printable"},
    {"header's name", "\"Authorization\"", "\"Authori zation\"", 19, "not a header's name"},
    {"no token sent", "\"Bearer {access_token}\"", "\"Bearer abc\"", 15, "sends no token"},
    {"form with two types", "\"method\": \"POST\",", "\"method\": \"POST\", \"headers\": {\"content-type\": \"x\"},",
     25, "Content-Type already"},
    {"member twice, spelled otherwise", "  \"error\": {\n", "  \"\\u0070latform\": \"demo\",\n  \"error\": {\n", 3,
     "twice"},
    {"form with GET", "\"method\": \"POST\"", "\"method\": \"GET\"", 25, "needs the method POST"},
    {"unknown field", "\"account_id\": \"id\"", "\"acount_id\": \"id\"", 22, "unknown field"},
    {"path with a gap", "\"require\": [\"id\"],\n", "\"require\": [\"a..b\"],\n", 21, "not a path"},
    {"refresh without token", "\"access_token\": \"access_token\"}}", "}}", 25, "needs access_token"},
    {"proof of success missing", "            \"require\": [\"id\"],\n", "", 15, "proves nothing"},
    {"unknown refresh model", "\"model\": \"extend\"", "\"model\": \"forever\"", 36, "unknown model"},
    {"refresh_token model", "\"model\": \"extend\"", "\"model\": \"refresh_token\"", 35, "sends {refresh_token}"},
    {"model none with request",
     "\"model\": \"extend\",\n        \"window_start\": \"14d\",\n        \"window_end\": \"3d\"",
     "\"model\": \"none\"", 35, "there is a refresh request"},
    {"bad duration", "\"14d\"", "\"14 days\"", 37, "a duration is"},
    {"window the wrong way", "\"14d\"", "\"2d\"", 35, "window_start"},
    {"rotates not a bool", "\"model\": \"extend\",", "\"model\": \"extend\", \"rotates\": 1,", 36,
     "must be true or false"},
    {"usage value unknown", "\"value\": \"members\"", "\"value\": \"percent\"", 49, "unknown"},
    {"usage without members", ", \"percent\": [\"used\"]", "", 49, "percent"},
    {"rule name twice", "\"name\": \"second\"", "\"name\": \"first\"", 58, "there already"},
    {"rule with the engine's name", "\"name\": \"second\"", "\"name\": \"no_rule\"", 58, "engine's own"},
    {"rule name with space", "\"name\": \"second\"", "\"name\": \"the second\"", 58, "a rule's name"},
    {"kind of rule unknown", "\"kinds\": [\"validate\"]", "\"kinds\": [\"check\"]", 54, "unknown kind"},
    {"no request of that kind", "\"kinds\": [\"validate\"]", "\"kinds\": [\"introspect\"]", 52, "can never match"},
    {"empty condition", "{\"code\": [4, {\"from\": 10, \"to\": 19}]}", "{}", 55, "empty condition"},
    {"no alternatives", "[4, {\"from\": 10, \"to\": 19}]", "[]", 55, "must not be empty"},
    {"range upside down", "{\"from\": 10, \"to\": 19}", "{\"from\": 19, \"to\": 10}", 55, "can never match"},
    {"half a range", "{\"from\": 10, \"to\": 19}", "{\"from\": 10}", 55, "range"},
    {"unknown test", "{\"from\": 10, \"to\": 19}", "{\"begins\": \"x\"}", 55, "unknown test"},
    {"two tests in one", "{\"from\": 10, \"to\": 19}", "{\"contains\": \"x\", \"exists\": true}", 55, "exactly one"},
    {"null as test", "[4, ", "[null, ", 55, "a test is"},
    {"empty text to contain", "{\"from\": 10, \"to\": 19}", "{\"contains\": [\"\"]}", 55, "match everything"},
    {"message nowhere", "\"when\": {\"code\": 5,", "\"when\": {\"message\": \"x\",", 58, "can never match"},
    {"unknown reason", "\"reason\": \"transient\"", "\"reason\": \"gone\"", 61, "unknown reason"},
    {"reason of ours", "\"reason\": \"transient\"", "\"reason\": \"undecryptable\"", 61, "not a reason"},
    {"ok for a refresh", "\"reason\": \"transient\"", "\"reason\": \"ok\"", 58, "cannot be ok"},
    {"same condition again", "\"when\": {\"code\": 5,\n        \"json\": {\"error.flag\": true}},",
     "\"kinds\": [\"validate\"],\n        \"when\": {\"code\": [4, {\"from\": 10, \"to\": 19}]},", 60,
     "has the same condition"},
    {"condemned by status alone",
     "\"when\": {\"code\": 5,\n        \"json\": {\"error.flag\": true}},\n      \"reason\": \"transient\"",
     "\"when\": {\"status\": 401},\n      \"reason\": \"expired\"", 58, "proves nothing"},
    {"not an object", good, "[]", 1, "must be an object"},
    {"empty file", good, "", 1, "not JSON"},
};

static char *with_mistake(const struct mistake *m)
{
    const char *at = strstr(good, m->piece);
    if (!at) fail_msg("%s: the piece is not there", m->what);
    struct buf text = {0};
    buf_put(&text, good, (size_t)(at - good));
    buf_puts(&text, m->instead);
    buf_puts(&text, at + strlen(m->piece));
    char *out = buf_take(&text);
    return out ? out : strdup("");
}

static void every_mistake_is_told_with_its_line(void **state)
{
    (void)state;
    char dir[64], place[128];
    fixture_dir_make(dir);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        struct provider_set *set = NULL;
        struct err err = {0};
        char *text = with_mistake(m);
        fixture_write(dir, "demo.json", text);
        if (provider_set_load(dir, NULL, &set, &err) != ERR_CONFIG) fail_msg("%s: taken", m->what);
        assert_null(set);
        snprintf(place, sizeof place, "%s/demo.json:%d", dir, m->line);
        if (strcmp(err.place, place) != 0)
            fail_msg("%s: at %s, expected line %d: %s", m->what, err.place, m->line, err.text);
        if (!strstr(err.text, m->text)) fail_msg("%s: \"%s\", expected \"%s\"", m->what, err.text, m->text);
        free(text);
    }
    fixture_write(dir, "demo.json", good);
    struct provider_set *set = NULL;
    struct err err = {0};
    if (provider_set_load(dir, NULL, &set, &err) != ERR_OK) fail_msg("%s: %s", err.place, err.text);
    provider_set_free(set);
    fixture_dir_remove(dir, (const char *const[]){"demo.json", NULL});
}

/* Nested arrays, escapes, braces in texts: what a locator may stumble over. */
static void line_is_right_behind_confusing_text(void **state)
{
    (void)state;
    static const char text[] = "\n"
                               "{\"about\": \"} ] \\\" { [ , : \\\\\",\n"
                               " \"error\": {\"in\": [\"a\", \"b\\u005d\"], \"code\":\n"
                               "   [\"a\",\n"
                               "    \"\"]}, \"platform\": \"x\", \"logins\": [], \"rules\": []}";
    char dir[64];
    struct provider_set *set = NULL;
    struct err err = {0};
    fixture_dir_make(dir);
    fixture_write(dir, "x.json", text);
    assert_int_equal(provider_set_load(dir, NULL, &set, &err), ERR_CONFIG);
    assert_non_null(strstr(err.place, "x.json:5"));
    assert_non_null(strstr(err.text, "error.code.1: not a path"));
    fixture_dir_remove(dir, (const char *const[]){"x.json", NULL});
}

/* A file cut or damaged anywhere is refused or still valid; it never crashes the loader. */
static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    char dir[64];
    char *text = strdup(good);
    size_t len = strlen(good);
    unsigned seed = 1;
    fixture_dir_make(dir);
    for (int i = 0; i < 3000; i++) {
        struct provider_set *set = NULL;
        struct err err = {0};
        size_t at = (size_t)rand_r(&seed) % len;
        memcpy(text, good, len + 1);
        if (i % 3 == 0) text[at] = '\0';
        if (i % 3 == 1) text[at] = (char)(32 + rand_r(&seed) % 95);
        if (i % 3 == 2) memmove(text + at, text + at + 1, len - at);
        fixture_write(dir, "demo.json", text);
        if (provider_set_load(dir, NULL, &set, &err) != ERR_OK) assert_non_null(strstr(err.place, "demo.json:"));
        provider_set_free(set);
    }
    free(text);
    fixture_dir_remove(dir, (const char *const[]){"demo.json", NULL});
}

static void reasons_have_words_and_classes(void **state)
{
    (void)state;
    for (int i = 0; i < REASON_COUNT; i++) {
        enum reason back = REASON_COUNT;
        assert_true(reason_parse(reason_word((enum reason)i), &back));
        assert_int_equal(back, i);
    }
    enum reason untouched = REASON_OK;
    assert_false(reason_parse("gone", &untouched));
    assert_false(reason_parse(NULL, &untouched));
    assert_int_equal(untouched, REASON_OK);
    assert_int_equal(reason_class(REASON_EXPIRED), CLASS_DEFINITIVE);
    assert_int_equal(reason_class(REASON_PERMISSION_MISSING), CLASS_ACCEPTED);
    assert_int_equal(reason_class(REASON_TIMEOUT), CLASS_INCONCLUSIVE);
    assert_int_equal(reason_class((enum reason)999), CLASS_INCONCLUSIVE);
    assert_string_equal(reason_class_word(CLASS_DEFINITIVE), "definitive");
    assert_string_equal(reason_class_word(CLASS_ACCEPTED), "accepted");
    assert_string_equal(reason_class_word(CLASS_INCONCLUSIVE), "inconclusive");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_files_load),
        cmocka_unit_test(token_prefix_chooses_the_login),
        cmocka_unit_test(longest_prefix_wins),
        cmocka_unit_test(refresh_policies_are_read),
        cmocka_unit_test(introspection_is_for_facebook_tokens_only),
        cmocka_unit_test(graph_rules_are_the_same_in_both_files),
        cmocka_unit_test(override_replaces_by_name_and_adds),
        cmocka_unit_test(missing_or_empty_directory_is_refused),
        cmocka_unit_test(oversized_file_is_refused),
        cmocka_unit_test(every_mistake_is_told_with_its_line),
        cmocka_unit_test(line_is_right_behind_confusing_text),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(reasons_have_words_and_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
