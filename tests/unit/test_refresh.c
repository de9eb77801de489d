/* The rules of refreshes, by tables: when one is due, when it may be tried, what an answer means, what is kept. */
#include "cmocka_all.h"
#include "health/refresh.h"
#include "token/crypto.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
#define DAY (INT64_C(24) * HOUR)
static const int64_t noon = INT64_C(1800000000000);
static const uint64_t here = 1, there = 2; /* boots */

static const struct refresh_policy
    instagram = {.model = REFRESH_EXTEND, .min_age_s = 86400, .window_start_s = 14 * 86400, .window_end_s = 3 * 86400},
    x = {.model = REFRESH_TOKEN, .rotates = 1, .window_start_s = 5400, .window_end_s = 2400},
    google = {.model = REFRESH_TOKEN, .window_start_s = 1800, .window_end_s = 600}, none = {.model = REFRESH_NONE};

static struct moment at(uint64_t boot, int64_t ms)
{
    return (struct moment){noon + ms, 50 * HOUR + ms, boot};
}

/* ---- when it is due */

static void due_dates_lie_in_the_window_and_are_spread_over_it(void **state)
{
    int64_t expiry = noon + 60 * DAY, first = expiry - 14 * DAY, last = expiry - 3 * DAY;
    int quarters[4] = {0};

    (void)state;
    for (int i = 0; i < 4000; i++) {
        char id[32];
        int64_t due;

        snprintf(id, sizeof id, "64b0c0ffee%014d", i);
        due = refresh_due_at(&instagram, expiry, refresh_spread("instagram", id));
        if (due < first || due >= last)
            fail_msg("%s is due %lld ms before the window's end", id, (long long)(last - due));
        quarters[(due - first) * 4 / (last - first)]++;
    }
    for (int i = 0; i < 4; i++)
        if (quarters[i] < 850 || quarters[i] > 1150)
            fail_msg("quarter %d of the window has %d of 4000", i, quarters[i]);
    assert_int_equal(refresh_due_at(&none, expiry, 7), 0);
    assert_int_equal(refresh_due_at(&instagram, 0, 7), 0);
}

static void an_accounts_place_in_the_window_is_the_same_for_ever_and_everywhere(void **state)
{
    (void)state;
    /* SHA-256 of "instagram/a1", its first 8 bytes: as another implementation gives them. */
    assert_true(refresh_spread("instagram", "a1") == UINT64_C(0xf8285e957e2bbad7));
    assert_true(refresh_spread("twitter", "a1") != refresh_spread("instagram", "a1"));
}

static void an_account_is_late_from_the_windows_end_on(void **state)
{
    (void)state;
    assert_int_equal(refresh_is_late(&x, noon + 2400 * SECOND + 1, noon), 0);
    assert_int_equal(refresh_is_late(&x, noon + 2400 * SECOND, noon), 1);
    assert_int_equal(refresh_is_late(&x, noon - DAY, noon), 1);
    assert_int_equal(refresh_is_late(&x, 0, noon), 0);
    assert_int_equal(refresh_is_late(&none, noon, noon), 0);
}

/* ---- may it be tried */

