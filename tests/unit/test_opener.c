/* Opening envelopes on threads: every one comes back once, as keyring_open would have said, whatever becomes of the opener meanwhile. */
#include "keyring_fixture.h"
#include "token/opener.h"
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

enum { COUNT = 60, THREADS = 4, LONG_MS = 60000, QUICK = 300, SLOW = 60000 };
enum { MOST_SIGNALS = 0x7ffbfeff }; /* all but SIGKILL and SIGSTOP */

static const char *const kids[] = {"new", "old"}, *const keys[] = {FIXTURE_KEY, FIXTURE_OLD_KEY};

static struct keyring *both_keys(void)
{
    return fixture_ring(kids, keys, 2, FIXTURE_SALT, QUICK);
}

static void seal(const char *key, int64_t kdf, const char *text, struct envelope *env)
{
    struct keyring *ring = fixture_ring_of(key, FIXTURE_SALT, kdf);
    struct secret token = fixture_secret(text);

    assert_int_equal(keyring_seal(ring, &token, env, NULL), ERR_OK);
    secret_free(&token);
    keyring_free(ring);
}

static struct opener *start(const struct keyring *ring, int threads)
{
    struct opener *opener = NULL;
    struct err err = {0};

    if (opener_new(ring, threads, &opener, &err) != ERR_OK) fail_msg("opener_new: %s", err.text);
    return opener;
}

static int is_ready(const struct opener *opener, int wait_ms)
{
    struct pollfd event = {.fd = opener_fd(opener), .events = POLLIN};

    return poll(&event, 1, wait_ms) == 1;
}

static struct opening *take(struct opener *opener)
{
    struct opening *o;

    if (!is_ready(opener, LONG_MS)) fail_msg("nothing was done within %d ms", LONG_MS);
    o = opener_take(opener);
    assert_non_null(o);
    return o;
}

static int is_all_zero(const struct secret *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (secret_bytes(s)[i]) return 0;
    return 1;
}

/* How many threads of the process block at least these signals (bit 0: signal 1). */
static int count_threads(uint64_t blocked)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int count = 0;

    assert_non_null(tasks);
    while ((task = readdir(tasks))) {
        char path[300], text[4096];
        FILE *status;
        size_t len;

        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        status = fopen(path, "r");
        if (!status) continue;
        len = fread(text, 1, sizeof text - 1, status);
        text[len] = '\0';
        fclose(status);
        assert_non_null(strstr(text, "SigBlk:"));
        count += (strtoull(strstr(text, "SigBlk:") + 7, NULL, 16) & blocked) == blocked;
    }
    closedir(tasks);
    return count;
}

static void each_envelope_comes_back_once_with_its_own_token_or_reason(void **state)
{
    struct keyring *ring = both_keys();
    struct opener *opener = start(ring, THREADS);
    struct envelope env[3] = {0};
    struct opening all[COUNT] = {0};
    int seen[COUNT] = {0};

    (void)state;
    seal(FIXTURE_KEY, QUICK, FIXTURE_TOKEN, &env[0]);
    seal(FIXTURE_OLD_KEY, QUICK, "another-token", &env[1]);
    seal("a key of nobody", QUICK, FIXTURE_TOKEN, &env[2]);
    for (int i = 0; i < COUNT; i++) {
        assert_true(opening_begin(&all[i], &env[i % 3]));
        all[i].owner = &seen[i];
        opener_put(opener, &all[i]);
    }
    for (int n = 0; n < COUNT; n++) {
        struct opening *o = take(opener);
        int i = (int)((int *)o->owner - seen);
        const char *want = i % 3 ? "another-token" : FIXTURE_TOKEN;

        seen[i]++;
        assert_true(o == &all[i] && o->is_done && is_all_zero(&o->room.key));
        if (i % 3 == 2) {
            fixture_refused(o->rc, ERR_UNDECRYPTABLE, &o->err, "an envelope of another key");
            continue;
        }
        if (o->rc != ERR_OK) fail_msg("envelope %d: got %s, expected ok", i, o->err.text);
        if (o->room.token.len != strlen(want) || memcmp(secret_bytes(&o->room.token), want, strlen(want)) != 0)
            fail_msg("envelope %d: got another token than its own", i);
        assert_string_equal(o->room.kid, kids[i % 3]);
    }
    for (int i = 0; i < COUNT; i++) {
        if (seen[i] != 1) fail_msg("envelope %d: got %d times, expected once", i, seen[i]);
        opening_fini(&all[i]);
    }
    assert_true(!opener_take(opener) && !is_ready(opener, 0));
    opener_free(opener);
    keyring_free(ring);
    for (int i = 0; i < 3; i++)
        envelope_fini(&env[i]);
}

