/* Every provider call, in order: counts for ever, details of the last LEDGER_DETAILS. Counts per token are in struct token. */
#ifndef SANDBOX_LEDGER_H
#define SANDBOX_LEDGER_H
#include "base/buf.h"
#include "tokens.h"

enum { LEDGER_DETAILS = 100000, LEDGER_PATH_BYTES = 40 };

struct ledger_entry {
    int64_t at_ms;
    const struct token *token; /* NULL: the call named none */
    const char *host;          /* static text */
    char path[LEDGER_PATH_BYTES];
    uint8_t kind;
    uint8_t outcome;      /* a condition; HEALTHY is written "ok" */
    uint16_t concurrency; /* calls under way, this one among them */
};
struct ledger;

struct ledger *ledger_new(void); /* NULL: no memory */
void ledger_free(struct ledger *l);
/** ledger_reset(l, ts): forget all calls, and the counts in ${ts}. The sequence starts anew. */
void ledger_reset(struct ledger *l, struct tokens *ts);
/** ledger_add(l, entry, t): t: the call's token, or NULL; its counts go up. */
void ledger_add(struct ledger *l, const struct ledger_entry *entry, struct token *t);

/** ledger_print_totals(l, out): the members "calls" … "max_concurrency", without braces. */
void ledger_print_totals(const struct ledger *l, struct buf *out);
/** ledger_print_details(l, t, last, out): a JSON array, oldest first, of the last ${last} calls; only those of ${t} unless NULL. */
void ledger_print_details(const struct ledger *l, const struct token *t, size_t last, struct buf *out);
/** ledger_print_counts(calls, out): the members "calls" and "by_kind" of one token. */
void ledger_print_counts(const uint32_t calls[KIND_COUNT], struct buf *out);

#endif
