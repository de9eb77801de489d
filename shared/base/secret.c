#include "base/secret.h"
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Size classes; each chunk of the arena holds slots of one class. */
enum { CLASS_COUNT = 4, CHUNK_BYTES = 256 * 1024, SECRET_MAX_BYTES = 64 * 1024 };
static const size_t class_bytes[CLASS_COUNT] = {128, 1024, 16384, SECRET_MAX_BYTES + 64};

/* A slot: a head and the bytes. A free slot's head links to the next free one. */
struct slot {
    struct slot *next;
    size_t size_class;
};
static struct slot *free_slots[CLASS_COUNT];

static int class_of(size_t bytes)
{
    for (int i = 0; i < CLASS_COUNT; i++)
        if (bytes <= class_bytes[i]) return i;
    return -1;
}

static int add_chunk(int size_class)
{
    size_t step = sizeof(struct slot) + class_bytes[size_class];
    unsigned char *chunk = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (chunk == MAP_FAILED) return 0;
    madvise(chunk, CHUNK_BYTES, MADV_DONTDUMP);
    mlock2(chunk, CHUNK_BYTES, MLOCK_ONFAULT); /* best effort: RLIMIT_MEMLOCK may forbid it */
    for (size_t at = 0; at + step <= CHUNK_BYTES; at += step) {
        struct slot *slot = (struct slot *)(void *)(chunk + at);

        slot->size_class = (size_t)size_class;
        slot->next = free_slots[size_class];
        free_slots[size_class] = slot;
    }
    return 1;
}

enum err_code secret_new(struct secret *s, size_t len, struct err *err)
{
    int size_class = class_of(len + 1);
    struct slot *slot;

    secret_free(s);
    if (len == 0 || len > SECRET_MAX_BYTES)
        return err_set(err, ERR_BAD_INPUT, NULL, "a secret has 1 to %d bytes, not %zu", SECRET_MAX_BYTES, len);
    if (!free_slots[size_class] && !add_chunk(size_class))
        return err_set(err, ERR_NOMEM, NULL, "no memory for a secret");
    slot = free_slots[size_class];
    free_slots[size_class] = slot->next;
    s->mem_ = (unsigned char *)(slot + 1);
    s->len = len;
    memset(s->mem_, 0, len + 1);
    return ERR_OK;
}

enum err_code secret_put(struct secret *s, const void *bytes, size_t len, struct err *err)
{
    struct secret fresh = {0};
    enum err_code rc = secret_new(&fresh, len, err);

    if (rc == ERR_OK) memcpy(fresh.mem_, bytes, len);
    secret_move(s, &fresh); /* only now: ${bytes} may be a part of what s held */
    return rc;
}

void secret_shrink(struct secret *s, size_t len)
{
    if (!s->mem_ || len >= s->len) return;
    secret_wipe(s->mem_ + len, s->len - len);
    s->len = len;
}

void secret_move(struct secret *to, struct secret *from)
{
    if (to == from) return;
    secret_free(to);
    *to = *from;
    *from = (struct secret){0};
}

const unsigned char *secret_bytes(const struct secret *s)
{
    return s->mem_;
}

unsigned char *secret_room(struct secret *s)
{
    return s->mem_;
}

int secret_is_empty(const struct secret *s)
{
    return !s || !s->mem_ || s->len == 0;
}

int secret_equal(const struct secret *a, const struct secret *b)
{
    volatile unsigned char difference = 0;

    if (secret_is_empty(a) || secret_is_empty(b)) return secret_is_empty(a) && secret_is_empty(b);
    if (a->len != b->len) return 0;
    for (size_t i = 0; i < a->len; i++)
        difference |= (unsigned char)(a->mem_[i] ^ b->mem_[i]);
    return difference == 0;
}

void secret_free(struct secret *s)
{
    struct slot *slot;

    if (!s || !s->mem_) return;
    slot = (struct slot *)(void *)s->mem_ - 1;
    secret_wipe(s->mem_, class_bytes[slot->size_class]);
    slot->next = free_slots[slot->size_class];
    free_slots[slot->size_class] = slot;
    *s = (struct secret){0};
}

void secret_wipe(void *mem, size_t len)
{
    if (mem && len) explicit_bzero(mem, len);
}

void secret_heap_free(void *mem)
{
    if (mem) explicit_bzero(mem, malloc_usable_size(mem));
    free(mem);
}

void *secret_heap_realloc(void *mem, size_t size)
{
    size_t old = mem ? malloc_usable_size(mem) : 0;
    void *fresh;

    if (mem && size <= old) return mem;
    fresh = malloc(size);
    if (fresh && mem) {
        memcpy(fresh, mem, old);
        secret_heap_free(mem);
    }
    return fresh;
}

void secret_harden_process(void)
{
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}
