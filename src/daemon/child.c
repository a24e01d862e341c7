#include "daemon/child.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/log_sink.h"
#include "base/mem.h"

/* The first new start comes soon; one that ends again and again must not keep a core busy. */
#define PAUSE_MIN  0.1
#define PAUSE_MAX  10.0
#define LIVED_LONG 10.0

/* Checks that one may miss while it loads scripts, which may compute for long. */
#define CHILD_LOADING_PATIENCE 120

static const char *const state_names[] = {
#define X(id, name) [CHILD_##id] = name,
    CHILD_STATES(X)
#undef X
};

const char *child_state_name(const struct child *child)
{
    return state_names[child->state];
}

/* ---- the end of a worker ---- */

static void child_gone(struct child *child, bool good)
{
    const struct child_host *host = child->host;

    channel_close(&child->channel);
    if (child->hosted)
        worker_free(child->hosted);
    child->hosted = NULL;
    child->pid = 0;
    child->state = CHILD_GONE;
    host->gone(host->context, child, good);
}

static void log_death(const struct child *child, int status)
{
    const char *message = metrics_running(child->metrics);
    char where[160] = "";

    if (message)
        snprintf(where, sizeof where, " in handler %s", message);
    if (child->stuck)
        log_write(LEVEL_ERR,
                  "worker %u (pid %d) was killed%s: its loop had not turned for worker-timeout; "
                  "its %" PRIu64 " connections are lost",
                  child->number, (int)child->pid, where, child_connections(child));
    else if (WIFSIGNALED(status))
        log_write(LEVEL_ERR,
                  "worker %u (pid %d) was killed by signal %d (%s)%s; its %" PRIu64
                  " connections are lost",
                  child->number, (int)child->pid, WTERMSIG(status), strsignal(WTERMSIG(status)),
                  where, child_connections(child));
    else
        log_write(LEVEL_ERR, "worker %u (pid %d) ended with status %d%s", child->number,
                  (int)child->pid, WEXITSTATUS(status), where);
}

static void child_exited(struct ev_loop *loop, ev_child *exit, int events)
{
    struct child *child = exit->data;
    bool good =
        child->state == CHILD_ENDING && WIFEXITED(exit->rstatus) && WEXITSTATUS(exit->rstatus) == 0;

    (void)events;
    ev_child_stop(loop, exit);
    /* One that could not load its scripts has said so over the channel. */
    if (!good && child->state != CHILD_LOADING)
        log_death(child, exit->rstatus);
    child_gone(child, good);
}

/* ---- what it says ---- */

static void said(void *context, const struct packet *packet)
{
    struct child *child = context;

    if (packet->type == CHANNEL_ENDED) {
        if (child->hosted)
            child_gone(child, child->state == CHILD_ENDING);
        return;
    }
    if (packet->type == CHANNEL_LEAVING)
        child->state = CHILD_ENDING;
    if (packet->type == CHANNEL_LOADED && child->state == CHILD_LOADING)
        child->state = CHILD_SERVING;
    if (packet->type == CHANNEL_LOADED || packet->type == CHANNEL_FAILED)
        child->patience = 0;
    child->host->said(child->host->context, child, packet);
}

/* The process is about to end, or has: child_exited tells. */
static void channel_lost(void *context)
{
    (void)context;
}

/* ---- the beginning of a worker ---- */

static int worker_life(const struct child *child, int end)
{
    char name[16];
    struct worker_setup setup = {
        .config = child->host->config,
        .path = child->host->path,
        .channel = end,
        .metrics = child->metrics,
        .alone = true,
    };

    snprintf(name, sizeof name, "spoa-lua/%u", child->number);
    prctl(PR_SET_NAME, name);
    return worker_run(&setup);
}

/* Nothing of the supervisor's is to be kept open by a worker that outlives it. */
static void close_all_but(int end)
{
    int kept[] = {STDERR_FILENO, log_sink_descriptor(), end};
    unsigned next = 0;

    /* They are few: take them in ascending order. */
    for (;;) {
        unsigned least = ~0u;

        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
            if (kept[i] >= 0 && (unsigned)kept[i] >= next && (unsigned)kept[i] < least)
                least = (unsigned)kept[i];
        }
        if (least == ~0u)
            break;
        if (least > next && next > STDERR_FILENO)
            close_range(next, least - 1, 0);
        next = least + 1;
    }
    close_range(next, ~0u, 0);
}

