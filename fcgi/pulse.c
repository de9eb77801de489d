#include "pulse.h"
#include "base/clock.h"
#include <stddef.h>
#include <sys/mman.h>

struct pulse *pulse_map(int count)
{
    void *at =
        mmap(NULL, (size_t)count * sizeof(struct pulse), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

void pulse_reset(struct pulse *pulse)
{
    atomic_store(&pulse->is_open, 0);
    pulse_move(pulse);
}

void pulse_move(struct pulse *pulse)
{
    atomic_store_explicit(&pulse->moved_mono_ms, clock_mono_ms(), memory_order_relaxed);
}

void pulse_count(struct pulse *pulse)
{
    atomic_fetch_add_explicit(&pulse->request_count, 1, memory_order_relaxed);
    pulse_move(pulse);
}

int64_t pulse_silence(const struct pulse *pulse)
{
    return clock_mono_ms() - atomic_load_explicit(&pulse->moved_mono_ms, memory_order_relaxed);
}

int64_t pulse_max_requests(int64_t most, int slot, int count)
{
    int64_t less = count > 0 ? most / 2 * (slot % count) / count : 0;

    return most == 0 ? 0 : most - less;
}
