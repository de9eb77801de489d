/* The pipeline among others: the cache, other processes, an application that writes meanwhile, a store that goes away. */
#include "base/clock.h"
#include "service_fixture.h"
#include <signal.h>
#include <sys/prctl.h>

#define E_ONE      "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"
#define P_TWO      "\"accessToken\":\"" TOKEN_TWO "\""
#define COMPANIONS "\"tokenStatus\":\"valid\",\"needsReconnection\":false,\"lastTokenValidation\":{\"$date\":5}"
static const struct validate_options usual = {.fix = 1, .refresh = 1};
static const struct validate_options forced = {.fix = 1, .refresh = 1, .force = 1};

/* ---- cache ---- */

static void expect_calls(struct service_fixture *f, int calls, const char *what)
{
    if (*f->provider.calls != calls) fail_msg("%s: %d calls, expected %d", what, *f->provider.calls, calls);
}

static void a_cached_answer_makes_no_call_and_opens_nothing(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct json *before, *now;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    service_fixture_validate(&f, "a1", &usual);
    expect_calls(&f, 1, "at first");
    before = store_fixture_doc(&f.store, "a1");
    kept = service_fixture_validate(&f, "a1", &usual);
    expect_calls(&f, 1, "from the cache");
    assert_true(kept.result.source == SOURCE_CACHE && kept.result.verdict.state == STATE_HEALTHY && !kept.result.asked);
    now = store_fixture_doc(&f.store, "a1");
    assert_true(json_equal(before, now));
    json_free(before);
    json_free(now);
    service_fixture_validate(&f, "a1", &forced);
    expect_calls(&f, 2, "forced");
    service_fixture_change(&f, "a1", "encryptedAccessToken", "{\"$seal\":\"" TOKEN_ONE "\"}");
    service_fixture_validate(&f, "a1", &usual);
    expect_calls(&f, 3, "another envelope");
    service_clear_cache(f.service, "instagram", NULL, NULL);
    service_fixture_validate(&f, "a1", &usual);
    expect_calls(&f, 4, "after clearing");
    service_fixture_close(&f);
}

static void what_cannot_be_put_right_is_asked_about_once_too(void **state)
{
    static const char *const stuck[] = {
        "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}}",
        "{" E_ONE "," P_TWO "}", /* both refused */
        "{\"accessToken\":\"a b\"}",
        "{}",
    };
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "");
    double_revoked(&f.provider, TOKEN_ONE);
    double_revoked(&f.provider, TOKEN_TWO);
    for (size_t i = 0; i < sizeof stuck / sizeof *stuck; i++) {
        struct kept_result first, second;
        int calls;

        service_fixture_put(&f, stuck[i]);
        first = service_fixture_validate(&f, "a1", &usual);
        calls = *f.provider.calls;
        second = service_fixture_validate(&f, "a1", &usual);
        expect_calls(&f, calls, stuck[i]);
        if (second.result.source != SOURCE_CACHE || second.result.verdict.reason != first.result.verdict.reason)
            fail_msg("%s: not from the cache", stuck[i]);
    }
    service_fixture_close(&f);
}

static void a_fault_is_put_right_although_the_verdict_is_cached(void **state)
{
    const struct validate_options off = {.refresh = 1};
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_TWO);
    service_fixture_put(&f, "{" P_TWO "}");
    service_fixture_validate(&f, "a1", &off);
    kept = service_fixture_validate(&f, "a1", &usual);
    assert_int_equal(kept.result.fixed, FAULT_PLAIN_AT_REST);
    kept = service_fixture_validate(&f, "a1", &usual);
    assert_true(kept.result.source == SOURCE_CACHE);
    service_fixture_close(&f);
}

static void an_attempt_is_cached_for_a_short_time_only(void **state)
{
    struct service_fixture f;

    (void)state;
    service_fixture_open(&f, "inconclusive_ttl = 200ms\n"); /* the last section is [cache] */
    double_says(&f.provider, TOKEN_ONE, 500, "");
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    service_fixture_validate(&f, "a1", &usual);
    service_fixture_validate(&f, "a1", &usual);
    expect_calls(&f, 1, "at once");
    double_sleep_ms(250);
    service_fixture_validate(&f, "a1", &usual);
    expect_calls(&f, 2, "later");
    service_fixture_close(&f);
}

/* ---- other processes ---- */

enum { CROWD = 4 };
/** Processes that validate the same account at the same time, round after round. */
struct crowd {
    struct service_fixture *f;
    const struct validate_options *options;
    struct crowd_board {
        _Atomic int round, opened, done, failures;
        _Atomic int expected; /* enum state */
    } * board;                /* shared */
};

