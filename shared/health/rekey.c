#include "health/rekey.h"
#include "base/clock.h"
#include "health/intake.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PAGE = 32, TRIES = 8, AWAY_MS = 500 };

/* One account. */
struct work {
    const struct rekey_options *options;
    const struct account *account;
    struct patch *patch;
    struct rekey_totals *totals;
    int is_wanted;   /* there is something to write */
    int is_resealed; /* of the application's fields */
};

/* ---- one envelope */

static void note_shut(const struct work *w, const char *field)
{
    int64_t nth = w->totals->undecryptable++;
    struct rekey_shut *shut;

    if (nth >= REKEY_SHOWN) return;
    shut = &w->totals->shut[nth];
    snprintf(shut->account, sizeof shut->account, "%s", w->account->id.text);
    shut->field = field;
}

static int index_of(const struct keyring *ring, const char *kid)
{
    int i = 0;

    while (keyring_kid(ring, i) && strcmp(keyring_kid(ring, i), kid) != 0)
        i++;
    return i;
}

/* Opens ${env}; if it is not under the write key, it becomes one that is. *fresh: did it? A ${token} that stays empty: no key opens it. */
static enum err_code reseal(struct work *w, const char *field, struct envelope *env, struct secret *token, int *fresh,
                            struct err *err)
{
    const struct keyring *ring = w->options->ring;
    struct envelope sealed = {0};
    struct err why = {0};
    const char *kid = NULL;
    enum err_code rc = keyring_open(ring, env, token, &kid, &why);
    int key;

    *fresh = 0;
    if (rc == ERR_UNDECRYPTABLE) {
        note_shut(w, field);
        return ERR_OK;
    }
    if (rc != ERR_OK) return err_set(err, rc, why.place, "%s", why.text);
    key = index_of(ring, kid);
    w->totals->found[key]++;
    w->totals->left[w->options->dry_run ? key : 0]++;
    if (key == 0) return ERR_OK;
    w->totals->resealed++;
    w->is_wanted = 1;
    if (w->options->dry_run) return ERR_OK;
    rc = keyring_seal(ring, token, &sealed, err);
    if (rc != ERR_OK) return rc;
    envelope_fini(env);
    *env = sealed;
    *fresh = 1;
    return ERR_OK;
}

/* ---- the fast envelope of one that is under the write key */

static int is_mirrored(const struct work *w, const char *what, const struct envelope *env)
{
    const struct json *fast = json_member(json_member(w->account->health, "fast"), what);
    const char *by = json_string(json_member(fast, "by")), *kid = json_string(json_member(fast, "kid"));
    const char *wanted = keyring_write_kid(w->options->ring);
    struct fast_binding binding = {w->account->id.text, w->account->platform, what};
    struct secret token = {0};
    unsigned char mirror[SHA256_BYTES];
    int is_good;

    if (!by || !kid || strcmp(by, wanted) != 0 || strcmp(kid, wanted) != 0) return 0;
    keyring_mirror(w->options->ring, env, mirror);
    is_good = keyring_fast_open(w->options->ring, fast, &binding, mirror, &token, NULL) == ERR_OK;
    secret_free(&token);
    return is_good;
}

static enum err_code mirror(struct work *w, const char *what, const char *path, const struct envelope *env,
                            const struct secret *token, struct err *err)
{
    struct fast_binding binding = {w->account->id.text, w->account->platform, what};
    struct json *fast = NULL;
    unsigned char of[SHA256_BYTES];
    enum err_code rc;

    w->is_wanted = 1;
    if (w->options->dry_run) return ERR_OK;
    keyring_mirror(w->options->ring, env, of);
    rc = keyring_fast_seal(w->options->ring, token, &binding, of, &fast, err);
    if (rc != ERR_OK) return rc;
    json_set(fast, "by", json_new_string(keyring_write_kid(w->options->ring)));
    patch_set(w->patch, path, fast);
    return ERR_OK;
}

/* ---- the two tokens */

struct token_place {
    const char *fields[FIELD_COUNT], *fast;
};
static const struct token_place access_place = {{"encryptedAccessToken", "accessToken"}, "tokenHealth.fast.access"},
                                refresh_place = {{"encryptedRefreshToken", "refreshToken"}, "tokenHealth.fast.refresh"};

static enum err_code replace(struct work *w, const char *field, struct form *form, struct err *err)
{
    struct json *value = envelope_in_place_of(&form->env, json_member(w->account->doc, field));

    if (!value) return err_set(err, ERR_NOMEM, NULL, "no memory for an envelope");
    patch_set(w->patch, field, value);
    envelope_fingerprint(&form->env, form->print);
    w->is_resealed = 1;
    return ERR_OK;
}

static enum err_code visit_form(struct work *w, struct intake *in, enum form_field at, const struct token_place *place,
                                struct err *err)
{
    struct form *form = &in->forms[at];
    const char *field = place->fields[at];
    int fresh;
    enum err_code rc;

