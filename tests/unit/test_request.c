/* Requests: exact bytes of every request of the shipped files, encoding, sandbox, and what is refused. */
#include "provider_fixture.h"

struct wires {
    struct secret access, refresh, app_secret, proof;
    struct request_input in;
};

static void wires_init(struct wires *w, const char *access, const char *refresh)
{
    *w = (struct wires){
        .in = {
            .app_id = "1234", .access_token = &w->access, .refresh_token = &w->refresh, .app_secret = &w->app_secret}};
    if (access) assert_int_equal(secret_put(&w->access, access, strlen(access), NULL), ERR_OK);
    if (refresh) assert_int_equal(secret_put(&w->refresh, refresh, strlen(refresh), NULL), ERR_OK);
    assert_int_equal(secret_put(&w->app_secret, "s3cr&t", 6, NULL), ERR_OK);
}

static void wires_fini(struct wires *w)
{
    secret_free(&w->access);
    secret_free(&w->refresh);
    secret_free(&w->app_secret);
    secret_free(&w->proof);
}

/* Method, URL, headers, body: one line each, as in a recorded call. */
static void describe(const struct http_request *req, struct buf *out)
{
    buf_printf(out, "%s %s\n", req->method, buf_text(&req->url));
    for (int i = 0; i < req->header_count; i++)
        buf_printf(out, "%s\n", buf_text(&req->headers[i]));
    if (req->user_password.len) buf_printf(out, "Basic %s\n", buf_text(&req->user_password));
    if (req->body.len) buf_printf(out, "\n%s", buf_text(&req->body));
}

static void expect(const struct login *l, enum request_kind kind, const struct request_input *in, const char *wanted)
{
    struct http_request req;
    struct buf got = {0};
    struct err err = {0};
    if (login_build_request(l, kind, in, &req, &err) != ERR_OK) fail_msg("%s: %s", request_kind_word(kind), err.text);
    describe(&req, &got);
    assert_string_equal(buf_text(&got), wanted);
    buf_free(&got);
    http_request_fini(&req);
}

static enum err_code refusal(const struct login *l, enum request_kind kind, const struct request_input *in)
{
    struct http_request req;
    struct err err = {0};
    enum err_code code = login_build_request(l, kind, in, &req, &err);
    assert_int_equal(err.code, code);
    http_request_fini(&req);
    return code;
}

/* '|' and '/' in a token: encoded in URLs, as they are in headers. */
#define TOKEN     "EAAB|x/y+z="
#define TOKEN_URL "EAAB%7Cx%2Fy%2Bz%3D"
#define IG        "https://graph.instagram.com"
#define FB        "https://graph.facebook.com"

static const struct {
    const char *platform, *login;
    enum request_kind kind;
    const char *path, *wanted, *headers;
} shipped[] = {
    {"instagram", "instagram", REQUEST_VALIDATE, IG, "/v25.0/me?fields=user_id,username",
     "Authorization: Bearer " TOKEN "\n"},
    {"instagram", "instagram", REQUEST_REFRESH, IG,
     "/refresh_access_token?grant_type=ig_refresh_token&access_token=" TOKEN_URL, ""},
    {"instagram", "instagram", REQUEST_EXCHANGE, IG,
     "/access_token?grant_type=ig_exchange_token&client_secret=s3cr%26t&access_token=" TOKEN_URL, ""},
    {"instagram", "facebook", REQUEST_VALIDATE, FB, "/v25.0/me?fields=id,name", "Authorization: Bearer " TOKEN "\n"},
    {"instagram", "facebook", REQUEST_INTROSPECT, FB, "/v25.0/debug_token?input_token=" TOKEN_URL,
     "Authorization: Bearer 1234|s3cr&t\n"},
    {"instagram", "facebook", REQUEST_REFRESH, FB,
     "/v25.0/oauth/"
     "access_token?grant_type=fb_exchange_token&client_id=1234&client_secret=s3cr%26t&fb_exchange_token=" TOKEN_URL,
     ""},
    {"instagram", "facebook", REQUEST_EXCHANGE, FB,
     "/v25.0/oauth/"
     "access_token?grant_type=fb_exchange_token&client_id=1234&client_secret=s3cr%26t&fb_exchange_token=" TOKEN_URL,
     ""},
    {"facebook", "facebook", REQUEST_VALIDATE, FB, "/v25.0/me?fields=id,name", "Authorization: Bearer " TOKEN "\n"},
    {"facebook", "facebook", REQUEST_INTROSPECT, FB, "/v25.0/debug_token?input_token=" TOKEN_URL,
     "Authorization: Bearer 1234|s3cr&t\n"},
    {"facebook", "facebook", REQUEST_REFRESH, FB,
     "/v25.0/oauth/"
     "access_token?grant_type=fb_exchange_token&client_id=1234&client_secret=s3cr%26t&fb_exchange_token=" TOKEN_URL,
     ""},
    {"facebook", "facebook", REQUEST_EXCHANGE, FB,
     "/v25.0/oauth/"
     "access_token?grant_type=fb_exchange_token&client_id=1234&client_secret=s3cr%26t&fb_exchange_token=" TOKEN_URL,
     ""},
};

