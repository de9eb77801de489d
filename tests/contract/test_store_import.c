/* Many documents at once: each is told apart, none keeps another out, and a death in the middle leaves whole documents. */
#include "store_fixture.h"

enum { MANY = 300, KILLS = 12, KILLS_MONGO = 3 /* it slows down as it fills */ };

static struct store_item *items_of(const char *const *texts, int count)
{
    struct store_item *items = calloc((size_t)count, sizeof *items);

    assert_non_null(items);
    for (int i = 0; i < count; i++)
        if (texts[i]) items[i].doc = fixture_json(texts[i]);
    return items;
}

static void free_items(struct store_item *items, int count)
{
    for (int i = 0; i < count; i++)
        json_free((struct json *)(uintptr_t)items[i].doc);
    free(items);
}

static void expect_username(const char *id, const char *expected)
{
    struct account account;
    struct err err = {0};

    if (store_find_account(fx.store, id, &account, &err) != ERR_OK) fail_msg("%s: %s", id, err.text);
    if (strcmp(account.username, expected) != 0)
        fail_msg("%s: username \"%s\", expected \"%s\"", id, account.username, expected);
    account_fini(&account);
}

#define DOC(id, name) "{\"_id\":" id ",\"platform\":\"instagram\",\"username\":\"" name "\"}"
static const struct row {
    const char *text;             /* NULL: passed over */
    enum err_code kept, replaced; /* what is said when what is there is kept, and when it is replaced */
    int created;
} rows[] = {
    {DOC("\"a\"", "a"), ERR_OK, ERR_OK, 1},
    {DOC("\"there\"", "new"), ERR_CONFLICT, ERR_OK, 0},
    {NULL, ERR_OK, ERR_OK, 0},
    {"{\"platform\":\"instagram\"}", ERR_BAD_INPUT, ERR_BAD_INPUT, 0},
    {DOC("5", "five"), ERR_OK, ERR_OK, 1},
    {DOC("\"5\"", "text five"), ERR_OK, ERR_OK, 1},
    {DOC("\"a\"", "a again"), ERR_CONFLICT, ERR_OK, 0},
    {"[]", ERR_BAD_INPUT, ERR_BAD_INPUT, 0},
    {DOC("{\"$oid\":\"64b0c0ffee64b0c0ffee0001\"}", "object"), ERR_OK, ERR_OK, 1},
    {DOC("\"a\"", "a at last"), ERR_CONFLICT, ERR_OK, 0},
    {DOC("\"z\"", "z"), ERR_OK, ERR_OK, 1},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void check_rows(int replace)
{
    const char *texts[ROWS];
    struct store_item *items;
    struct err err = {0};

    for (int i = 0; i < ROWS; i++)
        texts[i] = rows[i].text;
    items = items_of(texts, ROWS);
    fixture_put(DOC("\"there\"", "old"));
    fixture_expect(store_import_many(fx.store, items, ROWS, replace, &err), ERR_OK, &err, "import");
    for (int i = 0; i < ROWS; i++) {
        enum err_code expected = replace ? rows[i].replaced : rows[i].kept;

        fixture_expect(items[i].err.code, expected, &items[i].err, texts[i] ? texts[i] : "nothing");
        if (items[i].is_done != (texts[i] && expected == ERR_OK) || items[i].created != rows[i].created)
            fail_msg("%s: done %d, created %d", texts[i] ? texts[i] : "nothing", items[i].is_done, items[i].created);
    }
    expect_username("there", replace ? "new" : "old");
    expect_username("a", replace ? "a at last" : "a");
    expect_username("64b0c0ffee64b0c0ffee0001", "object");
    expect_username("z", "z");
    free_items(items, ROWS);
}

static void of_many_each_is_told_apart_and_what_is_there_is_kept(void **state)
{
    (void)state;
    check_rows(0);
}

static void of_many_each_is_told_apart_and_the_last_of_an_id_stays(void **state)
{
    (void)state;
    check_rows(1);
}

static void nothing_to_import_is_no_mistake_even_without_a_store(void **state)
{
    const char *const texts[] = {NULL, "[]"};
    struct store_item *items = items_of(texts, 2);
    struct err err = {0};

    (void)state;
    fixture_take_away();
    fixture_expect(store_import_many(fx.store, NULL, 0, 0, &err), ERR_OK, &err, "none");
    fixture_expect(store_import_many(fx.store, items, 2, 0, &err), ERR_OK, &err, "unusable ones");
    fixture_bring_back();
    free_items(items, 2);
}

static struct store_item *numbered(int batch)
{
    struct store_item *items = calloc(MANY, sizeof *items);
    char text[128];

    assert_non_null(items);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "{\"_id\":\"n%d\",\"platform\":\"instagram\",\"username\":\"u%d\"}",
                 batch * MANY + i, batch * MANY + i);
        items[i].doc = fixture_json(text);
    }
    return items;
}

