/* What is JSON by RFC 8259 and what is not, after the idea of JSONTestSuite: many small texts, each taken or refused, with
 * the place of the mistake. json-c alone would take a good part of the second table. */
#include "base/json.h"
#include "base/limits.h"
#include "cmocka_all.h"

struct text {
    const char *bytes;
    size_t len;
};
#define T(literal)                                                                                                     \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

static void print_escaped(const struct text *t, char *out, size_t size)
{
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < t->len && at + 5 < size; i++) {
        unsigned char c = (unsigned char)t->bytes[i];

        at += (size_t)snprintf(out + at, size - at, c >= 0x20 && c < 0x7f ? "%c" : "\\x%02x", c);
    }
}

static const struct text good[] = {T("null"),
                                   T("true"),
                                   T("false"),
                                   T("0"),
                                   T("-0"),
                                   T("7"),
                                   T("-7"),
                                   T("10"),
                                   T("1234567890"),
                                   T("0.5"),
                                   T("-0.5"),
                                   T("1.0"),
                                   T("10.01"),
                                   T("1e5"),
                                   T("1E5"),
                                   T("1e+5"),
                                   T("1e-5"),
                                   T("1E-05"),
                                   T("1e05"),
                                   T("0e0"),
                                   T("0e+1"),
                                   T("0E00"),
                                   T("-1.5e-300"),
                                   T("1e308"),
                                   T("4e-400"),
                                   T("123.456e78"),
                                   T("9223372036854775807"),
                                   T("-9223372036854775808"),
                                   T("9223372036854775808"),
                                   T("-9223372036854775809"),
                                   T("18446744073709551615"),
                                   T("18446744073709551616"),
                                   T("123456789012345678901234567890"),
                                   T("\"\""),
                                   T("\"a\""),
                                   T("\" \""),
                                   T("\"\\\"\""),
                                   T("\"\\\\\""),
                                   T("\"\\/\""),
                                   T("\"/\""),
                                   T("\"\\b\\f\\n\\r\\t\""),
                                   T("\"\\u0041\""),
                                   T("\"\\uABCD\\uabcd\""),
                                   T("\"\\u0001\\u001f\\u007f\""),
                                   T("\"\\ud83d\\ude00\""),
                                   T("\"\\uD83D\\uDE00\""),
                                   T("\"\\udbff\\udfff\""),
                                   T("\"\\uffff\""),
                                   T("\"\\uFDD0\""),
                                   T("\"\\\\u0000\""),
                                   T("\"\\u2028\""),
                                   T("\"\x7f\""),
                                   T("\"\xc2\x80\""),
                                   T("\"\xc3\xa4\""),
                                   T("\"\xe2\x82\xac\""),
                                   T("\"\xed\x9f\xbf\""),
                                   T("\"\xee\x80\x80\""),
                                   T("\"\xef\xbf\xbf\""),
                                   T("\"\xf0\x90\x80\x80\""),
                                   T("\"\xf4\x8f\xbf\xbf\""),
                                   T("\"\xe2\x80\xa8\""),
                                   T("\"\xef\xbb\xbf\""),
                                   T("[]"),
                                   T("[ ]"),
                                   T("[\n]"),
                                   T("[1]"),
                                   T("[1,2]"),
                                   T("[ 1 , 2 ]"),
                                   T("[null,true,false,0,\"\",[],{}]"),
                                   T("[[],[[]]]"),
                                   T("[[]   ]"),
                                   T("[1\n,1\n,1]"),
                                   T("{}"),
                                   T("{ }"),
                                   T("{\"a\":1}"),
                                   T("{ \"a\" : 1 }"),
                                   T("{\"a\":1,\"b\":2}"),
                                   T("{\"\":0}"),
                                   T("{\"a\":{\"a\":{\"a\":1}}}"),
                                   T("[{\"a\":1},{\"a\":1}]"),
                                   T("{\"a\":[],\"A\":{}}"),
                                   T("{\"\\u0061b\":1,\"b\":2}"),
                                   T("{\"title\":\"\\u041f\\u043e\"}"),
                                   T(" 1"),
                                   T("1 "),
                                   T("\t1\r\n"),
                                   T(" \n[]\n"),
                                   T("\r\n{\"a\"\r\n:\r\n1\r\n}\r\n")};

static void what_the_standard_allows_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct json *j = NULL;
        struct err err = {0};
        char shown[256];
        enum err_code rc = json_parse(good[i].bytes, good[i].len, &j, &err);

        print_escaped(&good[i], shown, sizeof shown);
        if (rc != ERR_OK) fail_msg("%s: got %s at %s, expected no error", shown, err.text, err.place);
        assert_non_null(j);
        json_free(j);
    }
}

