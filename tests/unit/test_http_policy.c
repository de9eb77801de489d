/* Where a request may go, and that nothing makes it go elsewhere: schemes, hosts, proxies, headers; sent once. */
#include "http_fixture.h"

static const struct http_options usual = {0};

static const struct {
    const char *url;
    int allowed;
} urls[] = {{"https://graph.facebook.com/v25.0/me?fields=id", 1},
            {"https://10.0.0.1/", 1},
            {"HTTPS://host/", 1},
            {"http://127.0.0.1:9000/x", 1},
            {"http://127.255.255.254/", 1},
            {"http://localhost/", 1},
            {"http://LOCALHOST:1/", 1},
            {"http://[::1]:9000/", 1},
            {"https://[2001:db8::1]/", 1},
            {"http://graph.facebook.com/", 0},
            {"http://10.0.0.1/", 0},
            {"http://0.0.0.0/", 0},
            {"http://128.0.0.1/", 0},
            {"http://127.0.0.1.example.com/", 0},
            {"http://127.0.0.256/", 0},
            {"http://localhost.example.com/", 0},
            {"http://localhost./", 0},
            {"http://xlocalhost/", 0},
            {"http://[::2]/", 0},
            {"http://[::ffff:127.0.0.1]/", 0},
            {"http://[fe80::1%25lo]/", 0},
            {"http://127.+0.0.1/", 0},
            {"http://127.0.0.1@evil.example/", 0},
            {"https://user@host/", 0},
            {"https://user:pw@host/", 0},
            {"https://:pw@host/", 0},
            {"ftp://127.0.0.1/", 0},
            {"file:///etc/passwd", 0},
            {"gopher://127.0.0.1/", 0},
            {"dict://127.0.0.1/", 0},
            {"ws://127.0.0.1/", 0},
            {"smb://127.0.0.1/", 0},
            {"127.0.0.1:9000/x", 0},
            {"localhost/x", 0},
            {"//127.0.0.1/", 0},
            {"/path", 0},
            {"", 0},
            {"https://", 0},
            {"https://host:99999/", 0},
            {"https://host/a b", 0},
            {"https://host/a\tb", 0},
            {"https://host/a\r\nX: y", 0},
            {"https://ho\x01st/", 0},
            {" https://host/", 0},
            {"https://host/ ", 0},
            {"https://host/\x7f", 0}};

static void only_https_and_this_host_are_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct err err = {0};
        enum err_code rc = http_url_check(urls[i].url, &err);

        if (rc != (urls[i].allowed ? ERR_OK : ERR_BAD_INPUT))
            fail_msg("\"%s\": got %s, expected %s", urls[i].url, err_word(rc), urls[i].allowed ? "ok" : "bad_request");
        if (!urls[i].allowed && !*err.text) fail_msg("\"%s\": refused without a reason", urls[i].url);
    }
}

static void every_outcome_has_a_name(void **state)
{
    (void)state;
    for (int o = HTTP_ANSWERED; o <= HTTP_NOT_ALLOWED; o++)
        for (int other = HTTP_ANSWERED; other < o; other++)
            assert_string_not_equal(http_outcome_name((enum http_outcome)o),
                                    http_outcome_name((enum http_outcome)other));
    assert_string_equal(http_outcome_name(HTTP_NOT_ALLOWED), "not allowed");
    assert_string_equal(http_outcome_name((enum http_outcome)99), "unknown");
}

/* The port is listened at on all addresses of this host: whoever would be let through could be seen. */
static void what_is_not_allowed_sends_no_packet(void **state)
{
    static const char *const starts[] = {
        "http://0.0.0.0:",     "http://127.0.0.1.nip.example:", "ftp://127.0.0.1:",
        "gopher://127.0.0.1:", "telnet://127.0.0.1:",           "http://user@127.0.0.1:"};
    struct server server = {.behaviour = ANSWER_AND_CLOSE, .text = OK_ANSWER};

    (void)state;
    fixture_serve(&server);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct outcome o;
        char url[128];

        snprintf(url, sizeof url, "%s%d/", starts[i], server.port);
        fixture_get(&usual, url, &o);
        fixture_expect(&o, HTTP_NOT_ALLOWED, url);
        assert_string_not_equal(o.detail, "");
    }
    assert_int_equal(atomic_load(&server.state->connections), 0);
    fixture_stop(&server);
}

