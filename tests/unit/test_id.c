/* Ids: every form that MongoDB holds them in, and every form that a text of the API can stand for. */
#include "json_fixture.h"

static void expect_parsed(const char *text, enum id_type type, const char *expected)
{
    struct json *json = fixture_json(text);
    struct account_id id;
    struct err err = {0};

    if (id_parse(json, &id, &err) != ERR_OK) fail_msg("%s: refused: %s", text, err.text);
    if (id.type != type || strcmp(id.text, expected) != 0)
        fail_msg("%s: got type %d \"%s\", expected type %d \"%s\"", text, id.type, id.text, type, expected);
    json_free(json);
}

static void expect_refused(const char *text)
{
    struct json *json = fixture_json(text);
    struct account_id id;
    struct err err = {0};

    if (id_parse(json, &id, &err) != ERR_BAD_INPUT) fail_msg("%s: taken as \"%s\", expected a refusal", text, id.text);
    assert_int_equal(id.type, ID_NONE);
    assert_string_equal(id.text, "");
    assert_true(err.text[0] != '\0');
    json_free(json);
}

static void every_form_of_an_id_is_read(void **state)
{
    (void)state;
    expect_parsed("\"abc\"", ID_STRING, "abc");
    expect_parsed("\"5\"", ID_STRING, "5");
    expect_parsed("\"0123456789abcdef01234567\"", ID_STRING, "0123456789abcdef01234567");
    expect_parsed("\" \xc3\xa9 \"", ID_STRING, " \xc3\xa9 ");
    expect_parsed("{\"$oid\":\"0123456789abcdef01234567\"}", ID_OBJECTID, "0123456789abcdef01234567");
    expect_parsed("{\"$oid\":\"0123456789ABCDEF01234567\"}", ID_OBJECTID, "0123456789abcdef01234567");
    expect_parsed("5", ID_NUMBER, "5");
    expect_parsed("-5", ID_NUMBER, "-5");
    expect_parsed("0", ID_NUMBER, "0");
    expect_parsed("5.0", ID_NUMBER, "5");
    expect_parsed("1e3", ID_NUMBER, "1000");
    expect_parsed("-0.0", ID_NUMBER, "0");
    expect_parsed("9007199254740993", ID_NUMBER, "9007199254740993");
    expect_parsed("-9223372036854775807", ID_NUMBER, "-9223372036854775807");
    expect_parsed("{\"$numberInt\":\"5\"}", ID_NUMBER, "5");
    expect_parsed("{\"$numberLong\":\"-9223372036854775808\"}", ID_NUMBER, "-9223372036854775808");
    expect_parsed("{\"$numberLong\":\"9223372036854775807\"}", ID_NUMBER, "9223372036854775807");
    expect_parsed("{\"$numberDouble\":\"5.0\"}", ID_NUMBER, "5");
    expect_parsed("{\"$numberDouble\":\"1e3\"}", ID_NUMBER, "1000");
}

