#include "tokens.h"
#include "base/clock.h"
#include "token/crypto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096, CHUNKS = TOKENS_MAX / CHUNK, SLOTS_FIRST = 1024, SLOT_EMPTY = 0 };
static const uint32_t NO_IDENTITY = UINT32_MAX;

struct tokens {
    struct token *chunks[CHUNKS];
    size_t count;
    uint32_t *slots; /* index + 1; open addressing, at most half full */
    size_t slot_count;
    char *names; /* "account id\0username\0" one behind the other; tokens of one refresh chain share theirs */
    size_t names_len, names_cap;
};

const char *const kind_words[KIND_COUNT] = {"validate", "refresh", "introspect", "exchange", "other"};

struct tokens *tokens_new(void)
{
    struct tokens *ts = calloc(1, sizeof *ts);

    if (!ts) return NULL;
    ts->slot_count = SLOTS_FIRST;
    ts->slots = calloc(ts->slot_count, sizeof *ts->slots);
    if (ts->slots) return ts;
    free(ts);
    return NULL;
}

void tokens_reset(struct tokens *ts)
{
    for (size_t i = 0; i < CHUNKS && ts->chunks[i]; i++) {
        free(ts->chunks[i]);
        ts->chunks[i] = NULL;
    }
    memset(ts->slots, SLOT_EMPTY, ts->slot_count * sizeof *ts->slots);
    ts->count = ts->names_len = 0;
}

void tokens_free(struct tokens *ts)
{
    if (!ts) return;
    tokens_reset(ts);
    free(ts->slots);
    free(ts->names);
    free(ts);
}

size_t tokens_count(const struct tokens *ts)
{
    return ts->count;
}

struct token *tokens_at(const struct tokens *ts, size_t index)
{
    return &ts->chunks[index / CHUNK][index % CHUNK];
}

void tokens_digest(const char *token, uint8_t digest[TOKEN_DIGEST_BYTES])
{
    crypto_sha256(token, strlen(token), digest);
}

void tokens_hex(const uint8_t digest[TOKEN_DIGEST_BYTES], char hex[TOKEN_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < TOKEN_DIGEST_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4U];
        hex[2 * i + 1] = digits[digest[i] & 15U];
    }
    hex[TOKEN_HEX_BYTES - 1] = '\0';
}

int tokens_unhex(const char *hex, uint8_t digest[TOKEN_DIGEST_BYTES])
{
    unsigned byte;

    if (strlen(hex) != TOKEN_HEX_BYTES - 1 || strspn(hex, "0123456789abcdef") != TOKEN_HEX_BYTES - 1) return 0;
    for (size_t i = 0; i < TOKEN_DIGEST_BYTES; i++) {
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) return 0;
        digest[i] = (uint8_t)byte;
    }
    return 1;
}

static uint64_t number_of(const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    uint64_t n;

    memcpy(&n, digest, sizeof n);
    return n;
}

/* The slot of this digest, or the empty one where it belongs. */
static uint32_t *slot_of(const struct tokens *ts, const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    size_t i = number_of(digest) & (ts->slot_count - 1);

    while (ts->slots[i] != SLOT_EMPTY &&
           memcmp(tokens_at(ts, ts->slots[i] - 1)->digest, digest, TOKEN_DIGEST_BYTES) != 0)
        i = (i + 1) & (ts->slot_count - 1);
    return &ts->slots[i];
}

struct token *tokens_find(const struct tokens *ts, const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    const uint32_t *slot = slot_of(ts, digest);

    return *slot == SLOT_EMPTY ? NULL : tokens_at(ts, *slot - 1);
}

static int make_room(struct tokens *ts)
{
    if (ts->count == TOKENS_MAX) return 0;
    if (!ts->chunks[ts->count / CHUNK]) {
        ts->chunks[ts->count / CHUNK] = calloc(CHUNK, sizeof(struct token));
        if (!ts->chunks[ts->count / CHUNK]) return 0;
    }
    if (ts->count * 2 < ts->slot_count) return 1;
    uint32_t *bigger = calloc(ts->slot_count * 2, sizeof *bigger);
    if (!bigger) return 0;
    free(ts->slots);
    ts->slots = bigger;
    ts->slot_count *= 2;
    for (size_t i = 0; i < ts->count; i++)
        *slot_of(ts, tokens_at(ts, i)->digest) = (uint32_t)i + 1;
    return 1;
}

struct token *tokens_add(struct tokens *ts, const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    struct token *t = tokens_find(ts, digest);

    if (t) return t;
    if (!make_room(ts)) return NULL;
    t = tokens_at(ts, ts->count);
    *t = (struct token){
        .newest = t, .root = t, .host = HOST_COUNT, .refresh_condition = CONDITION_COUNT, .identity = NO_IDENTITY};
    memcpy(t->digest, digest, TOKEN_DIGEST_BYTES);
    tokens_set_condition(t, CONDITION_HEALTHY, clock_now_ms() / 1000);
    *slot_of(ts, digest) = (uint32_t)ts->count + 1;
    ts->count++;
    return t;
}

