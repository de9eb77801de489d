#include "store/lease.h"
#include "base/clock.h"

void lease_fini(struct lease *lease)
{
    json_free(lease->state);
    *lease = (struct lease){0};
}

int fence_holds(const struct fence *f)
{
    return !f || clock_boot_ms() < f->until_boot_ms;
}

void fence_lose(struct fence *f)
{
    f->until_boot_ms = 0;
}
