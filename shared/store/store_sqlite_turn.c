#include "base/clock.h"
#include "store/store_sqlite.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* SQLite lets its writers in by chance: one that writes without a pause keeps the others out for seconds, for they sleep longer and longer between
 * two tries. So who wants to write takes the turn first, and gives it on once it is in: who comes back meanwhile finds it taken, and is after it. */
enum { POLL_US = 200, TURN_MOST_MS = 200, ALONE_MS = 2000 };

/* The directory is what is locked: no file more, and whoever keeps this lock for long holds up nobody. */
void store_sqlite_turn_open(struct sqlite_store *s)
{
    char *dir = strdup(s->path);
    char *name = dir ? strrchr(dir, '/') : NULL;

    if (name) name[name == dir] = '\0';
    s->turn_fd = dir ? open(name ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(dir);
}

void store_sqlite_turn_close(struct sqlite_store *s)
{
    if (s->turn_fd >= 0) close(s->turn_fd);
    s->turn_fd = -1;
}

int store_sqlite_busy(void *state, int tries)
{
    const struct sqlite_store *s = state;

    (void)tries;
    if (clock_mono_ms() >= s->wait_until_mono_ms) return 0;
    usleep(POLL_US);
    return 1;
}

/* Only order is at stake: from one that has stopped with the turn in its hand it is not waited for again and again. */
void store_sqlite_turn_take(struct sqlite_store *s)
{
    const int64_t end_ms = clock_mono_ms() + TURN_MOST_MS;

    if (s->turn_fd < 0 || clock_mono_ms() < s->alone_until_mono_ms) return;
    while (flock(s->turn_fd, LOCK_EX | LOCK_NB) != 0) {
        const int64_t now_ms = clock_mono_ms();

        if (now_ms >= end_ms) s->alone_until_mono_ms = now_ms + ALONE_MS;
        if (errno != EWOULDBLOCK || now_ms >= end_ms || now_ms >= s->wait_until_mono_ms) return;
        usleep(POLL_US);
    }
}

void store_sqlite_turn_give(struct sqlite_store *s)
{
    if (s->turn_fd >= 0) flock(s->turn_fd, LOCK_UN);
}
