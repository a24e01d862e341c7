#include "daemon/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/channel.h"
#include "daemon/worker_show.h"
#include "script/budget.h"

/* How often the supervisor sees that the loop turns. */
#define BEAT 1.0

struct worker {
    struct ev_loop *loop;
    struct queue queue;
    struct channel channel;
    struct config *config;
    const char *path;
    struct metrics *metrics;
    struct agent *agent;    /* NULL until the scripts have loaded */
    struct script *loading; /* scripts that are not all there yet */
    struct config *next;    /* while a reload loads its scripts, and until it is decided */
    struct script *prepared;
    uint32_t generation; /* PREPARE's number, which LOADED and FAILED bring back */
    ev_timer beat, drain;
    uint64_t due; /* the next beat, base/clock; 0 before the first */
    ev_signal term;
    bool alone, ending;
    int status;
};

static void tell(struct worker *worker, enum channel_type type, uint32_t number, const char *text,
                 size_t len)
{
    channel_send(
        &worker->channel,
        &(struct packet){.type = type, .number = number, .text = text, .len = len, .fd = -1});
}

/* A script_fault_fn. */
static void fault_told(void *context, const char *text)
{
    tell(context, CHANNEL_FAULT, 0, text, strlen(text));
}

/* ---- ending ---- */

static void worker_end(void *context)
{
    struct worker *worker = context;

    tell(worker, CHANNEL_ENDED, 0, "", 0);
    if (worker->alone)
        ev_break(worker->loop, EVBREAK_ALL);
}

static void drain_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *worker = timer->data;

    (void)loop;
    (void)events;
    log_write(LEVEL_WARNING, "drain-timeout: %u connections are closed with work in flight",
              worker->agent->nconns);
    worker_end(worker);
}

static void worker_drain(struct worker *worker)
{
    if (worker->ending)
        return;
    worker->ending = true;
    if (!worker->agent) {
        worker_end(worker);
        return;
    }
    ev_timer_set(&worker->drain, worker->config->drain_timeout, 0);
    ev_timer_start(worker->loop, &worker->drain);
    agent_drain(worker->agent, worker_end, worker);
}

/* ---- loading, at the start and at a reload ---- */

/* The errors of the new configuration, a FAULT each. */
static size_t read_config(struct worker *worker, struct config *config)
{
    char *text = NULL, *line, *rest;
    size_t size, faults;
    FILE *errors = open_memstream(&text, &size);

    faults = config_read(config, worker->path, errors);
    fclose(errors);
    for (rest = text; (line = strsep(&rest, "\n")) != NULL;) {
        if (*line)
            fault_told(worker, line);
    }
    free(text);
    return faults;
}

static void use_config(struct worker *worker, struct config *config)
{
    char fault[256];

    log_set_level(config->log_level);
    if (!log_configure(config->log_format, config->log_target, fault, sizeof fault))
        log_write(LEVEL_ERR, "%s: the log stays where it is", fault);
    worker->config = config;
}

static void worker_loaded(void *context, struct script *script, bool good)
{
    struct worker *worker = context;

    worker->loading = NULL;
    if (!good) {
        script_stop(script);
        worker->status = EX_DATAERR;
        tell(worker, CHANNEL_FAILED, 0, "", 0);
        worker_end(worker);
        return;
    }
    if (handler_count(&script->handlers) == 0)
        log_write(LEVEL_WARNING, "no script defines a handler: every message will set nothing");
    worker->agent = agent_new(&worker->queue, &worker->config->agent, script);
    tell(worker, CHANNEL_LOADED, 0, "", 0);
}

static void reload_loaded(void *context, struct script *script, bool good)
{
    struct worker *worker = context;

    worker->loading = NULL;
    if (good) {
        worker->prepared = script;
        tell(worker, CHANNEL_LOADED, worker->generation, "", 0);
        return;
    }
    script_stop(script);
    config_free(worker->next);
    worker->next = NULL;
    tell(worker, CHANNEL_FAILED, worker->generation, "", 0);
}

static void reload_prepare(struct worker *worker, uint32_t generation)
{
    struct config *config = mem_zalloc(sizeof *config);

    worker->generation = generation;
    if (read_config(worker, config) != 0) {
        config_free(config);
        tell(worker, CHANNEL_FAILED, generation, "", 0);
        return;
    }
    worker->next = config;
    config->script.metrics = worker->metrics;

    worker->loading =
        script_load(&worker->queue, &config->script, true, fault_told, reload_loaded, worker);
}

static void reload_commit(struct worker *worker)
{
    struct config *old = worker->config;

    agent_configure(worker->agent, &worker->next->agent, worker->prepared);
    use_config(worker, worker->next);
    config_free(old);
    worker->next = NULL;
    worker->prepared = NULL;
    tell(worker, CHANNEL_SERVING, worker->generation, "", 0);
}

/* Whatever is loading or has loaded, but does not serve, is forgotten. */
static void reload_abort(struct worker *worker)
{
    if (worker->loading)
        script_stop(worker->loading);
    if (worker->prepared)
        script_stop(worker->prepared);
    if (worker->next)
        config_free(worker->next);
    worker->loading = worker->prepared = NULL;
    worker->next = NULL;
}

/* ---- what the supervisor says ---- */

