#include "prefork.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { YOUNG_MS = 10000, BACKOFF_MS = 1000, BACKOFF_MAX_MS = 30000, DRAIN_MS = 15000, TICK_MS = 100 };

struct slot {
    pid_t pid; /* 0: none */
    int64_t born_mono_ms, due_mono_ms, backoff_ms;
};

struct prefork {
    struct config *cfg;
    const char *config_path;
    int listen_fd;
    prefork_worker_fn *worker;
    struct slot slots[LIMIT_WORKERS];
    int count;
    sigset_t signals, before;
};

static void spawn(struct prefork *p, struct slot *slot)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) _exit(0);
        sigprocmask(SIG_SETMASK, &p->before, NULL);
        _exit(p->worker(p->cfg, p->listen_fd));
    }
    if (pid < 0) log_error("TOKEN HEALTH", "a worker could not be started", LOG_S("why", strerror(errno)));
    slot->pid = pid > 0 ? pid : 0;
    slot->born_mono_ms = clock_mono_ms();
    slot->due_mono_ms = slot->born_mono_ms + BACKOFF_MS;
}

static void spawn_missing(struct prefork *p)
{
    for (int i = 0; i < p->count; i++)
        if (p->slots[i].pid == 0 && clock_mono_ms() >= p->slots[i].due_mono_ms) spawn(p, &p->slots[i]);
}

static void obituary(struct prefork *p, struct slot *slot, int status)
{
    int64_t lived_ms = clock_mono_ms() - slot->born_mono_ms;
    int expected = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    if (!expected)
        log_error("TOKEN HEALTH", "a worker died", LOG_I("pid", slot->pid),
                  LOG_I("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
                  LOG_I("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0), LOG_I("lived_ms", lived_ms));
    slot->pid = 0;
    if (expected || lived_ms >= YOUNG_MS)
        slot->backoff_ms = 0;
    else
        slot->backoff_ms = slot->backoff_ms ? 2 * slot->backoff_ms : BACKOFF_MS;
    if (slot->backoff_ms > BACKOFF_MAX_MS) slot->backoff_ms = BACKOFF_MAX_MS;
    slot->due_mono_ms = clock_mono_ms() + slot->backoff_ms;
    (void)p;
}

static int reap(struct prefork *p)
{
    int status, alive = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < p->count; i++)
            if (p->slots[i].pid == pid) obituary(p, &p->slots[i], status);
    for (int i = 0; i < p->count; i++)
        alive += p->slots[i].pid != 0;
    return alive;
}

static int wait_signal(const struct prefork *p, int64_t ms)
{
    struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    return sigtimedwait(&p->signals, NULL, &timeout);
}

static void drain(struct prefork *p)
{
    int64_t end_ms = clock_mono_ms() + DRAIN_MS;

    for (int i = 0; i < p->count; i++)
        if (p->slots[i].pid) kill(p->slots[i].pid, SIGTERM);
    while (reap(p) > 0 && clock_mono_ms() < end_ms)
        wait_signal(p, TICK_MS);
    for (int i = 0; i < p->count; i++)
        if (p->slots[i].pid) {
            log_warn("TOKEN HEALTH", "a worker did not finish in time", LOG_I("pid", p->slots[i].pid));
            kill(p->slots[i].pid, SIGKILL);
            waitpid(p->slots[i].pid, NULL, 0);
        }
}

/* One by one, so that the others go on answering. */
static void replace_workers(struct prefork *p)
{
    for (int i = 0; i < p->count; i++) {
        int64_t end_ms = clock_mono_ms() + DRAIN_MS;
        pid_t old = p->slots[i].pid;

        if (old) kill(old, SIGTERM);
        while (p->slots[i].pid == old && old && clock_mono_ms() < end_ms) {
            wait_signal(p, TICK_MS / 10);
            reap(p);
        }
        if (p->slots[i].pid == old && old) kill(old, SIGKILL);
        reap(p);
        spawn_missing(p);
    }
}

static void reload(struct prefork *p)
{
    struct config *fresh = NULL;
    struct err err = {0};

    if (config_load(p->config_path, &fresh, &err) != ERR_OK) {
        log_error("TOKEN HEALTH", "the new configuration is not used", LOG_S("place", err.place),
                  LOG_S("why", err.text));
        return;
    }
    config_free(p->cfg);
    p->cfg = fresh;
    log_setup((enum log_level)fresh->log_level, (enum log_format)fresh->log_format);
    log_info("TOKEN HEALTH", "configuration read again", LOG_S("file", p->config_path));
    replace_workers(p);
}

int prefork_run(struct config *cfg, const char *config_path, int listen_fd, prefork_worker_fn *worker)
{
    static struct prefork p;
    int signo = 0;

    p = (struct prefork){.cfg = cfg, .config_path = config_path, .listen_fd = listen_fd, .worker = worker};
    p.count = (int)cfg->workers;
    sigemptyset(&p.signals);
    sigaddset(&p.signals, SIGTERM);
    sigaddset(&p.signals, SIGINT);
    sigaddset(&p.signals, SIGHUP);
    sigaddset(&p.signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &p.signals, &p.before);
    log_info("TOKEN HEALTH", "responder started", LOG_I("workers", p.count));
    while (signo != SIGTERM && signo != SIGINT) {
        spawn_missing(&p);
        signo = wait_signal(&p, BACKOFF_MS);
        reap(&p);
        if (signo == SIGHUP) reload(&p);
    }
    drain(&p);
    log_info("TOKEN HEALTH", "responder stopped");
    config_free(p.cfg);
    return 0;
}
