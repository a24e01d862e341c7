#include "modules/json/job.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"

enum job_state {
    JOB_QUEUED,   /* to be parsed */
    JOB_RUNNING,  /* the thread has it */
    JOB_DONE,     /* the loop is told */
    JOB_UNWANTED, /* the thread is to free it, or has it and will */
};

struct json_job {
    enum job_state state; /* under the lock */
    TAILQ_ENTRY(json_job) entry;
    struct json_parse parse;
    struct ev_loop *loop;
    ev_async async;
    void (*done)(void *context);
    void *context;
    char text[];
};

/* A process's: what is to be done, and whether there is a thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static TAILQ_HEAD(, json_job) queue = TAILQ_HEAD_INITIALIZER(queue);
static bool running;

static void job_free(struct json_job *job)
{
    json_decref(job->parse.root);
    free(job);
}

/* The next job, and whether it is to be freed only; NULL, and no thread any more, when there is
 * none. */
static struct json_job *job_take(bool *unwanted)
{
    struct json_job *job;

    pthread_mutex_lock(&lock);
    job = TAILQ_FIRST(&queue);
    if (job) {
        TAILQ_REMOVE(&queue, job, entry);
        *unwanted = job->state == JOB_UNWANTED;
        if (!*unwanted)
            job->state = JOB_RUNNING;
    } else {
        running = false;
    }
    pthread_mutex_unlock(&lock);
    return job;
}

/* It has been parsed.  The loop is told under the lock, or the job, and the loop, might be gone;
 * false when nobody wants to know any more. */
static bool job_tell(struct json_job *job)
{
    bool wanted;

    pthread_mutex_lock(&lock);
    wanted = job->state == JOB_RUNNING;
    if (wanted) {
        job->state = JOB_DONE;
        ev_async_send(job->loop, &job->async);
    }
    pthread_mutex_unlock(&lock);
    return wanted;
}

static void *job_thread(void *unused)
{
    struct json_job *job;
    bool unwanted;

    while ((job = job_take(&unwanted)) != NULL) {
        if (!unwanted) {
            json_parse(&job->parse);
            unwanted = !job_tell(job);
        }
        if (unwanted)
            job_free(job);
    }
    return unused;
}

/* Signals are for the loop's thread. */
static bool thread_start(void)
{
    pthread_attr_t detached;
    sigset_t all, before;
    pthread_t thread;
    bool good;

    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    good = pthread_create(&thread, &detached, job_thread, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return good;
}

/* At the end of the queue; false when there can be no thread. */
static bool job_queue(struct json_job *job)
{
    bool good;

    pthread_mutex_lock(&lock);
    good = running || thread_start();
    running = good;
    if (good)
        TAILQ_INSERT_TAIL(&queue, job, entry);
    pthread_mutex_unlock(&lock);
    return good;
}

static void job_over(struct ev_loop *loop, ev_async *async, int events)
{
    struct json_job *job = async->data;

    (void)events;
    ev_async_stop(loop, async);
    job->done(job->context);
}

struct json_job *json_job_begin(struct ev_loop *loop, const struct json_parse *parse,
                                void (*done)(void *context), void *context)
{
    struct json_job *job = mem_alloc(sizeof *job + parse->len);

    job->state = JOB_QUEUED;
    job->parse = *parse;
    job->parse.root = NULL;
    job->parse.text = job->text;
    memcpy(job->text, parse->text, parse->len);
    job->loop = loop;
    job->done = done;
    job->context = context;
    ev_async_init(&job->async, job_over);
    job->async.data = job;
    ev_async_start(loop, &job->async);
    if (job_queue(job))
        return job;
    ev_async_stop(loop, &job->async);
    job_free(job);
    return NULL;
}

const struct json_parse *json_job_parse(const struct json_job *job)
{
    return &job->parse;
}

/* A whole document takes long to free: malloc joins all its pieces. */
void json_job_end(struct json_job *job)
{
    enum job_state state;

    ev_async_stop(job->loop, &job->async);
    pthread_mutex_lock(&lock);
    state = job->state;
    job->state = JOB_UNWANTED;
    pthread_mutex_unlock(&lock);
    if (state == JOB_DONE && !job_queue(job))
        job_free(job);
}
