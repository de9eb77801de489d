#include "token/spool.h"
#include "base/clock.h"
#include "token/spool_file.h"
#include "token/spool_record.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOVED_TRIES = 3 };

struct spool {
    /* Being read or written. On page boundaries, so that the kernel copies a page in one go. */
    _Alignas(SPOOL_PAGE_BYTES) char slot[SPOOL_SLOT_BYTES];
    struct spool_file file;
    const struct keyring *ring;
};

struct spool_ticket {
    char id[SPOOL_ID_BYTES];
    char page[SPOOL_PAGE_BYTES]; /* the slot's first */
    int slot;
    uint64_t generation; /* of the file that the slot is in */
};

enum err_code spool_new(const char *path, const struct keyring *ring, struct spool **sp, struct err *err)
{
    *sp = NULL;
    if (!path || !*path || strlen(path) >= PATH_MAX) return err_set(err, ERR_CONFIG, path, "not the path of a spool");
    *sp = aligned_alloc(SPOOL_PAGE_BYTES, sizeof **sp);
    if (!*sp) return err_set(err, ERR_NOMEM, path, "no memory for the spool");
    memset(*sp, 0, sizeof **sp);
    memcpy((*sp)->file.path, path, strlen(path) + 1);
    (*sp)->file.fd = -1;
    (*sp)->file.pid = getpid();
    (*sp)->ring = ring;
    return ERR_OK;
}

void spool_free(struct spool *sp)
{
    if (!sp) return;
    spool_file_close(&sp->file);
    free(sp);
}

/* ---- one refresh */

static int is_in_file(const struct spool *sp, const struct spool_ticket *ticket)
{
    return sp->file.fd >= 0 && ticket->generation == sp->file.generation;
}

/* The whole of sp->slot goes to disk at the ticket's place, or at another in the file that there is now. */
static enum err_code write_ticket(struct spool *sp, struct spool_ticket *ticket, struct err *err)
{
    for (int i = 0; i < MOVED_TRIES; i++) {
        enum err_code rc = spool_file_ready(&sp->file, 1, err);

        if (rc == ERR_OK && !is_in_file(sp, ticket)) {
            rc = spool_file_take(&sp->file, &ticket->slot, err);
            if (rc == ERR_OK) ticket->generation = sp->file.generation;
        }
        if (rc == ERR_OK) rc = spool_file_write(&sp->file, ticket->slot, sp->slot, err);
        if (rc != ERR_OK || spool_file_is_named(&sp->file)) return rc;
    }
    return err_set(err, ERR_IO, sp->file.path, "the spool is replaced again and again");
}

enum err_code spool_reserve(struct spool *sp, const struct json *about, struct spool_ticket **ticket, struct err *err)
{
    struct spool_ticket *t = calloc(1, sizeof *t);
    enum err_code rc =
        t ? spool_record_intend(about, t->id, t->page, err) : err_set(err, ERR_NOMEM, NULL, "no memory for a refresh");

    *ticket = NULL;
    if (rc == ERR_OK) {
        memcpy(sp->slot, t->page, SPOOL_PAGE_BYTES);
        spool_record_no_answer(sp->slot);
        rc = write_ticket(sp, t, err);
    }
    if (rc == ERR_OK)
        *ticket = t;
    else
        spool_done(sp, t);
    return rc;
}

enum err_code spool_keep(struct spool *sp, struct spool_ticket *ticket, const struct spool_answer *answer,
                         struct err *err)
{
    enum err_code rc;

    memcpy(sp->slot, ticket->page, SPOOL_PAGE_BYTES);
    rc = spool_record_answer(sp->ring, ticket->id, answer, sp->slot, err);
    return rc == ERR_OK ? write_ticket(sp, ticket, err) : rc;
}

void spool_done(struct spool *sp, struct spool_ticket *ticket)
{
    if (ticket && is_in_file(sp, ticket)) spool_file_blank(&sp->file, ticket->slot, 0);
    spool_leave(sp, ticket);
}

void spool_leave(struct spool *sp, struct spool_ticket *ticket)
{
    if (ticket && is_in_file(sp, ticket)) spool_file_release(&sp->file, ticket->slot);
    free(ticket);
}

/* ---- what is in the file */

struct entry {
    int slot, is_claimed; /* by the look, not by a ticket */
    struct spool_record record;
};

/* Only of a slot that is claimed can it be said that it is damaged: its owner may be writing it. */
static enum err_code look(struct spool *sp, int slot, struct entry *e, struct err *err)
{
    *e = (struct entry){.slot = slot, .is_claimed = spool_file_claim(&sp->file, slot)};
    e->record.content = SPOOL_UNREADABLE;
    return spool_file_read(&sp->file, slot, sp->slot) ? spool_record_parse(sp->slot, &e->record, err) : ERR_OK;
}

static void look_away(struct spool *sp, struct entry *e)
{
    spool_record_fini(&e->record);
    if (e->is_claimed) spool_file_release(&sp->file, e->slot);
}

static void close_answer(struct spool_answer *answer, struct json *more)
{
    secret_free(&answer->access);
    secret_free(&answer->refresh);
    json_free(more);
}

/* ---- replay */

struct replay {
    spool_replay_fn *fn;
    void *arg;
    int64_t min_age_ms;
    struct spool_counts counts;
    int is_stopped;
};

