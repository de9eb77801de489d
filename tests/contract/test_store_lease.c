/* The contract of leases, fences, the clock and the versions of our own documents. */
#include "store_fixture.h"

enum { TTL_MS = 60000 };

static void create(const char *name, const char *state)
{
    struct json *json = fixture_json(state);
    struct err err = {0};

    fixture_expect(store_lease_create(fx.store, name, json, NULL, &err), ERR_OK, &err, name);
    json_free(json);
}

struct sight {
    struct lease list[8];
    int count;
};

static void see(void *arg, struct lease *lease)
{
    struct sight *sight = arg;

    assert_true(sight->count < 8);
    sight->list[sight->count++] = *lease;
}

static void forget(struct sight *sight)
{
    for (int i = 0; i < sight->count; i++)
        lease_fini(&sight->list[i]);
    sight->count = 0;
}

/* The only lease whose name begins so. */
static struct lease look(struct store *store, const char *prefix)
{
    struct sight sight = {0};
    struct err err = {0};

    fixture_expect(store_lease_list(store, prefix, see, &sight, &err), ERR_OK, &err, prefix);
    if (sight.count != 1) fail_msg("%s: got %d leases, expected 1", prefix, sight.count);
    return sight.list[0];
}

static struct lease taken(struct store *store, const char *name, const char *owner)
{
    struct lease lease = look(store, name);
    struct err err = {0};

    fixture_expect(store_lease_take(store, &lease, owner, TTL_MS, &err), ERR_OK, &err, name);
    return lease;
}

static struct fence fence_of(const struct lease *lease)
{
    struct fence fence = {.epoch = lease->epoch, .until_boot_ms = clock_boot_ms() + TTL_MS};

    snprintf(fence.lease, sizeof fence.lease, "%s", lease->name);
    return fence;
}

/* ---- leases ---- */

static void a_lease_is_made_once_and_keeps_its_state(void **state)
{
    static const char text[] =
        "{\"lo\":{\"$oid\":\"0123456789abcdef01234567\"},\"n\":9007199254740993,\"$a.b\":\"\xc3\xa9\"}";
    struct json *other = fixture_json("{}");
    struct err err = {0};
    struct lease lease;
    char *kept;

    (void)state;
    create("slice/a", text);
    fixture_expect(store_lease_create(fx.store, "slice/a", other, NULL, &err), ERR_CONFLICT, &err, "made twice");
    lease = look(fx.store, "slice/a");
    kept = fixture_text(lease.state);
    assert_string_equal(kept, text);
    assert_string_equal(lease.name, "slice/a");
    assert_string_equal(lease.owner, "");
    assert_true(lease.epoch == 0);
    free(kept);
    lease_fini(&lease);
    json_free(other);
}

static void leases_are_listed_by_the_beginning_of_their_name(void **state)
{
    struct sight sight = {0};
    struct err err = {0};

    (void)state;
    create("slice/a", "{}");
    create("slice/a/s:x", "{}");
    create("slice/b", "{}");
    create("monitor/x", "{}");
    create("slicf", "{}");
    fixture_expect(store_lease_list(fx.store, "slice/", see, &sight, &err), ERR_OK, &err, "list");
    assert_int_equal(sight.count, 3);
    forget(&sight);
    fixture_expect(store_lease_list(fx.store, "slice/a", see, &sight, &err), ERR_OK, &err, "list");
    assert_int_equal(sight.count, 2);
    forget(&sight);
    fixture_expect(store_lease_list(fx.store, "none", see, &sight, &err), ERR_OK, &err, "list");
    assert_int_equal(sight.count, 0);
}

static void of_two_that_saw_the_same_lease_one_takes_it(void **state)
{
    struct store *other = fixture_open();
    struct err err = {0};
    struct lease ours, theirs;

    (void)state;
    create("l", "{\"n\":1}");
    ours = look(fx.store, "l");
    theirs = look(other, "l");
    fixture_expect(store_lease_take(fx.store, &ours, "we", TTL_MS, &err), ERR_OK, &err, "first");
    fixture_expect(store_lease_take(other, &theirs, "they", TTL_MS, &err), ERR_CONFLICT, &err, "second");
    lease_fini(&theirs);
    theirs = look(other, "l");
    assert_string_equal(theirs.owner, "we");
    assert_true(theirs.epoch == ours.epoch && theirs.beat == ours.beat && theirs.ttl_ms == TTL_MS);
    lease_fini(&ours);
    lease_fini(&theirs);
    store_close(other);
}