enum { REFUSED = 1, LEARNS = 2, UNSURE = 4, DEAD = 8 };
static const struct row {
    const char *name;
    const struct refresh_policy *policy;
    int how;
    int64_t expires_in; /* 0: unknown */
    int failures;
    int64_t failed, leased, learnt, since; /* how long ago; 0: never */
    uint64_t boot;                         /* where that was */
    enum refresh_step step;
    const char *why;
    int64_t refreshed; /* how long ago, here */
} rows[] = {
    {"before its window", &instagram, 0, 15 * DAY, 0, 0, 0, 0, 0, 0, REFRESH_NOT_DUE, "", 0},
    {"behind its window's end", &instagram, 0, 3 * DAY, 0, 0, 0, 0, 0, 0, REFRESH_GO, "", 0},
    {"expired by its date, and accepted", &instagram, 0, -DAY, 0, 0, 0, 0, 0, 0, REFRESH_GO, "", 0},
    {"a token that cannot be refreshed", &none, 0, HOUR, 0, 0, 0, 0, 0, 0, REFRESH_NOT_DUE, "", 0},
    {"refused, and extended only while alive", &instagram, REFUSED, 3 * DAY, 0, 0, 0, 0, 0, 0, REFRESH_NOT_DUE, "", 0},
    {"refused, with a refresh token, long before its date", &x, REFUSED, 110 * MINUTE, 0, 0, 0, 0, 0, 0, REFRESH_GO, "",
     0},

    {"a day old but a minute", &instagram, 0, 2 * DAY, 0, 0, 0, 0, DAY - MINUTE, here, REFRESH_WAIT, "too_young", 0},
    {"a day old", &instagram, 0, 2 * DAY, 0, 0, 0, 0, DAY, here, REFRESH_GO, "", 0},
    {"a day old by another host's clock", &instagram, 0, 2 * DAY, 0, 0, 0, 0, DAY + 5 * MINUTE, there, REFRESH_WAIT,
     "too_young", 0},
    {"a day and the clocks' difference old by another host's clock", &instagram, 0, 2 * DAY, 0, 0, 0, 0,
     DAY + 10 * MINUTE, there, REFRESH_GO, "", 0},

    {"expiry unknown, never asked for", &instagram, 0, 0, 0, 0, 0, 0, 0, 0, REFRESH_GO, "", 0},
    {"expiry unknown, can be asked for", &instagram, LEARNS, 0, 0, 0, 0, 0, 0, 0, REFRESH_INTROSPECT, "", 0},
    {"expiry known, could be asked for", &instagram, LEARNS, 2 * DAY, 0, 0, 0, 0, 0, 0, REFRESH_GO, "", 0},
    {"expiry unknown, asked for today", &instagram, 0, 0, 0, 0, 0, DAY - MINUTE, 0, here, REFRESH_NOT_DUE, "", 0},
    {"expiry unknown, asked for yesterday", &instagram, LEARNS, 0, 0, 0, 0, DAY, 0, here, REFRESH_INTROSPECT, "", 0},
    {"expiry unknown, and too young", &instagram, 0, 0, 0, 0, 0, 0, HOUR, here, REFRESH_WAIT, "too_young", 0},
    {"expiry unknown, learnt today, but refused", &x, REFUSED, 0, 0, 0, 0, HOUR, 0, here, REFRESH_GO, "", 0},

    {"failed 11 minutes ago", &instagram, 0, 2 * DAY, 1, 11 * MINUTE, 0, 0, 0, here, REFRESH_WAIT, "back_off", 0},
    {"failed 19 minutes ago", &instagram, 0, 2 * DAY, 1, 19 * MINUTE, 0, 0, 0, here, REFRESH_GO, "", 0},
    {"failed 19 minutes ago by another host's clock", &instagram, 0, 2 * DAY, 1, 19 * MINUTE, 0, 0, 0, there,
     REFRESH_WAIT, "back_off", 0},
    {"failed twice, 47 minutes ago", &instagram, 0, 2 * DAY, 2, 47 * MINUTE, 0, 0, 0, here, REFRESH_WAIT, "back_off",
     0},
    {"failed twice, 73 minutes ago", &instagram, 0, 2 * DAY, 2, 73 * MINUTE, 0, 0, 0, here, REFRESH_GO, "", 0},
    {"failed often, 4 hours ago", &instagram, 0, 2 * DAY, 9, 4 * HOUR, 0, 0, 0, here, REFRESH_WAIT, "back_off", 0},
    {"failed often, 7 hours 15 ago", &instagram, 0, 2 * DAY, 9, 7 * HOUR + 15 * MINUTE, 0, 0, 0, here, REFRESH_GO, "",
     0},
    {"failed in a future that clocks cannot explain", &instagram, 0, 2 * DAY, 2, -HOUR, 0, 0, 0, there, REFRESH_GO, "",
     0},
    {"failed often, refused: nothing works until it does", &x, REFUSED, HOUR, 9, 19 * MINUTE, 0, 0, 0, here, REFRESH_GO,
     "", 0},
    {"failed often, refused, 11 minutes ago", &x, REFUSED, HOUR, 9, 11 * MINUTE, 0, 0, 0, here, REFRESH_WAIT,
     "back_off", 0},
    {"called dead once, refused, 59 seconds ago", &x, REFUSED | DEAD, HOUR, 1, 59 * SECOND, 0, 0, 0, here, REFRESH_WAIT,
     "back_off", 0},
    {"called dead once, refused, a minute ago: to be confirmed", &x, REFUSED | DEAD, HOUR, 1, MINUTE, 0, 0, 0, here,
     REFRESH_GO, "", 0},
    {"called dead twice, refused, 47 minutes ago", &x, REFUSED | DEAD, HOUR, 2, 47 * MINUTE, 0, 0, 0, here,
     REFRESH_WAIT, "back_off", 0},
    {"called dead once, the access token lives", &x, DEAD, 30 * MINUTE, 1, 2 * MINUTE, 0, 0, 0, here, REFRESH_WAIT,
     "back_off", 0},

    {"we got it 14 minutes ago, and it is refused", &x, REFUSED, HOUR, 0, 0, 0, 0, 0, here, REFRESH_WAIT,
     "just_refreshed", 14 * MINUTE},
    {"we got it a quarter of an hour ago, and it is refused", &x, REFUSED, HOUR, 0, 0, 0, 0, 0, here, REFRESH_GO, "",
     15 * MINUTE},
    {"we got it a minute ago, and it expires soon", &x, 0, MINUTE, 0, 0, 0, 0, 0, here, REFRESH_WAIT, "just_refreshed",
     MINUTE},

    {"perhaps used, the access token lives for 6 minutes", &x, UNSURE, 6 * MINUTE, 1, DAY, 0, 0, 0, here, REFRESH_WAIT,
     "unsure", 0},
    {"perhaps used, the access token lives for 4 minutes", &x, UNSURE, 4 * MINUTE, 1, DAY, 0, 0, 0, here, REFRESH_GO,
     "", 0},
    {"perhaps used, the access token lives, nobody knows how long", &x, UNSURE, 0, 1, DAY, 0, 0, 0, here, REFRESH_WAIT,
     "unsure", 0},
    {"perhaps used, refused", &x, UNSURE | REFUSED, HOUR, 1, DAY, 0, 0, 0, here, REFRESH_GO, "", 0},
    {"perhaps used, refused, failed 11 minutes ago", &x, UNSURE | REFUSED, HOUR, 1, 11 * MINUTE, 0, 0, 0, here,
     REFRESH_WAIT, "back_off", 0},
    {"perhaps used, but not single-use", &google, UNSURE, 8 * MINUTE, 1, DAY, 0, 0, 0, here, REFRESH_GO, "", 0},

    {"somebody holds the lease", &x, 0, 30 * MINUTE, 0, 0, 59 * SECOND, 0, 0, here, REFRESH_WAIT, "leased", 0},
    {"somebody holds the lease, refused", &x, REFUSED, HOUR, 0, 0, 59 * SECOND, 0, 0, here, REFRESH_WAIT, "leased", 0},
    {"a lease that was not given back: it may have been used", &x, 0, 30 * MINUTE, 0, 0, MINUTE, 0, 0, here,
     REFRESH_WAIT, "unsure", 0},
    {"a lease that was not given back, refused", &x, REFUSED, HOUR, 0, 0, MINUTE, 0, 0, here, REFRESH_GO, "", 0},
    {"a lease that was not given back, not single-use", &google, 0, 8 * MINUTE, 0, 0, MINUTE, 0, 0, here, REFRESH_GO,
     "", 0},
    {"a lease that was not given back, extended while alive", &instagram, 0, 2 * DAY, 0, 0, MINUTE, 0, 0, here,
     REFRESH_GO, "", 0},
    {"another host's lease, over by its clock only", &google, 0, 8 * MINUTE, 0, 0, 10 * MINUTE, 0, 0, there,
     REFRESH_WAIT, "leased", 0},
    {"another host's lease, over whatever its clock says", &google, 0, 8 * MINUTE, 0, 0, 11 * MINUTE, 0, 0, there,
     REFRESH_GO, "", 0},
};

