#include "prefork.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/notify.h"
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
    TICK_MS = 100,
    FROZEN_MS = 5000, /* the parent itself was not running: a debugger, a frozen container */
    STATUS_MS = 5000,
    SILENT_MS = 60000 /* with no stuck_timeout: nothing moves for so long */
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
    int count;            /* slots beyond it are on their way out */
    struct pulse *pulses; /* one a slot */
    int64_t looked_mono_ms, status_mono_ms;
    int is_ready; /* the supervisor knows */
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

static void spawn(struct prefork *p, int number)
{
    struct slot *slot = &p->slots[number];
    const struct prefork_worker self = {.cfg = p->cfg,
                                        .listen_fd = p->options->listen_fd,
                                        .pulse = &p->pulses[number],
                                        .max_requests = pulse_max_requests(p->cfg->max_requests, number, p->count)};
    pid_t pid;

    pulse_reset(&p->pulses[number]);
    pid = start_child(p);
    if (pid == 0) exit(p->program->run(&self));
    slot->pid = pid > 0 ? pid : 0;
    slot->born_mono_ms = clock_mono_ms();
    slot->due_mono_ms = slot->born_mono_ms + BACKOFF_MS;
}

static void spawn_missing(struct prefork *p)
{
    for (int i = 0; i < p->count; i++)
        if (p->slots[i].pid == 0 && clock_mono_ms() >= p->slots[i].due_mono_ms) spawn(p, i);
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

/* ---- whether the workers move, and what the supervisor hears of it ---- */

/* Nobody moves while everything stands still: then each of them gets its time again. */
static void see_frozen(struct prefork *p)
{
    int64_t now_ms = clock_mono_ms();

    if (p->looked_mono_ms && now_ms - p->looked_mono_ms > FROZEN_MS)
        for (int i = 0; i < LIMIT_WORKERS; i++)
            pulse_move(&p->pulses[i]);
    p->looked_mono_ms = now_ms;
}

static void kill_stuck(struct prefork *p)
{
    for (int i = 0; i < LIMIT_WORKERS; i++) {
        int64_t silent_ms = pulse_silence(&p->pulses[i]);

        if (!p->slots[i].pid || !p->cfg->stuck_timeout_ms || silent_ms <= p->cfg->stuck_timeout_ms) continue;
        log_error("TOKEN HEALTH", "a worker is stuck: it is killed and replaced", LOG_I("pid", p->slots[i].pid),
                  LOG_I("silent_ms", silent_ms));
        kill(p->slots[i].pid, SIGKILL);
        pulse_move(&p->pulses[i]); /* said once */
    }
}

static void tell_supervisor(struct prefork *p)
{
    int64_t requests = 0, now_ms = clock_mono_ms();
    int workers = 0, moving = 0;

    for (int i = 0; i < LIMIT_WORKERS; i++) {
        int is_open = p->slots[i].pid && atomic_load(&p->pulses[i].is_open);

        requests += atomic_load(&p->pulses[i].request_count);
        workers += is_open;
        moving += is_open &&
                  pulse_silence(&p->pulses[i]) <= (p->cfg->stuck_timeout_ms ? p->cfg->stuck_timeout_ms : SILENT_MS);
    }
    if (moving) notify_alive();
    if (!workers || (p->is_ready && now_ms - p->status_mono_ms < STATUS_MS)) return;
    notify_send("%sSTATUS=%d of %d workers ready, %lld requests answered", p->is_ready ? "" : "READY=1\n", workers,
                p->count, (long long)requests);
    p->is_ready = 1;
    p->status_mono_ms = now_ms;
}

/* What a signal wants is remembered, wherever it comes. */
static void wait_signal(struct prefork *p, int64_t ms)
{
    struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    int signo = sigtimedwait(&p->signals, NULL, &timeout);

    if (signo == SIGTERM || signo == SIGINT) p->stop = 1;
    if (signo == SIGHUP) p->reread = 1;
    see_frozen(p);
    kill_stuck(p);
    if (!p->stop) tell_supervisor(p);
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
        if (cfg != p->cfg) spawn_missing(p); /* the others go on meanwhile */
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

/* A worker is not cut off in a request that still has time. */
static int64_t patience_ms(const struct config *cfg)
{
    return DRAIN_MS + (cfg->request_timeout_ms ? cfg->request_timeout_ms : cfg->stuck_timeout_ms);
}

/* One by one, so that the others go on answering. */
static void replace_workers(struct prefork *p, int64_t patience)
{
    for (int i = 0; i < LIMIT_WORKERS && !p->stop; i++) {
        int64_t end_ms = clock_mono_ms() + patience;
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
    int64_t patience = patience_ms(p->cfg); /* the old workers' */

    if (config_load(p->options->config_path, &fresh, &err) != ERR_OK) {
        log_error("TOKEN HEALTH", "the new configuration is not used", LOG_S("place", err.place),
                  LOG_S("why", err.text));
        return;
    }
    if (!trial(p, fresh)) {
        if (!p->stop) log_error("TOKEN HEALTH", "the new configuration is not used: no worker can be opened with it");
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
    replace_workers(p, patience);
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
            notify_send("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading", (long long)(clock_mono_ns() / 1000));
            reload(p);
            p->is_ready = 0; /* to be said again */
        }
    }
    notify_send("STOPPING=1\nSTATUS=finishing the requests under way");
    drain(p);
    log_info("TOKEN HEALTH", "responder stopped");
}

int prefork_run(struct config *cfg, const struct prefork_options *options, const struct prefork_program *program)
{
    static struct prefork p;
    int opens;

    p = (struct prefork){.cfg = cfg, .options = options, .program = program};
    p.count = wanted_workers(&p);
    p.pulses = pulse_map(LIMIT_WORKERS);
    if (!p.pulses) {
        log_error("TOKEN HEALTH", "no memory for the workers", LOG_S("why", strerror(errno)));
        config_free(cfg);
        return EXIT_FAILURE;
    }
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
