/* Answers: every row of what Graph says, successes, refreshes, introspection. */
#include "base/json.h"
#include "graph_answers.h"

/* For findings that hold no token. */
static void expect(const struct login *l, enum request_kind kind, int status, const char *body, enum reason reason,
                   const char *rule)
{
    struct finding f = classify(l, kind, status, body);
    if (f.reason != reason || strcmp(f.rule, rule) != 0)
        fail_msg("%s %d %s\n  got %s by %s, expected %s by %s", request_kind_word(kind), status, body,
                 reason_word(f.reason), f.rule, reason_word(reason), rule);
    assert_true(secret_is_empty(&f.access_token));
    finding_fini(&f);
}

static void every_row_of_the_table(void **state)
{
    (void)state;
    for (int l = 0; l < GRAPH_LOGINS; l++) {
        for (int i = 0; i < ROWS; i++)
            expect(graph_login(l), REQUEST_VALIDATE, rows[i].status, rows[i].body, rows[i].reason, rows[i].rule);
    }
}

static void success_gives_who_the_owner_is(void **state)
{
    (void)state;
    static const struct {
        int login;
        const char *body, *account_id, *username;
    } cases[] = {
        {0, "{\"user_id\":\"17841400000000000\",\"username\":\"jane\",\"id\":\"99\"}", "17841400000000000", "jane"},
        {0, "{\"user_id\":17841400000000000,\"username\":\"jane\"}", "17841400000000000", "jane"},
        {0, "{\"data\":[{\"user_id\":\"17841\",\"username\":\"jane\"}]}", "17841", "jane"},
        {0, "{\"user_id\":\"1\",\"error\":null}", "1", ""},
        {0, "{\"user_id\":123456789012345678901234567890}", "", ""}, /* too long for an integer: unknown, not wrong */
        {0, "{\"user_id\":\"1\\u0001\"}", "", ""},
        {1, "{\"id\":\"42\",\"name\":\"Jane Doe\"}", "", ""}, /* the Facebook user is not the Instagram account */
        {2, "{\"id\":\"42\",\"name\":\"Jane Doe\"}", "42", "Jane Doe"},
        {2, "{\"id\":42,\"name\":\"J\\u00e4ne\"}", "42", "J\xC3\xA4ne"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct finding f = classify(graph_login(cases[i].login), REQUEST_VALIDATE, 200, cases[i].body);
        if (f.reason != REASON_OK) fail_msg("%s: %s by %s", cases[i].body, reason_word(f.reason), f.rule);
        assert_string_equal(f.rule, "success");
        assert_string_equal(f.account_id, cases[i].account_id);
        assert_string_equal(f.username, cases[i].username);
        assert_int_equal(f.http_status, 200);
        assert_int_equal(f.usage_percent, -1);
        finding_fini(&f);
    }
}

static void long_texts_are_cut_or_left_out(void **state)
{
    (void)state;
    char body[2048], long_name[LIMIT_NAME_BYTES + 64] = {0};
    for (size_t i = 0; i + 2 < sizeof long_name; i += 2) {
        long_name[i] = '\xC3';
        long_name[i + 1] = '\xA4';
    }
    snprintf(body, sizeof body, "{\"id\":\"%s\",\"name\":\"x%s\"}", long_name, long_name);
    struct finding f = classify(graph_login(2), REQUEST_VALIDATE, 200, body);
    assert_int_equal(f.reason, REASON_OK);
    assert_string_equal(f.account_id, "");
    assert_int_equal(strlen(f.username), LIMIT_NAME_BYTES - 1);
    snprintf(body, sizeof body, "{\"id\":\"1\",\"name\":\"%s\"}", long_name);
    finding_fini(&f);
    f = classify(graph_login(2), REQUEST_VALIDATE, 200, body);
    assert_int_equal(strlen(f.username), LIMIT_NAME_BYTES - 2);
    finding_fini(&f);
}

static void code_subcode_and_message_are_reported(void **state)
{
    (void)state;
    struct finding f = classify(graph_login(0), REQUEST_VALIDATE, 401,
                                ERROR("Session has expired", "\"code\":190,\"error_subcode\":\"463\""));
    assert_int_equal(f.http_status, 401);
    assert_int_equal(f.code, 190);
    assert_int_equal(f.subcode, 463);
    assert_string_equal(f.message, "Session has expired");
    finding_fini(&f);
    f = classify(graph_login(0), REQUEST_VALIDATE, 401, "{\"error\":{\"code\":\"denied\",\"message\":7}}");
    assert_int_equal(f.code, 0);
    assert_string_equal(f.message, "");
    finding_fini(&f);
    finding_fini(NULL);
}

/* ---- refresh and exchange */

static void new_tokens_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t expires_in_s;
    } cases[] = {
        {"{\"access_token\":\"IGAAnew\",\"token_type\":\"bearer\",\"expires_in\":5183944}", 5183944},
        {"{\"access_token\":\"IGAAnew\",\"expires_in\":\"5183944\"}", 5183944},
        {"{\"access_token\":\"IGAAnew\"}", 0},
        {"{\"access_token\":\"IGAAnew\",\"expires_in\":0}", 0},
        {"{\"access_token\":\"IGAAnew\",\"expires_in\":-5}", 0},
        {"{\"access_token\":\"IGAAnew\",\"expires_in\":9223372036854775807}", 0},
        {"{\"access_token\":\"IGAAnew\",\"expires_in\":1e300}", 0},
    };
    for (int l = 0; l < GRAPH_LOGINS; l++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            for (int kind = REQUEST_REFRESH; kind <= REQUEST_EXCHANGE; kind++) {
                struct finding f = classify(graph_login(l), (enum request_kind)kind, 200, cases[i].body);
                assert_int_equal(f.reason, REASON_OK);
                assert_string_equal((const char *)secret_bytes(&f.access_token), "IGAAnew");
                assert_true(secret_is_empty(&f.refresh_token));
                assert_int_equal(f.expires_in_s, cases[i].expires_in_s);
                finding_fini(&f);
            }
        }
    }
}