static struct moment ago(const struct row *r, int64_t ms)
{
    return ms ? at(r->boot, -ms) : (struct moment){0};
}

static struct refresh_state state_of(const struct row *r)
{
    struct refresh_state s = {.failures = r->failures, .failed = ago(r, r->failed), .learnt = ago(r, r->learnt)};

    if (r->how & UNSURE) s.standing = REFRESH_UNSURE;
    if (r->how & DEAD) s.standing = REFRESH_DEAD;
    s.leased = ago(r, r->leased);
    if (r->refreshed) s.refreshed = at(here, -r->refreshed);
    if (r->leased) strcpy(s.lease, "0123456789abcdef");
    return s;
}

static struct refresh_question question_of(const struct row *r, const struct refresh_state *s, uint64_t spread)
{
    return (struct refresh_question){
        .policy = r->policy,
        .state = s,
        .is_refused = (r->how & REFUSED) != 0,
        .can_introspect = (r->how & LEARNS) != 0,
        .expires_at_ms = r->expires_in ? noon + r->expires_in : 0,
        .provider_now_ms = noon,
        .now = at(here, 0),
        .token_since = ago(r, r->since),
        .spread = spread,
        .lease_ms = MINUTE,
        .confirm_interval_ms = MINUTE,
    };
}

static void a_refresh_goes_waits_or_is_not_due(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint64_t spread = 0; spread < 100; spread++) { /* whatever the account */
            struct refresh_state s = state_of(&rows[i]);
            struct refresh_question q = question_of(&rows[i], &s, spread * UINT64_C(0x123456789abcdef1));
            struct refresh_decision d = refresh_decide(&q);

            if (d.step != rows[i].step || strcmp(d.why, rows[i].why) != 0)
                fail_msg("%s: got step %d (%s), expected %d (%s)", rows[i].name, d.step, d.why, rows[i].step,
                         rows[i].why);
            if (d.step != REFRESH_NOT_DUE && !refresh_is_wanted(&q))
                fail_msg("%s: not wanted, but step %d", rows[i].name, d.step);
        }
}

