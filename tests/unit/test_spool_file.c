/* The spool's file: who may use it, and what happens when it is removed, replaced, or not to be written. */
#include "spool_fixture.h"
#include <grp.h>

enum { NOBODY = 65534 };

static mode_t mode_of(const char *path)
{
    struct stat st = {0};

    return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void paths_that_cannot_be_are_refused(void **state)
{
    char path[PATH_MAX + 1];
    struct spool *sp;
    struct err err = {0};

    (void)state;
    memset(path, 'x', PATH_MAX);
    path[PATH_MAX] = '\0';
    assert_int_equal(spool_new(path, spool_ring, &sp, &err), ERR_CONFIG);
    assert_null(sp);
    assert_int_equal(spool_new("", spool_ring, &sp, NULL), ERR_CONFIG);
    assert_int_equal(spool_new(NULL, spool_ring, &sp, NULL), ERR_CONFIG);
}

static void without_a_file_there_is_nothing_to_replay_and_none_is_made(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};

    (void)state;
    assert_int_equal(spool_fixture_replay(NULL, &seen).done, 0);
    assert_int_equal(mode_of(spool_fixture_folder()), 0);
}

static void file_and_folder_are_for_their_owner_only_whatever_the_umask(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct spool *sp = spool_fixture_new();
        mode_t old = umask(i ? 0277 : 0);

        spool_fixture_works(sp, 1);
        umask(old);
        assert_int_equal(mode_of(spool_path), 0600);
        if (i == 0) assert_int_equal(mode_of(spool_fixture_folder()), 0700);
        assert_int_equal(unlink(spool_path), 0);
        spool_free(sp);
    }
}

static void a_damaged_slot_is_set_aside_for_the_owner_only(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};
    size_t len;
    char *bytes;
    mode_t old = umask(0);

    (void)state;
    spool_fixture_fill(0, 1, 1);
    bytes = spool_fixture_load(spool_path, &len);
    bytes[100] ^= 1;
    spool_fixture_store(spool_path, bytes, len);
    assert_int_equal(spool_fixture_replay(NULL, &seen).damaged, 1);
    umask(old);
    assert_int_equal(mode_of(spool_fixture_damaged_path()), 0600);
    free(bytes);
}

static void a_file_that_others_may_use_is_refused_until_it_is_put_right(void **state)
{
    static const mode_t modes[] = {0604, 0640, 0660, 0602, 0601};
    struct spool *sp = spool_fixture_new(), *next;

    (void)state;
    spool_fixture_works(sp, 1);
    spool_free(sp);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        sp = spool_fixture_new();
        assert_int_equal(chmod(spool_path, modes[i]), 0);
        spool_fixture_reserve_fails(sp, ERR_IO, "a file for others");
        assert_int_equal(chmod(spool_path, 0600), 0);
        spool_fixture_works(sp, 2);
        spool_free(sp);
    }
    next = spool_fixture_new();
    spool_fixture_works(next, 3);
    spool_free(next);
}

static void what_is_no_file_is_refused(void **state)
{
    struct spool *sp = spool_fixture_new();
    char other[sizeof spool_path + 8];

    (void)state;
    snprintf(other, sizeof other, "%s.other", spool_path);
    assert_int_equal(mkdir(spool_fixture_folder(), 0700), 0);
    spool_fixture_store(other, "", 0);
    assert_int_equal(symlink(other, spool_path), 0);
    spool_fixture_reserve_fails(sp, ERR_IO, "a link");
    assert_int_equal(unlink(spool_path), 0);
    assert_int_equal(mkfifo(spool_path, 0600), 0);
    spool_fixture_reserve_fails(sp, ERR_IO, "a fifo");
    assert_int_equal(unlink(spool_path), 0);
    assert_int_equal(mkdir(spool_path, 0700), 0);
    spool_fixture_reserve_fails(sp, ERR_IO, "a folder");
    assert_int_equal(rmdir(spool_path), 0);
    spool_fixture_works(sp, 1);
    spool_free(sp);
}