static void where_the_store_is_away_none_is_done_and_all_can_be_tried_again(void **state)
{
    struct store_item *items = numbered(0);
    struct err err = {0};

    (void)state;
    fixture_put(DOC("\"a\"", "a")); /* it was open */
    fixture_take_away();
    fixture_expect(store_import_many(fx.store, items, MANY, 0, &err), ERR_UNAVAILABLE, &err, "away");
    for (int i = 0; i < MANY; i++)
        if (items[i].is_done || items[i].created || items[i].err.code != ERR_OK) fail_msg("item %d is decided", i);
    fixture_bring_back();
    usleep(1100000); /* after a failure the store may be left alone for a second */
    err_clear(&err);
    fixture_expect(store_import_many(fx.store, items, MANY, 0, &err), ERR_OK, &err, "back");
    for (int i = 0; i < MANY; i++)
        if (!items[i].is_done || !items[i].created) fail_msg("item %d is not done: %s", i, items[i].err.text);
    free_items(items, MANY);
}

static void import_until_killed(int from)
{
    struct store *store = fixture_open();

    for (int batch = from;; batch++) {
        struct store_item *items = numbered(batch);

        if (store_import_many(store, items, MANY, 0, NULL) != ERR_OK) _exit(1);
        free_items(items, MANY);
    }
}

static int expect_whole(void *arg, struct account *account)
{
    (void)arg;
    if (account->username[0] != 'u' || strcmp(account->username + 1, account->id.text + 1) != 0)
        fail_msg("%s has the username \"%s\"", account->id.text, account->username);
    account_fini(account);
    return 1;
}

static int count_whole(void)
{
    struct store_page page = {.count = MANY};
    struct account_id after;
    struct err err = {0};
    int total = 0;

    while (page.count == MANY) {
        after = page.last;
        fixture_expect(store_scan(fx.store, "instagram", total ? &after : NULL, MANY, expect_whole, NULL, &page, &err),
                       ERR_OK, &err, "scan");
        total += page.count;
    }
    return total;
}

/* SQLite: whole batches, too. */
static void a_death_in_the_middle_leaves_whole_documents(void **state)
{
    int total = 0;

    (void)state;
    for (int i = 0; i < (fx.is_mongo ? KILLS_MONGO : KILLS); i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0) import_until_killed((total + MANY - 1) / MANY);
        usleep(20000 + 7000U * (unsigned)i);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status)) fail_msg("kill %d: the import ended by itself", i);
        if (fx.is_mongo) usleep(200000); /* what the server has read it goes on with */
        total = count_whole();
        if (!fx.is_mongo && total % MANY) fail_msg("kill %d: %d documents, no whole batches", i, total);
        if (fx.is_mongo && total % MANY) break; /* the next numbers would leave a gap */
    }
    if (total < MANY) fail_msg("%d documents in all: nothing was tested", total);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_many_each_is_told_apart_and_what_is_there_is_kept),
        TEST(of_many_each_is_told_apart_and_the_last_of_an_id_stays),
        TEST(nothing_to_import_is_no_mistake_even_without_a_store),
        TEST(where_the_store_is_away_none_is_done_and_all_can_be_tried_again),
        TEST(a_death_in_the_middle_leaves_whole_documents),
    };

    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
