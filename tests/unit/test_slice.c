/* The rules of slices: their names and states, when they are due, what a pass and a cut make of them. */
#include "../../monitor/slice.h"
#include "base/clock.h"
#include "cmocka_all.h"
#include "json_fixture.h"
#include <stdio.h>
#include <string.h>

enum { HOUR_MS = 3600000, INTERVAL_MS = 1800000 };

static const struct account_id ids[] = {{ID_NONE, ""},      {ID_STRING, "a/b/c"},
                                        {ID_STRING, ":"},   {ID_OBJECTID, "0123456789abcdef01234567"},
                                        {ID_NUMBER, "-12"}, {ID_STRING, "\xc3\xa9 with blanks"}};
enum { IDS = sizeof ids / sizeof *ids };

static void a_slice_is_the_same_after_it_was_kept_in_a_lease(void **state)
{
    (void)state;
    for (int i = 0; i < IDS; i++)
        for (int k = 0; k < IDS; k++) {
            struct slice s = {.platform = "instagram",
                              .lo = ids[i],
                              .cursor = ids[k],
                              .due_ms = 5,
                              .begun_ms = 7,
                              .passes = 9,
                              .now = {.started_at_ms = 1000, .accounts = 3, .store_errors = 1},
                              .last = {.started_at_ms = 2000, .finished_at_ms = 3000, .broken = 4}};
            struct slice read;
            char name[LEASE_NAME_BYTES];
            struct json *kept = slice_print(&s);

            if (!slice_parse(slice_name(&s, name), kept, &read)) fail_msg("%s is no slice", name);
            json_free(kept);
            assert_string_equal(read.platform, s.platform);
            if (read.lo.type != s.lo.type || strcmp(read.lo.text, s.lo.text) != 0)
                fail_msg("%s: got \"%s\", expected \"%s\"", name, read.lo.text, s.lo.text);
            assert_string_equal(read.cursor.text, s.cursor.text);
            assert_true(read.due_ms == 5 && read.begun_ms == 7 && read.passes == 9);
            assert_memory_equal(&read.now, &s.now, sizeof s.now);
            assert_memory_equal(&read.last, &s.last, sizeof s.last);
        }
}

static void the_longest_id_has_room_in_the_name(void **state)
{
    struct slice s = {.lo = {.type = ID_STRING}}, read;
    char name[LEASE_NAME_BYTES];

    (void)state;
    memset(s.platform, 'p', sizeof s.platform - 1);
    memset(s.lo.text, 'x', sizeof s.lo.text - 1);
    assert_int_equal(slice_parse(slice_name(&s, name), NULL, &read), 1);
    assert_string_equal(read.lo.text, s.lo.text);
}

static void what_is_no_slice_is_not_taken_for_one(void **state)
{
    static const char *const names[] = {"",
                                        "slice",
                                        "slice/",
                                        "slice//",
                                        "slice//s:a",
                                        "slice/instagram",
                                        "monitor/x",
                                        "slice/instagram/x",
                                        "slice/a-name-of-a-platform-that-is-longer-than-any/"};
    struct slice s;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_parse(names[i], NULL, &s)) fail_msg("\"%s\" was taken for a slice", names[i]);
}

static void a_damaged_state_is_as_a_new_one(void **state)
{
    static const char *const states[] = {
        "{}", "[]", "5", "null", "{\"cursor\":7,\"dueAt\":\"x\",\"now\":[],\"last\":3}", "{\"cursor\":\"nonsense\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct json *json = fixture_json(states[i]);
        struct slice s;

        assert_int_equal(slice_parse("slice/instagram/", json, &s), 1);
        if (s.cursor.type || s.due_ms || s.begun_ms || s.now.accounts) fail_msg("%s was read as something", states[i]);
        if (slice_wait_ms(&s, HOUR_MS, INTERVAL_MS) != 0) fail_msg("%s is not due", states[i]);
        json_free(json);
    }
}

