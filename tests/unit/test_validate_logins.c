/* Tokens whose prefix does not say of which login they are: no host's "no token of mine" condemns alone. */
#include "service_fixture.h"

#define TOKEN_ODD "odd000000000000000000000000000004"
static const char instagram[] = "/graph.instagram.com/", facebook[] = "/graph.facebook.com/";
static const struct validate_options forced = {.fix = 1, .refresh = 1, .force = 1};

/* What each host says, whatever the token; HTTP status, then code and subcode of an error. */
struct said {
    int status, code, subcode;
};
#define TAKEN                                                                                                          \
    {                                                                                                                  \
        200, 0, 0                                                                                                      \
    }
#define UNREADABLE                                                                                                     \
    {                                                                                                                  \
        400, 190, 467                                                                                                  \
    }
#define EXPIRED                                                                                                        \
    {                                                                                                                  \
        400, 190, 463                                                                                                  \
    }
#define LIMITED                                                                                                        \
    {                                                                                                                  \
        400, 10, 0                                                                                                     \
    }
#define AWAY                                                                                                           \
    {                                                                                                                  \
        503, 0, 0                                                                                                      \
    }

static const struct row {
    const char *name, *token;
    struct said first, second;
    enum state state;
    enum reason reason, attempt;
    int calls;
    const char *login;
} rows[] = {
    {"taken by the first: the second is not asked", TOKEN_ODD, TAKEN, TAKEN, STATE_HEALTHY, REASON_OK, 0, 1, ""},
    {"unreadable to the first, taken by the second", TOKEN_ODD, UNREADABLE, TAKEN, STATE_HEALTHY, REASON_OK, 0, 2,
     "facebook"},
    {"unreadable to the first, accepted by the second", TOKEN_ODD, UNREADABLE, LIMITED, STATE_LIMITED,
     REASON_PERMISSION_MISSING, 0, 2, "facebook"},
    {"unreadable to both", TOKEN_ODD, UNREADABLE, UNREADABLE, STATE_BROKEN, REASON_INVALID_TOKEN, 0, 2, ""},
    {"unreadable to the first, known to the second", TOKEN_ODD, UNREADABLE, EXPIRED, STATE_BROKEN, REASON_EXPIRED, 0, 2,
     ""},
    {"unreadable to the first, no answer of the second", TOKEN_ODD, UNREADABLE, AWAY, STATE_UNKNOWN, REASON_NONE,
     REASON_TRANSIENT, 2, ""},
    {"known to the first: the second is not asked", TOKEN_ODD, EXPIRED, TAKEN, STATE_BROKEN, REASON_EXPIRED, 0, 1, ""},
    {"no answer of the first", TOKEN_ODD, AWAY, TAKEN, STATE_UNKNOWN, REASON_NONE, REASON_TRANSIENT, 1, ""},
    {"a prefix that names the first", TOKEN_ONE, UNREADABLE, TAKEN, STATE_BROKEN, REASON_INVALID_TOKEN, 0, 1, ""},
};

static void host_says(struct service_fixture *f, const char *host, const struct said *said)
{
    if (said->code)
        double_graph_error(&f->provider, host, said->code, said->subcode);
    else
        double_says(&f->provider, host, said->status, said->status == 200 ? "{\"user_id\":\"1784\",\"id\":\"9\"}" : "");
}

static void check_row(struct service_fixture *f, const struct row *row)
{
    int before = *f->provider.calls;
    char members[256];
    struct kept_result kept;

    host_says(f, instagram, &row->first);
    host_says(f, facebook, &row->second);
    snprintf(members, sizeof members, "{\"encryptedAccessToken\":{\"$seal\":\"%s\"}}", row->token);
    service_fixture_put(f, members);
    kept = service_fixture_validate(f, "a1", &forced);
    if (kept.result.verdict.state != row->state || kept.result.verdict.reason != row->reason ||
        kept.result.verdict.attempt_reason != row->attempt)
        fail_msg("%s: %s; %s, attempt %s", row->name, state_word(kept.result.verdict.state),
                 reason_word(kept.result.verdict.reason), reason_word(kept.result.verdict.attempt_reason));
    if (*f->provider.calls - before != row->calls)
        fail_msg("%s: %d calls, expected %d", row->name, *f->provider.calls - before, row->calls);
    if (strcmp(service_fixture_text(f, "a1", "tokenHealth.login"), row->login) != 0)
        fail_msg("%s: login \"%s\", expected \"%s\"", row->name, service_fixture_text(f, "a1", "tokenHealth.login"),
                 row->login);
}

static void of_several_logins_the_one_that_knows_the_token_decides(void **state)
{
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&f, &rows[i]);
    service_fixture_close(&f);
}

/* Says that it is about as many calls as expected, and what came of them. */
static void validate(struct service_fixture *f, const char *what, enum state state, int calls)
{
    int before = *f->provider.calls;
    struct kept_result kept = service_fixture_validate(f, "a1", &forced);

    if (kept.result.verdict.state != state || *f->provider.calls - before != calls)
        fail_msg("%s: %s after %d calls, expected %s after %d", what, state_word(kept.result.verdict.state),
                 *f->provider.calls - before, state_word(state), calls);
}

static void the_login_that_took_a_token_is_asked_first_the_next_time_and_no_more_than_that(void **state)
{
    static const struct said taken = TAKEN, unreadable = UNREADABLE, away = AWAY;
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    check_row(&f, &rows[1]);
    validate(&f, "the same token again", STATE_HEALTHY, 1);
    host_says(&f, facebook, &away);
    validate(&f, "its host is away", STATE_HEALTHY, 1);
    host_says(&f, facebook, &unreadable);
    validate(&f, "unreadable to both now", STATE_BROKEN, 2);
    host_says(&f, instagram, &taken);
    validate(&f, "taken by the other one", STATE_HEALTHY, 2);
    assert_string_equal(service_fixture_text(&f, "a1", "tokenHealth.login"), "");
    service_fixture_change(&f, "a1", "tokenHealth", "{\"login\":\"nobody\"}");
    validate(&f, "a login that there is not", STATE_HEALTHY, 1);
    service_fixture_close(&f);
}

static void where_two_forms_are_unreadable_each_is_asked_about_at_each_login(void **state)
{
    static const struct said unreadable = UNREADABLE;
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    host_says(&f, instagram, &unreadable);
    host_says(&f, facebook, &unreadable);
    service_fixture_put(&f, "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ODD "\"},\"accessToken\":\"" TOKEN_ODD
                            "too\"}");
    validate(&f, "two forms", STATE_BROKEN, 4);
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_several_logins_the_one_that_knows_the_token_decides),
        cmocka_unit_test(the_login_that_took_a_token_is_asked_first_the_next_time_and_no_more_than_that),
        cmocka_unit_test(where_two_forms_are_unreadable_each_is_asked_about_at_each_login),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
