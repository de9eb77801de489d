/* After a call that brought no answer: may it have reached the host, and whose time was over? And the host's own time. */
#include "http_fixture.h"

struct sent {
    enum http_outcome outcome;
    int is_sent;
    int64_t date_ms;
};

static void note(void *arg, const struct http_answer *answer)
{
    *(struct sent *)arg = (struct sent){answer->outcome, answer->is_sent, answer->date_ms};
}

static struct sent call(const struct http_options *options, const char *method, const char *url)
{
    struct http_client *client = fixture_client(options);
    struct http_request req;
    struct sent sent = {.is_sent = -1};

    fixture_request(&req, method, url);
    assert_int_equal(http_start(client, &req, note, &sent, NULL), ERR_OK);
    http_request_fini(&req);
    fixture_finish(client);
    http_client_free(client);
    return sent;
}

static void expect(const char *what, struct sent got, enum http_outcome outcome, int is_sent)
{
    if (got.outcome != outcome || got.is_sent != is_sent)
        fail_msg("%s: got \"%s\", sent %d, expected \"%s\", sent %d", what, http_outcome_name(got.outcome), got.is_sent,
                 http_outcome_name(outcome), is_sent);
}

static struct sent call_server(enum behaviour behaviour, const char *text, const char *method, int is_tls)
{
    struct server server = {.behaviour = behaviour, .text = text};
    struct sent sent;
    char url[64];

    fixture_serve(&server);
    snprintf(url, sizeof url, "%s://127.0.0.1:%d/", is_tls ? "https" : "http", server.port);
    sent = call(&(struct http_options){.total_timeout_ms = 500}, method, url);
    fixture_stop(&server);
    return sent;
}

