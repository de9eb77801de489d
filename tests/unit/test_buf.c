/* A buffer grows, keeps what is in it, and leaves nothing of it in memory. */
#include "base/buf.h"
#include "cmocka_all.h"

static void what_is_put_stands_one_behind_the_other(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_string_equal(buf_text(&b), "");
    buf_put(&b, "ab\0c", 4);
    buf_puts(&b, "");
    buf_puts(&b, "def");
    buf_printf(&b, "%d-%s", 7, "x");
    assert_int_equal(b.len, 10);
    assert_memory_equal(b.data, "ab\0cdef7-x", 11);
    assert_int_equal(b.failed, 0);
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len + b.cap, 0);
    buf_free(NULL);
}

static void every_length_is_kept_and_ends_in_nul(void **state)
{
    struct buf b = {0};

    (void)state;
    for (size_t len = 1; len <= 3000; len++) {
        char c = (char)(len % 251);

        buf_put(&b, &c, 1);
        assert_int_equal(b.len, len);
        assert_int_equal(b.data[len], 0);
    }
    for (size_t len = 1; len <= 3000; len++)
        if (b.data[len - 1] != (char)(len % 251)) fail_msg("byte %zu is %d", len - 1, b.data[len - 1]);
    buf_free(&b);
}

static void a_formatted_text_may_be_longer_than_the_room(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_printf(&b, "%0*d|", 5000, 1);
    buf_printf(&b, "%s", "");
    assert_int_equal(b.len, 5001);
    assert_string_equal(b.data + 4999, "1|");
    buf_free(&b);
}

static void a_failed_buffer_swallows_all_that_follows(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_puts(&b, "kept");
    buf_put(&b, "x", SIZE_MAX / 2); /* must not even be tried */
    assert_int_equal(b.failed, 1);
    buf_puts(&b, "more");
    buf_printf(&b, "%d", 1);
    assert_string_equal(buf_text(&b), "kept");
    assert_null(buf_take(&b));
    assert_int_equal(b.failed, 0);
    buf_puts(&b, "new");
    assert_string_equal(buf_text(&b), "new");
    buf_free(&b);
}

static void take_gives_the_text_away(void **state)
{
    struct buf b = {0};
    char *text;

    (void)state;
    text = buf_take(&b);
    assert_string_equal(text, "");
    free(text);
    buf_puts(&b, "mine");
    text = buf_take(&b);
    assert_string_equal(text, "mine");
    assert_string_equal(buf_text(&b), "");
    buf_puts(&b, "other");
    assert_string_equal(text, "mine");
    free(text);
    buf_free(&b);
}

static void reset_empties_wipes_and_keeps_the_memory(void **state)
{
    struct buf b = {0};
    size_t cap;

    (void)state;
    buf_puts(&b, "secret secret secret");
    cap = b.cap;
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, cap);
    assert_string_equal(buf_text(&b), "");
    for (size_t i = 0; i < cap; i++)
        assert_int_equal(b.data[i], 0);
    buf_puts(&b, "x");
    assert_string_equal(buf_text(&b), "x");
    buf_free(&b);
    buf_reset(&b);
    assert_string_equal(buf_text(&b), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_stands_one_behind_the_other),
        cmocka_unit_test(every_length_is_kept_and_ends_in_nul),
        cmocka_unit_test(a_formatted_text_may_be_longer_than_the_room),
        cmocka_unit_test(a_failed_buffer_swallows_all_that_follows),
        cmocka_unit_test(take_gives_the_text_away),
        cmocka_unit_test(reset_empties_wipes_and_keeps_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
