/* The contract with many processes at once, each with its own connection: of those that compare and swap exactly one wins, and no
 * update of single fields is lost. */
#include "store_fixture.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { PROCESSES = 6, ROUNDS = 30, WRITES = 25, TURNS = 120, PATIENCE_MS = 20000 };

static struct shared {
    _Atomic int arrived[ROUNDS], wins[ROUNDS], winner[ROUNDS], writes[PROCESSES], is_over;
} * shared;

typedef int work_fn(struct store *store, int number);

/* A child must not use cmocka's asserts: what ${work} returns is its exit status, 0 for good. */
static pid_t start(work_fn *work, int number)
{
    const struct store_options options = {fx.uri, "socialaccounts", PATIENCE_MS};
    struct store *store = NULL;
    struct err err = {0};
    pid_t pid = fork();
    int status;

    if (pid != 0) return pid;
    alarm(FIXTURE_SECONDS);
    if (store_open(&options, &store, &err) != ERR_OK) {
        fprintf(stderr, "process %d: %s %s\n", number, err.place, err.text);
        _exit(99);
    }
    status = work(store, number);
    store_close(store);
    _exit(status);
}

static void run_all(work_fn *work)
{
    pid_t pids[PROCESSES];
    int bad = 0;

    for (int i = 0; i < PROCESSES; i++)
        pids[i] = start(work, i);
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;

        waitpid(pids[i], &status, 0);
        if (status != 0) fprintf(stderr, "process %d ended with status %#x\n", i, status);
        bad += status != 0;
    }
    assert_int_equal(bad, 0);
}

static void meet(int round)
{
    atomic_fetch_add(&shared->arrived[round], 1);
    while (atomic_load(&shared->arrived[round]) < PROCESSES)
        sched_yield();
}

static int say(int number, enum err_code rc, const struct err *err)
{
    fprintf(stderr, "process %d: %s: %s\n", number, err_word(rc), err->text);
    return 1;
}

/* ---- compare and swap ---- */

/* All meet before each round, then all try to be the one that replaces the envelope of its account. */
static int swap(struct store *store, int number)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct account_id id = {.type = ID_NUMBER};
        struct json *old = json_object_new(), *new = json_object_new();
        struct patch p = {0};
        struct err err = {0};
        enum err_code rc;

        snprintf(id.text, sizeof id.text, "%d", round);
        json_set(old, "iv", json_new_string("old"));
        json_set(new, "iv", json_new_int(number));
        patch_guard(&p, "encryptedAccessToken", old);
        patch_set(&p, "encryptedAccessToken", new);
        meet(round);
        rc = store_update(store, &id, &p, &err);
        json_free(old);
        patch_fini(&p);
        if (rc == ERR_OK) {
            atomic_fetch_add(&shared->wins[round], 1);
            atomic_store(&shared->winner[round], number);
        } else if (rc != ERR_CONFLICT) {
            return say(number, rc, &err);
        }
    }
    return 0;
}

static void of_many_that_compare_and_swap_exactly_one_wins(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char text[128];

        snprintf(text, sizeof text, "{\"_id\":%d,\"platform\":\"instagram\",\"encryptedAccessToken\":{\"iv\":\"old\"}}",
                 i);
        fixture_put(text);
    }
    run_all(swap);
    for (int i = 0; i < ROUNDS; i++) {
        struct account account;
        struct err err = {0};
        char id[16];
        int64_t by = -1;

        if (shared->wins[i] != 1) fail_msg("round %d: %d won, expected 1", i, shared->wins[i]);
        snprintf(id, sizeof id, "%d", i);
        fixture_expect(store_find_account(fx.store, id, &account, &err), ERR_OK, &err, id);
        json_int(json_member(account.encrypted_access, "iv"), &by);
        account_fini(&account);
        assert_int_equal(by, shared->winner[i]);
    }
}

/* ---- single fields ---- */

static int write_own_field(struct store *store, int number)
{
    const struct account_id id = {ID_STRING, "a"};
    static const char *const paths[PROCESSES] = {"tokenHealth.p0.n", "tokenHealth.p1.n", "tokenHealth.p2.n",
                                                 "tokenHealth.p3.n", "tokenHealth.p4.n", "tokenHealth.p5.n"};

    meet(0);
    for (int i = 1; i <= WRITES; i++) {
        struct patch p = {0};
        struct err err = {0};
        struct json *before = i > 1 ? json_new_int(i - 1) : NULL;
        enum err_code rc;

        patch_guard(&p, paths[number], before); /* its own last write must still be there */
        patch_set_int(&p, paths[number], i);
        rc = store_update(store, &id, &p, &err);
        json_free(before);
        patch_fini(&p);
        if (rc != ERR_OK) return say(number, rc, &err);
    }
    return 0;
}

static void updates_of_different_fields_do_not_undo_each_other(void **state)
{
    struct account account;
    struct err err = {0};

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"tokenHealth\":null}");
    run_all(write_own_field);
    fixture_expect(store_find_account(fx.store, "a", &account, &err), ERR_OK, &err, "find");
    for (int i = 0; i < PROCESSES; i++) {
        char path[16];
        int64_t n = 0;

        snprintf(path, sizeof path, "p%d.n", i);
        json_int(json_get(account.health, path), &n);
        if (n != WRITES) fail_msg("%s is %d, expected %d", path, (int)n, WRITES);
    }
    account_fini(&account);
}

/* ---- turns ---- */