void tokens_set_condition(struct token *t, enum condition c, int64_t now_s)
{
    long expires_in_s, age_s;

    condition_lifetime(c, &expires_in_s, &age_s);
    t->condition = (uint8_t)c;
    t->expires_at_s = now_s + expires_in_s;
    t->issued_at_s = now_s - age_s;
}

const char *tokens_account_id(const struct tokens *ts, const struct token *t)
{
    return t->identity == NO_IDENTITY ? "\0" : ts->names + t->identity;
}

const char *tokens_username(const struct tokens *ts, const struct token *t)
{
    const char *account_id = tokens_account_id(ts, t);

    return account_id + strlen(account_id) + 1;
}

static int put_identity(struct tokens *ts, struct token *t, const char *account_id, const char *username)
{
    size_t id_bytes = strlen(account_id) + 1, name_bytes = strlen(username) + 1;

    if (ts->names_len + id_bytes + name_bytes > ts->names_cap) {
        size_t cap = (ts->names_cap ? ts->names_cap * 2 : 65536) + id_bytes + name_bytes;
        char *bigger = cap < NO_IDENTITY ? realloc(ts->names, cap) : NULL;

        if (!bigger) return 0;
        ts->names = bigger;
        ts->names_cap = cap;
    }
    t->identity = (uint32_t)ts->names_len;
    memcpy(ts->names + ts->names_len, account_id, id_bytes);
    memcpy(ts->names + ts->names_len + id_bytes, username, name_bytes);
    ts->names_len += id_bytes + name_bytes;
    return 1;
}

int tokens_set_identity(struct tokens *ts, struct token *t, const char *account_id, const char *username)
{
    const char *old_id = tokens_account_id(ts, t), *old_name = tokens_username(ts, t);
    unsigned number = (unsigned)number_of(t->digest);
    char id[256], name[256];

    snprintf(id, sizeof id, "%s", account_id ? account_id : old_id);
    snprintf(name, sizeof name, "%s", username ? username : old_name);
    if (!*id) snprintf(id, sizeof id, "178414%011u", number);
    if (!*name) snprintf(name, sizeof name, "sandbox_%08x", number);
    if (strcmp(id, old_id) == 0 && strcmp(name, old_name) == 0) return 1;
    return put_identity(ts, t, id, name);
}

int tokens_is_alive(const struct token *t)
{
    return t->is_known && condition_rows[t->condition].effect == EFFECT_SERVED &&
           (!t->expires_at_s || t->expires_at_s > clock_now_ms() / 1000);
}

struct token *tokens_newest(const struct token *t)
{
    struct token *newest = t->newest;

    while (newest->newest != newest)
        newest = newest->newest;
    return newest;
}

void tokens_pair(struct token *access, struct token *refresh)
{
    access->partner = refresh;
    refresh->partner = access;
    refresh->is_refresh = refresh->rotates = 1;
}

static void revoke_chain(struct token *t)
{
    for (; t; t = t->newest == t ? NULL : t->newest)
        t->condition = CONDITION_REVOKED;
}

void tokens_revoke_family(const struct token *t)
{
    revoke_chain(t->root);
    if (t->root->partner) revoke_chain(t->root->partner->root);
}

static void draw_text(const char *prefix, char text[TOKEN_ISSUED_BYTES], const uint8_t *random, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t at = (size_t)snprintf(text, 16, "%.8s", prefix);

    for (size_t i = 0; i < len; i++)
        text[at++] = letters[random[i] & 63U];
    text[at] = '\0';
}

struct token *tokens_issue(struct tokens *ts, struct token *old, const char *prefix, long lifetime_s,
                           char text[TOKEN_ISSUED_BYTES])
{
    uint8_t random[160], digest[TOKEN_DIGEST_BYTES];
    struct token *t;

    if (crypto_random(random, sizeof random, NULL) != ERR_OK) return NULL;
    draw_text(prefix, text, random, sizeof random);
    tokens_digest(text, digest);
    t = tokens_add(ts, digest);
    if (!t) return NULL;
    t->is_known = 1;
    t->root = old->root;
    t->identity = old->identity;
    t->host = old->host;
    t->rotates = old->rotates;
    t->is_refresh = old->is_refresh;
    t->delay_ms = old->delay_ms;
    if (old->condition == CONDITION_SLOW || old->condition == CONDITION_OTHER_IDENTITY) t->condition = old->condition;
    t->issued_at_s = clock_now_ms() / 1000;
    t->expires_at_s = t->issued_at_s + lifetime_s;
    old->newest = t;
    old->issued++;
    if (old->rotates) old->condition = CONDITION_INVALID;
    return t;
}
