/* tokenHealth.refresh in the account's document. */
#include "health/refresh.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

enum { FAILURES_MAX = 1000 /* more in a document is damage */ };

static const char *const words[REFRESH_STANDING_COUNT] = {"fine", "dead", "unsure"};

const char *refresh_standing_word(enum refresh_standing standing)
{
    return (unsigned)standing < REFRESH_STANDING_COUNT ? words[standing] : "fine";
}

void refresh_print(const struct secret *token, char out[REFRESH_PRINT_BYTES])
{
    char hex[SHA256_HEX_BYTES];

    crypto_sha256_hex(secret_bytes(token), token->len, hex);
    snprintf(out, REFRESH_PRINT_BYTES, "%.*s", REFRESH_PRINT_BYTES - 1, hex);
}

static void take_text(const struct json *object, const char *path, char *out, size_t size)
{
    const char *text = json_string(json_get(object, path));

    snprintf(out, size, "%s", text && strlen(text) < size ? text : "");
}

static void parse_token(const struct json *kept, struct refresh_state *s)
{
    const char *word = json_string(json_member(kept, "standing")), *reason = json_string(json_member(kept, "reason"));
    int64_t failures = 0;

    for (int i = 0; word && i < REFRESH_STANDING_COUNT; i++)
        if (!strcmp(word, words[i])) s->standing = (enum refresh_standing)i;
    if (json_int(json_member(kept, "failures"), &failures) && failures > 0 && failures <= FAILURES_MAX)
        s->failures = (int)failures;
    s->failed = moment_find(kept, "failedAt", "failedClock");
    s->learnt = moment_find(kept, "learntAt", "learntClock");
    s->refreshed = moment_find(kept, "refreshedAt", "refreshedClock");
    if (!reason || !reason_parse(reason, &s->reason)) s->reason = REASON_NONE;
    take_text(kept, "rule", s->rule, sizeof s->rule);
}

void refresh_state_parse(const struct json *health, const char *print, struct refresh_state *s)
{
    const struct json *kept = json_member(health, "refresh");

    *s = (struct refresh_state){.standing = REFRESH_FINE};
    take_text(kept, "lease.id", s->lease, sizeof s->lease);
    if (s->lease[0]) s->leased = moment_find(kept, "lease.at", "lease.clock");
    take_text(kept, "of", s->of, sizeof s->of);
    if (!strcmp(s->of, print)) parse_token(kept, s);
    snprintf(s->of, sizeof s->of, "%s", print);
}

static void put_moment(struct patch *p, const char *date, const char *clock, const struct moment *m)
{
    char text[MOMENT_CLOCK_BYTES];

    if (!m->at_ms) return;
    patch_set_date(p, date, m->at_ms);
    patch_set_string(p, clock, moment_print_clock(m, text));
}

static void put_token(struct patch *p, const struct refresh_state *s, int64_t next_at_ms)
{
    patch_set_string(p, "of", s->of);
    if (s->standing != REFRESH_FINE) patch_set_string(p, "standing", refresh_standing_word(s->standing));
    if (s->failures) {
        patch_set_int(p, "failures", s->failures);
        patch_set_string(p, "reason", reason_word(s->reason));
        patch_set_string(p, "rule", s->rule);
        put_moment(p, "failedAt", "failedClock", &s->failed);
        patch_set_date(p, "nextAt", next_at_ms);
    }
    put_moment(p, "learntAt", "learntClock", &s->learnt);
    put_moment(p, "refreshedAt", "refreshedClock", &s->refreshed);
}

struct json *refresh_state_print(const struct refresh_state *s, int64_t next_at_ms)
{
    int keeps_token = s->standing != REFRESH_FINE || s->failures || s->learnt.at_ms || s->refreshed.at_ms;
    struct json *object = json_object_new();
    struct patch p = {0};

    if (keeps_token) put_token(&p, s, next_at_ms);
    if (s->lease[0]) {
        patch_set_string(&p, "lease.id", s->lease);
        put_moment(&p, "lease.at", "lease.clock", &s->leased);
    }
    if (!p.field_count || !object || !patch_is_sound(&p) || !patch_apply(object, &p)) {
        json_free(object);
        object = NULL;
    }
    patch_fini(&p);
    return object;
}
