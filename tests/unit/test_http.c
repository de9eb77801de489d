/* One call: what is sent, what comes back, and what each kind of trouble is called. Real sockets; names are resolved here. */
#include "base/limits.h"
#include "http_fixture.h"
#include <dlfcn.h>
#include <netdb.h>

/* libcurl finds this one before libc's: names of ".test" do what they say, and no test asks a real name server. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT,
                                                                                                "getaddrinfo");

    if (name && !strcmp(name, "slow.test")) sleep(6);
    if (!name || strcmp(name, "here.test") != 0) return EAI_NONAME;
    return real("127.0.0.1", service, hints, found);
}

static const struct http_options usual = {0};

/* ---- what is sent */

static void send_and_read(struct http_request *req, char *sent, size_t size)
{
    struct server server = {.behaviour = ANSWER_AND_CLOSE, .text = OK_ANSWER};
    struct http_client *client = fixture_client(&(struct http_options){.user_agent = "agent/1"});
    struct outcome o = {0};

    fixture_serve(&server);
    buf_puts(&req->url, fixture_url(&server, "/path?q=1&r=%20x"));
    assert_int_equal(http_start(client, req, fixture_done, &o, NULL), ERR_OK);
    http_request_fini(req); /* it was copied */
    fixture_finish(client);
    fixture_expect(&o, HTTP_ANSWERED, "a simple call");
    snprintf(sent, size, "%s", server.state->last_request);
    http_client_free(client);
    fixture_stop(&server);
}

static void assert_sent(const char *sent, const char *line, int want)
{
    if ((strstr(sent, line) != NULL) != want) fail_msg("%s in the request:\n%s\nexpected: %d", line, sent, want);
}

static void a_get_has_its_headers_and_no_others(void **state)
{
    struct http_request req = {.method = "GET"};
    char sent[8192];

    (void)state;
    buf_puts(&req.headers[req.header_count++], "Authorization: Bearer abc");
    buf_puts(&req.headers[req.header_count++], "X-One: two  words");
    send_and_read(&req, sent, sizeof sent);
    assert_memory_equal(sent, "GET /path?q=1&r=%20x HTTP/1.1\r\n", 31);
    assert_sent(sent, "\r\nAuthorization: Bearer abc\r\n", 1);
    assert_sent(sent, "\r\nX-One: two  words\r\n", 1);
    assert_sent(sent, "\r\nUser-Agent: agent/1\r\n", 1);
    assert_sent(sent, "Cookie", 0);
    assert_sent(sent, "Referer", 0);
    assert_sent(sent, "Accept-Encoding", 0);
    assert_sent(sent, "Content-", 0);
}

static void a_post_has_its_form_and_expects_nothing(void **state)
{
    struct http_request req = {.method = "POST"};
    struct buf form = {0};
    char sent[8192];

    (void)state;
    buf_printf(&form, "refresh_token=%0*d", 2000, 1); /* long enough for curl to send Expect otherwise */
    buf_puts(&req.body, buf_text(&form));
    buf_puts(&req.headers[req.header_count++], "Content-Type: application/x-www-form-urlencoded");
    buf_puts(&req.user_password, "id%3A:secret");
    send_and_read(&req, sent, sizeof sent);
    assert_memory_equal(sent, "POST /path", 10);
    assert_sent(sent, "\r\nAuthorization: Basic aWQlM0E6c2VjcmV0\r\n", 1);
    assert_sent(sent, "\r\nContent-Length: 2014\r\n", 1);
    assert_sent(sent, "Expect", 0);
    assert_string_equal(strstr(sent, "\r\n\r\n") + 4, buf_text(&form));
    buf_free(&form);
}

