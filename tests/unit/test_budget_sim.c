/* Simulated hours of many processes that share one budget, against simulated providers: the promises hold over any history. */
#include "cache/budget_rule.h"
#include "shm_fixture.h"

#define S  INT64_C(1000000000)
#define MS INT64_C(1000000)
enum { PROCESSES = 10, EACH = 4, LANES = PROCESSES * EACH, CALLS_MAX = 1000000, PROBE_MS = 15000 };

/* A provider: how it answers a call made now. */
struct world {
    struct budget_limits limits;
    int64_t quota_an_hour;            /* usage is told against it; 0: none is told */
    int64_t down_from_ns, down_to_ns; /* calls fail that begin in between */
    int64_t refresh_every_ns;         /* one is due so often; 0: never */
};
struct lane {
    int64_t at_ns;
    int is_calling, fails;
};
struct sim {
    struct world world;
    struct budget_state state;
    struct lane lanes[LANES + 1]; /* the last one makes the refreshes that are due */
    uint64_t random;
    int64_t now_ns, refresh_due_ns;
    int64_t calls, in_an_hour; /* of those made; how many of them were made in the last hour */
    int64_t refreshes, refreshes_late, refresh_wait_ns;
    int64_t failed_calls, probes_at_once, usage_highest, first_answer_ns;
};
static int64_t made_at_ns[CALLS_MAX];
static int64_t hour_from; /* index of the first call of the last hour */

static int64_t usage_percent(struct sim *sim)
{
    if (!sim->world.quota_an_hour) return -1;
    while (hour_from < sim->calls && made_at_ns[hour_from] < sim->now_ns - 3600 * S)
        hour_from++;
    int64_t percent = (sim->calls - hour_from) * 100 / sim->world.quota_an_hour;
    if (percent > sim->usage_highest) sim->usage_highest = percent;
    return percent;
}

static void end_call(struct sim *sim, struct lane *lane)
{
    struct budget_event event = {lane->fails ? BUDGET_FAILED : BUDGET_ANSWERED, (int)usage_percent(sim), 0};
    struct budget_state next;

    if (lane->fails) event.usage_percent = -1;
    if (!lane->fails && sim->now_ns >= sim->world.down_to_ns && !sim->first_answer_ns)
        sim->first_answer_ns = sim->now_ns;
    budget_rule_apply(&sim->state, &event, sim->now_ns, &next);
    sim->state = next;
    lane->is_calling = 0;
}

static void begin_call(struct sim *sim, struct lane *lane)
{
    int64_t took_ns = (20 + (int64_t)(fixture_random(&sim->random) % 280)) * MS;

    if (sim->calls >= CALLS_MAX) fail_msg("more calls than the simulation has room for");
    made_at_ns[sim->calls++] = sim->now_ns;
    lane->fails = sim->now_ns >= sim->world.down_from_ns && sim->now_ns < sim->world.down_to_ns;
    sim->failed_calls += lane->fails;
    lane->is_calling = 1;
    lane->at_ns = sim->now_ns + took_ns;
}

/* A lane asks, calls, or waits as it was told to, and a bit. Refreshes that are late are done one after another. */
static void step(struct sim *sim, struct lane *lane)
{
    int is_refresh = lane == &sim->lanes[LANES];
    struct budget_state next;
    struct budget_decision d;

    if (lane->is_calling) end_call(sim, lane);
    if (is_refresh && sim->now_ns < sim->refresh_due_ns) {
        lane->at_ns = sim->refresh_due_ns;
        return;
    }
    d = budget_rule_take(&sim->state, &sim->world.limits, is_refresh ? BUDGET_REFRESH : BUDGET_CHECK, sim->now_ns,
                         &next);
    if (d.why != BUDGET_GO) {
        int64_t wait_ns = d.wait_ms * MS + (int64_t)(fixture_random(&sim->random) % (uint64_t)(20 * MS));

        lane->at_ns = sim->now_ns + wait_ns;
        return;
    }
    sim->state = next;
    begin_call(sim, lane);
    if (!is_refresh) return;
    int64_t late_ns = sim->now_ns - sim->refresh_due_ns;
    sim->refreshes++;
    sim->refreshes_late += late_ns > 0;
    if (late_ns > sim->refresh_wait_ns) sim->refresh_wait_ns = late_ns;
    sim->refresh_due_ns += sim->world.refresh_every_ns;
    lane->is_calling = 0; /* it does not wait for the answer: the next may be due before */
    lane->at_ns = sim->refresh_due_ns > sim->now_ns ? sim->refresh_due_ns : sim->now_ns;
}

static struct sim *simulate(const struct world *world, int64_t seconds, uint64_t seed)
{
    static struct sim sim;

    memset(&sim, 0, sizeof sim);
    hour_from = 0;
    sim.world = *world;
    sim.random = seed;
    sim.now_ns = 5000 * S;
    sim.world.down_from_ns += sim.now_ns;
    sim.world.down_to_ns += sim.now_ns;
    sim.refresh_due_ns = world->refresh_every_ns ? sim.now_ns + world->refresh_every_ns : INT64_MAX;
    for (int i = 0; i <= LANES; i++)
        sim.lanes[i].at_ns = sim.now_ns + (int64_t)(fixture_random(&sim.random) % (uint64_t)(50 * MS));
    for (int64_t end_ns = sim.now_ns + seconds * S; sim.now_ns < end_ns;) {
        struct lane *first = &sim.lanes[0];

        for (int i = 1; i <= LANES; i++)
            if (sim.lanes[i].at_ns < first->at_ns) first = &sim.lanes[i];
        sim.now_ns = first->at_ns;
        step(&sim, first);
    }
    return &sim;
}

