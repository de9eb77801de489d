/* One line an event, in one write, whatever the texts hold. Standard error is a datagram socket here: each write arrives as one
 * message. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cmocka_all.h"
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, LINES_MAX = 8 };
static int far_end, old_stderr;
static char lines[LINES_MAX][LINE_MAX_BYTES * 2];
static int line_count, lines_taken;

static void begin_capture(enum log_level level, enum log_format format)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    old_stderr = dup(STDERR_FILENO);
    dup2(ends[0], STDERR_FILENO);
    close(ends[0]);
    far_end = ends[1];
    log_setup(level, format);
}

/* Standard error is itself again, so that a failing test is heard; next_line gives what was written. */
static void end_capture(void)
{
    ssize_t len;

    line_count = lines_taken = 0;
    while (line_count < LINES_MAX && (len = recv(far_end, lines[line_count], sizeof *lines - 1, MSG_DONTWAIT)) > 0)
        lines[line_count++][len] = '\0';
    dup2(old_stderr, STDERR_FILENO);
    close(old_stderr);
    close(far_end);
    log_setup(LOG_INFO, LOG_FORMAT_TEXT);
}

/* Without its newline, which must be the only one; NULL if there is none. */
static const char *next_line(void)
{
    char *line;
    size_t len;

    if (lines_taken == line_count) return NULL;
    line = lines[lines_taken++];
    len = strlen(line);
    if (len > LINE_MAX_BYTES || len == 0 || strchr(line, '\n') != line + len - 1) fail_msg("not a line: %s", line);
    line[len - 1] = '\0';
    return line;
}

/* The line behind its time, which must be one of now. */
static const char *behind_time(const char *line)
{
    char time[25];
    int64_t at_ms = 0;

    assert_non_null(line);
    snprintf(time, sizeof time, "%.24s", line);
    if (!clock_parse(time, &at_ms) || llabs(clock_now_ms() - at_ms) > 60000 || line[24] != ' ')
        fail_msg("no time of now: %s", line);
    return line + 25;
}

static void assert_text(const char *value, const char *want)
{
    char expected[256];
    const char *got;

    begin_capture(LOG_INFO, LOG_FORMAT_TEXT);
    log_info("API", "m", LOG_S("k", value));
    end_capture();
    got = behind_time(next_line());
    snprintf(expected, sizeof expected, "info [API] m k=%s", want);
    assert_string_equal(got, expected);
}

static void a_line_has_time_level_prefix_message_and_fields(void **state)
{
    const char *line;

    (void)state;
    begin_capture(LOG_DEBUG, LOG_FORMAT_TEXT);
    log_error("TOKEN HEALTH", "it is broken", LOG_S("why", "no reason"), LOG_I("count", INT64_MIN), LOG_S("id", "a1"));
    log_warn("P", "none");
    log_debug("P", "none", LOG_S("null", NULL));
    end_capture();
    line = behind_time(next_line());
    assert_string_equal(line, "error [TOKEN HEALTH] it is broken why=\"no reason\" count=-9223372036854775808 id=a1");
    assert_string_equal(behind_time(next_line()), "warn [P] none");
    assert_string_equal(behind_time(next_line()), "debug [P] none null=-");
    assert_null(next_line());
}