static void an_empty_post_and_a_delete_are_what_they_are(void **state)
{
    struct http_request post = {.method = "POST"}, removal = {.method = "DELETE"};
    char sent[8192];

    (void)state;
    send_and_read(&post, sent, sizeof sent);
    assert_memory_equal(sent, "POST /path", 10);
    assert_sent(sent, "\r\nContent-Length: 0\r\n", 1);
    send_and_read(&removal, sent, sizeof sent);
    assert_memory_equal(sent, "DELETE /path", 12);
}

/* ---- what comes back */

static void an_answer_is_taken_apart(void **state)
{
    static const struct {
        const char *text;
        int status;
        const char *body, *header;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Test: a\r\n\r\nbody", 200, "body", "a"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", "(none)"},
        {"HTTP/1.1 204 No Content\r\nx-test:\r\n\r\n", 204, "", ""},
        {"HTTP/1.1 400 Bad\r\nX-TEST: \t v  v \t\r\nContent-Length: 2\r\n\r\n{}", 400, "{}", "v  v"},
        {"HTTP/1.1 200 OK\r\nX-Test: first\r\nX-Test: second\r\nContent-Length: 0\r\n\r\n", 200, "", "first"},
        {"HTTP/1.1 200 OK\r\nX-Test: {\"call_count\":28,\"a\":\"b: c\"}\r\nContent-Length: 0\r\n\r\n", 200, "",
         "{\"call_count\":28,\"a\":\"b: c\"}"},
        {"HTTP/1.1 429 Too Many\r\nRetry-After: 5\r\nContent-Length: 4\r\n\r\nslow", 429, "slow", "(none)"},
        {"HTTP/1.1 500 \r\nContent-Length: 6\r\n\r\n<html>", 500, "<html>", "(none)"},
        {"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end", "(none)"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, "abcde",
         "(none)"},
        {"HTTP/1.1 100 Continue\r\nX-Test: no\r\n\r\nHTTP/1.1 200 OK\r\nX-Test: yes\r\nContent-Length: 1\r\n\r\nz", 200,
         "z", "yes"},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", "(none)"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server server = {.behaviour = ANSWER_AND_CLOSE, .text = cases[i].text};
        struct outcome o;

        fixture_serve(&server);
        fixture_get(&usual, fixture_url(&server, "/"), &o);
        fixture_stop(&server);
        fixture_expect(&o, HTTP_ANSWERED, cases[i].text);
        if (o.status != cases[i].status || strcmp(o.body, cases[i].body) != 0 || strcmp(o.header, cases[i].header) != 0)
            fail_msg("%s\ngot %d \"%s\" \"%s\", expected %d \"%s\" \"%s\"", cases[i].text, o.status, o.body, o.header,
                     cases[i].status, cases[i].body, cases[i].header);
        assert_string_equal(o.detail, "");
        assert_true(o.elapsed_ms >= 0 && o.elapsed_ms < 10000);
    }
}

static void a_redirect_is_an_answer_and_not_followed(void **state)
{
    struct server target = {.behaviour = ANSWER_AND_CLOSE, .text = OK_ANSWER};
    struct server server = {.behaviour = ANSWER_AND_CLOSE};
    char text[512];

    (void)state;
    fixture_serve(&target);
    for (int status = 301; status <= 308; status++) {
        struct outcome o;

        snprintf(text, sizeof text, "HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status,
                 fixture_url(&target, "/"));
        server.text = text;
        server.text_len = 0;
        fixture_serve(&server);
        fixture_get(&usual, fixture_url(&server, "/"), &o);
        fixture_stop(&server);
        fixture_expect(&o, HTTP_ANSWERED, "a redirect");
        assert_int_equal(o.status, status);
        assert_string_equal(o.location, fixture_url(&target, "/"));
    }
    assert_int_equal(atomic_load(&target.state->connections), 0);
    fixture_stop(&target);
}

