/* Values that are read, built, compared and printed. What is JSON at all: test_json_scan.c. */
#include "base/json.h"
#include "base/limits.h"
#include "cmocka_all.h"
#include <float.h>

static struct json *parse(const char *text)
{
    struct json *j = NULL;
    struct err err = {0};

    if (json_parse(text, strlen(text), &j, &err) != ERR_OK) fail_msg("%s: %s (%s)", text, err.text, err.place);
    return j;
}

static void assert_prints(const struct json *j, const char *want)
{
    struct buf out = {0};

    assert_int_equal(json_print(j, &out, NULL), ERR_OK);
    assert_string_equal(buf_text(&out), want);
    buf_free(&out);
}

static void every_type_is_told_and_null_is_not_absent(void **state)
{
    static const struct {
        const char *path;
        enum json_type type;
    } cases[] = {{"n", JSON_NULL},   {"b", JSON_BOOL},     {"i", JSON_INT},     {"d", JSON_DOUBLE},
                 {"s", JSON_STRING}, {"a", JSON_ARRAY},    {"o", JSON_OBJECT},  {"none", JSON_ABSENT},
                 {"a.0", JSON_NULL}, {"a.1", JSON_ABSENT}, {"n.x", JSON_ABSENT}};
    struct json *j = parse("{\"n\":null,\"b\":false,\"i\":1,\"d\":1.0,\"s\":\"\",\"a\":[null],\"o\":{}}"),
                *null = parse("null");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (json_type(json_get(j, cases[i].path)) != cases[i].type)
            fail_msg("%s: got %d, expected %d", cases[i].path, json_type(json_get(j, cases[i].path)), cases[i].type);
    assert_int_equal(json_type(NULL), JSON_ABSENT);
    assert_int_equal(json_type(null), JSON_NULL);
    assert_null(json_member(null, "x"));
    assert_int_equal(json_count(null), 0);
    json_free(null);
    json_free(j);
    json_free(NULL);
}

static void integers_keep_every_bit_and_longer_ones_become_doubles(void **state)
{
    static const struct {
        const char *text;
        int is_int;
        int64_t n;
        double d;
    } cases[] = {{"0", 1, 0, 0},
                 {"-0", 1, 0, 0},
                 {"-1", 1, -1, -1},
                 {"17841400000000001", 1, INT64_C(17841400000000001), 17841400000000001.0},
                 {"9223372036854775806", 1, INT64_MAX - 1, 9223372036854775806.0},
                 {"9223372036854775807", 1, INT64_MAX, 9223372036854775807.0},
                 {"9223372036854775808", 0, 0, 9223372036854775808.0},
                 {"-9223372036854775807", 1, INT64_MIN + 1, -9223372036854775807.0},
                 {"-9223372036854775808", 1, INT64_MIN, -9223372036854775808.0},
                 {"-9223372036854775809", 0, 0, -9223372036854775808.0},
                 {"18446744073709551615", 0, 0, 18446744073709551615.0},
                 {"18446744073709551616", 0, 0, 18446744073709551616.0},
                 {"99999999999999999999", 0, 0, 1e20},
                 {"-99999999999999999999", 0, 0, -1e20},
                 {"1.0", 0, 0, 1.0},
                 {"1e5", 0, 0, 100000.0},
                 {"-0.0", 0, 0, 0},
                 {"1e308", 0, 0, 1e308},
                 {"4e-400", 0, 0, 0},
                 {"0.1", 0, 0, 0.1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *j = parse(cases[i].text);
        int64_t n = 77;
        double d = 77;

        if (json_int(j, &n) != cases[i].is_int) fail_msg("%s: integer: got %d", cases[i].text, !cases[i].is_int);
        if (n != (cases[i].is_int ? cases[i].n : 77)) fail_msg("%s: got %lld", cases[i].text, (long long)n);
        if (!json_double(j, &d) || d < cases[i].d || d > cases[i].d) fail_msg("%s: got %.17g", cases[i].text, d);
        assert_int_equal(json_type(j), cases[i].is_int ? JSON_INT : JSON_DOUBLE);
        json_free(j);
    }
}

static void several_long_integers_in_one_text_stay_in_their_places(void **state)
{
    struct json *j =
        parse(" [1, 18446744073709551617 "
              ",{\"a\":-99999999999999999999,\"b\":[2,1e2]},\"18446744073709551617\",99999999999999999999]");
    double d = 0;

    (void)state;
    assert_int_equal(json_count(j), 5);
    assert_true(json_double(json_at(j, 1), &d) && d > 1.8e19 && d < 1.9e19);
    assert_true(json_double(json_get(j, "2.a"), &d) && d < -9e19);
    assert_true(json_double(json_get(j, "2.b.1"), &d) && d > 99 && d < 101);
    assert_string_equal(json_string(json_at(j, 3)), "18446744073709551617");
    assert_true(json_double(json_at(j, 4), &d) && d > 9e19);
    json_free(j);
}

static void a_value_of_another_type_is_not_converted(void **state)
{
    struct json *j = parse("{\"s\":\"5\",\"b\":true,\"i\":5,\"d\":5.0,\"a\":[5],\"n\":null}");
    static const char *const paths[] = {"s", "b", "a", "n", "none", ""};
    int64_t n = 9;
    double d = 9;
    int b = 9;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(json_int(json_get(j, paths[i]), &n), 0);
        assert_int_equal(json_double(json_get(j, paths[i]), &d), 0);
        if (i != 1) assert_int_equal(json_bool(json_get(j, paths[i]), &b), 0);
        if (i != 0) assert_null(json_string(json_get(j, paths[i])));
        if (i != 0) assert_int_equal(json_string_len(json_get(j, paths[i])), 0);
    }
    assert_int_equal(json_int(json_get(j, "d"), &n), 0);
    assert_int_equal(json_bool(json_get(j, "i"), &b), 0);
    assert_true(n == 9 && d > 8 && b == 9);
    assert_int_equal(json_bool(json_get(j, "b"), &b), 1);
    assert_int_equal(b, 1);
    json_free(j);
}

