/* Tokens arrive in JSON: what was parsed, replaced, removed or freed is not in memory any more. */
#include "base/json.h"
#include "memory_fixture.h"

enum { TOKEN_BYTES = 60 };

static void draw(unsigned char inverted[TOKEN_BYTES], unsigned seed)
{
    for (int i = 0; i < TOKEN_BYTES; i++)
        inverted[i] =
            (unsigned char)~("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[rand_r(&seed) % 64]);
}

/* A document with the token in it, behind enough other members to make every buffer of json-c grow. */
static struct json *document(const unsigned char *inverted, const char *escape)
{
    struct secret token = fixture_inverted(inverted, TOKEN_BYTES);
    struct buf text = {0};
    struct json *j = NULL;
    struct err err = {0};

    buf_puts(&text, "{\"list\":[");
    for (int i = 0; i < 40; i++)
        buf_printf(&text, "{\"n\":%d,\"s\":\"%0*d\"},", i, i * 7, 1);
    buf_printf(&text, "null],\"accessToken\":\"%s%s\",\"deep\":{\"list\":[\"%s\"]}}", escape,
               (const char *)secret_bytes(&token), (const char *)secret_bytes(&token));
    if (json_parse(buf_text(&text), text.len, &j, &err) != ERR_OK) fail_msg("%s: %s", err.place, err.text);
    buf_free(&text);
    secret_free(&token);
    return j;
}

static void assert_gone(const unsigned char *inverted, const char *what)
{
    /* free() itself writes over the first sixteen bytes of small pieces */
    if (fixture_memory_holds(inverted, TOKEN_BYTES) || fixture_memory_holds(inverted + 20, 24))
        fail_msg("%s: the token is still there", what);
}

static void a_freed_document_leaves_nothing_behind(void **state)
{
    static const char *const escapes[] = {"", "\\u0041\\n", "\xc3\xa4\\\""};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        unsigned char inverted[TOKEN_BYTES];
        struct json *j;

        draw(inverted, 11 + i);
        j = document(inverted, escapes[i]);
        assert_true(fixture_memory_holds(inverted, TOKEN_BYTES)); /* the search does find */
        json_free(j);
        assert_gone(inverted, "json_free");
    }
}

static void a_replaced_or_removed_member_leaves_nothing_behind(void **state)
{
    unsigned char inverted[TOKEN_BYTES];
    struct json *j;

    (void)state;
    draw(inverted, 21);
    j = document(inverted, "");
    json_set(j, "accessToken", json_new_string("another"));
    json_set(j, "deep", NULL);
    assert_gone(inverted, "json_set");
    json_free(j);
    draw(inverted, 22);
    j = document(inverted, "");
    json_remove(j, "accessToken");
    json_remove(j, "deep");
    assert_gone(inverted, "json_remove");
    json_free(j);
}

static void a_text_that_is_refused_leaves_nothing_behind(void **state)
{
    static const char *const ends[] = {"}", ",", "]", ",\"a\":1,\"a\":2}", ",\"a\":1e999}", ",\"a\":\"\\q\"}"};

    (void)state;
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        unsigned char inverted[TOKEN_BYTES];
        struct secret token;
        struct buf text = {0};
        struct json *j = NULL;

        draw(inverted, 31 + i);
        token = fixture_inverted(inverted, TOKEN_BYTES);
        buf_printf(&text, "{\"t\":\"\\u0041%s\",\"n\":99999999999999999999%s", (const char *)secret_bytes(&token),
                   ends[i]);
        secret_free(&token);
        assert_int_equal(json_parse(buf_text(&text), text.len, &j, NULL), i == 0 ? ERR_OK : ERR_BAD_INPUT);
        json_free(j);
        buf_free(&text);
        assert_gone(inverted, ends[i]);
    }
}

static void a_copy_and_a_built_string_leave_nothing_behind(void **state)
{
    unsigned char inverted[TOKEN_BYTES];
    struct secret token;
    struct json *j, *copy, *list;

    (void)state;
    draw(inverted, 41);
    token = fixture_inverted(inverted, TOKEN_BYTES);
    list = json_array_new();
    json_push(list, json_new_string_len((const char *)secret_bytes(&token), token.len));
    json_push(NULL, json_new_string_len((const char *)secret_bytes(&token), token.len)); /* freed at once */
    secret_free(&token);
    j = document(inverted, "");
    copy = json_copy(j);
    json_free(j);
    json_free(copy);
    json_free(list);
    assert_gone(inverted, "a copy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_freed_document_leaves_nothing_behind),
        cmocka_unit_test(a_replaced_or_removed_member_leaves_nothing_behind),
        cmocka_unit_test(a_text_that_is_refused_leaves_nothing_behind),
        cmocka_unit_test(a_copy_and_a_built_string_leave_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
