/* Time. Wall times are int64 Unix milliseconds (names end in _ms or _at_ms);
 * deadlines and TTLs use the monotonic clock (names hold mono). 0 = none. */
#ifndef TH_CLOCK_H
#define TH_CLOCK_H
#include <stddef.h>
#include <stdint.h>

enum { CLOCK_ISO_BYTES = 80 };

/** clock_now_ms(): wall time, Unix ms. Blocks: never (vDSO). */
int64_t clock_now_ms(void);
/** clock_mono_ms(): monotonic ms since boot, the same in all processes of the host. */
int64_t clock_mono_ms(void);
/** clock_mono_ns(): the same clock in ns, for measuring. */
int64_t clock_mono_ns(void);
/** clock_boot_ms(): ms since boot, those included in which the host was asleep. Not stepped by anybody. */
int64_t clock_boot_ms(void);
/** clock_format(at_ms, out): ISO 8601 UTC with milliseconds, "2026-01-02T03:04:05.678Z".
 *  Years outside 0000..9999 give "-". Returns out. */
const char *clock_format(int64_t at_ms, char out[CLOCK_ISO_BYTES]);
/** clock_parse(text, &at_ms): 1 if ${text} is ISO 8601 with date, time, optional
 *  fraction (beyond ms cut off) and Z, ±hh:mm or ±hhmm (Graph writes +0000); second 60 is the next minute's first; else 0
 *  and at_ms untouched. */
int clock_parse(const char *text, int64_t *at_ms);

#endif
