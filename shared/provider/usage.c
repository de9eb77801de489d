/* Usage and waiting headers: what a file says of them, and what an answer holds. */
#include "provider/provider_internal.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { WAIT_MAX_S = LIMIT_RETRY_AFTER_MS / 1000, PERCENT_MAX = 10000 };

static enum err_code read_name(const struct reader *rd, const struct at *at, void *out)
{
    ((struct usage_header *)out)->name = json_string(at->value);
    return *json_string(at->value) ? ERR_OK : reader_fail(rd, at, "must not be empty");
}

static enum err_code read_value(const struct reader *rd, const struct at *at, void *out)
{
    static const char *const words[] = {
        [USAGE_MEMBERS] = "members", [USAGE_RETRY_AFTER] = "retry_after", [USAGE_RESET_AT] = "reset_at_s"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(json_string(at->value), words[i]) == 0) {
            ((struct usage_header *)out)->value = (enum usage_value)i;
            return ERR_OK;
        }
    }
    return reader_fail(rd, at, "unknown; there are members, retry_after, reset_at_s");
}

static enum err_code read_word(const struct reader *rd, const struct at *at, void *out)
{
    (void)out;
    return reader_type(rd, at, JSON_STRING);
}

static enum err_code read_percent(const struct reader *rd, const struct at *at, void *out)
{
    ((struct usage_header *)out)->percent = at->value;
    return reader_each(rd, at, read_word, NULL);
}

static enum err_code read_wait(const struct reader *rd, const struct at *at, void *out)
{
    ((struct usage_header *)out)->wait = at->value;
    return reader_each(rd, at, read_word, NULL);
}

static enum err_code read_wait_unit(const struct reader *rd, const struct at *at, void *out)
{
    const char *unit = json_string(at->value);
    if (strcmp(unit, "s") != 0 && strcmp(unit, "min") != 0)
        return reader_fail(rd, at, "unknown unit; there are s and min");
    ((struct usage_header *)out)->wait_unit_s = *unit == 's' ? 1 : 60;
    return ERR_OK;
}

static enum err_code read_wait_from(const struct reader *rd, const struct at *at, void *out)
{
    json_int(at->value, &((struct usage_header *)out)->wait_from_percent);
    (void)rd;
    return ERR_OK;
}

static enum err_code read_left(const struct reader *rd, const struct at *at, void *out)
{
    ((struct usage_header *)out)->left = json_string(at->value);
    return *json_string(at->value) ? ERR_OK : reader_fail(rd, at, "must not be empty");
}

enum err_code scope_read(const struct reader *rd, const struct at *at, int *is_app_wide)
{
    *is_app_wide = strcmp(json_string(at->value), "app") == 0;
    return *is_app_wide || strcmp(json_string(at->value), "account") == 0
               ? ERR_OK
               : reader_fail(rd, at, "unknown; there are app, account");
}

static enum err_code read_scope(const struct reader *rd, const struct at *at, void *out)
{
    return scope_read(rd, at, &((struct usage_header *)out)->is_app_wide);
}

static enum err_code read_header(const struct reader *rd, const struct at *at, void *out)
{
    static const struct member members[] = {
        {"name", JSON_STRING, 1, read_name},
        {"value", JSON_STRING, 1, read_value},
        {"percent", JSON_ARRAY, 0, read_percent},
        {"wait", JSON_ARRAY, 0, read_wait},
        {"wait_unit", JSON_STRING, 0, read_wait_unit},
        {"wait_from_percent", JSON_INT, 0, read_wait_from},
        {"left", JSON_STRING, 0, read_left},
        {"scope", JSON_STRING, 0, read_scope},
        {0},
    };
    struct provider *p = out;
    struct usage_header *usage = &p->usage[p->usage_count++];
    usage->wait_unit_s = 1;
    enum err_code code = reader_object(rd, at, members, usage);
    if (code != ERR_OK) return code;
    if ((usage->value == USAGE_MEMBERS) != (usage->percent || usage->wait))
        return reader_fail(rd, at, "\"percent\" and \"wait\" belong to the value \"members\", which needs one of them");
    if (usage->left && usage->value == USAGE_MEMBERS)
        return reader_fail(rd, at, "\"left\" belongs to the values \"retry_after\" and \"reset_at_s\"");
    return ERR_OK;
}

enum err_code usage_headers_read(const struct reader *rd, const struct at *at, struct provider *p)
{
    p->usage = calloc(json_count(at->value) + 1, sizeof *p->usage);
    if (!p->usage) return err_set(rd->err, ERR_NOMEM, NULL, "out of memory");
    return reader_each(rd, at, read_header, p);
}

/* ---- reading an answer */

