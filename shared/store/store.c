#include "store/store.h"
#include "base/log.h"
#include "store/store_backend.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store {
    const struct store_backend *backend;
    void *state;
    struct store_usage usage;
};

/* The backend's state, for a call that is counted. */
static void *reader(struct store *store)
{
    store->usage.reads++;
    return store->state;
}

static void *writer(struct store *store)
{
    store->usage.writes++;
    return store->state;
}

struct store_usage store_usage(const struct store *store)
{
    return store->usage;
}

enum err_code store_open(const struct store_options *options, struct store **store, struct err *err)
{
    struct store *s = calloc(1, sizeof *s);
    enum err_code rc;

    *store = NULL;
    if (!s) return err_set(err, ERR_NOMEM, NULL, "no memory for the store");
    if (!strncmp(options->uri, "sqlite:", 7) && options->uri[7]) {
        s->backend = &store_sqlite;
        rc = store_sqlite_open(options, options->uri + 7, &s->state, err);
    } else if (!strncmp(options->uri, "mongodb://", 10) || !strncmp(options->uri, "mongodb+srv://", 14)) {
        s->backend = &store_mongo;
        rc = store_mongo_open(options, &s->state, err);
    } else {
        rc = err_set(err, ERR_CONFIG, "[store] uri", "sqlite:PATH or mongodb://… is expected");
    }
    if (rc == ERR_OK)
        *store = s;
    else
        free(s);
    return rc;
}

void store_close(struct store *store)
{
    if (!store) return;
    store->backend->close(store->state);
    free(store);
}

const char *store_kind(const struct store *store)
{
    return store->backend->kind;
}

enum err_code store_prepare(struct store *store, store_report_fn *report, void *arg, struct err *err)
{
    return store->backend->prepare(store->state, report, arg, err);
}

enum err_code store_ping(struct store *store, struct err *err)
{
    return store->backend->ping(reader(store), err);
}

enum err_code store_find_workspace(struct store *store, const char *platform, const char *workspace, int limit,
                                   store_account_fn *fn, void *arg, struct err *err)
{
    struct account_id forms[3];
    int count = id_forms(workspace, forms);

    if (count == 0) return err_set(err, ERR_BAD_INPUT, NULL, "that is no workspace id");
    return store->backend->find_workspace(reader(store), platform, forms, count, limit, fn, arg, err);
}

struct found {
    struct account *out;
    int count;
};

static int keep_first(void *arg, struct account *account)
{
    struct found *found = arg;

    if (found->count++ == 0) {
        *found->out = *account;
        *account = (struct account){0};
    }
    account_fini(account);
    return found->count < 2;
}

static enum err_code find_one(struct store *store, const struct account_id *forms, int count, struct account *account,
                              struct err *err)
{
    struct found found = {.out = account};
    enum err_code rc = store->backend->find_ids(reader(store), forms, count, keep_first, &found, err);

    if (rc == ERR_OK && found.count == 0) rc = err_set(err, ERR_NOT_FOUND, NULL, "there is no such account");
    if (rc == ERR_OK && found.count > 1)
        rc = err_set(err, ERR_CONFLICT, forms->text, "two accounts have this id, as different types");
    if (rc != ERR_OK) account_fini(account);
    return rc;
}

enum err_code store_find_account(struct store *store, const char *id_text, struct account *account, struct err *err)
{
    struct account_id forms[3];
    int count = id_forms(id_text, forms);

    *account = (struct account){0};
    if (count == 0) return err_set(err, ERR_BAD_INPUT, NULL, "that is no account id");
    return find_one(store, forms, count, account, err);
}

enum err_code store_read_account(struct store *store, const struct account_id *id, struct account *account,
                                 struct err *err)
{
    const struct account_id form = *id; /* it may be the account's own */

    *account = (struct account){0};
    return find_one(store, &form, 1, account, err);
}

enum err_code store_scan(struct store *store, const char *platform, const struct account_id *after, int limit,
                         store_account_fn *fn, void *arg, struct store_page *page, struct err *err)
{
    const struct store_span span = {platform, after, NULL};

    return store_scan_span(store, &span, limit, fn, arg, page, err);
}

enum err_code store_scan_span(struct store *store, const struct store_span *span, int limit, store_account_fn *fn,
                              void *arg, struct store_page *page, struct err *err)
{
    *page = (struct store_page){0};
    return store->backend->scan(reader(store), span, limit, fn, arg, page, err);
}

enum err_code store_look_ahead(struct store *store, const struct store_span *span, int most, int at,
                               struct account_id *id, int *count, struct err *err)
{
    *id = (struct account_id){0};
    *count = 0;
    return store->backend->look_ahead(reader(store), span, most, at, id, count, err);
}

int store_id_order(const struct store *store, const struct account_id *a, const struct account_id *b)
{
    if (a->type == ID_NONE || b->type == ID_NONE) return (a->type != ID_NONE) - (b->type != ID_NONE);
    return store->backend->id_order(a, b);
}

enum err_code store_update(struct store *store, const struct account_id *id, const struct patch *patch, struct err *err)
{
    if (!patch_is_sound(patch))
        return err_set(err, ERR_INTERNAL, id->text, "a patch of more than %d fields, or of one inside another",
                       PATCH_MAX);
    if (!fence_holds(patch->fence)) return err_set(err, ERR_CONFLICT, id->text, "%s", store_lost_lease);
    return store->backend->update(writer(store), id, patch, err);
}

enum err_code store_import(struct store *store, const struct json *doc, int replace, int *created, struct err *err)
{
    struct store_item item = {.doc = doc};
    enum err_code rc = store_import_many(store, &item, 1, replace, err);

