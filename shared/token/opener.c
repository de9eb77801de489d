#include "token/opener.h"
#include "base/limits.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024 };

STAILQ_HEAD(opening_list, opening);
struct opener {
    const struct keyring *ring;
    pthread_t threads[LIMIT_OPENER_THREADS];
    int thread_count;
    int event; /* counts above 0 exactly while ${done} is not empty */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct opening_list waiting, done; /* under the lock, like … */
    int is_over;                       /* … this */
};

/* ---- one opening ---- */

int opening_begin(struct opening *o, const struct envelope *env)
{
    opening_fini(o);
    o->env = env;
    o->rc = keyring_room_new(env, &o->room, &o->err);
    o->is_done = o->rc != ERR_OK;
    return !o->is_done;
}

void opening_fini(struct opening *o)
{
    keyring_room_free(&o->room);
    *o = (struct opening){.env = NULL};
}

void opening_run(struct opening *o, const struct keyring *ring)
{
    o->rc = keyring_open_in(ring, o->env, &o->room, &o->err);
    o->is_done = 1;
}

/* ---- the threads ---- */

static void add_done(struct opener *opener, struct opening *o)
{
    if (STAILQ_EMPTY(&opener->done)) eventfd_write(opener->event, 1);
    STAILQ_INSERT_TAIL(&opener->done, o, entry);
}

static void *work(void *arg)
{
    struct opener *opener = arg;
    struct opening *o;

    pthread_mutex_lock(&opener->lock);
    while (!opener->is_over) {
        o = STAILQ_FIRST(&opener->waiting);
        if (!o) {
            pthread_cond_wait(&opener->work, &opener->lock);
            continue;
        }
        STAILQ_REMOVE_HEAD(&opener->waiting, entry);
        pthread_mutex_unlock(&opener->lock);
        opening_run(o, opener->ring);
        pthread_mutex_lock(&opener->lock);
        add_done(opener, o);
    }
    pthread_mutex_unlock(&opener->lock);
    return NULL;
}

/* As many as there can be: one is enough. A signal is for the thread that waits for it. */
static void start_threads(struct opener *opener, int count)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    if (pthread_attr_init(&attributes)) return;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (opener->thread_count < count && opener->thread_count < LIMIT_OPENER_THREADS &&
           !pthread_create(&opener->threads[opener->thread_count], &attributes, work, opener))
        opener->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

enum err_code opener_new(const struct keyring *ring, int threads, struct opener **opener, struct err *err)
{
    struct opener *o = calloc(1, sizeof *o);

    *opener = NULL;
    if (!o) return err_set(err, ERR_NOMEM, NULL, "no memory for threads");
    o->ring = ring;
    STAILQ_INIT(&o->waiting);
    STAILQ_INIT(&o->done);
    pthread_mutex_init(&o->lock, NULL); /* the default kinds cannot fail */
    pthread_cond_init(&o->work, NULL);
    o->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (o->event >= 0) start_threads(o, threads);
    if (o->thread_count > 0) {
        *opener = o;
        return ERR_OK;
    }
    opener_free(o);
    return err_set(err, ERR_NOMEM, NULL, "no thread can be started");
}

void opener_free(struct opener *opener)
{
    if (!opener) return;
    pthread_mutex_lock(&opener->lock);
    opener->is_over = 1;
    pthread_cond_broadcast(&opener->work);
    pthread_mutex_unlock(&opener->lock);
    for (int i = 0; i < opener->thread_count; i++)
        pthread_join(opener->threads[i], NULL);
    if (opener->event >= 0) close(opener->event);
    pthread_cond_destroy(&opener->work);
    pthread_mutex_destroy(&opener->lock);
    free(opener);
}

/* ---- the thread that has the opener ---- */

void opener_put(struct opener *opener, struct opening *o)
{
    pthread_mutex_lock(&opener->lock);
    STAILQ_INSERT_TAIL(&opener->waiting, o, entry);
    pthread_cond_signal(&opener->work);
    pthread_mutex_unlock(&opener->lock);
}

struct opening *opener_take(struct opener *opener)
{
    struct opening *o;
    eventfd_t count;

    pthread_mutex_lock(&opener->lock);
    o = STAILQ_FIRST(&opener->done);
    if (o) STAILQ_REMOVE_HEAD(&opener->done, entry);
    if (o && STAILQ_EMPTY(&opener->done)) eventfd_read(opener->event, &count);
    pthread_mutex_unlock(&opener->lock);
    return o;
}

int opener_fd(const struct opener *opener)
{
    return opener->event;
}

int opener_cores(void)
{
    cpu_set_t usable;
    int count = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : 1;

    return count < LIMIT_OPENER_THREADS ? count : LIMIT_OPENER_THREADS;
}