static _Noreturn void become_worker(struct child *child, int end, const sigset_t *mask)
{
    child->host->forked(child->host->context);
    close_all_but(end);
    /* Ctrl-C at a terminal reaches every process there; the supervisor tells when to end. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    exit(worker_life(child, end));
}

/* The child's side of a fork must not run the supervisor's signal handlers. */
static pid_t child_fork(struct child *child, int end)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0)
        become_worker(child, end, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* The worker has a configuration of its own, as it would in a process of its own. */
static bool child_host_worker(struct child *child, int end)
{
    struct worker_setup setup = {
        .config = mem_zalloc(sizeof *setup.config),
        .path = child->host->path,
        .channel = end,
        .metrics = child->metrics,
    };

    if (config_read(setup.config, setup.path, stderr) != 0) {
        config_free(setup.config);
        return false;
    }
    child->pid = getpid();
    child->hosted = worker_start(child->host->loop, &setup);
    return true;
}

bool child_start(struct child *child)
{
    const struct child_host *host = child->host;
    int ends[2] = {-1, -1};
    pid_t pid = -1;

    child->state = CHILD_LOADING;
    child->started = clock_look();
    child->missed = 0;
    child->patience = CHILD_LOADING_PATIENCE;
    child->stuck = child->deaf = false;
    child->handed = metrics_get(child->metrics, METRIC_CONNECTIONS_CLOSED);
    if (!channel_pair(ends))
        goto failed;
    channel_open(&child->channel, host->loop, ends[0], said, channel_lost, child);
    if (host->single && child_host_worker(child, ends[1]))
        return true;
    pid = host->single ? -1 : child_fork(child, ends[1]);
    if (pid < 0)
        goto failed;
    close(ends[1]);
    child->pid = pid;
    ev_child_init(&child->exit, child_exited, pid, 0);
    child->exit.data = child;
    ev_child_start(host->loop, &child->exit);
    return true;
failed:
    log_write(LEVEL_ERR, "worker %u cannot be started: %s", child->number, strerror(errno));
    channel_close(&child->channel);
    if (ends[1] >= 0)
        close(ends[1]);
    child->state = CHILD_GONE;
    return false;
}

static void start_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct child *child = timer->data;

    (void)loop;
    (void)events;
    if (!child_start(child))
        child_start_later(child);
}

void child_start_later(struct child *child)
{
    bool lived = clock_seconds(child->started, clock_look()) >= LIVED_LONG;

    child->pause = lived || child->pause <= 0 ? PAUSE_MIN : child->pause * 2;
    if (child->pause > PAUSE_MAX)
        child->pause = PAUSE_MAX;
    child->restarts++;
    log_write(LEVEL_NOTICE, "worker %u is started again in %.1f s", child->number, child->pause);
    ev_timer_set(&child->again, child->pause, 0);
    ev_timer_start(child->host->loop, &child->again);
}

void child_init(struct child *child, const struct child_host *host, unsigned number,
                struct metrics *metrics)
{
    *child = (struct child){.host = host, .number = number, .metrics = metrics};
    child->channel.fd = -1;
    ev_timer_init(&child->again, start_again, 0, 0);
    child->again.data = child;
}

void child_clear(struct child *child)
{
    ev_timer_stop(child->host->loop, &child->again);
    ev_child_stop(child->host->loop, &child->exit);
    channel_close(&child->channel);
    if (child->hosted)
        worker_free(child->hosted);
    child->hosted = NULL;
}

/* ---- at work ---- */

void child_tell(struct child *child, enum channel_type type, uint32_t number, const char *text)
{
    if (type == CHANNEL_PREPARE)
        child->patience = CHILD_LOADING_PATIENCE;
    channel_send(&child->channel, &(struct packet){type, number, text, strlen(text), -1});
}

bool child_hand(struct child *child, int fd, const char *peer)
{
    if (!channel_send(&child->channel, &(struct packet){CHANNEL_CONN, 0, peer, strlen(peer), fd})) {
        child->deaf = true;
        return false;
    }
    child->handed++;
    return true;
}

uint64_t child_connections(const struct child *child)
{
    uint64_t closed = metrics_get(child->metrics, METRIC_CONNECTIONS_CLOSED);

    return child->handed > closed ? child->handed - closed : 0;
}

void child_check(struct child *child, unsigned allowed)
{
    uint64_t beat = metrics_read(&child->metrics->beat);

    if (child->state == CHILD_GONE || child->hosted)
        return;
    if (beat != child->beat) {
        child->beat = beat;
        child->missed = 0;
        return;
    }
    /* Checks are counted, not seconds: whoever stops all processes stops this one too. */
    if (++child->missed < allowed + child->patience)
        return;
    child->stuck = true;
    child_kill(child);
}

void child_kill(struct child *child)
{
    if (child->pid <= 0 || child->hosted)
        return;
    /* What it has said before may still be heard: that it serves, for one. */
    child->deaf = true;
    kill(child->pid, SIGKILL);
}
