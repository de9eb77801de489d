/* The contract of the scan: every active account of a platform once, in one order over all types of ids, over pages of any size,
 * from any place on, whatever odd documents lie between. */
#include "raw_mongo.h"
#include "raw_sqlite.h"

enum { SEEN_MAX = 64, LOG_BYTES = 65536 };

struct seen {
    char keys[SEEN_MAX][LIMIT_ID_BYTES + 4];
    struct account_id ids[SEEN_MAX];
    int count;
};

static int note(void *arg, struct account *account)
{
    struct seen *seen = arg;

    if (seen->count == SEEN_MAX) return 0;
    seen->ids[seen->count] = account->id;
    id_key(&account->id, seen->keys[seen->count], sizeof seen->keys[0]);
    seen->count++;
    account_fini(account);
    return 1;
}

/* A whole sweep. Returns the number of documents that the pages counted. */
static int sweep(const struct account_id *after, int limit, struct seen *seen)
{
    struct account_id from = {0};
    struct store_page page = {.count = limit};
    struct err err = {0};
    int total = 0;

    if (after) from = *after;
    seen->count = 0;
    for (int pages = 0; page.count >= limit; pages++) {
        enum err_code rc = store_scan(fx.store, "instagram", from.type ? &from : NULL, limit, note, seen, &page, &err);

        fixture_expect(rc, ERR_OK, &err, "scan");
        if (pages > 2 * SEEN_MAX) fail_msg("a scan with pages of %d does not end", limit);
        total += page.count;
        from = page.last;
    }
    return total;
}

static void expect_same(const struct seen *got, const struct seen *expected, int from, const char *what)
{
    if (got->count != expected->count - from)
        fail_msg("%s: got %d accounts, expected %d", what, got->count, expected->count - from);
    for (int i = 0; i < got->count; i++)
        if (strcmp(got->keys[i], expected->keys[from + i]) != 0)
            fail_msg("%s, account %d: got %s, expected %s", what, i, got->keys[i], expected->keys[from + i]);
}

static const char *const mixed_ids[] = {"\"b\"",
                                        "\"a\"",
                                        "\"a.b\"",
                                        "\"\xc3\xa9\"",
                                        "\"12\"",
                                        "\"012345678901234567890123\"",
                                        "5",
                                        "12",
                                        "-3",
                                        "0",
                                        "17841400000000001",
                                        "{\"$oid\":\"0123456789abcdef01234567\"}",
                                        "{\"$oid\":\"00000000000000000000000f\"}",
                                        "{\"$oid\":\"ffffffffffffffffffffffff\"}"};
enum { MIXED = sizeof mixed_ids / sizeof *mixed_ids };

static void put_mixed(void)
{
    for (int i = 0; i < MIXED; i++) {
        char text[256];

        snprintf(text, sizeof text, "{\"_id\":%s,\"platform\":\"instagram\",\"workspaceId\":\"ws\"}", mixed_ids[i]);
        fixture_put(text);
    }
}

static void a_scan_gives_every_account_once_over_pages_of_any_size(void **state)
{
    struct seen whole, paged;

    (void)state;
    put_mixed();
    assert_int_equal(sweep(NULL, 100, &whole), MIXED);
    assert_int_equal(whole.count, MIXED);
    for (int i = 0; i < MIXED; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(whole.keys[i], whole.keys[k])) fail_msg("%s was seen twice", whole.keys[i]);
    for (int limit = 1; limit <= MIXED + 1; limit++) {
        char what[48];

        snprintf(what, sizeof what, "pages of %d", limit);
        assert_int_equal(sweep(NULL, limit, &paged), MIXED);
        expect_same(&paged, &whole, 0, what);
    }
}

static void a_scan_goes_on_exactly_after_any_account(void **state)
{
    struct seen whole, rest;

    (void)state;
    put_mixed();
    sweep(NULL, 100, &whole);
    for (int i = 0; i < whole.count; i++) {
        sweep(&whole.ids[i], 4, &rest);
        expect_same(&rest, &whole, i + 1, whole.keys[i]);
    }
}