static int become_nobody(void)
{
    return setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

static int use_as_nobody(void *arg)
{
    struct spool_ticket *ticket;
    struct err err = {0};
    struct spool *sp;

    (void)arg;
    if (!become_nobody()) return 2;
    sp = spool_fixture_new();
    return spool_fixture_reserve(sp, 1, &ticket, &err) == ERR_IO && !ticket && err.text[0] ? 0 : 1;
}

static void the_file_of_another_user_is_refused(void **state)
{
    struct spool *sp = spool_fixture_new();

    (void)state;
    spool_fixture_need_root();
    spool_fixture_works(sp, 1);
    assert_int_equal(chmod(spool_folder, 0755), 0);
    assert_int_equal(chown(spool_fixture_folder(), NOBODY, NOBODY), 0);
    assert_int_equal(fixture_wait(fixture_fork(use_as_nobody, NULL)), 0);
    spool_free(sp);
}

static void what_root_makes_belongs_to_who_owns_the_folder(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct stat st;

    (void)state;
    spool_fixture_need_root();
    assert_int_equal(chown(spool_folder, NOBODY, NOBODY), 0);
    spool_fixture_works(sp, 1);
    assert_int_equal(stat(spool_fixture_folder(), &st), 0);
    assert_int_equal(st.st_uid, NOBODY);
    assert_int_equal(stat(spool_path, &st), 0);
    assert_int_equal(st.st_uid, NOBODY);
    assert_int_equal(st.st_gid, NOBODY);
    spool_free(sp);
}

/* ---- removed, replaced, emptied */

static void remove_it(void)
{
    assert_int_equal(unlink(spool_path), 0);
}
static void remove_its_folder(void)
{
    remove_it();
    assert_int_equal(rmdir(spool_fixture_folder()), 0);
}
static void replace_it(void)
{
    char other[sizeof spool_path + 8];

    snprintf(other, sizeof other, "%s.other", spool_path);
    spool_fixture_store(other, "", 0);
    assert_int_equal(rename(other, spool_path), 0);
}
static void put_back_a_copy(void)
{
    char other[sizeof spool_path + 8];
    size_t len;
    char *bytes = spool_fixture_load(spool_path, &len);

    snprintf(other, sizeof other, "%s.other", spool_path);
    spool_fixture_store(other, bytes, len);
    assert_int_equal(rename(other, spool_path), 0);
    free(bytes);
}
static void empty_it(void)
{
    assert_int_equal(truncate(spool_path, 0), 0);
}

static void what_is_kept_after_the_file_was_lost_is_found_all_the_same(void **state)
{
    static const struct {
        const char *name;
        void (*lose)(void);
        int intents; /* that a copy brings back */
    } cases[] = {{"removed", remove_it, 0},
                 {"removed with its folder", remove_its_folder, 0},
                 {"replaced", replace_it, 0},
                 {"a copy put back", put_back_a_copy, 4},
                 {"emptied", empty_it, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spool *sp = spool_fixture_new();
        struct spool_seen seen = {.fate = SPOOL_DONE};
        struct spool_ticket *tickets[4];
        struct err err = {0};

        for (int n = 0; n < 4; n++)
            assert_int_equal(spool_fixture_reserve(sp, n, &tickets[n], NULL), ERR_OK);
        cases[i].lose();
        for (int n = 0; n < 3; n++)
            if (spool_fixture_keep(sp, n, tickets[n], &err) != ERR_OK)
                fail_msg("%s: account %d: %s: %s", cases[i].name, n, err.place, err.text);
        spool_done(sp, tickets[0]);
        spool_leave(sp, tickets[1]);
        spool_leave(sp, tickets[2]);
        spool_done(sp, tickets[3]);
        spool_fixture_replay(NULL, &seen);
        for (int n = 0; n < 4; n++) {
            int want = n == 1 || n == 2, intents = cases[i].intents != 0;

            if (seen.records[n] != want || seen.intents[n] != intents)
                fail_msg("%s: account %d: %d records, %d intents", cases[i].name, n, seen.records[n], seen.intents[n]);
        }
        spool_fixture_works(sp, 9);
        assert_int_equal(unlink(spool_path), 0);
        spool_free(sp);
    }
}

static void when_the_file_cannot_be_made_again_keep_says_so(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_ticket *ticket;
    struct err err = {0};

    (void)state;
    assert_int_equal(spool_fixture_reserve(sp, 5, &ticket, NULL), ERR_OK);
    remove_it();
    assert_int_equal(mkdir(spool_path, 0700), 0);
    fixture_refused(spool_fixture_keep(sp, 5, ticket, &err), ERR_IO, &err, "a folder in its place");
    assert_int_equal(rmdir(spool_path), 0);
    assert_int_equal(spool_fixture_keep(sp, 5, ticket, NULL), ERR_OK);
    spool_leave(sp, ticket);
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.records[5], 1);
    spool_free(sp);
}

/* ---- not to be written */

static int meet_an_unwritable_folder(void *arg)
{
    struct spool_ticket *held, *ticket;
    struct err err = {0};
    struct spool *sp, *other;

    (void)arg;
    if (geteuid() == 0 && !become_nobody()) return 2;
    sp = spool_fixture_new();
    other = spool_fixture_new();
    if (chmod(spool_folder, 0500) != 0) return 3;
    if (spool_fixture_reserve(sp, 1, &ticket, &err) != ERR_IO || !err.text[0]) return 4;
    if (chmod(spool_folder, 0700) != 0 || spool_fixture_reserve(sp, 1, &held, NULL) != ERR_OK) return 5;
    if (chmod(spool_fixture_folder(), 0) != 0) return 6;
    err_clear(&err);
    if (spool_fixture_reserve(other, 2, &ticket, &err) != ERR_IO || !err.text[0]) return 7;
    if (spool_fixture_keep(sp, 1, held, NULL) != ERR_OK) return 8; /* reserved is reserved */
    spool_leave(sp, held);
    if (chmod(spool_fixture_folder(), 0700) != 0 || spool_fixture_reserve(other, 2, &ticket, NULL) != ERR_OK) return 9;
    spool_done(other, ticket);
    return 0;
}

static void in_an_unwritable_folder_reserve_fails_and_keep_does_not(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};

    (void)state;
    if (geteuid() == 0) assert_int_equal(chown(spool_folder, NOBODY, NOBODY), 0);
    assert_int_equal(fixture_wait(fixture_fork(meet_an_unwritable_folder, NULL)), 0);
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.records[1], 1);
}

