/* Files and their permissions, keys, the clock, and whether the responder runs: what the host has to provide. */
#include "base/clock.h"
#include "doctor.h"
#include "token/apikey.h"
#include <errno.h>
#include <libgen.h>
#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

/* Root's files in the service's folder are not the service's to read. */
static void check_user(struct checkup *c, const char *folder)
{
    char text[512], advice[256];
    struct passwd *owner;
    struct stat st;

    if (stat(folder, &st) != 0) {
        snprintf(text, sizeof text, "%s: %s", folder, strerror(errno));
        doctor_tell(c, FINDING_BAD, "state", text, "make the folder, and give it to the user that the service runs as");
        return;
    }
    owner = getpwuid(st.st_uid);
    snprintf(text, sizeof text, "%s belongs to %s", folder, owner ? owner->pw_name : "nobody known");
    snprintf(advice, sizeof advice, "run it as that user: sudo -u %s token-healthctl …",
             owner ? owner->pw_name : "USER");
    doctor_tell(c, geteuid() == 0 && st.st_uid != 0 ? FINDING_WARN : FINDING_OK, "state", text, advice);
    if (access(folder, W_OK | X_OK) != 0) {
        snprintf(text, sizeof text, "%s cannot be written to: %s", folder, strerror(errno));
        doctor_tell(c, FINDING_BAD, "state", text, advice);
    }
}

void doctor_files(struct checkup *c)
{
    const struct config *cfg = c->ctl->cfg;
    char folder[4096];

    snprintf(folder, sizeof folder, "%s", ctl_state_file(cfg));
    check_user(c, dirname(folder));
}

void doctor_keys(struct checkup *c)
{
    const struct config *cfg = c->ctl->cfg;
    struct apikeys *keys = NULL;
    struct err err = {0};
    char text[160], advice[512];
    enum err_code rc;

    if (secret_is_empty(&cfg->encryption_key))
        doctor_tell(c, FINDING_BAD, "master key", "there is none",
                    "set [encryption] key_file to a file with the application's TOKEN_ENCRYPTION_KEY");
    else if (cfg->encryption_key.len < 16)
        doctor_tell(c, FINDING_WARN, "master key", "it is shorter than 16 bytes",
                    "see whether it was cut: it must be the application's, byte for byte");
    else
        doctor_tell(c, FINDING_OK, "master key", "there is one", NULL);
    rc = apikey_load(cfg->keys_file, &keys, &err);
    snprintf(text, sizeof text, "%d in %.100s", rc == ERR_OK ? apikey_count(keys) : 0, cfg->keys_file);
    doctor_access_advice(cfg->keys_file, "token-healthctl key create --name NAME --scopes read makes one", advice,
                         sizeof advice);
    if (doctor_result(c, "API keys", rc, &err, text, advice) && apikey_count(keys) == 0)
        doctor_tell(c, FINDING_WARN, "API keys", "there is none: nobody can use the API",
                    "token-healthctl key create --name NAME --scopes read");
    apikey_free(keys);
}

void doctor_clock(struct checkup *c)
{
    struct timex state = {0};
    char now[CLOCK_ISO_BYTES], text[160];
    int is_kept = adjtimex(&state) != TIME_ERROR && !(state.status & STA_UNSYNC);

    clock_format(clock_now_ms(), now);
    snprintf(text, sizeof text, "%s, %s", now, is_kept ? "kept by NTP" : "not kept by NTP");
    doctor_tell(c, is_kept ? FINDING_OK : FINDING_WARN, "clock", text,
                "tokens are judged by it: run systemd-timesyncd or chrony, unless the host keeps it");
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ok;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ok = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

static int connect_tcp(const char *where)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
    char host[256];
    const char *colon = strrchr(where, ':');
    int fd = -1, ok = 0;

    where += *where == '[';
    snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - where) : 0, where);
    host[strcspn(host, "]")] = '\0';
    if (colon && getaddrinfo(host, colon + 1, &hints, &info) == 0) {
        fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
        ok = fd >= 0 && connect(fd, info->ai_addr, info->ai_addrlen) == 0;
        freeaddrinfo(info);
    }
    if (fd >= 0) close(fd);
    return ok;
}

void doctor_responder(struct checkup *c)
{
    const char *where = c->ctl->cfg->listen;
    char text[512];
    int answers = strncmp(where, "unix:", 5) ? connect_tcp(where) : connect_unix(where + 5);

    if (!strncmp(where, "fd:", 3)) return; /* whoever gives the socket knows its place */
    snprintf(text, sizeof text, "%s%s%s%s", where, answers ? ": a responder listens" : ": nobody listens",
             answers ? "" : ", or you may not connect: ", answers ? "" : strerror(errno));
    doctor_tell(c, answers ? FINDING_OK : FINDING_WARN, "responder", text,
                "systemctl start token-health-fcgi, or run token-health-fcgi");
}
