/* Errors: the first cause wins, nothing in them can steer a terminal, every code has its row. */
#include "base/err.h"
#include "cmocka_all.h"

static void the_first_cause_wins_and_the_code_comes_back(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(err_set(&err, ERR_IO, "file:3", "cannot read %s", "it"), ERR_IO);
    assert_int_equal(err_set(&err, ERR_NOMEM, "other", "second"), ERR_NOMEM);
    assert_int_equal(err.code, ERR_IO);
    assert_string_equal(err.place, "file:3");
    assert_string_equal(err.text, "cannot read it");
    assert_int_equal(err_set(NULL, ERR_CONFLICT, NULL, "nobody listens"), ERR_CONFLICT);
}

static void after_clear_the_next_cause_is_taken(void **state)
{
    struct err err = {0};

    (void)state;
    err_set(&err, ERR_IO, "place", "text");
    err_clear(&err);
    assert_int_equal(err.code, ERR_OK);
    assert_string_equal(err.place, "");
    assert_string_equal(err.text, "");
    err_set(&err, ERR_NOSPACE, NULL, "full");
    assert_int_equal(err.code, ERR_NOSPACE);
    assert_string_equal(err.place, "");
    err_clear(NULL);
}

static void control_characters_become_question_marks(void **state)
{
    struct err err = {0};

    (void)state;
    err_set(&err, ERR_BAD_INPUT, "a\nb\x1b[2J", "%s", "x\r\ny\tz\x01\x7f\xc3\xa4");
    assert_string_equal(err.place, "a?b?[2J");
    assert_string_equal(err.text, "x??y?z??\xc3\xa4");
}

static void what_is_too_long_is_cut(void **state)
{
    static char text[1000];
    struct err err = {0};

    (void)state;
    memset(text, 'x', sizeof text - 1);
    err_set(&err, ERR_BAD_INPUT, text, "%s", text);
    assert_int_equal(strlen(err.place), ERR_PLACE_MAX - 1);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
}

static void every_code_has_its_row(void **state)
{
    (void)state;
    for (int code = ERR_OK; code < ERR_COUNT; code++) {
        enum err_code c = (enum err_code)code;

        if (!err_word(c) || !*err_word(c) || !err_title(c) || !*err_title(c))
            fail_msg("code %d has no word or title", code);
        if (err_status(c) < 200 || err_status(c) > 599) fail_msg("%s: status %d", err_word(c), err_status(c));
        for (int other = ERR_OK; other < code; other++)
            if (!strcmp(err_word((enum err_code)other), err_word(c))) fail_msg("two codes are called %s", err_word(c));
        if (c != ERR_OK && err_status(c) < 400) fail_msg("%s: status %d of an error", err_word(c), err_status(c));
    }
    assert_int_equal(err_status(ERR_UNAVAILABLE), 503);
    assert_int_equal(err_is_retryable(ERR_UNAVAILABLE), 1);
    assert_int_equal(err_is_retryable(ERR_BAD_INPUT), 0);
    assert_string_equal(err_word(ERR_COUNT), err_word(ERR_INTERNAL));
    assert_int_equal(err_status((enum err_code) - 1), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_cause_wins_and_the_code_comes_back),
        cmocka_unit_test(after_clear_the_next_cause_is_taken),
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(what_is_too_long_is_cut),
        cmocka_unit_test(every_code_has_its_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
