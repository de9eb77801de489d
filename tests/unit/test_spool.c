/* What is kept in the spool comes back, whole, once, and opens nowhere else. */
#include "base/clock.h"
#include "spool_fixture.h"
#include "token/spool_record.h"

static void what_is_kept_is_replayed_once(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_counts counts;

    (void)state;
    spool_fixture_fill(1, 3, 1);
    spool_fixture_fill(4, 2, 0);
    counts = spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 5);
    assert_int_equal(seen.wrong, 0);
    for (int n = 1; n <= 5; n++) {
        assert_int_equal(seen.records[n], n <= 3);
        assert_int_equal(seen.intents[n], n > 3);
    }
    assert_int_equal(counts.done, 5);
    assert_int_equal(counts.kept + counts.damaged + counts.undecryptable, 0);
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 0);
}

static void what_is_done_is_not_replayed(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen = {.fate = SPOOL_KEEP};
    struct spool_ticket *ticket;

    (void)state;
    for (int n = 0; n < 10; n++) {
        assert_int_equal(spool_fixture_reserve(sp, n, &ticket, NULL), ERR_OK);
        if (n % 2) assert_int_equal(spool_fixture_keep(sp, n, ticket, NULL), ERR_OK);
        spool_done(sp, ticket);
    }
    spool_done(sp, NULL);
    spool_leave(sp, NULL);
    spool_free(sp);
    spool_free(NULL);
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 0);
}

static void the_file_is_as_large_as_it_once_had_to_be_and_no_larger(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_ticket *tickets[5];
    struct spool_stat stat;

    (void)state;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 5; i++)
            assert_int_equal(spool_fixture_reserve(sp, i, &tickets[i], NULL), ERR_OK);
        for (int i = 0; i < 5; i++)
            spool_done(sp, tickets[i]);
    }
    assert_int_equal(spool_stat(sp, &stat, NULL), ERR_OK);
    assert_int_equal(stat.bytes, 5 * SPOOL_SLOT_BYTES);
    assert_int_equal(stat.intents + stat.records, 0);
    spool_free(sp);
}

static void what_a_replay_keeps_comes_again_and_stop_ends_it(void **state)
{
    struct spool_seen seen = {.fate = SPOOL_KEEP};
    struct spool_counts counts;

    (void)state;
    spool_fixture_fill(0, 4, 1);
    for (int i = 0; i < 3; i++) {
        counts = spool_fixture_replay(NULL, &seen);
        assert_int_equal(seen.count, 4);
        assert_int_equal(counts.kept, 4);
    }
    seen.fate = SPOOL_STOP;
    counts = spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(counts.kept, 1);
    seen.fate = SPOOL_DONE;
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 4);
}

static void what_this_process_holds_is_not_replayed(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_ticket *tickets[3];
    struct spool_counts counts;

    (void)state;
    for (int n = 0; n < 3; n++) {
        assert_int_equal(spool_fixture_reserve(sp, n, &tickets[n], NULL), ERR_OK);
        assert_int_equal(spool_fixture_keep(sp, n, tickets[n], NULL), ERR_OK);
    }
    assert_int_equal(spool_replay(sp, 0, spool_fixture_see, &seen, &counts, NULL), ERR_OK);
    assert_int_equal(seen.count, 0);
    spool_leave(sp, tickets[1]);
    assert_int_equal(spool_replay(sp, 0, spool_fixture_see, &seen, &counts, NULL), ERR_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.records[1], 1);
    spool_done(sp, tickets[0]);
    spool_done(sp, tickets[2]);
    spool_free(sp);
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 0);
}

static struct json *long_text(size_t len, const char *member)
{
    struct json *object = json_object_new();
    char *text = malloc(len + 1);

    assert_non_null(text);
    memset(text, 'x', len);
    text[len] = '\0';
    json_set(object, member, json_new_string(text));
    free(text);
    return object;
}

static struct secret random_secret(size_t len)
{
    struct secret s = {0};

    assert_int_equal(secret_new(&s, len, NULL), ERR_OK);
    assert_int_equal(crypto_random(secret_room(&s), len, NULL), ERR_OK);
    return s;
}

struct expected {
    const struct spool_answer *answer;
    int count;
};

static enum spool_fate compare(void *arg, const struct json *about, const struct spool_answer *answer)
{
    struct expected *want = arg;

    (void)about;
    assert_non_null(answer);
    assert_true(secret_equal(&answer->access, &want->answer->access));
    assert_true(secret_equal(&answer->refresh, &want->answer->refresh));
    assert_true(json_equal(answer->more, want->answer->more));
    want->count++;
    return SPOOL_DONE;
}

