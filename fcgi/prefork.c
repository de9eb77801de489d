#include "prefork.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    YOUNG_MS = 10000,
    KILLED_YOUNG_MS = 100,
    BACKOFF_MS = 1000,
    BACKOFF_MAX_MS = 30000,
    DRAIN_MS = 15000,
    TRIAL_MS = 30000,
    TICK_MS = 100
};

struct slot {
    pid_t pid; /* 0: none */
    int64_t born_mono_ms, due_mono_ms, backoff_ms;
};

struct prefork {
    struct config *cfg;
    const struct prefork_options *options;
    const struct prefork_program *program;
    struct slot slots[LIMIT_WORKERS];
    int count; /* slots beyond it are on their way out */
    pid_t trial;
    int trial_status;
    int stop;   /* SIGTERM or SIGINT came */
    int reread; /* SIGHUP came */
    sigset_t signals, before;
};

/* In the child: 0. There SIGTERM and SIGINT stay blocked: a worker that is still opening its parts ends when it has them. It leaves
 * by exit(): what a library or a sanitizer does at the end of a process is done. */
static pid_t start_child(const struct prefork *p)
{
    sigset_t blocked = p->before;
    pid_t parent = getpid(), pid = fork();

    if (pid < 0) log_error("TOKEN HEALTH", "a worker could not be started", LOG_S("why", strerror(errno)));
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(0);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    return 0;
}

static void spawn(const struct prefork *p, struct slot *slot)
{
    pid_t pid = start_child(p);

    if (pid == 0) exit(p->program->run(p->cfg, p->options->listen_fd));
    slot->pid = pid > 0 ? pid : 0;
    slot->born_mono_ms = clock_mono_ms();
    slot->due_mono_ms = slot->born_mono_ms + BACKOFF_MS;
}

static void spawn_missing(struct prefork *p)
{
    for (int i = 0; i < p->count; i++)
        if (p->slots[i].pid == 0 && clock_mono_ms() >= p->slots[i].due_mono_ms) spawn(p, &p->slots[i]);
}

