#include "script/queue.h"

#include <stddef.h>

static const unsigned weights[] = {
#define X(id, weight) [LANE_##id] = weight,
    QUEUE_LANES(X)
#undef X
};

void queue_add(struct queue *queue, struct job *job, enum lane lane)
{
    /* A lane that had nothing to do has not saved up the time that it did not want. */
    if (TAILQ_EMPTY(&queue->lanes[lane].jobs) && queue->lanes[lane].used < queue->used)
        queue->lanes[lane].used = queue->used;
    job->lane = lane;
    job->queued = true;
    TAILQ_INSERT_TAIL(&queue->lanes[lane].jobs, job, entry);
}

void queue_remove(struct queue *queue, struct job *job)
{
    if (!job->queued)
        return;
    job->queued = false;
    TAILQ_REMOVE(&queue->lanes[job->lane].jobs, job, entry);
}

/* The first job of the lane that has had the least, or NULL. */
static struct job *queue_next(const struct queue *queue)
{
    struct job *next = NULL;

    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct job *first = TAILQ_FIRST(&queue->lanes[lane].jobs);

        if (first && (!next || queue->lanes[lane].used < queue->lanes[next->lane].used))
            next = first;
    }
    return next;
}

/* Runs jobs until the slice is over or there are none; the time it is then.  What is in the
 * background has slices of its own, so that what others have said leaves first. */
static uint64_t queue_slice(struct queue *queue, uint64_t began)
{
    uint64_t now = began;
    struct job *job = queue_next(queue);
    bool background = job && job->lane == LANE_BACKGROUND; /* a flush may have closed all */

    for (; job && now - began < QUEUE_SLICE; job = queue_next(queue)) {
        enum lane lane = job->lane;
        uint64_t before = now;

        if ((lane == LANE_BACKGROUND) != background)
            break;
        queue->used = queue->lanes[lane].used;
        queue_remove(queue, job);
        job->run(job);
        now = clock_look();
        queue->lanes[lane].used += (now - before) / weights[lane];
    }
    return now;
}

static void queue_flush(struct queue *queue)
{
    if (queue->flush)
        queue->flush(queue->context);
}

/* The loop has waited: before all other callbacks, what was seen of the clock is old. */
static void queue_begin(struct ev_loop *loop, ev_check *check, int events)
{
    (void)loop;
    (void)check;
    (void)events;
    clock_forget();
}

/* After the callbacks of all that has happened: what waits for no turn leaves, then a slice. */
static void queue_turn(struct ev_loop *loop, ev_check *check, int events)
{
    struct queue *queue = check->data;
    uint64_t began, ended;

    (void)loop;
    (void)events;
    if (!queue_next(queue))
        return;
    queue_flush(queue);
    began = clock_seen();
    ended = queue_slice(queue, began);
    if (queue->held)
        queue->held(queue->context, ended - began);
}

/* Before the loop blocks, which it may only with nothing left to do. */
static void queue_end(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct queue *queue = prepare->data;

    (void)events;
    queue_flush(queue);
    if (queue_next(queue))
        ev_idle_start(loop, &queue->unwilling);
    else
        ev_idle_stop(loop, &queue->unwilling);
}

/* It is there, which is all. */
static void stay_awake(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)loop;
    (void)idle;
    (void)events;
}

void queue_open(struct queue *queue, struct ev_loop *loop)
{
    *queue = (struct queue){.loop = loop};
    for (int lane = 0; lane < LANE_COUNT; lane++)
        TAILQ_INIT(&queue->lanes[lane].jobs);
    ev_idle_init(&queue->unwilling, stay_awake);
    ev_check_init(&queue->begin, queue_begin);
    ev_set_priority(&queue->begin, EV_MAXPRI);
    ev_check_init(&queue->turn, queue_turn);
    ev_set_priority(&queue->turn, EV_MINPRI);
    ev_prepare_init(&queue->end, queue_end);
    queue->turn.data = queue->end.data = queue;
    ev_check_start(loop, &queue->begin);
    ev_check_start(loop, &queue->turn);
    ev_prepare_start(loop, &queue->end);
    for (int watchers = 0; watchers < 3; watchers++)
        ev_unref(loop);
}

void queue_close(struct queue *queue)
{
    ev_idle_stop(queue->loop, &queue->unwilling);
    for (int watchers = 0; watchers < 3; watchers++)
        ev_ref(queue->loop);
    ev_check_stop(queue->loop, &queue->begin);
    ev_check_stop(queue->loop, &queue->turn);
    ev_prepare_stop(queue->loop, &queue->end);
}

void queue_serve(struct queue *queue, void (*flush)(void *context),
                 void (*held)(void *context, uint64_t nanoseconds), void *context)
{
    queue->flush = flush;
    queue->held = held;
    queue->context = context;
}
