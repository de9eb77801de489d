#include "ledger.h"
#include "answer.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ledger {
    uint64_t calls;
    uint64_t by_kind[KIND_COUNT];
    uint64_t by_outcome[CONDITION_COUNT];
    unsigned max_concurrency;
    struct ledger_entry *ring; /* call n (from 1) is at (n - 1) % LEDGER_DETAILS */
};

struct ledger *ledger_new(void)
{
    struct ledger *l = calloc(1, sizeof *l);

    if (!l) return NULL;
    l->ring = calloc(LEDGER_DETAILS, sizeof *l->ring);
    if (l->ring) return l;
    free(l);
    return NULL;
}

void ledger_free(struct ledger *l)
{
    if (!l) return;
    free(l->ring);
    free(l);
}

void ledger_reset(struct ledger *l, struct tokens *ts)
{
    *l = (struct ledger){.ring = l->ring};
    for (size_t i = 0; i < tokens_count(ts); i++) {
        struct token *t = tokens_at(ts, i);

        memset(t->calls, 0, sizeof t->calls);
        t->reuses = 0;
    }
}

void ledger_add(struct ledger *l, const struct ledger_entry *entry, struct token *t)
{
    l->ring[l->calls % LEDGER_DETAILS] = *entry;
    l->calls++;
    l->by_kind[entry->kind]++;
    l->by_outcome[entry->outcome]++;
    if (entry->concurrency > l->max_concurrency) l->max_concurrency = entry->concurrency;
    if (t) t->calls[entry->kind]++;
}

static const char *outcome_word(int outcome)
{
    return outcome == CONDITION_HEALTHY ? "ok" : condition_rows[outcome].word;
}

static void print_count(struct buf *out, const char *word, uint64_t count, const char **comma)
{
    if (!count) return;
    buf_printf(out, "%s\"%s\":%" PRIu64, *comma, word, count);
    *comma = ",";
}

void ledger_print_totals(const struct ledger *l, struct buf *out)
{
    const char *comma = "";

    buf_printf(out, "\"calls\":%" PRIu64 ",\"max_concurrency\":%u,\"by_kind\":{", l->calls, l->max_concurrency);
    for (int i = 0; i < KIND_COUNT; i++)
        print_count(out, kind_words[i], l->by_kind[i], &comma);
    buf_puts(out, "},\"by_outcome\":{");
    comma = "";
    for (int i = 0; i < CONDITION_COUNT; i++)
        print_count(out, outcome_word(i), l->by_outcome[i], &comma);
    buf_puts(out, "}");
}

void ledger_print_counts(const uint32_t calls[KIND_COUNT], struct buf *out)
{
    const char *comma = "";
    uint64_t sum = 0;

    for (int i = 0; i < KIND_COUNT; i++)
        sum += calls[i];
    buf_printf(out, "\"calls\":%" PRIu64 ",\"by_kind\":{", sum);
    for (int i = 0; i < KIND_COUNT; i++)
        print_count(out, kind_words[i], calls[i], &comma);
    buf_puts(out, "}");
}

static void print_entry(uint64_t seq, const struct ledger_entry *e, struct buf *out)
{
    char hex[TOKEN_HEX_BYTES];

    buf_printf(out, "{\"seq\":%" PRIu64 ",\"at_ms\":%" PRId64 ",\"host\":\"%s\",\"path\":", seq, e->at_ms, e->host);
    answer_quote(out, e->path);
    buf_printf(out, ",\"kind\":\"%s\",\"token_sha256\":", kind_words[e->kind]);
    if (e->token) {
        tokens_hex(e->token->digest, hex);
        buf_printf(out, "\"%s\"", hex);
    } else {
        buf_puts(out, "null");
    }
    buf_printf(out, ",\"outcome\":\"%s\",\"concurrency\":%u}", outcome_word(e->outcome), e->concurrency);
}

void ledger_print_details(const struct ledger *l, const struct token *t, size_t last, struct buf *out)
{
    uint64_t held = l->calls < LEDGER_DETAILS ? l->calls : LEDGER_DETAILS;
    const char *comma = "";

    if (last > held) last = held;
    buf_puts(out, "[");
    for (uint64_t n = l->calls - last; n < l->calls; n++) {
        const struct ledger_entry *e = &l->ring[n % LEDGER_DETAILS];

        if (t && e->token != t) continue;
        buf_puts(out, comma);
        print_entry(n + 1, e, out);
        comma = ",";
    }
    buf_puts(out, "]");
}
