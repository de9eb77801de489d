/* What one lookup costs: cache_find of a 24-character account id, its key hashed each time, with four readers and one
 * writer at work in as many processes. CPU time, as on a small machine they share the cores; wall time beside it.
 * Last line: JSON. */
#include "base/clock.h"
#include "cache/cache.h"
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READERS = 4, IDS = 10000, ENTRIES = 65536, BATCHES = 400, BATCH = 10000, LIMIT_NS = 250 };

struct shared {
    _Atomic int ready, stop;
    _Atomic int64_t misses, writes;
    double cpu_ns[READERS * BATCHES], wall_ns[READERS * BATCHES];
};

static char ids[IDS][25];

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13U;
    *state ^= *state >> 7U;
    *state ^= *state << 17U;
    return *state;
}

static int64_t cpu_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void put(struct cache *cache, uint64_t i)
{
    const struct cache_verdict v = {.state = 1, .checked_at_ms = (int64_t)i, .token_print = i};
    cache_put(cache, cache_key_account(cache, "instagram", ids[i]), &v, 300000, cache_generation(cache));
}

static void write_until_stop(struct cache *cache, struct shared *shared)
{
    uint64_t random = 88172645463325252;
    int64_t writes = 0;
    for (; !atomic_load_explicit(&shared->stop, memory_order_relaxed); writes++)
        put(cache, next_random(&random) % IDS);
    atomic_store(&shared->writes, writes);
}

static void read_batches(struct cache *cache, struct shared *shared, int reader)
{
    uint64_t random = 0x9e3779b97f4a7c15 + (uint64_t)reader;
    int64_t misses = 0;
    atomic_fetch_add(&shared->ready, 1);
    while (atomic_load(&shared->ready) < READERS)
        sched_yield();
    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t cpu_ns = cpu_now_ns(), wall_ns = clock_mono_ns();
        for (int i = 0; i < BATCH; i++) {
            struct cache_verdict v;
            const char *id = ids[next_random(&random) % IDS];
            if (cache_find(cache, cache_key_account(cache, "instagram", id), &v) != CACHE_FRESH) misses++;
        }
        shared->cpu_ns[reader * BATCHES + batch] = (double)(cpu_now_ns() - cpu_ns) / BATCH;
        shared->wall_ns[reader * BATCHES + batch] = (double)(clock_mono_ns() - wall_ns) / BATCH;
    }
    atomic_fetch_add(&shared->misses, misses);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(struct cache *cache, struct shared *shared)
{
    pid_t readers[READERS];
    pid_t writer = fork();
    if (writer == 0) {
        write_until_stop(cache, shared);
        _exit(0);
    }
    for (int i = 0; i < READERS; i++) {
        readers[i] = fork();
        if (readers[i] == 0) {
            read_batches(cache, shared, i);
            _exit(0);
        }
    }
    for (int i = 0; i < READERS; i++)
        waitpid(readers[i], NULL, 0);
    atomic_store(&shared->stop, 1);
    waitpid(writer, NULL, 0);
}

int main(void)
{
    char name[64];
    struct cache *cache;
    struct err err = {0};
    snprintf(name, sizeof name, "/token-health-bench-%d", (int)getpid());
    const struct cache_options opt = {.name = name, .entries = ENTRIES, .mode = 0600};
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || cache_open(&opt, &cache, &err) != ERR_OK) {
        fprintf(stderr, "bench_cache: %s\n", err.text);
        return 1;
    }
    cache_unlink(name, NULL); /* the children inherit the mapping */
    uint64_t random = 4711;
    for (uint64_t i = 0; i < IDS; i++) {
        snprintf(ids[i], sizeof ids[i], "%016llx%08llx", (unsigned long long)next_random(&random),
                 (unsigned long long)(next_random(&random) >> 32U));
        put(cache, i);
    }
    run(cache, shared);
    qsort(shared->cpu_ns, READERS * BATCHES, sizeof(double), by_value);
    qsort(shared->wall_ns, READERS * BATCHES, sizeof(double), by_value);
    double median_ns = shared->cpu_ns[READERS * BATCHES / 2];
    printf("%d readers, 1 writer, %d lookups each, %d ids: CPU median %.1f ns, 99th percentile %.1f ns\n", READERS,
           BATCHES * BATCH, IDS, median_ns, shared->cpu_ns[READERS * BATCHES * 99 / 100]);
    printf("wall median %.1f ns (the processes share the cores); %lld of %d not found; %lld writes meanwhile\n",
           shared->wall_ns[READERS * BATCHES / 2], (long long)shared->misses, READERS * BATCHES * BATCH,
           (long long)shared->writes);
    printf("{\"name\":\"cache_find_ns\",\"value\":%.1f,\"unit\":\"ns\",\"limit\":%d}\n", median_ns, LIMIT_NS);
    cache_close(cache);
    return 0;
}
