/* The key file as JSON: reading and replacing it. Private to apikey*.c. */
#ifndef TH_APIKEY_FILE_H
#define TH_APIKEY_FILE_H
#include "base/err.h"
#include "base/json.h"

/** apikey_file_read(path, &root, err): the parsed file. ERR_NOT_FOUND if it does not exist; ERR_CONFIG otherwise. */
enum err_code apikey_file_read(const char *path, struct json **root, struct err *err);
/** apikey_file_lock(path, &fd, err): waits for the lock that changes take turns by; close(fd) ends it. */
enum err_code apikey_file_lock(const char *path, int *fd, struct err *err);
/** apikey_file_write(path, root, err): replaces the file in one step, mode and owner kept (0600 for a new one), durable on return. */
enum err_code apikey_file_write(const char *path, const struct json *root, struct err *err);

#endif