static void a_lease_that_was_renewed_since_it_was_seen_is_not_taken(void **state)
{
    struct err err = {0};
    struct lease ours, seen;

    (void)state;
    create("l", "{\"n\":1}");
    ours = taken(fx.store, "l", "we");
    seen = look(fx.store, "l");
    json_set(ours.state, "n", json_new_int(2));
    fixture_expect(store_lease_renew(fx.store, &ours, &err), ERR_OK, &err, "renew");
    fixture_expect(store_lease_take(fx.store, &seen, "they", TTL_MS, &err), ERR_CONFLICT, &err, "take");
    lease_fini(&seen);
    seen = look(fx.store, "l");
    assert_true(seen.beat != ours.beat - 1);
    assert_true(json_equal(seen.state, ours.state));
    lease_fini(&ours);
    lease_fini(&seen);
}

static void who_lost_a_lease_can_not_write_it_any_more(void **state)
{
    struct err err = {0};
    struct lease ours, theirs;

    (void)state;
    create("l", "{\"n\":1}");
    ours = taken(fx.store, "l", "we");
    theirs = taken(fx.store, "l", "they");
    json_set(ours.state, "n", json_new_int(2));
    fixture_expect(store_lease_renew(fx.store, &ours, &err), ERR_CONFLICT, &err, "renew");
    err_clear(&err);
    fixture_expect(store_lease_release(fx.store, &ours, &err), ERR_CONFLICT, &err, "release");
    err_clear(&err);
    fixture_expect(store_lease_delete(fx.store, &ours, &err), ERR_CONFLICT, &err, "delete");
    err_clear(&err);
    fixture_expect(store_lease_renew(fx.store, &theirs, &err), ERR_OK, &err, "renew theirs");
    lease_fini(&ours);
    ours = look(fx.store, "l");
    assert_true(json_equal(ours.state, theirs.state));
    assert_string_equal(ours.owner, "they");
    lease_fini(&ours);
    lease_fini(&theirs);
}

static void a_released_lease_is_nobodys_and_a_deleted_one_is_gone(void **state)
{
    struct sight sight = {0};
    struct err err = {0};
    struct lease lease, again;

    (void)state;
    create("l", "{\"n\":1}");
    lease = taken(fx.store, "l", "we");
    json_set(lease.state, "n", json_new_int(7));
    fixture_expect(store_lease_release(fx.store, &lease, &err), ERR_OK, &err, "release");
    fixture_expect(store_lease_renew(fx.store, &lease, &err), ERR_CONFLICT, &err, "a write of what is nobody's");
    again = taken(fx.store, "l", "they");
    assert_true(json_equal(again.state, lease.state));
    fixture_expect(store_lease_delete(fx.store, &again, &err), ERR_OK, &err, "delete");
    fixture_expect(store_lease_list(fx.store, "", see, &sight, &err), ERR_OK, &err, "list");
    assert_int_equal(sight.count, 0);
    fixture_expect(store_lease_take(fx.store, &again, "we", TTL_MS, &err), ERR_CONFLICT, &err, "take what is gone");
    lease_fini(&lease);
    lease_fini(&again);
}

static void epochs_only_grow_over_all_leases(void **state)
{
    int64_t last = 0;

    (void)state;
    create("a", "{}");
    create("b", "{}");
    for (int i = 0; i < 6; i++) {
        struct lease lease = taken(fx.store, i % 2 ? "a" : "b", "we");

        if (lease.epoch <= last)
            fail_msg("take %d: got epoch %lld after %lld", i, (long long)lease.epoch, (long long)last);
        last = lease.epoch;
        lease_fini(&lease);
    }
}

/* ---- fences ---- */

static enum err_code write_state(const char *word, struct fence *fence, struct err *err)
{
    const struct account_id id = {ID_STRING, "a"};
    struct patch patch = {.fence = fence};
    enum err_code rc;

