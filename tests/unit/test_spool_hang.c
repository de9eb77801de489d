/* The spool when a process that holds something in it hangs (SIGSTOP) or is killed while it hangs. */
#include "spool_fixture.h"

/* Stops itself with account 1 kept and account 2 about to be; goes on when it is woken. */
static int hang_between_reserve_and_keep(void *arg)
{
    struct spool *sp = spool_fixture_new();
    struct spool_ticket *kept, *intent;

    (void)arg;
    if (spool_fixture_reserve(sp, 1, &kept, NULL) != ERR_OK || spool_fixture_keep(sp, 1, kept, NULL) != ERR_OK)
        return 1;
    if (spool_fixture_reserve(sp, 2, &intent, NULL) != ERR_OK) return 2;
    raise(SIGSTOP);
    if (spool_fixture_keep(sp, 2, intent, NULL) != ERR_OK) return 3;
    spool_done(sp, kept);
    spool_leave(sp, intent);
    return 0;
}

static pid_t fork_and_see_it_hang(void)
{
    pid_t pid = fixture_fork(hang_between_reserve_and_keep, NULL);
    int status;

    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

static int replay_aged(struct spool *sp, int64_t min_age_ms, struct spool_seen *seen)
{
    memset(seen, 0, sizeof *seen);
    assert_int_equal(spool_replay(sp, min_age_ms, spool_fixture_see, seen, NULL, NULL), ERR_OK);
    assert_int_equal(seen->wrong, 0);
    return seen->count;
}

static void the_answer_of_who_hangs_is_replayed_after_a_while_but_not_its_intent(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen;
    struct spool_ticket *tickets[3];
    pid_t pid = fork_and_see_it_hang();

    (void)state;
    assert_int_equal(replay_aged(sp, 3600000, &seen), 0);
    fixture_sleep_us(30000);
    assert_int_equal(replay_aged(sp, 30, &seen), 1); /* by then old enough */
    assert_int_equal(seen.records[1], 1);
    assert_int_equal(replay_aged(sp, 0, &seen), 0); /* said done: not again */
    for (int i = 0; i < 3; i++) {                   /* its slots are not given to others as long as it lives */
        assert_int_equal(spool_fixture_reserve(sp, 10 + i, &tickets[i], NULL), ERR_OK);
        assert_int_equal(spool_fixture_keep(sp, 10 + i, tickets[i], NULL), ERR_OK);
    }
    kill(pid, SIGCONT);
    assert_int_equal(fixture_wait(pid), 0);
    for (int i = 0; i < 3; i++)
        spool_leave(sp, tickets[i]);
    assert_int_equal(replay_aged(sp, 0, &seen), 4);
    assert_int_equal(seen.records[2] + seen.records[10] + seen.records[11] + seen.records[12], 4);
    spool_free(sp);
}

static void when_who_hangs_is_killed_all_it_held_is_replayed(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen;

    (void)state;
    fixture_kill(fork_and_see_it_hang());
    assert_int_equal(replay_aged(sp, 3600000, &seen), 2);
    assert_int_equal(seen.records[1], 1);
    assert_int_equal(seen.intents[2], 1);
    spool_free(sp);
}

static enum spool_fate stop_in_the_middle(void *arg, const struct json *about, const struct spool_answer *answer)
{
    (void)arg, (void)about, (void)answer;
    raise(SIGSTOP);
    return SPOOL_DONE;
}

static int replay_and_stop(void *arg)
{
    struct spool *sp = spool_fixture_new();

    (void)arg;
    return spool_replay(sp, 3600000, stop_in_the_middle, NULL, NULL, NULL) != ERR_OK;
}

static void what_one_is_replaying_no_other_is_given_until_it_dies(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen;
    int status;
    pid_t pid;

    (void)state;
    spool_fixture_fill(1, 2, 1);
    pid = fixture_fork(replay_and_stop, NULL);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    spool_leave(sp, NULL);
    assert_int_equal(replay_aged(sp, 3600000, &seen), 1);
    assert_int_equal(seen.records[2], 1);
    fixture_kill(pid);
    assert_int_equal(replay_aged(sp, 3600000, &seen), 1);
    assert_int_equal(seen.records[1], 1);
    spool_free(sp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(the_answer_of_who_hangs_is_replayed_after_a_while_but_not_its_intent),
        SPOOL_TEST(when_who_hangs_is_killed_all_it_held_is_replayed),
        SPOOL_TEST(what_one_is_replaying_no_other_is_given_until_it_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
