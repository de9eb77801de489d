/* The pipeline with threads that derive keys: the same results, while everything else goes on. */
#include "base/clock.h"
#include "service_fixture.h"

enum { CROWD = 24, SLOW_KDF = 100000, SLOWEST_KDF = 600000, THREADS = 2, LONG_MS = 60000 };

static const struct validate_options usual = {.fix = 1, .refresh = 1};

/* Envelopes of the fixture's key that take longer to open than those of the fixture. */
static struct json *sealed(int64_t kdf, const char *token)
{
    struct keyring *ring = fixture_ring_of(FIXTURE_KEY, FIXTURE_SALT, kdf);
    struct json *envelope = fixture_sealed(ring, token, 0);

    keyring_free(ring);
    return envelope;
}

static void put(struct service_fixture *f, const char *id, const char *members, const struct json *envelope)
{
    struct json *doc = fixture_doc(members);

    json_set(doc, "_id", json_new_string(id));
    if (envelope) json_set(doc, "encryptedAccessToken", json_copy(envelope));
    store_fixture_put(&f->store, doc);
    json_free(doc);
}

static void open_spread(struct service_fixture *f)
{
    service_fixture_open(f, "");
    validator_spread(service_validator(f->service), THREADS);
    double_healthy(&f->provider, TOKEN_ONE);
    double_healthy(&f->provider, TOKEN_TWO);
}

static int64_t cpu_ms(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void expect_healthy(const struct kept_result *kept, const char *what)
{
    if (kept->calls != 1 || kept->result.verdict.state != STATE_HEALTHY)
        fail_msg("%s: got %d calls and %s (%s), expected 1 and healthy", what, kept->calls,
                 state_word(kept->result.verdict.state), reason_word(kept->result.verdict.reason));
}

static void submit_crowd(struct service_fixture *f, struct kept_result *kept, int count,
                         const struct validate_options *options)
{
    for (int i = 0; i < count; i++) {
        char id[16];

        snprintf(id, sizeof id, "c%d", i);
        service_fixture_submit(f, id, options, &kept[i]);
    }
}

static void put_crowd(struct service_fixture *f, int count, int64_t kdf)
{
    struct json *envelope = sealed(kdf, TOKEN_ONE);

    for (int i = 0; i < count; i++) {
        char id[16];

        snprintf(id, sizeof id, "c%d", i);
        put(f, id, "{}", envelope);
    }
    json_free(envelope);
}

static void slow_envelopes_are_opened_by_the_threads_and_get_fast_ones(void **state)
{
    struct validate_options forced = usual;
    struct service_fixture f;
    struct kept_result kept[CROWD];
    int64_t own_ms, all_ms;

    (void)state;
    forced.force = 1;
    open_spread(&f);
    put_crowd(&f, CROWD, SLOW_KDF);
    own_ms = -cpu_ms(CLOCK_THREAD_CPUTIME_ID);
    all_ms = -cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
    submit_crowd(&f, kept, CROWD, &usual);
    validator_finish(service_validator(f.service));
    own_ms += cpu_ms(CLOCK_THREAD_CPUTIME_ID);
    all_ms += cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < CROWD; i++)
        expect_healthy(&kept[i], "a slow envelope");
    assert_string_not_equal(service_fixture_text(&f, "c0", "tokenHealth.fast.access.data"), "");
    if (own_ms > all_ms / 2) fail_msg("%lld of %lld ms of CPU in this thread", (long long)own_ms, (long long)all_ms);

    all_ms = all_ms - own_ms; /* the threads' own … */
    own_ms = -cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
    submit_crowd(&f, kept, CROWD, &forced);
    validator_finish(service_validator(f.service));
    own_ms += cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < CROWD; i++)
        expect_healthy(&kept[i], "a fast envelope");
    if (own_ms > all_ms / 2) /* … is not paid again */
        fail_msg("%lld ms of CPU the second time, %lld of derivations the first", (long long)own_ms, (long long)all_ms);
    service_fixture_close(&f);
}

static void other_accounts_do_not_wait_for_one_that_is_opened(void **state)
{
    struct service_fixture f;
    struct kept_result slow[CROWD], quick;
    int64_t end_ms;

    (void)state;
    open_spread(&f);
    put_crowd(&f, 8, SLOWEST_KDF);
    put(&f, "quick", "{\"accessToken\":\"" TOKEN_TWO "\"}", NULL);
    submit_crowd(&f, slow, 8, &(struct validate_options){.force = 1});
    service_fixture_submit(&f, "quick", &(struct validate_options){.force = 1}, &quick);
    end_ms = clock_mono_ms() + LONG_MS;
    while (!quick.calls && clock_mono_ms() < end_ms)
        validator_run(service_validator(f.service), 1000);
    expect_healthy(&quick, "a plain token");
    assert_int_equal(slow[7].calls, 0);
    validator_finish(service_validator(f.service));
    for (int i = 0; i < 8; i++)
        expect_healthy(&slow[i], "a slow envelope");
    service_fixture_close(&f);
}