static void more_headers_than_fit_are_left_out(void **state)
{
    struct server server = {.behaviour = ANSWER_AND_CLOSE};
    struct buf text = {0};
    struct outcome o;

    (void)state;
    buf_puts(&text, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < HTTP_ANSWER_HEADERS_MAX + 20; i++)
        buf_printf(&text, "X-%d: %d\r\n", i, i);
    buf_puts(&text, "Content-Length: 0\r\n\r\n");
    server.text = buf_text(&text);
    fixture_serve(&server);
    fixture_get(&usual, fixture_url(&server, "/"), &o);
    fixture_stop(&server);
    fixture_expect(&o, HTTP_ANSWERED, "many headers");
    assert_int_equal(o.header_count, HTTP_ANSWER_HEADERS_MAX);
    buf_free(&text);
}

static void a_body_or_head_over_its_limit_is_too_large(void **state)
{
    struct server server = {.behaviour = ANSWER_AND_CLOSE};
    struct outcome o;

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct buf text = {0};

        if (i < 2) /* the limit, and one more */
            buf_printf(&text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%0*d", LIMIT_PROVIDER_ANSWER_BYTES + i,
                       LIMIT_PROVIDER_ANSWER_BYTES + i, 7);
        else if (i == 2)
            buf_printf(&text, "HTTP/1.0 200 OK\r\n\r\n%0*d", LIMIT_PROVIDER_ANSWER_BYTES * 4, 7);
        else
            for (int header = -1; header < 40; header++)
                buf_printf(&text, header < 0 ? "HTTP/1.1 200 OK\r\n" : "X-Many: %0*d\r\n", 3000, header);
        server.text = buf_text(&text);
        server.text_len = text.len;
        fixture_serve(&server);
        fixture_get(&usual, fixture_url(&server, "/"), &o);
        fixture_stop(&server);
        fixture_expect(&o, i == 0 ? HTTP_ANSWERED : HTTP_TOO_LARGE, "a large answer");
        if (i == 0) assert_int_equal(o.body_len, LIMIT_PROVIDER_ANSWER_BYTES);
        buf_free(&text);
    }
}

/* ---- trouble */

static void a_broken_answer_is_called_so(void **state)
{
    static const struct {
        enum behaviour behaviour;
        const char *text;
    } cases[] = {{ANSWER_AND_CLOSE, ""},
                 {ANSWER_AND_RESET, ""},
                 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\n"},
                 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"},
                 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"id\":1"},
                 {ANSWER_AND_RESET, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"id\":1"},
                 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"},
                 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"},
                 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
                 {ANSWER_AND_CLOSE, "this is no HTTP at all, and somebody sends it all the same\r\n\r\n"},
                 {ANSWER_AND_CLOSE, "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"},
                 {ANSWER_AND_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server server = {.behaviour = cases[i].behaviour, .text = cases[i].text};
        struct outcome o;

        fixture_serve(&server);
        fixture_get(&usual, fixture_url(&server, "/"), &o);
        fixture_stop(&server);
        fixture_expect(&o, HTTP_BROKEN, cases[i].text);
        assert_string_not_equal(o.detail, "");
    }
}

static void a_port_where_nobody_listens_refuses(void **state)
{
    struct outcome o;
    char url[64];
    int port;

    (void)state;
    close(fixture_listen(1, &port));
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    fixture_get(&usual, url, &o);
    fixture_expect(&o, HTTP_REFUSED, url);
    snprintf(url, sizeof url, "http://localhost:%d/", port);
    fixture_get(&usual, url, &o);
    fixture_expect(&o, HTTP_REFUSED, url);
}

static void a_name_that_nobody_knows_is_a_dns_failure(void **state)
{
    struct outcome o;

    (void)state;
    fixture_get(&usual, "https://gone.test/", &o);
    fixture_expect(&o, HTTP_DNS_FAILED, "gone.test");
    assert_null(strstr(o.detail, "gone.test")); /* curl's word, without the URL */
}

