/* The spool: what a provider has just given us, on this host's disk before anything else happens to it. One file of slots of
 * one size, shared by all processes of the host. It keeps secrets under a plain description and knows nothing of accounts,
 * stores or providers. A refresh goes: spool_reserve → provider call → spool_keep → store → spool_done.
 *
 * A slot is free, an intent (reserved: a call may have been made), or a record (its answer is kept). Its owner holds the
 * kernel's lock on the slot's bytes (an open-file-description lock) from spool_reserve to spool_done: the lock ends with the
 * process, however that ends, and needs neither pids nor clocks. There is no other lock, so nobody ever waits for anybody.
 * Invariants: only who holds a slot's lock writes into it (but see spool_replay); blocks on disk are claimed when a slot is
 * reserved, so a full disk cannot refuse the answer; a slot's first page, written last and at once, says what the slot is,
 * so that a process killed anywhere leaves a free slot, an intent or a whole record. A page of blanks or zeros is a free slot.
 * Each line in the file carries a checksum; answers are fast envelopes under the key ring's write key, bound to the slot's id,
 * its description and their place. The file is never cut or renamed by us: it stays as large as it once had to be. */
#ifndef TH_SPOOL_H
#define TH_SPOOL_H
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "token/keyring.h"
#include <stdint.h>

struct spool;
struct spool_ticket;
enum { SPOOL_ABOUT_BYTES = 3072 /* a description as JSON text */, SPOOL_MORE_BYTES = 1024 };

/** An answer. access, refresh: one of them may be empty. more: what came beside them (an expiry), or NULL; borrowed. */
struct spool_answer {
    struct secret access, refresh;
    const struct json *more;
};

/** spool_new(path, ring, &sp, err): no file is touched yet: every call below opens, makes or reopens it as needed, so that a
 *  directory put right while we run is enough. Call it after fork; a spool is of one process. Owns: caller, spool_free; path is
 *  copied, ring borrowed. Fails: ERR_NOMEM, ERR_CONFIG (no usable path). */
enum err_code spool_new(const char *path, const struct keyring *ring, struct spool **sp, struct err *err);
void spool_free(struct spool *sp); /* NULL allowed; all tickets have been given back before */

/** spool_reserve(sp, about, &ticket, err): BEFORE the call: an intent described by ${about} (no secret in it) is on disk when
 *  it returns, with room for the longest answer. On failure: do not make a call whose answer must not be lost. The folder is
 *  made (0700) if only its last part is missing, the file 0600. Owns: the ticket is the caller's until spool_done or spool_leave.
 *  Blocks: one fdatasync (two when the file is new). Fails: ERR_NOSPACE (disk full, or LIMIT_SPOOL_SLOTS in use), ERR_IO (also
 *  when the file is not ours alone), ERR_BAD_INPUT (about is no object or too long), ERR_NOMEM. */
enum err_code spool_reserve(struct spool *sp, const struct json *about, struct spool_ticket **ticket, struct err *err);
/** spool_keep(sp, ticket, answer, err): AFTER the answer, first of all: it is on disk when it returns. A file that was removed,
 *  replaced or emptied meanwhile is made again. On failure the intent stays and the answer is nowhere but in memory: go on to
 *  the store. Blocks: one fdatasync. Fails: ERR_IO, ERR_NOSPACE, ERR_BAD_INPUT (too long, or nothing to keep), ERR_CRYPTO. */
enum err_code spool_keep(struct spool *sp, struct spool_ticket *ticket, const struct spool_answer *answer,
                         struct err *err);
/** spool_done(sp, ticket): the answer is in the store, or there was certainly no call: free the slot and the ticket (NULL
 *  allowed). Not synced: after a power cut it may be replayed once more. */
void spool_done(struct spool *sp, struct spool_ticket *ticket);
/** spool_leave(sp, ticket): give the slot up as it is, to whoever replays next (the store is away); frees the ticket (NULL too). */
void spool_leave(struct spool *sp, struct spool_ticket *ticket);

/** What to do with what was replayed: free it; leave it for another time; leave it and end this replay. */
enum spool_fate { SPOOL_DONE, SPOOL_KEEP, SPOOL_STOP };
/** answer: NULL for an intent without an answer: the call may have been made. All borrowed. The same may come twice after a
 *  crash or a power cut: compare before writing. Must not call the spool. */
typedef enum spool_fate spool_replay_fn(void *arg, const struct json *about, const struct spool_answer *answer);
struct spool_counts {
    int64_t done, kept;    /* by what fn said */
    int64_t undecryptable; /* records that no key opens: they stay, fn does not see them */
    int64_t
        damaged; /* slots or answers with a wrong checksum, now in PATH.damaged (0600, as large as the spool at most);
                              an intent whose answer is damaged is replayed as one without answer */
};
/** spool_replay(sp, min_age_ms, fn, arg, &counts, err): give ${fn} every intent and record whose owner is gone, and records older
 *  than min_age_ms (monotonic time) whose owner lives but seems to hang (SIGSTOP): these two may then both write to the store. Never
 *  gives what this process holds. While fn works on it, no other process is given the same one of a dead owner. counts may be
 *  NULL. Blocks: as fn does. Fails: ERR_IO, ERR_NOMEM; no file yet: ERR_OK. */
enum err_code spool_replay(struct spool *sp, int64_t min_age_ms, spool_replay_fn *fn, void *arg,
                           struct spool_counts *counts, struct err *err);

struct spool_stat {
    int64_t intents, records; /* records: answers not yet known to be in the store */
    int64_t undecryptable;    /* of these records */
    int64_t damaged;          /* slots, until the next replay moves them to PATH.damaged */
    int64_t oldest_at_ms;     /* Unix ms; 0: nothing pending */
    int64_t bytes, damaged_bytes;
};
/** spool_stat(sp, &stat, err): reads the whole file; for people and metrics. Fails: ERR_IO; no file yet: zeros. */
enum err_code spool_stat(struct spool *sp, struct spool_stat *stat, struct err *err);

#endif