static void blank_or_unusable_token_is_no_success(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"access_token\":\"\",\"expires_in\":5183944}",
        "{\"access_token\":\"   \",\"expires_in\":5183944}",
        "{\"access_token\":null,\"expires_in\":5183944}",
        "{\"access_token\":123,\"expires_in\":5183944}",
        "{\"access_token\":[\"IGAA\"],\"expires_in\":5183944}",
        "{\"access_token\":\"IGAA\\r\\nX: y\"}",
        "{\"access_token\":\"IGAA\\u00e4\"}",
        "{\"access_token\":\"IGAA new\"}",
        "{\"access_token\":\"IGAAnew \"}",
        "{\"access_token\":\"[object\"}",
        "{\"access_token\":\"{}\"}",
        "{\"expires_in\":5183944}",
        "{}",
        "[]",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        expect(graph_login(0), REQUEST_REFRESH, 200, bodies[i], REASON_BAD_RESPONSE, "success_incomplete");

    struct buf body = {0};
    buf_printf(&body, "{\"access_token\":\"%0*d\"}", LIMIT_TOKEN_BYTES + 1, 7);
    expect(graph_login(0), REQUEST_REFRESH, 200, buf_text(&body), REASON_BAD_RESPONSE, "success_incomplete");
    buf_free(&body);
}