static void strings_are_decoded(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {{"\"\"", ""},
                 {"\"a\\u0041\\n\\t\\\"\\\\\\/\\b\\f\\r\"", "aA\n\t\"\\/\b\f\r"},
                 {"\"\\u00e4\\u20ac\\ud83d\\ude00\"", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
                 {"\"\xf0\x9f\x98\x80\\uDBFF\\uDFFF\"", "\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"},
                 {"\"\\u0001\\u001F\\u007f\"", "\x01\x1f\x7f"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *j = parse(cases[i].text);

        assert_string_equal(json_string(j), cases[i].want);
        assert_int_equal(json_string_len(j), strlen(cases[i].want));
        json_free(j);
    }
}

static void a_path_goes_through_objects_and_arrays(void **state)
{
    static const struct {
        const char *path;
        int64_t want; /* -1: absent */
    } cases[] = {{"a.b.c", 1},
                 {"list.0", 10},
                 {"list.1.x", 11},
                 {"list.2", 12},
                 {"a.0", 5},
                 {"list.3", -1},
                 {"list.-1", -1},
                 {"list.+0", -1},
                 {"list.00", 10},
                 {"list. 0", -1},
                 {"list.0x0", -1},
                 {"list.x", -1},
                 {"list.", -1},
                 {"a.b.c.d", -1},
                 {"a.b.x", -1},
                 {"x", -1},
                 {"a..b", -1},
                 {".a", -1},
                 {"list.18446744073709551616", -1},
                 {"list.99999999999999999999999", -1}};
    struct json *j = parse("{\"a\":{\"b\":{\"c\":1},\"0\":5},\"list\":[10,{\"x\":11},12],\"p.q\":7}");
    char long_path[400];
    int64_t n;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        n = -1;
        json_int(json_get(j, cases[i].path), &n);
        if (n != cases[i].want)
            fail_msg("%s: got %lld, expected %lld", cases[i].path, (long long)n, (long long)cases[i].want);
    }
    assert_null(json_get(j, "p.q"));
    assert_int_equal(json_int(json_member(j, "p.q"), &n), 1);
    assert_int_equal(n, 7);
    assert_ptr_equal(json_get(j, ""), j);
    assert_null(json_get(NULL, "a"));
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_null(json_get(j, long_path));
    json_free(j);
}

static void members_and_elements_are_counted_and_come_in_order(void **state)
{
    static const char *const keys[] = {"z", "a", "m"};
    struct json *j = parse("{\"z\":[1,2],\"a\":null,\"m\":{\"q\":3}}");
    const char *key = NULL;
    int64_t n = 0;

    (void)state;
    assert_int_equal(json_count(j), 3);
    assert_int_equal(json_count(json_member(j, "z")), 2);
    assert_int_equal(json_count(json_member(j, "a")), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(json_member_at(j, i, &key));
        assert_string_equal(key, keys[i]);
    }
    assert_null(json_member_at(j, 3, &key));
    assert_null(json_member_at(json_member(j, "z"), 0, &key));
    assert_int_equal(json_int(json_at(json_member(j, "z"), 1), &n), 1);
    assert_int_equal(n, 2);
    assert_null(json_at(json_member(j, "z"), 2));
    assert_null(json_at(j, 0));
    json_free(j);
}

static void what_is_built_prints_as_strict_json(void **state)
{
    struct json *j = json_object_new(), *list = json_array_new();

    (void)state;
    json_push(list, json_new_int(INT64_MIN));
    json_push(list, json_new_int(INT64_MAX));
    json_push(list, NULL);
    json_push(list, json_new_bool(7));
    json_push(list, json_new_double(0.5));
    json_push(list, json_new_string(NULL));
    json_push(list, json_new_date(0));
    json_push(list, json_new_date(INT64_C(1767323045678)));
    json_set(j, "list", list);
    json_set(j, "text", json_new_string("a/b \"q\" \\ \n\x01\x7f \xc3\xa4"));
    json_set(j, "null", NULL);
    assert_prints(
        j, "{\"list\":[-9223372036854775808,9223372036854775807,null,true,0.5,null,null,\"2026-01-02T03:04:05.678Z\"],"
           "\"text\":\"a/b \\\"q\\\" \\\\ \\n\\u0001\x7f \xc3\xa4\",\"null\":null}");
    json_free(j);
}

static void whatever_is_printed_is_taken_again_and_is_equal(void **state)
{
    static const char *const texts[] = {"null", "\"\\u0001\\u2028 \\ud83d\\ude00\"",
                                        "[1,-0.0,1e300,123456789012345678901234567890]",
                                        "{\"a\":[{},[],\"\",null,true],\"b\":{\"c\":0.1}}"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct json *j = parse(texts[i]), *again, *copy = json_copy(j);
        struct buf compact = {0}, pretty = {0};

        assert_int_equal(json_print(j, &compact, NULL), ERR_OK);
        assert_int_equal(json_print_pretty(j, &pretty, NULL), ERR_OK);
        again = parse(buf_text(&compact));
        if (!json_equal(j, again)) fail_msg("%s printed as %s", texts[i], buf_text(&compact));
        json_free(again);
        again = parse(buf_text(&pretty));
        if (!json_equal(j, again)) fail_msg("%s printed as %s", texts[i], buf_text(&pretty));
        if (copy && !json_equal(j, copy)) fail_msg("%s: the copy differs", texts[i]);
        assert_int_equal(copy == NULL, i == 0); /* null copies to null */
        json_free(again);
        json_free(copy);
        json_free(j);
        buf_free(&compact);
        buf_free(&pretty);
    }
}

static void printing_appends_and_tells_of_what_is_not_there(void **state)
{
    struct json *j = json_new_int(5);
    struct buf out = {0};
    struct err err = {0};

    (void)state;
    buf_puts(&out, "n=");
    assert_int_equal(json_print(j, &out, NULL), ERR_OK);
    assert_string_equal(buf_text(&out), "n=5");
    assert_int_equal(json_print(NULL, &out, &err), ERR_NOMEM);
    json_free(j);
    buf_free(&out);
}

static void numbers_that_json_has_not_become_null(void **state)
{
    struct json *list = json_array_new();
    double zero = 0;

    (void)state;
    json_push(list, json_new_double(zero / zero));
    json_push(list, json_new_double(DBL_MAX * 10));
    json_push(list, json_new_double(-DBL_MAX * 10));
    assert_prints(list, "[null,null,null]");
    json_free(list);
}

static void bytes_that_are_not_utf8_are_replaced_one_by_one(void **state)
{
    static const struct {
        const char *bytes, *want;
    } cases[] = {{"plain", "plain"},
                 {"\xe4", "\xef\xbf\xbd"},
                 {"a\xff\xfe"
                  "b",
                  "a\xef\xbf\xbd\xef\xbf\xbd"
                  "b"},
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xc3\xa4\xc3", "\xc3\xa4\xef\xbf\xbd"},
                 {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *j = json_new_string(cases[i].bytes);

        assert_string_equal(json_string(j), cases[i].want);
        json_free(j);
    }
    struct json *cut = json_new_string_len("\xc3\xa4\xc3\xa4", 3);
    assert_string_equal(json_string(cut), "\xc3\xa4\xef\xbf\xbd");
    json_free(cut);
}

static void set_replaces_and_remove_removes(void **state)
{
    struct json *j = parse("{\"a\":1,\"b\":\"x\",\"c\":{\"d\":\"y\"}}");

    (void)state;
    json_set(j, "a", json_new_string("new"));
    json_set(j, "c", NULL);
    json_set(j, "e", json_array_new());
    json_remove(j, "b");
    json_remove(j, "none");
    assert_prints(j, "{\"a\":\"new\",\"c\":null,\"e\":[]}");
    json_remove(json_copy(NULL), "a");
    json_remove(NULL, "a");
    json_free(j);
}

/* A sanitizer would see the value leak. */
static void what_cannot_be_put_anywhere_is_freed(void **state)
{
    struct json *list = json_array_new(), *object = json_object_new(), *null = parse("null");

    (void)state;
    json_set(NULL, "a", json_new_string("x"));
    json_set(list, "a", json_new_string("x"));
    json_set(null, "a", json_new_string("x"));
    json_push(NULL, json_new_string("x"));
    json_push(object, json_new_string("x"));
    json_push(null, json_new_string("x"));
    assert_int_equal(json_count(list), 0);
    assert_int_equal(json_count(object), 0);
    json_free(list);
    json_free(object);
}

static void equal_compares_values_and_not_spelling(void **state)
{
    static const struct {
        const char *a, *b;
        int equal;
    } cases[] = {{"null", "null", 1},
                 {"1", "1", 1},
                 {"1", "2", 0},
                 {"1", "1.0", 0},
                 {"1.50", "1.5", 1},
                 {"1", "\"1\"", 0},
                 {"0", "false", 0},
                 {"0", "null", 0},
                 {"\"a\\u0062\"", "\"\\u0061b\"", 1},
                 {"\"a\"", "\"A\"", 0},
                 {"[1,2]", "[2,1]", 0},
                 {"[1,2]", "[1,2,3]", 0},
                 {"[]", "{}", 0},
                 {"{\"a\":1,\"b\":{\"c\":[null]}}", "{\"b\":{\"c\":[null]},\"a\":1}", 1},
                 {"{\"a\":1}", "{\"a\":1,\"b\":null}", 0},
                 {"{\"a\":null}", "{\"b\":null}", 0},
                 {"9223372036854775807", "9223372036854775806", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *a = parse(cases[i].a), *b = parse(cases[i].b);

        if (json_equal(a, b) != cases[i].equal || json_equal(b, a) != cases[i].equal)
            fail_msg("%s and %s: expected %d", cases[i].a, cases[i].b, cases[i].equal);
        assert_int_equal(json_equal(a, NULL), 0);
        assert_int_equal(json_equal(NULL, b), 0);
        json_free(a);
        json_free(b);
    }
    assert_int_equal(json_equal(NULL, NULL), 1);
}

static void a_copy_stands_on_its_own(void **state)
{
    struct json *j = parse("{\"a\":{\"b\":[\"x\"]}}"), *copy = json_copy(json_member(j, "a"));

    (void)state;
    json_free(j);
    assert_prints(copy, "{\"b\":[\"x\"]}");
    json_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_told_and_null_is_not_absent),
        cmocka_unit_test(integers_keep_every_bit_and_longer_ones_become_doubles),
        cmocka_unit_test(several_long_integers_in_one_text_stay_in_their_places),
        cmocka_unit_test(a_value_of_another_type_is_not_converted),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(a_path_goes_through_objects_and_arrays),
        cmocka_unit_test(members_and_elements_are_counted_and_come_in_order),
        cmocka_unit_test(what_is_built_prints_as_strict_json),
        cmocka_unit_test(whatever_is_printed_is_taken_again_and_is_equal),
        cmocka_unit_test(printing_appends_and_tells_of_what_is_not_there),
        cmocka_unit_test(numbers_that_json_has_not_become_null),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced_one_by_one),
        cmocka_unit_test(set_replaces_and_remove_removes),
        cmocka_unit_test(what_cannot_be_put_anywhere_is_freed),
        cmocka_unit_test(equal_compares_values_and_not_spelling),
        cmocka_unit_test(a_copy_stands_on_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
