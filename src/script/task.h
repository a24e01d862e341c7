/*
 * task: a coroutine that runs, waits, is woken, and ends exactly once.
 *
 * There is one door into Lua, task_run in task.c.  What a task does happens inside its
 * coroutine, building arguments and converting results too, so that whatever is raised, out
 * of memory included, ends one task.  A coroutine whose task returned normally is used
 * again; any other is closed, which runs its <close> variables.
 *
 * A suspended task waits for exactly one thing, the wait, which lives in the operation that
 * is waiting (see api_sleep.c, the model) and knows how to be cancelled.
 *
 * A task may have children (spoa.spawn); when it ends, those that have not are cancelled.
 */
#ifndef SCRIPT_TASK_H
#define SCRIPT_TASK_H

#include <ev.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/log.h"

struct script;
struct task;

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

/* What the text of a failure is made of. */
enum task_telling {
    TELL_TRACEBACK, /* the error and where it was raised from */
    TELL_PLACE,     /* not in the script's own lines: the error, and where they begin */
    TELL_BARE,      /* the error alone */
};

/* What all tasks of a kind have in common. */
struct task_kind {
    lua_CFunction body; /* runs in the coroutine, where task_of finds the task */
    /* Exactly one of the two is called, once; the task is the callee's to free or reuse.
     * ended: by itself; cancelled: by task_cancel or because its parent ended. */
    void (*ended)(struct task *task, const struct task_report *report);
    void (*cancelled)(struct task *task);
    unsigned allowance; /* of CPU time between two waits, in handler-cpu's */
    bool keeps;         /* the coroutine, with what it returned or raised on top, stays until
                           task_forget */
};

LIST_HEAD(task_list, task);
TAILQ_HEAD(task_queue, task);

/* Embedded, as the first member, in what the task is for. */
struct task {
    const struct task_kind *kind;
    struct script *script;
    const char *file; /* where what it runs is defined; set both before task_start */
    int line;
    unsigned place;         /* of the handler it works for in the metrics, + 1; 0: none */
    struct log_about about; /* what its lines in the log are about */
    /* task.c's own: */
    lua_State *lua; /* the coroutine; NULL before and after */
    int anchor;     /* its reference in the registry */
    double timeout;
    struct wait *wait;     /* what it waits for */
    lua_State *inner;      /* the coroutine of its own that waits, if it is one */
    enum task_result fate; /* what it is being stopped for, or TASK_OK */
    const char *why;       /* with a fate: the words for it */
    enum task_telling telling;
    bool live;   /* started, and neither ended nor cancelled */
    bool listed; /* among its parent's children, or the pool's roots */
    bool queued; /* to be run */
    bool clean;  /* returned normally */
    bool raised; /* an error was raised in a hook: Lua 5.4.4 may have hooks off for good */
    bool *gone;  /* told when it is over, for task_start's callers */
    ev_timer deadline;
    struct task_list children;
    LIST_ENTRY(task) sibling;
    TAILQ_ENTRY(task) ready;
    struct task *parent;
};

struct coroutine {
    lua_State *lua;
    int anchor;
};

#define TASK_POOL_MAX 1024

struct task_pool {
    unsigned count;          /* tasks that have not ended */
    struct task *running;    /* whose Lua code is on the C stack, or NULL */
    unsigned busy;           /* we are in here already: who is woken runs later */
    struct task_list roots;  /* those without a parent that have waited */
    struct task_queue ready; /* to be run, in this order */
    ev_timer more;           /* goes on with them in the next turn of the loop */
    struct coroutine unused[TASK_POOL_MAX];
    unsigned nunused;
};

void task_pool_init(struct script *script);
void task_pool_clear(struct script *script);

/*
 * Starts a task: runs it now until it ends or waits.  timeout is in seconds from this turn
 * of the loop, 0 for none.  False when Lua has no memory for a coroutine: nothing was
 * started, nothing is called.  *gone tells whether it is over already.
 * From within Lua use task_spawn.
 */
bool task_start(struct task *task, struct script *script, const struct task_kind *kind,
                double timeout, bool *gone);

/*
 * From within a task: a child, run as soon as the caller waits or ends.  Moves the function
 * and its nargs arguments from the top of lua to the child, whose body finds them.  NULL, or
 * why there is none; then the values stay.
 */
const char *task_spawn(lua_State *lua, struct task *task, const struct task_kind *kind, int nargs);

/* Cancels every task there is; for a script that is to end now. */
void task_cancel_all(struct script *script);

/* Cancels its wait, its children, closes its coroutine; `cancelled` is called.  Nothing
 * happens to a task that is over.  Not for the task that is running, nor its parents. */
void task_cancel(struct task *task);

/* For kinds that keep: gives the coroutine back. */
void task_forget(struct task *task);

/* The task whose own coroutine this is. */
struct task *task_of(lua_State *lua);

/*
 * The hook for budget_open.  It yields, which a handler cannot catch as it can an error, and
 * which leaves hooks enabled for its <close> variables.  Where nothing can yield it raises,
 * again and again; an error raised in a hook that nothing catches turns hooks off for good
 * on that coroutine (Lua 5.4.4), so that its <close> variables do not run: nothing could
 * stop them.
 */
void task_expired(lua_State *lua, lua_Debug *about);

/* ---- for the functions of the Lua API that wait ---- */

struct wait {
    struct task *task;
    void (*cancel)(struct wait *wait); /* stop whatever would have called wait_wake */
};

/*
 * `return wait_yield(...)`: suspends the task that is calling until wait_wake, after which
 * resumed runs as lua_yieldk has it.  Raises where nothing can wait: outside of a task, or
 * under a C function that calls back (table.sort, string.gsub).  Arm the operation first,
 * so that cancel has something to cancel: it is called if this raises.
 */
int wait_yield(lua_State *lua, struct wait *wait, void (*cancel)(struct wait *wait),
               lua_KFunction resumed);

/*
 * What was waited for is there.  Called from the loop, the task goes on now, and the wait,
 * which is on its stack, may be gone when this returns; called from where a task runs or
 * ends, it goes on after that.
 */
void wait_wake(struct wait *wait);

/* ---- for coroutines that handlers make themselves (api_coroutine.c) ---- */

/* After a resume came back with LUA_YIELD: whether it was meant for the scheduler, so that
 * the coroutine below must yield too. */
bool task_must_pass(const struct script *script);

/* inner is suspended by the scheduler; outer resumed it and yields next. */
void task_pass(struct script *script, lua_State *inner, lua_State *outer);

/* outer cannot yield: undoes the wait (inner is closed), and returns what outer is to
 * raise. */
const char *task_refuse(struct script *script, lua_State *inner);

/* Closes a coroutine that failed, unless it failed in a way that <close> variables could
 * not be stopped in. */
void task_close_failed(struct script *script, lua_State *inner);

/* Whether a coroutine is the scheduler's at the moment, not to be resumed by a handler. */
bool task_owns(lua_State *coroutine);

/* inner is about to be resumed after a wait. */
void task_release(lua_State *inner);

#endif
