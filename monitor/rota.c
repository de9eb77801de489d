#include "rota.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "health/watch.h"
#include "hold.h"
#include "self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOLDS_MOST = 8, /* the next slice is begun while the last accounts of others wait for their provider */
    LOOK_SOON_MS = 300,
    LOOK_HELD_MS = 1000, /* while others are at work: they may cut off slices for us */
    LOOK_MOST_MS = 15000,
    AWAY_FIRST_MS = 200,
    AWAY_MOST_MS = 5000,
    REPLAY_MOST_MS = 30000
};

struct rota {
    struct service *service;
    char owner[LEASE_OWNER_BYTES];
    struct hold_terms terms;
    struct board_wish wish;
    struct board board;
    TAILQ_HEAD(holds, hold) holds;
    int hold_count;
    struct lease presence;
    int64_t presence_boot_ms; /* when it is written next */
    int64_t look_boot_ms;     /* when to look at the board next */
    int64_t away_ms;          /* the last pause because the store was away; 0: it is there */
    int64_t first_passes;     /* when we came; -1: not known yet */
    int64_t sweeps;           /* since then */
    int is_replayed;          /* the spool, since there was last something to do */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum err_code rota_new(struct service *service, struct rota **rota, struct err *err)
{
    const struct config *cfg = service_config(service);
    const int64_t ttl_ms = cfg->monitor_lease_ms;
    struct rota *r = calloc(1, sizeof *r);
    enum err_code rc;

    *rota = NULL;
    if (!r) return err_set(err, ERR_NOMEM, NULL, "no memory for the monitor");
    r->service = service;
    r->first_passes = -1;
    TAILQ_INIT(&r->holds);
    rc = self_name(r->owner, &r->wish.salt, err);
    if (rc != ERR_OK) {
        free(r);
        return rc;
    }
    r->terms = (struct hold_terms){service,
                                   r->owner,
                                   ttl_ms,
                                   least(ttl_ms / 2, cfg->provider_timeout_ms + cfg->store_timeout_ms),
                                   cfg->check_interval_ms,
                                   0};
    r->wish.platforms = cfg->monitor_platforms;
    r->wish.interval_ms = cfg->check_interval_ms;
    r->board = (struct board){.store = service_store(service), .owner = r->owner};
    r->presence.state = self_describe();
    snprintf(r->presence.name, sizeof r->presence.name, MONITOR_PREFIX "%s", r->owner);
    *rota = r;
    return ERR_OK;
}

void rota_free(struct rota *r)
{
    struct hold *h;

    if (!r) return;
    while ((h = TAILQ_FIRST(&r->holds))) {
        TAILQ_REMOVE(&r->holds, h, entry);
        hold_free(h);
    }
    board_fini(&r->board);
    lease_fini(&r->presence);
    free(r);
}

/* ---- the store is away ---- */

static void store_failed(struct rota *r, const struct err *err)
{
    if (!r->away_ms)
        log_warn("TOKEN HEALTH", "the store is away; the sweep goes on when it is back", LOG_S("why", err->text));
    r->away_ms = r->away_ms ? least(2 * r->away_ms, AWAY_MOST_MS) : AWAY_FIRST_MS;
    r->look_boot_ms = clock_boot_ms() + r->away_ms;
}

static void store_answers(struct rota *r)
{
    if (r->away_ms) log_info("TOKEN HEALTH", "the store is back");
    r->away_ms = 0;
}

static int is_away(const struct rota *r)
{
    return r->away_ms && clock_boot_ms() < r->look_boot_ms;
}

/* ---- the board ---- */

struct look {
    struct board next;
    const struct board *last;
    int failed;
};

static void see(void *arg, struct lease *lease)
{
    struct look *look = arg;

    look->failed |= board_put(&look->next, look->last, lease) != ERR_OK;
}

static enum err_code look_at_board(struct rota *r, struct err *err)
{
    struct store *store = service_store(r->service);
    struct look look = {.last = &r->board};
    int64_t now_ms;
    enum err_code rc = store_now(store, &now_ms, err);