static void take_connection(struct worker *worker, const struct packet *packet)
{
    static struct log_limit limit;

    if (packet->fd >= 0 && worker->agent) {
        agent_take(worker->agent, packet->fd, packet->text);
        return;
    }
    /* The kernel drops a descriptor that this process has no place for. */
    log_limited(&limit, LEVEL_ERR, "%s: closed: no descriptor is left for it (LimitNOFILE)",
                packet->text);
    worker->metrics->n[METRIC_CONNECTIONS_OPENED]++;
    worker->metrics->n[METRIC_CONNECTIONS_CLOSED]++;
    if (packet->fd >= 0)
        close(packet->fd);
}

static void received(void *context, const struct packet *packet)
{
    struct worker *worker = context;

    switch (packet->type) {
    case CHANNEL_CONN:
        take_connection(worker, packet);
        break;
    case CHANNEL_PREPARE:
        reload_prepare(worker, packet->number);
        break;
    case CHANNEL_COMMIT:
        reload_commit(worker);
        break;
    case CHANNEL_ABORT:
        reload_abort(worker);
        break;
    case CHANNEL_DRAIN:
        worker_drain(worker);
        break;
    case CHANNEL_STOP:
        worker_end(worker);
        break;
    case CHANNEL_LOG_LEVEL:
        log_set_level((enum log_level)packet->number);
        break;
    case CHANNEL_LOG_REOPEN:
        /* One process has one log, and the supervisor has seen to it. */
        if (worker->alone)
            log_reopen();
        break;
    case CHANNEL_ASK:
        if (worker->agent)
            worker_show(worker->agent, &worker->channel, packet);
        else
            tell(worker, CHANNEL_END, packet->number, "", 0);
        break;
    case CHANNEL_FORGET:
        if (worker->agent)
            worker_show_forget(worker->agent, packet->number);
        break;
    default:
        break;
    }
}

static void supervisor_gone(void *context)
{
    struct worker *worker = context;

    if (!worker->ending)
        log_write(LEVEL_ERR, "the supervisor is gone: this worker finishes and ends");
    worker_drain(worker);
}

static void term_received(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    tell(signal->data, CHANNEL_LEAVING, 0, "", 0);
    worker_drain(signal->data);
}

static void beat(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *worker = timer->data;
    uint64_t now = clock_look();

    (void)loop;
    (void)events;
    if (worker->agent)
        agent_beat(worker->agent, worker->due ? clock_seconds(worker->due, now) : 0);
    worker->due = clock_after(now, BEAT);
    worker->metrics->beat++;
}

/* ---- coming and going ---- */

struct worker *worker_start(struct ev_loop *loop, const struct worker_setup *setup)
{
    struct worker *worker = mem_zalloc(sizeof *worker);

    worker->loop = loop;
    worker->path = setup->path;
    worker->metrics = setup->metrics;
    worker->alone = setup->alone;
    metrics_begin(worker->metrics);
    log_count_lost(&worker->metrics->n[METRIC_LOG_LINES_LOST]);
    channel_open(&worker->channel, loop, setup->channel, received, supervisor_gone, worker);
    ev_timer_init(&worker->drain, drain_overdue, 0, 0);
    ev_timer_init(&worker->beat, beat, 0, BEAT);
    ev_signal_init(&worker->term, term_received, SIGTERM);
    worker->beat.data = worker->drain.data = worker->term.data = worker;
    if (worker->alone)
        ev_signal_start(loop, &worker->term);
    ev_timer_start(loop, &worker->beat);
    queue_open(&worker->queue, loop);
    if (!budget_open(wait_expired))
        log_write(LEVEL_ERR, "cannot make a timer: %s: handler-cpu is not held", strerror(errno));
    worker->config = setup->config;
    worker->config->script.metrics = worker->metrics;
    worker->loading = script_load(&worker->queue, &worker->config->script, true, fault_told,
                                  worker_loaded, worker);
    return worker;
}

void worker_free(struct worker *worker)
{
    reload_abort(worker);
    ev_timer_stop(worker->loop, &worker->beat);
    ev_timer_stop(worker->loop, &worker->drain);
    ev_signal_stop(worker->loop, &worker->term);
    channel_close(&worker->channel);
    if (worker->agent)
        agent_free(worker->agent);
    queue_close(&worker->queue);
    budget_close();
    config_free(worker->config);
    free(worker);
}

int worker_run(const struct worker_setup *setup)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct worker *worker;
    int status;

    if (!loop) {
        log_write(LEVEL_ERR, "cannot make an event loop: %s", strerror(errno));
        return EX_OSERR;
    }
    worker = worker_start(loop, setup);
    if (worker->status == 0)
        ev_run(loop, 0);
    status = worker->status;
    worker_free(worker);
    ev_loop_destroy(loop);
    return status;
}

/* ---- loading only ---- */

static void fault_to_stderr(void *context, const char *text)
{
    (void)context;
    escape_put(ESCAPE_LINES, stderr, text, strlen(text));
    putc('\n', stderr);
}

struct outcome {
    struct script *script;
    bool over, good;
};

static void check_loaded(void *context, struct script *script, bool good)
{
    struct outcome *outcome = context;

    *outcome = (struct outcome){script, true, good};
}

int worker_check(const struct config *config)
{
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    struct outcome outcome = {NULL, false, false};
    struct queue queue;

    queue_open(&queue, loop);
    budget_open(wait_expired);
    script_load(&queue, &config->script, false, fault_to_stderr, check_loaded, &outcome);
    while (!outcome.over)
        ev_run(loop, EVRUN_ONCE);
    script_stop(outcome.script);
    queue_close(&queue);
    budget_close();
    ev_loop_destroy(loop);
    return outcome.good ? EX_OK : EX_DATAERR;
}
