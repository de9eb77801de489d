#include "walk.h"
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* A page that was read. Its accounts end in any order: the cursor moves by whole pages, the first one first. */
struct page {
    TAILQ_ENTRY(page) entry;
    struct walk *walk;
    struct account_id last;
    int left;    /* to be given to the pipeline, or in it */
    int is_open; /* not all its accounts were judged: the cursor stays before it */
    struct totals totals;
};

struct walk {
    struct service *service;
    struct walk_options options;
    struct validate_options validate;
    TAILQ_HEAD(pages, page) pages;
    struct account waiting[LIMIT_PAGE_ACCOUNTS]; /* of the last page, to be given to the pipeline */
    int next, count;
    struct account_id read_to, cursor;
    int is_read, is_stopped, under_way;
    struct totals totals; /* up to the cursor */
};

enum err_code walk_new(struct service *service, const struct walk_options *options, struct walk **walk, struct err *err)
{
    const struct config *cfg = service_config(service);
    struct walk *w = calloc(1, sizeof *w);

    *walk = w;
    if (!w) return err_set(err, ERR_NOMEM, NULL, "no memory for a walk through the accounts");
    w->service = service;
    w->options = *options;
    w->read_to = w->cursor = options->after;
    TAILQ_INIT(&w->pages);
    w->validate = (struct validate_options){.force = 1,
                                            .since_ms = options->since_ms,
                                            .learn = 1,
                                            .budget_wait_ms = LIMIT_BUDGET_WAIT_MS,
                                            .dry_run = cfg->dry_run,
                                            .fence = options->fence};
    return ERR_OK;
}

/* As they are now: they may change on the way. */
static void take_settings(struct walk *w)
{
    const struct config *cfg = service_config(w->service);

    w->validate.fix = cfg->enable_auto_fix;
    w->validate.refresh = cfg->enable_auto_refresh;
    w->validate.max_retries = (int)cfg->max_retries;
    w->validate.retry_delay_ms = cfg->retry_delay_ms;
}

static void drop_waiting(struct walk *w)
{
    while (w->next < w->count)
        account_fini(&w->waiting[w->next++]);
}

void walk_free(struct walk *w)
{
    struct page *page;

    if (!w) return;
    drop_waiting(w);
    while ((page = TAILQ_FIRST(&w->pages))) {
        TAILQ_REMOVE(&w->pages, page, entry);
        free(page);
    }
    free(w);
}

/* ---- pages ---- */

static void move_cursor(struct walk *w)
{
    struct page *page;

    while ((page = TAILQ_FIRST(&w->pages)) && page->left == 0 && !page->is_open) {
        w->cursor = page->last;
        totals_add(&w->totals, &page->totals);
        TAILQ_REMOVE(&w->pages, page, entry);
        free(page);
    }
}

static int keep(void *arg, struct account *account)
{
    struct walk *w = arg;

    w->waiting[w->count++] = *account;
    return w->count < LIMIT_PAGE_ACCOUNTS;
}

/* What is not known to end comes last. */
static int by_expiry(const void *x, const void *y)
{
    const int64_t a = ((const struct account *)x)->expires_at_ms, b = ((const struct account *)y)->expires_at_ms;

    if (!a || !b) return (!a) - (!b);
    return (a > b) - (a < b);
}

static enum err_code read_page(struct walk *w, struct err *err)
{
    const struct account_id from = w->read_to;
    const struct store_span span = {w->options.platform, from.type ? &from : NULL,
                                    w->options.to.type ? &w->options.to : NULL};
    struct store_page seen;
    struct page *page = calloc(1, sizeof *page);
    enum err_code rc = ERR_NOMEM;

    if (!page) return err_set(err, rc, NULL, "no memory for a page of accounts");
    w->next = w->count = 0;
    rc = store_scan_span(service_store(w->service), &span, LIMIT_PAGE_ACCOUNTS, keep, w, &seen, err);
    if (rc != ERR_OK || !seen.count) {
        w->is_read |= rc == ERR_OK;
        free(page);
        return rc;
    }
    qsort(w->waiting, (size_t)w->count, sizeof *w->waiting, by_expiry);
    w->is_read = seen.count < LIMIT_PAGE_ACCOUNTS;
    w->read_to = seen.last; /* beyond documents that were passed over */
    page->walk = w;
    page->last = seen.last;
    page->left = w->count;
    TAILQ_INSERT_TAIL(&w->pages, page, entry);
    move_cursor(w);
    return ERR_OK;
}

/* ---- accounts ---- */

static void account_done(void *arg, const struct validate_result *r)
{
    struct page *page = arg;
    struct walk *w = page->walk;

    w->under_way--;
    page->left--;
    if (w->is_stopped && r->store_error == ERR_CONFLICT)
        page->is_open = 1;
    else
        totals_count(&page->totals, r);
    move_cursor(w);
}

enum err_code walk_on(struct walk *w, struct err *err)
{
    struct validator *v = service_validator(w->service);
    const int calls = (int)service_config(w->service)->batch_size;
    const int room = calls + calls / LIMIT_AHEAD_PART; /* the next questions are ready when a call ends */

    take_settings(w);
    service_call_at_once(w->service, calls);
    while (walk_has_more(w) && validator_active(v) < room) {
        enum err_code rc;

        if (w->next < w->count) {
            rc = validator_submit(v, &w->waiting[w->next], &w->validate, account_done, TAILQ_LAST(&w->pages, pages),
                                  err);
            if (rc == ERR_OK) w->under_way++, w->next++;
        } else {
            rc = read_page(w, err);
        }
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

void walk_stop(struct walk *w)
{
    struct page *last = TAILQ_LAST(&w->pages, pages);

    w->is_stopped = 1;
    if (w->next == w->count) return;
    last->is_open = 1;
    last->left -= w->count - w->next;
    drop_waiting(w);
}

int walk_has_more(const struct walk *w)
{
    return !w->is_stopped && (!w->is_read || w->next < w->count);
}

int walk_under_way(const struct walk *w)
{
    return w->under_way;
}

const struct account_id *walk_cursor(const struct walk *w)
{
    return &w->cursor;
}

int walk_is_done(const struct walk *w)
{
    return w->is_read && TAILQ_EMPTY(&w->pages);
}

void walk_totals(const struct walk *w, int all, struct totals *t)
{
    const struct page *page;

    totals_add(t, &w->totals);
    if (!all) return;
    for (page = TAILQ_FIRST(&w->pages); page; page = TAILQ_NEXT(page, entry))
        totals_add(t, &page->totals);
}
