/* Answers that are none, and damaged ones: they never condemn. */
#include "base/json.h"
#include "graph_answers.h"

static void network_trouble_decides_nothing(void **state)
{
    (void)state;
    static const struct {
        enum http_outcome outcome;
        enum reason reason;
    } troubles[] = {
        {HTTP_REFUSED, REASON_TRANSIENT},     {HTTP_DNS_FAILED, REASON_TRANSIENT}, {HTTP_TIMED_OUT, REASON_TIMEOUT},
        {HTTP_TLS_FAILED, REASON_TRANSIENT},  {HTTP_BROKEN, REASON_TRANSIENT},     {HTTP_TOO_LARGE, REASON_TRANSIENT},
        {HTTP_NOT_ALLOWED, REASON_TRANSIENT},
    };
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++) {
        for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++) {
            /* Half an answer may have come before the trouble: it does not count. */
            struct http_answer answer = fixture_answer(400, SUB(190, 463));
            struct finding f;
            answer.outcome = troubles[i].outcome;
            login_classify(graph_login(0), (enum request_kind)kind, &answer, &f);
            assert_int_equal(f.reason, troubles[i].reason);
            assert_string_equal(f.rule, "network");
            assert_int_equal(f.http_status, 0);
            assert_int_equal(f.usage_percent, -1);
            assert_int_equal(reason_class(f.reason), CLASS_INCONCLUSIVE);
            finding_fini(&f);
        }
    }
}

/* The only texts that may follow a definitive reason: they parse, and hold an error object with code 190 or 102. */
static int is_condemning(const char *body)
{
    struct json *root = NULL;
    int64_t code = 0;
    if (json_parse(body, strlen(body), &root, NULL) != ERR_OK) return 0;
    const struct json *value = json_get(root, "error.code");
    if (!json_int(value, &code)) {
        double d = 0;
        if (json_double(value, &d))
            code = (int64_t)d;
        else if (json_string(value))
            code = atoll(json_string(value));
    }
    json_free(root);
    return code == 190 || code == 102;
}

/* The other four troubles: HTML, an empty body, truncated JSON, a server's error. Truncated at every byte, no recorded
 * answer condemns. */
static void truncated_answers_never_condemn(void **state)
{
    (void)state;
    for (int l = 0; l < GRAPH_LOGINS; l++) {
        for (int i = 0; i < ROWS; i++) {
            char *body = strdup(rows[i].body);
            for (size_t len = strlen(body); len-- > 0;) {
                body[len] = '\0';
                struct http_answer answer = fixture_answer(rows[i].status, body);
                struct finding f;
                login_classify(graph_login(l), REQUEST_VALIDATE, &answer, &f);
                if (reason_class(f.reason) != CLASS_INCONCLUSIVE && !is_condemning(body))
                    fail_msg("%s: %s by %s", body, reason_word(f.reason), f.rule);
                finding_fini(&f);
            }
            free(body);
        }
    }
}

static void mutate(char *body, unsigned *seed)
{
    size_t len = strlen(body);
    for (int n = rand_r(seed) % 4; n >= 0 && len; n--) {
        size_t at = (size_t)rand_r(seed) % len;
        switch (rand_r(seed) % 4) {
        case 0:
            body[at] = "0123456789\"{}[]:,. eE-\\u"[rand_r(seed) % 24];
            break;
        case 1:
            body[at] = (char)(1 + rand_r(seed) % 255);
            break;
        case 2:
            memmove(body + at, body + at + 1, len - at);
            len--;
            break;
        default:
            body[at] ^= (char)(1 << rand_r(seed) % 7);
            if (!body[at]) body[at] = ' ';
        }
    }
}

static void mutated_answers_condemn_only_as_error_objects(void **state)
{
    (void)state;
    static const int statuses[] = {200, 400, 401, 403, 404, 429, 500, 503, 302};
    unsigned seed = 20260102;
    for (int i = 0; i < 100000; i++) {
        char body[512] = {0};
        int random = i % 10 == 0;
        if (random) {
            for (size_t at = 0, len = (size_t)rand_r(&seed) % 200; at < len; at++)
                body[at] = (char)(1 + rand_r(&seed) % 255);
        } else {
            snprintf(body, sizeof body, "%s", rows[rand_r(&seed) % ROWS].body);
            mutate(body, &seed);
        }
        int status = statuses[rand_r(&seed) % 9];
        struct http_answer answer = fixture_answer(status, body);
        struct finding f;
        login_classify(graph_login(i % GRAPH_LOGINS), (enum request_kind)(rand_r(&seed) % REQUEST_KIND_COUNT), &answer,
                       &f);
        if (reason_class(f.reason) == CLASS_DEFINITIVE) {
            if (random || !is_condemning(body) || status == 429 || status >= 500 || status == 302)
                fail_msg("%d %s: %s by %s", status, body, reason_word(f.reason), f.rule);
        }
        finding_fini(&f);
    }
}

static void body_with_nul_is_not_json(void **state)
{
    (void)state;
    struct http_answer answer = fixture_answer(400, SUB(190, 463));
    struct finding f;
    answer.body_len++; /* the NUL behind it */
    login_classify(graph_login(0), REQUEST_VALIDATE, &answer, &f);
    assert_int_equal(f.reason, REASON_BAD_RESPONSE);
    assert_string_equal(f.rule, "not_json");
    finding_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_trouble_decides_nothing),
        cmocka_unit_test(truncated_answers_never_condemn),
        cmocka_unit_test(mutated_answers_condemn_only_as_error_objects),
        cmocka_unit_test(body_with_nul_is_not_json),
    };
    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
