#include "token/spool_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_TRIES = 100, FILE_MODE = 0600, FOLDER_MODE = 0700, FOR_OTHERS = 077 };

static const char damaged_suffix[] = ".damaged";

static enum err_code io_error(struct err *err, const struct spool_file *f, const char *what)
{
    int why = errno;
    int is_full = why == ENOSPC || why == EDQUOT || why == EFBIG;

    return err_set(err, is_full ? ERR_NOSPACE : ERR_IO, f->path, "cannot %s the spool: %s", what, strerror(why));
}

static off_t offset_of(int slot, int page)
{
    return (off_t)slot * SPOOL_SLOT_BYTES + (off_t)page * SPOOL_PAGE_BYTES;
}

/* ---- the file under its name */

static void folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    snprintf(folder, PATH_MAX, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (!*folder) memcpy(folder, "/", 2);
}

/* What root makes (by the command line) the service must be able to use: it goes to the owner of the folder around it. */
static void hand_over(int fd, const char *folder)
{
    struct stat st;

    if (geteuid() == 0 && stat(folder, &st) == 0) (void)!fchown(fd, st.st_uid, st.st_gid);
}

static void make_folder(const char *folder)
{
    char around[PATH_MAX];
    int fd;

    if (mkdir(folder, FOLDER_MODE) != 0) return;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    folder_of(folder, around);
    hand_over(fd, around);
    close(fd);
}

static int open_or_make(const char *path, int create)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK; /* not to hang on a fifo */
    char folder[PATH_MAX];
    int fd = -1;

    folder_of(path, folder);
    for (int i = 0; i < OPEN_TRIES && fd < 0; i++) {
        fd = open(path, flags);
        if (fd >= 0 || errno != ENOENT || !create) return fd;
        fd = open(path, flags | O_CREAT | O_EXCL, FILE_MODE);
        if (fd < 0 && errno == ENOENT) make_folder(folder);
        if (fd < 0 && errno != ENOENT && errno != EEXIST) return -1;
    }
    if (fd < 0) return -1;
    (void)fchmod(fd, FILE_MODE); /* whatever the umask made of it */
    hand_over(fd, folder);
    return fd;
}

/* A new file is lost in a power cut as long as its folder is not on disk; whoever found it cannot know whether it is. */
static enum err_code sync_folder(const struct spool_file *f, struct err *err)
{
    char folder[PATH_MAX];
    enum err_code rc = ERR_OK;
    int fd;

    folder_of(f->path, folder);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) rc = io_error(err, f, "sync the folder of");
    if (fd >= 0) close(fd);
    return rc;
}

static enum err_code check(const struct spool_file *f, int fd, struct stat *st, struct err *err)
{
    if (fstat(fd, st) != 0) return io_error(err, f, "examine");
    if (!S_ISREG(st->st_mode)) return err_set(err, ERR_IO, f->path, "the spool is not a regular file");
    if (st->st_mode & FOR_OTHERS) return err_set(err, ERR_IO, f->path, "other users may use the spool; chmod go= it");
    return ERR_OK;
}

int spool_file_is_named(const struct spool_file *f)
{
    struct stat st;

    if (f->fd < 0) return 0;
    if (stat(f->path, &st) != 0) return errno != ENOENT && errno != ENOTDIR;
    return st.st_dev == f->device && st.st_ino == f->inode;
}

enum err_code spool_file_ready(struct spool_file *f, int create, struct err *err)
{
    struct stat st;
    enum err_code rc;
    int fd;

    /* The child's locks would be the parent's: both would use one slot. */
    if (f->pid != getpid()) return err_set(err, ERR_INTERNAL, f->path, "the spool was opened before a fork");
    if (spool_file_is_named(f)) return ERR_OK;
    fd = open_or_make(f->path, create);
    if (fd < 0 && errno == ENOENT && !create) return err_set(err, ERR_NOT_FOUND, f->path, "there is no spool");
    if (fd < 0) return io_error(err, f, "open");
    rc = check(f, fd, &st, err);
    if (rc == ERR_OK && create) rc = sync_folder(f, err);
    if (rc != ERR_OK) {
        close(fd);
        return rc;
    }
    spool_file_close(f);
    f->fd = fd;
    f->device = st.st_dev;
    f->inode = st.st_ino;
    f->generation++;
    return ERR_OK;
}

void spool_file_close(struct spool_file *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
    memset(f->mine, 0, sizeof f->mine);
}

/* ---- slots */

int spool_file_slots(const struct spool_file *f)
{
    int64_t slots = (spool_file_bytes(f) + SPOOL_SLOT_BYTES - 1) / SPOOL_SLOT_BYTES;

    return slots < LIMIT_SPOOL_SLOTS ? (int)slots : LIMIT_SPOOL_SLOTS;
}

