#include "cache/segment.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

/* LOOK_FLAGS: not to hang on a fifo of that name. */
enum { OPEN_TRIES = 1000, PERMISSION_BITS = 0777, LOOK_FLAGS = O_RDONLY | O_NONBLOCK };

static const char counter_names[] =
#define COUNTER(name, help) #name ";"
#include "cache/counter.def"
#undef COUNTER
    ;

static enum err_code io_error(struct err *err, const char *name, const char *what)
{
    return err_set(err, ERR_IO, name, "cannot %s the shared memory: %s", what, strerror(errno));
}

static struct cache_header header_make(uint64_t entries, uint64_t seed)
{
    struct cache_header header = {
        .magic = CACHE_MAGIC,
        .version = CACHE_LAYOUT_VERSION,
        .entry_bytes = sizeof(struct cache_entry),
        .segment_bytes = sizeof(struct cache_segment) + entries * sizeof(struct cache_entry),
        .entries = entries,
        .counters_print = XXH3_64bits(counter_names, sizeof counter_names),
        .seed = seed,
    };
    header.check = XXH3_64bits_withSeed(&header, offsetof(struct cache_header, check), seed);
    return header;
}

/* Everything but size and seed follows from the layout, so the whole header can be computed and compared. */
static int header_fits(const struct cache_header *header, off_t file_bytes)
{
    uint64_t entries = header->entries;
    if (entries < CACHE_WAYS || entries > CACHE_ENTRIES_MAX || (entries & (entries - 1)) != 0) return 0;
    struct cache_header right = header_make(entries, header->seed);
    return memcmp(&right, header, sizeof right) == 0 && (uint64_t)file_bytes == right.segment_bytes;
}

/* Bounded: a process that was stopped while it held the lock must not stop the others for good. */
static enum err_code lock_within(int fd, const struct segment_want *want, struct err *err)
{
    int64_t until_mono_ms = clock_mono_ms() + want->lock_wait_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
        if (errno != EWOULDBLOCK && errno != EINTR) return io_error(err, want->name, "lock");
        if (clock_mono_ms() >= until_mono_ms)
            return err_set(err, ERR_IO, want->name, "another process keeps the shared memory locked");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return ERR_OK;
}

static int is_named(const char *name, const struct stat *mine)
{
    struct stat named;
    int fd = shm_open(name, LOOK_FLAGS, 0);
    if (fd == -1) return 0;
    int same = fstat(fd, &named) == 0 && named.st_dev == mine->st_dev && named.st_ino == mine->st_ino;
    close(fd);
    return same;
}

/* Anybody may make files in /dev/shm: the name may have been taken by a user who wants to plant verdicts. */
static int is_trusted(const struct segment_want *want, const struct stat *st)
{
    if (!S_ISREG(st->st_mode) || (st->st_mode & PERMISSION_BITS & ~want->mode) != 0) return 0;
    uid_t me = geteuid();
    return me == 0 || st->st_uid == me || st->st_uid == 0 || group_member(st->st_gid);
}

/* Only the owner can, and the owner has done it before anybody else could open the object. */
static enum err_code mode_set(int fd, const struct segment_want *want, const struct stat *st, struct err *err)
{
    if ((st->st_mode & PERMISSION_BITS) == want->mode || fchmod(fd, want->mode) == 0 || errno == EPERM) return ERR_OK;
    return io_error(err, want->name, "set the permissions of");
}

/* Without O_CREAT first: with fs.protected_regular the kernel refuses O_CREAT on what another user made in a
 * sticky directory, even if the group may write to it. Returns -1 with errno; ENOENT and EEXIST: try again. */
static int object_open(const struct segment_want *want)
{
    int fd = shm_open(want->name, O_RDWR, 0);
    if (fd != -1 || errno != ENOENT) return fd;
    fd = shm_open(want->name, O_RDWR | O_CREAT | O_EXCL, want->mode);
    if (fd != -1) (void)fchmod(fd, want->mode); /* the umask has cut it; checked again under the lock */
    return fd;
}

