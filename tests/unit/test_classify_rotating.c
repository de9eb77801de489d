/* TikTok and X: rotating refresh tokens, errors of other shapes, requests; and Threads, which speaks Graph. */
#include "base/json.h"
#include "provider_fixture.h"

static struct provider_set *shipped;

static int load(void **state)
{
    (void)state;
    shipped = fixture_shipped();
    return 0;
}

static int unload(void **state)
{
    (void)state;
    provider_set_free(shipped);
    return 0;
}

static const struct login *tiktok(void)
{
    return fixture_login(shipped, "tiktok", "tiktok");
}

static const struct login *x(void)
{
    return fixture_login(shipped, "twitter", "x");
}

static struct finding classify(const struct login *l, enum request_kind kind, int status, const char *body)
{
    struct http_answer answer = fixture_answer(status, body);
    struct finding f;
    login_classify(l, kind, &answer, &f);
    return f;
}

struct row {
    int status;
    const char *body;
    enum reason reason;
    const char *rule;
};
enum { ROWS_MAX = 64 };
struct table {
    const char *platform, *login;
    enum request_kind kind;
    struct row rows[ROWS_MAX]; /* up to the first without a body */
};

#define TT(code)          "{\"data\":{},\"error\":{\"code\":\"" code "\",\"message\":\"Some text\",\"log_id\":\"2026\"}}"
#define OAUTH(code, text) "{\"error\":\"" code "\",\"error_description\":\"" text "\",\"log_id\":\"2026\"}"
#define XE(code, text)    "{\"errors\":[{\"code\":" #code ",\"message\":\"" text "\"}]}"
#define PROBLEM(status, title, type, detail)                                                                           \
    "{\"title\":\"" title "\",\"type\":\"" type "\",\"status\":" #status ",\"detail\":\"" detail "\"}"
#define BLANK(status, title) PROBLEM(status, title, "about:blank", title)
#define X_PROBLEMS           "https://api.twitter.com/2/problems/"
#define DEAD_AT_X            OAUTH("invalid_request", "Value passed for the token was invalid.")