    *created = item.created;
    return rc == ERR_OK && item.err.code != ERR_OK ? err_set(err, item.err.code, item.err.place, "%s", item.err.text)
                                                   : rc;
}

int store_item_waits(const struct store_item *item)
{
    return item->doc && !item->is_done && item->err.code == ERR_OK;
}

enum err_code store_import_many(struct store *store, struct store_item *items, int count, int replace, struct err *err)
{
    int waiting = 0;

    for (int i = 0; i < count; i++) {
        struct account account;

        items[i].is_done = items[i].created = 0;
        if (!store_item_waits(&items[i])) continue;
        if (account_parse(json_copy(items[i].doc), &account, &items[i].err) == ERR_OK) {
            items[i].id = account.id;
            waiting++;
        }
        account_fini(&account);
    }
    return waiting ? store->backend->import(writer(store), items, count, replace, err) : ERR_OK;
}

void store_item_exists(struct store_item *item)
{
    err_set(&item->err, ERR_CONFLICT, item->id.text, "an account with this _id exists; --replace replaces it");
}

enum err_code store_count(struct store *store, const char *platform, struct store_counts *counts, struct err *err)
{
    *counts = (struct store_counts){0};
    return store->backend->count(reader(store), platform, counts, err);
}

enum err_code store_meta_put(struct store *store, const char *name, const struct json *value, struct err *err)
{
    return store->backend->meta_put(writer(store), name, value, err);
}

enum err_code store_meta_swap(struct store *store, const char *name, const struct json *value, int64_t version,
                              struct err *err)
{
    return store->backend->meta_swap(store->state, name, value, version, err);
}

enum err_code store_meta_get(struct store *store, const char *name, struct json **value, struct err *err)
{
    *value = NULL;
    return store->backend->meta_get(reader(store), name, value, err);
}

enum err_code store_meta_bump(struct store *store, const char *name, int64_t at_least, int64_t *version,
                              struct err *err)
{
    return store->backend->meta_bump(writer(store), name, at_least, version, err);
}

enum err_code store_meta_versions(struct store *store, const char *const *names, int count, int64_t *versions,
                                  struct err *err)
{
    memset(versions, 0, (size_t)count * sizeof *versions);
    return store->backend->meta_versions(reader(store), names, count, versions, err);
}

/* ---- leases ---- */

const char store_lost_lease[] = "the lease is lost";

enum err_code store_now(struct store *store, int64_t *now_ms, struct err *err)
{
    return store->backend->now(reader(store), now_ms, err);
}

enum err_code store_lease_create(struct store *store, const char *name, const struct json *state, struct fence *fence,
                                 struct err *err)
{
    if (strlen(name) >= LEASE_NAME_BYTES) return err_set(err, ERR_BAD_INPUT, NULL, "the lease's name is too long");
    if (!fence_holds(fence)) return err_set(err, ERR_CONFLICT, name, "%s", store_lost_lease);
    return store->backend->lease_create(writer(store), name, state, fence, err);
}

enum err_code store_lease_list(struct store *store, const char *prefix, store_lease_fn *fn, void *arg, struct err *err)
{
    return store->backend->lease_list(reader(store), prefix, fn, arg, err);
}

enum err_code store_lease_take(struct store *store, struct lease *lease, const char *owner, int64_t ttl_ms,
                               struct err *err)
{
    if (!*owner || strlen(owner) >= LEASE_OWNER_BYTES)
        return err_set(err, ERR_BAD_INPUT, lease->name, "not the name of an owner");
    return store->backend->lease_take(writer(store), lease, owner, ttl_ms, err);
}

enum err_code store_lease_renew(struct store *store, struct lease *lease, struct err *err)
{
    if (!lease->owner[0]) return err_set(err, ERR_CONFLICT, lease->name, "it was given up");
    return store->backend->lease_write(writer(store), lease, lease->owner, err);
}

enum err_code store_lease_release(struct store *store, struct lease *lease, struct err *err)
{
    enum err_code rc = store->backend->lease_write(writer(store), lease, "", err);

    if (rc == ERR_OK) lease->owner[0] = '\0';
    return rc;
}

enum err_code store_lease_delete(struct store *store, const struct lease *lease, struct err *err)
{
    return store->backend->lease_delete(writer(store), lease, err);
}

int store_give(struct json *doc, store_account_fn *fn, void *arg)
{
    struct account account;
    struct account_id id;
    struct err err = {0};

    id_parse(json_member(doc, "_id"), &id, NULL);
    if (account_parse(doc, &account, &err) == ERR_OK) {
        if (account.fault[0])
            log_warn("TOKEN HEALTH", "an odd field of an account is passed over", LOG_S("account", id.text),
                     LOG_S("field", account.fault));
        return fn(arg, &account);
    }
    log_warn("TOKEN HEALTH", "an account document cannot be read", LOG_S("account", id.text), LOG_S("why", err.text));
    return 1;
}

void store_count_word(struct store_word *list, int *count, const char *word, int64_t n)
{
    static const char other[] = "other";
    int i;

    if (strlen(word) >= sizeof list->word) word = other;
    for (i = 0; i < *count && strcmp(list[i].word, word) != 0; i++)
        ;
    if (i == *count && i >= STORE_WORDS_MAX - 1 && word != other) {
        store_count_word(list, count, other, n); /* the last entry is kept for it */
        return;
    }
    if (i == *count) snprintf(list[(*count)++].word, sizeof list->word, "%s", word);
    list[i].count += n;
}