/* Bounds of every type, at accounts, between them and where there is none: what a span leaves out the next one has. */
static void spans_give_every_account_exactly_once_wherever_they_are_cut(void **state)
{
    static const char *const between[] = {"\"m\"", "\"\xc3\xa8\"", "7", "-100",
                                          "{\"$oid\":\"11111111111111111111111a\"}"};
    enum { CUTS = MIXED + sizeof between / sizeof *between };
    struct account_id cuts[CUTS];
    struct seen whole, part;

    (void)state;
    put_mixed();
    sweep(NULL, 100, &whole);
    for (int i = 0; i < CUTS; i++)
        cuts[i] = i < MIXED ? whole.ids[i] : fixture_id(between[i - MIXED]);
    for (int i = 0; i < CUTS; i++)
        for (int k = 0; k < CUTS; k++) {
            const struct account_id *bounds[] = {NULL, &cuts[i], &cuts[k], NULL};
            struct seen all = {0};

            if (store_id_order(fx.store, &cuts[i], &cuts[k]) > 0) continue;
            for (int s = 0; s < 3; s++) {
                const struct store_span span = {"instagram", bounds[s], bounds[s + 1]};
                struct store_page page;
                struct account_id id;
                struct err err = {0};
                int count;

                part.count = 0;
                fixture_expect(store_scan_span(fx.store, &span, 100, note, &part, &page, &err), ERR_OK, &err, "span");
                fixture_expect(store_look_ahead(fx.store, &span, 100, part.count ? part.count : 1, &id, &count, &err),
                               ERR_OK, &err, "look ahead");
                if (count != part.count) fail_msg("looking ahead: got %d, the scan had %d", count, part.count);
                if (count) assert_memory_equal(&id, &part.ids[count - 1], sizeof id);
                for (int n = 0; n < part.count; n++)
                    memcpy(all.keys[all.count++], part.keys[n], sizeof part.keys[n]);
            }
            expect_same(&all, &whole, 0, "three spans");
        }
}

/* Whatever the platform, switched off or not, in pages of any size. */
static void a_scan_of_all_platforms_leaves_nothing_out(void **state)
{
    struct seen whole;

    (void)state;
    put_mixed();
    fixture_put("{\"_id\":\"off\",\"platform\":\"instagram\",\"isActive\":false}");
    fixture_put("{\"_id\":\"other\",\"platform\":\"nobody-knows\"}");
    for (int limit = 1; limit <= MIXED + 3; limit++) {
        struct store_page page = {.count = limit};
        struct account_id from = {0};
        struct err err = {0};
        int total = 0;

        whole.count = 0;
        for (int pages = 0; page.count >= limit && pages < SEEN_MAX; pages++) {
            const struct store_span span = {.after = from.type ? &from : NULL};

            fixture_expect(store_scan_span(fx.store, &span, limit, note, &whole, &page, &err), ERR_OK, &err, "scan");
            total += page.count;
            from = page.last;
        }
        if (total != MIXED + 2 || whole.count != MIXED + 2)
            fail_msg("pages of %d: got %d documents, %d accounts, expected %d", limit, total, whole.count, MIXED + 2);
    }
}

static void looking_ahead_stops_where_it_is_told(void **state)
{
    const struct store_span span = {"instagram", NULL, NULL};
    struct seen whole;
    struct account_id id;
    struct err err = {0};
    int count;

    (void)state;
    put_mixed();
    fixture_put("{\"_id\":\"-off\",\"platform\":\"instagram\",\"isActive\":false}");
    sweep(NULL, 100, &whole);
    fixture_expect(store_look_ahead(fx.store, &span, 5, 3, &id, &count, &err), ERR_OK, &err, "look ahead");
    assert_int_equal(count, 5);
    assert_memory_equal(&id, &whole.ids[2], sizeof id);
    fixture_expect(store_look_ahead(fx.store, &span, 100, 50, &id, &count, &err), ERR_OK, &err, "look ahead");
    assert_int_equal(count, MIXED);
    assert_int_equal(id.type, ID_NONE);
}

static void the_order_of_ids_is_that_of_the_scan(void **state)
{
    const struct account_id none = {0};
    struct seen whole;

    (void)state;
    put_mixed();
    sweep(NULL, 100, &whole);
    for (int i = 0; i < whole.count; i++) {
        assert_true(store_id_order(fx.store, &none, &whole.ids[i]) < 0);
        for (int k = 0; k < whole.count; k++) {
            const int order = store_id_order(fx.store, &whole.ids[i], &whole.ids[k]);

            if ((order > 0) - (order < 0) != (i > k) - (i < k))
                fail_msg("%s and %s: got %d", whole.keys[i], whole.keys[k], order);
        }
    }
}

