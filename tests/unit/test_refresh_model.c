/* Random histories of one account whose tokens are refreshed by several hosts: processes that die or stop with the lease in their
 * hands, answers that get lost, a provider that is away, hosts that restart and whose clocks differ or are set. The provider knows
 * the true time and which refresh token is good; what must never happen is checked at every call, and that all ends well after
 * every history. */
#include "cmocka_all.h"
#include "health/refresh.h"
#include "token/crypto.h"
#include <time.h>

enum {
    HISTORIES = 200000,
    AS_JSON = 32,
    STEPS_MAX = 24,
    HOSTS = 3,
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE
};
enum { SKEW = 5 * MINUTE, LEASE = 70 * SECOND, CONFIRM = MINUTE, SWEEP = 30 * MINUTE };
#define DAY (INT64_C(24) * HOUR)
static const int64_t epoch = INT64_C(1800000000000);

static const struct refresh_policy policies[] = {
    {.model = REFRESH_TOKEN, .rotates = 1, .window_start_s = 5400, .window_end_s = 2400}, /* X */
    {.model = REFRESH_TOKEN, .rotates = 1, .window_start_s = 6 * 3600, .window_end_s = 2 * 3600},
    {.model = REFRESH_TOKEN, .rotates = 0, .window_start_s = 1800, .window_end_s = 600},
    {.model = REFRESH_EXTEND, .min_age_s = 86400, .window_start_s = 14 * 86400, .window_end_s = 3 * 86400},
};
static const int64_t lives[] = {2 * HOUR, DAY, HOUR, 60 * DAY};

struct host {
    uint64_t boot;
    int64_t booted, wall_offset;
};

/* What is stored, as JSON where the code keeps it. */
struct document {
    int token;          /* which the refresh is asked with */
    int64_t expires_at; /* 0: not known */
    struct moment since;
    int64_t since_true;
    struct json
        *health; /* every AS_JSON-th history stores the state as the store does, the others as it is: it is quicker */
    struct refresh_state state;
    int state_token;
};

/* A call that somebody is making, or was stopped in front of. */
struct call {
    int is_under_way, token, is_stopped, host;
    char lease[REFRESH_LEASE_BYTES];
    int64_t until;
};

struct world {
    uint64_t random, history;
    const struct refresh_policy *policy;
    int64_t life;
    int host_count; /* one, whose clock is set at will while it runs; or several within twice SKEW of each other, that restart */
    struct host hosts[HOSTS];
    uint64_t boots;
    int64_t now; /* true time */
    struct document doc;
    struct call call;
    /* the provider's */
    int good, issued, is_away, is_revoked;
    int64_t access_until;
    /* the model's, of doc.token */
    int uses;
    int64_t failed; /* the last failure that was written down; -1: none */
    int refusals, leases;
};

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (w->random * UINT64_C(0x2545F4914F6CDD1D) >> 11) % below;
}

static struct moment look(const struct world *w, int host)
{
    const struct host *h = &w->hosts[host];

    return (struct moment){epoch + w->now + h->wall_offset, w->now - h->booted, h->boot};
}

static void restart_host(struct world *w, int host)
{
    w->hosts[host].boot = ++w->boots;
    w->hosts[host].booted = w->now - (int64_t)draw(w, HOUR);
    if (w->call.host == host) w->call.is_under_way = 0;
}

static int is_refused(const struct world *w)
{
    return w->is_revoked || w->now >= w->access_until;
}

static const char *print_of(int token)
{
    static char text[16];

    snprintf(text, sizeof text, "token-%d", token);
    return text;
}

static void broken_promise(const struct world *w, const struct refresh_state *s, const char *promise)
{
    fail_msg("history %llu at %lld s, model %ld: %s\n  token %d of %d, used %d times; access token for %lld s, by its "
             "date for "
             "%lld s; %s, %d failures, lease \"%s\"",
             (unsigned long long)w->history, (long long)(w->now / SECOND), (long)(w->policy - policies), promise,
             w->doc.token, w->good, w->uses, (long long)(w->access_until - w->now) / SECOND,
             w->doc.expires_at ? (long long)(w->doc.expires_at - epoch - w->now) / SECOND : -1,
             refresh_standing_word(s->standing), s->failures, s->lease);
}

static void store_state(struct world *w, const struct refresh_state *s)
{
    w->doc.state = *s;
    w->doc.state_token = w->doc.token;
    if (w->history % AS_JSON) return;
    json_free(w->doc.health);
    w->doc.health = json_object_new();
    json_set(w->doc.health, "refresh", refresh_state_print(s, 0));
}

