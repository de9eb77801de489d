/* The spool's file as slots of bytes: opened, followed when it is replaced, locked slot by slot, written page by page. Knows
 * nothing of what is in a slot but that a first page of blanks is a free one. Private to spool.c. */
#ifndef TH_SPOOL_FILE_H
#define TH_SPOOL_FILE_H
#include "base/err.h"
#include "base/limits.h"
#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

/* Room for two secrets of LIMIT_TOKEN_BYTES, sealed and in Base64. A slot starts at a multiple of its size. */
enum { SPOOL_PAGE_BYTES = 4096, SPOOL_PAGES = 7, SPOOL_SLOT_BYTES = SPOOL_PAGES * SPOOL_PAGE_BYTES };

struct spool_file {
    char path[PATH_MAX];
    int fd; /* -1: none */
    dev_t device;
    ino_t inode;
    pid_t pid;
    uint64_t generation; /* of fd: another file, another number */
    unsigned char mine[LIMIT_SPOOL_SLOTS];
};

/** spool_file_ready(f, create, err): f->fd is the file that the path names now. The old one stays open if the new one cannot
 *  be. Fails: ERR_NOT_FOUND (none, and not to be made), ERR_IO, ERR_NOSPACE, ERR_INTERNAL (after a fork). */
enum err_code spool_file_ready(struct spool_file *f, int create, struct err *err);
/** spool_file_is_named(f): the path still names f->fd, as far as can be told. */
int spool_file_is_named(const struct spool_file *f);
void spool_file_close(struct spool_file *f);

/** spool_file_slots(f): slots that have begun, at most LIMIT_SPOOL_SLOTS. */
int spool_file_slots(const struct spool_file *f);
/** spool_file_claim(f, slot): take the slot's lock: 1, or 0 if it is held, by this process too. Never waits. */
int spool_file_claim(struct spool_file *f, int slot);
void spool_file_release(struct spool_file *f, int slot);
/** spool_file_take(f, &slot, err): claim a free slot. Fails: ERR_NOSPACE, ERR_IO. */
enum err_code spool_file_take(struct spool_file *f, int *slot, struct err *err);

/** spool_file_read(f, slot, bytes): what is beyond the file's end reads as blanks. 0 if the disk does not give it. */
int spool_file_read(const struct spool_file *f, int slot, char bytes[SPOOL_SLOT_BYTES]);
/** spool_file_write(f, slot, bytes, err): from the last page to the first, each at once, then to disk. */
enum err_code spool_file_write(const struct spool_file *f, int slot, const char bytes[SPOOL_SLOT_BYTES],
                               struct err *err);
/** spool_file_blank(f, slot, page): make one page blanks; not synced. */
void spool_file_blank(const struct spool_file *f, int slot, int page);
int spool_file_is_blank(const char page[SPOOL_PAGE_BYTES]);
/** spool_file_set_aside(f, bytes): append to PATH.damaged and sync. 0 if it cannot be, or that file is full. */
int spool_file_set_aside(const struct spool_file *f, const char bytes[SPOOL_SLOT_BYTES]);
int64_t spool_file_bytes(const struct spool_file *f);
int64_t spool_file_bytes_aside(const struct spool_file *f);

#endif
