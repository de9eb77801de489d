#include "hold.h"
#include "base/clock.h"
#include "base/log.h"
#include "sweep.h"
#include <stdio.h>
#include <stdlib.h>

enum { RENEWALS = 6 /* in the time of a lease */, RENEW_MOST_MS = 5000, RENEW_AGAIN_MS = 500 };

static void prolong(const struct hold_terms *terms, struct hold *h, int64_t sent_boot_ms)
{
    const int64_t every_ms = terms->ttl_ms / RENEWALS;

    h->fence.until_boot_ms = sent_boot_ms + terms->ttl_ms - terms->margin_ms;
    h->renew_boot_ms = sent_boot_ms + (every_ms < RENEW_MOST_MS ? every_ms : RENEW_MOST_MS);
}

enum err_code hold_take(const struct hold_terms *terms, const struct board_entry *entry, const struct account_id *to,
                        struct hold **hold, struct err *err)
{
    const int64_t sent_boot_ms = clock_boot_ms();
    struct hold *h = calloc(1, sizeof *h);
    enum err_code rc;

    *hold = NULL;
    if (!h) return err_set(err, ERR_NOMEM, NULL, "no memory for a slice");
    h->lease = entry->lease;
    h->lease.state = NULL; /* it is parsed already */
    h->slice = entry->slice;
    if (to) h->to = *to;
    rc = store_lease_take(service_store(terms->service), &h->lease, terms->owner, terms->ttl_ms, err);
    if (rc != ERR_OK) {
        hold_free(h);
        return rc;
    }
    snprintf(h->fence.lease, sizeof h->fence.lease, "%s", h->lease.name);
    h->fence.epoch = h->lease.epoch;
    prolong(terms, h, sent_boot_ms);
    *hold = h;
    return ERR_OK;
}

void hold_free(struct hold *h)
{
    if (!h) return;
    walk_free(h->walk);
    lease_fini(&h->lease);
    free(h);
}

static const struct account_id *place(const struct hold *h)
{
    return h->slice.cursor.type != ID_NONE ? &h->slice.cursor : &h->slice.lo;
}

/* The new slice is there before the old one ends earlier: killed in between, we leave two that meet. */
static enum err_code cut(const struct hold_terms *terms, struct hold *h, const struct account_id *at, struct err *err)
{
    struct slice rest;
    char name[LEASE_NAME_BYTES];
    struct json *state;
    enum err_code rc;

    slice_cut(&h->slice, at, &rest);
    state = slice_print(&rest);
    rc = store_lease_create(service_store(terms->service), slice_name(&rest, name), state, &h->fence, err);
    json_free(state);
    if (rc == ERR_CONFLICT && fence_holds(&h->fence)) { /* it is there already, from somebody who was killed then */
        err_clear(err);
        rc = ERR_OK;
    }
    if (rc == ERR_OK) h->to = *at;
    return rc;
}

static enum err_code start_walk(const struct hold_terms *terms, struct hold *h, int64_t now_ms, struct err *err)
{
    struct walk_options options = {.after = *place(h), .to = h->to, .fence = &h->fence};

    snprintf(options.platform, sizeof options.platform, "%s", h->slice.platform);
    if (!h->slice.begun_ms) h->slice.asked = terms->asked;
    slice_begin(&h->slice, now_ms, clock_now_ms());
    options.since_ms = clock_now_ms() - (now_ms - h->slice.begun_ms);
    return walk_new(terms->service, &options, &h->walk, err);
}

enum err_code hold_begin(const struct hold_terms *terms, struct hold *h, int64_t now_ms, struct err *err)
{
    const struct account_id *after = place(h);
    const struct store_span span = {h->slice.platform, after->type ? after : NULL, h->to.type ? &h->to : NULL};
    struct store *store = service_store(terms->service);
    struct account_id at;
    int ahead = 0;
    enum err_code rc = store_look_ahead(store, &span, SLICE_LOOK_AHEAD, LIMIT_SLICE_ACCOUNTS, &at, &ahead, err);

    if (rc == ERR_OK && ahead == 0 && h->slice.lo.type && !h->slice.cursor.type) {
        rc = store_lease_delete(store, &h->lease, err);
        return rc == ERR_OK ? err_set(err, ERR_NOT_FOUND, h->lease.name, "the slice is empty") : rc;
    }
    if (rc == ERR_OK && slice_where_to_cut(ahead) && at.type) rc = cut(terms, h, &at, err);
    return rc == ERR_OK ? start_walk(terms, h, now_ms, err) : rc;
}

void hold_look(const struct hold *h, int all, struct slice *s)
{
    *s = h->slice;
    if (!h->walk) return;
    s->cursor = *walk_cursor(h->walk);
    walk_totals(h->walk, all, &s->now);
}

/* 1: written, by a lease that is still ours. */
static int write_state(const struct hold_terms *terms, struct hold *h, const struct slice *s, int let_go,
                       struct err *err)
{
    struct store *store = service_store(terms->service);
    const int64_t sent_boot_ms = clock_boot_ms();
    enum err_code rc;

    json_free(h->lease.state);
    h->lease.state = slice_print(s);
    rc = let_go ? store_lease_release(store, &h->lease, err) : store_lease_renew(store, &h->lease, err);
    if (rc == ERR_OK && !let_go) prolong(terms, h, sent_boot_ms);
    if (rc == ERR_CONFLICT) fence_lose(&h->fence);
    return rc == ERR_OK;
}

static void tell_lost(const struct hold *h, const char *why)
{
    log_warn("TOKEN HEALTH", "a slice is left to others: its lease is lost", LOG_S("lease", h->lease.name),
             LOG_I("epoch", h->lease.epoch), LOG_S("why", why));
}

void hold_renew(const struct hold_terms *terms, struct hold *h)
{
    const int64_t now_boot_ms = clock_boot_ms();
    struct slice s;
    struct err err = {0};

    if (h->is_lost) return;
    if (fence_holds(&h->fence) && now_boot_ms >= h->renew_boot_ms) {
        hold_look(h, 0, &s);
        if (!write_state(terms, h, &s, 0, &err)) h->renew_boot_ms = now_boot_ms + RENEW_AGAIN_MS;
    }
    if (fence_holds(&h->fence)) return;
    h->is_lost = 1;
    if (h->walk) walk_stop(h->walk);
    tell_lost(h, err.text[0] ? err.text : "its time is over");
}

int hold_finish(const struct hold_terms *terms, struct hold *h, int64_t now_ms)
{
    struct slice s;
    struct err err = {0};

    if (clock_boot_ms() < h->finish_boot_ms) return 0;
    hold_look(h, 0, &s);
    slice_finish(&s, now_ms, clock_now_ms(), terms->interval_ms);
    if (!write_state(terms, h, &s, 1, &err)) {
        h->finish_boot_ms = clock_boot_ms() + RENEW_AGAIN_MS;
        return 0;
    }
    sweep_log(s.platform, &s.last);
    h->slice = s;
    return 1;
}

void hold_release(const struct hold_terms *terms, struct hold *h)
{
    struct slice s;
    struct err err = {0};

    if (!fence_holds(&h->fence)) return;
    hold_look(h, 0, &s);
    if (!write_state(terms, h, &s, 1, &err))
        log_warn("TOKEN HEALTH", "a slice is not given back: the others wait until its lease is over",
                 LOG_S("lease", h->lease.name), LOG_S("why", err.text));
}
