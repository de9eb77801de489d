#include "base/fault.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[FAULT_END] = {
    "",
#define FAULT(name, text) #name,
#include "base/fault.def"
#undef FAULT
};
enum fault fault_armed = FAULT_NONE;

enum err_code fault_arm(struct err *err)
{
    const char *name = getenv("TH_FAULT_POINT");

    fault_armed = FAULT_NONE;
    if (!name || !*name) return ERR_OK;
    for (int i = 1; i < FAULT_END; i++)
        if (!strcmp(names[i], name)) fault_armed = (enum fault)i;
    return fault_armed ? ERR_OK : err_set(err, ERR_CONFIG, "TH_FAULT_POINT", "there is no point \"%s\"", name);
}

void fault_die(void)
{
    raise(SIGKILL);
}
