/* No token gets out through a message. */
#include "base/json.h"
#include "graph_answers.h"

static void messages_are_scrubbed(void **state)
{
    (void)state;
    static const struct {
        const char *said, *shown;
    } cases[] = {
        {"Malformed access token EAABsbCS1iHgBAMxyz0123456789", "Malformed access token …"},
        {"Malformed access token EAABx", "Malformed access token …"},
        {"Token IGAAx, sorry", "Token …, sorry"},
        {"token=EAABx", "…"},
        {"(IGQx)", "(…)"},
        {"EAA is a prefix", "EAA is a prefix"},
        {"MEAAN words stay", "MEAAN words stay"},
        {"1234567890123456789", "1234567890123456789"},
        {"12345678901234567890", "…"},
        {"a_b.c|d%20e-f+g/h=i~j", "…"},
        {"1234|abcdefghijklmnopqrstuvwxyz", "…"},
        {"abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz", "… …"},
        {"line\\r\\nbreak\\u0007\\u001b[31m", "line break [31m"},
        {"\\u0085\\u009bC1", "C1"},
        {"a\\u007fb", "a b"},
        {"Gr\\u00fc\\u00dfe", "Grüße"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512];
        snprintf(body, sizeof body, "{\"error\":{\"code\":7,\"message\":\"%s\"}}", cases[i].said);
        struct finding f = classify(graph_login(0), REQUEST_VALIDATE, 400, body);
        assert_string_equal(f.message, cases[i].shown);
        finding_fini(&f);
    }
}

static void long_message_is_cut_at_a_character(void **state)
{
    (void)state;
    for (size_t pad = 240; pad <= 260; pad++) {
        struct buf body = {0};
        buf_puts(&body, "{\"error\":{\"code\":7,\"message\":\"");
        for (size_t i = 0; i < pad; i++)
            buf_puts(&body, i % 10 == 9 ? " " : "w");
        buf_puts(&body, "\xE2\x82\xAC\xE2\x82\xAC EAABsecretsecretsecretsecret\"}}");
        struct finding f = classify(graph_login(0), REQUEST_VALIDATE, 400, buf_text(&body));
        buf_free(&body);
        size_t len = strlen(f.message);
        assert_true(len < sizeof f.message);
        assert_null(strstr(f.message, "EAAB"));
        struct json *text = json_new_string(f.message); /* replaces what is not UTF-8 */
        assert_string_equal(json_string(text), f.message);
        json_free(text);
        finding_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_scrubbed),
        cmocka_unit_test(long_message_is_cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
