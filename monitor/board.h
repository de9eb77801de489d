/* What a monitor has seen of all leases: which slices there are, in their order, who holds them, and since when each stands still by
 * the own clock. Decides what to take next. Pure but for memory. */
#ifndef TH_BOARD_H
#define TH_BOARD_H
#include "slice.h"

#define MONITOR_PREFIX "monitor/"
struct board_entry {
    struct lease lease; /* as it was seen */
    uint64_t hash;      /* of its name */
    int is_slice;
    struct slice slice;
    int64_t since_boot_ms; /* unchanged since then */
};
struct board {
    const struct store *store;
    const char *owner;        /* we */
    struct board_entry *list; /* slices by platform and place, then the others */
    int count, cap;
    int64_t now_ms, seen_boot_ms; /* the store's clock, and ours, when it was seen */
};
/** board_start(next, last, now_ms, boot_ms): an empty board, for a new look. board_put(next, last, lease): what was seen; takes the lease; what
 *  is in ${last} just the same stands still since then. board_finish(next): all is seen. board_fini: frees. */
void board_start(struct board *next, const struct board *last, int64_t now_ms, int64_t boot_ms);
enum err_code board_put(struct board *next, const struct board *last, struct lease *lease);
void board_finish(struct board *next);
void board_fini(struct board *board);

/** board_now_ms(b, boot_ms): the store's time. */
int64_t board_now_ms(const struct board *b, int64_t boot_ms);
/** board_is_free(b, entry): may its lease be taken: nobody's, or ours, or standing still for its time? */
int board_is_free(const struct board *b, const struct board_entry *entry);
/** board_end(b, entry): the account that its slice ends with: after it the next one begins; NULL: the platform's last one. Borrowed. */
const struct account_id *board_end(const struct board *b, const struct board_entry *entry);

struct board_wish {
    const char *platforms; /* names separated by spaces; "": all */
    int64_t interval_ms;
    unsigned salt; /* of two monitors that see the same each begins elsewhere */
    int64_t asked; /* the newest sweep request: what was not begun since is due */
};
int board_is_chosen(const char *platforms, const char *platform);
/** board_choose(b, wish, skip, arg): the free slice that is due the longest, without those for which ${skip} says 1; NULL: none. */
typedef int board_skip_fn(void *arg, const struct lease *lease);
struct board_entry *board_choose(struct board *b, const struct board_wish *wish, board_skip_fn *skip, void *arg);
/** board_wait_ms(b, wish): from the last look on, until a slice is due, or may be one's that is held now; INT64_MAX: there is none. */
int64_t board_wait_ms(const struct board *b, const struct board_wish *wish);

/** Of all chosen slices together. */
struct board_sums {
    struct totals now, last;
    struct totals asked; /* what was done for the newest sweep request */
    int64_t asked_id;    /* that; 0: none */
    int is_asked_done;
    int64_t passes; /* each slice had at least so many */
    int64_t next_due_ms;
    int slices, under_way;
};
void board_sum(const struct board *b, const struct board_wish *wish, struct board_sums *sums);

#endif