struct usage_sum {
    double percent; /* -1: none seen */
    double wait;
};

static int is_one_of(const struct json *names, const char *name, size_t len)
{
    for (size_t i = 0; i < json_count(names); i++) {
        const char *want = json_string(json_at(names, i));
        if (strlen(want) == len && memcmp(want, name, len) == 0) return 1;
    }
    return 0;
}

/* Not json_parse: in X-Business-Use-Case-Usage a key may repeat, which strict JSON refuses, and a header cut short
 * still says something. Members are looked for at any depth; the name that is repeated is never one of ours. */
static void sum_members(const struct usage_header *spec, const char *text, struct usage_sum *sum)
{
    const char *p = text;
    while ((p = strchr(p, '"'))) {
        const char *name = ++p;
        size_t len = 0;
        while (name[len] && name[len] != '"')
            len += name[len] == '\\' && name[len + 1] ? 2 : 1;
        if (!name[len]) return;
        p = name + len + 1;
        const char *colon = p + strspn(p, " \t");
        if (*colon != ':') continue;
        const char *digits = colon + 1 + strspn(colon + 1, " \t");
        if (!strchr("0123456789", *digits) || !*digits) continue;
        double value = strtod(digits, NULL);
        if (is_one_of(spec->percent, name, len) && value > sum->percent) sum->percent = value;
        if (is_one_of(spec->wait, name, len) && value > sum->wait) sum->wait = value;
        p = digits;
    }
}

/* IMF-fixdate only (RFC 9110 5.6.7); the two obsolete forms are not sent by anybody we ask. */
static int parse_date(const char *text, int64_t *at_s)
{
    struct tm tm = {0};
    const char *end = text ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;
    if (!end || *end) return 0;
    *at_s = timegm(&tm);
    return 1;
}

static int parse_number(const char *text, int64_t *n)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 15 || text[digits + strspn(text + digits, " \t")]) return 0;
    *n = strtoll(text, NULL, 10);
    return 1;
}

/* A point in time becomes a wait by the provider's own clock (Date), so that ours does not matter. */
static double wait_until(const struct http_answer *answer, int64_t at_s)
{
    int64_t now_s;
    return parse_date(http_answer_header(answer, "Date"), &now_s) && at_s > now_s ? (double)(at_s - now_s) : 0;
}

static double plain_wait(const struct usage_header *spec, const struct http_answer *answer, const char *text)
{
    int64_t n;
    if (parse_number(text, &n)) return spec->value == USAGE_RESET_AT ? wait_until(answer, n) : (double)n;
    return spec->value == USAGE_RETRY_AFTER && parse_date(text, &n) ? wait_until(answer, n) : 0;
}

/* X says on every answer when a window ends; that is a time to wait only when nothing is left in it. */
static int is_used_up(const struct usage_header *spec, const struct http_answer *answer)
{
    const char *left = spec->left ? http_answer_header(answer, spec->left) : NULL;
    int64_t n;
    return !left || (parse_number(left, &n) && n == 0);
}

static void put_most(int64_t *most, double value)
{
    if (value > (double)*most) *most = (int64_t)value;
}

static void put_percent(int *most, double percent)
{
    if (percent > *most) *most = (int)percent + (percent > (int)percent);
}

static void read_one(const struct usage_header *spec, const struct http_answer *answer, const char *text,
                     struct finding *f)
{
    struct usage_sum sum = {.percent = -1};
    if (spec->value == USAGE_MEMBERS)
        sum_members(spec, text, &sum);
    else if (is_used_up(spec, answer))
        sum.wait = plain_wait(spec, answer, text);

    if (sum.percent > PERCENT_MAX) sum.percent = PERCENT_MAX;
    put_percent(&f->usage_percent, sum.percent);
    if (spec->is_app_wide) put_percent(&f->app_usage_percent, sum.percent);
    if (sum.percent >= 0 && sum.percent < (double)spec->wait_from_percent) return;
    sum.wait *= (double)spec->wait_unit_s;
    if (sum.wait > WAIT_MAX_S) sum.wait = WAIT_MAX_S;
    put_most(&f->retry_after_s, sum.wait);
    if (spec->is_app_wide) put_most(&f->app_wait_s, sum.wait);
}

void usage_read(const struct provider *p, const struct http_answer *answer, struct finding *f)
{
    f->usage_percent = f->app_usage_percent = -1;
    for (size_t i = 0; i < p->usage_count; i++) {
        for (int h = 0; h < answer->header_count; h++) {
            if (strcasecmp(answer->headers[h].name, p->usage[i].name) == 0)
                read_one(&p->usage[i], answer, answer->headers[h].value, f);
        }
    }
}
