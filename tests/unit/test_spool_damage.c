/* A spool that was cut, torn or overwritten: no other record is lost, nothing crashes, and what is damaged is set aside. */
#include "spool_fixture.h"

static void a_tail_torn_at_any_byte_costs_no_other_record(void **state)
{
    size_t len, whole;
    char *bytes;

    (void)state;
    spool_fixture_fill(0, 3, 1);
    bytes = spool_fixture_load(spool_path, &len);
    assert_int_equal(len, 3 * SPOOL_SLOT_BYTES);
    whole = 2 * (size_t)SPOOL_SLOT_BYTES;
    for (size_t cut = whole; cut <= len; cut++) {
        struct spool_seen seen = {.fate = SPOOL_DONE};
        struct spool_counts counts;
        int torn, answer_bytes = (int)(cut - whole) - SPOOL_PAGE_BYTES;

        spool_fixture_store(spool_path, bytes, cut);
        (void)unlink(spool_fixture_damaged_path());
        counts = spool_fixture_replay(NULL, &seen);
        torn = seen.records[2] + seen.intents[2];
        if (seen.records[0] != 1 || seen.records[1] != 1 || seen.wrong || torn > 1 || counts.damaged > 1)
            fail_msg("cut at %zu: %d %d %d, damaged %d", cut, seen.records[0], seen.records[1], torn,
                     (int)counts.damaged);
        /* Once its first line is there it is an intent at least, and what is missing of it is not hidden. */
        if (answer_bytes >= 0 && torn != 1) fail_msg("cut at %zu: the last is gone", cut);
        if (cut > whole && seen.records[2] + (int)counts.damaged < 1 && answer_bytes > 0)
            fail_msg("cut at %zu: neither a record nor damaged", cut);
    }
    free(bytes);
}

/* The file of records of three accounts, 0, ${n} and 2; free() it. */
static char *file_of_three(int n)
{
    size_t len;
    char *bytes;

    (void)unlink(spool_path);
    spool_fixture_fill(0, 1, 1);
    spool_fixture_fill(n, 1, 1);
    spool_fixture_fill(2, 1, 1);
    bytes = spool_fixture_load(spool_path, &len);
    assert_int_equal(len, 3 * SPOOL_SLOT_BYTES);
    return bytes;
}

/* Any of the pages that were being written may be the new one, in no order, when the power fails before the sync ends. */
static void a_power_cut_in_the_middle_of_a_write_costs_no_other_record(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char *old = file_of_three(1), *new = file_of_three(7), *mix;

        if (i == 0) { /* an intent becomes a record */
            memcpy(new, old, 3 * (size_t)SPOOL_SLOT_BYTES);
            memset(old + SPOOL_SLOT_BYTES + SPOOL_PAGE_BYTES, ' ', SPOOL_SLOT_BYTES - SPOOL_PAGE_BYTES);
        } else { /* a slot that was done is used again */
            memset(old + SPOOL_SLOT_BYTES, ' ', SPOOL_PAGE_BYTES);
        }
        mix = malloc(3 * (size_t)SPOOL_SLOT_BYTES);
        assert_non_null(mix);
        for (unsigned pages = 0; pages < 1U << SPOOL_PAGES; pages++) {
            struct spool_seen seen = {.fate = SPOOL_DONE};

            memcpy(mix, old, 3 * (size_t)SPOOL_SLOT_BYTES);
            for (int page = 0; page < SPOOL_PAGES; page++)
                if (pages & 1U << page)
                    memcpy(mix + SPOOL_SLOT_BYTES + page * SPOOL_PAGE_BYTES,
                           new + SPOOL_SLOT_BYTES + page *SPOOL_PAGE_BYTES, SPOOL_PAGE_BYTES);
            spool_fixture_store(spool_path, mix, 3 * (size_t)SPOOL_SLOT_BYTES);
            spool_fixture_replay(NULL, &seen);
            if (seen.records[0] != 1 || seen.records[2] != 1 || seen.wrong || seen.count > 3 ||
                (i == 0 && seen.count != 3))
                fail_msg("case %d, pages %x: records %d %d, %d in all", i, pages, seen.records[0], seen.records[2],
                         seen.count);
        }
        free(old);
        free(new);
        free(mix);
    }
}

