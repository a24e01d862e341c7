/*
 * client: one connection to the agent, HAProxy's side of it: says HELLO, sends NOTIFYs as far
 * as the agent agreed to have them outstanding, and matches every ACK to one of them.
 *
 * Owns its socket and buffers.  What it shares with the other connections of the run, the
 * tally among it, is the run's.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "base/buf.h"
#include "expectation.h"
#include "notify.h"
#include "spop/hello.h"
#include "tally.h"
#include "target.h"

/* What the connections of a run have in common. */
struct run {
    const struct target *target;
    const struct hello *hello;   /* what is offered */
    const struct notify *notify; /* what each NOTIFY carries */
    struct expectation *expectation;
    struct tally *tally;
    unsigned outstanding; /* on a connection, if the agent has pipelining */
    uint64_t timeout;     /* processing, in nanoseconds */
    struct hello agreed;  /* by the connection that said HELLO last */
    bool measured;        /* are we in the window? */
    int error;            /* errno of the last connection that failed; 0 for none */
    int epoll;
    struct buf_pool in_pool, out_pool;
};

enum client_state {
    CLIENT_HELLO, /* connecting, or waiting for AGENT-HELLO */
    CLIENT_RUNNING,
    CLIENT_LEAVING, /* has said goodbye */
    CLIENT_CLOSED,
};

/* A NOTIFY outstanding. */
struct slot {
    bool busy;
    uint64_t stream_id;
    uint64_t since; /* what latency is counted from */
    uint64_t sent;  /* what the processing timeout is counted from */
};

struct overdue;

struct client {
    struct run *run;
    enum client_state state;
    int fd;
    bool blocked; /* output waits for EPOLLOUT */
    struct buf in, out;
    uint32_t frame_size;
    uint64_t issued; /* stream-ids, see stream_id_new */
    unsigned room;   /* slots in use, at the most */
    unsigned nunused;
    unsigned *unused;
    struct slot *slots;
    struct overdue *overdue; /* given up, not answered yet */
};

/* Connects and says HELLO.  Ends in CLIENT_CLOSED when refused at once, as all others do that
 * fail later; client_free is for every client. */
void client_open(struct client *client, struct run *run);
void client_free(struct client *client);

/* Ends it without a word; what it has outstanding is missing then. */
void client_close(struct client *client);

/* Something happened to the socket, in epoll's words. */
void client_event(struct client *client, uint32_t events);

/* Can it send a NOTIFY now? */
static inline bool client_ready(const struct client *client)
{
    return client->state == CLIENT_RUNNING && client->nunused > 0 && !client->blocked;
}

/* Puts one NOTIFY into the output, on a client that is ready; latency counts from since. */
void client_notify(struct client *client, uint64_t since, uint64_t now);

/* Sends what is in the output. */
void client_flush(struct client *client);

/* Gives up what was sent longer than the processing timeout ago, as HAProxy does: another
 * NOTIFY may be sent instead. */
void client_expire(struct client *client, uint64_t now);

/* How many NOTIFYs have no answer yet, given up or not. */
unsigned client_waiting(const struct client *client);

/* Says HAPROXY-DISCONNECT; the agent should answer and close. */
void client_leave(struct client *client);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_now(void);

#endif