static void answers_of_every_size_fit_up_to_the_limits(void **state)
{
    static const size_t sizes[][3] = {{1, 0, 0},
                                      {0, 1, 0},
                                      {LIMIT_TOKEN_BYTES, 0, SPOOL_MORE_BYTES},
                                      {1, LIMIT_TOKEN_BYTES, 20},
                                      {LIMIT_TOKEN_BYTES, LIMIT_TOKEN_BYTES, SPOOL_MORE_BYTES}};
    /* The longest name of a key, which each part of an answer has in it. */
    const char *kid = "a-key-whose-name-is-as-long-as-the-name-of-a-key-may-be-63-byte", *key = FIXTURE_KEY;
    struct keyring *usual = spool_ring;

    (void)state;
    spool_ring = fixture_ring(&kid, &key, 1, "", 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct json *about = long_text(SPOOL_ABOUT_BYTES - 8, "a"), *more = NULL;
        struct spool_answer answer = {0};
        struct expected want = {&answer, 0};
        struct spool *sp = spool_fixture_new();
        struct spool_ticket *ticket;
        struct err err = {0};

        if (sizes[i][0]) answer.access = random_secret(sizes[i][0]);
        if (sizes[i][1]) answer.refresh = random_secret(sizes[i][1]);
        if (sizes[i][2]) answer.more = more = long_text(sizes[i][2] - 8, "m");
        assert_int_equal(spool_reserve(sp, about, &ticket, NULL), ERR_OK);
        if (spool_keep(sp, ticket, &answer, &err) != ERR_OK) fail_msg("case %zu: %s", i, err.text);
        spool_leave(sp, ticket);
        assert_int_equal(spool_replay(sp, 0, compare, &want, NULL, NULL), ERR_OK);
        assert_int_equal(want.count, 1);
        spool_free(sp);
        secret_free(&answer.access);
        secret_free(&answer.refresh);
        json_free(more);
        json_free(about);
    }
    keyring_free(spool_ring);
    spool_ring = usual;
}

static void what_does_not_fit_is_refused_and_the_intent_stays(void **state)
{
    struct spool *sp = spool_fixture_new();
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct json *about = long_text(SPOOL_ABOUT_BYTES - 7, "a"), *more = long_text(SPOOL_MORE_BYTES - 7, "m");
    struct json *array = json_array_new();
    struct spool_answer cases[3] = {
        {.access = random_secret(LIMIT_TOKEN_BYTES + 1)}, {.access = random_secret(10), .more = more}, {.more = array}};
    struct spool_ticket *ticket;
    struct err err = {0};

    (void)state;
    fixture_refused(spool_reserve(sp, about, &ticket, &err), ERR_BAD_INPUT, &err, "a description too long");
    assert_null(ticket);
    err_clear(&err);
    fixture_refused(spool_reserve(sp, array, &ticket, &err), ERR_BAD_INPUT, &err, "a description that is no object");
    assert_null(ticket);
    assert_int_equal(spool_fixture_reserve(sp, 7, &ticket, NULL), ERR_OK);
    for (int i = 0; i < 3; i++) {
        err_clear(&err);
        fixture_refused(spool_keep(sp, ticket, &cases[i], &err), ERR_BAD_INPUT, &err, "a bad answer");
        secret_free(&cases[i].access);
    }
    spool_leave(sp, ticket);
    spool_fixture_replay(sp, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.intents[7], 1);
    spool_free(sp);
    json_free(about);
    json_free(more);
    json_free(array);
}

static void no_token_is_in_the_file_in_the_clear(void **state)
{
    struct buf base64 = {0};
    size_t len;
    char *bytes;

    (void)state;
    spool_fixture_fill(1, 2, 1);
    bytes = spool_fixture_load(spool_path, &len);
    assert_int_equal(len, 2 * SPOOL_SLOT_BYTES);
    for (int part = 0; part < 2; part++) {
        const char *token = spool_fixture_token(1, part);

        for (size_t at = 0; at + 6 <= strlen(token); at++)
            if (memmem(bytes, len, token + at, 6)) fail_msg("in the file: %.6s", token + at);
        for (size_t at = 0; at < 3; at++) {
            buf_reset(&base64);
            b64_encode(token + at, 9, &base64);
            if (memmem(bytes, len, base64.data, base64.len)) fail_msg("in the file as Base64: %s", base64.data);
        }
    }
    assert_null(memmem(bytes, len, "expiresAt", 9));
    assert_non_null(memmem(bytes, len, "instagram", 9)); /* or the search would find nothing anyway */
    buf_free(&base64);
    free(bytes);
}

static void numbers_tell_what_is_pending(void **state)
{
    struct spool *sp = spool_fixture_new();
    int64_t before_ms = clock_now_ms();
    struct spool_stat stat;

    (void)state;
    assert_int_equal(spool_stat(sp, &stat, NULL), ERR_OK);
    assert_int_equal(stat.bytes + stat.intents + stat.records + stat.oldest_at_ms, 0);
    spool_fixture_fill(0, 3, 1);
    fixture_sleep_us(20000);
    spool_fixture_fill(3, 2, 0);
    assert_int_equal(spool_stat(sp, &stat, NULL), ERR_OK);
    assert_int_equal(stat.records, 3);
    assert_int_equal(stat.intents, 2);
    assert_int_equal(stat.damaged + stat.undecryptable + stat.damaged_bytes, 0);
    assert_int_equal(stat.bytes, 5 * SPOOL_SLOT_BYTES);
    assert_in_range(stat.oldest_at_ms, before_ms, clock_now_ms() - 20);
    spool_free(sp);
}

/* ---- keys */