    w->totals->plain += form->kind == FORM_PLAIN || form->kind == FORM_JUNK;
    if (form->kind == FORM_DAMAGED) note_shut(w, field);
    if (form->kind != FORM_ENVELOPE) return ERR_OK;
    if (at == FIELD_ENCRYPTED && is_mirrored(w, in->what, &form->env)) {
        w->totals->found[0]++;
        w->totals->left[0]++;
        return ERR_OK;
    }
    rc = reseal(w, field, &form->env, &form->token, &fresh, err);
    if (rc == ERR_OK && fresh) rc = replace(w, field, form, err);
    if (rc == ERR_OK && at == FIELD_ENCRYPTED && !secret_is_empty(&form->token))
        rc = mirror(w, in->what, place->fast, &form->env, &form->token, err);
    return rc;
}

/* The verdict was about this token, and still is. */
static void carry_verdict(struct work *w, const struct intake *in)
{
    const struct json *stored = json_member(w->account->health, "print");
    char print[PRINT_BYTES];

    intake_print(in->forms[FIELD_ENCRYPTED].print, in->forms[FIELD_PLAIN].print, print);
    if (!json_string(stored) || strcmp(json_string(stored), in->print) != 0 || !strcmp(print, in->print)) return;
    patch_guard(w->patch, "tokenHealth.print", stored);
    patch_set_string(w->patch, "tokenHealth.print", print);
}

static enum err_code visit_token(struct work *w, struct intake *in, const struct token_place *place, struct err *err)
{
    enum err_code rc = ERR_OK;

    for (int i = 0; rc == ERR_OK && i < FIELD_COUNT; i++)
        rc = visit_form(w, in, (enum form_field)i, place, err);
    return rc;
}

/* ---- what was set aside */

/* *out: in place of ${value}; NULL: it stays. */
static enum err_code visit_kept(struct work *w, const char *path, const struct json *value, struct json **out,
                                struct err *err)
{
    struct envelope env = {0};
    struct secret token = {0};
    int fresh = 0;
    enum err_code rc = ERR_OK;

    *out = NULL;
    if (value_is_blank(value)) return ERR_OK;
    if (envelope_parse(value, &env, NULL) != ERR_OK)
        note_shut(w, path);
    else
        rc = reseal(w, path, &env, &token, &fresh, err);
    if (rc == ERR_OK && fresh && !(*out = envelope_in_place_of(&env, value)))
        rc = err_set(err, ERR_NOMEM, NULL, "no memory for an envelope");
    secret_free(&token);
    envelope_fini(&env);
    return rc;
}

static enum err_code visit_aside(struct work *w, const char *path, const char *name, struct err *err)
{
    const struct json *kept = json_member(w->account->health, name);
    struct json *fresh = NULL, *list;
    int changes = 0;
    enum err_code rc = ERR_OK;

    if (json_type(kept) != JSON_ARRAY) {
        rc = visit_kept(w, path, kept, &fresh, err);
        if (fresh) patch_guard(w->patch, path, kept);
        if (fresh) patch_set(w->patch, path, fresh);
        return rc;
    }
    list = json_array_new();
    for (size_t i = 0; rc == ERR_OK && i < json_count(kept); i++) {
        rc = visit_kept(w, path, json_at(kept, i), &fresh, err);
        changes += fresh != NULL;
        json_push(list, fresh ? fresh : json_copy(json_at(kept, i)));
    }
    if (rc == ERR_OK && changes) {
        patch_guard(w->patch, path, kept);
        patch_set(w->patch, path, list);
    } else {
        json_free(list);
    }
    return rc;
}

/* ---- an account */

static void guard_fields(const struct work *w, const struct token_place *place)
{
    for (int i = 0; i < FIELD_COUNT; i++)
        patch_guard(w->patch, place->fields[i], json_member(w->account->doc, place->fields[i]));
}

enum err_code rekey_account(const struct rekey_options *options, const struct account *account, int64_t now_ms,
                            struct patch *patch, struct rekey_totals *totals, int *is_wanted, struct err *err)
{
    struct work w = {.options = options, .account = account, .patch = patch, .totals = totals};
    struct intake access, refresh;
    enum err_code rc;

    intake_describe(account, options->ring, &access);
    intake_describe_refresh(account, options->ring, &refresh);
    rc = visit_token(&w, &access, &access_place, err);
    if (rc == ERR_OK) rc = visit_token(&w, &refresh, &refresh_place, err);
    if (rc == ERR_OK) rc = visit_aside(&w, "tokenHealth.setAside", "setAside", err);
    if (rc == ERR_OK) rc = visit_aside(&w, "tokenHealth.setAsideRefresh", "setAsideRefresh", err);
    if (rc == ERR_OK && patch->field_count) {
        guard_fields(&w, &access_place);
        guard_fields(&w, &refresh_place);
        carry_verdict(&w, &access);
        if (w.is_resealed) patch_set_date(patch, "updatedAt", now_ms);
    }
    *is_wanted = w.is_wanted;
    intake_fini(&access);
    intake_fini(&refresh);
    return rc;
}

/* ---- all accounts */