static void a_slice_is_due_at_its_time_and_never_later_than_an_interval(void **state)
{
    static const struct {
        const char *what;
        int64_t due_ms, begun_ms, now_ms, wait_ms;
    } cases[] = {
        {"new", 0, 0, HOUR_MS, 0},
        {"due now", HOUR_MS, 0, HOUR_MS, 0},
        {"overdue", HOUR_MS, 0, 9 * HOUR_MS, 0},
        {"in a minute", HOUR_MS + 60000, 0, HOUR_MS, 60000},
        {"in an interval", HOUR_MS + INTERVAL_MS, 0, HOUR_MS, INTERVAL_MS},
        {"the clock was set back", 5 * HOUR_MS, 0, HOUR_MS, 0},
        {"begun, and left by its monitor", HOUR_MS, HOUR_MS, HOUR_MS + 1, 0},
        {"begun, and the clock was set back a little", HOUR_MS, HOUR_MS, HOUR_MS - 60000, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct slice s = {.due_ms = cases[i].due_ms, .begun_ms = cases[i].begun_ms};
        const int64_t got = slice_wait_ms(&s, cases[i].now_ms, INTERVAL_MS);

        if (got != cases[i].wait_ms)
            fail_msg("%s: got %lld, expected %lld", cases[i].what, (long long)got, (long long)cases[i].wait_ms);
    }
}

static void passes_follow_each_other_in_phase_and_at_once_when_late(void **state)
{
    struct slice s = {.cursor = {ID_STRING, "old"}};
    int64_t due_ms = HOUR_MS;

    (void)state;
    for (int i = 1; i <= 3; i++) {
        slice_begin(&s, due_ms + 7000, 1000 * i); /* seven seconds late, each time */
        assert_int_equal(s.cursor.type, ID_NONE);
        s.now.accounts = 10 * i;
        s.cursor = ids[1];
        slice_begin(&s, due_ms + 9000, 5); /* another monitor goes on with it */
        assert_int_equal(s.cursor.type, ids[1].type);
        assert_true(s.now.accounts == 10 * i);
        slice_finish(&s, due_ms + 60000, 1000 * i + 500, INTERVAL_MS);
        assert_true(s.last.accounts == 10 * i && s.last.started_at_ms == 1000 * i &&
                    s.last.finished_at_ms == 1000 * i + 500);
        assert_true(s.passes == i && s.begun_ms == 0 && s.now.accounts == 0 && s.cursor.type == ID_NONE);
        if (i == 1) due_ms = s.due_ms - INTERVAL_MS;
        due_ms += INTERVAL_MS;
        if (s.due_ms != due_ms)
            fail_msg("pass %d: next due at %lld, expected %lld", i, (long long)s.due_ms, (long long)due_ms);
    }
    slice_begin(&s, due_ms, 1);
    slice_finish(&s, due_ms + 3 * HOUR_MS, 2, INTERVAL_MS);
    assert_true(s.due_ms == due_ms + 3 * HOUR_MS);
}

static void what_is_cut_off_is_due_as_the_whole_and_counted_once(void **state)
{
    const struct slice whole = {.platform = "instagram",
                                .due_ms = 5,
                                .begun_ms = 6,
                                .passes = 7,
                                .cursor = ids[1],
                                .now = {.accounts = 1},
                                .last = {.accounts = 100}};
    struct slice rest;

    (void)state;
    slice_cut(&whole, &ids[3], &rest);
    assert_string_equal(rest.platform, "instagram");
    assert_string_equal(rest.lo.text, ids[3].text);
    assert_true(rest.due_ms == 5 && rest.passes == 7 && rest.begun_ms == 0);
    assert_true(rest.cursor.type == ID_NONE && rest.now.accounts == 0 && rest.last.accounts == 0);
}

/* A pass answers the requests that were there when it began, and what is cut off of it does not. */
static void a_pass_answers_the_sweep_request_that_it_began_with(void **state)
{
    struct slice s = {.platform = "instagram"}, rest, read;
    const struct account_id at = {ID_STRING, "m"};
    char name[LEASE_NAME_BYTES];
    struct json *kept;

    (void)state;
    s.asked = 5;
    slice_begin(&s, 1000, 1);
    slice_cut(&s, &at, &rest);
    slice_finish(&s, 2000, 2, INTERVAL_MS);
    assert_true(s.swept == 5 && rest.swept == 0);
    kept = slice_print(&s);
    assert_int_equal(slice_parse(slice_name(&s, name), kept, &read), 1);
    assert_true(read.swept == 5 && read.asked == 5);
    json_free(kept);
}

static void a_slice_is_cut_only_where_both_parts_are_worth_it(void **state)
{
    (void)state;
    assert_int_equal(slice_where_to_cut(0), 0);
    assert_int_equal(slice_where_to_cut(LIMIT_SLICE_ACCOUNTS + 1), 0);
    assert_int_equal(slice_where_to_cut(2 * LIMIT_SLICE_ACCOUNTS - 1), 0);
    assert_int_equal(slice_where_to_cut(2 * LIMIT_SLICE_ACCOUNTS), LIMIT_SLICE_ACCOUNTS);
}

static void totals_add_up_and_span_the_time_of_all(void **state)
{
    const struct totals a = {.started_at_ms = 20, .finished_at_ms = 30, .accounts = 1, .healthy = 1},
                        b = {.started_at_ms = 10, .finished_at_ms = 25, .accounts = 2, .broken = 2}, nothing = {0};
    struct totals sum = {0};

    (void)state;
    totals_add(&sum, &nothing);
    totals_add(&sum, &a);
    totals_add(&sum, &b);
    totals_add(&sum, &nothing);
    assert_true(sum.started_at_ms == 10 && sum.finished_at_ms == 30);
    assert_true(sum.accounts == 3 && sum.healthy == 1 && sum.broken == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slice_is_the_same_after_it_was_kept_in_a_lease),
        cmocka_unit_test(the_longest_id_has_room_in_the_name),
        cmocka_unit_test(what_is_no_slice_is_not_taken_for_one),
        cmocka_unit_test(a_damaged_state_is_as_a_new_one),
        cmocka_unit_test(a_slice_is_due_at_its_time_and_never_later_than_an_interval),
        cmocka_unit_test(passes_follow_each_other_in_phase_and_at_once_when_late),
        cmocka_unit_test(what_is_cut_off_is_due_as_the_whole_and_counted_once),
        cmocka_unit_test(a_pass_answers_the_sweep_request_that_it_began_with),
        cmocka_unit_test(a_slice_is_cut_only_where_both_parts_are_worth_it),
        cmocka_unit_test(totals_add_up_and_span_the_time_of_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