static void the_descriptor_can_be_read_exactly_while_one_is_done(void **state)
{
    struct keyring *ring = both_keys();
    struct opener *opener = start(ring, 1);
    struct opening first = {0}, second = {0};
    struct envelope env = {0};

    (void)state;
    seal(FIXTURE_KEY, QUICK, FIXTURE_TOKEN, &env);
    assert_true(!is_ready(opener, 20) && !opener_take(opener));
    for (int round = 0; round < 50; round++) {
        assert_true(opening_begin(&first, &env) && opening_begin(&second, &env));
        opener_put(opener, &first);
        opener_put(opener, &second);
        assert_ptr_equal(take(opener), &first); /* one thread: in their order */
        assert_ptr_equal(take(opener), &second);
        assert_false(is_ready(opener, 0));
    }
    opener_free(opener);
    opening_fini(&first);
    opening_fini(&second);
    envelope_fini(&env);
    keyring_free(ring);
}

static void an_opener_that_goes_waits_for_what_is_under_way_and_leaves_the_rest(void **state)
{
    const int alone = count_threads(0); /* a sanitizer may have threads, too */
    struct keyring *ring = both_keys();
    struct opener *opener = start(ring, 2);
    struct opening all[COUNT] = {0};
    struct envelope env = {0};
    int done = 0;

    (void)state;
    seal(FIXTURE_KEY, SLOW, FIXTURE_TOKEN, &env);
    for (int i = 0; i < COUNT; i++) {
        assert_true(opening_begin(&all[i], &env));
        opener_put(opener, &all[i]);
    }
    take(opener);
    opener_free(opener);
    for (int i = 0; count_threads(0) > alone && i < LONG_MS; i++)
        usleep(1000); /* the kernel shows a thread a little longer than it can be joined */
    assert_int_equal(count_threads(0), alone);
    for (int i = 0; i < COUNT; i++) {
        done += all[i].is_done;
        opening_fini(&all[i]);
    }
    if (done < 1 || done == COUNT) fail_msg("%d of %d were opened, expected some", done, COUNT);
    envelope_fini(&env);
    keyring_free(ring);
}

static void the_threads_take_no_signal(void **state)
{
    struct keyring *ring = both_keys();
    struct opener *opener;
    sigset_t before = {0}, after = {0};
    int alone = count_threads(0), deaf = count_threads(MOST_SIGNALS);

    (void)state;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    opener = start(ring, THREADS);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(count_threads(0), alone + THREADS);
    assert_int_equal(count_threads(MOST_SIGNALS), deaf + THREADS);
    opener_free(opener);
    keyring_free(ring);
}

static void what_is_no_envelope_needs_no_thread(void **state)
{
    struct envelope empty = {0};
    struct opening o = {0};

    (void)state;
    assert_false(opening_begin(&o, &empty));
    assert_true(o.is_done);
    fixture_refused(o.rc, ERR_UNDECRYPTABLE, &o.err, "an empty envelope");
    opening_fini(&o);
}

static void there_are_as_many_threads_as_usable_cores(void **state)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    (void)state;
    if (opener_cores() < 1 || opener_cores() > online)
        fail_msg("got %d cores, expected 1 to %ld", opener_cores(), online);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_envelope_comes_back_once_with_its_own_token_or_reason),
        cmocka_unit_test(the_descriptor_can_be_read_exactly_while_one_is_done),
        cmocka_unit_test(an_opener_that_goes_waits_for_what_is_under_way_and_leaves_the_rest),
        cmocka_unit_test(the_threads_take_no_signal),
        cmocka_unit_test(what_is_no_envelope_needs_no_thread),
        cmocka_unit_test(there_are_as_many_threads_as_usable_cores),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