static void waits_after_a_failure_are_jittered_by_a_fifth(void **state)
{
    static const int64_t bases[] = {15 * MINUTE, HOUR, 6 * HOUR, 6 * HOUR};

    (void)state;
    for (int failures = 1; failures <= 4; failures++) {
        struct refresh_state s = {.failures = failures};
        int64_t base = bases[failures - 1], least = INT64_MAX, most = 0;

        for (uint64_t spread = 0; spread < 1000; spread++) {
            int64_t wait = refresh_back_off_ms(
                &s, 0,
                refresh_spread("x", (char[]){(char)('a' + spread % 26), (char)('a' + spread / 26 % 26),
                                             (char)('a' + spread / 676), 0}),
                MINUTE);

            if (wait < least) least = wait;
            if (wait > most) most = wait;
        }
        if (least != base * 80 / 100 || most != base * 120 / 100)
            fail_msg("after %d failures: from %lld to %lld ms, expected %lld ± 20 %%", failures, (long long)least,
                     (long long)most, (long long)base);
    }
    assert_int_equal(refresh_back_off_ms(&(struct refresh_state){0}, 1, 5, MINUTE), 0);
}

/* ---- what came of it */

static void an_answer_is_judged_by_what_it_says_of_the_refresh_token(void **state)
{
    static const struct {
        enum reason reason;
        int has_token, may_have_worked;
        enum refresh_end end;
    } answers[] = {
        {REASON_OK, 1, 0, REFRESH_DONE},
        {REASON_REVOKED, 0, 0, REFRESH_REFUSED},
        {REASON_EXPIRED, 0, 1, REFRESH_REFUSED},
        {REASON_INVALID_TOKEN, 0, 0, REFRESH_REFUSED},
        {REASON_CHECKPOINT, 0, 0, REFRESH_REFUSED},
        {REASON_RATE_LIMITED, 0, 0, REFRESH_UNDONE},
        {REASON_APP_MISCONFIGURED, 0, 0, REFRESH_UNDONE},
        {REASON_PERMISSION_MISSING, 0, 0, REFRESH_UNDONE},
        {REASON_TRANSIENT, 0, 0, REFRESH_UNDONE},
        {REASON_TRANSIENT, 0, 1, REFRESH_AMBIGUOUS},
        {REASON_TIMEOUT, 0, 1, REFRESH_AMBIGUOUS},
        {REASON_TIMEOUT, 0, 0, REFRESH_UNDONE},
        {REASON_BAD_RESPONSE, 0, 1, REFRESH_AMBIGUOUS},
        {REASON_BAD_RESPONSE, 0, 0, REFRESH_UNDONE},
        {REASON_OK, 0, 1, REFRESH_AMBIGUOUS}, /* a success without a token */
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct finding f = {.reason = answers[i].reason, .may_have_worked = answers[i].may_have_worked};

        if (answers[i].has_token) assert_int_equal(secret_put(&f.access_token, "new", 3, NULL), ERR_OK);
        if (refresh_judge(&f) != answers[i].end)
            fail_msg("%s, may have worked %d: got %d, expected %d", reason_word(f.reason), f.may_have_worked,
                     refresh_judge(&f), answers[i].end);
        finding_fini(&f);
    }
}