static void read_state(const struct world *w, struct refresh_state *s)
{
    const struct refresh_state *kept = &w->doc.state;

    if (w->history % AS_JSON == 0) {
        refresh_state_parse(w->doc.health, print_of(w->doc.token), s);
        return;
    }
    *s = (struct refresh_state){.leased = kept->leased};
    if (w->doc.state_token == w->doc.token) *s = *kept;
    memcpy(s->lease, kept->lease, sizeof s->lease);
}

static void begin_token(struct world *w, int host)
{
    w->doc.since = look(w, host);
    w->doc.since_true = w->now;
    w->uses = w->refusals = 0;
    w->failed = -1;
}

/* ---- the provider */

enum said { SAID_YES, SAID_NO, SAID_NOTHING_SENT, SAID_NOTHING };

/* What the provider does with a refresh, and what of its answer arrives. */
static enum said provider_refreshes(struct world *w, int token, int *new_token)
{
    int arrives = draw(w, 5) != 0;

    if (w->is_away) return draw(w, 2) ? SAID_NOTHING : SAID_NOTHING_SENT;
    if (w->policy->model == REFRESH_EXTEND ? is_refused(w) : token != w->good) {
        if (w->policy->rotates) w->is_revoked = 1; /* used again: the family dies */
        return arrives ? SAID_NO : SAID_NOTHING;
    }
    w->access_until = w->now + w->life;
    if (w->policy->rotates) w->good = ++w->issued;
    *new_token = w->good;
    return arrives ? SAID_YES : SAID_NOTHING;
}

/* ---- our side */

static void check_call(const struct world *w, const struct refresh_state *s)
{
    int refused = is_refused(w);
    int64_t window = w->doc.expires_at - w->policy->window_start_s * 1000, left = w->doc.expires_at - epoch - w->now;
    int64_t waited = w->failed < 0 ? INT64_MAX : w->now - w->failed;
    int is_last = refused || (w->doc.expires_at && left < REFRESH_LAST_CHANCE_MS);

    if (!refused && w->doc.expires_at && epoch + w->now < window) broken_promise(w, s, "refreshed early");
    if (w->policy->rotates && w->uses && !is_last) broken_promise(w, s, "used again before the last chance");
    if (w->now - w->doc.since_true < w->policy->min_age_s * 1000) broken_promise(w, s, "refreshed too young");
    if (w->call.is_under_way && !w->call.is_stopped) broken_promise(w, s, "refreshed by two at once");
    if (w->call.is_under_way && w->policy->rotates && !is_last) broken_promise(w, s, "refreshed while another may");
    if (waited < 12 * MINUTE && !(refused && w->refusals == 1 && waited >= CONFIRM))
        broken_promise(w, s, "tried again too soon");
}

static void end_call(struct world *w)
{
    static const enum refresh_end ends[] = {REFRESH_DONE, REFRESH_REFUSED, REFRESH_UNDONE, REFRESH_AMBIGUOUS};
    int host = (int)draw(w, (uint64_t)w->host_count), new_token = w->call.token;
    struct moment now = look(w, host);
    struct refresh_state s;
    enum said said = provider_refreshes(w, w->call.token, &new_token);

    w->uses += w->call.token == w->doc.token && said != SAID_NOTHING_SENT;
    w->call.is_under_way = 0;
    if (draw(w, 12) == 0) return; /* died with the answer in hand, or before */
    read_state(w, &s);
    if (w->call.token != w->doc.token) return; /* somebody else's token is in its place */
    if (said == SAID_YES) {
        w->doc.token = new_token;
        w->doc.expires_at = draw(w, 8) ? epoch + w->access_until : 0;
        if (w->policy->rotates || w->policy->model == REFRESH_EXTEND) begin_token(w, host);
        w->failed = -1;
        w->refusals = 0;
        store_state(w, &(struct refresh_state){.refreshed = now});
        return;
    }
    if (strcmp(s.lease, w->call.lease) != 0) return; /* taken over: nothing of ours to write */
    if (said == SAID_NO && s.standing != REFRESH_DEAD) w->refusals = 0;
    w->refusals += said == SAID_NO;
    if (said != SAID_NO && w->refusals == 1) w->refusals = 2; /* the confirmation was tried */
    w->failed = w->now;
    refresh_fail(&s, w->policy, ends[said], REASON_TIMEOUT, "rule", &now);
    store_state(w, &s);
}

static struct refresh_decision check_account(struct world *w, int host)
{
    struct refresh_state s;
    struct refresh_question q = {.policy = w->policy,
                                 .state = &s,
                                 .is_refused = is_refused(w),
                                 .expires_at_ms = w->doc.expires_at,
                                 .provider_now_ms = epoch + w->now,
                                 .now = look(w, host),
                                 .token_since = w->doc.since,
                                 .spread = w->history,
                                 .lease_ms = LEASE,
                                 .confirm_interval_ms = CONFIRM};
    struct refresh_decision d;