    err_clear(err);
    patch_set_string(&patch, "tokenHealth.state", word);
    rc = store_update(fx.store, &id, &patch, err);
    patch_fini(&patch);
    return rc;
}

static void expect_state(const char *word)
{
    struct account account;
    struct err err = {0};

    fixture_expect(store_find_account(fx.store, "a", &account, &err), ERR_OK, &err, "find");
    if (!json_string(json_member(account.health, "state"))) fail_msg("no state, expected %s", word);
    assert_string_equal(json_string(json_member(account.health, "state")), word);
    account_fini(&account);
}

static void no_write_gets_through_with_the_fence_of_a_lost_lease(void **state)
{
    struct lease ours, theirs;
    struct fence old, new;
    struct err err = {0};

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenHealth\":null}");
    create("l", "{}");
    ours = taken(fx.store, "l", "we");
    old = fence_of(&ours);
    fixture_expect(write_state("first", &old, &err), ERR_OK, &err, "our write");
    fixture_expect(write_state("second", &old, &err), ERR_OK, &err, "our next write");
    theirs = taken(fx.store, "l", "they");
    new = fence_of(&theirs);
    fixture_expect(write_state("theirs", &new, &err), ERR_OK, &err, "their write");
    assert_int_equal(fence_holds(&old), 1); /* by its time */
    fixture_expect(write_state("late", &old, &err), ERR_CONFLICT, &err, "our late write");
    assert_int_equal(fence_holds(&old), 0);
    expect_state("theirs");
    fixture_expect(write_state("theirs again", &new, &err), ERR_OK, &err, "their next write");
    fixture_expect(write_state("nobody's", NULL, &err), ERR_OK, &err, "a write without a fence");
    lease_fini(&ours);
    lease_fini(&theirs);
}

static void no_write_gets_through_after_the_time_of_its_fence(void **state)
{
    struct lease lease;
    struct fence fence;
    struct err err = {0};

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenHealth\":{\"state\":\"old\"}}");
    create("l", "{}");
    lease = taken(fx.store, "l", "we");
    fence = fence_of(&lease);
    fence.until_boot_ms = clock_boot_ms();
    fixture_expect(write_state("new", &fence, &err), ERR_CONFLICT, &err, "late");
    expect_state("old");
    fixture_expect(store_lease_create(fx.store, "other", lease.state, &fence, &err), ERR_CONFLICT, &err, "late lease");
    lease_fini(&lease);
}

static void a_fence_does_not_stand_in_for_a_guard(void **state)
{
    const struct account_id id = {ID_STRING, "a"}, gone = {ID_STRING, "b"};
    struct patch patch = {0};
    struct lease lease;
    struct fence fence;
    struct json *other = fixture_json("\"something else\"");
    struct err err = {0};

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenHealth\":{\"state\":\"old\"}}");
    create("l", "{}");
    lease = taken(fx.store, "l", "we");
    fence = fence_of(&lease);
    patch.fence = &fence;
    patch_guard(&patch, "accessToken", other);
    patch_set_string(&patch, "tokenHealth.state", "new");
    fixture_expect(store_update(fx.store, &id, &patch, &err), ERR_CONFLICT, &err, "guard");
    err_clear(&err);
    fixture_expect(store_update(fx.store, &gone, &patch, &err), ERR_NOT_FOUND, &err, "no such account");
    assert_int_equal(fence_holds(&fence), 1);
    expect_state("old");
    patch_fini(&patch);
    json_free(other);
    lease_fini(&lease);
}

/* ---- the clock ---- */

static void the_stores_clock_goes_on_and_is_the_same_for_all(void **state)
{
    struct store *other = fixture_open();
    struct err err = {0};
    int64_t last = 0, now = 0, start;

    (void)state;
    fixture_expect(store_now(fx.store, &start, &err), ERR_OK, &err, "now");
    if (start < clock_now_ms() - 5000 || start > clock_now_ms() + 5000) fail_msg("got %lld", (long long)start);
    for (int i = 0; i < 20; i++) {
        fixture_expect(store_now(i % 2 ? other : fx.store, &now, &err), ERR_OK, &err, "now");
        if (now < last) fail_msg("it went back from %lld to %lld", (long long)last, (long long)now);
        last = now;
        usleep(5000);
    }
    assert_true(now - start >= 90);
    store_close(other);
}

