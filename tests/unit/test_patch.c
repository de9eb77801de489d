/* Patches: what a write sets, unsets and asks for, applied to a document. */
#include "json_fixture.h"

static void expect_applied(const char *doc, struct patch *p, const char *expected)
{
    struct json *json = fixture_json(doc);

    assert_true(patch_is_sound(p));
    assert_true(patch_apply(json, p));
    fixture_expect_json(json, expected, doc);
    json_free(json);
    patch_fini(p);
}

/* ---- applying ---- */

static void fields_are_set_and_unset_where_they_are(void **state)
{
    struct patch p = {0};

    (void)state;
    patch_set_int(&p, "b", 5);
    patch_unset(&p, "c");
    patch_set_string(&p, "e.f", "x");
    patch_unset(&p, "g.h");
    patch_set_bool(&p, "new", 1);
    expect_applied("{\"a\":1,\"b\":2,\"c\":3,\"e\":{\"z\":1},\"g\":{\"h\":1,\"i\":2}}", &p,
                   "{\"a\":1,\"b\":5,\"e\":{\"z\":1,\"f\":\"x\"},\"g\":{\"i\":2},\"new\":true}");
}

static void parents_become_objects_when_something_is_set_below_them(void **state)
{
    static const char *const docs[] = {"{}",           "{\"a\":null}",          "{\"a\":5}",           "{\"a\":\"x\"}",
                                       "{\"a\":[{}]}", "{\"a\":{\"$date\":5}}", "{\"a\":{\"b\":null}}"};

    (void)state;
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        struct patch p = {0};

        patch_set_int(&p, "a.b.c", 1);
        expect_applied(docs[i], &p, "{\"a\":{\"b\":{\"c\":1}}}");
    }
}

static void an_unset_makes_no_parents(void **state)
{
    struct patch p = {0};

    (void)state;
    patch_unset(&p, "a.b");
    expect_applied("{}", &p, "{}");
    patch_unset(&p, "a.b");
    expect_applied("{\"a\":null}", &p, "{\"a\":null}");
    patch_unset(&p, "a.b");
    expect_applied("{\"a\":[1]}", &p, "{\"a\":[1]}");
}

static void no_date_and_no_text_unset(void **state)
{
    struct patch p = {0};

    (void)state;
    patch_set_date(&p, "a", 0);
    patch_set_string(&p, "b", NULL);
    expect_applied("{\"a\":1,\"b\":2}", &p, "{}");
}

static void a_date_is_a_date_of_extended_json(void **state)
{
    struct patch p = {0};

    (void)state;
    patch_set_date(&p, "a", 1767323045678);
    patch_set_date(&p, "b", -5);
    patch_set_date(&p, "c", 253402300800000);
    expect_applied("{}", &p,
                   "{\"a\":{\"$date\":\"2026-01-02T03:04:05.678Z\"},\"b\":{\"$date\":{\"$numberLong\":\"-5\"}},"
                   "\"c\":{\"$date\":{\"$numberLong\":\"253402300800000\"}}}");
}

static void the_last_of_two_writes_to_one_path_counts(void **state)
{
    struct patch p = {0};

    (void)state;
    patch_set_int(&p, "a", 1);
    patch_unset(&p, "a");
    patch_set_int(&p, "a", 2);
    patch_unset(&p, "b");
    patch_set_int(&p, "b", 3);
    assert_int_equal(p.field_count, 2);
    expect_applied("{}", &p, "{\"a\":2,\"b\":3}");
}

/* ---- soundness ---- */

static void a_patch_that_lost_something_is_not_sound(void **state)
{
    static char paths[PATCH_MAX + 1][16];
    struct patch p = {0};

    (void)state;
    for (int i = 0; i <= PATCH_MAX; i++) {
        snprintf(paths[i], sizeof paths[i], "f%d", i);
        assert_true(patch_is_sound(&p));
        patch_set_int(&p, paths[i], i);
    }
    assert_false(patch_is_sound(&p));
    patch_fini(&p);
    for (int i = 0; i <= PATCH_MAX; i++)
        patch_guard(&p, paths[i], NULL);
    assert_false(patch_is_sound(&p));
    patch_fini(&p);
    patch_set(&p, "a", NULL);
    assert_false(patch_is_sound(&p));
    patch_fini(&p);
    assert_true(patch_is_sound(&p));
}

static void a_path_inside_another_is_not_sound(void **state)
{
    struct patch p = {0};

    (void)state;
    patch_set_int(&p, "a.b", 1);
    patch_set_int(&p, "a.bc", 1);
    patch_set_int(&p, "a.c", 1);
    patch_set_int(&p, "ab", 1);
    assert_true(patch_is_sound(&p));
    patch_set_int(&p, "a.b.c", 1);
    assert_false(patch_is_sound(&p));
    patch_fini(&p);
    patch_unset(&p, "a.b");
    patch_set_int(&p, "a", 1);
    assert_false(patch_is_sound(&p));
    patch_fini(&p);
}

/* ---- parents ---- */

static void expect_parents(const struct patch_parents *parents, const char *expected)
{
    char got[256] = "";

    for (int i = 0; i < parents->count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", i ? " " : "", (int)parents->list[i].len,
                 parents->list[i].path);
    if (strcmp(got, expected) != 0) fail_msg("got \"%s\", expected \"%s\"", got, expected);
}

static void parents_are_listed_once_outer_before_inner(void **state)
{
    struct patch p = {0};
    struct patch_parents parents;

    (void)state;
    patch_set_int(&p, "h.fast.access", 1);
    patch_set_int(&p, "h.state", 1);
    patch_set_int(&p, "h.fast.refresh", 1);
    patch_set_int(&p, "top", 1);
    patch_unset(&p, "gone.a");
    assert_true(patch_parents(&p, &parents));
    expect_parents(&parents, "h h.fast");
    patch_fini(&p);
}

