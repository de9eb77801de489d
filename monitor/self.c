#include "self.h"
#include "base/clock.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum err_code self_name(char owner[LEASE_OWNER_BYTES], unsigned *salt, struct err *err)
{
    unsigned char dice[4];
    char host[100] = "";
    enum err_code rc = crypto_random(dice, sizeof dice, err);

    if (rc != ERR_OK) return rc;
    gethostname(host, sizeof host - 1);
    snprintf(owner, LEASE_OWNER_BYTES, "%s:%d:%02x%02x%02x%02x", host, (int)getpid(), dice[0], dice[1], dice[2],
             dice[3]);
    memcpy(salt, dice, sizeof *salt);
    return ERR_OK;
}

struct json *self_describe(void)
{
    struct json *j = json_object_new();
    char host[128] = "";

    gethostname(host, sizeof host - 1);
    json_set(j, "host", json_new_string(host));
    json_set(j, "pid", json_new_int(getpid()));
    json_set(j, "startedAt", json_new_date(clock_now_ms()));
    return j;
}