/* ---- versions ---- */

static void each_write_of_our_own_documents_changes_their_version(void **state)
{
    static const char *const names[] = {"x", "y", "z"};
    struct json *value = fixture_json("{\"a\":1}"), *got = NULL;
    int64_t before[3], after[3], version = 0;
    struct err err = {0};

    (void)state;
    fixture_expect(store_meta_versions(fx.store, names, 3, before, &err), ERR_OK, &err, "versions");
    assert_true(before[0] == 0 && before[1] == 0 && before[2] == 0);
    fixture_expect(store_meta_put(fx.store, "x", value, &err), ERR_OK, &err, "put");
    fixture_expect(store_meta_bump(fx.store, "y", 0, &version, &err), ERR_OK, &err, "bump");
    fixture_expect(store_meta_versions(fx.store, names, 3, before, &err), ERR_OK, &err, "versions");
    assert_true(before[0] > 0 && before[1] == version && before[2] == 0);
    fixture_expect(store_meta_put(fx.store, "x", value, &err), ERR_OK, &err, "put");
    fixture_expect(store_meta_bump(fx.store, "x", 0, &version, &err), ERR_OK, &err, "bump");
    fixture_expect(store_meta_versions(fx.store, names, 3, after, &err), ERR_OK, &err, "versions");
    assert_true(after[0] == version && after[0] == before[0] + 2 && after[1] == before[1]);
    fixture_expect(store_meta_get(fx.store, "x", &got, &err), ERR_OK, &err, "get");
    assert_true(json_equal(got, value));
    fixture_expect(store_meta_bump(fx.store, "y", 1000, &version, &err), ERR_OK, &err, "bump");
    assert_true(version == 1000);
    fixture_expect(store_meta_bump(fx.store, "y", 5, &version, &err), ERR_OK, &err, "bump");
    assert_true(version == 1001);
    json_free(got);
    json_free(value);
}

static void of_two_that_read_the_same_version_one_writes(void **state)
{
    struct json *first = fixture_json("{\"a\":1}"), *second = fixture_json("{\"a\":2}"), *got = NULL;
    const char *const name = "swapped";
    int64_t version = -1;
    struct err err = {0};

    (void)state;
    fixture_expect(store_meta_swap(fx.store, name, first, 3, &err), ERR_CONFLICT, &err, "there is none of version 3");
    fixture_expect(store_meta_swap(fx.store, name, first, 0, &err), ERR_OK, &err, "the first");
    fixture_expect(store_meta_swap(fx.store, name, second, 0, &err), ERR_CONFLICT, &err, "there is one already");
    fixture_expect(store_meta_versions(fx.store, &name, 1, &version, &err), ERR_OK, &err, "versions");
    assert_true(version == 1);
    fixture_expect(store_meta_swap(fx.store, name, second, version, &err), ERR_OK, &err, "the second");
    fixture_expect(store_meta_swap(fx.store, name, first, version, &err), ERR_CONFLICT, &err, "too late");
    fixture_expect(store_meta_get(fx.store, name, &got, &err), ERR_OK, &err, "get");
    assert_true(json_equal(got, second));
    json_free(got);
    json_free(first);
    json_free(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lease_is_made_once_and_keeps_its_state),
        TEST(leases_are_listed_by_the_beginning_of_their_name),
        TEST(of_two_that_saw_the_same_lease_one_takes_it),
        TEST(a_lease_that_was_renewed_since_it_was_seen_is_not_taken),
        TEST(who_lost_a_lease_can_not_write_it_any_more),
        TEST(a_released_lease_is_nobodys_and_a_deleted_one_is_gone),
        TEST(epochs_only_grow_over_all_leases),
        TEST(no_write_gets_through_with_the_fence_of_a_lost_lease),
        TEST(no_write_gets_through_after_the_time_of_its_fence),
        TEST(a_fence_does_not_stand_in_for_a_guard),
        TEST(the_stores_clock_goes_on_and_is_the_same_for_all),
        TEST(each_write_of_our_own_documents_changes_their_version),
        TEST(of_two_that_read_the_same_version_one_writes),
    };

    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