static void what_may_have_reached_the_host_is_said_to_be_sent(void **state)
{
    static const char *const methods[] = {"GET", "POST"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *method = methods[i];

        expect("an answer", call_server(ANSWER, OK_ANSWER, method, 0), HTTP_ANSWERED, 1);
        expect("silence", call_server(SAY_NOTHING, NULL, method, 0), HTTP_TIMED_OUT, 1);
        expect("half an answer", call_server(ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", method, 0),
               HTTP_TIMED_OUT, 1);
        expect("closed in the head", call_server(ANSWER_AND_CLOSE, "HTTP/1.1 2", method, 0), HTTP_BROKEN, 1);
        expect("reset without a word", call_server(ANSWER_AND_RESET, "", method, 0), HTTP_BROKEN, 1);
        expect("no HTTP", call_server(ANSWER_AND_CLOSE, "SSH-2.0-x\r\n", method, 0), HTTP_BROKEN, 1);
    }
}

static void what_got_no_connection_was_certainly_not_sent(void **state)
{
    int port, fd = fixture_listen(1, &port), fillers[3];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char url[64];

    (void)state;
    /* A backlog that is full: nobody says yes or no. */
    address.sin_port = htons((uint16_t)port);
    for (int i = 0; i < 3; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    expect("no connection in time", call(&(struct http_options){.connect_timeout_ms = 300}, "POST", url),
           HTTP_TIMED_OUT, 0);
    for (int i = 0; i < 3; i++)
        close(fillers[i]);
    close(fd);
    expect("nobody listens", call(&(struct http_options){0}, "POST", url), HTTP_REFUSED, 0);
    expect("a hanging handshake", call_server(SAY_NOTHING, NULL, "POST", 1), HTTP_TIMED_OUT, 0);
    expect("refused by policy", call(&(struct http_options){0}, "POST", "http://192.0.2.1/"), HTTP_NOT_ALLOWED, 0);
}

static void the_hosts_own_time_is_read(void **state)
{
    static const struct {
        const char *date;
        int64_t ms;
    } rows[] = {{"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", INT64_C(784111777000)},
                {"date:   Sun, 06 Nov 1994 08:49:37 GMT\r\n", INT64_C(784111777000)},
                {"Date: yesterday\r\n", 0},
                {"Date: \r\n", 0},
                {"", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        struct sent got;

        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%sContent-Length: 2\r\n\r\n{}", rows[i].date);
        got = call_server(ANSWER, text, "GET", 0);
        if (got.date_ms != rows[i].ms)
            fail_msg("\"%s\": got %lld, expected %lld", rows[i].date, (long long)got.date_ms, (long long)rows[i].ms);
    }
}

struct cut {
    enum http_outcome outcome;
    int is_cut;
    int64_t elapsed_ms;
};

static void note_cut(void *arg, const struct http_answer *answer)
{
    *(struct cut *)arg = (struct cut){answer->outcome, answer->is_cut, answer->elapsed_ms};
}

static void a_request_may_have_less_time_than_the_client_gives_and_that_is_told_apart(void **state)
{
    static const struct {
        const char *what;
        int64_t client_ms, request_ms;
        int is_cut;
        int64_t most_ms;
    } rows[] = {{"the request's time", 5000, 300, 1, 3000},
                {"the client's time", 300, 0, 0, 3000},
                {"the client's, of a request with more", 300, 5000, 0, 3000}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct server server = {.behaviour = SAY_NOTHING};
        struct http_client *client = fixture_client(&(struct http_options){.total_timeout_ms = rows[i].client_ms});
        struct http_request req;
        struct cut got = {.is_cut = -1};
        char url[64];

        fixture_serve(&server);
        snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
        fixture_request(&req, "GET", url);
        req.timeout_ms = rows[i].request_ms;
        assert_int_equal(http_start(client, &req, note_cut, &got, NULL), ERR_OK);
        http_request_fini(&req);
        fixture_finish(client);
        http_client_free(client);
        fixture_stop(&server);
        if (got.outcome != HTTP_TIMED_OUT || got.is_cut != rows[i].is_cut || got.elapsed_ms > rows[i].most_ms)
            fail_msg("%s: got \"%s\", cut %d after %lld ms, expected a time-out, cut %d", rows[i].what,
                     http_outcome_name(got.outcome), got.is_cut, (long long)got.elapsed_ms, rows[i].is_cut);
    }
}

/* The first call's end makes the second one unwanted. */
struct wish {
    struct cut first, second;
};

static void note_first(void *arg, const struct http_answer *answer)
{
    note_cut(&((struct wish *)arg)->first, answer);
}

static void note_second(void *arg, const struct http_answer *answer)
{
    note_cut(&((struct wish *)arg)->second, answer);
}

static int is_wanted(void *arg)
{
    return ((struct wish *)arg)->first.is_cut < 0;
}

static void what_is_no_longer_wanted_when_its_turn_comes_is_not_sent(void **state)
{
    struct server server = {
        .behaviour = ANSWER, .text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", .work_ms = 100};
    struct http_client *client = fixture_client(&(struct http_options){.max_connections = 1});
    struct wish wish = {{.is_cut = -1}, {.is_cut = -1}};
    struct http_request req;
    char url[64];

    (void)state;
    fixture_serve(&server);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
    fixture_request(&req, "GET", url);
    req.is_wanted = is_wanted;
    assert_int_equal(http_start(client, &req, note_first, &wish, NULL), ERR_OK);
    assert_int_equal(http_start(client, &req, note_second, &wish, NULL), ERR_OK);
    http_request_fini(&req);
    fixture_finish(client);
    assert_int_equal(wish.first.outcome, HTTP_ANSWERED);
    assert_int_equal(wish.second.outcome, HTTP_TIMED_OUT);
    assert_int_equal(wish.second.is_cut, 1);
    assert_int_equal(atomic_load(&server.state->requests), 1);
    http_client_free(client);
    fixture_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_have_reached_the_host_is_said_to_be_sent),
        cmocka_unit_test(what_got_no_connection_was_certainly_not_sent),
        cmocka_unit_test(the_hosts_own_time_is_read),
        cmocka_unit_test(a_request_may_have_less_time_than_the_client_gives_and_that_is_told_apart),
        cmocka_unit_test(what_is_no_longer_wanted_when_its_turn_comes_is_not_sent),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