static const struct table tables[] = {
    {"tiktok",
     "tiktok",
     REQUEST_VALIDATE,
     {{401, TT("access_token_invalid"), REASON_EXPIRED, "token_refused"},
      {200, TT("access_token_invalid"), REASON_EXPIRED, "token_refused"},
      {401, TT("scope_not_authorized"), REASON_PERMISSION_MISSING, "scope_missing"},
      {400, TT("scope_permission_missed"), REASON_PERMISSION_MISSING, "scope_missing"},
      {429, TT("rate_limit_exceeded"), REASON_RATE_LIMITED, "rate_limit"},
      {400, TT("rate_limit_exceeded"), REASON_RATE_LIMITED, "rate_limit"},
      {500, TT("internal_error"), REASON_TRANSIENT, "service_trouble"},
      {200, TT("internal_error"), REASON_TRANSIENT, "service_trouble"},
      /* An outage that speaks of tokens; what nobody has seen; a success without an owner. */
      {503, TT("access_token_invalid"), REASON_TRANSIENT, "status_5xx"},
      {429, TT("access_token_invalid"), REASON_RATE_LIMITED, "status_429"},
      {400, TT("invalid_params"), REASON_BAD_RESPONSE, "no_rule"},
      {401, TT("something_new"), REASON_BAD_RESPONSE, "no_rule"},
      {401, "{}", REASON_BAD_RESPONSE, "no_rule"},
      {400, OAUTH("invalid_grant", "text"), REASON_BAD_RESPONSE, "no_rule"},
      {200, "{\"data\":{\"user\":{}},\"error\":{\"code\":\"ok\"}}", REASON_BAD_RESPONSE, "success_incomplete"},
      {200, "{\"data\":{\"user\":{\"open_id\":\"\"}},\"error\":{\"code\":\"ok\"}}", REASON_BAD_RESPONSE,
       "success_incomplete"},
      {401, "{\"data\":{\"user\":{\"open_id\":\"o\"}},\"error\":{\"code\":\"ok\"}}", REASON_BAD_RESPONSE, "no_rule"},
      {401, "<html>access_token_invalid</html>", REASON_BAD_RESPONSE, "not_json"}}},
    {"tiktok",
     "tiktok",
     REQUEST_REFRESH,
     {{400, OAUTH("invalid_grant", "Refresh token is invalid or expired."), REASON_REVOKED, "grant_dead"},
      {200, OAUTH("invalid_grant", "Refresh token is invalid or expired."), REASON_REVOKED, "grant_dead"},
      {401, OAUTH("invalid_client", "text"), REASON_APP_MISCONFIGURED, "client_refused"},
      {400, OAUTH("unauthorized_client", "text"), REASON_APP_MISCONFIGURED, "client_refused"},
      {400, OAUTH("unsupported_grant_type", "text"), REASON_APP_MISCONFIGURED, "client_refused"},
      {400, OAUTH("invalid_request", "Value passed for the token was invalid."), REASON_APP_MISCONFIGURED,
       "client_refused"},
      {429, OAUTH("rate_limit_exceeded", "text"), REASON_RATE_LIMITED, "rate_limit"},
      {500, OAUTH("server_error", "text"), REASON_TRANSIENT, "service_trouble"},
      {400, OAUTH("temporarily_unavailable", "text"), REASON_TRANSIENT, "service_trouble"},
      {500, OAUTH("invalid_grant", "text"), REASON_TRANSIENT, "status_5xx"},
      {400, OAUTH("access_denied", "text"), REASON_BAD_RESPONSE, "no_rule"},
      {401, TT("access_token_invalid"), REASON_BAD_RESPONSE, "no_rule"},
      {200, "{\"access_token\":\"\",\"refresh_token\":\"\"}", REASON_BAD_RESPONSE, "success_incomplete"},
      {200, "{\"refresh_token\":\"rft.2\"}", REASON_BAD_RESPONSE, "success_incomplete"},
      {200, "", REASON_BAD_RESPONSE, "not_json"}}},
    {"twitter",
     "x",
     REQUEST_VALIDATE,
     {{401, BLANK(401, "Unauthorized"), REASON_EXPIRED, "token_refused"},
      {401, XE(89, "Invalid or expired token."), REASON_INVALID_TOKEN, "token_invalid"},
      {401, XE(32, "Could not authenticate you."), REASON_INVALID_TOKEN, "token_invalid"},
      {403, XE(326, "this account is temporarily locked"), REASON_CHECKPOINT, "account_locked"},
      {403,
       PROBLEM(403, "Forbidden", "about:blank",
               "Your account is temporarily locked. Please log in to https://x.com to unlock your account."),
       REASON_CHECKPOINT, "text_account_locked"},
      {403, XE(64, "Your account is suspended"), REASON_BLOCKED, "account_suspended"},
      {403,
       PROBLEM(403, "Forbidden", "about:blank",
               "Your account is suspended and is not permitted to access this feature."),
       REASON_BLOCKED, "text_account_suspended"},
      {403, BLANK(403, "Forbidden"), REASON_PERMISSION_MISSING, "not_permitted"},
      {429, XE(88, "Rate limit exceeded"), REASON_RATE_LIMITED, "rate_limit"},
      {429, BLANK(429, "Too Many Requests"), REASON_RATE_LIMITED, "rate_limit"},
      {403, BLANK(429, "Too Many Requests"), REASON_RATE_LIMITED, "rate_limit"},
      {429, PROBLEM(429, "UsageCapExceeded", X_PROBLEMS "usage-capped", "Usage cap exceeded: Monthly product cap"),
       REASON_RATE_LIMITED, "usage_cap"},
      {503, XE(130, "Over capacity"), REASON_TRANSIENT, "service_trouble"},
      {400, XE(131, "Internal error"), REASON_TRANSIENT, "service_trouble"},
      {503, BLANK(503, "Service Unavailable"), REASON_TRANSIENT, "status_5xx"},
      {403, PROBLEM(403, "Client Forbidden", X_PROBLEMS "client-forbidden", "client-not-enrolled"),
       REASON_APP_MISCONFIGURED, "app_refused"},
      {403, PROBLEM(403, "Unsupported Authentication", X_PROBLEMS "unsupported-authentication", "text"),
       REASON_APP_MISCONFIGURED, "app_refused"},
      {402, PROBLEM(402, "CreditsDepleted", X_PROBLEMS "credits", "no credits"), REASON_APP_MISCONFIGURED,
       "app_refused"},
      {403, XE(453, "You currently have access to a subset of endpoints"), REASON_APP_MISCONFIGURED,
       "app_access_level"},
      /* The status has to fit the title, and an outage stays one whatever it says. */
      {400, BLANK(401, "Unauthorized"), REASON_BAD_RESPONSE, "no_rule"},
      {401, BLANK(403, "Forbidden"), REASON_BAD_RESPONSE, "no_rule"},
      {401, "{}", REASON_BAD_RESPONSE, "no_rule"},
      {401, "{\"errors\":[]}", REASON_BAD_RESPONSE, "no_rule"},
      {400, "{\"errors\":[{\"message\":\"text\"}],\"title\":\"Invalid Request\"}", REASON_BAD_RESPONSE, "no_rule"},
      {503, XE(89, "Invalid or expired token."), REASON_TRANSIENT, "status_5xx"},
      {429, BLANK(401, "Unauthorized"), REASON_RATE_LIMITED, "status_429"},
      {403, "<html>account is temporarily locked</html>", REASON_BAD_RESPONSE, "not_json"},
      {200, "{\"data\":{}}", REASON_BAD_RESPONSE, "success_incomplete"},
      {200, "{\"data\":{\"id\":\"1\"},\"errors\":[{\"code\":999}]}", REASON_BAD_RESPONSE, "no_rule"}}},
    {"twitter",
     "x",
     REQUEST_REFRESH,
     {{400, DEAD_AT_X, REASON_REVOKED, "text_grant_dead"},
      {400, OAUTH("invalid_grant", "text"), REASON_REVOKED, "grant_dead"},
      {400, OAUTH("invalid_request", "Missing required parameter [client_id]."), REASON_APP_MISCONFIGURED,
       "client_refused"},
      {401, OAUTH("unauthorized_client", "Missing valid authorization header"), REASON_APP_MISCONFIGURED,
       "client_refused"},
      {401, OAUTH("invalid_client", "Value passed for the token was invalid."), REASON_APP_MISCONFIGURED,
       "client_refused"},
      {429, BLANK(429, "Too Many Requests"), REASON_RATE_LIMITED, "rate_limit"},
      {400, OAUTH("temporarily_unavailable", "text"), REASON_TRANSIENT, "service_trouble"},
      {503, DEAD_AT_X, REASON_TRANSIENT, "status_5xx"},
      {429, DEAD_AT_X, REASON_RATE_LIMITED, "status_429"},
      {401, BLANK(401, "Unauthorized"), REASON_BAD_RESPONSE, "no_rule"},
      {403, BLANK(403, "Forbidden"), REASON_BAD_RESPONSE, "no_rule"},
      {400, OAUTH("access_denied", "text"), REASON_BAD_RESPONSE, "no_rule"},
      {200, "{\"access_token\":\" \",\"refresh_token\":\"r\"}", REASON_BAD_RESPONSE, "success_incomplete"}}},
};
enum { TABLES = sizeof tables / sizeof *tables };