static const struct {
    struct text text;
    const char *place, *reason;
} bad[] = {
    /* nothing, or not enough */
    {T(""), "line 1, column 1", "ends too early"},
    {T(" "), "line 1, column 2", "ends too early"},
    {T("\n\n "), "line 3, column 2", "ends too early"},
    {T("["), "line 1, column 2", "ends too early"},
    {T("[1"), "line 1, column 3", "ends too early"},
    {T("[1,"), "line 1, column 4", "ends too early"},
    {T("{"), "line 1, column 2", "member name"},
    {T("{\"a\""), "line 1, column 5", "colon"},
    {T("{\"a\":"), "line 1, column 6", "ends too early"},
    {T("{\"a\":1"), "line 1, column 7", "ends too early"},
    {T("{\"a\":1,"), "line 1, column 8", "member name"},
    {T("\""), "line 1, column 2", "does not end"},
    {T("\"a"), "line 1, column 3", "does not end"},
    {T("\"a\\"), "line 1, column 4", "escape"},
    {T("\"\\\""), "line 1, column 4", "does not end"},
    {T("nul"), "line 1, column 1", "a value"},
    {T("-"), "line 1, column 2", "a digit"},
    {T("1."), "line 1, column 3", "a digit"},
    {T("1e"), "line 1, column 3", "a digit"},
    {T("1e+"), "line 1, column 4", "a digit"},
    {T("\"\\u12"), "line 1, column 3", "four hexadecimal"},
    /* too much */
    {T("1 2"), "line 1, column 3", "something follows"},
    {T("{} {}"), "line 1, column 4", "something follows"},
    {T("[]]"), "line 1, column 3", "something follows"},
    {T("{}}"), "line 1, column 3", "something follows"},
    {T("[1]x"), "line 1, column 4", "something follows"},
    {T("true false"), "line 1, column 6", "something follows"},
    {T("nulll"), "line 1, column 5", "something follows"},
    {T("\"a\"b"), "line 1, column 4", "something follows"},
    {T("{}//"), "line 1, column 3", "something follows"},
    {T("{}/**/"), "line 1, column 3", "something follows"},
    {T("{}#"), "line 1, column 3", "something follows"},
    {T("1\0"), "line 1, column 2", "something follows"},
    {T("{}\0"), "line 1, column 3", "something follows"},
    {T("\n\n[1]\n x"), "line 4, column 2", "something follows"},
    /* commas and brackets */
    {T("[1,]"), "line 1, column 4", "a value"},
    {T("[,1]"), "line 1, column 2", "a value"},
    {T("[,]"), "line 1, column 2", "a value"},
    {T("[1,,2]"), "line 1, column 4", "a value"},
    {T("[1 2]"), "line 1, column 4", "a comma or the closing"},
    {T("[1:2]"), "line 1, column 3", "a comma or the closing"},
    {T("[1}"), "line 1, column 3", "a comma or the closing"},
    {T("{\"a\":1]"), "line 1, column 7", "a comma or the closing"},
    {T("{\"a\":1,}"), "line 1, column 8", "member name"},
    {T("{,\"a\":1}"), "line 1, column 2", "member name"},
    {T("{\"a\":1,,\"b\":2}"), "line 1, column 8", "member name"},
    {T("{\"a\" 1}"), "line 1, column 6", "a colon"},
    {T("{\"a\"::1}"), "line 1, column 6", "a value"},
    {T("{\"a\",1}"), "line 1, column 5", "a colon"},
    {T("{\"a\"=1}"), "line 1, column 5", "a colon"},
    {T("{a:1}"), "line 1, column 2", "member name"},
    {T("{'a':1}"), "line 1, column 2", "member name"},
    {T("{1:1}"), "line 1, column 2", "member name"},
    {T("{null:1}"), "line 1, column 2", "member name"},
    {T("{[]:1}"), "line 1, column 2", "member name"},
    {T("{\"a\":\n\n  1 2}"), "line 3, column 5", "a comma or the closing"},
    {T("]"), "line 1, column 1", "a value"},
    {T("}"), "line 1, column 1", "a value"},
    {T(","), "line 1, column 1", "a value"},
    {T(":"), "line 1, column 1", "a value"},
    /* words */
    {T("True"), "line 1, column 1", "a value"},
    {T("NULL"), "line 1, column 1", "a value"},
    {T("nil"), "line 1, column 1", "a value"},
    {T("undefined"), "line 1, column 1", "a value"},
    {T("NaN"), "line 1, column 1", "a value"},
    {T("nan"), "line 1, column 1", "a value"},
    {T("Infinity"), "line 1, column 1", "a value"},
    {T("-Infinity"), "line 1, column 2", "a digit"},
    {T("-NaN"), "line 1, column 2", "a digit"},
    {T("[NaN]"), "line 1, column 2", "a value"},
    {T("'a'"), "line 1, column 1", "a value"},
    {T("abc"), "line 1, column 1", "a value"},
    {T("/**/1"), "line 1, column 1", "a value"},
    {T("//\n1"), "line 1, column 1", "a value"},
    {T("#1"), "line 1, column 1", "a value"},
    /* numbers */
    {T("00"), "line 1, column 2", "leading zero"},
    {T("01"), "line 1, column 2", "leading zero"},
    {T("-01"), "line 1, column 3", "leading zero"},
    {T("007"), "line 1, column 2", "leading zero"},
    {T("01.5"), "line 1, column 2", "leading zero"},
    {T("+1"), "line 1, column 1", "a value"},
    {T("--1"), "line 1, column 2", "a digit"},
    {T("-+1"), "line 1, column 2", "a digit"},
    {T("- 1"), "line 1, column 2", "a digit"},
    {T(".5"), "line 1, column 1", "a value"},
    {T("-.5"), "line 1, column 2", "a digit"},
    {T("1.e5"), "line 1, column 3", "a digit"},
    {T("1.5."), "line 1, column 4", "something follows"},
    {T("1e5.5"), "line 1, column 4", "something follows"},
    {T("1ee5"), "line 1, column 3", "a digit"},
    {T("1e+-5"), "line 1, column 4", "a digit"},
    {T("1e 5"), "line 1, column 3", "a digit"},
    {T("0x10"), "line 1, column 2", "something follows"},
    {T("1_000"), "line 1, column 2", "something follows"},
    {T("1,5"), "line 1, column 2", "something follows"},
    {T("0b1"), "line 1, column 2", "something follows"},
    {T("1f"), "line 1, column 2", "something follows"},
    {T("[1a]"), "line 1, column 3", "a comma or the closing"},
    {T("\xef\xbc\x91"), "line 1, column 1", "a value"}, /* a digit one, full width */
    {T("1e309"), "", "too large"},
    {T("-1e309"), "", "too large"},
    {T("[1,{\"a\":1e999999}]"), "", "too large"},
    /* strings */
    {T("\"a\nb\""), "line 1, column 3", "control character"},
    {T("\"a\tb\""), "line 1, column 3", "control character"},
    {T("\"\r\""), "line 1, column 2", "control character"},
    {T("\"\x1f\""), "line 1, column 2", "control character"},
    {T("\"\x01\""), "line 1, column 2", "control character"},
    {T("\"a\0b\""), "line 1, column 3", "control character"},
    {T("\"\0\""), "line 1, column 2", "control character"},
    {T("\"\\u0000\""), "line 1, column 3", "NUL"},
    {T("\"a\\u0000b\""), "line 1, column 4", "NUL"},
    {T("{\"\\u0000\":1}"), "line 1, column 4", "NUL"},
    {T("\"\\a\""), "line 1, column 3", "escape"},
    {T("\"\\'\""), "line 1, column 3", "escape"},
    {T("\"\\x41\""), "line 1, column 3", "escape"},
    {T("\"\\0\""), "line 1, column 3", "escape"},
    {T("\"\\U0041\""), "line 1, column 3", "escape"},
    {T("\"\\\n\""), "line 1, column 3", "escape"},
    {T("\"\\\0\""), "line 1, column 3", "escape"},
    {T("\"\\\xc3\xa4\""), "line 1, column 3", "escape"},
    {T("\"\\u\""), "line 1, column 3", "four hexadecimal"},
    {T("\"\\u004\""), "line 1, column 3", "four hexadecimal"},
    {T("\"\\u00g1\""), "line 1, column 3", "four hexadecimal"},
    {T("\"\\u 041\""), "line 1, column 3", "four hexadecimal"},
    {T("\"\\u+041\""), "line 1, column 3", "four hexadecimal"},
    {T("\"\\u{41}\""), "line 1, column 3", "four hexadecimal"},
    /* surrogates */
    {T("\"\\ud800\""), "line 1, column 8", "without its low one"},
    {T("\"\\udbff\""), "line 1, column 8", "without its low one"},
    {T("\"\\ud800x\""), "line 1, column 8", "without its low one"},
    {T("\"\\ud800\\n\""), "line 1, column 8", "without its low one"},
    {T("\"\\ud800\\u0041\""), "line 1, column 8", "without its low one"},
    {T("\"\\ud800\\ud800\""), "line 1, column 8", "without its low one"},
    {T("\"\\ud83d\\ude0\""), "line 1, column 8", "without its low one"},
    {T("\"\\ud83d\\u"), "line 1, column 8", "without its low one"},
    {T("\"\\udc00\""), "line 1, column 3", "without its high one"},
    {T("\"\\udfff\""), "line 1, column 3", "without its high one"},
    {T("\"\\ude00\\ud83d\""), "line 1, column 3", "without its high one"},
    {T("{\"\\ud800\":1}"), "line 1, column 9", "without its low one"},
    /* UTF-8 */
    {T("\"\x80\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xbf\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xc0\x80\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xc1\xbf\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xc3\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xc3"), "line 1, column 2", "not UTF-8"},
    {T("\"\xc3\x28\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xe0\x80\x80\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xe0\x9f\xbf\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xe2\x82\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xed\xa0\x80\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xed\xbf\xbf\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xf0\x80\x80\x80\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xf0\x8f\xbf\xbf\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xf0\x9f\x98\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xf4\x90\x80\x80\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xf5\x80\x80\x80\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xfe\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xff\""), "line 1, column 2", "not UTF-8"},
    {T("\"\xe4\""), "line 1, column 2", "not UTF-8"}, /* Latin-1 */
    {T("{\"\xff\":1}"), "line 1, column 3", "not UTF-8"},
    {T("\"ab\xc3\xa4\xff\""), "line 1, column 6", "not UTF-8"},
    {T("\xff"), "line 1, column 1", "a value"},
    /* other encodings, other white space */
    {T("\xef\xbb\xbf{}"), "line 1, column 1", "a value"},
    {T("\xfe\xff\0{\0}"), "line 1, column 1", "a value"},
    {T("{\0}\0"), "line 1, column 2", "member name"},
    {T("\0"), "line 1, column 1", "a value"},
    {T("\v1"), "line 1, column 1", "a value"},
    {T("\f1"), "line 1, column 1", "a value"},
    {T("[\f]"), "line 1, column 2", "a value"},
    {T("\xc2\xa0"
       "1"),
     "line 1, column 1", "a value"},
    {T("[1\xe2\x80\xa8]"), "line 1, column 3", "a comma or the closing"},
    /* names that stand twice */
    {T("{\"a\":1,\"a\":1}"), "line 1, column 8", "twice"},
    {T("{\"a\":1,\"b\":2,\"a\":3}"), "line 1, column 14", "twice"},
    {T("{\"a\":1,\n  \"\\u0061\":2}"), "line 2, column 3", "twice"},
    {T("{\"\\u0061\":1,\"a\":2}"), "line 1, column 13", "twice"},
    {T("{\"\xc3\xa4\":1,\"\\u00E4\":2}"), "line 1, column 9", "twice"},
    {T("{\"/\":1,\"\\/\":2}"), "line 1, column 8", "twice"},
    {T("{\"\":1,\"\":2}"), "line 1, column 7", "twice"},
    {T("{\"a\":null,\"a\":null}"), "line 1, column 11", "twice"},
    {T("[{},{\"b\":{\"c\":1,\n\"c\":{}}}]"), "line 2, column 1", "twice"},
    {T("{\"a\":{\"a\":1},\"a\":2}"), "line 1, column 14", "twice"},
    {T("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":1}"), "line 1, column 19", "twice"},
};

static void everything_else_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct json *j = (struct json *)1;
        struct err err = {0};
        char shown[256];
        enum err_code rc = json_parse(bad[i].text.bytes, bad[i].text.len, &j, &err);

        print_escaped(&bad[i].text, shown, sizeof shown);
        if (rc != ERR_BAD_INPUT) fail_msg("%s: got %s, expected bad_request", shown, err_word(rc));
        if (!strstr(err.text, bad[i].reason))
            fail_msg("%s: got \"%s\", expected \"%s\"", shown, err.text, bad[i].reason);
        if (strcmp(err.place, bad[i].place) != 0) fail_msg("%s: got %s, expected %s", shown, err.place, bad[i].place);
        assert_null(j);
        assert_int_equal(json_parse(bad[i].text.bytes, bad[i].text.len, &j, NULL), ERR_BAD_INPUT);
    }
}