/* 100 and 803 say that the request was wrong: when refreshing, that is no refresh. */
static void refused_refresh_is_never_ok(void **state)
{
    (void)state;
    for (int kind = REQUEST_REFRESH; kind <= REQUEST_EXCHANGE; kind++) {
        enum request_kind k = (enum request_kind)kind;
        expect(graph_login(0), k, 400, CODE(100), REASON_BAD_RESPONSE, "no_rule");
        expect(graph_login(2), k, 400, CODE(803), REASON_BAD_RESPONSE, "no_rule");
        expect(graph_login(2), k, 400, SUB(190, 463), REASON_EXPIRED, "token_expired");
        expect(graph_login(2), k, 400, ERROR("Error validating client secret.", "\"code\":1"), REASON_APP_MISCONFIGURED,
               "client_secret_wrong");
        expect(graph_login(0), k, 400, ERROR("Error validating client secret.", "\"code\":100"),
               REASON_APP_MISCONFIGURED, "client_secret_wrong");
        expect(graph_login(0), k, 403, CODE(10), REASON_PERMISSION_MISSING, "permission_not_granted");
        for (int i = 0; i < ROWS; i++) {
            struct finding f = classify(graph_login(1), k, rows[i].status, rows[i].body);
            assert_int_not_equal(f.reason, REASON_OK);
            finding_fini(&f);
        }
    }
}

static void rotating_platform_with_text_codes(void **state)
{
    (void)state;
    struct provider_set *set = fixture_load_text(fixture_rotating);
    const struct login *l = fixture_login(set, "clip", "clip");
    struct finding f = classify(l, REQUEST_REFRESH, 201,
                                "{\"access_token\":\"act.2\",\"refresh_token\":\"rft.2\",\"expires_in\":86400}");
    assert_int_equal(f.reason, REASON_OK);
    assert_string_equal((const char *)secret_bytes(&f.access_token), "act.2");
    assert_string_equal((const char *)secret_bytes(&f.refresh_token), "rft.2");
    finding_fini(&f);
    f = classify(l, REQUEST_REFRESH, 200, "{\"access_token\":\"act.2\",\"refresh_token\":\"\"}");
    assert_int_equal(f.reason, REASON_OK);
    assert_true(secret_is_empty(&f.refresh_token));
    finding_fini(&f);

    f = classify(l, REQUEST_VALIDATE, 200,
                 "{\"data\":{\"user\":{\"open_id\":\"o1\"}},\"error\":{\"code\":\"ok\",\"message\":\"\"}}");
    assert_int_equal(f.reason, REASON_OK);
    assert_string_equal(f.account_id, "o1");
    finding_fini(&f);
    expect(l, REQUEST_VALIDATE, 401, "{\"error\":{\"code\":\"access_token_invalid\"}}", REASON_EXPIRED,
           "token_refused");
    expect(l, REQUEST_VALIDATE, 400, "{\"error\":{\"code\":\"access_token_invalid\"}}", REASON_BAD_RESPONSE, "no_rule");
    expect(l, REQUEST_REFRESH, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}", REASON_REVOKED,
           "grant_dead");
    expect(l, REQUEST_VALIDATE, 400, "{\"error\":\"invalid_grant\"}", REASON_BAD_RESPONSE, "no_rule");
    expect(l, REQUEST_REFRESH, 401, "{\"error\":\"invalid_client\"}", REASON_APP_MISCONFIGURED, "client");
    expect(l, REQUEST_VALIDATE, 400, "{\"error\":\"both\"}", REASON_BLOCKED, "clip_own");
    provider_set_free(set);
}

/* ---- introspection */

static void introspection_of_a_good_token(void **state)
{
    (void)state;
    struct finding f =
        classify(graph_login(2), REQUEST_INTROSPECT, 200,
                 "{\"data\":{\"app_id\":\"1\",\"type\":\"USER\",\"expires_at\":1790000000,\"is_valid\":true,"
                 "\"scopes\":[\"public_profile\"],\"user_id\":\"42\"}}");
    assert_int_equal(f.reason, REASON_OK);
    assert_int_equal(f.expires_at_s, 1790000000);
    assert_string_equal(f.account_id, "42");
    finding_fini(&f);
    /* A page token: its owner is the page, as /me says, too. */
    f = classify(graph_login(2), REQUEST_INTROSPECT, 200,
                 "{\"data\":{\"type\":\"PAGE\",\"expires_at\":0,\"is_valid\":true,\"user_id\":42,\"profile_id\":77}}");
    assert_int_equal(f.reason, REASON_OK);
    assert_int_equal(f.expires_at_s, 0);
    assert_string_equal(f.account_id, "77");
    finding_fini(&f);
    f = classify(graph_login(1), REQUEST_INTROSPECT, 200,
                 "{\"data\":{\"is_valid\":true,\"expires_at\":99999999999999,\"user_id\":42}}");
    assert_int_equal(f.reason, REASON_OK);
    assert_int_equal(f.expires_at_s, 0);
    assert_string_equal(f.account_id, "");
    finding_fini(&f);
}

