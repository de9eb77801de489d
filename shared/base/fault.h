/* Points at which a test can kill this process as if by power cut: the rows of fault.def. They are in every build, so that what is
 * tested is what is shipped; a point that is not armed costs a compare, and none is on the path of a check. Nobody arms one by
 * accident: it takes the environment variable TH_FAULT_POINT at the start and a configuration that sends every provider call to a
 * sandbox. */
#ifndef TH_FAULT_H
#define TH_FAULT_H
#include "base/err.h"

enum fault {
    FAULT_NONE,
#define FAULT(name, text) FAULT_##name,
#include "base/fault.def"
#undef FAULT
    FAULT_END
};
extern enum fault fault_armed;

/** fault_arm(err): arm the point that TH_FAULT_POINT names; none when it is not set. Call it only where every provider is a
 *  sandbox. Fails: ERR_CONFIG (no such point). */
enum err_code fault_arm(struct err *err);
void fault_die(void);

/** fault_point(f): if ${f} is armed: SIGKILL. */
static inline void fault_point(enum fault f)
{
    if (fault_armed == f) fault_die();
}

#endif