static int lock(const struct spool_file *f, int slot, short type)
{
    struct flock range = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = offset_of(slot, 0), .l_len = SPOOL_SLOT_BYTES};

    return fcntl(f->fd, F_OFD_SETLK, &range) == 0;
}

int spool_file_claim(struct spool_file *f, int slot)
{
    if (f->mine[slot]) return 0;
    f->mine[slot] = lock(f, slot, F_WRLCK) != 0;
    return f->mine[slot];
}

void spool_file_release(struct spool_file *f, int slot)
{
    (void)lock(f, slot, F_UNLCK);
    f->mine[slot] = 0;
}

static ssize_t read_at(const struct spool_file *f, off_t offset, char *bytes, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = pread(f->fd, bytes + got, size - got, offset + (off_t)got);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        got += (size_t)n;
    }
    memset(bytes + got, ' ', size - got);
    return (ssize_t)got;
}

/* A page at once: a killed process has either written it or not, as others see it. */
static int write_page(const struct spool_file *f, int slot, int page, const char *bytes)
{
    size_t put = 0;

    while (put < SPOOL_PAGE_BYTES) {
        ssize_t n = pwrite(f->fd, bytes + put, SPOOL_PAGE_BYTES - put, offset_of(slot, page) + (off_t)put);

        if (n < 0 && errno != EINTR) return 0;
        if (n > 0) put += (size_t)n;
    }
    return 1;
}

int spool_file_is_blank(const char page[SPOOL_PAGE_BYTES])
{
    for (int i = 0; i < SPOOL_PAGE_BYTES; i++)
        if (page[i] != ' ' && page[i] != '\n' && page[i] != '\0') return 0;
    return 1;
}

static int is_free(const struct spool_file *f, int slot)
{
    char page[SPOOL_PAGE_BYTES];

    return read_at(f, offset_of(slot, 0), page, sizeof page) >= 0 && spool_file_is_blank(page);
}

enum err_code spool_file_take(struct spool_file *f, int *slot, struct err *err)
{
    for (*slot = 0; *slot < LIMIT_SPOOL_SLOTS; ++*slot) {
        if (!is_free(f, *slot)) continue;
        errno = 0;
        if (!spool_file_claim(f, *slot)) {
            if (errno && errno != EAGAIN && errno != EACCES) return io_error(err, f, "lock a slot of");
            continue;
        }
        if (is_free(f, *slot)) return ERR_OK; /* still */
        spool_file_release(f, *slot);
    }
    return err_set(err, ERR_NOSPACE, f->path, "all %d slots of the spool are in use", LIMIT_SPOOL_SLOTS);
}

int spool_file_read(const struct spool_file *f, int slot, char bytes[SPOOL_SLOT_BYTES])
{
    return read_at(f, offset_of(slot, 0), bytes, SPOOL_SLOT_BYTES) >= 0;
}

enum err_code spool_file_write(const struct spool_file *f, int slot, const char bytes[SPOOL_SLOT_BYTES],
                               struct err *err)
{
    for (int page = SPOOL_PAGES - 1; page >= 0; page--)
        if (!write_page(f, slot, page, bytes + page * SPOOL_PAGE_BYTES)) return io_error(err, f, "write to");
    return fdatasync(f->fd) == 0 ? ERR_OK : io_error(err, f, "sync");
}

void spool_file_blank(const struct spool_file *f, int slot, int page)
{
    static _Alignas(SPOOL_PAGE_BYTES) char blanks[SPOOL_PAGE_BYTES];

    memset(blanks, ' ', sizeof blanks);
    blanks[sizeof blanks - 1] = '\n';
    (void)write_page(f, slot, page, blanks);
}

int64_t spool_file_bytes(const struct spool_file *f)
{
    struct stat st;

    return fstat(f->fd, &st) == 0 ? st.st_size : 0;
}

/* ---- what is damaged */

static int open_aside(const struct spool_file *f, int flags)
{
    char path[PATH_MAX + sizeof damaged_suffix];

    snprintf(path, sizeof path, "%s%s", f->path, damaged_suffix);
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
}

int spool_file_set_aside(const struct spool_file *f, const char bytes[SPOOL_SLOT_BYTES])
{
    struct stat st;
    int fd = open_aside(f, O_WRONLY | O_APPEND | O_CREAT);
    int ok = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
             st.st_size <= (off_t)(LIMIT_SPOOL_SLOTS - 1) * SPOOL_SLOT_BYTES && fchmod(fd, FILE_MODE) == 0 &&
             write(fd, bytes, SPOOL_SLOT_BYTES) == SPOOL_SLOT_BYTES && fdatasync(fd) == 0;

    if (fd >= 0) close(fd);
    return ok;
}

int64_t spool_file_bytes_aside(const struct spool_file *f)
{
    struct stat st;
    int fd = open_aside(f, O_RDONLY);
    int64_t bytes = fd >= 0 && fstat(fd, &st) == 0 ? st.st_size : 0;

    if (fd >= 0) close(fd);
    return bytes;
}