#define DEBUG(is_valid, error)                                                                                         \
    "{\"data\":{\"app_id\":\"1\",\"is_valid\":" is_valid ",\"error\":{" error "},\"scopes\":[]}}"

static const struct row introspections[] = {
    {200, DEBUG("false", "\"code\":190,\"subcode\":463,\"message\":\"Session has expired\""), REASON_EXPIRED,
     "token_expired"},
    {200, DEBUG("false", "\"code\":190,\"subcode\":460,\"message\":\"x\""), REASON_PASSWORD_CHANGED,
     "password_changed"},
    {200, DEBUG("false", "\"code\":190,\"message\":\"The user has not authorized application 1.\""), REASON_REVOKED,
     "text_not_authorized"},
    {200, DEBUG("false", "\"code\":190,\"message\":\"Malformed access token\""), REASON_INVALID_TOKEN,
     "text_unreadable"},
    {200, DEBUG("false", "\"code\":190,\"message\":\"never seen\""), REASON_BAD_RESPONSE, "no_rule"},
    {200, DEBUG("false", "\"code\":100,\"message\":\"x\""), REASON_BAD_RESPONSE, "no_rule"},
    {200, DEBUG("true", "\"code\":190,\"subcode\":463"), REASON_BAD_RESPONSE, "introspection_undecided"},
    {200, DEBUG("null", "\"code\":190,\"subcode\":463"), REASON_BAD_RESPONSE, "introspection_undecided"},
    {200, DEBUG("\"false\"", "\"code\":190,\"subcode\":463"), REASON_BAD_RESPONSE, "introspection_undecided"},
    {200, "{\"data\":{\"is_valid\":false}}", REASON_BAD_RESPONSE, "success_incomplete"},
    {200, "{\"data\":{}}", REASON_BAD_RESPONSE, "introspection_undecided"},
    {200, "{\"data\":[]}", REASON_BAD_RESPONSE, "introspection_undecided"},
    {400, SUB(190, 463), REASON_APP_MISCONFIGURED, "introspection_caller"},
    {400, TEXT("Invalid OAuth access token - Cannot parse access token"), REASON_APP_MISCONFIGURED,
     "introspection_caller"},
    {400, CODE(100), REASON_APP_MISCONFIGURED, "introspection_caller"},
    {400, CODE(101), REASON_APP_MISCONFIGURED, "introspection_caller"},
    {400, CODE(7777), REASON_BAD_RESPONSE, "introspection_refused"},
    {400, CODE(102), REASON_APP_MISCONFIGURED, "introspection_caller"},
    {400, CODE(4), REASON_RATE_LIMITED, "rate_limit_app"},
    {400, CODE(2), REASON_TRANSIENT, "service_trouble"},
    {400, ERROR("x", "\"code\":190,\"is_transient\":true"), REASON_TRANSIENT, "said_transient"},
    {200, "{\"error\":{\"code\":190},\"data\":{\"is_valid\":false,\"error\":{\"code\":190,\"subcode\":463}}}",
     REASON_APP_MISCONFIGURED, "introspection_caller"},
    {200, "{\"error\":\"?\",\"data\":{\"is_valid\":true,\"user_id\":\"1\"}}", REASON_BAD_RESPONSE,
     "introspection_refused"},
    {200, "<html>", REASON_BAD_RESPONSE, "not_json"},
    {429, "{\"error\":{\"message\":\"Too many requests\"}}", REASON_RATE_LIMITED, "status_429"},
    {503, "{\"error\":{\"message\":\"Try later\"}}", REASON_TRANSIENT, "status_5xx"},
};

