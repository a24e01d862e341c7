/*
 * agent: all connections of one worker, and what they share.
 *
 * Owns the connections and the buffer pools, and sends all output: after each slice of the
 * queue, many ACKs in one write.  It accepts nothing itself; whoever does hands it the sockets.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent/conn.h"
#include "agent/exchange.h"
#include "agent/options.h"
#include "agent/trace.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/metrics.h"
#include "script/script.h"

enum agent_drain {
    DRAIN_NOT,
    DRAIN_IDLE, /* goodbye to connections as they are idle; the others are still served */
    DRAIN_ALL,  /* none is read any more: what was is answered, then goodbye */
};

struct agent {
    struct queue *queue;
    struct ev_loop *loop; /* the queue's */
    const struct agent_options *options;
    struct script *script;      /* where new NOTIFYs go; owned */
    struct script_list retired; /* which still run something; owned */
    struct buf_pool in_pool, out_pool;
    struct conn_list conns, dirty;
    unsigned nconns;
    struct exchange_list unused;
    enum agent_drain drain;
    ev_timer deaf; /* after DRAIN_IDLE, DRAIN_ALL */
    void (*drained)(void *context);
    void *drained_context;
    struct metrics *metrics; /* the scripts' */
    struct trace_list traces;
    struct log_limit refusals, faults, unknowns;
};

/* Takes over the script; options must outlive the agent or be replaced by agent_configure. */
struct agent *agent_new(struct queue *queue, const struct agent_options *options,
                        struct script *script);

/* New options and scripts, from the next NOTIFY on.  Connections stay; the old script is
 * retired. */
void agent_configure(struct agent *agent, const struct agent_options *options,
                     struct script *script);

/* A new connection; fd is non-blocking and is the agent's from now on.  peer is copied. */
void agent_take(struct agent *agent, int fd, const char *peer);

/* To be called now and then: gauges that are looked at, not counted.  late: how late the call
 * came, in seconds. */
void agent_beat(struct agent *agent, double late);

/* Says goodbye on every connection: as soon as nothing is in flight on it, or, where that does
 * not come by itself soon, by not reading on.  Calls drained when the last is gone, from the
 * loop. */
void agent_drain(struct agent *agent, void (*drained)(void *context), void *context);

/* Closes everything that is still there; in-flight handlers are cancelled. */
void agent_free(struct agent *agent);

#endif
