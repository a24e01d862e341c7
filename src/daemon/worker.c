#include "daemon/worker.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "agent/agent.h"
#include "base/log.h"
#include "base/mem.h"
#include "script/budget.h"

struct worker {
    struct ev_loop *loop;
    struct config *config;
    const char *path;
    struct agent *agent;
    struct listener **listeners;
    size_t nlisteners;
    ev_signal term, interrupt, hangup;
    ev_timer drain;
    struct config *next; /* while a reload loads its scripts */
};

static void fault_to_stderr(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "%s\n", text);
}

static void fault_to_log(void *context, const char *text)
{
    (void)context;
    log_write(LEVEL_ERR, "%s", text);
}

/* Loading that is waited for: at start and by `-t`. */
struct outcome {
    struct script *script;
    bool over, good;
};

static void loaded(void *context, struct script *script, bool good)
{
    struct outcome *outcome = context;

    *outcome = (struct outcome){script, true, good};
}

/* NULL when they do not load; the errors have been told. */
static struct script *load_scripts(struct ev_loop *loop, const struct config *config, bool starting,
                                   script_fault_fn *fault)
{
    struct outcome outcome = {NULL, false, false};

    script_load(loop, &config->script, starting, fault, loaded, &outcome);
    while (!outcome.over)
        ev_run(loop, EVRUN_ONCE);
    if (outcome.good)
        return outcome.script;
    script_stop(outcome.script);
    return NULL;
}

int worker_check(const struct config *config)
{
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    struct script *script;

    budget_open(config->script.cpu, task_expired);
    script = load_scripts(loop, config, false, fault_to_stderr);
    if (script)
        script_stop(script);
    budget_close();
    ev_loop_destroy(loop);
    return script ? EX_OK : EX_DATAERR;
}

/* Every connection is a descriptor; the soft limit is for programs that use select. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- listeners ---- */

static void accepted(void *context, int fd, const char *peer)
{
    struct worker *worker = context;

    agent_take(worker->agent, fd, peer);
}

static void close_listeners(struct worker *worker)
{
    while (worker->nlisteners)
        listener_close(worker->listeners[--worker->nlisteners]);
}

/* EX_OK, or the exit status for the one that failed. */
static int open_listeners(struct worker *worker)
{
    const struct config *config = worker->config;
    char fault[512];

    worker->listeners = mem_zalloc(config->nlisteners * sizeof *worker->listeners);
    for (size_t i = 0; i < config->nlisteners; i++) {
        struct listener *listener = listener_open(&config->listeners[i], fault, sizeof fault);

        if (!listener) {
            int status = errno == EACCES || errno == EPERM ? EX_NOPERM : EX_OSERR;

            log_write(LEVEL_ERR, "%s", fault);
            return status;
        }
        worker->listeners[worker->nlisteners++] = listener;
    }
    for (size_t i = 0; i < worker->nlisteners; i++) {
        listener_start(worker->listeners[i], worker->loop, accepted, worker);
        log_write(LEVEL_NOTICE, "listening on %s", listener_name(worker->listeners[i]));
    }
    return EX_OK;
}

/* ---- stopping ---- */

static void drained(void *context)
{
    struct worker *worker = context;

    ev_break(worker->loop, EVBREAK_ALL);
}

static void drain_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    const struct worker *worker = timer->data;

    (void)events;
    log_write(LEVEL_WARNING, "drain-timeout: %u connections are closed with work in flight",
              worker->agent->nconns);
    ev_break(loop, EVBREAK_ALL);
}

static void stop_asked(struct ev_loop *loop, ev_signal *signal, int events)
{
    struct worker *worker = signal->data;

    (void)events;
    if (worker->agent->draining) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    log_write(LEVEL_NOTICE, "stopping: %u connections to say goodbye to", worker->agent->nconns);
    close_listeners(worker);
    ev_timer_init(&worker->drain, drain_overdue, worker->config->drain_timeout, 0);
    worker->drain.data = worker;
    ev_timer_start(loop, &worker->drain);
    agent_drain(worker->agent, drained, worker);
}

static void log_counts(const struct agent_counts *counts)
{
    log_write(LEVEL_NOTICE,
              "stopped: %" PRIu64 " connections (%" PRIu64 " health checks, %" PRIu64
              " refused), %" PRIu64 " NOTIFYs, %" PRIu64 " ACKs; messages: %" PRIu64 " ok, %" PRIu64
              " error, %" PRIu64 " timeout, %" PRIu64 " memory, %" PRIu64 " too_big, %" PRIu64
              " busy, %" PRIu64 " without a handler",
              counts->connections, counts->healthchecks, counts->refused, counts->notifies,
              counts->acks, counts->messages[TASK_OK], counts->messages[TASK_ERROR],
              counts->messages[TASK_TIMEOUT], counts->messages[TASK_MEMORY],
              counts->messages[TASK_TOO_BIG], counts->messages[TASK_BUSY], counts->unknown);
}

