/* Many calls at once: all come to one end, no more than allowed are under way, and those that wait lose nothing but time. */
#include "http_fixture.h"
#include <sys/time.h>

static void start(struct http_client *client, const char *url, http_done_fn *done, void *arg)
{
    struct http_request req;

    fixture_request(&req, "GET", url);
    assert_int_equal(http_start(client, &req, done, arg, NULL), ERR_OK);
    http_request_fini(&req);
}

static void a_crowd_is_answered_by_a_few_connections(void **state)
{
    enum { CALLS = 300, MOST = 8 };
    static struct outcome outcomes[CALLS];
    struct server server = {.behaviour = ANSWER, .text = OK_ANSWER, .work_ms = 10};
    struct http_client *client =
        fixture_client(&(struct http_options){.max_connections = MOST, .total_timeout_ms = 60000});

    (void)state;
    memset(outcomes, 0, sizeof outcomes);
    fixture_serve(&server);
    for (int i = 0; i < CALLS; i++)
        start(client, fixture_url(&server, "/"), fixture_done, &outcomes[i]);
    assert_int_equal(http_inflight(client), CALLS);
    fixture_finish(client);
    assert_int_equal(http_inflight(client), 0);
    for (int i = 0; i < CALLS; i++) {
        fixture_expect(&outcomes[i], HTTP_ANSWERED, "one of a crowd");
        assert_int_equal(outcomes[i].calls, 1);
    }
    assert_int_equal(atomic_load(&server.state->requests), CALLS);
    if (atomic_load(&server.state->most_at_work) > MOST || atomic_load(&server.state->most_at_work) < 2)
        fail_msg("%d were under way at once, expected 2 to %d", atomic_load(&server.state->most_at_work), MOST);
    if (atomic_load(&server.state->connections) > MOST)
        fail_msg("%d connections were made, expected %d: they are kept", atomic_load(&server.state->connections), MOST);
    http_client_free(client);
    fixture_stop(&server);
}

/* curl's own queue would have the time to connect run out for those that wait. */
static void waiting_for_a_turn_is_no_time_to_connect(void **state)
{
    struct server server = {.behaviour = ANSWER, .text = OK_ANSWER, .work_ms = 400};
    struct http_client *client =
        fixture_client(&(struct http_options){.max_connections = 1, .connect_timeout_ms = 300});
    struct outcome outcomes[4] = {0};

    (void)state;
    fixture_serve(&server);
    for (int i = 0; i < 4; i++)
        start(client, fixture_url(&server, "/"), fixture_done, &outcomes[i]);
    fixture_finish(client);
    for (int i = 0; i < 4; i++) {
        fixture_expect(&outcomes[i], HTTP_ANSWERED, "one that waited");
        assert_true(i == 0 || outcomes[i].elapsed_ms >= outcomes[i - 1].elapsed_ms); /* in their order */
    }
    assert_int_equal(atomic_load(&server.state->most_at_work), 1);
    http_client_free(client);
    fixture_stop(&server);
}

static void waiting_for_a_turn_counts_for_the_time_in_all(void **state)
{
    struct server server = {.behaviour = SAY_NOTHING};
    struct http_client *client = fixture_client(&(struct http_options){.max_connections = 2, .total_timeout_ms = 600});
    struct outcome outcomes[7] = {0};
    int64_t start_ms = clock_mono_ms();

    (void)state;
    fixture_serve(&server);
    for (int i = 0; i < 7; i++)
        start(client, fixture_url(&server, "/"), fixture_done, &outcomes[i]);
    fixture_finish(client);
    for (int i = 0; i < 7; i++) {
        fixture_expect(&outcomes[i], HTTP_TIMED_OUT, "a hanging server");
        assert_int_equal(outcomes[i].calls, 1);
    }
    if (clock_mono_ms() - start_ms > 2000)
        fail_msg("seven calls of 600 ms took %lld ms", (long long)(clock_mono_ms() - start_ms));
    http_client_free(client);
    fixture_stop(&server);
}