static void after_a_torn_tail_the_file_is_used_again(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};
    size_t len;
    char *bytes;

    (void)state;
    for (size_t cut = 1; cut < SPOOL_SLOT_BYTES; cut += 997) {
        spool_fixture_fill(0, 2, 1);
        bytes = spool_fixture_load(spool_path, &len);
        spool_fixture_store(spool_path, bytes, SPOOL_SLOT_BYTES + cut);
        spool_fixture_replay(NULL, &seen);
        spool_fixture_fill(10, 3, 1);
        spool_fixture_replay(NULL, &seen);
        assert_int_equal(seen.count, 3);
        assert_int_equal(seen.records[10] + seen.records[11] + seen.records[12], 3);
        free(bytes);
    }
}

enum { DAMAGE_REGION = 61, DAMAGE_KINDS = 5 };

/* 1 if the bytes are others than before. */
static int damage(char *bytes, size_t len, int kind, uint64_t *random)
{
    char before[DAMAGE_REGION];

    memcpy(before, bytes, len);
    for (size_t i = 0; i < len; i++) {
        if (kind == 0) bytes[i] = '\0';
        if (kind == 1) bytes[i] = ' ';
        if (kind == 2) bytes[i] = (char)0xff;
        if (kind == 3) bytes[i] = (char)fixture_random(random);
        if (kind == 4 && i == len / 2) bytes[i] ^= (char)(1 << (fixture_random(random) % 8));
    }
    return memcmp(before, bytes, len) != 0;
}

static void damage_anywhere_costs_no_other_record_and_is_set_aside(void **state)
{
    uint64_t random = 20240229;
    int found_damaged = 0;
    size_t len;
    char *bytes;

    (void)state;
    spool_fixture_fill(0, 3, 1);
    bytes = spool_fixture_load(spool_path, &len);
    for (size_t at = SPOOL_SLOT_BYTES; at < 2 * (size_t)SPOOL_SLOT_BYTES; at += DAMAGE_REGION)
        for (int kind = 0; kind < DAMAGE_KINDS; kind++) {
            size_t left = 2 * (size_t)SPOOL_SLOT_BYTES - at, size = left < DAMAGE_REGION ? left : DAMAGE_REGION;
            char before[DAMAGE_REGION], *aside;
            struct spool_seen seen = {.fate = SPOOL_DONE};
            struct spool_counts counts;
            size_t aside_len;
            int changed;

            memcpy(before, bytes + at, size);
            changed = damage(bytes + at, size, kind, &random);
            spool_fixture_store(spool_path, bytes, len);
            (void)unlink(spool_fixture_damaged_path());
            counts = spool_fixture_replay(NULL, &seen);
            if (seen.records[0] != 1 || seen.records[2] != 1 || seen.wrong || counts.damaged > 1)
                fail_msg("kind %d at %zu: records %d %d, wrong %d", kind, at, seen.records[0], seen.records[2],
                         seen.wrong);
            aside = spool_fixture_load(spool_fixture_damaged_path(), &aside_len);
            if (seen.records[1] != 1 && (!changed || counts.damaged != 1))
                fail_msg("kind %d at %zu: lost without a word", kind, at);
            if (counts.damaged &&
                (aside_len != SPOOL_SLOT_BYTES || memcmp(aside, bytes + SPOOL_SLOT_BYTES, aside_len) != 0))
                fail_msg("kind %d at %zu: no true copy of what was damaged", kind, at);
            found_damaged += (int)counts.damaged;
            spool_fixture_replay(NULL, &seen);
            assert_int_equal(seen.count, 0);
            free(aside);
            memcpy(bytes + at, before, size);
        }
    assert_in_range(found_damaged, 30, 1000);
    free(bytes);
}