/* curl of Debian 12 would wait for the resolver's thread before it tells of the time-out, and stop all other calls. */
static void a_resolver_that_hangs_costs_no_more_than_the_time_to_connect(void **state)
{
    struct server server = {.behaviour = ANSWER, .text = OK_ANSWER};
    struct http_client *client =
        fixture_client(&(struct http_options){.connect_timeout_ms = 300, .max_connections = 2});
    struct http_request req;
    struct outcome slow = {0}, fast = {0};
    int64_t start_ms = clock_mono_ms();

    (void)state;
    fixture_serve(&server);
    fixture_request(&req, "GET", "https://slow.test/");
    assert_int_equal(http_start(client, &req, fixture_done, &slow, NULL), ERR_OK);
    http_request_fini(&req);
    while (slow.calls == 0) {
        http_run(client, 50);
        if (clock_mono_ms() - start_ms > 200 && !fast.calls && http_inflight(client) == 1) {
            fixture_request(&req, "GET", fixture_url(&server, "/"));
            assert_int_equal(http_start(client, &req, fixture_done, &fast, NULL), ERR_OK);
            http_request_fini(&req);
        }
    }
    fixture_finish(client);
    http_client_free(client);
    fixture_stop(&server);
    fixture_expect(&slow, HTTP_TIMED_OUT, "slow.test");
    if (slow.elapsed_ms > 4000) fail_msg("the time-out of 300 ms took %lld ms", (long long)slow.elapsed_ms);
    if (fast.calls && fast.elapsed_ms > 3000) fail_msg("another call waited %lld ms", (long long)fast.elapsed_ms);
    if (clock_mono_ms() - start_ms > 5000) fail_msg("the client waited for the resolver");
}

/* A full backlog drops what comes in: nobody says no. */
static void a_server_that_takes_no_connection_times_out(void **state)
{
    int port, fd = fixture_listen(0, &port), fillers[4];
    struct outcome o;
    char url[64];

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(connect(fillers[i], (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    fixture_get(&(struct http_options){.connect_timeout_ms = 400}, url, &o);
    fixture_expect(&o, HTTP_TIMED_OUT, "a full backlog");
    if (o.elapsed_ms < 350 || o.elapsed_ms > 5000)
        fail_msg("the time-out of 400 ms took %lld ms", (long long)o.elapsed_ms);
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
    close(fd);
}

static void a_server_that_says_nothing_or_not_enough_times_out(void **state)
{
    static const char *const texts[] = {NULL, "HTTP/1.1 200 OK\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct server server = {.behaviour = texts[i] ? ANSWER : SAY_NOTHING, .text = texts[i]};
        struct outcome o;

        fixture_serve(&server);
        fixture_get(&(struct http_options){.total_timeout_ms = 500}, fixture_url(&server, "/"), &o);
        fixture_stop(&server);
        fixture_expect(&o, HTTP_TIMED_OUT, texts[i] ? texts[i] : "silence");
        if (o.elapsed_ms < 450 || o.elapsed_ms > 5000)
            fail_msg("the time-out of 500 ms took %lld ms", (long long)o.elapsed_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_has_its_headers_and_no_others),
        cmocka_unit_test(a_post_has_its_form_and_expects_nothing),
        cmocka_unit_test(an_empty_post_and_a_delete_are_what_they_are),
        cmocka_unit_test(an_answer_is_taken_apart),
        cmocka_unit_test(a_redirect_is_an_answer_and_not_followed),
        cmocka_unit_test(more_headers_than_fit_are_left_out),
        cmocka_unit_test(a_body_or_head_over_its_limit_is_too_large),
        cmocka_unit_test(a_broken_answer_is_called_so),
        cmocka_unit_test(a_port_where_nobody_listens_refuses),
        cmocka_unit_test(a_name_that_nobody_knows_is_a_dns_failure),
        cmocka_unit_test(a_resolver_that_hangs_costs_no_more_than_the_time_to_connect),
        cmocka_unit_test(a_server_that_takes_no_connection_times_out),
        cmocka_unit_test(a_server_that_says_nothing_or_not_enough_times_out),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