static void obituary(struct slot *slot, int status)
{
    int64_t lived_ms = clock_mono_ms() - slot->born_mono_ms;
    int expected = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    if (!expected)
        log_error("TOKEN HEALTH", "a worker died", LOG_I("pid", slot->pid),
                  LOG_I("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
                  LOG_I("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0), LOG_I("lived_ms", lived_ms));
    slot->pid = 0;
    /* SIGKILL comes from outside: it says little about whether a worker can work, but for one that memory does not suffice to start. */
    if (expected || lived_ms >= (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? KILLED_YOUNG_MS : YOUNG_MS))
        slot->backoff_ms = 0;
    else
        slot->backoff_ms = slot->backoff_ms ? 2 * slot->backoff_ms : BACKOFF_MS;
    if (slot->backoff_ms > BACKOFF_MAX_MS) slot->backoff_ms = BACKOFF_MAX_MS;
    slot->due_mono_ms = clock_mono_ms() + slot->backoff_ms;
}

static int reap(struct prefork *p)
{
    int status, alive = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == p->trial) {
            p->trial = 0;
            p->trial_status = status;
        }
        for (int i = 0; i < LIMIT_WORKERS; i++)
            if (p->slots[i].pid == pid) obituary(&p->slots[i], status);
    }
    for (int i = 0; i < LIMIT_WORKERS; i++)
        alive += p->slots[i].pid != 0;
    return alive;
}

/* What a signal wants is remembered, wherever it comes. */
static void wait_signal(struct prefork *p, int64_t ms)
{
    struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    int signo = sigtimedwait(&p->signals, NULL, &timeout);

    if (signo == SIGTERM || signo == SIGINT) p->stop = 1;
    if (signo == SIGHUP) p->reread = 1;
}

/* The parent itself opens nothing, so a child finds out whether this configuration works. */
static int trial(struct prefork *p, const struct config *cfg)
{
    int64_t end_ms = clock_mono_ms() + TRIAL_MS;

    p->trial_status = -1;
    p->trial = start_child(p);
    if (p->trial == 0) exit(p->program->try_open(cfg));
    if (p->trial < 0) p->trial = 0;
    while (p->trial) {
        if (p->stop || clock_mono_ms() >= end_ms) kill(p->trial, SIGKILL);
        wait_signal(p, TICK_MS);
        reap(p);
    }
    return WIFEXITED(p->trial_status) && WEXITSTATUS(p->trial_status) == 0;
}

static void drain(struct prefork *p)
{
    int64_t end_ms = clock_mono_ms() + DRAIN_MS;

    for (int i = 0; i < LIMIT_WORKERS; i++)
        if (p->slots[i].pid) kill(p->slots[i].pid, SIGTERM);
    while (reap(p) > 0 && clock_mono_ms() < end_ms)
        wait_signal(p, TICK_MS);
    for (int i = 0; i < LIMIT_WORKERS; i++)
        if (p->slots[i].pid) {
            log_warn("TOKEN HEALTH", "a worker did not finish in time", LOG_I("pid", p->slots[i].pid));
            kill(p->slots[i].pid, SIGKILL);
            waitpid(p->slots[i].pid, NULL, 0);
        }
}

/* One by one, so that the others go on answering. */
static void replace_workers(struct prefork *p)
{
    for (int i = 0; i < LIMIT_WORKERS && !p->stop; i++) {
        int64_t end_ms = clock_mono_ms() + DRAIN_MS;
        pid_t old = p->slots[i].pid;

        if (old) kill(old, SIGTERM);
        while (old && p->slots[i].pid == old && !p->stop) {
            if (clock_mono_ms() >= end_ms) kill(old, SIGKILL);
            wait_signal(p, TICK_MS);
            reap(p);
            spawn_missing(p);
        }
    }
}

static int wanted_workers(const struct prefork *p)
{
    return p->options->workers ? p->options->workers : (int)p->cfg->workers;
}

static void reload(struct prefork *p)
{
    struct config *fresh = NULL;
    struct err err = {0};

    if (config_load(p->options->config_path, &fresh, &err) != ERR_OK) {
        log_error("TOKEN HEALTH", "the new configuration is not used", LOG_S("place", err.place),
                  LOG_S("why", err.text));
        return;
    }
    if (!trial(p, fresh)) {
        log_error("TOKEN HEALTH", "the new configuration is not used: no worker can be opened with it");
        config_free(fresh);
        return;
    }
    if (strcmp(fresh->listen, p->cfg->listen) != 0)
        log_warn("TOKEN HEALTH", "another [responder] listen takes effect at the next start");
    config_free(p->cfg);
    p->cfg = fresh;
    p->count = wanted_workers(p);
    log_setup((enum log_level)fresh->log_level, (enum log_format)fresh->log_format);
    log_info("TOKEN HEALTH", "configuration read again", LOG_S("file", p->options->config_path));
    replace_workers(p);
}

static void supervise(struct prefork *p)
{
    log_info("TOKEN HEALTH", "responder started", LOG_I("workers", p->count));
    while (!p->stop) {
        spawn_missing(p);
        wait_signal(p, BACKOFF_MS);
        reap(p);
        while (p->reread && !p->stop) {
            p->reread = 0;
            reload(p);
        }
    }
    drain(p);
    log_info("TOKEN HEALTH", "responder stopped");
}

int prefork_run(struct config *cfg, const struct prefork_options *options, const struct prefork_program *program)
{
    static struct prefork p;
    int opens;

    p = (struct prefork){.cfg = cfg, .options = options, .program = program};
    p.count = wanted_workers(&p);
    sigemptyset(&p.signals);
    sigaddset(&p.signals, SIGTERM);
    sigaddset(&p.signals, SIGINT);
    sigaddset(&p.signals, SIGHUP);
    sigaddset(&p.signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &p.signals, &p.before);
    opens = trial(&p, cfg);
    if (opens && !p.stop) supervise(&p);
    config_free(p.cfg);
    return opens || p.stop ? EXIT_SUCCESS : EXIT_FAILURE;
}
