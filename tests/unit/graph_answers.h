/* Graph answers with what they mean, and the logins they come to: shared by the tests of classify, usage and scrub. */
#ifndef TH_GRAPH_ANSWERS_H
#define TH_GRAPH_ANSWERS_H
#include "provider_fixture.h"

static struct provider_set *shipped;

__attribute__((unused)) static int load_shipped(void **state)
{
    (void)state;
    shipped = fixture_shipped();
    return 0;
}

__attribute__((unused)) static int free_shipped(void **state)
{
    (void)state;
    provider_set_free(shipped);
    return 0;
}

/* The logins that speak Graph. */
static const char *const graph_logins[][2] = {
    {"instagram", "instagram"}, {"instagram", "facebook"}, {"facebook", "facebook"}, {"threads", "threads"}};
enum { GRAPH_LOGINS = 4 };

__attribute__((unused)) static const struct login *graph_login(int i)
{
    return fixture_login(shipped, graph_logins[i][0], graph_logins[i][1]);
}

__attribute__((unused)) static struct finding classify(const struct login *l, enum request_kind kind, int status,
                                                       const char *body)
{
    struct http_answer answer = fixture_answer(status, body);
    struct finding f;
    login_classify(l, kind, &answer, &f);
    return f;
}

#define ERROR(message, rest)                                                                                           \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"OAuthException\"," rest ",\"fbtrace_id\":\"AbCdEf\"}}"
#define CODE(code)     ERROR("Some text", "\"code\":" #code)
#define SUB(code, sub) ERROR("Some text", "\"code\":" #code ",\"error_subcode\":" #sub)
#define TEXT(message)  ERROR(message, "\"code\":190")

