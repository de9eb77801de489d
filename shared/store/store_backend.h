/* What a store has to do: store.h's operations as a table. Private to store/. */
#ifndef TH_STORE_BACKEND_H
#define TH_STORE_BACKEND_H
#include "store/store.h"

struct store_backend {
    const char *kind;
    void (*close)(void *state);
    enum err_code (*prepare)(void *state, store_report_fn *report, void *arg, struct err *err);
    enum err_code (*ping)(void *state, struct err *err);
    enum err_code (*find_workspace)(void *state, const char *platform, const struct account_id *forms, int form_count,
                                    int limit, store_account_fn *fn, void *arg, struct err *err);
    /* Up to two documents whose _id is one of the forms. */
    enum err_code (*find_ids)(void *state, const struct account_id *forms, int form_count, store_account_fn *fn,
                              void *arg, struct err *err);
    enum err_code (*scan)(void *state, const struct store_span *span, int limit, store_account_fn *fn, void *arg,
                          struct store_page *page, struct err *err);
    enum err_code (*look_ahead)(void *state, const struct store_span *span, int most, int at, struct account_id *id,
                                int *count, struct err *err);
    int (*id_order)(const struct account_id *a, const struct account_id *b);
    enum err_code (*update)(void *state, const struct account_id *id, const struct patch *patch, struct err *err);
    enum err_code (*import)(void *state, struct store_item *items, int count, int replace, struct err *err);
    enum err_code (*count)(void *state, const char *platform, struct store_counts *counts, struct err *err);
    enum err_code (*meta_put)(void *state, const char *name, const struct json *value, struct err *err);
    enum err_code (*meta_swap)(void *state, const char *name, const struct json *value, int64_t version,
                               struct err *err);
    enum err_code (*meta_get)(void *state, const char *name, struct json **value, struct err *err);
    enum err_code (*meta_bump)(void *state, const char *name, int64_t at_least, int64_t *version, struct err *err);
    enum err_code (*meta_versions)(void *state, const char *const *names, int count, int64_t *versions,
                                   struct err *err);
    enum err_code (*now)(void *state, int64_t *now_ms, struct err *err);
    enum err_code (*lease_create)(void *state, const char *name, const struct json *value, struct fence *fence,
                                  struct err *err);
    enum err_code (*lease_list)(void *state, const char *prefix, store_lease_fn *fn, void *arg, struct err *err);
    enum err_code (*lease_take)(void *state, struct lease *lease, const char *owner, int64_t ttl_ms, struct err *err);
    /* Renewed by ${owner} = the lease's own, released by "". */
    enum err_code (*lease_write)(void *state, struct lease *lease, const char *owner, struct err *err);
    enum err_code (*lease_delete)(void *state, const struct lease *lease, struct err *err);
};

/** store_sqlite_open / store_mongo_open(options, &state, err): the two stores. path: what follows "sqlite:". */
enum err_code store_sqlite_open(const struct store_options *options, const char *path, void **state, struct err *err);
enum err_code store_mongo_open(const struct store_options *options, void **state, struct err *err);
extern const struct store_backend store_sqlite, store_mongo;
extern const char store_lost_lease[];

/** store_give(doc, fn, arg): parse ${doc} (taken) and hand it over; 1 to go on, 0 when ${fn} wants no more. A document that cannot be
 *  parsed is said in the log and passed over. */
int store_give(struct json *doc, store_account_fn *fn, void *arg);
/** store_item_waits(item): is it still to be imported? store_item_exists(item): it is not, as its _id is taken. */
int store_item_waits(const struct store_item *item);
void store_item_exists(struct store_item *item);
/** store_count_word(list, &count, word, n): add ${n} to the word's entry of a list of STORE_WORDS_MAX. Words that are too long, or too
 *  many, are counted as "other". */
void store_count_word(struct store_word *list, int *count, const char *word, int64_t n);

#endif