static int use_after_fork(void *arg)
{
    struct spool *sp = arg;
    struct spool_ticket *ticket;
    struct err err = {0};

    return spool_fixture_reserve(sp, 1, &ticket, &err) == ERR_INTERNAL && !ticket && err.text[0] ? 0 : 1;
}

static void a_spool_from_before_a_fork_is_not_used(void **state)
{
    struct spool *sp = spool_fixture_new();

    (void)state;
    spool_fixture_works(sp, 1);
    assert_int_equal(fixture_wait(fixture_fork(use_after_fork, sp)), 0);
    spool_free(sp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(paths_that_cannot_be_are_refused),
        SPOOL_TEST(without_a_file_there_is_nothing_to_replay_and_none_is_made),
        SPOOL_TEST(file_and_folder_are_for_their_owner_only_whatever_the_umask),
        SPOOL_TEST(a_damaged_slot_is_set_aside_for_the_owner_only),
        SPOOL_TEST(a_file_that_others_may_use_is_refused_until_it_is_put_right),
        SPOOL_TEST(what_is_no_file_is_refused),
        SPOOL_TEST(the_file_of_another_user_is_refused),
        SPOOL_TEST(what_root_makes_belongs_to_who_owns_the_folder),
        SPOOL_TEST(what_is_kept_after_the_file_was_lost_is_found_all_the_same),
        SPOOL_TEST(when_the_file_cannot_be_made_again_keep_says_so),
        SPOOL_TEST(in_an_unwritable_folder_reserve_fails_and_keep_does_not),
        SPOOL_TEST(a_spool_from_before_a_fork_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