static void an_urgent_call_does_not_wait_for_a_turn(void **state)
{
    struct server server = {.behaviour = ANSWER, .text = OK_ANSWER, .work_ms = 400};
    struct http_client *client = fixture_client(&(struct http_options){.max_connections = 1});
    struct outcome outcomes[4] = {0};
    struct http_request urgent;

    (void)state;
    fixture_serve(&server);
    for (int i = 0; i < 3; i++)
        start(client, fixture_url(&server, "/"), fixture_done, &outcomes[i]);
    assert_int_equal(http_run(client, 0), 3); /* the first one has the place */
    fixture_request(&urgent, "GET", fixture_url(&server, "/"));
    urgent.is_urgent = 1;
    assert_int_equal(http_start(client, &urgent, fixture_done, &outcomes[3], NULL), ERR_OK);
    http_request_fini(&urgent);
    fixture_finish(client);
    for (int i = 0; i < 4; i++)
        fixture_expect(&outcomes[i], HTTP_ANSWERED, "beside an urgent one");
    assert_int_equal(atomic_load(&server.state->most_at_work), 2);
    if (outcomes[3].elapsed_ms >= outcomes[1].elapsed_ms)
        fail_msg("the urgent one took %lld ms, the second one %lld", (long long)outcomes[3].elapsed_ms,
                 (long long)outcomes[1].elapsed_ms);
    http_client_free(client);
    fixture_stop(&server);
}

/* ---- calls that start calls */

struct chain {
    struct http_client *client;
    const char *url, *bad_url;
    int left, done, inside;
};

static void on_link(void *arg, const struct http_answer *answer)
{
    struct chain *chain = arg;

    assert_int_equal(chain->inside, 0); /* never from within http_start */
    chain->inside = 1;
    chain->done++;
    if (answer->outcome != HTTP_ANSWERED && answer->outcome != HTTP_NOT_ALLOWED)
        fail_msg("link %d: %s", chain->done, http_outcome_name(answer->outcome));
    if (chain->left > 0) {
        chain->left--;
        start(chain->client, chain->left % 3 ? chain->url : chain->bad_url, on_link, chain);
    }
    chain->inside = 0;
}

static void a_callback_may_start_the_next_call(void **state)
{
    struct server server = {.behaviour = ANSWER, .text = OK_ANSWER};
    struct http_client *client = fixture_client(&(struct http_options){.max_connections = 1});
    struct chain chain = {.client = client, .bad_url = "http://192.0.2.1/", .left = 60};

    (void)state;
    fixture_serve(&server);
    chain.url = fixture_url(&server, "/");
    start(client, chain.url, on_link, &chain);
    start(client, chain.bad_url, on_link, &chain);
    fixture_finish(client);
    assert_int_equal(chain.done, 62);
    assert_int_equal(atomic_load(&server.state->connections), 1);
    http_client_free(client);
    fixture_stop(&server);
}

/* ---- all kinds at once */

