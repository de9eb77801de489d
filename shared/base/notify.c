#include "base/notify.h"
#include "base/clock.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { STATE_BYTES = 1024 };

void notify_send(const char *format, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char state[STATE_BYTES];
    size_t len = path ? strlen(path) : 0;
    va_list args;
    int fd;

    if (len == 0 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return;
    va_start(args, format);
    vsnprintf(state, sizeof state, format, args);
    va_end(args);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') address.sun_path[0] = '\0'; /* the abstract name space, unix(7) */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}

int64_t notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid())) return 0;
    return strtoll(usec, NULL, 10) / 2000;
}

void notify_alive(void)
{
    static int64_t told_mono_ms;
    int64_t every_ms = notify_watchdog_ms(), now_ms = clock_mono_ms();

    if (!every_ms || (told_mono_ms && now_ms - told_mono_ms < every_ms / 2)) return;
    told_mono_ms = now_ms;
    notify_send("WATCHDOG=1");
}