/* ${depth} brackets of one kind. */
static enum err_code parse_nested(const char *open, const char *inner, const char *close, int depth, struct err *err)
{
    struct buf text = {0};
    struct json *j = NULL;
    enum err_code rc;

    for (int i = 0; i < depth; i++)
        buf_puts(&text, open);
    buf_puts(&text, inner);
    for (int i = 0; i < depth; i++)
        buf_puts(&text, close);
    rc = json_parse(buf_text(&text), text.len, &j, err);
    json_free(j);
    buf_free(&text);
    return rc;
}

static void thirty_two_brackets_may_be_open_and_no_more(void **state)
{
    static const struct {
        const char *open, *inner, *close;
        int width; /* levels that one open adds */
    } shapes[] = {{"[", "", "]", 1}, {"[", "1", "]", 1}, {"{\"a\":", "1", "}", 1}, {"[{\"a\":", "\"x\"", "}]", 2}};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int most = LIMIT_JSON_DEPTH / shapes[i].width;
        struct err err = {0};

        assert_int_equal(parse_nested(shapes[i].open, shapes[i].inner, shapes[i].close, most, &err), ERR_OK);
        assert_int_equal(parse_nested(shapes[i].open, shapes[i].inner, shapes[i].close, most + 1, &err), ERR_BAD_INPUT);
        assert_non_null(strstr(err.text, "nested deeper than 32"));
    }
    assert_int_equal(parse_nested("[", "[],[],{}", "]", LIMIT_JSON_DEPTH - 1, NULL), ERR_OK);
    assert_int_equal(parse_nested("[", "[[]]", "]", LIMIT_JSON_DEPTH - 1, NULL), ERR_BAD_INPUT);
    assert_int_equal(parse_nested("[", "", "]", 1000000, NULL), ERR_BAD_INPUT); /* no stack is spent on it */
}

