#include "token/apikey_file.h"
#include "base/limits.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err_code read_all(int fd, const char *path, struct buf *out, struct err *err)
{
    char chunk[4096];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set(err, ERR_CONFIG, path, "%s", strerror(errno));
        buf_put(out, chunk, (size_t)n);
        if (out->len > LIMIT_KEY_FILE_BYTES)
            return err_set(err, ERR_CONFIG, path, "larger than %d bytes", LIMIT_KEY_FILE_BYTES);
    }
    return out->failed ? err_set(err, ERR_NOMEM, path, "no memory for the API keys") : ERR_OK;
}

enum err_code apikey_file_read(const char *path, struct json **root, struct err *err)
{
    struct buf text = {0};
    struct err why = {0};
    struct stat st;
    enum err_code rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *root = NULL;
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_CONFIG, path, "%s: %s", "the API keys cannot be read",
                       strerror(errno));
    if (fstat(fd, &st) != 0 || (st.st_mode & 007))
        rc = err_set(err, ERR_CONFIG, path, "other users may read the API keys; chmod o= it");
    else
        rc = read_all(fd, path, &text, err);
    close(fd);
    if (rc == ERR_OK && json_parse(buf_text(&text), text.len, root, &why) != ERR_OK)
        rc = err_set(err, ERR_CONFIG, path, "%s: %s", why.place, why.text);
    buf_free(&text);
    return rc;
}

enum err_code apikey_file_lock(const char *path, int *fd, struct err *err)
{
    char name[4096];
    int rc;

    snprintf(name, sizeof name, "%s.lock", path);
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) return err_set(err, ERR_IO, name, "%s", strerror(errno));
    do
        rc = flock(*fd, LOCK_EX);
    while (rc != 0 && errno == EINTR);
    if (rc == 0) return ERR_OK;
    err_set(err, ERR_IO, name, "%s", strerror(errno));
    close(*fd);
    *fd = -1;
    return ERR_IO;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR) return 0;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return fsync(fd) == 0;
}

static void sync_folder(const char *path)
{
    char copy[4096];
    int fd;

    snprintf(copy, sizeof copy, "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* Owner and mode of the file that is replaced; only root can give away what is root's. */
static int take_over(int fd, const char *path)
{
    struct stat old;

    if (stat(path, &old) != 0) return errno == ENOENT && fchmod(fd, 0600) == 0;
    if (fchown(fd, old.st_uid, old.st_gid) != 0 && geteuid() == 0) return 0;
    return fchmod(fd, old.st_mode & 0770) == 0;
}

enum err_code apikey_file_write(const char *path, const struct json *root, struct err *err)
{
    char temporary[4096];
    struct buf text = {0};
    enum err_code rc = json_print_pretty(root, &text, err);
    int fd = -1, why;

    snprintf(temporary, sizeof temporary, "%s.new", path);
    buf_puts(&text, "\n");
    if (rc == ERR_OK && text.failed) rc = err_set(err, ERR_NOMEM, path, "no memory for the API keys");
    if (rc == ERR_OK && text.len > LIMIT_KEY_FILE_BYTES)
        rc = err_set(err, ERR_BAD_INPUT, path, "the API keys would need more than %d bytes", LIMIT_KEY_FILE_BYTES);
    if (rc == ERR_OK) {
        unlink(temporary); /* of one who was killed here */
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 || !take_over(fd, path) || !write_all(fd, buf_text(&text), text.len) ||
            rename(temporary, path) != 0) {
            why = errno;
            rc = err_set(err, why == ENOSPC ? ERR_NOSPACE : ERR_IO, path, "the API keys cannot be written: %s",
                         strerror(why));
            unlink(temporary);
        }
    }
    if (fd >= 0) close(fd);
    if (rc == ERR_OK) sync_folder(path);
    buf_free(&text);
    return rc;
}