/* Nobody pauses between two writes. Once the first has done all its writes, the others write no more. */
static int write_until_one_is_done(struct store *store, int number)
{
    struct account_id id = {.type = ID_NUMBER};

    snprintf(id.text, sizeof id.text, "%d", number);
    meet(0);
    while (!shared->is_over && shared->writes[number] < TURNS) {
        struct patch p = {0};
        struct err err = {0};
        enum err_code rc;

        patch_set_int(&p, "tokenHealth.n", shared->writes[number]);
        rc = store_update(store, &id, &p, &err);
        patch_fini(&p);
        if (rc != ERR_OK) return say(number, rc, &err);
        shared->writes[number]++;
    }
    shared->is_over = 1;
    return 0;
}

static void of_many_that_write_without_a_pause_none_is_kept_out(void **state)
{
    int least = TURNS;

    (void)state;
    for (int i = 0; i < PROCESSES; i++) {
        char text[64];

        snprintf(text, sizeof text, "{\"_id\":%d,\"platform\":\"instagram\"}", i);
        fixture_put(text);
    }
    run_all(write_until_one_is_done);
    for (int i = 0; i < PROCESSES; i++)
        if (shared->writes[i] < least) least = shared->writes[i];
    printf("FIGURE: %d processes write without a pause: when the first had written %d times, the last had %d times\n",
           PROCESSES, TURNS, least);
    if (least < TURNS / 4)
        fail_msg("one wrote %d times while another wrote %d times, expected %d at least", least, TURNS, TURNS / 4);
}

/* ---- leases ---- */

static void keep_lease(void *arg, struct lease *lease)
{
    *(struct lease *)arg = *lease;
}

/* All see the lease of the round before any takes it. */
static int take_lease(struct store *store, int number)
{
    char owner[16];

    snprintf(owner, sizeof owner, "process %d", number);
    for (int round = 0; round < ROUNDS; round++) {
        struct lease lease = {0};
        struct err err = {0};
        char name[24];
        enum err_code rc;

        snprintf(name, sizeof name, "lease-%02d", round);
        rc = store_lease_list(store, name, keep_lease, &lease, &err);
        if (rc != ERR_OK) return say(number, rc, &err);
        meet(round);
        rc = store_lease_take(store, &lease, owner, 60000, &err);
        lease_fini(&lease);
        if (rc == ERR_OK) {
            atomic_fetch_add(&shared->wins[round], 1);
            atomic_store(&shared->winner[round], number);
        } else if (rc != ERR_CONFLICT) {
            return say(number, rc, &err);
        }
    }
    return 0;
}

static void of_many_that_take_a_lease_exactly_one_holds_it(void **state)
{
    struct json *nothing = fixture_json("{}");

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct err err = {0};
        char name[24];

        snprintf(name, sizeof name, "lease-%02d", i);
        fixture_expect(store_lease_create(fx.store, name, nothing, NULL, &err), ERR_OK, &err, name);
    }
    json_free(nothing);
    run_all(take_lease);
    for (int i = 0; i < ROUNDS; i++) {
        struct lease lease = {0};
        struct err err = {0};
        char name[24], owner[16];

        if (shared->wins[i] != 1) fail_msg("round %d: %d took it, expected 1", i, shared->wins[i]);
        snprintf(name, sizeof name, "lease-%02d", i);
        snprintf(owner, sizeof owner, "process %d", shared->winner[i]);
        fixture_expect(store_lease_list(fx.store, name, keep_lease, &lease, &err), ERR_OK, &err, name);
        assert_string_equal(lease.owner, owner);
        lease_fini(&lease);
    }
}

/* ---- import ---- */

static int import_same(struct store *store, int number)
{
    struct json *doc = NULL;
    struct err err = {0};
    int created = 0;
    char text[64];
    enum err_code rc;

    for (int round = 0; round < ROUNDS; round++) {
        snprintf(text, sizeof text, "{\"_id\":\"i%d\",\"platform\":\"instagram\",\"n\":%d}", round, number);
        json_parse(text, strlen(text), &doc, NULL);
        err_clear(&err);
        meet(round);
        rc = store_import(store, doc, 0, &created, &err);
        json_free(doc);
        if (rc == ERR_OK)
            atomic_fetch_add(&shared->wins[round], created);
        else if (rc != ERR_CONFLICT)
            return say(number, rc, &err);
    }
    return 0;
}

static void of_many_that_import_one_account_exactly_one_creates_it(void **state)
{
    (void)state;
    run_all(import_same);
    for (int i = 0; i < ROUNDS; i++)
        if (shared->wins[i] != 1) fail_msg("account %d: created %d times, expected once", i, shared->wins[i]);
}

/* ---- start ---- */

static int use_at_once(struct store *store, int number)
{
    struct json *value = json_new_int(number);
    struct store_counts counts;
    struct err err = {0};
    enum err_code rc = store_prepare(store, NULL, NULL, &err);

    if (rc == ERR_OK) rc = store_meta_put(store, "start", value, &err);
    if (rc == ERR_OK) rc = store_count(store, NULL, &counts, &err);
    json_free(value);
    return rc == ERR_OK ? 0 : say(number, rc, &err);
}

static void many_may_open_a_new_store_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        fixture_new_place();
        run_all(use_at_once);
    }
}

static int race_setup(void **state)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : fixture_setup(state);
}

static int race_teardown(void **state)
{
    munmap(shared, sizeof *shared);
    return fixture_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, race_setup, race_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_many_that_compare_and_swap_exactly_one_wins),
        TEST(of_many_that_take_a_lease_exactly_one_holds_it),
        TEST(updates_of_different_fields_do_not_undo_each_other),
        TEST(of_many_that_write_without_a_pause_none_is_kept_out),
        TEST(of_many_that_import_one_account_exactly_one_creates_it),
        TEST(many_may_open_a_new_store_at_once),
    };

    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