static enum err_code object_map(int fd, const struct cache_header *header, const struct stat *st, struct segment *seg)
{
    void *at = mmap(NULL, header->segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return ERR_NOMEM;
    *seg = (struct segment){.at = at, .header = *header, .device = st->st_dev, .inode = st->st_ino};
    return ERR_OK;
}

/* posix_fallocate, as a sparse object would end in SIGBUS when /dev/shm is full. The header is last: who is
 * killed before leaves an object that the next one refuses. */
static enum err_code object_fill(int fd, const struct segment_want *want, const struct stat *st, struct segment *seg)
{
    struct {
        uint64_t seed;
        uint32_t generation; /* random too: a put that spans two segments must not fit by chance */
    } random;
    int failed;
    if (getentropy(&random, sizeof random) == -1) return ERR_IO;
    struct cache_header header = header_make(want->entries, random.seed);
    do {
        failed = posix_fallocate(fd, 0, (off_t)header.segment_bytes);
    } while (failed == EINTR);
    if (failed) {
        errno = failed;
        return failed == ENOSPC || failed == ENOMEM ? ERR_NOMEM : ERR_IO;
    }
    if (object_map(fd, &header, st, seg) != ERR_OK) return ERR_NOMEM;
    atomic_store(&seg->at->generation, random.generation);
    memcpy(&seg->at->header, &header, sizeof header);
    return ERR_OK;
}

/* ERR_CONFLICT: it is another layout, another size, or damaged. */
static enum err_code object_take(int fd, const struct segment_want *want, const struct stat *st, struct segment *seg)
{
    struct cache_header header;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header) return ERR_CONFLICT;
    if (!header_fits(&header, st->st_size)) return ERR_CONFLICT;
    if (!want->any_size && header.entries != want->entries) return ERR_CONFLICT;
    return object_map(fd, &header, st, seg);
}

/* ERR_CONFLICT: the name points, or will now point, to something else; open it again. */
static enum err_code object_settle(int fd, const struct segment_want *want, struct segment *seg, struct err *err)
{
    struct stat st;
    enum err_code code = lock_within(fd, want, err);
    if (code != ERR_OK) return code;
    if (fstat(fd, &st) == -1) return io_error(err, want->name, "examine");
    if (!is_named(want->name, &st)) return ERR_CONFLICT;
    if (is_trusted(want, &st)) {
        int is_new = st.st_size == 0; /* its maker has not got the lock yet, or never will */
        code = mode_set(fd, want, &st, err);
        if (code != ERR_OK) return code;
        code = is_new ? object_fill(fd, want, &st, seg) : object_take(fd, want, &st, seg);
        if (code == ERR_OK) return ERR_OK;
        if (code != ERR_CONFLICT) {
            err_set(err, code, want->name, "cannot %s the shared memory: %s", is_new ? "make" : "map", strerror(errno));
            if (is_new) (void)shm_unlink(want->name);
            return code;
        }
    }
    if (!want->may_replace) return err_set(err, ERR_IO, want->name, "the shared memory is not usable");
    if (shm_unlink(want->name) == -1 && errno != ENOENT) return io_error(err, want->name, "replace");
    return ERR_CONFLICT;
}

enum err_code segment_open(const struct segment_want *want, struct segment *seg, struct err *err)
{
    *seg = (struct segment){0};
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        int fd = object_open(want);
        if (fd == -1 && (errno == ENOENT || errno == EEXIST || errno == EINTR)) continue;
        if (fd == -1) return io_error(err, want->name, "open");
        enum err_code code = object_settle(fd, want, seg, err);
        flock(fd, LOCK_UN); /* the mapping keeps the object open, and so a lock on it, beyond close() */
        close(fd);
        if (code != ERR_CONFLICT) return code;
    }
    return err_set(err, ERR_IO, want->name, "other processes replace the shared memory again and again");
}

void segment_close(struct segment *seg)
{
    if (seg->at) munmap(seg->at, seg->header.segment_bytes);
    *seg = (struct segment){0};
}

enum err_code segment_unlink(const char *name, struct err *err)
{
    const struct segment_want want = {.name = name, .lock_wait_ms = 5000};
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        struct stat st;
        int fd = shm_open(name, LOOK_FLAGS, 0);
        if (fd == -1 && errno == ENOENT) return err_set(err, ERR_NOT_FOUND, name, "there is no such shared memory");
        if (fd == -1) return io_error(err, name, "open");
        enum err_code code = lock_within(fd, &want, err);
        int is_ours = code == ERR_OK && fstat(fd, &st) == 0 && is_named(name, &st);
        if (is_ours && shm_unlink(name) == -1) code = io_error(err, name, "remove");
        close(fd);
        if (is_ours || code != ERR_OK) return code;
    }
    return err_set(err, ERR_IO, name, "other processes replace the shared memory again and again");
}

enum segment_fate segment_look(const struct segment *seg, const char *name)
{
    struct stat st;
    int fd = shm_open(name, LOOK_FLAGS, 0);
    if (fd == -1) return errno == ENOENT ? SEGMENT_MOVED : SEGMENT_SAME;
    int failed = fstat(fd, &st);
    close(fd);
    if (failed) return SEGMENT_SAME;
    int is_same = st.st_dev == seg->device && st.st_ino == seg->inode;
    /* The size first: to look into memory that was cut off is SIGBUS. */
    if (is_same && (uint64_t)st.st_size != seg->header.segment_bytes) return SEGMENT_DAMAGED;
    if (memcmp(&seg->at->header, &seg->header, sizeof seg->header) != 0) return SEGMENT_DAMAGED;
    return is_same ? SEGMENT_SAME : SEGMENT_MOVED;
}
