/*
 * task: a coroutine that runs, waits, is woken, and ends exactly once.
 *
 * There is one door into Lua, task_run in task.c, and it is never entered from within Lua.
 * What a task does happens inside its coroutine, building arguments and converting results
 * too, so that whatever is raised, out of memory included, ends one task.
 *
 * A suspended task waits for exactly one thing, the wait, which lives in the operation that
 * is waiting (see api_sleep.c, the model) and knows how to be cancelled.
 *
 * A task may have children (spoa.spawn); when it ends, those that have not are cancelled.
 * Cancelling runs no Lua: the <close> variables of what was cancelled run when its own turn
 * comes, at its own cost.
 *
 * Lua runs wherever it allocates (finalizers), closes or converts.  So a task is taken out of
 * every list and its state is changed before Lua may run; a finalizer can then cancel and wake
 * what it likes.
 */
#ifndef SCRIPT_TASK_H
#define SCRIPT_TASK_H

#include <ev.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/log.h"
#include "script/coroutine.h"
#include "script/queue.h"

struct handler;
struct script;
struct task;
struct wait;

/*
 * X(identifier): what a task is doing, and what may come next.
 *
 *              task_run    returns     waits       wake        cancel, deadline   closed
 *  NEW         RUNNING     -           -           -           ENDING             -
 *  READY       RUNNING     -           -           -           ENDING             -
 *  RUNNING     -           OVER        YIELDING    -           refused            -
 *  YIELDING    -           -           WAITING     WOKEN       refused            -
 *  WAITING     -           -           -           READY       ENDING             -
 *  ENDING      -           -           refused     -           -                  OVER
 *
 * YIELDING and the three after it are on their way out of lua_resume, through coroutines of
 * the script's own perhaps: WOKEN and SLICED come out READY, STOPPED comes out ENDING, as does
 * a task that failed.  "-" does nothing.  Foreign Lua runs in RUNNING and ENDING only.
 */
#define TASK_STATES(X)                                                                             \
    X(OVER)     /* before it starts, and after it has ended and is closed */                       \
    X(NEW)      /* has a coroutine, and nothing has run in it */                                   \
    X(READY)    /* in the queue, to go on */                                                       \
    X(RUNNING)  /* its Lua code is on the C stack */                                               \
    X(YIELDING) /* to wait */                                                                      \
    X(WOKEN)    /* what it is to wait for is there already */                                      \
    X(SLICED)   /* to let others have their turn */                                                \
    X(STOPPED)  /* for it is over a limit */                                                       \
    X(WAITING)  /* for one thing */                                                                \
    X(ENDING)   /* its end has been told; in the queue to be closed, or being closed */

enum task_state {
#define X(id) TASK_IS_##id,
    TASK_STATES(X)
#undef X
};

/* X(identifier, name): what became of a task.  Of a message's, the name is what the error
 * variable is set to. */
#define TASK_RESULTS(X)                                                                            \
    X(OK, "ok")                                                                                    \
    X(ERROR, "error")     /* raised, or returned what is no actions */                             \
    X(TIMEOUT, "timeout") /* its deadline, or its CPU time, is up */                               \
    X(MEMORY, "memory")                                                                            \
    X(TOO_BIG, "too_big") /* its actions do not fit an ACK */                                      \
    X(BUSY, "busy")       /* never started: too many handlers are running */

enum task_result {
#define X(id, name) TASK_##id,
    TASK_RESULTS(X)
#undef X
};

const char *task_result_name(enum task_result result);

/* How it ended. */
struct task_report {
    enum task_result result;
    const char *text; /* unless OK: file:line, what happened, a traceback; for the call only */
    int nresults;     /* OK: so many values are on top of the task's coroutine */
};

