/* Verdicts as words and as documents: what is said of them, and what comes back of what was written. */
#include "health/verdict.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "verdict_rules.h"

enum { HOUR = 3600 * 1000 };
static const int64_t noon = INT64_C(1800000000000);

static void moments_survive_being_written(void **state)
{
    char text[MOMENT_CLOCK_BYTES];
    struct moment m = {1, INT64_MAX, UINT64_MAX}, back = {0};
    static const char *const odd[] = {"", "1", ":", "1:", ":1", "x:1", "1:-5", "1:2x", "1:2:3", NULL};

    (void)state;
    moment_parse_clock(moment_print_clock(&m, text), &back);
    assert_true(back.boot == m.boot && back.mono_ms == m.mono_ms);
    for (int i = 0; i < 10; i++) {
        back = m;
        moment_parse_clock(odd[i], &back);
        if (back.boot || back.mono_ms) fail_msg("\"%s\" was taken for a clock", odd[i]);
    }
    m = moment_now();
    back = moment_now();
    assert_true(m.boot && m.boot == back.boot && back.mono_ms >= m.mono_ms && m.at_ms > noon / 2);
}

static void the_words_and_consequences_are_those_of_the_design(void **state)
{
    static const char *const states[] = {"unknown", "healthy", "expiring", "limited", "broken", "disconnected"};
    static const char *const actions[] = {
        "none", "wait", "refresh", "reconnect", "confirm_identity", "grant_permissions", "fix_app_config", "fix_key"};

    (void)state;
    for (int i = 0; i < STATE_COUNT; i++) {
        enum state back = STATE_COUNT;

        assert_string_equal(state_word((enum state)i), states[i]);
        assert_true(state_parse(states[i], &back) && back == (enum state)i);
    }
    for (int i = 0; i < ACTION_COUNT; i++)
        assert_string_equal(action_word((enum action)i), actions[i]);
    for (int r = 0; r < RULES; r++) {
        const char *status = reason_token_status(rules[r].reason);

        assert_string_equal(reason_word(rules[r].reason), rules[r].word);
        assert_int_equal(reason_action(rules[r].reason), rules[r].action);
        if (!status != !rules[r].status || (status && strcmp(status, rules[r].status) != 0))
            fail_msg("%s: tokenStatus %s, expected %s", rules[r].word, status, rules[r].status);
    }
    assert_string_equal(state_word((enum state)99), "unknown");
    assert_string_equal(action_word((enum action)99), "none");
    assert_string_equal(source_word((enum source)99), "none");
    assert_false(state_parse("Healthy", &(enum state){0}));
    assert_false(state_parse(NULL, &(enum state){0}));
}

static void the_worst_state_of_a_workspace_is_what_most_needs_somebody(void **state)
{
    static const enum state order[] = {STATE_BROKEN,  STATE_LIMITED, STATE_EXPIRING,
                                       STATE_UNKNOWN, STATE_HEALTHY, STATE_DISCONNECTED};

    (void)state;
    for (int i = 0; i < STATE_COUNT; i++)
        for (int j = i; j < STATE_COUNT; j++) {
            assert_int_equal(state_worse(order[i], order[j]), order[i]);
            assert_int_equal(state_worse(order[j], order[i]), order[i]);
        }
}

static void enforce_blocks_only_what_the_user_can_help(void **state)
{
    (void)state;
    for (int s = 0; s < STATE_COUNT; s++)
        for (int a = 0; a < ACTION_COUNT; a++)
            assert_int_equal(verdict_blocks((enum state)s, (enum action)a),
                             s == STATE_BROKEN && (a == ACTION_RECONNECT || a == ACTION_CONFIRM_IDENTITY));
}

static struct verdict parsed(const char *text)
{
    struct json *doc = NULL;
    struct verdict v;

    assert_int_equal(json_parse(text, strlen(text), &doc, NULL), ERR_OK);
    verdict_parse(doc, &v);
    json_free(doc);
    return v;
}

static void a_verdict_comes_back_from_its_document(void **state)
{
    struct verdict v =
        parsed("{\"state\":\"broken\",\"reason\":\"checkpoint\",\"action\":\"wait\",\"rule\":\"r1\","
               "\"checkedAt\":{\"$date\":\"2027-01-15T08:00:00.000Z\"},\"confirmations\":1,"
               "\"confirmedAt\":{\"$date\":{\"$numberLong\":\"1800000000001\"}},"
               "\"confirmedClock\":\"000000000000004d:18000000\",\"print\":\"abc\","
               "\"tokenSince\":{\"$date\":1700000000000},\"tokenSinceClock\":\"4d:7\","
               "\"lastAttempt\":{\"reason\":\"timeout\",\"rule\":\"network\",\"at\":{\"$date\":1800000000002}}}");

    (void)state;
    assert_int_equal(v.state, STATE_BROKEN);
    assert_int_equal(v.action, ACTION_CONFIRM_IDENTITY);
    assert_string_equal(v.rule, "r1");
    assert_true(v.checked_at_ms == noon && v.confirmations == 1 && v.confirmed.at_ms == noon + 1);
    assert_true(v.confirmed.boot == 77 && v.confirmed.mono_ms == 5 * HOUR);
    assert_true(v.token_since.at_ms == INT64_C(1700000000000) && v.token_since.mono_ms == 7);
    assert_string_equal(v.print, "abc");
    assert_int_equal(v.attempt_reason, REASON_TIMEOUT);
    assert_string_equal(v.attempt_rule, "network");
    assert_true(v.attempted_at_ms == noon + 2);
}