static void what_a_failure_leaves_behind(void **state)
{
    static const struct {
        const struct refresh_policy *policy;
        enum refresh_standing before;
        int failures;
        enum refresh_end end;
        enum refresh_standing after;
        int failures_after;
    } ends[] = {
        {&x, REFRESH_FINE, 0, REFRESH_UNDONE, REFRESH_FINE, 1},
        {&x, REFRESH_FINE, 1, REFRESH_UNDONE, REFRESH_FINE, 2},
        {&x, REFRESH_FINE, 2, REFRESH_AMBIGUOUS, REFRESH_UNSURE, 3},
        {&x, REFRESH_FINE, 2, REFRESH_REFUSED, REFRESH_DEAD, 1},
        {&x, REFRESH_DEAD, 1, REFRESH_REFUSED, REFRESH_DEAD, 2},
        {&x, REFRESH_DEAD, 2, REFRESH_AMBIGUOUS, REFRESH_DEAD, 3},
        {&x, REFRESH_DEAD, 2, REFRESH_UNDONE, REFRESH_DEAD, 3},
        {&x, REFRESH_UNSURE, 1, REFRESH_UNDONE, REFRESH_UNSURE, 2},
        {&x, REFRESH_UNSURE, 1, REFRESH_REFUSED, REFRESH_DEAD, 1},
        {&google, REFRESH_FINE, 0, REFRESH_AMBIGUOUS, REFRESH_FINE, 1},
        {&google, REFRESH_FINE, 0, REFRESH_REFUSED, REFRESH_DEAD, 1},
        {&instagram, REFRESH_FINE, 0, REFRESH_REFUSED, REFRESH_FINE, 1}, /* no verdict on a token that is accepted */
        {&instagram, REFRESH_FINE, 0, REFRESH_AMBIGUOUS, REFRESH_FINE, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct refresh_state s = {.standing = ends[i].before, .failures = ends[i].failures, .lease = "abc"};
        struct moment now = at(here, 0);

        refresh_fail(&s, ends[i].policy, ends[i].end, REASON_TIMEOUT, "network", &now);
        if (s.standing != ends[i].after || s.failures != ends[i].failures_after)
            fail_msg("row %zu: got %s, %d failures, expected %s, %d", i, refresh_standing_word(s.standing), s.failures,
                     refresh_standing_word(ends[i].after), ends[i].failures_after);
        assert_string_equal(s.lease, "");
        assert_int_equal(s.reason, REASON_TIMEOUT);
        assert_memory_equal(&s.failed, &now, sizeof now);
    }
}

static void a_lease_taken_over_makes_a_single_use_token_unsure(void **state)
{
    const struct refresh_policy *const policies[] = {&x, &google};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct refresh_state s = {.lease = "old", .leased = at(there, -DAY)};
        struct refresh_question q = {.policy = policies[i], .state = &s, .now = at(here, 0), .expires_at_ms = noon};

        refresh_take_lease(&s, &q, "new");
        assert_int_equal(s.standing, policies[i]->rotates ? REFRESH_UNSURE : REFRESH_FINE);
        assert_string_equal(s.lease, "new");
        assert_int_equal(s.leased.at_ms, noon);
        assert_int_equal(s.learnt.at_ms, 0);
        q.expires_at_ms = 0;
        refresh_take_lease(&s, &q, "new");
        assert_int_equal(s.learnt.at_ms, noon);
    }
}

/* ---- in the document */

static struct refresh_state stored_and_read(const struct refresh_state *s, const char *print)
{
    struct json *health = json_object_new(), *kept = refresh_state_print(s, noon + HOUR);
    struct refresh_state read;

    if (kept) json_set(health, "refresh", kept);
    refresh_state_parse(health, print, &read);
    json_free(health);
    return read;
}