static void an_error_never_holds_a_piece_of_the_text(void **state)
{
    static const char *const texts[] = {"EAABsecretEAABsecret",
                                        "{\"EAABsecret\":1,\"EAABsecret\":2}",
                                        "{\"a\":\"EAABsecret\x01\"}",
                                        "{\"a\":\"EAABsecret\"",
                                        "{EAABsecret:1}",
                                        "[\"EAABsecret\",]",
                                        "\"EAABsecret\\q\"",
                                        "{\"EAABsecret\" \"EAABsecret\"}",
                                        "\"EAABsecret\xff\""};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json *j = NULL;
        struct err err = {0};

        assert_int_equal(json_parse(texts[i], strlen(texts[i]), &j, &err), ERR_BAD_INPUT);
        assert_null(strstr(err.text, "EAAB"));
        assert_null(strstr(err.place, "EAAB"));
    }
}

static void the_length_counts_and_not_a_nul(void **state)
{
    char text[] = {'[', '1', '2', '3', ']'}; /* no NUL behind: a sanitizer sees a byte too many */
    struct json *j = NULL;

    (void)state;
    assert_int_equal(json_parse(text, sizeof text, &j, NULL), ERR_OK);
    json_free(j);
    assert_int_equal(json_parse(text + 1, 3, &j, NULL), ERR_OK);
    assert_int_equal(json_type(j), JSON_INT);
    json_free(j);
    for (size_t len = 0; len < sizeof text; len++)
        assert_int_equal(json_parse(text, len, &j, NULL), ERR_BAD_INPUT);
}

static void a_text_over_the_limit_is_refused_before_it_is_read(void **state)
{
    size_t len = LIMIT_JSON_BYTES + 1;
    char *text = malloc(len);
    struct json *j = NULL;
    struct err err = {0};

    (void)state;
    assert_non_null(text);
    memset(text, ' ', len);
    text[0] = '1';
    assert_int_equal(json_parse(text, len, &j, &err), ERR_TOO_LARGE);
    assert_int_equal(json_parse(text, len - 1, &j, NULL), ERR_OK);
    json_free(j);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_standard_allows_is_taken),
        cmocka_unit_test(everything_else_is_refused_with_its_place),
        cmocka_unit_test(thirty_two_brackets_may_be_open_and_no_more),
        cmocka_unit_test(an_error_never_holds_a_piece_of_the_text),
        cmocka_unit_test(the_length_counts_and_not_a_nul),
        cmocka_unit_test(a_text_over_the_limit_is_refused_before_it_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