static void values_are_escaped(void **state)
{
    static const struct {
        const char *value, *want;
    } cases[] = {
        {"plain", "plain"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"x\n2026-01-02T03:04:05.678Z info [API] forged", "\"x\\u000a2026-01-02T03:04:05.678Z info [API] forged\""},
        {"\r\n\t", "\"\\u000d\\u000a\\u0009\""},
        {"\x1b[31mred", "\"\\u001b[31mred\""},
        {"\x7f", "\"\\u007f\""},
        {"\xc2\x9b"
         "31m",
         "\"\\u009b31m\""},
        {"\xc2\x85", "\"\\u0085\""},
        {"\xe2\x80\xa8\xe2\x80\xa9", "\"\\u2028\\u2029\""},
        {"J\xc3\xa4ne", "J\xc3\xa4ne"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"\xff\xfe", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"cut\xc3", "\"cut\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_text(cases[i].value, cases[i].want);
}

static void message_and_prefix_are_escaped_too(void **state)
{
    (void)state;
    begin_capture(LOG_INFO, LOG_FORMAT_TEXT);
    log_info("A\nB", "x\ny \x1b");
    end_capture();
    assert_string_equal(behind_time(next_line()), "info [A\\u000aB] x\\u000ay \\u001b");
}

static void levels_above_the_threshold_are_silent(void **state)
{
    enum log_level level = LOG_WARN;

    (void)state;
    for (int threshold = LOG_ERROR; threshold <= LOG_DEBUG; threshold++) {
        begin_capture((enum log_level)threshold, LOG_FORMAT_TEXT);
        log_error("P", "m");
        log_warn("P", "m");
        log_info("P", "m");
        log_debug("P", "m");
        end_capture();
        for (int seen = LOG_ERROR; seen <= threshold; seen++)
            assert_non_null(strstr(behind_time(next_line()), log_level_name((enum log_level)seen)));
        assert_null(next_line());
    }
    log_set_level(LOG_ERROR);
    assert_int_equal(log_enabled(LOG_WARN), 0);
    log_set_level(LOG_INFO);
    assert_int_equal(log_parse_level("debug", &level), 1);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_parse_level("DEBUG", &level), 0);
    assert_int_equal(log_parse_level("", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
}

static int evaluated;
static const char *count_evaluation(void)
{
    evaluated++;
    return "x";
}

static void fields_of_a_silent_level_are_not_even_evaluated(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_FORMAT_TEXT);
    evaluated = 0;
    log_debug("P", "m", LOG_S("k", count_evaluation()));
    assert_int_equal(evaluated, 0);
}

static void the_request_id_goes_through_everything_until_it_is_taken_back(void **state)
{
    char long_id[200];

    (void)state;
    memset(long_id, 'r', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    begin_capture(LOG_INFO, LOG_FORMAT_TEXT);
    log_request_id("req-1\n");
    log_info("P", "m", LOG_I("n", 1));
    log_request_id(long_id);
    log_info("P", "m");
    log_request_id(NULL);
    log_info("P", "m");
    end_capture();
    assert_string_equal(behind_time(next_line()), "info [P] m request=\"req-1\\u000a\" n=1");
    assert_int_equal(strlen(behind_time(next_line())), strlen("info [P] m request=") + 64);
    assert_string_equal(behind_time(next_line()), "info [P] m");
}

static struct json *next_json(void)
{
    const char *line = next_line();
    struct json *j = NULL;
    struct err err = {0};

    assert_non_null(line);
    if (json_parse(line, strlen(line), &j, &err) != ERR_OK) fail_msg("%s %s: %s", err.place, err.text, line);
    return j;
}

static void the_json_format_is_json_and_gives_the_texts_back(void **state)
{
    static const char nasty[] = "q\" b\\ n\n e\x1b d\x7f c\xc2\x9b u\xc3\xa4\xe2\x80\xa8 z";
    struct json *j;
    int64_t n = 0;

    (void)state;
    begin_capture(LOG_INFO, LOG_FORMAT_JSON);
    log_request_id("r\"1");
    log_warn("TOKEN HEALTH", nasty, LOG_S("k", nasty), LOG_I("n", -5), LOG_S("bad", "\xff"));
    log_request_id(NULL);
    end_capture();
    j = next_json();
    assert_string_equal(json_string(json_member(j, "level")), "warn");
    assert_string_equal(json_string(json_member(j, "prefix")), "TOKEN HEALTH");
    assert_string_equal(json_string(json_member(j, "message")), nasty);
    assert_string_equal(json_string(json_member(j, "request")), "r\"1");
    assert_string_equal(json_string(json_member(j, "k")), nasty);
    assert_string_equal(json_string(json_member(j, "bad")), "\xef\xbf\xbd");
    assert_int_equal(json_int(json_member(j, "n"), &n), 1);
    assert_int_equal(n, -5);
    assert_int_equal(clock_parse(json_string(json_member(j, "time")), &n), 1);
    assert_int_equal(json_count(j), 8);
    json_free(j);
}

static void log_long(const char *value)
{
    log_info("P", value, LOG_S("a", value), LOG_S("b", value), LOG_S("c", value), LOG_I("n", 7), LOG_S("d", "end"));
}

/* Around every length at which something does not fit any more. */
static void a_line_that_is_too_long_is_cut_and_stays_a_line(void **state)
{
    static const char *const units[] = {"x", "\n", "\xc3\xa4", "\"", "\xff", "\xf0\x9f\x98\x80"};

    (void)state;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        for (int count = 0; count < 2000; count += count < 900 ? 37 : 1 + count / 40) {
            struct buf value = {0};

            for (int i = 0; i < count; i++)
                buf_puts(&value, units[u]);
            begin_capture(LOG_INFO, LOG_FORMAT_JSON);
            log_long(buf_text(&value));
            log_setup(LOG_INFO, LOG_FORMAT_TEXT);
            log_long(buf_text(&value));
            end_capture();
            json_free(next_json());
            assert_non_null(next_line());
            assert_null(next_line());
            buf_free(&value);
        }
}

static void a_long_value_does_not_hide_the_fields_behind_it(void **state)
{
    static char value[3000];
    struct json *j;

    (void)state;
    memset(value, 'v', sizeof value - 1);
    begin_capture(LOG_INFO, LOG_FORMAT_TEXT);
    log_info("P", "m", LOG_S("long", value), LOG_S("last", "seen"));
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    log_info("P", "m", LOG_S("long", value), LOG_S("last", "seen"));
    end_capture();
    assert_non_null(strstr(next_line(), "vvv\xe2\x80\xa6 last=seen"));
    j = next_json();
    assert_string_equal(json_string(json_member(j, "last")), "seen");
    json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_prefix_message_and_fields),
        cmocka_unit_test(values_are_escaped),
        cmocka_unit_test(message_and_prefix_are_escaped_too),
        cmocka_unit_test(levels_above_the_threshold_are_silent),
        cmocka_unit_test(fields_of_a_silent_level_are_not_even_evaluated),
        cmocka_unit_test(the_request_id_goes_through_everything_until_it_is_taken_back),
        cmocka_unit_test(the_json_format_is_json_and_gives_the_texts_back),
        cmocka_unit_test(a_line_that_is_too_long_is_cut_and_stays_a_line),
        cmocka_unit_test(a_long_value_does_not_hide_the_fields_behind_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
