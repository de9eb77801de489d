/* What no key opens is not tried again and again; but at once when the keys or the envelope are others, and once a day. */
#include "service_fixture.h"

#define PARTS                                                                                                          \
    "\"encryptedData\":\"AAAA\",\"iv\":\"AAAAAAAAAAAAAAAA\",\"tag\":\"AAAAAAAAAAAAAAAAAAAAAA\","                       \
    "\"salt\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""
#define SLOW "{" PARTS ",\"kdf\":2000000}" /* 0.4 s for a key */
static const struct validate_options forced = {.fix = 1, .refresh = 1, .force = 1};

/* CPU time of a validation, which must find the account undecryptable. */
static int64_t cost_ms(struct service_fixture *f)
{
    int64_t began_ms = fixture_cpu_ms();
    struct kept_result kept = service_fixture_validate(f, "a1", &forced);

    assert_int_equal(kept.result.verdict.reason, REASON_UNDECRYPTABLE);
    return fixture_cpu_ms() - began_ms;
}

static void an_account_that_no_key_opens_costs_a_derivation_once(void **state)
{
    struct service_fixture f;
    int64_t first_ms, again_ms = 0;

    (void)state;
    service_fixture_open(&f, "");
    service_fixture_put(&f, "{\"encryptedAccessToken\":" SLOW "}");
    first_ms = cost_ms(&f);
    for (int i = 0; i < 5; i++)
        again_ms += cost_ms(&f);
    if (again_ms * 2 > first_ms)
        fail_msg("the first %lld ms, five more %lld ms", (long long)first_ms, (long long)again_ms);
    service_fixture_change(&f, "a1", "tokenHealth", NULL);
    if (cost_ms(&f) * 2 < first_ms) fail_msg("forgotten, it is not tried");
    service_fixture_close(&f);
}

static void refresh_tokens_and_second_forms_that_no_key_opens_are_remembered_too(void **state)
{
    static const char *const fields[] = {"accessToken", "refreshToken"};
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char members[512];
        int64_t ms[2];

        snprintf(members, sizeof members, "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"%s\":" SLOW "}",
                 fields[i]);
        double_says(&f.provider, TOKEN_ONE, 400, "{\"error\":{\"code\":190,\"error_subcode\":463}}");
        service_fixture_put(&f, members);
        for (int j = 0; j < 2; j++) {
            ms[j] = fixture_cpu_ms();
            service_fixture_validate(&f, "a1", &forced);
            ms[j] = fixture_cpu_ms() - ms[j];
        }
        if (ms[1] * 2 > ms[0])
            fail_msg("%s: the first %lld ms, the second %lld ms", fields[i], (long long)ms[0], (long long)ms[1]);
    }
    service_fixture_close(&f);
}

static int is_tried(struct service_fixture *f, const struct keyring *ring)
{
    struct account account = store_fixture_get(&f->store, "a1");
    struct intake in;
    int was_slow;

    intake_describe(&account, ring, &in);
    intake_next(&account, ring, &in);
    was_slow = in.was_slow;
    intake_fini(&in);
    account_fini(&account);
    return was_slow;
}

static void another_key_is_tried_at_once_and_what_opens_is_forgotten(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct json *doc;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}}");
    cost_ms(&f);
    assert_false(is_tried(&f, fixture_keys));
    assert_true(is_tried(&f, fixture_other_keys));
    /* The application writes a form that opens. */
    service_fixture_change(&f, "a1", "encryptedAccessToken", "{\"$seal\":\"" TOKEN_ONE "\"}");
    kept = service_fixture_validate(&f, "a1", &forced);
    assert_int_equal(kept.result.verdict.state, STATE_HEALTHY);
    doc = store_fixture_doc(&f.store, "a1");
    assert_null(json_get(doc, "tokenHealth.shut"));
    json_free(doc);
    service_fixture_close(&f);
}

static void it_is_tried_again_a_day_later_each_envelope_at_a_time_of_its_own(void **state)
{
    const int64_t now_ms = INT64_C(1790000000000), hour_ms = 3600000;
    int changes_in_the_first_hour = 0;

    (void)state;
    for (int i = 0; i < 240; i++) {
        struct envelope env = {.iv = {1}, .data_len = 1, .data = (unsigned char *)(uintptr_t) "x"};
        char first[SHUT_PRINT_BYTES], print[SHUT_PRINT_BYTES];
        int changes = 0;

        for (size_t j = 0; j < 4; j++)
            env.salt[j] = (unsigned char)((unsigned)i * 2654435761U >> (8 * j));
        shut_print(fixture_keys, &env, now_ms, first);
        for (int hour = 1; hour <= 24; hour++) {
            shut_print(fixture_keys, &env, now_ms + hour * hour_ms, print);
            changes += strcmp(print, first) != 0;
            if (hour == 1) changes_in_the_first_hour += changes;
        }
        if (!changes) fail_msg("envelope %d is not tried within a day", i);
    }
    if (changes_in_the_first_hour > 40) fail_msg("%d of 240 within an hour", changes_in_the_first_hour);
}

static void of_many_prints_the_last_found_are_kept_and_rubbish_is_passed_over(void **state)
{
    struct json *health = fixture_json("{\"shut\":[\"a\",7,null,\"b\",{},\"c\",\"d\",\"e\"]}");
    struct shut_list list = {.count = 0};
    struct patch patch = {0};
    char *text;

    (void)state;
    shut_note(&list, "new");
    shut_note(&list, "");
    shut_note(&list, "b");
    shut_note(&list, "new");
    shut_put(&list, health, &patch);
    assert_int_equal(patch.field_count, 1);
    text = fixture_text(patch.fields[0].value);
    assert_string_equal(text, "[\"new\",\"b\",\"a\",\"c\"]");
    free(text);
    patch_fini(&patch);
    json_free(health);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_that_no_key_opens_costs_a_derivation_once),
        cmocka_unit_test(refresh_tokens_and_second_forms_that_no_key_opens_are_remembered_too),
        cmocka_unit_test(another_key_is_tried_at_once_and_what_opens_is_forgotten),
        cmocka_unit_test(it_is_tried_again_a_day_later_each_envelope_at_a_time_of_its_own),
        cmocka_unit_test(of_many_prints_the_last_found_are_kept_and_rubbish_is_passed_over),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