    read_state(w, &s);
    d = refresh_decide(&q);
    if (d.step != REFRESH_GO) return d;
    check_call(w, &s);
    w->call = (struct call){
        .is_under_way = 1, .token = w->doc.token, .host = host, .until = w->now + (int64_t)draw(w, LEASE)};
    if (draw(w, 8) == 0) { /* SIGSTOP */
        w->call.is_stopped = 1;
        w->call.until = w->now + (int64_t)draw(w, 3 * HOUR);
    }
    snprintf(w->call.lease, sizeof w->call.lease, "lease-%d", ++w->leases);
    refresh_take_lease(&s, &q, w->call.lease);
    store_state(w, &s);
    if (draw(w, 8) == 0) w->call.is_under_way = 0; /* killed in front of the call */
    return d;
}

static void pass_time(struct world *w, int64_t ms)
{
    int64_t to = w->now + ms;

    if (w->call.is_under_way && w->call.until <= to) {
        w->now = w->call.until > w->now ? w->call.until : w->now;
        end_call(w);
    }
    w->now = to;
}

static void set_clock(struct world *w, int host)
{
    w->hosts[host].wall_offset =
        w->host_count == 1 ? (int64_t)draw(w, 2 * HOUR) - HOUR : (int64_t)draw(w, 2 * SKEW) - SKEW;
}

static void step(struct world *w)
{
    static const int64_t spans[] = {30 * SECOND, 2 * MINUTE, 20 * MINUTE, 2 * HOUR, 12 * HOUR};
    int host = (int)draw(w, (uint64_t)w->host_count);

    switch (draw(w, 12)) {
    case 0:
        w->is_away = !w->is_away;
        break;
    case 1:
        set_clock(w, host);
        break;
    case 2:
        if (w->host_count > 1) restart_host(w, host);
        break;
    case 3: /* the user connects anew */
        if (w->call.is_under_way) break;
        w->doc.token = w->good = ++w->issued;
        w->is_revoked = 0;
        w->access_until = w->now + w->life;
        w->doc.expires_at = draw(w, 4) ? epoch + w->access_until : 0;
        begin_token(w, host);
        break;
    default:
        check_account(w, host);
    }
    pass_time(w, (int64_t)draw(w, (uint64_t)(draw(w, 3) ? spans[draw(w, 5)] : w->life)));
}

/* The provider is back and nobody dies any more: the token is refreshed, or known to be dead and refused. */
static void ends_well(struct world *w)
{
    int64_t end = w->now + 2 * w->life + DAY;
    struct refresh_state s;

    w->is_away = 0;
    if (w->call.is_under_way) pass_time(w, 3 * HOUR);
    while (w->now < end) {
        int token = w->doc.token;
        int64_t expires_at = w->doc.expires_at;

        check_account(w, (int)draw(w, (uint64_t)w->host_count));
        pass_time(w, SWEEP);
        if (w->doc.token != token || w->doc.expires_at != expires_at) return;
    }
    read_state(w, &s);
    if (is_refused(w) && (w->policy->model == REFRESH_EXTEND || s.standing == REFRESH_DEAD)) return;
    broken_promise(w, &s, "neither refreshed nor found to be dead");
}

static void play(uint64_t history)
{
    struct world w = {.random = history * UINT64_C(0x9E3779B97F4A7C15) + 1, .history = history};
    int which = (int)draw(&w, 4);

    w.policy = &policies[which];
    w.life = lives[which];
    w.host_count = draw(&w, 2) ? HOSTS : 1;
    for (int i = 0; i < w.host_count; i++) {
        restart_host(&w, i);
        set_clock(&w, i);
    }
    w.doc.token = w.good = w.issued = 1;
    w.access_until = w.life;
    w.doc.expires_at = draw(&w, 4) ? epoch + w.access_until : 0;
    w.doc.health = json_object_new();
    begin_token(&w, 0);
    for (int left = 1 + (int)draw(&w, STEPS_MAX); left > 0; left--)
        step(&w);
    ends_well(&w);
    json_free(w.doc.health);
}

static void no_history_refreshes_early_or_twice_and_every_one_ends_well(void **state)
{
    clock_t began = clock();

    (void)state;
    for (uint64_t history = 1; history <= HISTORIES; history++)
        play(history);
    printf("FIGURE: %d random histories of refreshes in %.1f s: none early, no refresh token used twice before its "
           "last chance\n",
           HISTORIES, (double)(clock() - began) / CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_history_refreshes_early_or_twice_and_every_one_ends_well)};

    return crypto_init(NULL) == ERR_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
