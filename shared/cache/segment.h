/* The shared-memory object behind the cache: opened, made, checked, replaced, removed. Knows the header, not
 * what the cache does with the rest. Invariants: only who holds the flock of the object that the name points
 * to fills it or unlinks the name; whatever is not exactly as it should be is replaced, never repaired; an
 * object that belongs to a stranger, or that strangers may write to, is not used. */
#ifndef TH_SEGMENT_H
#define TH_SEGMENT_H
#include "base/err.h"
#include "cache/cache_layout.h"
#include <stdint.h>

struct segment_want {
    const char *name;
    uint64_t entries;     /* of a segment made here; a power of two */
    unsigned mode;        /* exactly this, whatever the umask */
    int any_size;         /* take one with another number of entries too */
    int may_replace;      /* unlink what is not usable and make a new one */
    int64_t lock_wait_ms; /* for others who are opening it */
};
/** segment_open(want, seg, err): map the segment of that name, or a new one. Blocks: at most lock_wait_ms for the
 *  lock, and while the system clears memory. Owns: caller, segment_close. Fails: ERR_IO, ERR_NOMEM (also
 *  when /dev/shm is full). */
enum err_code segment_open(const struct segment_want *want, struct segment *seg, struct err *err);
/** segment_close(seg): unmap; an empty one is allowed. */
void segment_close(struct segment *seg);
/** segment_unlink(name, err): remove the name. Fails: ERR_NOT_FOUND, ERR_IO. */
enum err_code segment_unlink(const char *name, struct err *err);

/** What has become of a mapped segment: as it was; no longer under that name; overwritten or cut. */
enum segment_fate { SEGMENT_SAME, SEGMENT_MOVED, SEGMENT_DAMAGED };
/** segment_look(seg, name): SAME also when it cannot be told. Blocks: three system calls. */
enum segment_fate segment_look(const struct segment *seg, const char *name);

#endif
