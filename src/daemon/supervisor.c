#include "daemon/supervisor.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/control.h"
#include "daemon/crew.h"
#include "daemon/listeners.h"
#include "daemon/metrics_server.h"
#include "daemon/notify.h"
#include "daemon/query.h"
#include "daemon/reload.h"

/* How often it is looked whether the workers' loops turn. */
#define CHECK 1.0

/* What a worker may take beyond drain-timeout before it is killed. */
#define GRACE 2.0

/* A connection that nobody could be given yet. */
struct newcomer {
    STAILQ_ENTRY(newcomer) entry;
    int fd;
    char *peer;
};

STAILQ_HEAD(newcomer_list, newcomer);

enum supervisor_state {
    SUPERVISOR_STARTING,
    SUPERVISOR_SERVING,
    SUPERVISOR_DRAINING,
};

struct supervisor {
    struct ev_loop *loop;
    enum supervisor_state state;
    struct config *config;
    struct child_host host;
    struct crew crew;
    struct listeners listeners;
    struct newcomer_list newcomers;
    struct reload *reload;
    supervisor_done_fn *reload_done;
    void *reload_context;
    struct query_list queries;
    ev_signal term, interrupt, hangup, usr1;
    ev_timer check, overdue;
    struct control *control;               /* NULL: there is none */
    struct metrics_server *metrics_server; /* likewise */
    uint64_t started;                      /* base/clock, as is the next */
    struct supervisor_reloads reloads;
    uint64_t reload_began;
    int status;
};

/* ---- connections ---- */

/* A listener_accept_fn. */
static void accepted(void *context, int fd, const char *peer)
{
    struct supervisor *supervisor = context;
    struct newcomer *newcomer;
    struct child *child;

    while ((child = crew_least_busy(&supervisor->crew)) != NULL) {
        if (child_hand(child, fd, peer))
            return;
    }
    /* They have died since the last turn of the loop, and others will take their places. */
    newcomer = mem_alloc(sizeof *newcomer);
    newcomer->fd = fd;
    newcomer->peer = mem_strndup(peer, strlen(peer));
    STAILQ_INSERT_TAIL(&supervisor->newcomers, newcomer, entry);
}

/* Hands out those that wait, or closes them when nobody will serve any more. */
static void place_newcomers(struct supervisor *supervisor)
{
    struct newcomer_list list = supervisor->newcomers;
    bool serving = crew_least_busy(&supervisor->crew) != NULL;
    struct newcomer *newcomer;

    if (STAILQ_EMPTY(&list) || (!serving && supervisor->state == SUPERVISOR_SERVING))
        return;
    STAILQ_INIT(&supervisor->newcomers);
    while ((newcomer = STAILQ_FIRST(&list)) != NULL) {
        STAILQ_REMOVE_HEAD(&list, entry);
        if (serving)
            accepted(supervisor, newcomer->fd, newcomer->peer);
        else
            close(newcomer->fd);
        free(newcomer->peer);
        free(newcomer);
    }
}

/* While nobody serves, who connects waits in the kernel's backlog. */
static void hold_or_accept(struct supervisor *supervisor)
{
    listeners_hold(&supervisor->listeners,
                   supervisor->state != SUPERVISOR_SERVING || !crew_least_busy(&supervisor->crew));
}

/* ---- the end ---- */

static void stop_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct supervisor *supervisor = timer->data;

    (void)events;
    log_write(LEVEL_WARNING, "workers that have not ended are killed");
    crew_kill(&supervisor->crew);
    ev_timer_stop(loop, timer);
}

/* Where there is no worker the end is now. */
static void end_if_gone(struct supervisor *supervisor)
{
    if (supervisor->state == SUPERVISOR_DRAINING && crew_gone(&supervisor->crew))
        ev_break(supervisor->loop, EVBREAK_ALL);
}

static void end_children(struct supervisor *supervisor, enum channel_type how, double within)
{
    for (unsigned i = 0; i < supervisor->crew.n; i++) {
        struct child *child = &supervisor->crew.children[i];

        ev_timer_stop(supervisor->loop, &child->again);
        if (child->state == CHILD_GONE)
            continue;
        child->state = CHILD_ENDING;
        child_tell(child, how, 0, "");
    }
    ev_timer_stop(supervisor->loop, &supervisor->overdue);
    ev_timer_set(&supervisor->overdue, within, 0);
    ev_timer_start(supervisor->loop, &supervisor->overdue);
    end_if_gone(supervisor);
}