static void an_old_key_of_the_ring_still_opens(void **state)
{
    const char *kids[] = {"k2", "k1"}, *keys[] = {FIXTURE_OLD_KEY, FIXTURE_KEY};
    struct keyring *usual = spool_ring;
    struct spool_seen seen = {.fate = SPOOL_DONE};

    (void)state;
    spool_fixture_fill(0, 2, 1);
    spool_ring = fixture_ring(kids, keys, 2, "", 1);
    spool_fixture_fill(2, 2, 1);
    spool_fixture_replay(NULL, &seen);
    keyring_free(spool_ring);
    spool_ring = usual;
    assert_int_equal(seen.wrong, 0);
    for (int n = 0; n < 4; n++)
        assert_int_equal(seen.records[n], 1);
}

static void what_no_key_opens_stays_until_one_does(void **state)
{
    static const char *const kids[] = {"another", "k1"}; /* an unknown name; the same name for another key */
    const char *other = FIXTURE_OLD_KEY;
    struct keyring *usual = spool_ring;
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_counts counts;

    (void)state;
    spool_fixture_fill(0, 2, 1);
    for (int i = 0; i < 2; i++) {
        struct spool_stat stat;
        struct spool *sp;

        spool_ring = fixture_ring(&kids[i], &other, 1, "", 1);
        for (int again = 0; again < 2; again++) {
            counts = spool_fixture_replay(NULL, &seen);
            assert_int_equal(seen.count, 0);
            assert_int_equal(counts.undecryptable, 2);
            assert_int_equal(counts.damaged, 0);
        }
        sp = spool_fixture_new();
        assert_int_equal(spool_stat(sp, &stat, NULL), ERR_OK);
        assert_int_equal(stat.records, 2);
        assert_int_equal(stat.undecryptable, 2);
        spool_free(sp);
        keyring_free(spool_ring);
        spool_ring = usual;
    }
    spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.records[0] + seen.records[1], 2);
}

/* What somebody who can write to the file could make: every ${from} becomes ${to}, and the checksum fits again. */
static void forge(char *line, const char *from, const char *to)
{
    char *text = line + 74, *at = text, sum[SHA256_HEX_BYTES];
    int count = 0;

    assert_int_equal(strlen(from), strlen(to));
    for (; (at = strstr(at, from)); count++)
        for (size_t i = 0; to[i]; i++)
            at[i] = to[i];
    assert_true(count > 0);
    crypto_sha256_hex(text, (size_t)strtoul(line + 65, NULL, 10), sum);
    for (int i = 0; sum[i]; i++)
        line[i] = sum[i];
}

/* What a fast envelope of this slot names as the thing that it mirrors. */
static void print_of(const char *slot, struct buf *out)
{
    unsigned char of[SHA256_BYTES];

    buf_reset(out);
    crypto_sha256(slot, SHA256_HEX_BYTES - 1, of);
    b64_encode(of, sizeof of, out);
}

static void an_answer_opens_only_in_its_own_place(void **state)
{
    struct buf before = {0}, after = {0};
    struct spool_seen seen = {.fate = SPOOL_DONE};
    struct spool_counts counts;
    size_t len;
    char *bytes, *third;

    (void)state;
    spool_fixture_fill(100, 3, 1);
    bytes = spool_fixture_load(spool_path, &len);
    assert_int_equal(len, 3 * SPOOL_SLOT_BYTES);
    /* Slot 0 has the answer of slot 1, slot 2 the description of another account. */
    memcpy(bytes + SPOOL_PAGE_BYTES, bytes + SPOOL_SLOT_BYTES + SPOOL_PAGE_BYTES, SPOOL_ANSWER_BYTES);
    third = bytes + 2 * (size_t)SPOOL_SLOT_BYTES;
    print_of(third, &before);
    forge(third, "\"account\":102", "\"account\":666");
    print_of(third, &after);
    forge(third + SPOOL_PAGE_BYTES, before.data, after.data);
    spool_fixture_store(spool_path, bytes, len);
    free(bytes);
    buf_free(&before);
    buf_free(&after);
    counts = spool_fixture_replay(NULL, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.records[101], 1);
    assert_int_equal(counts.undecryptable, 2);
    assert_int_equal(counts.damaged, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(what_is_kept_is_replayed_once),
        SPOOL_TEST(what_is_done_is_not_replayed),
        SPOOL_TEST(the_file_is_as_large_as_it_once_had_to_be_and_no_larger),
        SPOOL_TEST(what_a_replay_keeps_comes_again_and_stop_ends_it),
        SPOOL_TEST(what_this_process_holds_is_not_replayed),
        SPOOL_TEST(answers_of_every_size_fit_up_to_the_limits),
        SPOOL_TEST(what_does_not_fit_is_refused_and_the_intent_stays),
        SPOOL_TEST(no_token_is_in_the_file_in_the_clear),
        SPOOL_TEST(numbers_tell_what_is_pending),
        SPOOL_TEST(an_old_key_of_the_ring_still_opens),
        SPOOL_TEST(what_no_key_opens_stays_until_one_does),
        SPOOL_TEST(an_answer_opens_only_in_its_own_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