/* In no span of time, however long, more calls than the rate gives, and a burst. */
static void assert_rate_kept(const struct sim *sim, int64_t burst)
{
    int64_t interval_ns = S / sim->world.limits.calls_per_second, least = INT64_MAX;

    for (int64_t i = 0; i < sim->calls; i++) {
        int64_t level = i * interval_ns - made_at_ns[i]; /* of call i, as time */

        if (level < least) least = level;
        if (level - least > burst * interval_ns)
            fail_msg("call %lld: %lld ns beyond rate and burst", (long long)i,
                     (long long)(level - least - burst * interval_ns));
    }
}

static void the_rate_is_kept_to_and_used_and_refreshes_that_are_due_go_at_once(void **state)
{
    static const int64_t rates[] = {1, 5, 20, 60};

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        int64_t rate = rates[i], seconds = rate < 60 ? 7200 : 3600, burst = rate < 10 ? 10 : rate;
        const struct world world = {.limits = {rate, PROBE_MS}, .refresh_every_ns = 10 * S / rate};
        struct sim *sim = simulate(&world, seconds, 42 + i);

        assert_rate_kept(sim, burst);
        if (sim->calls < rate * seconds * 95 / 100)
            fail_msg("rate %lld: only %lld calls", (long long)rate, (long long)sim->calls);
        if (sim->refreshes_late || sim->refreshes < seconds * rate / 10 - 1)
            fail_msg("rate %lld: %lld refreshes, %lld late, by up to %lld ms", (long long)rate,
                     (long long)sim->refreshes, (long long)sim->refreshes_late, (long long)(sim->refresh_wait_ns / MS));
    }
}

/* More refreshes than the reserve: checks make room, and each waits for its turn in the rate only. */
static void a_flood_of_refreshes_goes_before_the_checks(void **state)
{
    const struct world world = {.limits = {20, PROBE_MS}, .refresh_every_ns = S / 19};
    struct sim *sim = simulate(&world, 3600, 7);

    (void)state;
    assert_rate_kept(sim, 20);
    if (sim->refreshes < 19 * 3600 - 100 || sim->refresh_wait_ns > 500 * MS)
        fail_msg("%lld refreshes, late by up to %lld ms", (long long)sim->refreshes,
                 (long long)(sim->refresh_wait_ns / MS));
}

static void a_quota_is_used_but_never_up_and_refreshes_still_go_at_once(void **state)
{
    static const int64_t quotas[] = {200, 2000, 20000, 60000};

    (void)state;
    for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++) {
        const struct world world = {
            .limits = {i % 2 ? 0 : 40, PROBE_MS}, .quota_an_hour = quotas[i], .refresh_every_ns = 600 * S};
        struct sim *sim = simulate(&world, 5 * 3600, 100 + i);
        int64_t hours = 5;

        if (sim->usage_highest >= 100 || sim->refreshes_late || sim->refreshes < hours * 6 - 1)
            fail_msg("quota %lld: up to %lld %% used, %lld refreshes, %lld late", (long long)quotas[i],
                     (long long)sim->usage_highest, (long long)sim->refreshes, (long long)sim->refreshes_late);
        if (sim->calls < quotas[i] * hours * 85 / 100)
            fail_msg("quota %lld: only %lld calls in %lld h", (long long)quotas[i], (long long)sim->calls,
                     (long long)hours);
    }
}

static void an_outage_costs_a_few_calls_and_ends_within_a_minute_of_its_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const struct world world = {.limits = {50, PROBE_MS}, .down_from_ns = 60 * S, .down_to_ns = 660 * S};
        struct sim *sim = simulate(&world, 800, seed);
        int64_t last_ns = 0, at_once = 0, since_ns;

        /* 40 or so under way when it breaks, then a probe at 5, 15, 35, 75 s, and each minute. */
        if (sim->failed_calls > 100) fail_msg("seed %d: %lld calls failed", (int)seed, (long long)sim->failed_calls);
        for (int64_t i = 0; i < sim->calls; i++)
            if (made_at_ns[i] > sim->world.down_from_ns + 3 * S && made_at_ns[i] < sim->world.down_to_ns) {
                if (last_ns && made_at_ns[i] - last_ns < BUDGET_OPEN_MS * MS) at_once++;
                last_ns = made_at_ns[i];
            }
        if (at_once) fail_msg("seed %d: %lld probes too early", (int)seed, (long long)at_once);
        since_ns = sim->first_answer_ns - sim->world.down_to_ns;
        if (since_ns < 0 || since_ns > 61 * S)
            fail_msg("seed %d: first answer %lld ms after the end", (int)seed, (long long)(since_ns / MS));
        if (sim->calls < 100 * 50) fail_msg("seed %d: only %lld calls", (int)seed, (long long)sim->calls);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_is_kept_to_and_used_and_refreshes_that_are_due_go_at_once),
        cmocka_unit_test(a_flood_of_refreshes_goes_before_the_checks),
        cmocka_unit_test(a_quota_is_used_but_never_up_and_refreshes_still_go_at_once),
        cmocka_unit_test(an_outage_costs_a_few_calls_and_ends_within_a_minute_of_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
