/* Dates as text and back, at the corners of the calendar. */
#include "base/clock.h"
#include "cmocka_all.h"

static void a_time_is_printed_in_utc_with_milliseconds(void **state)
{
    static const struct {
        int64_t at_ms;
        const char *want;
    } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {1, "1970-01-01T00:00:00.001Z"},
                 {-1, "1969-12-31T23:59:59.999Z"},
                 {-1000, "1969-12-31T23:59:59.000Z"},
                 {INT64_C(1767323045678), "2026-01-02T03:04:05.678Z"},
                 {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
                 {INT64_C(4107542399999), "2100-02-28T23:59:59.999Z"},
                 {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
                 {INT64_C(2147483648000), "2038-01-19T03:14:08.000Z"},
                 {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
                 {INT64_C(253402300800000), "-"},
                 {INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
                 {INT64_C(-62167219200001), "-"},
                 {INT64_MAX, "-"},
                 {INT64_MIN, "-"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[CLOCK_ISO_BYTES];

        assert_ptr_equal(clock_format(cases[i].at_ms, out), out);
        if (strcmp(out, cases[i].want) != 0)
            fail_msg("%lld: got %s, expected %s", (long long)cases[i].at_ms, out, cases[i].want);
    }
}

static void every_form_that_others_write_is_read(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {{"1970-01-01T00:00:00Z", 0},
                 {"1970-01-01T00:00:00.000Z", 0},
                 {"2026-01-02T03:04:05.678Z", INT64_C(1767323045678)},
                 {"2026-01-02T03:04:05.6Z", INT64_C(1767323045600)},
                 {"2026-01-02T03:04:05.67891234567890Z", INT64_C(1767323045678)},
                 {"2026-01-02T03:04:05.9999Z", INT64_C(1767323045999)},
                 {"2026-01-02T03:04:05+00:00", INT64_C(1767323045000)},
                 {"2026-01-02T03:04:05-00:00", INT64_C(1767323045000)},
                 {"2026-01-02T03:04:05+0000", INT64_C(1767323045000)},
                 {"2026-01-02T05:34:05.678+02:30", INT64_C(1767323045678)},
                 {"2026-01-01T19:04:05.678-0800", INT64_C(1767323045678)},
                 {"2026-01-02T00:00:00+23:59", INT64_C(1767225660000)},
                 {"1970-01-01T00:00:00+00:01", -60000},
                 {"1969-12-31T23:59:59.999Z", -1},
                 {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
                 {"2024-02-29T23:59:59Z", INT64_C(1709251199000)},
                 {"2016-12-31T23:59:60Z", INT64_C(1483228800000)}, /* a leap second */
                 {"2016-12-31T23:59:60.500Z", INT64_C(1483228800500)},
                 {"2012-07-01T01:59:60+02:00", INT64_C(1341100800000)},
                 {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
                 {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at_ms = 42;

        if (!clock_parse(cases[i].text, &at_ms)) fail_msg("%s: refused", cases[i].text);
        if (at_ms != cases[i].want)
            fail_msg("%s: got %lld, expected %lld", cases[i].text, (long long)at_ms, (long long)cases[i].want);
    }
}

static void what_is_no_date_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-01-02",
                                      "2026-01-02T03:04",
                                      "2026-01-02T03:04:05",
                                      "2026-01-02 03:04:05Z",
                                      "2026-01-02t03:04:05z",
                                      "2026-1-2T03:04:05Z",
                                      "26-01-02T03:04:05Z",
                                      "02026-01-02T03:04:05Z",
                                      "-026-01-02T03:04:05Z",
                                      "+026-01-02T03:04:05Z",
                                      " 2026-01-02T03:04:05Z",
                                      "2026-01-02T03:04:05Z ",
                                      "2026-01-02T03:04:05ZZ",
                                      "2026-01-02T03:04:05.Z",
                                      "2026-01-02T03:04:05,5Z",
                                      "2026-01-02T03:04:05.5",
                                      "2026-01-02T03:04:05+1:00",
                                      "2026-01-02T03:04:05+01",
                                      "2026-01-02T03:04:05+01:0",
                                      "2026-01-02T03:04:05+24:00",
                                      "2026-01-02T03:04:05+01:60",
                                      "2026-01-02T03:04:05+-1:00",
                                      "2026-01-02T24:00:00Z",
                                      "2026-01-02T03:60:05Z",
                                      "2026-01-02T03:04:61Z",
                                      "2026-00-02T03:04:05Z",
                                      "2026-13-02T03:04:05Z",
                                      "2026-01-00T03:04:05Z",
                                      "2026-01-32T03:04:05Z",
                                      "2026-02-29T03:04:05Z",
                                      "2026-02-30T23:59:60Z",
                                      "2026-04-31T03:04:05Z",
                                      "2100-02-29T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "20xx-01-02T03:04:05Z",
                                      "2026-01-02T0a:04:05Z",
                                      "1767323045678",
                                      "Fri, 02 Jan 2026 03:04:05 GMT"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t at_ms = 42;

        if (clock_parse(bad[i], &at_ms)) fail_msg("%s: taken as %lld", bad[i], (long long)at_ms);
        if (at_ms != 42) fail_msg("%s: refused, but the time was changed", bad[i]);
    }
}

static void every_day_of_four_centuries_comes_back(void **state)
{
    char text[CLOCK_ISO_BYTES];
    int64_t at_ms;

    (void)state;
    for (int64_t day = -25567; day < 150000; day++) { /* from 1900 on */
        int64_t want = day * 86400000 + (day * 7919 & 0x3ffffff) % 86400000;

        if (!clock_parse(clock_format(want, text), &at_ms) || at_ms != want)
            fail_msg("%lld printed as %s came back as %lld", (long long)want, text, (long long)at_ms);
    }
}

static void the_clocks_go_forward(void **state)
{
    int64_t ms = clock_mono_ms(), ns = clock_mono_ns();

    (void)state;
    assert_true(clock_now_ms() > INT64_C(1700000000000));
    for (int i = 0; i < 1000; i++) {
        int64_t next_ms = clock_mono_ms(), next_ns = clock_mono_ns();

        assert_true(next_ms >= ms && next_ns >= ns);
        assert_true(next_ns / 1000000 >= next_ms);
        ms = next_ms;
        ns = next_ns;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_printed_in_utc_with_milliseconds),
        cmocka_unit_test(every_form_that_others_write_is_read),
        cmocka_unit_test(what_is_no_date_is_refused_and_changes_nothing),
        cmocka_unit_test(every_day_of_four_centuries_comes_back),
        cmocka_unit_test(the_clocks_go_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