static void the_parents_in_the_way_are_the_outermost_that_are_no_objects(void **state)
{
    static const struct {
        const char *doc, *blocked;
    } cases[] = {{"{}", ""},
                 {"{\"h\":{}}", ""},
                 {"{\"h\":{\"fast\":{}}}", ""},
                 {"{\"h\":{\"fast\":null}}", "h.fast"},
                 {"{\"h\":null}", "h"},
                 {"{\"h\":[{\"fast\":{}}]}", "h"},
                 {"{\"h\":{\"$oid\":\"0123456789abcdef01234567\"},\"k\":\"x\"}", "h k"}};
    struct patch p = {0};
    struct patch_parents blocked;

    (void)state;
    patch_set_int(&p, "h.fast.access", 1);
    patch_set_int(&p, "h.state", 1);
    patch_set_int(&p, "k.a", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *doc = fixture_json(cases[i].doc);

        assert_true(patch_blocked(&p, doc, &blocked));
        expect_parents(&blocked, cases[i].blocked);
        json_free(doc);
    }
    patch_fini(&p);
}

/* ---- guards ---- */

static void a_guard_keeps_a_copy_of_its_value(void **state)
{
    struct json *value = fixture_json("{\"a\":\"x\"}"), *doc = fixture_json("{\"f\":{\"a\":\"x\"}}");
    struct patch p = {0};

    (void)state;
    patch_guard(&p, "f", value);
    json_free(value);
    assert_true(patch_guards_hold(doc, &p));
    patch_fini(&p);
    json_free(doc);
}

static void all_guards_must_hold(void **state)
{
    struct json *doc = fixture_json("{\"a\":{\"b\":1},\"c\":null}"), *one = fixture_json("1"),
                *null = fixture_json("null");
    struct patch p = {0};

    (void)state;
    assert_true(patch_guards_hold(doc, &p));
    patch_guard(&p, "a.b", one);
    patch_guard(&p, "c", NULL);
    patch_guard(&p, "d", null);
    patch_guard(&p, "a.b.c", NULL);
    assert_true(patch_guards_hold(doc, &p));
    patch_guard(&p, "c", one);
    assert_false(patch_guards_hold(doc, &p));
    patch_guard(&p, "c", NULL); /* the later one replaces it */
    assert_true(patch_guards_hold(doc, &p));
    patch_guard(&p, "a.b", NULL);
    assert_false(patch_guards_hold(doc, &p));
    patch_fini(&p);
    json_free(doc);
    json_free(one);
    json_free(null);
}

/* The table of what holds is in the contract of the stores (tests/contract/test_store_patch.c); here is what JSON alone can hold. */
static void numbers_and_dates_hold_by_value_in_any_form(void **state)
{
    static const struct {
        const char *held, *wanted;
        int holds;
    } cases[] = {{"5", "5.0", 1},
                 {"5", "{\"$numberInt\":\"5\"}", 1},
                 {"{\"$numberLong\":\"5\"}", "{\"$numberDouble\":\"5\"}", 1},
                 {"{\"$numberLong\":\"9007199254740993\"}", "9007199254740993", 1},
                 {"{\"$numberLong\":\"9007199254740993\"}", "9007199254740992", 0},
                 {"{\"$numberDouble\":\"0.5\"}", "0.5", 1},
                 {"{\"$numberDouble\":\"NaN\"}", "{\"$numberDouble\":\"NaN\"}", 1},
                 {"{\"$numberLong\":\"5\"}", "\"5\"", 0},
                 {"{\"a\":\"5\"}", "5", 0},
                 {"{\"$date\":\"1970-01-01T00:00:00.005Z\"}", "{\"$date\":{\"$numberLong\":\"5\"}}", 1},
                 {"{\"$date\":5}", "{\"$date\":{\"$numberLong\":\"5\"}}", 1},
                 {"{\"$date\":6}", "{\"$date\":{\"$numberLong\":\"5\"}}", 0},
                 {"5", "{\"$date\":{\"$numberLong\":\"5\"}}", 0},
                 {"{\"$oid\":\"0123456789abcdef01234567\"}", "{\"$oid\":\"0123456789abcdef01234567\"}", 1},
                 {"\"0123456789abcdef01234567\"", "{\"$oid\":\"0123456789abcdef01234567\"}", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *held = fixture_json(cases[i].held), *wanted = fixture_json(cases[i].wanted);

        if (patch_guard_holds(held, wanted) != cases[i].holds)
            fail_msg("held %s, wanted %s: expected %d", cases[i].held, cases[i].wanted, cases[i].holds);
        json_free(held);
        json_free(wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_set_and_unset_where_they_are),
        cmocka_unit_test(parents_become_objects_when_something_is_set_below_them),
        cmocka_unit_test(an_unset_makes_no_parents),
        cmocka_unit_test(no_date_and_no_text_unset),
        cmocka_unit_test(a_date_is_a_date_of_extended_json),
        cmocka_unit_test(the_last_of_two_writes_to_one_path_counts),
        cmocka_unit_test(a_patch_that_lost_something_is_not_sound),
        cmocka_unit_test(a_path_inside_another_is_not_sound),
        cmocka_unit_test(parents_are_listed_once_outer_before_inner),
        cmocka_unit_test(the_parents_in_the_way_are_the_outermost_that_are_no_objects),
        cmocka_unit_test(a_guard_keeps_a_copy_of_its_value),
        cmocka_unit_test(all_guards_must_hold),
        cmocka_unit_test(numbers_and_dates_hold_by_value_in_any_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
