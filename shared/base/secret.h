/* Secrets: tokens and keys in memory. The bytes live in a private arena that
 * core files leave out (MADV_DONTDUMP), that is locked where the limits allow
 * it, and that is wiped when given back. A struct secret cannot be passed to a
 * formatter; only secret_bytes() opens it. Not thread-safe: they are made and
 * freed in one thread; another may fill the room of one (token/opener.h). */
#ifndef TH_SECRET_H
#define TH_SECRET_H
#include "base/err.h"
#include <stddef.h>

/** A secret. Start with `struct secret s = {0};`. NUL-terminated behind len. */
struct secret {
    unsigned char *mem_;
    size_t len;
};

/** secret_new(s, len, err): room for ${len} bytes (+ NUL), zeroed; 1 ≤ len ≤ 64 KiB.
 *  Owns: the caller, until secret_free. Fails: ERR_NOMEM, ERR_BAD_INPUT. */
enum err_code secret_new(struct secret *s, size_t len, struct err *err);
/** secret_put(s, bytes, len, err): secret_new and copy. Frees what s held before, of which ${bytes} may be a part. */
enum err_code secret_put(struct secret *s, const void *bytes, size_t len, struct err *err);
/** secret_shrink(s, len): keep the first len bytes, wipe the rest. */
void secret_shrink(struct secret *s, size_t len);
/** secret_move(to, from): to takes what from held (to's old content is freed); from becomes empty. */
void secret_move(struct secret *to, struct secret *from);
/** secret_bytes(s): the bytes, NUL-terminated; NULL if empty. Borrowed. */
const unsigned char *secret_bytes(const struct secret *s);
unsigned char *secret_room(struct secret *s);
/** secret_is_empty(s), secret_equal(a, b): equality in constant time for equal lengths. */
int secret_is_empty(const struct secret *s);
int secret_equal(const struct secret *a, const struct secret *b);
/** secret_free(s): wipe, give back, make empty. NULL and empty allowed. */
void secret_free(struct secret *s);
/** secret_wipe(mem, len): overwrite ${mem} so that no compiler drops it. */
void secret_wipe(void *mem, size_t len);
/** secret_heap_free(mem), secret_heap_realloc(mem, size): free and realloc of memory from malloc that wipe what they give
 *  back; for libraries that take their allocator from us and keep tokens and keys in it (curl, OpenSSL). */
void secret_heap_free(void *mem);
void *secret_heap_realloc(void *mem, size_t size);
/** secret_harden_process(): no core files, no ptrace by others (PR_SET_DUMPABLE 0,
 *  RLIMIT_CORE 0). Called first by every main(). Sanitizer builds keep PR_SET_DUMPABLE,
 *  as LeakSanitizer needs it. */
void secret_harden_process(void);

#endif