static void every_row_of_the_tables(void **state)
{
    (void)state;
    for (int t = 0; t < TABLES; t++) {
        const struct login *l = fixture_login(shipped, tables[t].platform, tables[t].login);
        for (const struct row *row = tables[t].rows; row->body; row++) {
            struct finding f = classify(l, tables[t].kind, row->status, row->body);
            if (f.reason != row->reason || strcmp(f.rule, row->rule) != 0)
                fail_msg("%s %s %d %s\n  got %s by %s, expected %s by %s", tables[t].platform,
                         request_kind_word(tables[t].kind), row->status, row->body, reason_word(f.reason), f.rule,
                         reason_word(row->reason), row->rule);
            assert_true(secret_is_empty(&f.access_token));
            finding_fini(&f);
        }
    }
}

/* Cut at every byte, and under the status of an outage, no answer decides anything. */
static void damaged_answers_and_outages_decide_nothing(void **state)
{
    (void)state;
    for (int t = 0; t < TABLES; t++) {
        const struct login *l = fixture_login(shipped, tables[t].platform, tables[t].login);
        for (const struct row *row = tables[t].rows; row->body; row++) {
            char *body = strdup(row->body);
            for (size_t len = strlen(body) + 1; len-- > 0;) {
                int is_whole = len == strlen(row->body);
                body[len] = '\0';
                struct finding f = classify(l, tables[t].kind, is_whole ? 503 : row->status, body);
                if (reason_class(f.reason) != CLASS_INCONCLUSIVE)
                    fail_msg("%s: %s by %s", body, reason_word(f.reason), f.rule);
                finding_fini(&f);
            }
            free(body);
        }
    }
}