static void what_is_no_id_is_refused(void **state)
{
    static const char *const texts[] = {"null",
                                        "true",
                                        "[]",
                                        "[\"a\"]",
                                        "{}",
                                        "{\"a\":1}",
                                        "\"\"",
                                        "\"a\\nb\"",
                                        "\"\\u007f\"",
                                        "5.5",
                                        "1e19",
                                        "9223372036854775808",
                                        "{\"$oid\":\"0123456789abcdef0123456\"}",
                                        "{\"$oid\":\"0123456789abcdef012345678\"}",
                                        "{\"$oid\":\"0123456789abcdef0123456g\"}",
                                        "{\"$oid\":5}",
                                        "{\"$oid\":\"0123456789abcdef01234567\",\"a\":1}",
                                        "{\"$numberInt\":\"\"}",
                                        "{\"$numberInt\":\" 5\"}",
                                        "{\"$numberInt\":\"5x\"}",
                                        "{\"$numberInt\":5}",
                                        "{\"$numberLong\":\"9223372036854775808\"}",
                                        "{\"$numberLong\":\"5\",\"a\":1}",
                                        "{\"$numberDouble\":\"5.5\"}",
                                        "{\"$numberDouble\":\"NaN\"}",
                                        "{\"$numberDouble\":\"Infinity\"}",
                                        "{\"$numberDecimal\":\"5\"}",
                                        "{\"$date\":{\"$numberLong\":\"5\"}}"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_refused(texts[i]);
}

static void an_id_has_at_most_255_bytes(void **state)
{
    char longest[LIMIT_ID_BYTES + 2] = "\"", too_long[LIMIT_ID_BYTES + 3] = "\"", expected[LIMIT_ID_BYTES] = "";
    struct account_id forms[3];

    (void)state;
    memset(expected, 'x', sizeof expected - 1);
    memset(longest + 1, 'x', LIMIT_ID_BYTES - 1);
    longest[LIMIT_ID_BYTES] = '"';
    memset(too_long + 1, 'x', LIMIT_ID_BYTES);
    too_long[LIMIT_ID_BYTES + 1] = '"';
    expect_parsed(longest, ID_STRING, expected);
    expect_refused(too_long);
    assert_int_equal(id_forms(expected, forms), 1);
    too_long[LIMIT_ID_BYTES + 1] = '\0';
    assert_int_equal(id_forms(too_long + 1, forms), 0);
}

/* ---- forms ---- */

static void expect_forms(const char *text, const char *expected)
{
    struct account_id forms[3];
    char got[3 * LIMIT_ID_BYTES] = "", key[LIMIT_ID_BYTES + 4];
    int count = id_forms(text, forms);

    for (int i = 0; i < count; i++) {
        id_key(&forms[i], key, sizeof key);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", key);
    }
    if (strcmp(got, expected) != 0) fail_msg("\"%s\": got \"%s\", expected \"%s\"", text, got, expected);
}

static void a_text_stands_for_every_id_that_it_can_be(void **state)
{
    (void)state;
    expect_forms("abc", "s:abc");
    expect_forms("ab:c", "s:ab:c");
    expect_forms("0123456789abcdef01234567", "s:0123456789abcdef01234567 o:0123456789abcdef01234567");
    expect_forms("0123456789ABCDEF01234567", "s:0123456789ABCDEF01234567 o:0123456789abcdef01234567");
    expect_forms("5", "s:5 n:5");
    expect_forms("-5", "s:-5 n:-5");
    expect_forms("0", "s:0 n:0");
    expect_forms("17841400000000001", "s:17841400000000001 n:17841400000000001");
    expect_forms("9223372036854775807", "s:9223372036854775807 n:9223372036854775807");
    expect_forms("-9223372036854775808", "s:-9223372036854775808 n:-9223372036854775808");
}

static void a_number_has_one_text_only(void **state)
{
    static const char *const texts[] = {"05",  "-0", "+5", " 5", "5 ", "5.0", "5e0", "-", "0x5", "9223372036854775808",
                                        "-05", "--5"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct account_id forms[3];

        if (id_forms(texts[i], forms) != 1 || forms[0].type != ID_STRING)
            fail_msg("\"%s\" is taken for a number", texts[i]);
    }
}

static void what_no_id_can_be_has_no_form(void **state)
{
    static const char *const texts[] = {"", "a\nb", "\x7f", "\x01", "\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80"};
    struct account_id forms[3];

    (void)state;
    assert_int_equal(id_forms(NULL, forms), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (id_forms(texts[i], forms) != 0) fail_msg("\"%s\" (%zu) is taken for an id", texts[i], i);
}

/* ---- back again ---- */

static void an_id_goes_to_json_and_to_its_key_and_back(void **state)
{
    static const char *const texts[] = {
        "\"abc\"", "\"n:5\"", "\"\xc3\xa9\"", "{\"$oid\":\"0123456789abcdef01234567\"}", "5", "-9223372036854775808"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json *json = fixture_json(texts[i]), *again;
        struct account_id id, back;
        char key[LIMIT_ID_BYTES + 4];

        assert_int_equal(id_parse(json, &id, NULL), ERR_OK);
        again = id_to_json(&id);
        fixture_expect_json(again, texts[i], "id_to_json");
        id_key(&id, key, sizeof key);
        id_of_key(key, &back);
        if (back.type != id.type || strcmp(back.text, id.text) != 0)
            fail_msg("%s: the key %s leads to \"%s\"", texts[i], key, back.text);
        json_free(again);
        json_free(json);
    }
}

static void no_id_has_no_json_and_an_empty_key(void **state)
{
    static const char *const keys[] = {"", "x:5", "n5", "n", "-:5"};
    const struct account_id none = {0};
    struct account_id id;
    char key[8];

    (void)state;
    assert_null(id_to_json(&none));
    id_key(&none, key, sizeof key);
    assert_string_equal(key, "");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        id_of_key(keys[i], &id);
        if (id.type != ID_NONE) fail_msg("\"%s\" is taken for a key", keys[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_an_id_is_read),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(an_id_has_at_most_255_bytes),
        cmocka_unit_test(a_text_stands_for_every_id_that_it_can_be),
        cmocka_unit_test(a_number_has_one_text_only),
        cmocka_unit_test(what_no_id_can_be_has_no_form),
        cmocka_unit_test(an_id_goes_to_json_and_to_its_key_and_back),
        cmocka_unit_test(no_id_has_no_json_and_an_empty_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