static void an_account_is_put_off_as_long_as_the_provider_asks_and_clocks_agree(void **state)
{
    static const struct {
        const char *what, *print;
        int64_t now_s, left_s;
    } cases[] = {
        {"a second later", "abc", 1, 59},
        {"at its end", "abc", 60, 0},
        {"long over", "abc", 9999, 0},
        {"another token", "abd", 1, 0},
        {"the clock was set back", "abc", -1, 0},
    };
    struct verdict v =
        parsed("{\"state\":\"healthy\",\"reason\":\"ok\",\"print\":\"abc\",\"lastAttempt\":{\"reason\":"
               "\"rate_limited\",\"at\":{\"$date\":1800000000000},\"retryAt\":{\"$date\":1800000060000}}}");
    struct moment now = {.at_ms = noon + 1000};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t left_ms;

        now.at_ms = noon + cases[i].now_s * 1000;
        left_ms = verdict_put_off_ms(&v, cases[i].print, &now);
        if (left_ms != cases[i].left_s * 1000)
            fail_msg("%s: %lld ms left, expected %lld s", cases[i].what, (long long)left_ms,
                     (long long)cases[i].left_s);
    }
    now.at_ms = noon + 1000;
    v.retry_at_ms = noon + LIMIT_RETRY_AFTER_MS + 1;
    assert_int_equal(verdict_put_off_ms(&v, "abc", &now), 0);
    v.retry_at_ms = noon + 60000;
    v.attempt_reason = REASON_TRANSIENT;
    assert_int_equal(verdict_put_off_ms(&v, "abc", &now), 0);
}

static void the_time_to_try_again_goes_with_the_attempt_it_came_with(void **state)
{
    const struct verdict_settings settings = {2, 60000, 60000};
    struct observation obs = {.reason = REASON_RATE_LIMITED, .rule = "r", .print = "abc", .retry_after_ms = 60000};
    struct verdict v = parsed("{\"print\":\"abc\"}");
    struct moment now = {.at_ms = noon};

    (void)state;
    verdict_decide(&v, &obs, &now, &settings, &v);
    assert_int_equal(v.retry_at_ms, noon + 60000);
    obs.retry_after_ms = 0;
    obs.reason = REASON_TIMEOUT;
    verdict_decide(&v, &obs, &now, &settings, &v);
    assert_int_equal(v.retry_at_ms, 0);
    v.retry_at_ms = noon + 60000;
    obs.reason = REASON_OK;
    verdict_decide(&v, &obs, &now, &settings, &v);
    assert_int_equal(v.retry_at_ms, 0);
}

static void odd_documents_are_unknown_verdicts(void **state)
{
    static const char *const odd[] = {
        "null",
        "[]",
        "\"healthy\"",
        "{}",
        "{\"state\":5}",
        "{\"state\":\"fine\",\"reason\":\"ok\"}",
        "{\"state\":\"healthy\",\"reason\":\"revoked\"}",
        "{\"state\":\"broken\",\"reason\":\"ok\"}",
        "{\"state\":\"broken\",\"reason\":\"timeout\",\"confirmations\":2,\"confirmedAt\":{\"$date\":1800000000000}}",
        "{\"state\":\"disconnected\",\"reason\":\"none\"}",
        "{\"state\":\"broken\"}",
        "{\"state\":\"unknown\",\"reason\":\"none\",\"confirmations\":9,\"confirmedAt\":{\"$date\":1800000000000}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct verdict v = parsed(odd[i]);

        if (v.state != STATE_UNKNOWN || v.reason != REASON_NONE || v.action != ACTION_WAIT || v.confirmations)
            fail_msg("%s gives %s; %s, %d counted", odd[i], state_word(v.state), reason_word(v.reason),
                     v.confirmations);
    }
}

static void a_count_that_cannot_be_true_counts_nothing(void **state)
{
    static const char *const odd[] = {"-1", "1.5", "\"2\"", "99999999", "{}", "null"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        snprintf(text, sizeof text,
                 "{\"state\":\"broken\",\"reason\":\"revoked\",\"confirmations\":%s,\"confirmedAt\":{\"$date\":"
                 "1800000000000}}",
                 odd[i]);
        assert_int_equal(parsed(text).confirmations, 0);
    }
    assert_int_equal(parsed("{\"state\":\"broken\",\"reason\":\"revoked\",\"confirmations\":2}").confirmations, 0);
}

static void an_unknown_account_says_what_the_last_attempt_calls_for(void **state)
{
    (void)state;
    assert_int_equal(parsed("{\"lastAttempt\":{\"reason\":\"app_misconfigured\"}}").action, ACTION_FIX_APP_CONFIG);
    assert_int_equal(
        parsed("{\"state\":\"healthy\",\"reason\":\"ok\",\"lastAttempt\":{\"reason\":\"app_misconfigured\"}}").action,
        ACTION_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_survive_being_written),
        cmocka_unit_test(the_words_and_consequences_are_those_of_the_design),
        cmocka_unit_test(the_worst_state_of_a_workspace_is_what_most_needs_somebody),
        cmocka_unit_test(enforce_blocks_only_what_the_user_can_help),
        cmocka_unit_test(a_verdict_comes_back_from_its_document),
        cmocka_unit_test(an_account_is_put_off_as_long_as_the_provider_asks_and_clocks_agree),
        cmocka_unit_test(the_time_to_try_again_goes_with_the_attempt_it_came_with),
        cmocka_unit_test(odd_documents_are_unknown_verdicts),
        cmocka_unit_test(a_count_that_cannot_be_true_counts_nothing),
        cmocka_unit_test(an_unknown_account_says_what_the_last_attempt_calls_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