static void a_scan_goes_on_after_an_account_that_is_gone(void **state)
{
    const struct account_id gone = fixture_id("\"m\"");
    struct seen rest;

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\"}");
    fixture_put("{\"_id\":\"l\",\"platform\":\"instagram\"}");
    fixture_put("{\"_id\":\"n\",\"platform\":\"instagram\"}");
    sweep(&gone, 10, &rest);
    assert_int_equal(rest.count, 1);
    assert_string_equal(rest.keys[0], "s:n");
}

static void a_workspace_is_listed_in_the_order_of_the_scan(void **state)
{
    struct seen whole, workspace = {.count = 0};
    struct err err = {0};

    (void)state;
    put_mixed();
    sweep(NULL, 100, &whole);
    fixture_expect(store_find_workspace(fx.store, "instagram", "ws", 100, note, &workspace, &err), ERR_OK, &err,
                   "find");
    expect_same(&workspace, &whole, 0, "the workspace");
}

static void a_scan_leaves_out_what_is_disconnected_and_other_platforms(void **state)
{
    struct seen seen;

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"isActive\":true}");
    fixture_put("{\"_id\":\"b\",\"platform\":\"instagram\",\"isActive\":false}");
    fixture_put("{\"_id\":\"c\",\"platform\":\"instagram\",\"isActive\":null}");
    fixture_put("{\"_id\":\"d\",\"platform\":\"instagram\"}");
    fixture_put("{\"_id\":\"e\",\"platform\":\"facebook\"}");
    assert_int_equal(sweep(NULL, 1, &seen), 3);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.keys[0], "s:a");
    assert_string_equal(seen.keys[1], "s:c");
    assert_string_equal(seen.keys[2], "s:d");
}

static void an_empty_store_is_scanned_at_once(void **state)
{
    struct seen seen;

    (void)state;
    assert_int_equal(sweep(NULL, 10, &seen), 0);
    assert_int_equal(seen.count, 0);
}

static int disconnect_each(void *arg, struct account *account)
{
    struct patch patch = {0};
    struct err err = {0};
    enum err_code rc;

    patch_set_bool(&patch, "isActive", 0);
    patch_set_string(&patch, "username", "a name that makes the document longer");
    rc = store_update(fx.store, &account->id, &patch, &err);
    patch_fini(&patch);
    account_fini(account);
    fixture_expect(rc, ERR_OK, &err, "update inside a scan");
    ++*(int *)arg;
    return 1;
}

static void the_callee_may_change_what_is_scanned(void **state)
{
    struct account_id from = {0};
    struct store_page page = {.count = 3};
    struct err err = {0};
    int changed = 0;

    (void)state;
    put_mixed();
    for (; page.count == 3; from = page.last)
        fixture_expect(
            store_scan(fx.store, "instagram", from.type ? &from : NULL, 3, disconnect_each, &changed, &page, &err),
            ERR_OK, &err, "scan");
    assert_int_equal(changed, MIXED);
}

/* ---- odd documents ---- */

static void nest(struct buf *text, int depth)
{
    for (int i = 0; i < depth; i++)
        buf_puts(text, "{\"a\":");
    buf_puts(text, "1");
    for (int i = 0; i < depth; i++)
        buf_puts(text, "}");
}

static int plant_odd_in_mongo(void)
{
    struct buf text = {0};
    bson_t *doc = BCON_NEW("_id", "n", "platform", "instagram", "workspaceId", "ws");

    bson_append_utf8(doc, "tokenStatus", -1, "a\0b", 3);
    raw_mongo_insert(doc);
    buf_puts(&text, "{\"_id\":\"o\",\"platform\":\"instagram\",\"workspaceId\":\"ws\",\"tokenHealth\":");
    nest(&text, 40);
    buf_puts(&text, "}");
    raw_mongo_put(buf_text(&text));
    buf_reset(&text);
    buf_puts(&text, "{\"_id\":\"z");
    for (int i = 0; i < LIMIT_ID_BYTES; i++)
        buf_puts(&text, "z");
    buf_puts(&text, "\",\"platform\":\"instagram\",\"workspaceId\":\"ws\"}");
    raw_mongo_put(buf_text(&text));
    buf_free(&text);
    raw_mongo_put("{\"_id\":{\"$numberDouble\":\"1.5\"},\"platform\":\"instagram\",\"workspaceId\":\"ws\"}");
    raw_mongo_put("{\"_id\":{\"$numberDouble\":\"2.5\"},\"platform\":\"instagram\",\"workspaceId\":\"ws\"}");
    return 5;
}