static void success_gives_who_the_owner_is(void **state)
{
    (void)state;
    static const struct {
        const char *platform, *login, *body, *account_id, *username;
    } cases[] = {
        {"tiktok", "tiktok",
         "{\"data\":{\"user\":{\"open_id\":\"-000a\"}},\"error\":{\"code\":\"ok\",\"message\":\"\",\"log_id\":\"1\"}}",
         "-000a", ""},
        {"tiktok", "tiktok", "{\"data\":{\"user\":{\"open_id\":\"-000a\"}}}", "-000a", ""},
        {"twitter", "x", "{\"data\":{\"id\":\"2244994945\",\"name\":\"X Dev\",\"username\":\"XDev\"}}", "2244994945",
         "XDev"},
        {"threads", "threads", "{\"id\":\"1234\",\"username\":\"jane\"}", "1234", "jane"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct finding f =
            classify(fixture_login(shipped, cases[i].platform, cases[i].login), REQUEST_VALIDATE, 200, cases[i].body);
        if (f.reason != REASON_OK) fail_msg("%s: %s by %s", cases[i].body, reason_word(f.reason), f.rule);
        assert_string_equal(f.rule, "success");
        assert_string_equal(f.account_id, cases[i].account_id);
        assert_string_equal(f.username, cases[i].username);
        finding_fini(&f);
    }
}

static void both_tokens_of_a_new_pair_are_taken(void **state)
{
    (void)state;
    static const char bodies[2][256] = {
        "{\"access_token\":\"act.2\",\"expires_in\":86400,\"open_id\":\"o1\",\"refresh_token\":\"rft.2\","
        "\"refresh_expires_in\":31536000,\"scope\":\"user.info.basic\",\"token_type\":\"Bearer\"}",
        "{\"token_type\":\"bearer\",\"expires_in\":7200,\"access_token\":\"act.2\",\"scope\":\"users.read\","
        "\"refresh_token\":\"rft.2\"}",
    };
    for (int i = 0; i < 2; i++) {
        struct finding f = classify(i ? x() : tiktok(), REQUEST_REFRESH, 200, bodies[i]);
        if (f.reason != REASON_OK) fail_msg("%s: %s by %s", bodies[i], reason_word(f.reason), f.rule);
        assert_string_equal((const char *)secret_bytes(&f.access_token), "act.2");
        assert_string_equal((const char *)secret_bytes(&f.refresh_token), "rft.2");
        assert_int_equal(f.expires_in_s, i ? 7200 : 86400);
        assert_string_equal(f.account_id, i ? "" : "o1");
        finding_fini(&f);
    }
}

static void tokens_in_messages_are_scrubbed(void **state)
{
    (void)state;
    struct finding f =
        classify(tiktok(), REQUEST_VALIDATE, 401,
                 "{\"error\":{\"code\":\"access_token_invalid\",\"message\":\"bad token act.1x here\"}}");
    assert_null(strstr(f.message, "act.1x"));
    assert_string_equal(f.message, "bad token \xE2\x80\xA6 here");
    finding_fini(&f);
}

/* ---- waiting */

static void waiting_times(void **state)
{
    (void)state;
    enum { NOW_S = 1767348000 };
    static const struct {
        const char *left, *reset, *retry_after;
        int64_t wait_s;
    } cases[] = {{"74", "1767348900", NULL, 0}, {"0", "1767348900", NULL, 900},   {NULL, "1767348900", NULL, 900},
                 {"0", "1767347000", NULL, 0},  {"0", "soon", NULL, 0},           {"few", "1767348900", NULL, 0},
                 {"74", NULL, "60", 60},        {"0", "1767348900", "1000", 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_answer answer = fixture_answer(429, BLANK(429, "Too Many Requests"));
        const struct http_header headers[] = {{"Date", "Fri, 02 Jan 2026 10:00:00 GMT"},
                                              {"x-rate-limit-remaining", cases[i].left},
                                              {"X-Rate-Limit-Reset", cases[i].reset},
                                              {"retry-after", cases[i].retry_after}};
        struct finding f;
        for (size_t h = 0; h < sizeof headers / sizeof *headers; h++)
            if (headers[h].value) answer.headers[answer.header_count++] = headers[h];
        login_classify(x(), REQUEST_VALIDATE, &answer, &f);
        if (f.retry_after_s != cases[i].wait_s)
            fail_msg("case %zu: got %lld s, expected %lld s", i, (long long)f.retry_after_s,
                     (long long)cases[i].wait_s);
        assert_int_equal(f.usage_percent, -1);
        finding_fini(&f);
    }
}

static void left_is_for_plain_times_only(void **state)
{
    (void)state;
    static const char text[] = "{\"platform\":\"p\",\"error\":{\"in\":\"e\",\"code\":\"e\"},\"rules\":[],\"logins\":[{"
                               "\"name\":\"l\",\"host\":\"a.example\",\n"
                               "\"refresh\":{\"model\":\"none\"},\"requests\":{\"validate\":{\"method\":\"GET\","
                               "\"url\":\"https://a.example/me\",\n"
                               "\"query\":{\"t\":\"{access_token}\"},\"success\":{\"require\":[\"id\"],\"fields\":{}}}}"
                               "}],\"usage_headers\":[\n"
                               "{\"name\":\"n\",%s}]}";
    static const char *const wrong[] = {"\"value\":\"members\",\"percent\":[\"p\"],\"left\":\"h\"",
                                        "\"value\":\"reset_at_s\",\"left\":\"\"",
                                        "\"value\":\"reset_at_s\",\"left\":7"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char dir[64], *file = NULL;
        struct provider_set *set = NULL;
        struct err err = {0};
        assert_true(asprintf(&file, text, wrong[i]) > 0);
        fixture_dir_make(dir);
        fixture_write(dir, "one.json", file);
        if (provider_set_load(dir, NULL, &set, &err) != ERR_CONFIG) fail_msg("taken: %s", wrong[i]);
        assert_non_null(strstr(err.place, "one.json:4"));
        fixture_dir_remove(dir, (const char *const[]){"one.json", NULL});
        free(file);
    }
}

/* ---- requests */

static void requests_are_what_the_platforms_document(void **state)
{
    (void)state;
    static const struct {
        const char *platform, *login;
        enum request_kind kind;
        const char *wanted;
    } cases[] = {
        {"tiktok", "tiktok", REQUEST_VALIDATE,
         "GET https://open.tiktokapis.com/v2/user/info/?fields=open_id\nAuthorization: Bearer act.1\n"},
        {"tiktok", "tiktok", REQUEST_REFRESH,
         "POST https://open.tiktokapis.com/v2/oauth/token/\nContent-Type: application/x-www-form-urlencoded\n\n"
         "client_key=key&client_secret=s3cr%26t&grant_type=refresh_token&refresh_token=rft.1%211"},
        {"twitter", "x", REQUEST_VALIDATE, "GET https://api.x.com/2/users/me\nAuthorization: Bearer act.1\n"},
        {"twitter", "x", REQUEST_REFRESH,
         "POST https://api.x.com/2/oauth2/token\nBasic key:s3cr%26t\n"
         "Content-Type: application/x-www-form-urlencoded\n\ngrant_type=refresh_token&refresh_token=rft.1%211"},
        {"threads", "threads", REQUEST_VALIDATE,
         "GET https://graph.threads.net/v1.0/me?fields=id,username\nAuthorization: Bearer act.1\n"},
        {"threads", "threads", REQUEST_REFRESH,
         "GET https://graph.threads.net/refresh_access_token?grant_type=th_refresh_token&access_token=act.1\n"},
        {"threads", "threads", REQUEST_EXCHANGE,
         "GET https://graph.threads.net/access_token?grant_type=th_exchange_token&client_secret=s3cr%26t&"
         "access_token=act.1\n"},
    };
    struct secret access = {0}, refresh = {0}, app_secret = {0};
    struct request_input in = {
        .access_token = &access, .refresh_token = &refresh, .app_id = "key", .app_secret = &app_secret};
    assert_int_equal(secret_put(&access, "act.1", 5, NULL), ERR_OK);
    assert_int_equal(secret_put(&refresh, "rft.1!1", 7, NULL), ERR_OK);
    assert_int_equal(secret_put(&app_secret, "s3cr&t", 6, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request req;
        struct buf got = {0};
        struct err err = {0};
        if (login_build_request(fixture_login(shipped, cases[i].platform, cases[i].login), cases[i].kind, &in, &req,
                                &err) != ERR_OK)
            fail_msg("%s: %s", cases[i].wanted, err.text);
        buf_printf(&got, "%s %s\n", req.method, buf_text(&req.url));
        if (req.user_password.len) buf_printf(&got, "Basic %s\n", buf_text(&req.user_password));
        for (int h = 0; h < req.header_count; h++)
            buf_printf(&got, "%s\n", buf_text(&req.headers[h]));
        if (req.body.len) buf_printf(&got, "\n%s", buf_text(&req.body));
        assert_string_equal(buf_text(&got), cases[i].wanted);
        buf_free(&got);
        http_request_fini(&req);
    }
    secret_free(&access);
    secret_free(&refresh);
    secret_free(&app_secret);
}

static void refresh_tokens_rotate_and_threads_extends(void **state)
{
    (void)state;
    assert_int_equal(login_refresh(tiktok())->model, REFRESH_TOKEN);
    assert_true(login_refresh(tiktok())->rotates);
    assert_int_equal(login_refresh(x())->model, REFRESH_TOKEN);
    assert_true(login_refresh(x())->rotates);
    /* X's tokens live for two hours: the window has to lie within. */
    assert_true(login_refresh(x())->window_start_s < 7200);
    const struct refresh_policy *threads = login_refresh(fixture_login(shipped, "threads", "threads"));
    assert_int_equal(threads->model, REFRESH_EXTEND);
    assert_int_equal(threads->min_age_s, 86400);
    assert_string_equal(login_app(tiktok()), "tiktok");
    assert_string_equal(login_app(x()), "twitter");
}

/* ---- Threads */

static struct json *read_file(const char *path)
{
    char *text = calloc(1, LIMIT_PROVIDER_FILE_BYTES);
    struct json *root = NULL;
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    size_t len = fread(text, 1, LIMIT_PROVIDER_FILE_BYTES, in);
    fclose(in);
    assert_int_equal(json_parse(text, len, &root, NULL), ERR_OK);
    free(text);
    return root;
}

static const struct json *rule_of(const struct json *rules, const char *name)
{
    for (size_t i = 0; i < json_count(rules); i++)
        if (strcmp(json_string(json_member(json_at(rules, i), "name")), name) == 0) return json_at(rules, i);
    return NULL;
}

/* A correction in one file must reach the other. Threads has no introspection, so it has no rules for it. */
static void threads_has_the_graph_rules_in_their_order(void **state)
{
    (void)state;
    struct json *instagram = read_file(PROVIDER_DIR "/instagram.json"),
                *threads = read_file(PROVIDER_DIR "/threads.json");
    const struct json *wanted = json_member(instagram, "rules"), *got = json_member(threads, "rules");
    size_t at = 0;
    assert_true(json_equal(json_member(instagram, "error"), json_member(threads, "error")));
    assert_true(json_equal(json_member(instagram, "usage_headers"), json_member(threads, "usage_headers")));
    for (size_t i = 0; i < json_count(wanted); i++) {
        const char *name = json_string(json_member(json_at(wanted, i), "name"));
        if (strncmp(name, "introspection_", 14) == 0) continue;
        const struct json *rule = rule_of(got, name);
        if (rule != json_at(got, at)) fail_msg("threads.json: rule %s is not number %zu", name, at);
        if (!json_equal(json_member(rule, "when"), json_member(json_at(wanted, i), "when")) ||
            !json_equal(json_member(rule, "reason"), json_member(json_at(wanted, i), "reason")))
            fail_msg("threads.json: rule %s differs", name);
        at++;
    }
    assert_int_equal(at, json_count(got));
    json_free(instagram);
    json_free(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_tables),
        cmocka_unit_test(damaged_answers_and_outages_decide_nothing),
        cmocka_unit_test(success_gives_who_the_owner_is),
        cmocka_unit_test(both_tokens_of_a_new_pair_are_taken),
        cmocka_unit_test(tokens_in_messages_are_scrubbed),
        cmocka_unit_test(waiting_times),
        cmocka_unit_test(left_is_for_plain_times_only),
        cmocka_unit_test(requests_are_what_the_platforms_document),
        cmocka_unit_test(refresh_tokens_rotate_and_threads_extends),
        cmocka_unit_test(threads_has_the_graph_rules_in_their_order),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
