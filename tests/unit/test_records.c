/* What is a request that libfcgi may be given. */
#include "../../fcgi/records.h"
#include "base/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BEGIN = 1, ABORT = 2, PARAMS = 4, STDIN = 5, GET_VALUES = 9, ROUNDS = 200000 };

static unsigned char bytes[LIMIT_PEEK_BYTES];
static size_t size;

static void put_head(unsigned type, unsigned id, size_t content, unsigned padding)
{
    const unsigned char head[8] = {1,
                                   (unsigned char)type,
                                   (unsigned char)(id >> 8),
                                   (unsigned char)id,
                                   (unsigned char)(content >> 8),
                                   (unsigned char)content,
                                   (unsigned char)padding,
                                   0};

    memcpy(bytes + size, head, sizeof head);
    size += sizeof head;
}

static void put(unsigned type, unsigned id, const char *content, size_t len, unsigned padding)
{
    put_head(type, id, len, padding);
    memcpy(bytes + size, content, len);
    memset(bytes + size + len, 0, padding);
    size += len + padding;
}

static void begin(void)
{
    size = 0;
    put(BEGIN, 1, "\0\1\1\0\0\0\0\0", 8, 0);
}

static void whole(void)
{
    char last[300] = "";

    begin();
    put(PARAMS, 1, "\3\4KEYsome\1", 10, 6); /* a pair over two records */
    put(PARAMS, 1, "\0X", 2, 0);
    memset(last, 'v', sizeof last);
    memcpy(last, (const unsigned char[]){1, 0x80, 0, 0, 0x80, 'N'}, 6);
    put(PARAMS, 1, last, 6 + 128, 0);
    put(PARAMS, 1, "", 0, 0);
}

static void a_request_is_whole_once_its_parameters_and_its_input_are(void **state)
{
    size_t all;

    (void)state;
    whole();
    all = size;
    assert_int_equal(records_look(bytes, all), RECORDS_HEAD);
    for (size_t len = 0; len < all; len++)
        assert_int_equal(records_look(bytes, len), RECORDS_PARTIAL);
    put(STDIN, 1, "some", 4, 4);
    put(STDIN, 2, "", 0, 0); /* of nobody */
    put(GET_VALUES, 0, "", 0, 0);
    for (size_t len = all; len <= size; len++)
        assert_int_equal(records_look(bytes, len), RECORDS_HEAD);
    put(STDIN, 1, "", 0, 8);
    assert_int_equal(records_look(bytes, size - 1), RECORDS_HEAD);
    assert_int_equal(records_look(bytes, size), RECORDS_WHOLE);
    whole();
    put(ABORT, 1, "", 0, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_WHOLE);
    whole();
    put(PARAMS, 1, "", 0, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_BROKEN);
}

static void roles_without_input_need_none(void **state)
{
    static const unsigned roles[] = {0, 2, 4, 255};

    (void)state;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        whole();
        bytes[9] = (unsigned char)roles[i];
        assert_int_equal(records_look(bytes, size), RECORDS_WHOLE);
    }
}

static void questions_about_the_application_are_told_apart(void **state)
{
    (void)state;
    size = 0;
    put(GET_VALUES, 0, "\17\0FCGI_MPXS_CONNS", 17, 7);
    assert_int_equal(records_look(bytes, size), RECORDS_MANAGEMENT);
    assert_int_equal(records_look(bytes, size - 1), RECORDS_PARTIAL);
    put(BEGIN, 1, "\0\1\1\0\0\0\0\0", 8, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_PARTIAL);
    put(PARAMS, 1, "", 0, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_HEAD);
}

static void another_order_is_refused(void **state)
{
    static const unsigned types[] = {BEGIN, ABORT, STDIN, 8, 11, 0, 255};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        begin();
        put(types[i], 1, "\0\1\1\0\0\0\0\0", 8, 0);
        assert_int_equal(records_look(bytes, size), RECORDS_BROKEN);
    }
    size = 0;
    put(PARAMS, 1, "", 0, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_BROKEN);
    size = 0;
    put(BEGIN, 1, "short", 5, 3);
    assert_int_equal(records_look(bytes, size), RECORDS_BROKEN);
    begin();
    put(PARAMS, 2, "", 0, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_BROKEN);
    assert_int_equal(records_look((const unsigned char *)"GET / HTTP/1.1\r\n", 3), RECORDS_BROKEN);
}

static void lengths_that_lie_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } lies[] = {{"\5\0KEY", 5},
                {"\3", 1},
                {"\3\177KEY", 5},
                {"\377\377\377\377\377\377\377\377", 8},
                {"\200\377\377", 3},
                {"\1\200\0\0", 4},
                {"\200\0\0\1\377\377\377\376N", 9},
                {"\377\377\377\377\200\0\0\1", 8},
                {"\3\4KEYsome\1", 10}};

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        begin();
        put(PARAMS, 1, lies[i].text, lies[i].len, 0);
        put(PARAMS, 1, "", 0, 0);
        assert_int_equal(records_look(bytes, size), RECORDS_BROKEN);
    }
}

static void too_many_parameters_are_told_as_soon_as_they_are_announced(void **state)
{
    unsigned char out[RECORDS_REFUSAL_BYTES];
    size_t len;

    (void)state;
    begin();
    put_head(PARAMS, 1, LIMIT_PARAMETERS_BYTES + 1, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_TOO_LARGE);
    begin();
    put_head(PARAMS, 1, LIMIT_PARAMETERS_BYTES, 0);
    assert_int_equal(records_look(bytes, size), RECORDS_PARTIAL);
    begin();
    while (size + 9 <= sizeof bytes)
        put(PARAMS, 1, "x", 1, 0);
    memset(bytes + size, 0, sizeof bytes - size);
    assert_int_equal(records_look(bytes, sizeof bytes), RECORDS_TOO_LARGE);
    len = records_refuse(bytes, out);
    assert_in_range(len, 32, RECORDS_REFUSAL_BYTES);
    assert_memory_equal(out, "\1\6\0\1\0", 5);
    assert_memory_equal(out + 8, "Status: 431 ", 12);
}

/* Under the sanitizers: no byte beyond the given ones is looked at. What was whole stays whole or is refused. */
static void no_bytes_are_trusted(void **state)
{
    uint64_t random = 20260101;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char copy[512];
        size_t len;

        whole();
        len = size;
        memcpy(copy, bytes, len);
        for (int i = 0; i < 1 + round % 4; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            copy[(random >> 33) % len] = (unsigned char)(random >> 25);
        }
        assert_in_range(records_look(copy, (random >> 40) % (len + 1)), RECORDS_PARTIAL, RECORDS_BROKEN);
        records_look(copy, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_whole_once_its_parameters_and_its_input_are),
        cmocka_unit_test(roles_without_input_need_none),
        cmocka_unit_test(questions_about_the_application_are_told_apart),
        cmocka_unit_test(another_order_is_refused),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(too_many_parameters_are_told_as_soon_as_they_are_announced),
        cmocka_unit_test(no_bytes_are_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
