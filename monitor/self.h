/* Who this monitor is, to the others. */
#ifndef TH_SELF_H
#define TH_SELF_H
#include "base/json.h"
#include "store/lease.h"

/** self_name(owner, salt, err): a name that no other process has, of any host, now or later; and a number by chance. Fails: ERR_CRYPTO. */
enum err_code self_name(char owner[LEASE_OWNER_BYTES], unsigned *salt, struct err *err);
/** self_describe(): {host, pid, startedAt: now}. Owns: caller. */
struct json *self_describe(void);

#endif
