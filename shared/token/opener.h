/* Opens envelopes on threads of its own: a key derivation takes 22 ms of a core, and there are several. The threads touch nothing
 * but the openings that they are given and the key ring, which nobody changes; everything else here is for the one thread that
 * has made the opener. They take no signals. Start one after fork only. */
#ifndef TH_OPENER_H
#define TH_OPENER_H
#include "token/keyring.h"
#include <sys/queue.h>

/** One envelope to be opened. Start with {0}. From opener_put until opener_take it is the opener's: nobody else may look at it. */
struct opening {
    STAILQ_ENTRY(opening) entry;
    void *owner;                /* whoever takes it knows it by this */
    const struct envelope *env; /* borrowed */
    struct keyring_room room;   /* the token, if rc says so */
    enum err_code rc;           /* of keyring_open, once is_done */
    struct err err;
    int is_done;
};
/** opening_begin(o, env): room for what comes out; 0: there is none, or nothing can: is_done, and rc says why. Owns: caller, opening_fini, which
 *  wipes. */
int opening_begin(struct opening *o, const struct envelope *env);
void opening_fini(struct opening *o);
/** opening_run(o, ring): open it here and now. Blocks: as keyring_open. */
void opening_run(struct opening *o, const struct keyring *ring);

struct opener;
/** opener_new(ring, threads, &opener, err): Owns: caller, opener_free. Borrows the ring. Fails: ERR_NOMEM (also: not one thread can be
 *  started). */
enum err_code opener_new(const struct keyring *ring, int threads, struct opener **opener, struct err *err);
/** opener_free(opener): what is being opened is waited for (a derivation a key), what waits is not opened any more. From then on all
 *  openings are the caller's again. NULL allowed. */
void opener_free(struct opener *opener);
/** opener_put(opener, o): to be opened, after those that were put before. Blocks: no. */
void opener_put(struct opener *opener, struct opening *o);
/** opener_take(opener): one that is done, and the caller's again; NULL: none. Blocks: no. */
struct opening *opener_take(struct opener *opener);
/** opener_fd(opener): can be read (poll) while one is done. Not to be read or closed. */
int opener_fd(const struct opener *opener);
/** opener_cores(): how many cores this process may use; at most LIMIT_OPENER_THREADS. */
int opener_cores(void);

#endif