struct row {
    int status;
    const char *body;
    enum reason reason;
    const char *rule;
};
/* PROVIDERS, "What an answer means", in its order. */
__attribute__((unused)) static const struct row rows[] = {
    {400, SUB(190, 458), REASON_REVOKED, "user_removed_app"},
    {400, SUB(102, 458), REASON_REVOKED, "user_removed_app"},
    {400, SUB(190, 459), REASON_CHECKPOINT, "user_must_confirm"},
    {400, SUB(102, 459), REASON_CHECKPOINT, "user_must_confirm"},
    {400, SUB(190, 464), REASON_CHECKPOINT, "user_must_confirm"},
    {400, SUB(102, 464), REASON_CHECKPOINT, "user_must_confirm"},
    {400, SUB(190, 460), REASON_PASSWORD_CHANGED, "password_changed"},
    {401, SUB(102, 460), REASON_PASSWORD_CHANGED, "password_changed"},
    {400, SUB(190, 463), REASON_EXPIRED, "token_expired"},
    {401, SUB(102, 463), REASON_EXPIRED, "token_expired"},
    {400, SUB(190, 467), REASON_INVALID_TOKEN, "token_invalid"},
    {400, CODE(102), REASON_INVALID_TOKEN, "session_invalid"},
    {400, SUB(190, 492), REASON_PERMISSION_MISSING, "page_role_lost"},
    {400, TEXT("Error validating access token: Session has expired on Monday, 05-Jan-26 10:00:00 PST."), REASON_EXPIRED,
     "text_expired"},
    {400,
     TEXT("The session has been invalidated because the user changed their password or Facebook has changed the "
          "session."),
     REASON_PASSWORD_CHANGED, "text_password_changed"},
    {400, TEXT("Error validating access token: The user has not authorized application 123."), REASON_REVOKED,
     "text_not_authorized"},
    {400, TEXT("You cannot access the app till you log in to www.facebook.com and follow the instructions given."),
     REASON_CHECKPOINT, "text_checkpoint"},
    {400, TEXT("The user is enrolled in a blocking, logged-in CHECKPOINT"), REASON_CHECKPOINT, "text_checkpoint"},
    {400, TEXT("Invalid OAuth access token - Cannot parse access token"), REASON_INVALID_TOKEN, "text_unreadable"},
    {400, TEXT("Malformed access token EAABsbCS1iHgBA"), REASON_INVALID_TOKEN, "text_unreadable"},
    {400, TEXT("The access token could not be decrypted"), REASON_INVALID_TOKEN, "text_unreadable"},
    {400, CODE(3), REASON_PERMISSION_MISSING, "permission_not_granted"},
    {403, CODE(10), REASON_PERMISSION_MISSING, "permission_not_granted"},
    {403, CODE(200), REASON_PERMISSION_MISSING, "permission_not_granted"},
    {403, CODE(294), REASON_PERMISSION_MISSING, "permission_not_granted"},
    {403, CODE(299), REASON_PERMISSION_MISSING, "permission_not_granted"},
    {400, SUB(100, 33), REASON_PERMISSION_MISSING, "object_missing"},
    {400, ERROR("API calls from the server require an appsecret_proof argument", "\"code\":100"),
     REASON_APP_MISCONFIGURED, "appsecret_proof"},
    {400, ERROR("Invalid appsecret_proof provided in the API argument", "\"code\":100"), REASON_APP_MISCONFIGURED,
     "appsecret_proof"},
    {400, CODE(101), REASON_APP_MISCONFIGURED, "app_settings"},
    {400, CODE(104), REASON_APP_MISCONFIGURED, "app_settings"},
    {400, CODE(2500), REASON_APP_MISCONFIGURED, "no_token_sent"},
    {500, CODE(1), REASON_TRANSIENT, "service_trouble"},
    {503, CODE(2), REASON_TRANSIENT, "service_trouble"},
    {400, CODE(2), REASON_TRANSIENT, "service_trouble"},
    {400, CODE(4), REASON_RATE_LIMITED, "rate_limit_app"},
    {403, CODE(4), REASON_RATE_LIMITED, "rate_limit_app"},
    {400, CODE(17), REASON_RATE_LIMITED, "rate_limit"},
    {403, CODE(32), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(341), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(613), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80000), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80001), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80002), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80003), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80004), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80005), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80006), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80008), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80009), REASON_RATE_LIMITED, "rate_limit"},
    {400, CODE(80014), REASON_RATE_LIMITED, "rate_limit"},
    {403, CODE(368), REASON_BLOCKED, "action_blocked"},
    {400, CODE(803), REASON_OK, "request_wrong"},
    {400, CODE(100), REASON_OK, "request_wrong"},
    {400, SUB(100, 2018218), REASON_OK, "request_wrong"},

    /* Codes as text, and what stands beside them. */
    {400, ERROR("x", "\"code\":\"190\",\"error_subcode\":\"463\""), REASON_EXPIRED, "token_expired"},
    {400, ERROR("x", "\"code\":190.0,\"error_subcode\":463.0"), REASON_EXPIRED, "token_expired"},
    {400, ERROR("has expired", "\"code\":190,\"error_subcode\":null"), REASON_EXPIRED, "text_expired"},
    {400, ERROR("has expired", "\"code\":190,\"error_subcode\":0"), REASON_EXPIRED, "text_expired"},
    {200, SUB(190, 463), REASON_EXPIRED, "token_expired"},
    {400, "{\"error\":{\"code\":190,\"error_subcode\":460}}", REASON_PASSWORD_CHANGED, "password_changed"},
    {200, "{\"user_id\":\"1\",\"id\":\"1\",\"error\":{\"code\":190,\"error_subcode\":460}}", REASON_PASSWORD_CHANGED,
     "password_changed"},

    /* Order: rate limit → transient → subcode → code → text → status. */
    {400, ERROR("x", "\"code\":4,\"is_transient\":true"), REASON_RATE_LIMITED, "rate_limit_app"},
    {400, ERROR("x", "\"code\":17,\"error_subcode\":463"), REASON_RATE_LIMITED, "rate_limit"},
    {400, ERROR("x", "\"code\":190,\"error_subcode\":463,\"is_transient\":true"), REASON_TRANSIENT, "said_transient"},
    {400, ERROR("x", "\"code\":190,\"error_subcode\":463,\"is_transient\":false"), REASON_EXPIRED, "token_expired"},
    {400, ERROR("Session has expired", "\"code\":190,\"error_subcode\":460"), REASON_PASSWORD_CHANGED,
     "password_changed"},
    {400, ERROR("Session has expired", "\"code\":102"), REASON_INVALID_TOKEN, "session_invalid"},
    {400, ERROR("Session has expired", "\"code\":2"), REASON_TRANSIENT, "service_trouble"},
    {400, ERROR("Session has expired", "\"code\":10"), REASON_PERMISSION_MISSING, "permission_not_granted"},

    /* Nobody has seen these: they decide nothing. */
    {400, TEXT("Something that nobody has seen before"), REASON_BAD_RESPONSE, "no_rule"},
    {401, "{\"error\":{\"code\":190}}", REASON_BAD_RESPONSE, "no_rule"},
    {400, ERROR("Session has expired", "\"code\":190,\"error_subcode\":999"), REASON_BAD_RESPONSE, "no_rule"},
    {400, SUB(102, 467), REASON_BAD_RESPONSE, "no_rule"},
    {400, CODE(7777), REASON_BAD_RESPONSE, "no_rule"},
    {400, CODE(300), REASON_BAD_RESPONSE, "no_rule"},
    {400, CODE(80007), REASON_BAD_RESPONSE, "no_rule"},
    {400, CODE(-190), REASON_BAD_RESPONSE, "no_rule"},
    {400, ERROR("x", "\"code\":\"0190\",\"error_subcode\":463"), REASON_BAD_RESPONSE, "no_rule"},
    {400, ERROR("x", "\"code\":\" 190\",\"error_subcode\":463"), REASON_BAD_RESPONSE, "no_rule"},
    {400, ERROR("x", "\"code\":190.5,\"error_subcode\":463"), REASON_BAD_RESPONSE, "no_rule"},
    {400, ERROR("x", "\"code\":[190],\"error_subcode\":463"), REASON_BAD_RESPONSE, "no_rule"},
    {400, ERROR("x", "\"code\":true,\"error_subcode\":463"), REASON_BAD_RESPONSE, "no_rule"},
    {401, "{\"error\":\"invalid_token\"}", REASON_BAD_RESPONSE, "no_rule"},
    {403, "{\"message\":\"Session has expired\",\"code\":190}", REASON_BAD_RESPONSE, "no_rule"},
    {401, "{}", REASON_BAD_RESPONSE, "no_rule"},
    {403, "[]", REASON_BAD_RESPONSE, "no_rule"},
    {404, "null", REASON_BAD_RESPONSE, "no_rule"},
    {200, "{\"error\":{\"message\":\"new\"}}", REASON_BAD_RESPONSE, "no_rule"},
    {200, "{}", REASON_BAD_RESPONSE, "success_incomplete"},
    {200, "{\"user_id\":null,\"id\":null}", REASON_BAD_RESPONSE, "success_incomplete"},
    {200, "{\"user_id\":\"  \",\"id\":\"\"}", REASON_BAD_RESPONSE, "success_incomplete"},
    {200, "{\"user_id\":{},\"id\":[]}", REASON_BAD_RESPONSE, "success_incomplete"},
    {204, "{\"user_id\":\"1\",\"id\":\"1\"}", REASON_BAD_RESPONSE, "success_incomplete"},
    {401, "<html><body>Session has expired</body></html>", REASON_BAD_RESPONSE, "not_json"},
    {200, "<!DOCTYPE html><title>Log in to Facebook</title>", REASON_BAD_RESPONSE, "not_json"},
    {400, "", REASON_BAD_RESPONSE, "not_json"},
    {200, "", REASON_BAD_RESPONSE, "not_json"},
    {400, "{\"error\":{\"code\":190,\"error_subcode\":463}", REASON_BAD_RESPONSE, "not_json"},
    {400, "{\"error\":{\"code\":190,\"code\":190,\"error_subcode\":463}}", REASON_BAD_RESPONSE, "not_json"},
    {400, SUB(190, 463) "trailing", REASON_BAD_RESPONSE, "not_json"},

    /* Under an outage nothing that is said of a token counts, neither against it nor for it. */
    {500, "", REASON_TRANSIENT, "status_5xx"},
    {502, "<html>Bad Gateway</html>", REASON_TRANSIENT, "status_5xx"},
    {503, "{}", REASON_TRANSIENT, "status_5xx"},
    {500, SUB(190, 463), REASON_TRANSIENT, "status_5xx"},
    {500, CODE(100), REASON_TRANSIENT, "status_5xx"},
    {500, CODE(4), REASON_RATE_LIMITED, "rate_limit_app"},
    {500, CODE(101), REASON_APP_MISCONFIGURED, "app_settings"},
    {429, "", REASON_RATE_LIMITED, "status_429"},
    {429, "slow down", REASON_RATE_LIMITED, "status_429"},
    {429, SUB(190, 463), REASON_RATE_LIMITED, "status_429"},
    {429, CODE(2), REASON_TRANSIENT, "service_trouble"},
    {302, SUB(190, 463), REASON_BAD_RESPONSE, "status_other"},
    {0, SUB(190, 463), REASON_BAD_RESPONSE, "status_other"},
};
enum { ROWS = sizeof rows / sizeof *rows };

#endif