static int plant_odd_in_sqlite(void)
{
    raw_sqlite_put("n:15", "{\"_id\":15");
    raw_sqlite_put("s:b", "{\"_id\":\"b\"}");
    raw_sqlite_put("s:n", "{\"_id\":\"n\",\"platform\":5}");
    raw_sqlite_put("s:o", "");
    raw_sqlite_put("s:zz", "\xff");
    return 5;
}

static void count_lines(const char *log, const char *word, int expected)
{
    int count = 0;

    for (const char *at = strstr(log, word); at; at = strstr(at + 1, word))
        count++;
    if (count != expected)
        fail_msg("\"%s\" is %d times in the log, expected %d; the log: %s", word, count, expected, log);
}

static void odd_documents_are_passed_over_and_reported(void **state)
{
    static char log[LOG_BYTES];
    struct seen seen = {.count = 0};
    struct err err = {0};
    int odd;

    (void)state;
    fixture_put("{\"_id\":1,\"platform\":\"instagram\",\"workspaceId\":\"ws\"}");
    fixture_put("{\"_id\":\"m\",\"platform\":\"instagram\",\"workspaceId\":\"ws\"}");
    fixture_put("{\"_id\":\"p\",\"platform\":\"instagram\",\"workspaceId\":\"ws\"}");
    odd = fx.is_mongo ? plant_odd_in_mongo() : plant_odd_in_sqlite();
    for (int limit = 1; limit <= 4; limit++) {
        fixture_log_start();
        sweep(NULL, limit, &seen);
        fixture_log_stop(log, sizeof log);
        assert_int_equal(seen.count, 3);
        assert_string_equal(seen.keys[0], "n:1");
        assert_string_equal(seen.keys[1], "s:m");
        assert_string_equal(seen.keys[2], "s:p");
        count_lines(log, "cannot be read", odd);
        count_lines(log, fx.is_mongo ? "account=n " : "account=s:o ", 1);
    }
    seen.count = 0;
    fixture_expect(store_find_workspace(fx.store, "instagram", "ws", 100, note, &seen, &err), ERR_OK, &err, "find");
    assert_int_equal(seen.count, 3);
}

static void an_odd_field_counts_as_absent_and_is_reported(void **state)
{
    static char log[LOG_BYTES];
    struct account account;
    struct err err = {0};

    (void)state;
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\",\"expiresAt\":\"soon\",\"username\":\"u\"}");
    fixture_log_start();
    fixture_expect(store_find_account(fx.store, "a", &account, &err), ERR_OK, &err, "find");
    fixture_log_stop(log, sizeof log);
    assert_true(account.expires_at_ms == 0);
    assert_string_equal(account.username, "u");
    account_fini(&account);
    count_lines(log, "expiresAt is not a date", 1);
    count_lines(log, "account=a", 1);
    count_lines(log, "soon", 0);
}

static void ids_of_other_types_do_not_stop_a_scan_and_are_reported(void **state)
{
    static char log[LOG_BYTES];
    struct seen seen;

    (void)state;
    if (!fx.is_mongo) return; /* SQLite keeps none: an import refuses them */
    fixture_put("{\"_id\":\"a\",\"platform\":\"instagram\"}");
    raw_mongo_put("{\"_id\":{\"$date\":{\"$numberLong\":\"5\"}},\"platform\":\"instagram\"}");
    raw_mongo_put("{\"_id\":true,\"platform\":\"instagram\"}");
    for (int limit = 1; limit <= 2; limit++) {
        fixture_log_start();
        sweep(NULL, limit, &seen);
        fixture_log_stop(log, sizeof log);
        assert_int_equal(seen.count, 1);
        count_lines(log, "no text, ObjectId or number", 1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_scan_gives_every_account_once_over_pages_of_any_size),
        TEST(a_scan_goes_on_exactly_after_any_account),
        TEST(spans_give_every_account_exactly_once_wherever_they_are_cut),
        TEST(a_scan_of_all_platforms_leaves_nothing_out),
        TEST(looking_ahead_stops_where_it_is_told),
        TEST(the_order_of_ids_is_that_of_the_scan),
        TEST(a_scan_goes_on_after_an_account_that_is_gone),
        TEST(a_workspace_is_listed_in_the_order_of_the_scan),
        TEST(a_scan_leaves_out_what_is_disconnected_and_other_platforms),
        TEST(an_empty_store_is_scanned_at_once),
        TEST(the_callee_may_change_what_is_scanned),
        TEST(odd_documents_are_passed_over_and_reported),
        TEST(an_odd_field_counts_as_absent_and_is_reported),
        TEST(ids_of_other_types_do_not_stop_a_scan_and_are_reported),
    };

    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