void supervisor_stop(struct supervisor *supervisor, bool at_once)
{
    bool again = supervisor->state == SUPERVISOR_DRAINING;

    if (supervisor->reload)
        reload_cancel(supervisor->reload, "spoa-lua is stopping");
    if (!again)
        notify_send("STOPPING=1\nSTATUS=%s", at_once ? "Stopping" : "Draining");
    if (at_once || again) {
        supervisor->state = SUPERVISOR_DRAINING;
        listeners_close(&supervisor->listeners);
        place_newcomers(supervisor);
        end_children(supervisor, CHANNEL_STOP, GRACE);
        return;
    }
    supervisor->state = SUPERVISOR_DRAINING;
    log_write(LEVEL_NOTICE, "stopping: %" PRIu64 " connections to say goodbye to",
              crew_total(&supervisor->crew, METRIC_CONNECTIONS_OPENED) -
                  crew_total(&supervisor->crew, METRIC_CONNECTIONS_CLOSED));
    listeners_close(&supervisor->listeners);
    place_newcomers(supervisor);
    end_children(supervisor, CHANNEL_DRAIN, supervisor->config->drain_timeout + GRACE);
}

/* ---- workers ---- */

static void serve(struct supervisor *supervisor)
{
    supervisor->state = SUPERVISOR_SERVING;
    log_write(LEVEL_NOTICE, "ready");
    notify_send("READY=1\nSTATUS=Serving with %u workers", supervisor->crew.n);
}

static void child_loaded(struct supervisor *supervisor)
{
    bool all = true;

    for (unsigned i = 0; i < supervisor->crew.n; i++)
        all = all && supervisor->crew.children[i].state == CHILD_SERVING;
    if (supervisor->state == SUPERVISOR_STARTING && all)
        serve(supervisor);
    hold_or_accept(supervisor);
    place_newcomers(supervisor);
}

static void said(void *context, struct child *child, const struct packet *packet)
{
    struct supervisor *supervisor = context;

    switch (packet->type) {
    case CHANNEL_ANSWER:
    case CHANNEL_END:
        query_answered(&supervisor->queries, child, packet);
        return;
    case CHANNEL_FAULT:
        log_write(LEVEL_ERR, "%s", packet->text);
        break;
    case CHANNEL_LOADED:
        if (packet->number == 0) {
            if (supervisor->reload && child->state == CHILD_SERVING)
                reload_joined(supervisor->reload, child);
            child_loaded(supervisor);
            return;
        }
        break;
    default:
        break;
    }
    if (supervisor->reload && child->state == CHILD_SERVING)
        reload_said(supervisor->reload, child, packet);
}

static void gone(void *context, struct child *child, bool good)
{
    struct supervisor *supervisor = context;

    query_lost(&supervisor->queries, child);
    if (supervisor->reload)
        reload_lost(supervisor->reload, child);
    switch (supervisor->state) {
    case SUPERVISOR_STARTING:
        /* A configuration that never worked: say so to whoever starts us. */
        supervisor->status = EX_DATAERR;
        supervisor->state = SUPERVISOR_DRAINING;
        end_children(supervisor, CHANNEL_STOP, GRACE);
        break;
    case SUPERVISOR_SERVING:
        if (!child->host->single)
            child_start_later(child);
        else
            supervisor_stop(supervisor, good);
        hold_or_accept(supervisor);
        break;
    case SUPERVISOR_DRAINING:
        end_if_gone(supervisor);
        break;
    }
}

/* In a new worker: what its own loop does not have must not be heard here either. */
static void forked(void *context)
{
    struct supervisor *supervisor = context;

    ev_signal_stop(supervisor->loop, &supervisor->term);
    ev_signal_stop(supervisor->loop, &supervisor->interrupt);
    ev_signal_stop(supervisor->loop, &supervisor->hangup);
    ev_signal_stop(supervisor->loop, &supervisor->usr1);
}

static void check(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct supervisor *supervisor = timer->data;

    (void)loop;
    (void)events;
    /* One that hangs is replaced here; systemd is for when this process does. */
    if (notify_watchdog() > 0)
        notify_send("WATCHDOG=1");
    for (unsigned i = 0; i < supervisor->crew.n; i++)
        child_check(&supervisor->crew.children[i],
                    (unsigned)(supervisor->config->worker_timeout / CHECK) + 1);
}

/* ---- reloading ---- */