static void what_is_kept_is_read_again(void **state)
{
    struct refresh_state s = {.of = "p1",
                              .standing = REFRESH_UNSURE,
                              .failures = 2,
                              .failed = at(here, 0),
                              .reason = REASON_TIMEOUT,
                              .rule = "network",
                              .learnt = at(there, -HOUR),
                              .refreshed = at(here, -DAY),
                              .lease = "0123",
                              .leased = at(here, -MINUTE)},
                         read = stored_and_read(&s, "p1");

    (void)state;
    assert_string_equal(read.of, "p1");
    assert_int_equal(read.standing, REFRESH_UNSURE);
    assert_int_equal(read.failures, 2);
    assert_memory_equal(&read.failed, &s.failed, sizeof s.failed);
    assert_int_equal(read.reason, REASON_TIMEOUT);
    assert_string_equal(read.rule, "network");
    assert_memory_equal(&read.learnt, &s.learnt, sizeof s.learnt);
    assert_memory_equal(&read.refreshed, &s.refreshed, sizeof s.refreshed);
    assert_string_equal(read.lease, "0123");
    assert_memory_equal(&read.leased, &s.leased, sizeof s.leased);
}

static void with_another_token_in_place_only_the_lease_is_left(void **state)
{
    struct refresh_state s = {.of = "p1",
                              .standing = REFRESH_DEAD,
                              .failures = 2,
                              .failed = at(here, 0),
                              .lease = "0123",
                              .leased = at(here, 0)},
                         read = stored_and_read(&s, "p2");

    (void)state;
    assert_string_equal(read.of, "p2");
    assert_int_equal(read.standing, REFRESH_FINE);
    assert_int_equal(read.failures, 0);
    assert_int_equal(read.failed.at_ms, 0);
    assert_string_equal(read.lease, "0123");
}

static void nothing_to_keep_is_nothing_stored(void **state)
{
    (void)state;
    assert_null(refresh_state_print(&(struct refresh_state){.of = "p1"}, 0));
}

static void damage_in_the_document_is_as_nothing(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"refresh\":null}",
        "{\"refresh\":[1]}",
        "{\"refresh\":\"dead\"}",
        "{\"refresh\":{\"of\":\"p1\",\"standing\":7,\"failures\":\"2\",\"failedAt\":3,\"reason\":{},\"rule\":9}}",
        "{\"refresh\":{\"of\":\"p1\",\"standing\":\"great\",\"failures\":-1,\"lease\":{\"id\":5}}}",
        "{\"refresh\":{\"of\":\"p1\",\"failures\":1000001}}",
        "{\"refresh\":{\"of\":\"p1\",\"lease\":{\"id\":\"0123456789012345678901234567890123\"}}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json *health = NULL;
        struct refresh_state s;

        assert_int_equal(json_parse(texts[i], strlen(texts[i]), &health, NULL), ERR_OK);
        refresh_state_parse(health, "p1", &s);
        if (s.standing != REFRESH_FINE || s.failures || s.failed.at_ms || s.reason != REASON_NONE || s.rule[0] ||
            s.lease[0])
            fail_msg("%s is read as something", texts[i]);
        json_free(health);
    }
}

static void a_token_is_told_by_half_of_its_sha256(void **state)
{
    struct secret token = {0};
    char print[REFRESH_PRINT_BYTES];

    (void)state;
    assert_int_equal(secret_put(&token, "abc", 3, NULL), ERR_OK); /* FIPS 180-4 */
    refresh_print(&token, print);
    assert_string_equal(print, "ba7816bf8f01cfea414140de5dae2223");
    secret_free(&token);
}

static int setup(void **state)
{
    (void)state;
    return crypto_init(NULL) == ERR_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(due_dates_lie_in_the_window_and_are_spread_over_it),
        cmocka_unit_test(an_accounts_place_in_the_window_is_the_same_for_ever_and_everywhere),
        cmocka_unit_test(an_account_is_late_from_the_windows_end_on),
        cmocka_unit_test(a_refresh_goes_waits_or_is_not_due),
        cmocka_unit_test(waits_after_a_failure_are_jittered_by_a_fifth),
        cmocka_unit_test(an_answer_is_judged_by_what_it_says_of_the_refresh_token),
        cmocka_unit_test(what_a_failure_leaves_behind),
        cmocka_unit_test(a_lease_taken_over_makes_a_single_use_token_unsure),
        cmocka_unit_test(what_is_kept_is_read_again),
        cmocka_unit_test(with_another_token_in_place_only_the_lease_is_left),
        cmocka_unit_test(nothing_to_keep_is_nothing_stored),
        cmocka_unit_test(damage_in_the_document_is_as_nothing),
        cmocka_unit_test(a_token_is_told_by_half_of_its_sha256),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
