/* Usage and waiting headers. */
#include "graph_answers.h"

struct usage_case {
    const char *name, *value;
    int percent;
    int64_t retry_after_s;
};

static void usage_headers_are_read(void **state)
{
    (void)state;
    static const struct usage_case cases[] = {
        {"X-App-Usage", "{\"call_count\":28,\"total_time\":25,\"total_cputime\":26}", 28, 0},
        {"x-app-usage", "{\"call_count\":1,\"total_time\":95,\"total_cputime\":2}", 95, 0},
        {"X-App-Usage", "{\"call_count\":0,\"total_time\":0,\"total_cputime\":0}", 0, 0},
        {"X-App-Usage", "{ \"call_count\" : 120 }", 120, 0},
        {"X-App-Usage", "{\"call_count\":99999999999999999999}", 10000, 0},
        {"X-App-Usage", "{\"call_count\":\"28\"}", -1, 0},
        {"X-App-Usage", "{\"call_count\":-3}", -1, 0},
        {"X-App-Usage", "{\"other\":28}", -1, 0},
        {"X-App-Usage", "", -1, 0},
        {"X-App-Usage", "\"", -1, 0},
        {"X-App-Usage", "{\"call_count\":28,\"total_ti", 28, 0},
        {"X-App-Usage", "{\"call_count\\", -1, 0},
        {"X-Business-Use-Case-Usage",
         "{\"178\":[{\"type\":\"instagram\",\"call_count\":60,\"total_cputime\":5,\"total_time\":7,\"estimated_time_to_"
         "regain_access\":0}],"
         "\"178\":[{\"type\":\"pages\",\"call_count\":100,\"total_cputime\":5,\"total_time\":7,\"estimated_time_to_"
         "regain_access\":19}]}",
         100, 1140},
        {"X-Business-Use-Case-Usage", "{\"1\":[{\"call_count\":100,\"estimated_time_to_regain_access\":99999999}]}",
         100, 86400},
        {"X-Ad-Account-Usage", "{\"acc_id_util_pct\":9.67,\"reset_time_duration\":100}", 10, 0},
        {"X-Ad-Account-Usage", "{\"acc_id_util_pct\":100,\"reset_time_duration\":100}", 100, 100},
        {"Retry-After", "120", -1, 120},
        {"Retry-After", "604800", -1, 86400},
        {"Retry-After", "0", -1, 0},
        {"Retry-After", "-5", -1, 0},
        {"Retry-After", "soon", -1, 0},
        {"Retry-After", "99999999999999999999999", -1, 0},
        {"Retry-After", "Fri, 02 Jan 2026 10:02:00 GMT", -1, 120},
        {"Retry-After", "Fri, 02 Jan 2026 09:00:00 GMT", -1, 0},
        {"X-Other", "{\"call_count\":28}", -1, 0},
    };
    for (int status = 200; status <= 400; status += 200) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct http_answer answer = fixture_answer(status, CODE(4));
            struct finding f;
            answer.headers[answer.header_count++] = (struct http_header){"Date", "Fri, 02 Jan 2026 10:00:00 GMT"};
            answer.headers[answer.header_count++] = (struct http_header){cases[i].name, cases[i].value};
            login_classify(graph_login(0), REQUEST_VALIDATE, &answer, &f);
            if (f.usage_percent != cases[i].percent || f.retry_after_s != cases[i].retry_after_s)
                fail_msg("%s: %s\n  got %d %%, %lld s", cases[i].name, cases[i].value, f.usage_percent,
                         (long long)f.retry_after_s);
            finding_fini(&f);
        }
    }
}

static void highest_of_several_headers_counts(void **state)
{
    (void)state;
    struct http_answer answer = fixture_answer(400, CODE(4));
    struct finding f;
    answer.headers[answer.header_count++] = (struct http_header){"X-App-Usage", "{\"call_count\":28}"};
    answer.headers[answer.header_count++] = (struct http_header){"X-App-Usage", "{\"call_count\":80}"};
    answer.headers[answer.header_count++] =
        (struct http_header){"X-Business-Use-Case-Usage", "{\"1\":[{\"total_time\":50}]}"};
    answer.headers[answer.header_count++] = (struct http_header){"Retry-After", "60"};
    login_classify(graph_login(2), REQUEST_VALIDATE, &answer, &f);
    assert_int_equal(f.usage_percent, 80);
    assert_int_equal(f.retry_after_s, 60);
    finding_fini(&f);
}