static void check_shipped(const char *sandbox_url, const char *sandbox_prefix)
{
    struct provider_set *set = fixture_shipped();
    struct wires w;
    wires_init(&w, TOKEN, NULL);
    w.in.sandbox_url = sandbox_url;
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; i++) {
        char wanted[512];
        snprintf(wanted, sizeof wanted, "GET %s%s%s\n%s", sandbox_prefix ? sandbox_prefix : "https://",
                 shipped[i].path + strlen("https://"), shipped[i].wanted, shipped[i].headers);
        expect(fixture_login(set, shipped[i].platform, shipped[i].login), shipped[i].kind, &w.in, wanted);
    }
    wires_fini(&w);
    provider_set_free(set);
}

static void shipped_requests_to_the_real_hosts(void **state)
{
    (void)state;
    check_shipped(NULL, NULL);
    check_shipped("", NULL);
}

static void shipped_requests_to_a_sandbox(void **state)
{
    (void)state;
    check_shipped("http://127.0.0.1:8099", "http://127.0.0.1:8099/");
    check_shipped("http://127.0.0.1:8099/base//", "http://127.0.0.1:8099/base/");
}

static void every_shipped_request_is_tested(void **state)
{
    (void)state;
    struct provider_set *set = fixture_shipped();
    size_t count = 0;
    static const char *const logins[][2] = {
        {"instagram", "instagram"}, {"instagram", "facebook"}, {"facebook", "facebook"}};
    for (size_t i = 0; i < 3; i++) {
        for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++)
            count += (size_t)login_has_request(fixture_login(set, logins[i][0], logins[i][1]), (enum request_kind)kind);
    }
    assert_int_equal(count, sizeof shipped / sizeof *shipped);
    provider_set_free(set);
}

static void rotating_refresh_is_a_form_with_basic_auth(void **state)
{
    (void)state;
    struct provider_set *set = fixture_load_text(fixture_rotating);
    const struct login *l = fixture_login(set, "clip", "clip");
    struct wires w;
    wires_init(&w, "act.1", "rft.a b&c");
    expect(l, REQUEST_REFRESH, &w.in,
           "POST https://login.clip.example/oauth/token/\n"
           "Content-Type: application/x-www-form-urlencoded\n"
           "Basic 1234:s3cr%26t\n"
           "\n"
           "client_key=1234&grant_type=refresh_token&refresh_token=rft.a%20b%26c");
    w.in.sandbox_url = "http://localhost:1/";
    expect(l, REQUEST_VALIDATE, &w.in,
           "GET http://localhost:1/api.clip.example/v2/user/?fields=open_id\nAuthorization: Bearer act.1\n");
    wires_fini(&w);
    provider_set_free(set);
}

static void a_colon_in_the_app_id_does_not_end_it(void **state)
{
    (void)state;
    struct provider_set *set = fixture_load_text(fixture_rotating);
    struct wires w;
    struct http_request req;
    wires_init(&w, NULL, "rft.1");
    w.in.app_id = "a:b c";
    assert_int_equal(login_build_request(fixture_login(set, "clip", "clip"), REQUEST_REFRESH, &w.in, &req, NULL),
                     ERR_OK);
    assert_string_equal(buf_text(&req.user_password), "a%3Ab%20c:s3cr%26t");
    http_request_fini(&req);
    assert_null(req.user_password.data);
    wires_fini(&w);
    provider_set_free(set);
}

static void missing_app_settings_are_a_configuration_error(void **state)
{
    (void)state;
    struct provider_set *set = fixture_shipped();
    const struct login *fb = fixture_login(set, "facebook", "facebook");
    struct wires w;
    wires_init(&w, TOKEN, NULL);
    w.in.app_id = NULL;
    assert_int_equal(refusal(fb, REQUEST_REFRESH, &w.in), ERR_CONFIG);
    w.in.app_id = "";
    assert_int_equal(refusal(fb, REQUEST_INTROSPECT, &w.in), ERR_CONFIG);
    w.in.app_id = "1234";
    w.in.app_secret = NULL;
    assert_int_equal(refusal(fb, REQUEST_REFRESH, &w.in), ERR_CONFIG);
    w.in.app_secret = &w.refresh; /* empty */
    assert_int_equal(refusal(fb, REQUEST_INTROSPECT, &w.in), ERR_CONFIG);
    /* Validating needs neither. */
    w.in.app_id = NULL;
    w.in.app_secret = NULL;
    assert_int_equal(refusal(fb, REQUEST_VALIDATE, &w.in), ERR_OK);
    assert_int_equal(refusal(fixture_login(set, "instagram", "instagram"), REQUEST_REFRESH, &w.in), ERR_OK);
    wires_fini(&w);
    provider_set_free(set);
}

