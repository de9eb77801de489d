#include "health/refresh_store.h"
#include "base/fault.h"
#include "health/writeback.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

enum { TRIES = 4 };

void refresh_tokens_fini(struct refresh_tokens *t)
{
    secret_free(&t->access);
    secret_free(&t->refresh);
}

/* ---- guards and what is kept */

static void guard_tokens(const struct account *account, struct patch *patch)
{
    static const char *const fields[] = {"encryptedAccessToken", "accessToken", "encryptedRefreshToken",
                                         "refreshToken"};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        patch_guard(patch, fields[i], json_member(account->doc, fields[i]));
}

static void put_state(const struct refresh_state *state, int64_t next_at_ms, struct patch *patch)
{
    struct json *kept = refresh_state_print(state, next_at_ms);

    if (kept)
        patch_set(patch, "tokenHealth.refresh", kept);
    else
        patch_unset(patch, "tokenHealth.refresh");
}

static enum err_code apply(struct store *store, const struct account_id *id, struct patch *patch, struct err *err)
{
    enum err_code rc = store_update(store, id, patch, err);

    patch_fini(patch);
    return rc;
}

enum err_code refresh_lease(struct store *store, const struct account *account, const struct refresh_state *state,
                            struct fence *fence, struct err *err)
{
    struct patch patch = {.fence = fence};

    guard_tokens(account, &patch);
    patch_guard(&patch, "isActive", json_member(account->doc, "isActive"));
    patch_guard(&patch, "tokenHealth.refresh.lease", json_get(account->health, "refresh.lease"));
    put_state(state, 0, &patch);
    return apply(store, &account->id, &patch, err);
}

enum err_code refresh_note(struct store *store, const struct account_id *id, const char *lease,
                           const struct refresh_state *state, int64_t next_at_ms, struct err *err)
{
    struct patch patch = {0};
    struct json *held = json_new_string(lease);

    patch_guard(&patch, "tokenHealth.refresh.lease.id", held);
    json_free(held);
    put_state(state, next_at_ms, &patch);
    return apply(store, id, &patch, err);
}

enum err_code refresh_learn(struct store *store, const struct account *account, const struct refresh_state *state,
                            int64_t expires_at_ms, struct fence *fence, struct err *err)
{
    struct patch patch = {.fence = fence};

    guard_tokens(account, &patch);
    patch_guard(&patch, "tokenHealth.refresh.lease", json_get(account->health, "refresh.lease"));
    put_state(state, 0, &patch);
    if (expires_at_ms) patch_set_date(&patch, "expiresAt", expires_at_ms);
    return apply(store, &account->id, &patch, err);
}

/* ---- the new tokens */

struct put {
    const struct keyring *ring;
    const struct refresh_record *record;
    const struct refresh_tokens *tokens;
    struct account *account;
    struct intake access, refresh; /* what is stored */
    char new_access[REFRESH_PRINT_BYTES];
};

static int is_token(const struct form *form, const char *print)
{
    char stored[REFRESH_PRINT_BYTES];

    if (secret_is_empty(&form->token)) return 0;
    refresh_print(&form->token, stored);
    return !strcmp(stored, print);
}

static int holds(const struct intake *in, const char *print)
{
    return is_token(&in->forms[FIELD_ENCRYPTED], print) || is_token(&in->forms[FIELD_PLAIN], print);
}

static void take_in(struct put *p)
{
    intake_describe(p->account, p->ring, &p->access);
    intake_describe_refresh(p->account, p->ring, &p->refresh);
    while (intake_next(p->account, p->ring, &p->access))
        ;
    while (p->record->uses_refresh_token && intake_next(p->account, p->ring, &p->refresh))
        ;
    /* The new token is this one's successor: nothing is lost with it. */
    for (int i = 0; i < FIELD_COUNT; i++)
        p->access.forms[i].is_dead = is_token(&p->access.forms[i], p->record->access);
}

static void let_go(struct put *p)
{
    intake_fini(&p->access);
    intake_fini(&p->refresh);
}

static int is_readable(const struct intake *in)
{
    for (int i = 0; i < FIELD_COUNT; i++)
        if (in->forms[i].is_shut || in->forms[i].kind == FORM_DAMAGED) return 0;
    return 1;
}

static int has_new_grant(const struct put *p, char grant[REFRESH_PRINT_BYTES])
{
    if (!p->record->uses_refresh_token || secret_is_empty(&p->tokens->refresh)) return 0;
    refresh_print(&p->tokens->refresh, grant);
    return strcmp(grant, p->record->used) != 0;
}

/* All goes into the store at once. A provider may give the old access token a new life: then the new refresh token tells, and where there
 * is none the lease, which goes with that write. */
