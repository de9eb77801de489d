/* What one host changes and another hears of: two shared memories, as of two hosts, over one store. */
#include "health/watch.h"
#include "store_fixture.h"
#include <sys/mman.h>
#include <time.h>

enum { SOON_MS = 0 };

static struct store_fixture fx;
static struct cache *here, *there;
static char names[2][64];

static struct cache *open_host(int number)
{
    struct cache_options options = {.name = names[number], .entries = 64, .mode = 0600};
    struct cache *cache = NULL;
    struct err err = {0};

    snprintf(names[number], sizeof names[number], "/token-health-watch-%d-%d", (int)getpid(), number);
    shm_unlink(names[number]);
    if (cache_open(&options, &cache, &err) != ERR_OK) fail_msg("cache_open: %s", err.text);
    return cache;
}

static int setup(void **state)
{
    (void)state;
    alarm(60);
    store_fixture_open(&fx);
    here = open_host(0);
    there = open_host(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cache_close(here);
    cache_close(there);
    shm_unlink(names[0]);
    shm_unlink(names[1]);
    store_fixture_close(&fx);
    return 0;
}

static void put(struct cache *cache, const char *id)
{
    const struct cache_verdict verdict = {.state = 1, .checked_at_ms = 5};

    cache_put(cache, cache_key_account(cache, "instagram", id), &verdict, 60000, cache_generation(cache));
}

static void expect(struct cache *cache, const char *id, enum cache_hit expected, const char *what)
{
    struct cache_verdict verdict;
    enum cache_hit got = cache_find(cache, cache_key_account(cache, "instagram", id), &verdict);

    if (got != expected) fail_msg("%s, account %s: got %d, expected %d", what, id, got, expected);
}

static struct account account_of(const char *id)
{
    struct account a = {.id = {.type = ID_STRING}, .workspace = {ID_STRING, "ws"}};

    snprintf(a.platform, sizeof a.platform, "instagram");
    snprintf(a.id.text, sizeof a.id.text, "%s", id);
    return a;
}

static void a_cleared_cache_is_cleared_on_every_host_once_it_looks(void **state)
{
    struct err err = {0};

    (void)state;
    watch_look(there, fx.store, SOON_MS);
    put(here, "a");
    put(there, "a");
    assert_int_equal(watch_clear(here, fx.store, &err), ERR_OK);
    expect(here, "a", CACHE_MISS, "here, at once");
    expect(there, "a", CACHE_FRESH, "there, not yet");
    assert_int_equal(watch_look(there, fx.store, SOON_MS), 1);
    expect(there, "a", CACHE_MISS, "there, after a look");
    put(there, "a");
    watch_look(there, fx.store, SOON_MS);
    expect(there, "a", CACHE_FRESH, "there, looked again with nothing new");
}

static void what_was_learnt_since_an_own_clear_stays(void **state)
{
    struct err err = {0};

    (void)state;
    watch_look(here, fx.store, SOON_MS);
    assert_int_equal(watch_clear(here, fx.store, &err), ERR_OK);
    put(here, "a");
    watch_look(here, fx.store, SOON_MS);
    expect(here, "a", CACHE_FRESH, "after a look at the own clear");
    assert_int_equal(watch_clear(there, fx.store, &err), ERR_OK);
    assert_int_equal(watch_clear(here, fx.store, &err), ERR_OK);
    put(here, "a");
    watch_look(here, fx.store, SOON_MS);
    expect(here, "a", CACHE_MISS, "after a look at another host's clear between");
}

static void one_dropped_account_is_dropped_alone(void **state)
{
    const struct account a = account_of("a");
    struct err err = {0};

    (void)state;
    assert_int_equal(watch_drop(here, fx.store, &a, &err), ERR_OK);
    watch_look(there, fx.store, SOON_MS);
    put(there, "a");
    put(there, "b");
    assert_int_equal(watch_drop(here, fx.store, &a, &err), ERR_OK);
    watch_look(there, fx.store, SOON_MS);
    expect(there, "a", CACHE_MISS, "there");
    expect(there, "b", CACHE_FRESH, "there");
}

static void accounts_dropped_between_two_looks_are_all_dropped(void **state)
{
    const struct account a = account_of("a"), b = account_of("b");
    struct err err = {0};

    (void)state;
    watch_look(there, fx.store, SOON_MS);
    put(there, "a");
    put(there, "b");
    assert_int_equal(watch_drop(here, fx.store, &a, &err), ERR_OK);
    assert_int_equal(watch_drop(here, fx.store, &b, &err), ERR_OK);
    watch_look(there, fx.store, SOON_MS);
    expect(there, "a", CACHE_MISS, "there");
    expect(there, "b", CACHE_MISS, "there");
}

static void of_a_hosts_processes_one_looks_in_a_while(void **state)
{
    struct cache_options options = {.name = names[1], .entries = 64, .mode = 0600};
    struct cache *neighbour = NULL;

    (void)state;
    assert_int_equal(cache_open(&options, &neighbour, NULL), ERR_OK);
    assert_int_equal(watch_look(there, fx.store, 60000), 1);
    assert_int_equal(watch_look(there, fx.store, 60000), 0);
    assert_int_equal(watch_look(neighbour, fx.store, 60000), 0);
    assert_int_equal(watch_look(here, fx.store, 60000), 1);
    usleep(30000);
    assert_int_equal(watch_look(neighbour, fx.store, 20), 1);
    cache_close(neighbour);
}

static void a_changed_document_has_another_version_on_every_host(void **state)
{
    struct json *value = json_new_int(5);
    struct err err = {0};
    int64_t first;

    (void)state;
    watch_look(there, fx.store, SOON_MS);
    assert_true(watch_version(there, WATCH_SETTINGS) == 0);
    assert_int_equal(store_meta_put(fx.store, watch_document(WATCH_SETTINGS), value, &err), ERR_OK);
    watch_look(there, fx.store, SOON_MS);
    first = watch_version(there, WATCH_SETTINGS);
    assert_true(first > 0 && watch_version(there, WATCH_GUARD) == 0);
    assert_int_equal(store_meta_put(fx.store, watch_document(WATCH_SETTINGS), value, &err), ERR_OK);
    watch_look(there, fx.store, SOON_MS);
    assert_true(watch_version(there, WATCH_SETTINGS) != first);
    json_free(value);
}

static void a_store_that_is_away_clears_nothing_and_is_asked_again(void **state)
{
    char away[160], path[160];
    struct err err = {0};

    (void)state;
    watch_look(there, fx.store, SOON_MS);
    put(here, "a");
    put(there, "a");
    snprintf(path, sizeof path, "%s/accounts.db", fx.dir);
    snprintf(away, sizeof away, "%s/away.db", fx.dir);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(watch_look(there, fx.store, SOON_MS), 1);
    expect(there, "a", CACHE_FRESH, "there, without a store");
    assert_int_equal(watch_clear(here, fx.store, &err), ERR_UNAVAILABLE);
    expect(here, "a", CACHE_MISS, "here");
    assert_int_equal(rename(away, path), 0);
    err_clear(&err);
    assert_int_equal(watch_clear(here, fx.store, &err), ERR_OK);
    watch_look(there, fx.store, SOON_MS);
    expect(there, "a", CACHE_MISS, "there, with the store back");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cleared_cache_is_cleared_on_every_host_once_it_looks),
        TEST(what_was_learnt_since_an_own_clear_stays),
        TEST(one_dropped_account_is_dropped_alone),
        TEST(accounts_dropped_between_two_looks_are_all_dropped),
        TEST(of_a_hosts_processes_one_looks_in_a_while),
        TEST(a_changed_document_has_another_version_on_every_host),
        TEST(a_store_that_is_away_clears_nothing_and_is_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