static void a_parameter_with_the_proof_is_left_out_where_there_is_none(void **state)
{
    (void)state;
    static const char *const platforms[] = {"facebook", "instagram"};
    struct provider_set *set = fixture_shipped();
    struct wires w;
    wires_init(&w, TOKEN, NULL);
    for (int i = 0; i < 2; i++) {
        const struct login *fb = fixture_login(set, platforms[i], "facebook");
        w.in.app_secret_proof = &w.proof;
        expect(fb, REQUEST_VALIDATE, &w.in, "GET " FB "/v25.0/me?fields=id,name\nAuthorization: Bearer " TOKEN "\n");
        assert_int_equal(secret_put(&w.proof, "00ff", 4, NULL), ERR_OK);
        expect(fb, REQUEST_VALIDATE, &w.in,
               "GET " FB "/v25.0/me?fields=id,name&appsecret_proof=00ff\nAuthorization: Bearer " TOKEN "\n");
        secret_free(&w.proof);
    }
    wires_fini(&w);
    provider_set_free(set);
}

static void request_that_a_login_lacks_is_not_found(void **state)
{
    (void)state;
    struct provider_set *set = fixture_shipped();
    struct wires w;
    wires_init(&w, TOKEN, NULL);
    assert_int_equal(refusal(fixture_login(set, "instagram", "instagram"), REQUEST_INTROSPECT, &w.in), ERR_NOT_FOUND);
    assert_int_equal(refusal(fixture_login(set, "instagram", "instagram"), REQUEST_KIND_COUNT, &w.in), ERR_NOT_FOUND);
    wires_fini(&w);
    provider_set_free(set);
}

/* A line break in a token would begin a header of its own. */
static void token_that_could_break_out_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"EAAB\r\nX-Evil: 1", "EAAB\n", "\tEAAB", "EAAB\x7f", "EAAB\x01"};
    struct provider_set *set = fixture_shipped();
    const struct login *ig = fixture_login(set, "instagram", "instagram");
    struct wires w;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wires_init(&w, bad[i], NULL);
        assert_int_equal(refusal(ig, REQUEST_VALIDATE, &w.in), ERR_BAD_INPUT);
        assert_int_equal(refusal(ig, REQUEST_REFRESH, &w.in), ERR_BAD_INPUT);
        wires_fini(&w);
    }
    wires_init(&w, "IGAA\xC3\xA9", NULL);
    assert_int_equal(refusal(ig, REQUEST_VALIDATE, &w.in), ERR_BAD_INPUT);
    expect(ig, REQUEST_REFRESH, &w.in,
           "GET " IG "/refresh_access_token?grant_type=ig_refresh_token&access_token=IGAA%C3%A9\n");
    wires_fini(&w);

    /* An embedded NUL would cut the token silently. */
    wires_init(&w, NULL, NULL);
    assert_int_equal(secret_put(&w.access, "IGAA\0tail", 9, NULL), ERR_OK);
    assert_int_equal(refusal(ig, REQUEST_VALIDATE, &w.in), ERR_BAD_INPUT);
    assert_int_equal(refusal(ig, REQUEST_REFRESH, &w.in), ERR_BAD_INPUT);
    wires_fini(&w);

    wires_init(&w, NULL, NULL);
    assert_int_equal(refusal(ig, REQUEST_VALIDATE, &w.in), ERR_BAD_INPUT);
    w.in.access_token = NULL;
    assert_int_equal(refusal(ig, REQUEST_VALIDATE, &w.in), ERR_BAD_INPUT);
    wires_fini(&w);
    provider_set_free(set);
}

static void errors_do_not_hold_the_token(void **state)
{
    (void)state;
    struct provider_set *set = fixture_shipped();
    struct http_request req;
    struct err err = {0};
    struct wires w;
    wires_init(&w, "IGAAsecret\n", NULL);
    login_build_request(fixture_login(set, "instagram", "instagram"), REQUEST_VALIDATE, &w.in, &req, &err);
    assert_null(strstr(err.text, "IGAAsecret"));
    assert_null(strstr(err.place, "IGAAsecret"));
    http_request_fini(&req);
    wires_fini(&w);
    provider_set_free(set);
}

static void kinds_have_words(void **state)
{
    (void)state;
    enum request_kind kind;
    for (int i = 0; i < REQUEST_KIND_COUNT; i++) {
        assert_true(request_kind_parse(request_kind_word((enum request_kind)i), &kind));
        assert_int_equal(kind, i);
    }
    assert_false(request_kind_parse("delete", &kind));
    assert_false(request_kind_parse(NULL, &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_requests_to_the_real_hosts),
        cmocka_unit_test(shipped_requests_to_a_sandbox),
        cmocka_unit_test(every_shipped_request_is_tested),
        cmocka_unit_test(rotating_refresh_is_a_form_with_basic_auth),
        cmocka_unit_test(a_colon_in_the_app_id_does_not_end_it),
        cmocka_unit_test(missing_app_settings_are_a_configuration_error),
        cmocka_unit_test(a_parameter_with_the_proof_is_left_out_where_there_is_none),
        cmocka_unit_test(request_that_a_login_lacks_is_not_found),
        cmocka_unit_test(token_that_could_break_out_is_refused),
        cmocka_unit_test(errors_do_not_hold_the_token),
        cmocka_unit_test(kinds_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