static enum err_code write_account(const struct rekey_options *o, const struct account *account,
                                   struct rekey_totals *totals, struct err *err)
{
    struct patch patch = {0};
    int is_wanted = 0;
    enum err_code rc = rekey_account(o, account, clock_now_ms(), &patch, totals, &is_wanted, err);

    if (rc == ERR_OK && patch.field_count) rc = store_update(o->store, &account->id, &patch, err);
    if (rc == ERR_OK) totals->written += is_wanted;
    patch_fini(&patch);
    return rc;
}

/* Who loses a race counts what is there then. */
static enum err_code do_account(const struct rekey_options *o, struct account *account, struct rekey_totals *totals,
                                struct err *err)
{
    const struct account_id id = account->id;
    const struct rekey_totals before = *totals;

    for (int i = 0; i < TRIES; i++) {
        struct err why = {0};
        enum err_code rc = write_account(o, account, totals, &why);

        if (rc == ERR_OK) {
            totals->accounts++;
            return ERR_OK;
        }
        *totals = before;
        if (rc == ERR_NOT_FOUND) return ERR_OK; /* deleted meanwhile */
        if (rc != ERR_CONFLICT) return err_set(err, rc, why.place, "%s", why.text);
        account_fini(account);
        rc = store_read_account(o->store, &id, account, err);
        if (rc == ERR_NOT_FOUND) {
            err_clear(err);
            return ERR_OK;
        }
        if (rc != ERR_OK) return rc;
    }
    totals->accounts++;
    totals->contended++;
    return ERR_OK;
}

struct page {
    struct account accounts[PAGE];
    int count;
};

/* All are read before any is worked on, which takes its time. */
static int take(void *arg, struct account *account)
{
    struct page *page = arg;

    page->accounts[page->count++] = *account;
    *account = (struct account){0};
    return page->count < PAGE;
}

/* *after: the last account that is done. */
static enum err_code do_page(const struct rekey_options *o, struct page *page, struct account_id *after,
                             struct rekey_totals *totals, struct err *err)
{
    enum err_code rc = ERR_OK;

    for (int i = 0; i < page->count; i++) {
        const struct account_id id = page->accounts[i].id;

        if (rc == ERR_OK) rc = do_account(o, &page->accounts[i], totals, err);
        if (rc == ERR_OK) *after = id;
        if (rc == ERR_OK && o->progress) o->progress(o->arg, totals);
        account_fini(&page->accounts[i]);
    }
    return rc;
}

/* Documents that the scan did not give are there all the same: of an _id that has no place in its order, or new. */
static enum err_code count_unread(const struct rekey_options *o, struct rekey_totals *totals, struct err *err)
{
    struct store_counts counts;
    enum err_code rc = store_count(o->store, NULL, &counts, err);

    if (rc == ERR_OK && counts.total > totals->accounts + totals->unread)
        totals->unread = counts.total - totals->accounts;
    return rc;
}

/* All that is to be seen of a page counts only when it is done: it may be read again. */
static enum err_code next_page(const struct rekey_options *o, struct account_id *after, struct store_page *read,
                               struct rekey_totals *totals, struct err *err)
{
    const struct account_id from = *after;
    const struct store_span span = {.after = from.type ? &from : NULL};
    struct page page = {.count = 0};
    int given;
    enum err_code rc = store_scan_span(o->store, &span, PAGE, take, &page, read, err);

    given = page.count;
    if (rc == ERR_OK) rc = do_page(o, &page, after, totals, err);
    if (rc != ERR_OK) return rc;
    totals->unread += read->count - given;
    *after = read->last;
    return ERR_OK;
}

/* A store that is away for a moment ends no work of hours. 1: it may be back. */
static int wait_for_store(int64_t *away_mono_ms, struct err *err)
{
    const int64_t now_ms = clock_mono_ms();

    if (!*away_mono_ms) *away_mono_ms = now_ms;
    if (now_ms - *away_mono_ms > REKEY_PATIENCE_MS) return 0;
    nanosleep(&(struct timespec){.tv_nsec = AWAY_MS * 1000000L}, NULL);
    err_clear(err);
    return 1;
}

enum err_code rekey_run(const struct rekey_options *options, struct rekey_totals *totals, struct err *err)
{
    struct account_id after = {0};
    struct store_page read = {.count = PAGE};
    int64_t away_mono_ms = 0, done = 0;
    enum err_code rc = ERR_OK;

    *totals = (struct rekey_totals){0};
    while (rc == ERR_OK && read.count >= PAGE) {
        rc = next_page(options, &after, &read, totals, err);
        if (rc == ERR_OK || totals->accounts > done) away_mono_ms = 0;
        done = totals->accounts;
        if (rc == ERR_UNAVAILABLE && wait_for_store(&away_mono_ms, err)) {
            read.count = PAGE;
            rc = ERR_OK;
        }
    }
    if (rc == ERR_OK) rc = count_unread(options, totals, err);
    totals->is_whole = rc == ERR_OK;
    return rc;
}

int rekey_is_unused(const struct rekey_totals *t, int key)
{
    return t->is_whole && t->left[key] == 0 && t->unread == 0 && t->contended == 0;
}