/* Freed only if it is still what was given: an owner that hung may have come back, and the slot have another tenant. (Should
 * that happen between the look and the blanks, an intent is gone, but no answer: spool_keep writes the whole slot.) */
static void free_entry(struct spool *sp, struct entry *e)
{
    if (!e->is_claimed) e->is_claimed = spool_file_claim(&sp->file, e->slot);
    if (spool_file_read(&sp->file, e->slot, sp->slot) && memcmp(sp->slot, e->record.page, SPOOL_PAGE_BYTES) == 0)
        spool_file_blank(&sp->file, e->slot, 0);
}

static void give(struct spool *sp, struct replay *r, struct entry *e, const struct spool_answer *answer)
{
    enum spool_fate fate = r->fn(r->arg, json_member(e->record.intent, "about"), answer);

    if (fate == SPOOL_DONE) free_entry(sp, e);
    if (fate == SPOOL_STOP) r->is_stopped = 1;
    *(fate == SPOOL_DONE ? &r->counts.done : &r->counts.kept) += 1;
}

/* The copy is on disk before the original goes; without one the original stays. */
static void set_aside(struct spool *sp, struct replay *r, struct entry *e)
{
    r->counts.damaged++;
    if (e->record.content == SPOOL_UNREADABLE || !spool_file_set_aside(&sp->file, sp->slot)) return;
    spool_file_blank(&sp->file, e->slot, e->record.content == SPOOL_BAD_INTENT ? 0 : 1);
    e->record.content = e->record.content == SPOOL_BAD_INTENT ? SPOOL_FREE : SPOOL_INTENT;
}

static enum err_code replay_entry(struct spool *sp, struct replay *r, struct entry *e, struct err *err)
{
    struct spool_answer answer = {0};
    struct json *more = NULL;
    enum err_code rc;

    if (e->record.content >= SPOOL_BAD_INTENT && e->is_claimed) set_aside(sp, r, e);
    if (e->record.content == SPOOL_INTENT && e->is_claimed) give(sp, r, e, NULL);
    if (e->record.content != SPOOL_RECORD) return ERR_OK;
    if (!e->is_claimed && clock_mono_ms() - spool_record_mono_ms(&e->record) < r->min_age_ms) return ERR_OK;
    rc = spool_record_open(sp->ring, &e->record, &answer, &more, err);
    if (rc == ERR_OK) give(sp, r, e, &answer);
    close_answer(&answer, more);
    if (rc != ERR_NOT_FOUND && rc != ERR_UNDECRYPTABLE) return rc;
    r->counts.undecryptable++;
    err_clear(err);
    return ERR_OK;
}

enum err_code spool_replay(struct spool *sp, int64_t min_age_ms, spool_replay_fn *fn, void *arg,
                           struct spool_counts *counts, struct err *err)
{
    struct replay r = {.fn = fn, .arg = arg, .min_age_ms = min_age_ms};
    struct err why = {0};
    enum err_code rc = spool_file_ready(&sp->file, 0, &why);
    int slots = rc == ERR_OK ? spool_file_slots(&sp->file) : 0;

    for (int slot = 0; rc == ERR_OK && !r.is_stopped && slot < slots; slot++) {
        struct entry e;

        if (sp->file.mine[slot]) continue;
        rc = look(sp, slot, &e, &why);
        if (rc == ERR_OK) rc = replay_entry(sp, &r, &e, &why);
        look_away(sp, &e);
    }
    if (counts) *counts = r.counts;
    return rc == ERR_OK || rc == ERR_NOT_FOUND ? ERR_OK : err_set(err, rc, why.place, "%s", why.text);
}

static void count_entry(const struct spool *sp, const struct entry *e, struct spool_stat *stat)
{
    struct spool_answer answer = {0};
    struct json *more = NULL;
    int64_t at_ms = spool_record_at_ms(&e->record);

    stat->damaged += e->record.content >= SPOOL_BAD_INTENT && e->is_claimed;
    stat->intents += e->record.content == SPOOL_INTENT || e->record.content == SPOOL_BAD_ANSWER;
    stat->records += e->record.content == SPOOL_RECORD;
    if (at_ms > 0 && (!stat->oldest_at_ms || at_ms < stat->oldest_at_ms)) stat->oldest_at_ms = at_ms;
    if (e->record.content == SPOOL_RECORD && spool_record_open(sp->ring, &e->record, &answer, &more, NULL) != ERR_OK)
        stat->undecryptable++;
    close_answer(&answer, more);
}

enum err_code spool_stat(struct spool *sp, struct spool_stat *stat, struct err *err)
{
    struct err why = {0};
    enum err_code rc = spool_file_ready(&sp->file, 0, &why);
    int slots = rc == ERR_OK ? spool_file_slots(&sp->file) : 0;

    *stat = (struct spool_stat){.bytes = slots ? spool_file_bytes(&sp->file) : 0,
                                .damaged_bytes = spool_file_bytes_aside(&sp->file)};
    for (int slot = 0; rc == ERR_OK && slot < slots; slot++) {
        struct entry e;

        rc = look(sp, slot, &e, &why);
        if (rc == ERR_OK) count_entry(sp, &e, stat);
        look_away(sp, &e);
    }
    return rc == ERR_OK || rc == ERR_NOT_FOUND ? ERR_OK : err_set(err, rc, why.place, "%s", why.text);
}
