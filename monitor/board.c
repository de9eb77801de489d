#include "board.h"
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SAME_TIME_MS = 1000 };

void board_start(struct board *next, const struct board *last, int64_t now_ms, int64_t boot_ms)
{
    *next = (struct board){.store = last->store, .owner = last->owner, .now_ms = now_ms, .seen_boot_ms = boot_ms};
}

static uint64_t hash_name(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

/* In all of it: it is sorted by place. */
static const struct board_entry *find(const struct board *b, uint64_t hash, const char *name)
{
    for (int i = 0; i < b->count; i++)
        if (b->list[i].hash == hash && !strcmp(name, b->list[i].lease.name)) return &b->list[i];
    return NULL;
}

static int64_t since(const struct board *next, const struct board *last, const struct lease *lease, uint64_t hash)
{
    const struct board_entry *before = find(last, hash, lease->name);
    int is_same = before && before->lease.epoch == lease->epoch && before->lease.beat == lease->beat;

    return is_same ? before->since_boot_ms : next->seen_boot_ms;
}

enum err_code board_put(struct board *next, const struct board *last, struct lease *lease)
{
    struct board_entry *entry;

    if (next->count == next->cap) {
        int cap = next->cap ? 2 * next->cap : 16;
        struct board_entry *list = realloc(next->list, (size_t)cap * sizeof *list);

        if (!list) {
            lease_fini(lease);
            return ERR_NOMEM;
        }
        next->list = list;
        next->cap = cap;
    }
    entry = &next->list[next->count++];
    *entry = (struct board_entry){.lease = *lease, .hash = hash_name(lease->name)};
    entry->since_boot_ms = since(next, last, lease, entry->hash);
    entry->is_slice = slice_parse(lease->name, lease->state, &entry->slice);
    if (entry->is_slice) {
        json_free(entry->lease.state);
        entry->lease.state = NULL;
    }
    return ERR_OK;
}

static int compare(const void *x, const void *y, void *arg)
{
    const struct board_entry *a = x, *b = y;
    const struct board *board = arg;
    int by_platform;

    if (!a->is_slice || !b->is_slice)
        return a->is_slice != b->is_slice ? b->is_slice - a->is_slice : strcmp(a->lease.name, b->lease.name);
    by_platform = strcmp(a->slice.platform, b->slice.platform);
    return by_platform ? by_platform : store_id_order(board->store, &a->slice.lo, &b->slice.lo);
}

void board_finish(struct board *next)
{
    if (next->count) qsort_r(next->list, (size_t)next->count, sizeof *next->list, compare, next);
}

void board_fini(struct board *board)
{
    for (int i = 0; i < board->count; i++)
        lease_fini(&board->list[i].lease);
    free(board->list);
    board->list = NULL;
    board->count = board->cap = 0;
}

int64_t board_now_ms(const struct board *b, int64_t boot_ms)
{
    return b->now_ms + boot_ms - b->seen_boot_ms;
}

static int64_t held_for_ms(const struct board *b, const struct board_entry *entry)
{
    const int64_t stood_ms = b->seen_boot_ms - entry->since_boot_ms;

    if (!entry->lease.owner[0] || !strcmp(entry->lease.owner, b->owner)) return 0;
    return stood_ms >= entry->lease.ttl_ms ? 0 : entry->lease.ttl_ms - stood_ms;
}

int board_is_free(const struct board *b, const struct board_entry *entry)
{
    return held_for_ms(b, entry) == 0;
}

const struct account_id *board_end(const struct board *b, const struct board_entry *entry)
{
    const struct board_entry *next = entry + 1;

    if (next == b->list + b->count || !next->is_slice || strcmp(next->slice.platform, entry->slice.platform) != 0)
        return NULL;
    return &next->slice.lo;
}

int board_is_chosen(const char *platforms, const char *platform)
{
    size_t len = strlen(platform);
    const char *at = platforms + strspn(platforms, " ");

    if (!*at) return 1;
    for (; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");

        if (word == len && !memcmp(at, platform, len)) return 1;
        at += word;
    }
    return 0;
}

static int is_wanted(const struct board_entry *entry, const struct board_wish *wish)
{
    return entry->is_slice && board_is_chosen(wish->platforms, entry->slice.platform);
}

static int64_t wait_for_slice(const struct board *b, const struct slice *s, const struct board_wish *wish)
{
    return s->swept < wish->asked ? 0 : slice_wait_ms(s, b->now_ms, wish->interval_ms);
}

struct board_entry *board_choose(struct board *b, const struct board_wish *wish, board_skip_fn *skip, void *arg)
{
    struct board_entry *best = NULL;

    for (int i = 0; i < b->count; i++) {
        struct board_entry *entry = &b->list[((unsigned)i + wish->salt) % (unsigned)b->count];

        if (!is_wanted(entry, wish) || !board_is_free(b, entry) || skip(arg, &entry->lease)) continue;
        if (wait_for_slice(b, &entry->slice, wish) > 0) continue;
        if (!best || entry->slice.due_ms + SAME_TIME_MS < best->slice.due_ms) best = entry;
    }
    return best;
}

int64_t board_wait_ms(const struct board *b, const struct board_wish *wish)
{
    int64_t least_ms = INT64_MAX;

    for (int i = 0; i < b->count; i++) {
        const struct board_entry *entry = &b->list[i];
        int64_t wait_ms, held_ms = held_for_ms(b, entry);

        if (!is_wanted(entry, wish)) continue;
        wait_ms = wait_for_slice(b, &entry->slice, wish);
        if (held_ms > wait_ms) wait_ms = held_ms;
        if (wait_ms < least_ms) least_ms = wait_ms;
    }
    return least_ms;
}

static void sum_asked(struct board_sums *sums, const struct slice *s)
{
    if (s->swept >= sums->asked_id)
        totals_add(&sums->asked, &s->last);
    else if (s->begun_ms && s->asked >= sums->asked_id)
        totals_add(&sums->asked, &s->now);
    if (s->swept < sums->asked_id) sums->is_asked_done = 0;
}

void board_sum(const struct board *b, const struct board_wish *wish, struct board_sums *sums)
{
    *sums =
        (struct board_sums){.passes = INT64_MAX, .next_due_ms = INT64_MAX, .asked_id = wish->asked, .is_asked_done = 1};
    for (int i = 0; i < b->count; i++) {
        const struct slice *s = &b->list[i].slice;

        if (!is_wanted(&b->list[i], wish)) continue;
        sums->slices++;
        sums->under_way += s->begun_ms != 0;
        totals_add(&sums->now, &s->now);
        totals_add(&sums->last, &s->last);
        if (wish->asked) sum_asked(sums, s);
        if (s->passes < sums->passes) sums->passes = s->passes;
        if (s->due_ms < sums->next_due_ms) sums->next_due_ms = s->due_ms;
    }
    if (!sums->slices) sums->passes = sums->next_due_ms = sums->is_asked_done = 0;
    if (!sums->passes) sums->last = (struct totals){0}; /* of a first sweep parts may be over, but not the sweep */
}
