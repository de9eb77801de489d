#include "provider/provider_internal.h"
#include <string.h>

/* A value as tests see it. JSON null is absent. */
struct operand {
    int exists, has_number, has_truth, truth;
    int64_t number;
    const char *text;
};

/* Decimal text as a program writes it: no sign but '-', no leading zero; 18 digits fit int64. */
static int decimal(const char *text, int64_t *n)
{
    int negative = *text == '-';
    const char *digits = text + negative;
    size_t len = strspn(digits, "0123456789");
    int64_t sum = 0;
    if (len == 0 || len > 18 || digits[len] || (digits[0] == '0' && (len > 1 || negative))) return 0;
    for (size_t i = 0; i < len; i++)
        sum = sum * 10 + (digits[i] - '0');
    *n = negative ? -sum : sum;
    return 1;
}

int match_number(const struct json *value, int64_t *n)
{
    double d;
    if (json_int(value, n)) return 1;
    if (json_double(value, &d)) {
        if (!(d > -9e15 && d < 9e15) || d != (double)(int64_t)d) return 0;
        *n = (int64_t)d;
        return 1;
    }
    const char *text = json_string(value);
    return text && strlen(text) == json_string_len(value) && decimal(text, n);
}

static struct operand operand_of(const struct json *value)
{
    struct operand o = {0};
    enum json_type type = json_type(value);
    o.exists = type != JSON_ABSENT && type != JSON_NULL;
    o.has_number = match_number(value, &o.number);
    o.has_truth = json_bool(value, &o.truth);
    o.text = json_string(value);
    return o;
}

static int operand_matches(const struct json *test, const struct operand *o);

static int any_matches(const struct json *tests, const struct operand *o)
{
    for (size_t i = 0; i < json_count(tests); i++) {
        if (operand_matches(json_at(tests, i), o)) return 1;
    }
    return 0;
}

static int contains(const struct json *words, const char *text)
{
    if (json_type(words) == JSON_STRING) return strcasestr(text, json_string(words)) != NULL;
    for (size_t i = 0; i < json_count(words); i++) {
        if (strcasestr(text, json_string(json_at(words, i)))) return 1;
    }
    return 0;
}

static int object_matches(const struct json *test, const struct operand *o)
{
    const struct json *arg;
    int64_t from = 0, to = 0;
    int flag = 0;
    if ((arg = json_member(test, "contains"))) return o->text && contains(arg, o->text);
    if ((arg = json_member(test, "not"))) return !operand_matches(arg, o);
    if ((arg = json_member(test, "exists"))) return json_bool(arg, &flag) && o->exists == flag;
    return json_int(json_member(test, "from"), &from) && json_int(json_member(test, "to"), &to) && o->has_number &&
           o->number >= from && o->number <= to;
}

static int operand_matches(const struct json *test, const struct operand *o)
{
    int64_t number;
    int truth;
    switch (json_type(test)) {
    case JSON_ARRAY:
        return any_matches(test, o);
    case JSON_OBJECT:
        return object_matches(test, o);
    case JSON_INT:
        return json_int(test, &number) && o->has_number && o->number == number;
    case JSON_BOOL:
        return json_bool(test, &truth) && o->has_truth && o->truth == truth;
    case JSON_STRING:
        return o->text && strcmp(o->text, json_string(test)) == 0;
    default:
        return 0;
    }
}

int match_json(const struct json *test, const struct json *value)
{
    struct operand o = operand_of(value);
    return !test || operand_matches(test, &o);
}

int match_int(const struct json *test, int64_t n)
{
    struct operand o = {.exists = 1, .has_number = 1, .number = n};
    return !test || operand_matches(test, &o);
}

int match_paths(const struct json *tests, const struct json *root)
{
    for (size_t i = 0; i < json_count(tests); i++) {
        const char *path;
        const struct json *test = json_member_at(tests, i, &path);
        if (!match_json(test, json_get(root, path))) return 0;
    }
    return 1;
}

static const struct json *find_one(const struct json *root, const struct json *path)
{
    const struct json *value = json_get(root, json_string(path));
    return json_type(value) == JSON_NULL ? NULL : value;
}