static void log_lines(enum log_level level, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");

        if (len)
            log_write(level, "%.*s", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

static void use_config(struct supervisor *supervisor, struct config *config)
{
    char *changed = config_needs_restart(supervisor->config, config);
    char fault[256];

    if (changed)
        log_write(LEVEL_WARNING, "reload: changed, but needs a restart: %s", changed);
    free(changed);
    log_set_level(config->log_level);
    if (!log_configure(config->log_format, config->log_target, fault, sizeof fault))
        log_write(LEVEL_ERR, "%s: the log stays where it is", fault);
    config_free(supervisor->config);
    supervisor->config = supervisor->host.config = config;
}

static void count_reload(struct supervisor *supervisor, bool good)
{
    struct supervisor_reloads *reloads = &supervisor->reloads;

    reloads->good += good;
    reloads->failed += !good;
    reloads->last_failed = !good;
    reloads->last = ev_now(supervisor->loop);
    reloads->took = clock_seconds(supervisor->reload_began, clock_look());
}

/* A reload_commit_fn. */
static void reload_committed(void *context, struct config *config)
{
    use_config(context, config);
}

/* A reload_done_fn. */
static void reloaded(void *context, bool good, const char *text)
{
    struct supervisor *supervisor = context;
    supervisor_done_fn *done = supervisor->reload_done;

    supervisor->reload = NULL;
    count_reload(supervisor, good);
    if (good) {
        log_write(LEVEL_NOTICE, "scripts reloaded");
    } else {
        log_lines(LEVEL_ERR, text);
        log_write(LEVEL_ERR, "reload failed: the old configuration and scripts go on");
    }
    notify_send("READY=1\nSTATUS=%s", good ? "Serving" : "Serving; the last reload failed");
    if (done)
        done(supervisor->reload_context, good, text);
}

void supervisor_reload(struct supervisor *supervisor, supervisor_done_fn *done, void *context)
{
    const char *why = supervisor->reload ? "reload: one is under way already"
                      : supervisor->state != SUPERVISOR_SERVING
                          ? "reload: spoa-lua is starting or stopping"
                          : NULL;

    if (why) {
        log_write(LEVEL_WARNING, "%s", why);
        if (done)
            done(context, false, why);
        return;
    }
    notify_reloading();
    supervisor->reload_began = clock_look();
    supervisor->reload_done = done;
    supervisor->reload_context = context;
    supervisor->reload =
        reload_start(&supervisor->host, supervisor->crew.children, supervisor->crew.n,
                     &supervisor->listeners, reload_committed, reloaded, supervisor);
}

void supervisor_log_level(struct supervisor *supervisor, enum log_level level)
{
    log_set_level(level);
    crew_tell(&supervisor->crew, CHANNEL_LOG_LEVEL, level);
}

/* ---- what others ask ---- */

struct query *supervisor_ask(struct supervisor *supervisor, unsigned worker, const char *question,
                             supervisor_answer_fn *answer, void *context)
{
    return query_start(&supervisor->queries, supervisor->crew.children, supervisor->crew.n, worker,
                       question, answer, context);
}

void supervisor_forget(struct supervisor *supervisor, struct query *query)
{
    (void)supervisor;
    query_forget(query);
}

size_t supervisor_workers(const struct supervisor *supervisor, struct supervisor_worker *workers,
                          size_t max)
{
    for (unsigned i = 0; i < supervisor->crew.n && i < max; i++) {
        const struct child *child = &supervisor->crew.children[i];

        workers[i] = (struct supervisor_worker){
            .number = child->number,
            .pid = child->pid,
            .state = child_state_name(child),
            .metrics = child->metrics,
            .age = clock_seconds(child->started, clock_look()),
            .restarts = child->restarts,
            .connections = (unsigned)child_connections(child),
        };
    }
    return supervisor->crew.n;
}

const struct config *supervisor_config(const struct supervisor *supervisor)
{
    return supervisor->config;
}

const struct supervisor_reloads *supervisor_reloads(const struct supervisor *supervisor)
{
    return &supervisor->reloads;
}

const char *supervisor_path(const struct supervisor *supervisor)
{
    return supervisor->host.path;
}

double supervisor_age(const struct supervisor *supervisor)
{
    return clock_seconds(supervisor->started, clock_look());
}

bool supervisor_ready(const struct supervisor *supervisor, const char **why)
{
    *why = supervisor->state == SUPERVISOR_STARTING   ? "the scripts are being loaded"
           : supervisor->state == SUPERVISOR_DRAINING ? "stopping"
           : !crew_least_busy(&supervisor->crew)      ? "no worker is serving"
                                                      : NULL;
    return *why == NULL;
}

/* ---- signals ---- */

static void on_stop(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    supervisor_stop(signal->data, false);
}

static void on_hangup(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    supervisor_reload(signal->data, NULL, NULL);
}

static void on_usr1(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;

    log_reopen();
    crew_tell(&((struct supervisor *)signal->data)->crew, CHANNEL_LOG_REOPEN, 0);
}

static void watch_signal(struct supervisor *supervisor, ev_signal *watcher, int number,
                         void (*asked)(struct ev_loop *, ev_signal *, int))
{
    ev_signal_init(watcher, asked, number);
    watcher->data = supervisor;
    ev_signal_start(supervisor->loop, watcher);
}

static void watch(struct supervisor *supervisor)
{
    watch_signal(supervisor, &supervisor->term, SIGTERM, on_stop);
    watch_signal(supervisor, &supervisor->interrupt, SIGINT, on_stop);
    watch_signal(supervisor, &supervisor->hangup, SIGHUP, on_hangup);
    watch_signal(supervisor, &supervisor->usr1, SIGUSR1, on_usr1);
    ev_timer_init(&supervisor->overdue, stop_overdue, 0, 0);
    ev_timer_init(&supervisor->check, check, CHECK, CHECK);
    supervisor->overdue.data = supervisor->check.data = supervisor;
    ev_timer_start(supervisor->loop, &supervisor->check);
}

/* ---- the beginning ---- */

/* Every connection is a descriptor; the soft limit is for programs that use select. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* What operators look through: the control socket, the metrics. */
static bool open_windows(struct supervisor *supervisor, char *fault, size_t room)
{
    const struct config *config = supervisor->config;

    if (config->control.text) {
        supervisor->control =
            control_open(supervisor->loop, supervisor, &config->control, fault, room);
        if (!supervisor->control)
            return false;
    }
    if (!config->metrics.text)
        return true;
    supervisor->metrics_server =
        metrics_server_open(supervisor->loop, supervisor, &config->metrics, fault, room);
    if (!supervisor->metrics_server)
        return false;
    log_write(LEVEL_NOTICE, "metrics on http://%s/metrics",
              metrics_server_name(supervisor->metrics_server));
    return true;
}

static int supervisor_bind(struct supervisor *supervisor)
{
    char fault[512];
    int error;

    listeners_init(&supervisor->listeners, supervisor->loop, accepted, supervisor);
    if (!listeners_inherit(&supervisor->listeners))
        return EX_OSERR;
    error = listeners_prepare(&supervisor->listeners, supervisor->config, fault, sizeof fault);
    if (error) {
        log_write(LEVEL_ERR, "%s", fault);
        return error == EACCES || error == EPERM ? EX_NOPERM : EX_OSERR;
    }
    listeners_commit(&supervisor->listeners);
    if (!open_windows(supervisor, fault, sizeof fault)) {
        log_write(LEVEL_ERR, "%s", fault);
        return errno == EACCES || errno == EPERM ? EX_NOPERM : EX_OSERR;
    }
    if (user_become(&supervisor->config->user, fault, sizeof fault))
        return EX_OK;
    log_write(LEVEL_ERR, "%s", fault);
    return EX_NOPERM;
}

static void start_children(struct supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->crew.n && supervisor->status == EX_OK; i++) {
        if (!child_start(&supervisor->crew.children[i]))
            supervisor->status = EX_OSERR;
    }
    if (supervisor->status == EX_OK)
        return;
    supervisor->state = SUPERVISOR_DRAINING;
    end_children(supervisor, CHANNEL_STOP, GRACE);
}

static void supervisor_serve(struct supervisor *supervisor)
{
    watch(supervisor);
    start_children(supervisor);
    if (supervisor->state != SUPERVISOR_DRAINING || !crew_gone(&supervisor->crew))
        ev_run(supervisor->loop, 0);
    if (supervisor->reload)
        reload_cancel(supervisor->reload, "spoa-lua has stopped");
    if (supervisor->status == EX_OK)
        crew_log_counts(&supervisor->crew);
}

int supervisor_run(struct config *config, const char *path, bool single)
{
    struct supervisor supervisor = {.config = config};

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log that may not grow (LimitFSIZE) costs lines */
    notify_open();
    raise_descriptors();
    supervisor.loop = ev_default_loop(EVFLAG_AUTO);
    if (!supervisor.loop) {
        log_write(LEVEL_ERR, "cannot make an event loop: %s", strerror(errno));
        config_free(config);
        return EX_OSERR;
    }
    supervisor.started = clock_look();
    LIST_INIT(&supervisor.queries);
    STAILQ_INIT(&supervisor.newcomers);
    supervisor.host = (struct child_host){
        .loop = supervisor.loop,
        .path = path,
        .config = config,
        .single = single,
        .forked = forked,
        .said = said,
        .gone = gone,
        .context = &supervisor,
    };
    supervisor.status = supervisor_bind(&supervisor);
    if (supervisor.status == EX_OK) {
        crew_init(&supervisor.crew, &supervisor.host, crew_size(config->workers, single));
        supervisor_serve(&supervisor);
        crew_clear(&supervisor.crew);
    }
    if (supervisor.control)
        control_close(supervisor.control);
    if (supervisor.metrics_server)
        metrics_server_close(supervisor.metrics_server);
    listeners_close(&supervisor.listeners);
    ev_loop_destroy(supervisor.loop);
    config_free(supervisor.config);
    return supervisor.status;
}
