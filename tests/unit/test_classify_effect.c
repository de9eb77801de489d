/* Of an answer that is no success: may what was asked have been done all the same? A refresh token is then perhaps used up. */
#include "provider_fixture.h"

static struct provider_set *shipped;

static int load(void **state)
{
    (void)state;
    shipped = fixture_shipped();
    return 0;
}

static int unload(void **state)
{
    (void)state;
    provider_set_free(shipped);
    return 0;
}

static void expect(const char *what, const struct http_answer *answer, int wanted)
{
    struct finding f;

    login_classify(fixture_login(shipped, "tiktok", "tiktok"), REQUEST_REFRESH, answer, &f);
    if (f.may_have_worked != wanted)
        fail_msg("%s (%s, %s): may have worked: got %d, expected %d", what, reason_word(f.reason), f.rule,
                 f.may_have_worked, wanted);
    finding_fini(&f);
}

static void an_answer_says_by_its_status_and_shape_whether_it_may_have_worked(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
    } rows[] = {
        {200, "{\"access_token\":\"act.new\",\"refresh_token\":\"rft.new\",\"expires_in\":60}",
         0}, /* it is a success */
        {200, "{\"access_token\":\"\",\"refresh_token\":\"\"}", 1},
        {200, "{\"access_token\":\"act.ne", 1},
        {200, "", 1},
        {200, "<html>One moment</html>", 1},
        {200, "{}", 1},
        {204, "", 1},
        {200, "{\"error\":\"invalid_grant\"}", 0},
        {200, "{\"error\":\"something_new\"}", 0},
        {200, "{\"error\":\"something_new\",\"access_token\":\"\",\"refresh_token\":\"\"}", 0},
        {200, "{\"error\":\"\",\"access_token\":\"act.new\",\"refresh_token\":\"rft.new\"}", 1},
        {302, "", 0},
        {400, "{\"error\":\"invalid_grant\"}", 0},
        {400, "{\"error\":\"something_new\"}", 0},
        {401, "{\"error\":\"invalid_client\"}", 0},
        {403, "<html>Forbidden</html>", 0},
        {404, "", 0},
        {429, "{\"error\":\"rate_limit_exceeded\"}", 0},
        {500, "{\"error\":\"server_error\"}", 1},
        {502, "<html>Bad Gateway</html>", 1},
        {503, "", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_answer answer = fixture_answer(rows[i].status, rows[i].body);
        char what[128];

        snprintf(what, sizeof what, "%d %s", rows[i].status, rows[i].body);
        expect(what, &answer, rows[i].wanted);
    }
}

static void without_an_answer_it_is_whether_the_request_was_sent(void **state)
{
    (void)state;
    for (int outcome = HTTP_ANSWERED + 1; outcome <= HTTP_NOT_ALLOWED; outcome++)
        for (int is_sent = 0; is_sent < 2; is_sent++) {
            struct http_answer answer = {.outcome = (enum http_outcome)outcome, .body = "", .is_sent = is_sent};

            expect(http_outcome_name(answer.outcome), &answer, is_sent);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_says_by_its_status_and_shape_whether_it_may_have_worked),
        cmocka_unit_test(without_an_answer_it_is_whether_the_request_was_sent),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
