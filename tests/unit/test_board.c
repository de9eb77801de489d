/* What a monitor makes of the leases that it sees: the slices in order, which it may take, which it takes first, how long it waits.
 * Time is passed in: nothing here waits. */
#include "../../monitor/board.h"
#include "cmocka_all.h"
#include "json_fixture.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOUR_MS = 3600000, INTERVAL_MS = 1800000, TTL_MS = 60000 };

static char dir[64];
static struct store *store;
static struct board board;
static const struct board_wish wish = {"", INTERVAL_MS, 0, 0};

/* The order of ids is that of a real store, which is not asked for anything else. */
static int begin(void **state)
{
    struct store_options options = {NULL, "socialaccounts", 1000};
    char uri[96];

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/token-health-board-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(uri, sizeof uri, "sqlite:%s/a.db", dir);
    options.uri = uri;
    return store_open(&options, &store, NULL) == ERR_OK ? 0 : -1;
}

static int end(void **state)
{
    static const char *const names[] = {"a.db", "a.db-wal", "a.db-shm"};
    char path[96];

    (void)state;
    store_close(store);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static int setup(void **state)
{
    (void)state;
    board = (struct board){.store = store, .owner = "we"};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    board_fini(&board);
    return 0;
}

struct seen {
    const char *name, *owner;
    int64_t epoch, beat, due_ms;
    int64_t passes, accounts;
    int64_t begun_ms, asked, swept;
};

/* A look at the store: at ${now_ms} by its clock, ${boot_ms} by ours. */
static void look(const struct seen *seen, int count, int64_t now_ms, int64_t boot_ms)
{
    struct board next;

    board_start(&next, &board, now_ms, boot_ms);
    for (int i = 0; i < count; i++) {
        struct slice s = {.due_ms = seen[i].due_ms,
                          .passes = seen[i].passes,
                          .begun_ms = seen[i].begun_ms,
                          .asked = seen[i].asked,
                          .swept = seen[i].swept,
                          .last = {.accounts = seen[i].accounts}};
        struct lease lease = {.epoch = seen[i].epoch, .beat = seen[i].beat, .ttl_ms = TTL_MS};

        snprintf(lease.name, sizeof lease.name, "%s", seen[i].name);
        snprintf(lease.owner, sizeof lease.owner, "%s", seen[i].owner);
        lease.state = slice_print(&s);
        assert_int_equal(board_put(&next, &board, &lease), ERR_OK);
    }
    board_finish(&next);
    board_fini(&board);
    board = next;
}

static int skip_none(void *arg, const struct lease *lease)
{
    return arg && !strcmp(lease->name, arg);
}

static void expect_choice(const struct board_wish *w, const char *skip, const char *expected)
{
    char skipped[64] = "";
    const struct board_entry *entry;

    if (skip) snprintf(skipped, sizeof skipped, "%s", skip);
    entry = board_choose(&board, w, skip_none, skip ? skipped : NULL);
    if (strcmp(entry ? entry->lease.name : "none", expected) != 0)
        fail_msg("got %s, expected %s", entry ? entry->lease.name : "none", expected);
}

/* ---- order ---- */

static void slices_lie_in_order_and_each_ends_where_the_next_begins(void **state)
{
    static const struct seen seen[] = {{.name = "slice/instagram/s:b", .owner = ""},
                                       {.name = "monitor/x", .owner = ""},
                                       {.name = "slice/instagram/", .owner = ""},
                                       {.name = "slice/facebook/n:5", .owner = ""},
                                       {.name = "slice/instagram/o:000000000000000000000001", .owner = ""},
                                       {.name = "slice/facebook/", .owner = ""},
                                       {.name = "slice/instagram/s:a", .owner = ""}};
    static const char *const order[] = {
        "slice/facebook/",     "slice/facebook/n:5",  "slice/instagram/", "slice/instagram/o:000000000000000000000001",
        "slice/instagram/s:a", "slice/instagram/s:b", "monitor/x"};
    static const char *const ends[] = {"5", NULL, "000000000000000000000001", "a", "b", NULL};

    (void)state;
    look(seen, 7, HOUR_MS, 0);
    for (int i = 0; i < 7; i++)
        assert_string_equal(board.list[i].lease.name, order[i]);
    for (int i = 0; i < 6; i++) {
        const struct account_id *to = board_end(&board, &board.list[i]);

        if (!to != !ends[i] || (to && strcmp(to->text, ends[i]) != 0))
            fail_msg("%s ends with %s, expected %s", order[i], to ? to->text : "nothing",
                     ends[i] ? ends[i] : "nothing");
    }
}

/* ---- who may take what ---- */

static void a_held_lease_is_free_only_after_it_stood_still_for_its_time(void **state)
{
    struct seen seen = {.name = "slice/instagram/", .owner = "they", .epoch = 3, .beat = 8};
    int64_t boot_ms = 5000;

    (void)state;
    look(&seen, 1, HOUR_MS, boot_ms);
    expect_choice(&wish, NULL, "none");
    look(&seen, 1, HOUR_MS, boot_ms + TTL_MS - 1);
    expect_choice(&wish, NULL, "none");
    seen.beat++; /* it lives */
    boot_ms += TTL_MS;
    look(&seen, 1, HOUR_MS, boot_ms);
    expect_choice(&wish, NULL, "none");
    look(&seen, 1, HOUR_MS, boot_ms + TTL_MS - 1);
    expect_choice(&wish, NULL, "none");
    look(&seen, 1, HOUR_MS, boot_ms + TTL_MS);
    expect_choice(&wish, NULL, "slice/instagram/");
}

static void no_step_of_the_stores_clock_frees_a_lease(void **state)
{
    static const int64_t steps_ms[] = {HOUR_MS, -HOUR_MS, 24 * (int64_t)HOUR_MS, 600000, -600000};
    const struct seen seen = {.name = "slice/instagram/", .owner = "they", .epoch = 3, .beat = 8};

    (void)state;
    for (size_t i = 0; i < sizeof steps_ms / sizeof *steps_ms; i++) {
        board_fini(&board);
        look(&seen, 1, 100 * (int64_t)HOUR_MS, 1000);
        look(&seen, 1, 100 * (int64_t)HOUR_MS + steps_ms[i], 1000 + TTL_MS - 1);
        expect_choice(&wish, NULL, "none");
    }
}

static void what_is_nobodys_or_was_ours_is_free_at_once(void **state)
{
    const struct seen seen[] = {{.name = "slice/instagram/", .owner = "we", .epoch = 3, .beat = 8},
                                {.name = "slice/instagram/s:a", .owner = "", .epoch = 2, .beat = 4}};

    (void)state;
    look(seen, 2, HOUR_MS, 0);
    expect_choice(&wish, NULL, "slice/instagram/");
    expect_choice(&wish, "slice/instagram/", "slice/instagram/s:a");
}

/* ---- what is taken first ---- */

static void the_slice_that_is_due_the_longest_is_taken_first(void **state)
{
    const struct seen seen[] = {{.name = "slice/instagram/", .owner = "", .due_ms = HOUR_MS - 5000},
                                {.name = "slice/instagram/s:a", .owner = "", .due_ms = HOUR_MS - 60000},
                                {.name = "slice/instagram/s:b", .owner = "they", .due_ms = HOUR_MS - 90000},
                                {.name = "slice/instagram/s:c", .owner = "", .due_ms = HOUR_MS + 1}};

    (void)state;
    look(seen, 4, HOUR_MS, 0);
    expect_choice(&wish, NULL, "slice/instagram/s:a");
    expect_choice(&wish, "slice/instagram/s:a", "slice/instagram/");
}

static void of_slices_that_are_due_together_two_monitors_take_different_ones(void **state)
{
    const struct seen seen[] = {{.name = "slice/instagram/", .owner = "", .due_ms = 5},
                                {.name = "slice/instagram/s:a", .owner = "", .due_ms = 5},
                                {.name = "slice/instagram/s:b", .owner = "", .due_ms = 5}};
    const struct board_wish ours = {"", INTERVAL_MS, 4, 0}, theirs = {"", INTERVAL_MS, 5, 0};

    (void)state;
    look(seen, 3, HOUR_MS, 0);
    expect_choice(&ours, NULL, "slice/instagram/s:a");
    expect_choice(&theirs, NULL, "slice/instagram/s:b");
}

static void only_the_chosen_platforms_are_taken(void **state)
{
    const struct seen seen[] = {{.name = "slice/facebook/", .owner = ""}, {.name = "slice/insta/", .owner = ""}};
    const struct board_wish threads = {"threads  facebook", INTERVAL_MS, 0, 0},
                            instagram = {"instagram", INTERVAL_MS, 0, 0};

    (void)state;
    look(seen, 2, HOUR_MS, 0);
    expect_choice(&threads, NULL, "slice/facebook/");
    expect_choice(&instagram, NULL, "none");
}

/* ---- a sweep that was asked for ---- */

static void what_was_not_begun_since_a_sweep_was_asked_for_is_due_at_once(void **state)
{
    struct seen seen[] = {{.name = "slice/instagram/", .owner = "", .due_ms = 2 * HOUR_MS, .swept = 7},
                          {.name = "slice/instagram/s:a", .owner = "", .due_ms = 2 * HOUR_MS, .swept = 6}};
    const struct board_wish asked = {"", 2 * HOUR_MS, 0, 7}, before = {"", 2 * HOUR_MS, 0, 6};

    (void)state;
    look(seen, 2, HOUR_MS, 0);
    expect_choice(&before, NULL, "none");
    expect_choice(&asked, NULL, "slice/instagram/s:a");
    assert_true(board_wait_ms(&board, &asked) == 0);
    assert_true(board_wait_ms(&board, &before) == HOUR_MS);
    seen[1].swept = 7;
    look(seen, 2, HOUR_MS, 0);
    expect_choice(&asked, NULL, "none");
}

static void an_asked_sweep_is_done_when_all_slices_were_begun_since_and_finished(void **state)
{
    struct seen seen[] = {
        {.name = "slice/instagram/", .owner = "", .swept = 7, .accounts = 100},
        {.name = "slice/instagram/s:a", .owner = "we", .swept = 6, .asked = 6, .begun_ms = 5, .accounts = 20},
        {.name = "slice/instagram/s:b", .owner = "", .swept = 8, .accounts = 3}};
    const struct board_wish asked = {"", INTERVAL_MS, 0, 7}, none = {"", INTERVAL_MS, 0, 0};
    struct board_sums sums;

    (void)state;
    look(seen, 3, HOUR_MS, 0);
    board_sum(&board, &asked, &sums);
    assert_true(sums.asked_id == 7 && !sums.is_asked_done);
    assert_true(sums.asked.accounts == 103); /* a pass that was begun before does not count */
    seen[1] = (struct seen){.name = "slice/instagram/s:a", .owner = "", .swept = 7, .accounts = 21};
    look(seen, 3, HOUR_MS, 0);
    board_sum(&board, &asked, &sums);
    assert_true(sums.is_asked_done && sums.asked.accounts == 124);
    board_sum(&board, &none, &sums);
    assert_true(sums.asked_id == 0 && sums.asked.accounts == 0);
}

/* ---- how long to wait, and what is told ---- */

static void it_waits_until_a_slice_is_due_or_its_holder_is_gone(void **state)
{
    struct seen seen[] = {{.name = "slice/instagram/", .owner = "", .due_ms = HOUR_MS + 90000},
                          {.name = "slice/instagram/s:a", .owner = "they", .due_ms = HOUR_MS}};

    (void)state;
    look(seen, 2, HOUR_MS, 1000);
    assert_true(board_wait_ms(&board, &wish) == TTL_MS);
    look(seen, 2, HOUR_MS + 50000, 51000);
    assert_true(board_wait_ms(&board, &wish) == TTL_MS - 50000);
    seen[1].beat++;
    look(seen, 2, HOUR_MS + 55000, 56000);
    assert_true(board_wait_ms(&board, &wish) == 35000);
    look(seen, 0, HOUR_MS, 1000);
    assert_true(board_wait_ms(&board, &wish) == INT64_MAX);
}

static void sums_are_over_all_chosen_slices_whoever_holds_them(void **state)
{
    const struct seen seen[] = {
        {.name = "slice/instagram/", .owner = "", .due_ms = 50, .passes = 4, .accounts = 100},
        {.name = "slice/instagram/s:a", .owner = "they", .due_ms = 40, .passes = 3, .accounts = 20},
        {.name = "slice/facebook/", .owner = "we", .due_ms = 30, .passes = 9, .accounts = 3},
        {.name = "monitor/x", .owner = "x"}};
    const struct board_wish instagram = {"instagram", INTERVAL_MS, 0, 0}, none = {"threads", INTERVAL_MS, 0, 0};
    struct board_sums sums;

    (void)state;
    look(seen, 4, HOUR_MS, 0);
    board_sum(&board, &wish, &sums);
    assert_true(sums.last.accounts == 123 && sums.passes == 3 && sums.slices == 3 && sums.next_due_ms == 30);
    board_sum(&board, &instagram, &sums);
    assert_true(sums.last.accounts == 120 && sums.passes == 3 && sums.slices == 2 && sums.next_due_ms == 40);
    board_sum(&board, &none, &sums);
    assert_true(sums.last.accounts == 0 && sums.passes == 0 && sums.slices == 0);
}

static void the_first_sweep_is_told_only_when_all_slices_have_ended_it(void **state)
{
    struct seen seen[] = {{.name = "slice/facebook/", .owner = "", .due_ms = 50, .passes = 1, .accounts = 7},
                          {.name = "slice/instagram/", .owner = "we", .due_ms = 40, .begun_ms = 1}};
    struct board_sums sums;

    (void)state;
    look(seen, 2, HOUR_MS, 0);
    board_sum(&board, &wish, &sums);
    assert_true(sums.last.accounts == 0 && sums.passes == 0);
    seen[1].passes = 1;
    seen[1].accounts = 100;
    look(seen, 2, HOUR_MS, 0);
    board_sum(&board, &wish, &sums);
    assert_true(sums.last.accounts == 107 && sums.passes == 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slices_lie_in_order_and_each_ends_where_the_next_begins),
        TEST(a_held_lease_is_free_only_after_it_stood_still_for_its_time),
        TEST(no_step_of_the_stores_clock_frees_a_lease),
        TEST(what_is_nobodys_or_was_ours_is_free_at_once),
        TEST(the_slice_that_is_due_the_longest_is_taken_first),
        TEST(of_slices_that_are_due_together_two_monitors_take_different_ones),
        TEST(only_the_chosen_platforms_are_taken),
        TEST(what_was_not_begun_since_a_sweep_was_asked_for_is_due_at_once),
        TEST(an_asked_sweep_is_done_when_all_slices_were_begun_since_and_finished),
        TEST(it_waits_until_a_slice_is_due_or_its_holder_is_gone),
        TEST(sums_are_over_all_chosen_slices_whoever_holds_them),
        TEST(the_first_sweep_is_told_only_when_all_slices_have_ended_it),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