/* Whom a limit is about: one account, or all. */
static void only_what_is_said_of_the_app_stops_all_accounts(void **state)
{
    static const char app[] = "{\"call_count\":93}",
                      business[] = "{\"1\":[{\"call_count\":100,\"estimated_time_to_regain_access\":5}]}";
    static const struct {
        int status;
        const char *body, *name, *value;
        int app_percent;
        int64_t app_wait_s, wait_s;
    } cases[] = {
        {200, "{\"user_id\":\"1\"}", "X-App-Usage", app, 93, 0, 0},
        {200, "{\"user_id\":\"1\"}", "X-Business-Use-Case-Usage", business, -1, 0, 300},
        {200, "{\"user_id\":\"1\"}", "Retry-After", "30", -1, 0, 30},
        {403, CODE(4), "X-Other", "", -1, 60, 0},
        {403, CODE(4), "Retry-After", "30", -1, 30, 30},
        {403, CODE(4), "X-Business-Use-Case-Usage", business, -1, 300, 300},
        {400, CODE(17), "Retry-After", "30", -1, 0, 30},
        {400, CODE(17), "X-Business-Use-Case-Usage", business, -1, 0, 300},
        {400, CODE(2), "Retry-After", "30", -1, 0, 30},
        {400, CODE(190), "Retry-After", "30", -1, 0, 30},
        {429, "{}", "Retry-After", "30", -1, 30, 30},
        {429, "", "X-Other", "", -1, 0, 0},
        {503, "<html>", "Retry-After", "30", -1, 30, 30},
        {500, "<html>", "Retry-After", "30", -1, 0, 30},
        {429, "{}", "X-Business-Use-Case-Usage", business, -1, 0, 300},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_answer answer = fixture_answer(cases[i].status, cases[i].body);
        struct finding f;

        answer.headers[answer.header_count++] = (struct http_header){cases[i].name, cases[i].value};
        login_classify(graph_login(0), REQUEST_VALIDATE, &answer, &f);
        if (f.app_usage_percent != cases[i].app_percent || f.app_wait_s != cases[i].app_wait_s ||
            f.retry_after_s != cases[i].wait_s)
            fail_msg("%d %s with %s: %s\n  got %d %%, %lld s for the app, %lld s; expected %d %%, %lld s, %lld s",
                     cases[i].status, cases[i].body, cases[i].name, cases[i].value, f.app_usage_percent,
                     (long long)f.app_wait_s, (long long)f.retry_after_s, cases[i].app_percent,
                     (long long)cases[i].app_wait_s, (long long)cases[i].wait_s);
        finding_fini(&f);
    }
}

static void reset_time_is_measured_by_the_answers_clock(void **state)
{
    (void)state;
    struct provider_set *set = fixture_load_text(fixture_rotating);
    struct http_answer answer = fixture_answer(429, "");
    struct finding f;
    answer.headers[answer.header_count++] = (struct http_header){"x-rate-limit-reset", "1767348300"};
    login_classify(fixture_login(set, "clip", "clip"), REQUEST_VALIDATE, &answer, &f);
    assert_int_equal(f.retry_after_s, 0); /* without Date nobody knows */
    answer.headers[answer.header_count++] = (struct http_header){"Date", "Fri, 02 Jan 2026 10:00:00 GMT"};
    login_classify(fixture_login(set, "clip", "clip"), REQUEST_VALIDATE, &answer, &f);
    assert_int_equal(f.retry_after_s, 300);
    provider_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_headers_are_read),
        cmocka_unit_test(highest_of_several_headers_counts),
        cmocka_unit_test(only_what_is_said_of_the_app_stops_all_accounts),
        cmocka_unit_test(reset_time_is_measured_by_the_answers_clock),
    };
    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