static void every_kind_of_end_beside_the_others_comes_once(void **state)
{
    enum { CALLS = 120 };
    static struct outcome outcomes[CALLS];
    struct server good = {.behaviour = ANSWER, .text = OK_ANSWER}, silent = {.behaviour = SAY_NOTHING},
                  rude = {.behaviour = ANSWER_AND_RESET, .text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"};
    struct http_client *client = fixture_client(&(struct http_options){.max_connections = 6, .total_timeout_ms = 1500});
    static const enum http_outcome wanted[] = {HTTP_ANSWERED, HTTP_REFUSED, HTTP_BROKEN, HTTP_NOT_ALLOWED,
                                               HTTP_ANSWERED};
    char refused[64];
    int port, answered = 0;

    (void)state;
    memset(outcomes, 0, sizeof outcomes);
    fixture_serve(&good);
    fixture_serve(&silent);
    fixture_serve(&rude);
    close(fixture_listen(1, &port));
    snprintf(refused, sizeof refused, "http://127.0.0.1:%d/", port);
    for (int i = 0; i < CALLS; i++) {
        const struct server *servers[] = {&good, NULL, &rude, NULL, &good};
        const struct server *server = i == 7 || i == 50 ? &silent : servers[i % 5];

        start(client,
              server       ? fixture_url(server, "/")
              : i % 5 == 1 ? refused
                           : "ftp://127.0.0.1/",
              fixture_done, &outcomes[i]);
    }
    fixture_finish(client);
    for (int i = 0; i < CALLS; i++) {
        fixture_expect(&outcomes[i], i == 7 || i == 50 ? HTTP_TIMED_OUT : wanted[i % 5], "one of many kinds");
        assert_int_equal(outcomes[i].calls, 1);
        answered += outcomes[i].outcome == HTTP_ANSWERED;
    }
    assert_int_equal(atomic_load(&good.state->requests), answered);
    http_client_free(client);
    fixture_stop(&good);
    fixture_stop(&silent);
    fixture_stop(&rude);
}

static void a_client_that_goes_calls_nobody_any_more(void **state)
{
    struct server server = {.behaviour = SAY_NOTHING};
    struct http_client *client = fixture_client(&(struct http_options){.max_connections = 2});
    struct outcome outcomes[6] = {0};

    (void)state;
    fixture_serve(&server);
    for (int i = 0; i < 5; i++)
        start(client, fixture_url(&server, "/"), fixture_done, &outcomes[i]);
    start(client, "ftp://127.0.0.1/", fixture_done, &outcomes[5]);
    for (int i = 0; i < 5; i++)
        assert_int_equal(http_run(client, 20), 6);
    http_client_free(client);
    http_client_free(NULL);
    for (int i = 0; i < 6; i++)
        assert_int_equal(outcomes[i].calls, 0);
    fixture_stop(&server);
}

/* ---- waiting */

static void ignore_signal(int number)
{
    (void)number;
}

static void run_waits_only_while_there_is_something_to_wait_for(void **state)
{
    struct server server = {.behaviour = SAY_NOTHING};
    struct http_client *client = fixture_client(&(struct http_options){0});
    struct outcome o = {0};
    struct itimerval soon = {.it_value = {0, 200000}};
    struct sigaction action = {.sa_handler = ignore_signal};
    int64_t start_ms = clock_mono_ms();

    (void)state;
    assert_int_equal(http_run(client, 5000), 0);
    if (clock_mono_ms() - start_ms > 2000) fail_msg("it waited although no call was under way");
    fixture_serve(&server);
    start(client, fixture_url(&server, "/"), fixture_done, &o);
    start_ms = clock_mono_ms();
    for (int i = 0; i < 20; i++)
        assert_int_equal(http_run(client, 0), 1);
    if (clock_mono_ms() - start_ms > 2000) fail_msg("http_run(client, 0) waited");
    while (atomic_load(&server.state->requests) == 0)
        http_run(client, 10);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    start_ms = clock_mono_ms();
    http_run(client, 8000);
    if (clock_mono_ms() - start_ms > 4000) fail_msg("a signal did not end the waiting");
    assert_int_equal(o.calls, 0);
    http_client_free(client);
    fixture_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_is_answered_by_a_few_connections),
        cmocka_unit_test(waiting_for_a_turn_is_no_time_to_connect),
        cmocka_unit_test(waiting_for_a_turn_counts_for_the_time_in_all),
        cmocka_unit_test(an_urgent_call_does_not_wait_for_a_turn),
        cmocka_unit_test(a_callback_may_start_the_next_call),
        cmocka_unit_test(every_kind_of_end_beside_the_others_comes_once),
        cmocka_unit_test(a_client_that_goes_calls_nobody_any_more),
        cmocka_unit_test(run_waits_only_while_there_is_something_to_wait_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
