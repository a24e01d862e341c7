#include "agent/agent.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* A read takes what is there up to a block.  Only connections with half a frame keep one,
 * so few are ever in use. */
#define IN_BLOCK (64 * 1024)
#define IN_KEEP  16

/* Output is in use from an answer to the end of the turn, on every connection that has any. */
#define OUT_BLOCK (4 * 1024)
#define OUT_KEEP  256

/* How long a draining connection may wait for a moment when it is idle, in which nothing is on its
 * way.  HAProxy's pipelined ones may never have one. */
#define DRAIN_IDLE_SECONDS 0.3

/* The agent has nothing to wait for any more. */
static bool agent_is_drained(const struct agent *agent)
{
    const struct script *script;

    if (agent->drain == DRAIN_NOT || agent->nconns > 0 || script_is_busy(agent->script))
        return false;
    LIST_FOREACH (script, &agent->retired, entry) {
        if (script_is_busy(script))
            return false;
    }
    return true;
}

/* After each slice: everything that there is to say, one write each. */
static void agent_flush(void *context)
{
    struct agent *agent = context;
    void (*drained)(void *context) = agent->drained;

    while (!LIST_EMPTY(&agent->dirty))
        conn_flush(LIST_FIRST(&agent->dirty));
    if (drained && agent_is_drained(agent)) {
        agent->drained = NULL;
        drained(agent->drained_context);
    }
}

static void agent_held(void *context, uint64_t nanoseconds)
{
    struct agent *agent = context;

    metrics_lag(agent->metrics, nanoseconds);
}

static void drain_enter(struct agent *agent, enum agent_drain drain)
{
    struct conn *conn;

    agent->drain = drain;
    LIST_FOREACH (conn, &agent->conns, entry)
        conn_mark_dirty(conn);
}

static void agent_deaf(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    drain_enter(timer->data, DRAIN_ALL);
}

struct agent *agent_new(struct queue *queue, const struct agent_options *options,
                        struct script *script)
{
    struct agent *agent = mem_zalloc(sizeof *agent);

    agent->queue = queue;
    agent->loop = queue->loop;
    agent->options = options;
    agent->script = script;
    agent->metrics = script->metrics;
    background_serve(script);
    buf_pool_init(&agent->in_pool, IN_BLOCK, IN_KEEP);
    buf_pool_init(&agent->out_pool, OUT_BLOCK, OUT_KEEP);
    LIST_INIT(&agent->conns);
    LIST_INIT(&agent->dirty);
    LIST_INIT(&agent->unused);
    LIST_INIT(&agent->traces);
    LIST_INIT(&agent->retired);
    queue_serve(queue, agent_flush, agent_held, agent);
    ev_init(&agent->deaf, agent_deaf);
    agent->deaf.data = agent;
    return agent;
}

void agent_configure(struct agent *agent, const struct agent_options *options,
                     struct script *script)
{
    script_retire(agent->script, &agent->retired);
    agent->options = options;
    agent->script = script;
    background_serve(script);
}

void agent_take(struct agent *agent, int fd, const char *peer)
{
    agent->metrics->n[METRIC_CONNECTIONS_OPENED]++;
    if (agent->nconns >= agent->options->max_connections) {
        agent->metrics->n[METRIC_CONNECTIONS_FULL]++;
        agent->metrics->n[METRIC_CONNECTIONS_CLOSED]++;
        log_limited(&agent->refusals, LEVEL_WARNING,
                    "%s: closed: there are max-connections (%u) connections already", peer,
                    agent->options->max_connections);
        close(fd);
        return;
    }
    log_write(LEVEL_DEBUG, "%s: connected", peer);
    conn_open(agent, fd, peer);
}

static void gauge_seconds(uint64_t *gauge, double seconds)
{
    *gauge = seconds > 0 ? (uint64_t)(seconds * 1e6) : 0;
}

void agent_beat(struct agent *agent, double late)
{
    struct metrics *metrics = agent->metrics;
    const struct conn *conn;
    uint64_t now = clock_look(), oldest = now, since;

    LIST_FOREACH (conn, &agent->conns, entry) {
        since = exchange_oldest(conn);
        if (since < oldest)
            oldest = since;
    }
    gauge_seconds(&metrics->n[METRIC_OLDEST_MICROSECONDS], clock_seconds(oldest, now));
    gauge_seconds(&metrics->n[METRIC_LAG_MICROSECONDS], late);
    if (metrics->n[METRIC_LAG_MICROSECONDS] > metrics->n[METRIC_LAG_MAX_MICROSECONDS])
        metrics->n[METRIC_LAG_MAX_MICROSECONDS] = metrics->n[METRIC_LAG_MICROSECONDS];
    metrics->n[METRIC_LUA_BYTES] = agent->script->heap.used;
    metrics->n[METRIC_TASKS] = agent->script->tasks.count;
    metrics->n[METRIC_HANDLERS] = handler_count(&agent->script->handlers);
}

void agent_drain(struct agent *agent, void (*drained)(void *context), void *context)
{
    agent->drained = drained;
    agent->drained_context = context;
    drain_enter(agent, DRAIN_IDLE);
    clock_timer(agent->loop, &agent->deaf, DRAIN_IDLE_SECONDS);
}

void agent_free(struct agent *agent)
{
    while (!LIST_EMPTY(&agent->conns))
        conn_close(LIST_FIRST(&agent->conns));
    queue_serve(agent->queue, NULL, NULL, NULL);
    ev_timer_stop(agent->loop, &agent->deaf);
    exchange_pool_clear(agent);
    trace_stop_all(&agent->traces);
    buf_pool_clear(&agent->in_pool);
    buf_pool_clear(&agent->out_pool);
    log_limit_flush(&agent->refusals, LEVEL_WARNING, "refused connections");
    log_limit_flush(&agent->faults, LEVEL_WARNING, "connections");
    log_limit_flush(&agent->unknowns, LEVEL_WARNING, "messages without a handler");
    while (!LIST_EMPTY(&agent->retired))
        script_stop(LIST_FIRST(&agent->retired));
    script_stop(agent->script);
    free(agent);
}
