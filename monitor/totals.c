#include "totals.h"
#include "base/clock.h"

void totals_count(struct totals *t, const struct validate_result *r)
{
    int64_t *by_state[STATE_COUNT] = {
        [STATE_UNKNOWN] = &t->unknown, [STATE_HEALTHY] = &t->healthy, [STATE_EXPIRING] = &t->expiring,
        [STATE_LIMITED] = &t->limited, [STATE_BROKEN] = &t->broken,   [STATE_DISCONNECTED] = NULL};

    t->accounts++;
    if (by_state[r->verdict.state]) ++*by_state[r->verdict.state];
    t->inconclusive += r->verdict.attempt_reason != REASON_NONE;
    t->fixed += r->fixed != 0;
    t->refreshed += r->refreshed;
    t->state_changes += r->state_changed;
    t->store_errors += r->store_error != ERR_OK && r->store_error != ERR_CONFLICT;
}

void totals_add(struct totals *sum, const struct totals *t)
{
    if (t->started_at_ms && (!sum->started_at_ms || t->started_at_ms < sum->started_at_ms))
        sum->started_at_ms = t->started_at_ms;
    if (t->finished_at_ms > sum->finished_at_ms) sum->finished_at_ms = t->finished_at_ms;
#define TOTAL(field, name) sum->field += t->field;
#include "totals.def"
#undef TOTAL
}

struct json *totals_print(const struct totals *t)
{
    struct json *j = json_object_new();

    json_set(j, "startedAt", json_new_date(t->started_at_ms));
    json_set(j, "finishedAt", json_new_date(t->finished_at_ms));
#define TOTAL(field, name) json_set(j, name, json_new_int(t->field));
#include "totals.def"
#undef TOTAL
    return j;
}

static void parse_date(const struct json *json, const char *name, int64_t *at_ms)
{
    const char *text = json_string(json_member(json, name));

    if (text) clock_parse(text, at_ms);
}

void totals_parse(const struct json *json, struct totals *t)
{
    *t = (struct totals){0};
    parse_date(json, "startedAt", &t->started_at_ms);
    parse_date(json, "finishedAt", &t->finished_at_ms);
#define TOTAL(field, name) json_int(json_member(json, name), &t->field);
#include "totals.def"
#undef TOTAL
}