static int is_stored(const struct put *p)
{
    const char *lease = json_string(json_get(p->account->health, "refresh.lease.id"));
    char grant[REFRESH_PRINT_BYTES];

    if (!holds(&p->access, p->new_access)) return 0;
    if (strcmp(p->new_access, p->record->access) != 0) return 1;
    if (has_new_grant(p, grant)) return holds(&p->refresh, grant);
    return !lease || strcmp(lease, p->record->lease) != 0;
}

/* Whose tokens are stored? */
static enum err_code compare(const struct put *p, int *is_ours, enum refresh_put *what, struct err *err)
{
    const struct intake *asked = p->record->uses_refresh_token ? &p->refresh : &p->access;

    *is_ours = 0;
    *what = REFRESH_PUT_ALREADY;
    if (is_stored(p)) return ERR_OK;
    *is_ours = holds(asked, p->record->used);
    *what = *is_ours ? REFRESH_PUT_STORED : REFRESH_PUT_THEIRS;
    if (*is_ours || is_readable(asked)) return ERR_OK;
    return err_set(err, ERR_UNDECRYPTABLE, p->account->id.text, "what is stored does not open: %s", asked->why);
}

/* Where a token and its companion go. */
struct place {
    const char *field, *fast;
};
static const struct place access_place = {"encryptedAccessToken", "tokenHealth.fast.access"},
                          refresh_place = {"encryptedRefreshToken", "tokenHealth.fast.refresh"};

static enum err_code seal_into(const struct put *p, const struct secret *token, const struct place *place,
                               const struct intake *before, struct envelope *env, struct patch *patch, struct err *err)
{
    struct fast_binding binding = {p->account->id.text, p->account->platform, before->what};
    struct json *fast = NULL;
    unsigned char mirror[SHA256_BYTES];
    enum err_code rc = keyring_seal(p->ring, token, env, err);

    if (rc != ERR_OK) return rc;
    keyring_mirror(p->ring, env, mirror);
    rc = keyring_fast_seal(p->ring, token, &binding, mirror, &fast, err);
    if (rc != ERR_OK) return rc;
    patch_set(patch, place->field, envelope_to_json(env));
    patch_set(patch, place->fast, fast);
    return ERR_OK;
}

/* A verdict that the account works stands, now about the new token; one that it does not was about the old one. */
static void carry_verdict(const struct put *p, const char *print, struct patch *patch)
{
    struct moment now = moment_now();
    char clock[MOMENT_CLOCK_BYTES];
    struct verdict before;

    verdict_parse(p->account->health, &before);
    if (before.state == STATE_BROKEN || strcmp(before.print, p->access.print) != 0) return;
    patch_set_string(patch, "tokenHealth.print", print);
    patch_set_date(patch, "tokenHealth.tokenSince", now.at_ms);
    patch_set_string(patch, "tokenHealth.tokenSinceClock", moment_print_clock(&now, clock));
}

/* What else is in encryptedAccessToken makes room, kept if there is room for it: what is new cannot be had again. */
static enum err_code set_aside(const struct put *p, struct patch *patch, struct err *err)
{
    const struct writeback w = {.account = p->account, .intake = &p->access, .ring = p->ring, .may_seal = 1};
    int is_safe;

    return writeback_set_aside(&w, FIELD_ENCRYPTED, patch, &is_safe, err);
}

static enum err_code put_access(const struct put *p, struct patch *patch, struct err *err)
{
    const struct form *plain = &p->access.forms[FIELD_PLAIN];
    struct envelope env = {0};
    char sealed[PRINT_BYTES], print[PRINT_BYTES];
    enum err_code rc = seal_into(p, &p->tokens->access, &access_place, &p->access, &env, patch, err);
    int drops_plain = plain->is_dead || plain->is_copy;

    if (rc == ERR_OK) rc = set_aside(p, patch, err);
    if (rc == ERR_OK) {
        envelope_fingerprint(&env, sealed);
        intake_print(sealed, drops_plain ? "" : plain->print, print);
        carry_verdict(p, print, patch);
        if (drops_plain) patch_unset(patch, "accessToken");
        patch_set_date(patch, "expiresAt", p->tokens->expires_at_ms);
        patch_set_string(patch, "tokenStatus", reason_token_status(REASON_OK));
    }
    envelope_fini(&env);
    return rc;
}

static enum err_code put_refresh(const struct put *p, struct patch *patch, struct err *err)
{
    const struct form *plain = &p->refresh.forms[FIELD_PLAIN], *sealed = &p->refresh.forms[FIELD_ENCRYPTED];
    struct envelope env = {0};
    enum err_code rc;