/* In a child: a service of its own, as a worker has. cmocka's asserts belong to the parent. */
static int validate_in_child(struct crowd *crowd, struct service *service)
{
    struct account account = {0};
    struct kept_result kept = {0};

    if (store_find_account(service_store(service), "a1", &account, NULL) != ERR_OK) return 0;
    if (validator_submit(service_validator(service), &account, crowd->options, keep_result, &kept, NULL) != ERR_OK)
        return 0;
    validator_finish(service_validator(service));
    return kept.calls == 1 && (int)kept.result.verdict.state == crowd->board->expected;
}

static int be_in_crowd(struct crowd *crowd, int rounds)
{
    struct service *service;

    if (service_open(crowd->f->cfg, &service, NULL) != ERR_OK) return 2;
    crowd->board->opened++;
    for (int round = 1; round <= rounds; round++) {
        while (crowd->board->round < round)
            double_sleep_ms(1);
        if (!validate_in_child(crowd, service)) crowd->board->failures++;
        crowd->board->done++;
    }
    service_close(service);
    return 0;
}

static void wait_for(_Atomic int *counter, int value)
{
    int64_t end_ms = clock_mono_ms() + 60000;

    while (*counter < value && clock_mono_ms() < end_ms)
        double_sleep_ms(2);
    assert_int_equal(*counter, value);
}