static void a_line_break_in_a_header_is_not_sent(void **state)
{
    static const char *const bad[] = {"Authorization: Bearer abc\r\nX-Evil: 1", "Authorization: Bearer abc\n",
                                      "X: \x01", "X: \x7f", "X: \x1b"};
    struct server server = {.behaviour = ANSWER_AND_CLOSE, .text = OK_ANSWER};
    struct http_client *client = fixture_client(&usual);

    (void)state;
    fixture_serve(&server);
    for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
        struct http_request req;
        struct outcome o = {0};

        fixture_request(&req, "GET", fixture_url(&server, "/"));
        if (i < sizeof bad / sizeof *bad)
            buf_puts(&req.headers[req.header_count++], bad[i]);
        else
            buf_put(&req.headers[req.header_count++], "X: a\0b", 6);
        assert_int_equal(http_start(client, &req, fixture_done, &o, NULL), ERR_OK);
        http_request_fini(&req);
        fixture_finish(client);
        fixture_expect(&o, HTTP_NOT_ALLOWED, "a control character in a header");
        assert_int_equal(o.calls, 1);
    }
    assert_int_equal(atomic_load(&server.state->connections), 0);
    http_client_free(client);
    fixture_stop(&server);
}

static const char *const proxy_variables[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                              "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};

static void proxies_of_the_environment_are_ignored(void **state)
{
    struct server server = {.behaviour = ANSWER_AND_CLOSE, .text = OK_ANSWER}, proxy = server;
    struct outcome o;
    char url[64];
    int port;

    (void)state;
    fixture_serve(&server);
    fixture_serve(&proxy);
    close(fixture_listen(1, &port));
    for (size_t i = 0; i < sizeof proxy_variables / sizeof *proxy_variables; i++)
        setenv(proxy_variables[i], fixture_url(&proxy, ""), 1);
    fixture_get(&usual, fixture_url(&server, "/"), &o);
    fixture_expect(&o, HTTP_ANSWERED, "http beside a proxy");
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", port);
    fixture_get(&usual, url, &o);
    fixture_expect(&o, HTTP_REFUSED, "https beside a proxy");
    for (size_t i = 0; i < sizeof proxy_variables / sizeof *proxy_variables; i++)
        unsetenv(proxy_variables[i]);
    assert_int_equal(atomic_load(&proxy.state->connections), 0);
    fixture_stop(&server);
    fixture_stop(&proxy);
}

static void netrc_gives_nobody_a_password(void **state)
{
    struct server server = {.behaviour = ANSWER_AND_CLOSE, .text = OK_ANSWER};
    char dir[] = "/tmp/th-home-XXXXXX", path[64];
    struct outcome o;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/.netrc", dir);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs("default login netrc-user password netrc-password\n", file);
    fclose(file);
    setenv("HOME", dir, 1);
    fixture_serve(&server);
    fixture_get(&usual, fixture_url(&server, "/"), &o);
    fixture_expect(&o, HTTP_ANSWERED, "a call beside a .netrc");
    assert_null(strstr(server.state->last_request, "Authorization"));
    fixture_stop(&server);
    unlink(path);
    rmdir(dir);
}

/* The second request of a connection gets no answer. A GET may be sent again; a POST might be a single-use refresh token. */
static void a_post_is_never_sent_twice(void **state)
{
    static const char *const methods[] = {"GET", "POST"};

    (void)state;
    for (int m = 0; m < 2; m++) {
        struct server server = {.behaviour = ANSWER_ONCE, .text = OK_ANSWER};
        struct http_client *client = fixture_client(&usual);
        struct outcome first = {0}, second = {0};
        struct http_request req;

        fixture_serve(&server);
        fixture_request(&req, "GET", fixture_url(&server, "/"));
        assert_int_equal(http_start(client, &req, fixture_done, &first, NULL), ERR_OK);
        http_request_fini(&req);
        fixture_finish(client);
        fixture_request(&req, methods[m], fixture_url(&server, "/"));
        assert_int_equal(http_start(client, &req, fixture_done, &second, NULL), ERR_OK);
        http_request_fini(&req);
        fixture_finish(client);
        http_client_free(client);
        fixture_expect(&second, HTTP_ANSWERED, methods[m]);
        /* the GET went out on the used connection and again on a new one; the POST on a new one at once */
        assert_int_equal(atomic_load(&server.state->requests), m == 0 ? 3 : 2);
        fixture_stop(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_https_and_this_host_are_allowed),
        cmocka_unit_test(every_outcome_has_a_name),
        cmocka_unit_test(what_is_not_allowed_sends_no_packet),
        cmocka_unit_test(a_line_break_in_a_header_is_not_sent),
        cmocka_unit_test(proxies_of_the_environment_are_ignored),
        cmocka_unit_test(netrc_gives_nobody_a_password),
        cmocka_unit_test(a_post_is_never_sent_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