/* What all tasks of a kind have in common. */
struct task_kind {
    lua_CFunction body; /* runs in the coroutine, where task_of finds the task */
    /* Exactly one of the two is called, once.  ended: by itself; cancelled: by task_cancel or
     * because its parent ended.  Neither may run Lua code. */
    void (*ended)(struct task *task, const struct task_report *report);
    void (*cancelled)(struct task *task);
    /* After that, when its coroutine is closed: the task is the callee's to free or reuse. */
    void (*over)(struct task *task);
    enum lane lane; /* SHORT: the lane depends on what the handler is known to take */
    bool keeps;     /* the coroutine, with what it returned or raised on top, stays until
                       task_forget */
};

LIST_HEAD(task_list, task);

/* Embedded, as the first member, in what the task is for. */
struct task {
    const struct task_kind *kind;
    struct script *script;
    const char *file; /* where what it runs is defined; set both before task_init */
    int line;
    struct handler *handler; /* that it works for, or NULL */
    struct log_about about;  /* what its lines in the log are about */
    /* task.c's own: */
    struct job job; /* first of these: see task_turn */
    enum task_state state;
    enum lane lane;
    struct coroutine coroutine;
    lua_State *inner;            /* of the script's own coroutines the one that yielded, or NULL */
    struct wait *wait;           /* what it waits for */
    uint64_t until;              /* its deadline by base/clock, or CLOCK_NEVER */
    unsigned ticks;              /* of CPU time for a run, or for all of them in the background */
    enum task_result result;     /* why it ends, as soon as that is known */
    const char *why;             /* of a result: the words for it, or NULL for those raised */
    char *told;                  /* of a result: the whole text; see blame.h */
    lua_State *raised;           /* where a hook has raised an error in this run, or NULL */
    bool spared;                 /* see wait_spare */
    struct log_subject *subject; /* about's own, when whose it was may be gone */
    ev_timer deadline;
    struct task_list children;
    LIST_ENTRY(task) sibling; /* among its parent's children, or the script's roots or ending */
    struct task *parent;
};

/* A script's. */
struct task_pool {
    unsigned count;       /* tasks that have begun and not ended: what limits are held against */
    struct task *running; /* whose Lua code is on the C stack, or NULL */
    struct task_list roots, ending;
    struct log_limit blockers;
};

void task_pool_init(struct script *script);

/* What one task may use, and until when. */
struct task_limits {
    unsigned ticks; /* see script/budget.h */
    uint64_t until; /* by base/clock, or CLOCK_NEVER */
};

/*
 * Makes a task of a kind; file, line, handler and about are the caller's to set before.  False
 * when Lua has no memory for a coroutine: nothing is called then.  May run finalizers.
 */
bool task_init(struct task *task, struct script *script, const struct task_kind *kind,
               struct task_limits limits);

/* A new one runs when its turn comes. */
void task_start(struct task *task);

/* A new one runs now, until it ends or waits.  From the loop or a job, never within Lua. */
void task_start_now(struct task *task);

/*
 * From within a running task: a child, run when its turn comes.  Moves the function and its
 * nargs arguments from the top of lua to the child, whose body finds them.  NULL, or why there
 * is none; then the values stay.  May run finalizers.
 */
const char *task_spawn(lua_State *lua, struct task *task, const struct task_kind *kind, int nargs);

/* `cancelled` is called, and its <close> variables run when its turn comes.  Nothing happens
 * to a task that is ending or over.  Not for the task that is running, nor its parents. */
void task_cancel(struct task *task);

/* Cancels every task there is, and closes them now: the script is to end. */
void task_end_all(struct script *script);

/* For kinds that keep: gives the coroutine back. */
void task_forget(struct task *task);

static inline bool task_is_over(const struct task *task)
{
    return task->state == TASK_IS_OVER || task->state == TASK_IS_ENDING;
}

/* The lane that a task's turns are in, by what its handler takes. */
enum lane task_lane(const struct task *task);

/* The task whose own coroutine this is. */
struct task *task_of(lua_State *lua);

/* ---- for wait.c ---- */

/* It is woken: it goes on when its turn comes. */
void task_ready(struct task *task);

/* What it waits for is cancelled, if anything. */
void task_unwait(struct task *task);

#endif
