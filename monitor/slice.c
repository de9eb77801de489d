#include "slice.h"
#include <stdio.h>
#include <string.h>

const char *slice_name(const struct slice *s, char out[LEASE_NAME_BYTES])
{
    char key[LIMIT_ID_BYTES + 4];

    id_key(&s->lo, key, sizeof key);
    snprintf(out, LEASE_NAME_BYTES, SLICE_PREFIX "%s/%s", s->platform, key);
    return out;
}

static int parse_name(const char *name, struct slice *s)
{
    const size_t start = strlen(SLICE_PREFIX);
    const char *end;

    if (strncmp(name, SLICE_PREFIX, start) != 0) return 0;
    end = strchr(name + start, '/');
    if (!end || end == name + start || (size_t)(end - name) - start >= sizeof s->platform) return 0;
    memcpy(s->platform, name + start, (size_t)(end - name) - start);
    id_of_key(end + 1, &s->lo);
    return s->lo.type != ID_NONE || !end[1];
}

int slice_parse(const char *name, const struct json *state, struct slice *s)
{
    const char *cursor = json_string(json_member(state, "cursor"));

    *s = (struct slice){0};
    if (!parse_name(name, s)) return 0;
    if (cursor) id_of_key(cursor, &s->cursor);
    json_int(json_member(state, "dueAt"), &s->due_ms);
    json_int(json_member(state, "begunAt"), &s->begun_ms);
    json_int(json_member(state, "asked"), &s->asked);
    json_int(json_member(state, "swept"), &s->swept);
    json_int(json_member(state, "passes"), &s->passes);
    totals_parse(json_member(state, "now"), &s->now);
    totals_parse(json_member(state, "last"), &s->last);
    return 1;
}

struct json *slice_print(const struct slice *s)
{
    struct json *j = json_object_new();
    char key[LIMIT_ID_BYTES + 4];

    id_key(&s->cursor, key, sizeof key);
    json_set(j, "cursor", s->cursor.type == ID_NONE ? NULL : json_new_string(key));
    json_set(j, "dueAt", json_new_int(s->due_ms));
    json_set(j, "begunAt", json_new_int(s->begun_ms));
    json_set(j, "asked", json_new_int(s->asked));
    json_set(j, "swept", json_new_int(s->swept));
    json_set(j, "passes", json_new_int(s->passes));
    json_set(j, "now", s->begun_ms ? totals_print(&s->now) : NULL);
    json_set(j, "last", totals_print(&s->last));
    return j;
}

int64_t slice_wait_ms(const struct slice *s, int64_t now_ms, int64_t interval_ms)
{
    const int64_t left_ms = s->due_ms - now_ms;

    return s->begun_ms || left_ms <= 0 || left_ms > interval_ms ? 0 : left_ms;
}

void slice_begin(struct slice *s, int64_t now_ms, int64_t wall_ms)
{
    if (s->begun_ms) return;
    if (!s->due_ms || s->due_ms > now_ms) s->due_ms = now_ms;
    s->begun_ms = now_ms;
    s->cursor = (struct account_id){0};
    s->now = (struct totals){.started_at_ms = wall_ms};
}

void slice_finish(struct slice *s, int64_t now_ms, int64_t wall_ms, int64_t interval_ms)
{
    s->swept = s->asked;
    s->last = s->now;
    s->last.finished_at_ms = wall_ms;
    s->now = (struct totals){0};
    s->due_ms = s->due_ms + interval_ms > now_ms ? s->due_ms + interval_ms : now_ms;
    s->begun_ms = 0;
    s->passes++;
    s->cursor = (struct account_id){0};
}

int slice_where_to_cut(int ahead)
{
    return ahead >= SLICE_LOOK_AHEAD ? LIMIT_SLICE_ACCOUNTS : 0;
}

void slice_cut(const struct slice *whole, const struct account_id *at, struct slice *rest)
{
    *rest = (struct slice){.lo = *at, .due_ms = whole->due_ms, .swept = whole->swept, .passes = whole->passes};
    snprintf(rest->platform, sizeof rest->platform, "%s", whole->platform);
}
