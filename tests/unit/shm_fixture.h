/* For the tests of the shared memory: a name of their own, memory shared with their children, children. A child
 * must not use cmocka's asserts (they jump into the parent's frames): it returns its verdict to fixture_fork. */
#ifndef TH_SHM_FIXTURE_H
#define TH_SHM_FIXTURE_H
#include "cache/cache.h"
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIXTURE_WORDS = 1024, FIXTURE_SECONDS = 300 /* of a test, whatever hangs */ };
/** Shared between a test and its children. */
struct fixture_shared {
    _Atomic int stop;
    _Atomic int arrived;
    _Atomic int64_t word[FIXTURE_WORDS];
};

static char fixture_name[64];
static struct fixture_shared *fixture_shared;

static inline int fixture_setup(void **state)
{
    (void)state;
    snprintf(fixture_name, sizeof fixture_name, "/token-health-test-%d", (int)getpid());
    shm_unlink(fixture_name);
    void *at = mmap(NULL, sizeof *fixture_shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return -1;
    fixture_shared = at;
    alarm(FIXTURE_SECONDS);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    munmap(fixture_shared, sizeof *fixture_shared);
    shm_unlink(fixture_name);
    return 0;
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/** fixture_open(entries): NULL when it fails. */
static inline struct cache *fixture_open(int64_t entries)
{
    const struct cache_options opt = {.name = fixture_name, .entries = entries, .mode = 0660};
    struct cache *cache = NULL;
    struct err err = {0};
    if (cache_open(&opt, &cache, &err) != ERR_OK) fprintf(stderr, "cache_open: %s: %s\n", err.place, err.text);
    return cache;
}

/** fixture_fork(work, arg): run work(arg) in a child; its result (0: well) is the exit status. */
static inline pid_t fixture_fork(int (*work)(void *arg), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(work(arg));
    }
    return pid;
}

/** fixture_wait(pid): 0 if the child ended well. */
static inline int fixture_wait(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) == -1)
        continue;
    if (WIFSIGNALED(status)) fprintf(stderr, "child %d died of signal %d\n", (int)pid, WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static inline void fixture_kill(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

/** fixture_meet(count): return when count processes have called it. */
static inline void fixture_meet(int count)
{
    int round = atomic_fetch_add(&fixture_shared->arrived, 1) / count;
    while (atomic_load(&fixture_shared->arrived) < (round + 1) * count)
        sched_yield();
}

static inline void fixture_sleep_us(int64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000}, NULL);
}

/** fixture_random(&state): xorshift64*; repeatable. */
static inline uint64_t fixture_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545F4914F6CDD1D);
}

#endif
