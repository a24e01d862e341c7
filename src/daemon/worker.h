/*
 * worker: what serves: a loop, an agent, the scripts.
 *
 * It has no listener and no port: the supervisor hands it connections over a channel, and
 * tells it there when to load its scripts again and when to end.  A worker is a process of
 * its own (worker_run) or lives in the supervisor's (worker_start, for --single).
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <ev.h>

#include "base/metrics.h"
#include "daemon/config.h"

struct worker;

struct worker_setup {
    struct config *config;   /* taken over */
    const char *path;        /* of the file it came from, for when it is to be read again */
    int channel;             /* taken over; the other end is the supervisor's */
    struct metrics *metrics; /* written by this worker alone */
    bool alone;              /* in a process of its own */
};

/* Begins to load the scripts; the channel is told what comes of it.  For as long as loop
 * runs, and until worker_free. */
struct worker *worker_start(struct ev_loop *loop, const struct worker_setup *setup);

/* Whatever is still under way is cancelled. */
void worker_free(struct worker *worker);

/* The whole life of a worker that is a process of its own; its exit status. */
int worker_run(const struct worker_setup *setup);

/* Loads the scripts and forgets them again; errors go to stderr.  EX_OK or EX_DATAERR. */
int worker_check(const struct config *config);

#endif
