/*
 * child: a worker as its supervisor sees it: a process, a channel, a slot of metrics.
 *
 * It is started, watched (a process that ends, a loop that no longer turns), killed where it
 * must be, and started again with growing pauses.  With --single the worker is not a process:
 * it lives in the supervisor's loop, and everything else is the same.
 */
#ifndef DAEMON_CHILD_H
#define DAEMON_CHILD_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/metrics.h"
#include "daemon/channel.h"
#include "daemon/config.h"
#include "daemon/worker.h"

/* X(identifier, name for people) */
#define CHILD_STATES(X)                                                                            \
    X(GONE, "gone")       /* no process; maybe a timer for the next */                             \
    X(LOADING, "loading") /* its scripts */                                                        \
    X(SERVING, "serving")                                                                          \
    X(ENDING, "ending") /* told to drain or to stop */

enum child_state {
#define X(id, name) CHILD_##id,
    CHILD_STATES(X)
#undef X
};

struct child;

/* What all children of a supervisor have in common. */
struct child_host {
    struct ev_loop *loop;  /* the default loop, which alone hears of processes that end */
    const char *path;      /* of the configuration */
    struct config *config; /* for those that are started from now on */
    bool single;
    /* In the new process: forget whatever is the supervisor's. */
    void (*forked)(void *context);
    void (*said)(void *context, struct child *child, const struct packet *packet);
    /* Its state is CHILD_GONE now.  good: it ended with status 0, as it was told. */
    void (*gone)(void *context, struct child *child, bool good);
    void *context;
};

struct child {
    const struct child_host *host;
    unsigned number; /* from 1 */
    enum child_state state;
    pid_t pid;
    struct channel channel;
    struct metrics *metrics;
    struct worker *hosted; /* --single's */
    ev_child exit;
    ev_timer again;
    uint64_t started; /* base/clock */
    double pause;     /* before it is started again */
    unsigned restarts;
    uint64_t handed;   /* connections it was given, and those of its slot before */
    uint64_t beat;     /* the last one seen */
    unsigned missed;   /* checks since then */
    unsigned patience; /* more checks that it may miss, while it loads scripts */
    bool deaf;         /* it was killed, or does not hear: it is about to be gone */
    bool stuck;        /* it was killed for that */
};

const char *child_state_name(const struct child *child);

void child_init(struct child *child, const struct child_host *host, unsigned number,
                struct metrics *metrics);

/* False, having logged why, when there can be no process: it is tried again later. */
bool child_start(struct child *child);

/* Starts it again after a pause, which grows while it does not live long. */
void child_start_later(struct child *child);

/* Gives it a connection; false, with fd still the caller's, when it is dead. */
bool child_hand(struct child *child, int fd, const char *peer);

void child_tell(struct child *child, enum channel_type type, uint32_t number, const char *text);

/* Connections it has or is about to have. */
uint64_t child_connections(const struct child *child);

/* To be called once a second: one whose loop has not turned for so many calls is killed. */
void child_check(struct child *child, unsigned allowed);

/* Ends it now. */
void child_kill(struct child *child);

/* Frees what is the supervisor's; the process is gone, or of no interest any more. */
void child_clear(struct child *child);

#endif
