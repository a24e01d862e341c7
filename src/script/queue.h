/*
 * queue: what a worker does next: one thing after the other, so that nobody waits for long.
 *
 * A connection with frames, a task that goes on, a function in the background: each is a job,
 * which is run from the loop when its turn comes and never inside of another.  Jobs run in
 * slices; after each slice what was said leaves, and sockets and timers have their turn.
 *
 * There is a FIFO for each lane, and the lanes share the time by weight as long as each has
 * something to do: a job that is short does not stand behind all that are long.
 *
 * One of it for a loop.
 */
#ifndef SCRIPT_QUEUE_H
#define SCRIPT_QUEUE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/clock.h"

/* X(identifier, weight): of two lanes with work one of twice the weight has twice the time. */
#define QUEUE_LANES(X)                                                                             \
    X(SHORT, 4)      /* connections, and what takes less than QUEUE_LONG */                        \
    X(LONG, 4)       /* what is known to take longer */                                            \
    X(BACKGROUND, 1) /* what nobody waits for */

enum lane {
#define X(id, weight) LANE_##id,
    QUEUE_LANES(X)
#undef X
        LANE_COUNT
};

/* After so much the loop has its turn; a single job may take longer. */
#define QUEUE_SLICE (2 * CLOCK_MILLISECOND)

/* From here on something is long. */
#define QUEUE_LONG (QUEUE_SLICE / 4)

/* Embedded in what is to be run. */
struct job {
    TAILQ_ENTRY(job) entry;
    void (*run)(struct job *job); /* may add it again, and free it */
    enum lane lane;
    bool queued;
};

TAILQ_HEAD(job_list, job);

struct queue {
    struct ev_loop *loop;
    struct {
        struct job_list jobs;
        uint64_t used; /* nanoseconds by weight, since it last had nothing to do */
    } lanes[LANE_COUNT];
    uint64_t used;     /* of the lane that ran last */
    ev_check begin;    /* before all other callbacks of a turn */
    ev_check turn;     /* after them */
    ev_prepare end;    /* before the loop blocks */
    ev_idle unwilling; /* keeps it from blocking while there are jobs */
    void (*flush)(void *context);
    void (*held)(void *context, uint64_t nanoseconds);
    void *context;
};

/* The loop runs as long as there are jobs, and not because of the queue. */
void queue_open(struct queue *queue, struct ev_loop *loop);
void queue_close(struct queue *queue);

/* flush is called before and after each slice, and before the loop blocks; held is told how long a
 * slice has held the loop.  Both NULL for nobody. */
void queue_serve(struct queue *queue, void (*flush)(void *context),
                 void (*held)(void *context, uint64_t nanoseconds), void *context);

static inline void job_init(struct job *job, void (*run)(struct job *job))
{
    job->run = run;
    job->queued = false;
}

/* At the end of the lane.  Not for one that is queued. */
void queue_add(struct queue *queue, struct job *job, enum lane lane);

/* Nothing happens to one that is not queued. */
void queue_remove(struct queue *queue, struct job *job);

#endif
