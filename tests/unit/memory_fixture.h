/* Is a secret still in the memory of this process, freed or not? What is looked for is kept with all its bits inverted, so that
 * the search does not find itself. */
#ifndef TH_MEMORY_FIXTURE_H
#define TH_MEMORY_FIXTURE_H
#include "base/secret.h"
#include "cmocka_all.h"
#include <fcntl.h>
#include <unistd.h>

enum { FIXTURE_SHADOW_BYTES = 1 << 30 }; /* larger is a sanitizer's own bookkeeping */

static inline int fixture_page_holds(const unsigned char *page, size_t size, const unsigned char *inverted, size_t len)
{
    const unsigned char *at = page, *end = page + size;

    while ((size_t)(end - at) >= len && (at = memchr(at, ~inverted[0] & 255, (size_t)(end - at) - len + 1)) != NULL) {
        size_t same = 0;

        while (same < len && (at[same] ^ inverted[same]) == 0xff)
            same++;
        if (same == len) return 1;
        at++;
    }
    return 0;
}

/** fixture_memory_holds(inverted, len): 1 if the writable memory of this process, freed or not, holds the needle. */
static inline int fixture_memory_holds(const unsigned char *inverted, size_t len)
{
    static unsigned char page[4096 + 64]; /* with the start of the next one; wiped, so that it is not found later */
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), found = 0;
    char line[512];

    assert_non_null(maps);
    assert_true(mem >= 0);
    while (!found && fgets(line, sizeof line, maps)) {
        unsigned long from = 0, to = 0;
        char mode[8] = "";

        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || strncmp(mode, "rw", 2) != 0) continue;
        if (to - from > FIXTURE_SHADOW_BYTES) continue;
        for (unsigned long at = from; at < to && !found; at += 4096) {
            ssize_t got = pread(mem, page, 4096 + len, (off_t)at);

            found = got > 0 && fixture_page_holds(page, (size_t)got, inverted, len);
            secret_wipe(page, sizeof page);
        }
    }
    fclose(maps);
    close(mem);
    return found;
}

/** fixture_inverted(inverted, len): the secret itself; the caller's. */
static inline struct secret fixture_inverted(const unsigned char *inverted, size_t len)
{
    struct secret s = {0};

    assert_int_equal(secret_new(&s, len, NULL), ERR_OK);
    for (size_t i = 0; i < len; i++)
        secret_room(&s)[i] = (unsigned char)~inverted[i];
    return s;
}

#endif