static void of_many_processes_one_asks(void **state)
{
    static const struct {
        const char *name, *members;
        enum state state;
    } cases[] = {
        {"in order", "{" E_ONE "," COMPANIONS "}", STATE_HEALTHY},
        {"without companions", "{" E_ONE "}", STATE_HEALTHY},
        {"plain, which changes what is stored", "{\"accessToken\":\"" TOKEN_ONE "\"}", STATE_HEALTHY},
        {"inconclusive", "{" E_ONE "," COMPANIONS ",\"accessToken\":\"" TOKEN_TWO "\"}", STATE_UNKNOWN},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    struct service_fixture f;
    struct crowd crowd = {&f, &usual, NULL};
    pid_t pids[CROWD];

    (void)state;
    crowd.board = mmap(NULL, sizeof *crowd.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(crowd.board != MAP_FAILED);
    service_fixture_open(&f, "");
    fflush(NULL);
    for (int i = 0; i < CROWD; i++) {
        pids[i] = fork();
        if (pids[i] != 0) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(be_in_crowd(&crowd, CASES));
    }
    wait_for(&crowd.board->opened, CROWD);
    for (int i = 0; i < CASES; i++) {
        int before = *f.provider.calls;

        double_healthy(&f.provider, TOKEN_ONE);
        if (cases[i].state == STATE_UNKNOWN) double_says(&f.provider, TOKEN_ONE, 503, "");
        double_about(&f.provider, TOKEN_ONE)->delay_ms = 200;
        service_fixture_put(&f, cases[i].members);
        crowd.board->expected = cases[i].state;
        crowd.board->round = i + 1;
        wait_for(&crowd.board->done, CROWD * (i + 1));
        if (crowd.board->failures || *f.provider.calls - before != 1)
            fail_msg("%s: %d processes failed, %d calls", cases[i].name, crowd.board->failures,
                     *f.provider.calls - before);
        service_clear_cache(f.service, "instagram", NULL, NULL);
    }
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    munmap(crowd.board, sizeof *crowd.board);
    service_fixture_close(&f);
}

static int die_while_asking(struct crowd *crowd)
{
    struct service *service;
    struct account account = {0};
    struct kept_result kept = {0};
    int before = *crowd->f->provider.calls;

    if (service_open(crowd->f->cfg, &service, NULL) != ERR_OK) return 2;
    if (store_find_account(service_store(service), "a1", &account, NULL) != ERR_OK) return 3;
    if (validator_submit(service_validator(service), &account, crowd->options, keep_result, &kept, NULL) != ERR_OK)
        return 4;
    while (*crowd->f->provider.calls == before)
        validator_run(service_validator(service), 10);
    raise(SIGKILL);
    return 5;
}

static void when_the_one_who_asks_dies_another_asks(void **state)
{
    struct service_fixture f;
    struct crowd crowd = {&f, &usual, NULL};
    struct kept_result kept;
    int status;
    pid_t pid;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 200;
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    fflush(NULL);
    pid = fork();
    if (pid == 0) _exit(die_while_asking(&crowd));
    assert_true(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    kept = service_fixture_validate(&f, "a1", &usual);
    assert_int_equal(kept.result.verdict.state, STATE_HEALTHY);
    expect_calls(&f, 2, "the dead one's and ours");
    service_fixture_close(&f);
}

static void who_waits_for_an_answer_burns_no_cpu(void **state)
{
    enum { WAITERS = 1000 };
    static struct kept_result kept[WAITERS];
    struct service_fixture f;
    int64_t cpu_ms;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 900;
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    for (int i = 0; i < WAITERS; i++)
        service_fixture_submit(&f, "a1", &usual, &kept[i]);
    validator_run(service_validator(f.service), 0);
    cpu_ms = fixture_cpu_ms();
    validator_finish(service_validator(f.service));
    cpu_ms = fixture_cpu_ms() - cpu_ms;
    expect_calls(&f, 1, "a thousand jobs of one process");
    for (int i = 0; i < WAITERS; i++)
        assert_true(kept[i].calls == 1 && kept[i].result.verdict.state == STATE_HEALTHY);
    print_message("FIGURE: 1,000 waiting jobs used %lld ms of CPU in 900 ms\n", (long long)cpu_ms);
    assert_true(cpu_ms < 450);
    service_fixture_close(&f);
}

/* ---- the application writes while we ask ---- */

/* Runs the job until its call has reached the provider. */
static void run_until_asked(struct service_fixture *f, int calls)
{
    int64_t end_ms = clock_mono_ms() + 5000;

    while (*f->provider.calls < calls && clock_mono_ms() < end_ms)
        validator_run(service_validator(f->service), 5);
    expect_calls(f, calls, "waiting for the call");
}

static void what_the_application_wrote_meanwhile_is_judged_instead(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_revoked(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 150;
    double_healthy(&f.provider, TOKEN_TWO);
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    service_fixture_submit(&f, "a1", &usual, &kept);
    run_until_asked(&f, 1);
    service_fixture_change(&f, "a1", "encryptedAccessToken",
                           "{\"$seal\":\"" TOKEN_TWO "\"}"); /* the user reconnected */
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.calls, 1);
    assert_int_equal(kept.result.verdict.state, STATE_HEALTHY);
    assert_int_equal(kept.result.store_error, ERR_OK);
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_TWO);
    assert_string_equal(service_fixture_text(&f, "a1", "tokenStatus"), "valid");
    expect_calls(&f, 2, "the old token and the new");
    service_fixture_close(&f);
}

static void an_application_that_writes_again_and_again_is_left_alone(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_revoked(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 150;
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    service_fixture_submit(&f, "a1", &usual, &kept);
    for (int i = 1; i <= 2; i++) {
        run_until_asked(&f, i);
        service_fixture_change(&f, "a1", "encryptedAccessToken", "{\"$seal\":\"" TOKEN_ONE "\"}");
    }
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.calls, 1);
    assert_int_equal(kept.result.store_error, ERR_CONFLICT);
    assert_int_equal(kept.result.verdict.state, STATE_UNKNOWN);
    assert_false(kept.result.state_changed);
    assert_string_equal(service_fixture_text(&f, "a1", "tokenStatus"), "valid");
    assert_string_equal(service_fixture_text(&f, "a1", "tokenHealth.state"), "");
    expect_calls(&f, 2, "twice");
    service_fixture_close(&f);
}

static void a_user_who_disconnects_meanwhile_is_disconnected(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct json *doc;

    (void)state;
    service_fixture_open(&f, "");
    double_revoked(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 150;
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    service_fixture_submit(&f, "a1", &usual, &kept);
    run_until_asked(&f, 1);
    service_fixture_change(&f, "a1", "isActive", "false");
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.result.verdict.state, STATE_DISCONNECTED);
    assert_int_equal(kept.result.store_error, ERR_OK);
    doc = store_fixture_doc(&f.store, "a1");
    assert_null(json_member(doc, "tokenHealth"));
    json_free(doc);
    service_fixture_close(&f);
}

static void an_account_that_is_deleted_meanwhile_ends_the_job(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    char away[128], path[128];

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    double_about(&f.provider, TOKEN_ONE)->delay_ms = 150;
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    service_fixture_submit(&f, "a1", &usual, &kept);
    run_until_asked(&f, 1);
    snprintf(path, sizeof path, "%s/accounts.db", f.store.dir);
    snprintf(away, sizeof away, "%s/away", f.store.dir);
    assert_int_equal(rename(path, away), 0); /* the store makes an empty one */
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.calls, 1);
    assert_true(kept.result.store_error != ERR_OK && !kept.result.state_changed);
    unlink(away);
    service_fixture_close(&f);
}

static void who_waits_for_anothers_answer_in_a_hurry_asks_nobody(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct cache *cache;
    struct cache_key key;

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_ONE);
    service_fixture_put(&f, "{" E_ONE "," COMPANIONS "}");
    cache = service_cache(f.service);
    key = cache_key_account(cache, "instagram", "a1");
    assert_int_equal(flight_claim(cache, key, 60000), FLIGHT_MINE);
    service_fixture_submit(&f, "a1", &forced, &kept);
    for (int i = 0; i < 5; i++)
        validator_run(service_validator(f.service), 5);
    assert_int_equal(kept.calls, 0);
    validator_hurry(service_validator(f.service));
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.calls, 1);
    assert_int_equal(kept.result.store_error, ERR_CONFLICT);
    expect_calls(&f, 0, "in a hurry");
    flight_release(cache, key);
    service_fixture_close(&f);
}

