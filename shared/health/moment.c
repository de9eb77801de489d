#include "health/moment.h"
#include "base/clock.h"
#include "base/limits.h"
#include "store/account.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* FNV-1a: the id only has to differ between boots. */
static uint64_t hash(const char *text)
{
    uint64_t sum = UINT64_C(14695981039346656037);

    for (; *text; text++)
        sum = (sum ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return sum ? sum : 1;
}

/* Where /proc is hidden the host's name must do: a restart is then seen by its monotonic clock, which begins anew. */
static uint64_t read_boot(void)
{
    char id[64] = "";
    struct utsname host;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (file) {
        if (!fgets(id, sizeof id, file)) id[0] = '\0';
        fclose(file);
    }
    if (id[0]) return hash(id);
    return uname(&host) == 0 ? hash(host.nodename) : 1;
}

struct moment moment_now(void)
{
    static uint64_t boot;

    if (!boot) boot = read_boot();
    return (struct moment){clock_now_ms(), clock_mono_ms(), boot};
}

int64_t moment_elapsed_ms(const struct moment *since, const struct moment *now)
{
    int64_t wall_ms = now->at_ms - since->at_ms;

    if (since->boot && since->boot == now->boot)
        return now->mono_ms >= since->mono_ms ? now->mono_ms - since->mono_ms : -1;
    if (wall_ms < -LIMIT_CLOCK_SKEW_MS) return -1;
    return wall_ms > LIMIT_CLOCK_SKEW_MS ? wall_ms - LIMIT_CLOCK_SKEW_MS : 0;
}

const char *moment_print_clock(const struct moment *m, char out[MOMENT_CLOCK_BYTES])
{
    snprintf(out, MOMENT_CLOCK_BYTES, "%016" PRIx64 ":%" PRId64, m->boot, m->mono_ms);
    return out;
}

void moment_parse_clock(const char *text, struct moment *m)
{
    char end;

    m->boot = 0;
    m->mono_ms = 0;
    if (text && sscanf(text, "%16" SCNx64 ":%19" SCNd64 "%c", &m->boot, &m->mono_ms, &end) == 2 && m->mono_ms >= 0)
        return;
    m->boot = 0;
    m->mono_ms = 0;
}

struct moment moment_find(const struct json *object, const char *date, const char *clock)
{
    struct moment m = {0};

    if (!account_date(json_get(object, date), &m.at_ms) || m.at_ms <= 0) return (struct moment){0};
    moment_parse_clock(json_string(json_get(object, clock)), &m);
    return m;
}