/* ---- reloading ---- */

static bool same_listeners(const struct config *a, const struct config *b)
{
    if (a->nlisteners != b->nlisteners)
        return false;
    for (size_t i = 0; i < a->nlisteners; i++) {
        const struct listener_spec *one = &a->listeners[i], *other = &b->listeners[i];

        if (strcmp(one->text, other->text) != 0 || one->mode != other->mode ||
            one->owner != other->owner || one->group != other->group)
            return false;
    }
    return true;
}

/* The errors of the new configuration, a log line each. */
static size_t read_config(struct config *config, const char *path)
{
    char *text = NULL, *line, *rest;
    size_t size, faults;
    FILE *errors = open_memstream(&text, &size);

    faults = config_read(config, path, errors);
    fclose(errors);
    for (rest = text; (line = strsep(&rest, "\n")) != NULL;) {
        if (*line)
            log_write(LEVEL_ERR, "%s", line);
    }
    free(text);
    return faults;
}

static void reload_failed(struct config *config)
{
    log_write(LEVEL_ERR, "reload failed: the old configuration and scripts go on");
    config_free(config);
}

/* A script_loaded_fn. */
static void reload_loaded(void *context, struct script *script, bool good)
{
    struct worker *worker = context;
    struct config *config = worker->next, *old = worker->config;

    worker->next = NULL;
    if (!good) {
        script_stop(script);
        reload_failed(config);
        return;
    }
    if (!same_listeners(config, old))
        log_write(LEVEL_WARNING, "reload: `listen` has changed, which needs a restart");
    log_set_level(config->log_level);
    budget_close();
    budget_open(config->script.cpu, task_expired);
    agent_configure(worker->agent, &config->agent, script);
    worker->config = config;
    config_free(old);
    log_write(LEVEL_NOTICE, "scripts reloaded");
}

static void reload_asked(struct ev_loop *loop, ev_signal *signal, int events)
{
    struct worker *worker = signal->data;
    struct config *config;

    (void)events;
    if (worker->next) {
        log_write(LEVEL_WARNING, "reload: the one before is still loading its scripts");
        return;
    }
    config = mem_zalloc(sizeof *config);
    if (read_config(config, worker->path) != 0) {
        reload_failed(config);
        return;
    }
    worker->next = config;
    script_load(loop, &config->script, true, fault_to_log, reload_loaded, worker);
}

/* ---- running ---- */

static void watch_signal(struct worker *worker, ev_signal *watcher, int number,
                         void (*asked)(struct ev_loop *, ev_signal *, int))
{
    ev_signal_init(watcher, asked, number);
    watcher->data = worker;
    ev_signal_start(worker->loop, watcher);
}

static int worker_serve(struct worker *worker, struct script *script)
{
    int status;

    worker->agent = agent_new(worker->loop, &worker->config->agent, script);
    if (handler_count(&script->handlers) == 0)
        log_write(LEVEL_WARNING, "no script defines a handler: every message will set nothing");
    status = open_listeners(worker);
    if (status == EX_OK) {
        watch_signal(worker, &worker->term, SIGTERM, stop_asked);
        watch_signal(worker, &worker->interrupt, SIGINT, stop_asked);
        watch_signal(worker, &worker->hangup, SIGHUP, reload_asked);
        log_write(LEVEL_NOTICE, "ready");
        ev_run(worker->loop, 0);
        log_counts(&worker->agent->counts);
    }
    close_listeners(worker);
    free(worker->listeners);
    agent_free(worker->agent);
    return status;
}

int worker_run(struct config *config, const char *path)
{
    struct worker worker = {.config = config, .path = path};
    struct script *script;
    int status = EX_DATAERR;

    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    worker.loop = ev_default_loop(EVFLAG_AUTO);
    if (!worker.loop || !budget_open(config->script.cpu, task_expired)) {
        log_write(LEVEL_ERR, "cannot make an event loop or a timer: %s", strerror(errno));
        config_free(config);
        return EX_OSERR;
    }
    script = load_scripts(worker.loop, config, true, fault_to_log);
    if (script)
        status = worker_serve(&worker, script);
    budget_close();
    ev_loop_destroy(worker.loop);
    config_free(worker.config);
    return status;
}