    if (!p->record->uses_refresh_token || secret_is_empty(&p->tokens->refresh)) return ERR_OK;
    rc = seal_into(p, &p->tokens->refresh, &refresh_place, &p->refresh, &env, patch, err);
    /* One that no key opens may be opened by one that turns up; another refresh token than the used one may be good. */
    if (sealed->kind == FORM_ENVELOPE && !is_token(sealed, p->record->used))
        patch_set(patch, "tokenHealth.setAsideRefresh", json_copy(p->account->encrypted_refresh));
    if (rc == ERR_OK && (is_token(plain, p->record->used) || plain->is_copy)) patch_unset(patch, "refreshToken");
    envelope_fini(&env);
    return rc;
}

/* What is known of the token that the next refresh will be asked with. An expiry that was not said is not asked for again soon. */
static struct refresh_state fresh_state(const struct put *p)
{
    struct refresh_state state = {.refreshed = moment_now()};

    if (!p->tokens->expires_at_ms) state.learnt = state.refreshed;
    if (!p->record->uses_refresh_token)
        snprintf(state.of, sizeof state.of, "%s", p->new_access);
    else if (secret_is_empty(&p->tokens->refresh))
        snprintf(state.of, sizeof state.of, "%s", p->record->used);
    else
        refresh_print(&p->tokens->refresh, state.of);
    return state;
}

static enum err_code write_tokens(struct put *p, struct store *store, struct err *err)
{
    const struct refresh_state state = fresh_state(p);
    struct patch patch = {0};
    enum err_code rc;

    guard_tokens(p->account, &patch);
    rc = put_access(p, &patch, err);
    if (rc == ERR_OK) rc = put_refresh(p, &patch, err);
    put_state(&state, 0, &patch);
    patch_set_date(&patch, "updatedAt", state.refreshed.at_ms);
    fault_point(FAULT_sealed);
    if (rc == ERR_OK) rc = store_update(store, &p->account->id, &patch, err);
    patch_fini(&patch);
    return rc;
}

static enum err_code read_again(struct store *store, const struct account_id *id, struct account *account,
                                struct err *err)
{
    account_fini(account);
    return store_read_account(store, id, account, err);
}

enum err_code refresh_put(struct store *store, const struct keyring *ring, const struct refresh_record *r,
                          const struct refresh_tokens *t, struct account *account, enum refresh_put *what,
                          struct err *err)
{
    struct put p = {.ring = ring, .record = r, .tokens = t, .account = account};
    enum err_code rc = account->doc ? ERR_OK : read_again(store, &r->id, account, err);

    refresh_print(&t->access, p.new_access);
    for (int i = 0; rc == ERR_OK && i < TRIES; i++) {
        struct err why = {0};
        int is_ours = 0;

        take_in(&p);
        rc = compare(&p, &is_ours, what, err);
        if (rc == ERR_OK && is_ours) rc = write_tokens(&p, store, &why);
        let_go(&p);
        if (rc == ERR_CONFLICT && i + 1 < TRIES)
            rc = read_again(store, &r->id, account, err);
        else
            return rc == ERR_OK || !why.code ? rc : err_set(err, rc, why.place, "%s", why.text);
    }
    if (rc != ERR_NOT_FOUND) return rc;
    *what = REFRESH_PUT_THEIRS;
    err_clear(err);
    return ERR_OK;
}

/* ---- the spool's description */

struct json *refresh_record_print(const struct refresh_record *r)
{
    struct json *j = json_object_new();

    json_set(j, "account", id_to_json(&r->id));
    json_set(j, "platform", json_new_string(r->platform));
    json_set(j, "lease", json_new_string(r->lease));
    json_set(j, "used", json_new_string(r->used));
    json_set(j, "access", json_new_string(r->access));
    json_set(j, "refreshToken", json_new_bool(r->uses_refresh_token));
    json_set(j, "rotates", json_new_bool(r->rotates));
    json_set(j, "uncalled", json_new_bool(r->is_uncalled));
    return j;
}

static int take_text(const struct json *about, const char *name, char *out, size_t size)
{
    const char *text = json_string(json_member(about, name));

    if (!text || strlen(text) >= size) return 0;
    snprintf(out, size, "%s", text);
    return 1;
}

int refresh_record_parse(const struct json *about, struct refresh_record *r)
{
    *r = (struct refresh_record){0};
    return id_parse(json_member(about, "account"), &r->id, NULL) == ERR_OK &&
           take_text(about, "platform", r->platform, sizeof r->platform) &&
           take_text(about, "lease", r->lease, sizeof r->lease) && take_text(about, "used", r->used, sizeof r->used) &&
           take_text(about, "access", r->access, sizeof r->access) &&
           json_bool(json_member(about, "refreshToken"), &r->uses_refresh_token) &&
           json_bool(json_member(about, "rotates"), &r->rotates) &&
           json_bool(json_member(about, "uncalled"), &r->is_uncalled);
}