static void every_closed_form_is_looked_into_before_it_is_said_that_none_opens(void **state)
{
    static const struct row {
        const char *members;
        enum state want;
        enum reason reason;
    } rows[] = {
        {"{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_TWO "\"},\"accessToken\":{\"$sealText\":\"" TOKEN_ONE "\"}}",
         STATE_HEALTHY, REASON_OK},
        {"{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"accessToken\":{\"$other\":\"" TOKEN_TWO "\"}}",
         STATE_HEALTHY, REASON_OK},
        {"{\"encryptedAccessToken\":{\"$seal\":\"{}\"},\"accessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}", STATE_HEALTHY,
         REASON_OK},
        {"{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_TWO "\"},\"accessToken\":{\"$other\":\"" TOKEN_ONE "\"}}",
         STATE_BROKEN, REASON_UNDECRYPTABLE},
    };
    struct service_fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int spread = 0; spread < 2; spread++) {
            const struct verdict *v;
            struct kept_result kept;

            service_fixture_open(&f, "");
            if (spread) validator_spread(service_validator(f.service), THREADS);
            double_healthy(&f.provider, TOKEN_ONE);
            service_fixture_put(&f, rows[i].members);
            kept = service_fixture_validate(&f, "a1", &usual);
            v = &kept.result.verdict;
            if (v->state != rows[i].want || v->reason != rows[i].reason)
                fail_msg("%s, spread %d: got %s (%s), expected %s (%s)", rows[i].members, spread, state_word(v->state),
                         reason_word(v->reason), state_word(rows[i].want), reason_word(rows[i].reason));
            service_fixture_close(&f);
        }
}

static void an_account_whose_time_runs_out_while_it_is_opened_ends_late(void **state)
{
    struct service_fixture f;
    struct kept_result kept[1];

    (void)state;
    open_spread(&f);
    put_crowd(&f, 1, SLOWEST_KDF);
    submit_crowd(&f, kept, 1,
                 &(struct validate_options){.force = 1, .fix = 1, .deadline_mono_ms = clock_mono_ms() + 50});
    validator_finish(service_validator(f.service));
    assert_true(kept[0].calls == 1 && kept[0].result.is_late);
    assert_int_equal(*f.provider.calls, 0);
    assert_string_equal(service_fixture_text(&f, "c0", "tokenHealth.state"), "");
    service_fixture_close(&f);
}

static void an_account_that_is_lost_while_it_is_opened_is_not_asked_about(void **state)
{
    struct fence fence = {.until_boot_ms = INT64_MAX};
    struct service_fixture f;
    struct kept_result kept[1];

    (void)state;
    open_spread(&f);
    put_crowd(&f, 1, SLOWEST_KDF);
    submit_crowd(&f, kept, 1, &(struct validate_options){.force = 1, .fix = 1, .fence = &fence});
    validator_run(service_validator(f.service), 0); /* to the claim, and … */
    validator_run(service_validator(f.service), 0); /* … to the opening */
    fence_lose(&fence);
    validator_finish(service_validator(f.service));
    assert_true(kept[0].calls == 1 && kept[0].result.store_error == ERR_CONFLICT);
    assert_int_equal(*f.provider.calls, 0);
    service_fixture_close(&f);
}

static void a_service_that_closes_takes_the_openings_with_it(void **state)
{
    struct service_fixture f;
    struct kept_result kept[CROWD];

    (void)state;
    open_spread(&f);
    put_crowd(&f, CROWD, SLOW_KDF);
    submit_crowd(&f, kept, CROWD, &usual);
    for (int i = 0; i < 3; i++)
        validator_run(service_validator(f.service), 0);
    assert_int_not_equal(validator_active(service_validator(f.service)), 0);
    service_fixture_close(&f);
    assert_int_equal(kept[CROWD - 1].calls, 0);
}

static void who_has_to_hurry_still_ends_what_is_opened(void **state)
{
    struct service_fixture f;
    struct kept_result kept[4];

    (void)state;
    open_spread(&f);
    put_crowd(&f, 4, SLOW_KDF);
    submit_crowd(&f, kept, 4, &usual);
    validator_run(service_validator(f.service), 0);
    validator_hurry(service_validator(f.service));
    validator_finish(service_validator(f.service));
    for (int i = 0; i < 4; i++)
        expect_healthy(&kept[i], "in a hurry");
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_envelopes_are_opened_by_the_threads_and_get_fast_ones),
        cmocka_unit_test(other_accounts_do_not_wait_for_one_that_is_opened),
        cmocka_unit_test(every_closed_form_is_looked_into_before_it_is_said_that_none_opens),
        cmocka_unit_test(an_account_whose_time_runs_out_while_it_is_opened_ends_late),
        cmocka_unit_test(an_account_that_is_lost_while_it_is_opened_is_not_asked_about),
        cmocka_unit_test(a_service_that_closes_takes_the_openings_with_it),
        cmocka_unit_test(who_has_to_hurry_still_ends_what_is_opened),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