static void in_a_hurry_no_second_form_is_asked_about(void **state)
{
    struct service_fixture f;
    struct kept_result kept;

    (void)state;
    service_fixture_open(&f, "");
    double_revoked(&f.provider, TOKEN_ONE);
    double_healthy(&f.provider, TOKEN_TWO);
    service_fixture_put(&f, "{" E_ONE "," P_TWO "}");
    validator_hurry(service_validator(f.service));
    kept = service_fixture_validate(&f, "a1", &forced);
    expect_calls(&f, 1, "in a hurry");
    assert_int_equal(kept.result.store_error, ERR_CONFLICT);
    assert_int_equal(service_fixture_needs(&f, "a1"), -1); /* half the question condemns nobody */
    service_fixture_close(&f);
}

/* ---- the store goes away while we ask ---- */

static void a_verdict_that_cannot_be_saved_is_answered_and_nothing_is_lost(void **state)
{
    struct service_fixture f;
    struct kept_result kept;
    struct check_result check;
    char away[128], path[128];

    (void)state;
    service_fixture_open(&f, "");
    double_healthy(&f.provider, TOKEN_TWO);
    double_about(&f.provider, TOKEN_TWO)->delay_ms = 150;
    service_fixture_put(&f, "{" P_TWO "}");
    service_fixture_submit(&f, "a1", &usual, &kept);
    run_until_asked(&f, 1);
    snprintf(path, sizeof path, "%s/accounts.db", f.store.dir);
    snprintf(away, sizeof away, "%s/away", f.store.dir);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* nothing can be opened there */
    validator_finish(service_validator(f.service));
    assert_int_equal(kept.result.store_error, ERR_UNAVAILABLE);
    assert_int_equal(kept.result.verdict.state, STATE_HEALTHY);
    assert_false(kept.result.state_changed || kept.result.fixed);
    assert_true(service_check_cached(f.service, "instagram", NULL, "a1", &check));
    assert_int_equal(check.state, STATE_HEALTHY);

    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(away, path), 0);
    assert_string_equal(service_fixture_text(&f, "a1", "accessToken"), TOKEN_TWO);
    kept = service_fixture_validate(&f, "a1", &usual);
    assert_true(kept.result.state_changed && kept.result.fixed == FAULT_PLAIN_AT_REST);
    assert_string_equal(service_fixture_token(&f, "a1"), TOKEN_TWO);
    service_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cached_answer_makes_no_call_and_opens_nothing),
        cmocka_unit_test(what_cannot_be_put_right_is_asked_about_once_too),
        cmocka_unit_test(a_fault_is_put_right_although_the_verdict_is_cached),
        cmocka_unit_test(an_attempt_is_cached_for_a_short_time_only),
        cmocka_unit_test(of_many_processes_one_asks),
        cmocka_unit_test(when_the_one_who_asks_dies_another_asks),
        cmocka_unit_test(who_waits_for_an_answer_burns_no_cpu),
        cmocka_unit_test(what_the_application_wrote_meanwhile_is_judged_instead),
        cmocka_unit_test(an_application_that_writes_again_and_again_is_left_alone),
        cmocka_unit_test(a_user_who_disconnects_meanwhile_is_disconnected),
        cmocka_unit_test(an_account_that_is_deleted_meanwhile_ends_the_job),
        cmocka_unit_test(who_waits_for_anothers_answer_in_a_hurry_asks_nobody),
        cmocka_unit_test(in_a_hurry_no_second_form_is_asked_about),
        cmocka_unit_test(a_verdict_that_cannot_be_saved_is_answered_and_nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