const struct json *match_find(const struct json *root, const struct json *choice)
{
    if (json_type(choice) == JSON_STRING) return find_one(root, choice);
    for (size_t i = 0; i < json_count(choice); i++) {
        const struct json *value = find_one(root, json_at(choice, i));
        if (value) return value;
    }
    return NULL;
}

/* ---- checking at load time */

static enum err_code check_range(const struct reader *rd, const struct at *at)
{
    struct at from, to;
    int64_t low = 0, high = 0;
    if (!reader_find(at, "from", &from) || !reader_find(at, "to", &to))
        return reader_fail(rd, at, "a range needs \"from\" and \"to\"");
    enum err_code code = reader_type(rd, &from, JSON_INT);
    if (code == ERR_OK) code = reader_type(rd, &to, JSON_INT);
    if (code == ERR_OK && json_int(from.value, &low) && json_int(to.value, &high) && low > high)
        code = reader_fail(rd, at, "can never match: from is above to");
    return code;
}

static enum err_code check_word(const struct reader *rd, const struct at *at, void *out)
{
    (void)out;
    enum err_code code = reader_type(rd, at, JSON_STRING);
    if (code == ERR_OK && !*json_string(at->value)) code = reader_fail(rd, at, "an empty text would match everything");
    return code;
}

static enum err_code check_object(const struct reader *rd, const struct at *at)
{
    struct at arg;
    size_t count = json_count(at->value);
    if (reader_find(at, "from", &arg) || reader_find(at, "to", &arg)) {
        if (count != 2) return reader_fail(rd, at, "a range has \"from\" and \"to\" and nothing else");
        return check_range(rd, at);
    }
    if (count != 1) return reader_fail(rd, at, "a test has exactly one member: contains, exists, not (or from and to)");
    arg = reader_member(at, 0);
    if (strcmp(arg.key, "contains") == 0)
        return json_type(arg.value) == JSON_ARRAY ? reader_each(rd, &arg, check_word, NULL)
                                                  : check_word(rd, &arg, NULL);
    if (strcmp(arg.key, "exists") == 0) return reader_type(rd, &arg, JSON_BOOL);
    if (strcmp(arg.key, "not") == 0) return match_read_test(rd, &arg, NULL);
    return reader_fail(rd, &arg, "unknown test");
}

enum err_code match_read_test(const struct reader *rd, const struct at *at, void *out)
{
    switch (json_type(at->value)) {
    case JSON_ARRAY:
        return reader_each(rd, at, match_read_test, out);
    case JSON_OBJECT:
        return check_object(rd, at);
    case JSON_INT:
    case JSON_BOOL:
    case JSON_STRING:
        return ERR_OK;
    default:
        return reader_fail(rd, at, "a test is an integer, a text, true, false, an object or an array of tests");
    }
}

static enum err_code check_path_text(const struct reader *rd, const struct at *at, const char *path)
{
    size_t len = strlen(path);
    if (len == 0 || len > 200 || path[0] == '.' || path[len - 1] == '.' || strstr(path, ".."))
        return reader_fail(rd, at, "not a path: write it as a.b.c");
    return ERR_OK;
}

static enum err_code check_path(const struct reader *rd, const struct at *at, void *out)
{
    (void)out;
    enum err_code code = reader_type(rd, at, JSON_STRING);
    return code == ERR_OK ? check_path_text(rd, at, json_string(at->value)) : code;
}

enum err_code match_read_choice(const struct reader *rd, const struct at *at, void *out)
{
    return json_type(at->value) == JSON_ARRAY ? reader_each(rd, at, check_path, out) : check_path(rd, at, out);
}

enum err_code match_read_paths(const struct reader *rd, const struct at *at, void *out)
{
    enum err_code code = reader_type(rd, at, JSON_OBJECT);
    if (code == ERR_OK && json_count(at->value) == 0) code = reader_fail(rd, at, "must not be empty");
    for (size_t i = 0; code == ERR_OK && i < json_count(at->value); i++) {
        struct at child = reader_member(at, i);
        code = check_path_text(rd, &child, child.key);
        if (code == ERR_OK) code = match_read_test(rd, &child, out);
    }
    return code;
}