static void random_bytes_instead_of_the_file_are_survived(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};
    uint64_t random = 99;
    size_t len = 3 * (size_t)SPOOL_SLOT_BYTES + 1234;
    char *bytes = malloc(len);

    (void)state;
    assert_non_null(bytes);
    spool_fixture_fill(0, 1, 1);
    for (int round = 0; round < 20; round++) {
        struct spool_counts counts;

        for (size_t i = 0; i < len; i++) {
            uint64_t byte = fixture_random(&random);

            bytes[i] = round % 2 ? (char)byte : "{}[]\",: 019\n"[byte % 12];
        }
        spool_fixture_store(spool_path, bytes, len);
        counts = spool_fixture_replay(NULL, &seen);
        assert_int_equal(seen.count, 0);
        assert_int_equal(counts.damaged, 4);
        spool_fixture_fill(5, 4, 1);
        spool_fixture_replay(NULL, &seen);
        assert_int_equal(seen.count, 4);
    }
    free(bytes);
}

static void a_damaged_answer_is_replayed_as_an_intent(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_KEEP};
    struct spool_counts counts;
    size_t len;
    char *bytes;

    (void)state;
    spool_fixture_fill(3, 1, 1);
    bytes = spool_fixture_load(spool_path, &len);
    bytes[SPOOL_PAGE_BYTES + 200] ^= 1;
    spool_fixture_store(spool_path, bytes, len);
    free(bytes);
    counts = spool_fixture_replay(NULL, &seen);
    assert_int_equal(counts.damaged, 1);
    assert_int_equal(seen.intents[3], 1);
    counts = spool_fixture_replay(NULL, &seen); /* set aside once only */
    assert_int_equal(counts.damaged, 0);
    assert_int_equal(seen.intents[3], 1);
}

static void what_cannot_be_set_aside_stays_where_it_is(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool *sp = spool_fixture_new();
    struct spool_stat stat;
    size_t len;
    char *bytes;

    (void)state;
    spool_fixture_fill(0, 2, 1);
    bytes = spool_fixture_load(spool_path, &len);
    bytes[100] ^= 1;                                       /* the description of the first */
    bytes[SPOOL_SLOT_BYTES + SPOOL_PAGE_BYTES + 200] ^= 1; /* the answer of the second */
    spool_fixture_store(spool_path, bytes, len);
    assert_int_equal(mkdir(spool_fixture_damaged_path(), 0700), 0); /* no file of that name can be made */
    for (int i = 0; i < 2; i++) {
        char *now;
        size_t now_len;

        assert_int_equal(spool_fixture_replay(NULL, &seen).damaged, 2);
        assert_int_equal(seen.count, 0);
        now = spool_fixture_load(spool_path, &now_len);
        assert_int_equal(now_len, len);
        assert_memory_equal(now, bytes, len);
        free(now);
    }
    assert_int_equal(spool_stat(sp, &stat, NULL), ERR_OK);
    assert_int_equal(stat.damaged, 2);
    assert_int_equal(rmdir(spool_fixture_damaged_path()), 0);
    assert_int_equal(spool_fixture_replay(sp, &seen).damaged, 2);
    assert_int_equal(seen.intents[1], 1);
    assert_int_equal(spool_stat(sp, &stat, NULL), ERR_OK);
    assert_int_equal(stat.damaged, 0);
    assert_int_equal(stat.damaged_bytes, 2 * SPOOL_SLOT_BYTES);
    spool_free(sp);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(a_tail_torn_at_any_byte_costs_no_other_record),
        SPOOL_TEST(a_power_cut_in_the_middle_of_a_write_costs_no_other_record),
        SPOOL_TEST(after_a_torn_tail_the_file_is_used_again),
        SPOOL_TEST(damage_anywhere_costs_no_other_record_and_is_set_aside),
        SPOOL_TEST(random_bytes_instead_of_the_file_are_survived),
        SPOOL_TEST(a_damaged_answer_is_replayed_as_an_intent),
        SPOOL_TEST(what_cannot_be_set_aside_stays_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