    if (rc != ERR_OK) return rc;
    board_start(&look.next, &r->board, now_ms, clock_boot_ms());
    rc = store_lease_list(store, "", see, &look, err);
    if (rc == ERR_OK && look.failed) rc = err_set(err, ERR_NOMEM, NULL, "no memory for the slices");
    if (rc != ERR_OK) {
        board_fini(&look.next);
        return rc;
    }
    board_finish(&look.next);
    board_fini(&r->board);
    r->board = look.next;
    return ERR_OK;
}

static int has_first_slice(const struct board *b, const char *platform)
{
    for (int i = 0; i < b->count; i++)
        if (b->list[i].is_slice && b->list[i].slice.lo.type == ID_NONE && !strcmp(b->list[i].slice.platform, platform))
            return 1;
    return 0;
}

/* A platform's first slice is all of it. It counts as having been gone through as often as the others. *made: one was missing. */
static enum err_code make_slices(struct rota *r, int *made, struct err *err)
{
    const struct provider_set *providers = service_providers(r->service);
    struct board_sums sums;
    enum err_code rc = ERR_OK;

    board_sum(&r->board, &r->wish, &sums);
    for (size_t i = 0; rc == ERR_OK && i < provider_count(providers); i++) {
        struct slice s = {.passes = sums.passes};
        char name[LEASE_NAME_BYTES];
        struct json *state;

        snprintf(s.platform, sizeof s.platform, "%s", provider_platform(provider_at(providers, i)));
        if (!board_is_chosen(r->wish.platforms, s.platform) || has_first_slice(&r->board, s.platform)) continue;
        state = slice_print(&s);
        rc = store_lease_create(service_store(r->service), slice_name(&s, name), state, NULL, err);
        json_free(state);
        *made = 1;
        if (rc != ERR_CONFLICT) continue;
        err_clear(err); /* another monitor was first */
        rc = ERR_OK;
    }
    return rc;
}

static enum err_code look(struct rota *r, struct err *err)
{
    struct board_sums sums;
    int made = 0;
    enum err_code rc = look_at_board(r, err);