static void introspection_judges_the_token_by_data_error_only(void **state)
{
    (void)state;
    for (int l = 1; l < 3; l++) { /* those of graph.facebook.com */
        for (size_t i = 0; i < sizeof introspections / sizeof *introspections; i++)
            expect(graph_login(l), REQUEST_INTROSPECT, introspections[i].status, introspections[i].body,
                   introspections[i].reason, introspections[i].rule);
    }
}

static void top_level_error_of_introspection_never_condemns(void **state)
{
    (void)state;
    for (int l = 0; l < GRAPH_LOGINS; l++) {
        if (!login_has_request(graph_login(l), REQUEST_INTROSPECT)) continue;
        for (int i = 0; i < ROWS; i++) {
            struct finding f = classify(graph_login(l), REQUEST_INTROSPECT, rows[i].status, rows[i].body);
            if (reason_class(f.reason) != CLASS_INCONCLUSIVE)
                fail_msg("%s: %s by %s", rows[i].body, reason_word(f.reason), f.rule);
            finding_fini(&f);
        }
    }
}

/* ---- the files */

static void mark(const struct json *rules, char *fired, const struct login *l, enum request_kind kind,
                 const struct row *row)
{
    struct finding f = classify(l, kind, row->status, row->body);
    for (size_t i = 0; i < json_count(rules); i++) {
        if (!strcmp(json_string(json_get(json_at(rules, i), "name")), f.rule)) fired[i] = 1;
    }
    finding_fini(&f);
}

/* A rule that no recorded answer comes to is a guess, or lies behind one that takes all its answers. */
static void every_rule_of_the_graph_files_is_reached(void **state)
{
    (void)state;
    for (int l = 0; l < GRAPH_LOGINS; l++) {
        char path[128], fired[LIMIT_PROVIDER_RULES] = {0};
        struct buf text = {0};
        struct json *file = NULL;
        snprintf(path, sizeof path, PROVIDER_DIR "/%s.json", graph_logins[l][0]);
        fixture_read(path, &text);
        assert_int_equal(json_parse(buf_text(&text), text.len, &file, NULL), ERR_OK);
        const struct json *rules = json_member(file, "rules");
        /* Instagram Login has no introspection, but its file has another login that has. */
        for (int other = 0; other < GRAPH_LOGINS; other++) {
            if (strcmp(graph_logins[other][0], graph_logins[l][0]) != 0) continue;
            const struct login *login = graph_login(other);
            for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++) {
                if (!login_has_request(login, (enum request_kind)kind)) continue;
                for (int i = 0; i < ROWS; i++)
                    mark(rules, fired, login, (enum request_kind)kind, &rows[i]);
                for (size_t i = 0; i < sizeof introspections / sizeof *introspections; i++)
                    mark(rules, fired, login, (enum request_kind)kind, &introspections[i]);
                static const struct row secret = {400, ERROR("Error validating client secret.", "\"code\":1"),
                                                  REASON_NONE, ""};
                mark(rules, fired, login, (enum request_kind)kind, &secret);
            }
        }
        for (size_t i = 0; i < json_count(rules); i++) {
            if (!fired[i])
                fail_msg("%s: no answer comes to rule \"%s\"", path, json_string(json_get(json_at(rules, i), "name")));
        }
        json_free(file);
        buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table),
        cmocka_unit_test(success_gives_who_the_owner_is),
        cmocka_unit_test(long_texts_are_cut_or_left_out),
        cmocka_unit_test(code_subcode_and_message_are_reported),
        cmocka_unit_test(new_tokens_are_taken),
        cmocka_unit_test(blank_or_unusable_token_is_no_success),
        cmocka_unit_test(refused_refresh_is_never_ok),
        cmocka_unit_test(rotating_platform_with_text_codes),
        cmocka_unit_test(introspection_of_a_good_token),
        cmocka_unit_test(introspection_judges_the_token_by_data_error_only),
        cmocka_unit_test(top_level_error_of_introspection_never_condemns),
        cmocka_unit_test(every_rule_of_the_graph_files_is_reached),
    };
    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
