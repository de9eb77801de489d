/* Points in time that can be compared although clocks are set, drift and differ between hosts. A moment is the wall clock
 * together with the monotonic clock of the boot in which it was read. Between two moments of one boot the monotonic clock counts,
 * which no step of the wall clock touches; between two boots (hosts, restarts) only the wall clocks are left, which may
 * differ by LIMIT_CLOCK_SKEW_MS: so much is taken off, so that nothing ever seems longer ago than it is. */
#ifndef TH_MOMENT_H
#define TH_MOMENT_H
#include "base/json.h"
#include <stdint.h>

struct moment {
    int64_t at_ms;   /* Unix ms; 0: never */
    int64_t mono_ms; /* monotonic ms of that boot */
    uint64_t boot;   /* which boot of which host; 0: not known */
};
enum { MOMENT_CLOCK_BYTES = 40 };

/** moment_now(): this very moment. Reads the boot's id once a process. */
struct moment moment_now(void);
/** moment_elapsed_ms(since, now): at least this long ago; 0 when it may be just now; -1 when the clocks contradict each other
 *  (${since} lies in the future): start again from ${now}. Pure. */
int64_t moment_elapsed_ms(const struct moment *since, const struct moment *now);
/** moment_print_clock(m, out), moment_parse_clock(text, m): boot and mono_ms as text for a document, "0011aabbccddeeff:12345";
 *  text that is none gives boot 0. */
const char *moment_print_clock(const struct moment *m, char out[MOMENT_CLOCK_BYTES]);
void moment_parse_clock(const char *text, struct moment *m);
/** moment_find(object, date, clock): a moment in a document: the paths of its date and of the text that moment_print_clock made; never
 *  if there is no such date. */
struct moment moment_find(const struct json *object, const char *date, const char *clock);

#endif
