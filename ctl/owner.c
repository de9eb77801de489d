/* Whose the service's files are. */
#include "ctl.h"
#include <libgen.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int ctl_owner_name(const char *path, char *owner, size_t size)
{
    struct passwd *user;
    struct stat st;

    if (stat(path, &st) != 0) return 0;
    user = getpwuid(st.st_uid);
    if (user)
        snprintf(owner, size, "%s", user->pw_name);
    else
        snprintf(owner, size, "#%u", (unsigned)st.st_uid);
    return 1;
}

int ctl_foreign_owner(const char *file, char *owner, size_t size)
{
    char folder[4096];
    const char *name;
    struct stat st;

    snprintf(folder, sizeof folder, "%s", file);
    name = dirname(folder);
    return geteuid() == 0 && stat(name, &st) == 0 && st.st_uid != 0 && ctl_owner_name(name, owner, size);
}

const char *ctl_state_file(const struct config *cfg)
{
    return strncmp(cfg->store_uri, "sqlite:", 7) ? cfg->keys_file : cfg->store_uri + 7;
}

int ctl_may_touch(const char *file)
{
    char owner[64];

    if (!ctl_foreign_owner(file, owner, sizeof owner)) return 1;
    ctl_complain("%s: this belongs to %s: run sudo -u %s token-healthctl …", file, owner, owner);
    return 0;
}