    if (rc == ERR_OK) rc = make_slices(r, &made, err);
    if (rc == ERR_OK && made) rc = look_at_board(r, err);
    if (rc != ERR_OK) return rc;
    board_sum(&r->board, &r->wish, &sums);
    if (r->first_passes < 0) r->first_passes = sums.passes;
    if (sums.passes - r->first_passes > r->sweeps) r->sweeps = sums.passes - r->first_passes;
    return ERR_OK;
}

/* ---- presence: what others see of us ---- */

static int is_monitor(const struct board_entry *e)
{
    return !e->is_slice && !strncmp(e->lease.name, MONITOR_PREFIX, strlen(MONITOR_PREFIX));
}

/* Of monitors that were killed. */
static void forget_dead(struct rota *r)
{
    for (int i = 0; i < r->board.count; i++) {
        struct board_entry *e = &r->board.list[i];

        if (!is_monitor(e) || !strcmp(e->lease.name, r->presence.name) || !board_is_free(&r->board, e)) continue;
        if (store_lease_take(service_store(r->service), &e->lease, r->owner, r->terms.ttl_ms, NULL) == ERR_OK)
            store_lease_delete(service_store(r->service), &e->lease, NULL);
    }
}

/* It is nobody's business whether this works: the next time it will. */
static void show_presence(struct rota *r)
{
    struct store *store = service_store(r->service);
    struct json *state = r->presence.state;

    if (clock_boot_ms() < r->presence_boot_ms) return;
    r->presence_boot_ms = clock_boot_ms() + r->terms.ttl_ms / 4;
    if (store_lease_renew(store, &r->presence, NULL) == ERR_OK) return;
    store_lease_create(store, r->presence.name, state, NULL, NULL);
    r->presence.epoch = r->presence.beat = 0;
    store_lease_take(store, &r->presence, r->owner, r->terms.ttl_ms, NULL);
}

/* ---- taking ---- */

static int is_held(void *arg, const struct lease *lease)
{
    const struct rota *r = arg;
    const struct hold *h;

    for (h = TAILQ_FIRST(&r->holds); h; h = TAILQ_NEXT(h, entry))
        if (!strcmp(h->lease.name, lease->name)) return 1;
    return 0;
}

/* The spool is replayed before there is work: it may take long, and a lease would run out meanwhile. */
static void replay(struct rota *r)
{
    if (r->is_replayed || r->hold_count) return;
    service_replay(r->service, REPLAY_MOST_MS);
    r->is_replayed = 1;
}

static void add_hold(struct rota *r, struct hold *h)
{
    TAILQ_INSERT_TAIL(&r->holds, h, entry);
    r->hold_count++;
}

static void drop_hold(struct rota *r, struct hold *h)
{
    TAILQ_REMOVE(&r->holds, h, entry);
    r->hold_count--;
    hold_free(h);
}

/* 1: taken and begun, or at least something has changed: look again. */
static int take(struct rota *r, const struct board_entry *entry)
{
    struct hold *h = NULL;
    struct err err = {0};
    enum err_code rc = hold_take(&r->terms, entry, board_end(&r->board, entry), &h, &err);

    if (rc == ERR_CONFLICT) return 1;
    if (rc == ERR_OK) {
        add_hold(r, h);
        rc = hold_begin(&r->terms, h, board_now_ms(&r->board, clock_boot_ms()), &err);
        if (rc == ERR_OK) return 1;
        if (rc != ERR_NOT_FOUND) hold_release(&r->terms, h);
        drop_hold(r, h);
        if (rc == ERR_NOT_FOUND) return 1;
    }
    store_failed(r, &err);
    return 0;
}

static int64_t pause_between_looks(const struct rota *r)
{
    const int64_t wait_ms = board_wait_ms(&r->board, &r->wish);
    struct board_sums sums;

    board_sum(&r->board, &r->wish, &sums);
    if (sums.under_way && wait_ms > LOOK_HELD_MS) return LOOK_HELD_MS;
    if (wait_ms < LOOK_SOON_MS) return wait_ms < 1 ? LOOK_SOON_MS : wait_ms;
    return least(wait_ms, least(LOOK_MOST_MS, r->terms.ttl_ms / 4));
}

/* Busy, too: what stands still is known in time. */
static void glance(struct rota *r)
{
    struct err err = {0};

    if (is_away(r) || clock_boot_ms() - r->board.seen_boot_ms < r->terms.ttl_ms / 4) return;
    if (look_at_board(r, &err) != ERR_OK) store_failed(r, &err);
}

static void look_for_work(struct rota *r)
{
    struct board_entry *entry;
    struct err err = {0};

    if (r->hold_count >= HOLDS_MOST || clock_boot_ms() < r->look_boot_ms) return;
    if (look(r, &err) != ERR_OK) {
        store_failed(r, &err);
        return;
    }
    store_answers(r);
    forget_dead(r);
    entry = board_choose(&r->board, &r->wish, is_held, r);
    if (!entry) {
        r->is_replayed = 0;
        r->look_boot_ms = clock_boot_ms() + pause_between_looks(r);
        return;
    }
    replay(r);
    r->look_boot_ms = 0;
    take(r, entry);
}

/* ---- working ---- */

static int has_more(const struct rota *r)
{
    const struct hold *h;

    for (h = TAILQ_FIRST(&r->holds); h; h = TAILQ_NEXT(h, entry))
        if (!h->is_lost && walk_has_more(h->walk)) return 1;
    return 0;
}

static void feed(struct rota *r)
{
    struct hold *h;
    struct err err = {0};

    for (h = TAILQ_FIRST(&r->holds); h; h = TAILQ_NEXT(h, entry)) {
        if (h->is_lost || !walk_has_more(h->walk)) continue;
        if (walk_on(h->walk, &err) == ERR_OK) {
            store_answers(r);
            continue;
        }
        store_failed(r, &err);
        return;
    }
}

static void tend(struct rota *r)
{
    struct hold *h, *next;

    show_presence(r);
    watch_look(service_cache(r->service), service_store(r->service), WATCH_EVERY_MS);
    for (h = TAILQ_FIRST(&r->holds); h; h = next) {
        next = TAILQ_NEXT(h, entry);
        hold_renew(&r->terms, h);
        if (walk_under_way(h->walk)) continue;
        if (h->is_lost ||
            (walk_is_done(h->walk) && hold_finish(&r->terms, h, board_now_ms(&r->board, clock_boot_ms())))) {
            r->look_boot_ms = 0;
            drop_hold(r, h);
        }
    }
}

static void run_down(struct rota *r, int hurry)
{
    struct validator *v = service_validator(r->service);

    while (validator_active(v)) {
        if (hurry) validator_hurry(v);
        notify_alive(); /* who waits for a provider's budget may do so for minutes */
        validator_run(v, LOOK_SOON_MS);
        tend(r);
    }
}

/* Others wait for our flights in the segment that they were begun in: it is left only when none is under way. */
static void keep_cache_good(struct rota *r)
{
    if (!cache_is_outdated(service_cache(r->service))) return;
    run_down(r, 0);
    cache_refresh(service_cache(r->service));
}

/* What may change while we run. */
static void follow(struct rota *r)
{
    const int64_t interval_ms = service_config(r->service)->check_interval_ms;
    const int64_t asked = watch_version(service_cache(r->service), WATCH_SWEEP_REQUEST);

    if (interval_ms == r->wish.interval_ms && asked <= r->wish.asked) return;
    r->wish.interval_ms = r->terms.interval_ms = interval_ms;
    if (asked > r->wish.asked) r->wish.asked = r->terms.asked = asked;
    r->look_boot_ms = 0;
}

int64_t rota_turn(struct rota *r, int64_t most_ms)
{
    struct validator *v = service_validator(r->service);
    int64_t idle_ms;

    keep_cache_good(r);
    tend(r);
    follow(r);
    if (has_more(r))
        glance(r);
    else
        look_for_work(r);
    if (!is_away(r)) feed(r);
    if (validator_active(v)) {
        validator_run(v, (int)most_ms);
        return 0;
    }
    if (r->hold_count && !is_away(r)) return 0;
    idle_ms = least(WATCH_EVERY_MS, least(r->look_boot_ms, r->presence_boot_ms) - clock_boot_ms());
    return r->hold_count ? least(idle_ms > 1 ? idle_ms : 1, AWAY_FIRST_MS) : idle_ms > 0 ? idle_ms : 0;
}

void rota_leave(struct rota *r)
{
    struct hold *h;

    for (h = TAILQ_FIRST(&r->holds); h; h = TAILQ_NEXT(h, entry))
        walk_stop(h->walk);
    run_down(r, 1);
    while ((h = TAILQ_FIRST(&r->holds))) {
        hold_release(&r->terms, h);
        drop_hold(r, h);
    }
    if (r->presence.owner[0]) store_lease_delete(service_store(r->service), &r->presence, NULL);
    r->presence.owner[0] = '\0';
    look(r, NULL);
}

/* ---- what is told ---- */

void rota_sum(const struct rota *r, struct board_sums *sums)
{
    const struct hold *h;

    for (int i = 0; i < r->board.count; i++) {
        for (h = TAILQ_FIRST(&r->holds); h; h = TAILQ_NEXT(h, entry))
            if (!strcmp(h->lease.name, r->board.list[i].lease.name)) hold_look(h, 1, &r->board.list[i].slice);
    }
    board_sum(&r->board, &r->wish, sums);
}

int64_t rota_sweeps(const struct rota *r)
{
    return r->sweeps;
}

int rota_is_working(const struct rota *r)
{
    return r->hold_count > 0;
}

int64_t rota_wall_ms(const struct rota *r, int64_t store_ms)
{
    return store_ms - board_now_ms(&r->board, clock_boot_ms()) + clock_now_ms();
}

struct json *rota_monitors(const struct rota *r)
{
    struct json *list = json_array_new();

    for (int i = 0; i < r->board.count; i++) {
        const struct board_entry *e = &r->board.list[i];
        int is_ours = !strcmp(e->lease.name, r->presence.name);

        if (is_monitor(e) && (is_ours ? r->presence.owner[0] != '\0' : !board_is_free(&r->board, e)))
            json_push(list, json_copy(e->lease.state));
    }
    return list;
}
