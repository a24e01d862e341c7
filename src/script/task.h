/*
 * task: one message's run through its handler: a coroutine that runs, waits, is woken, and
 * ends exactly once.
 *
 * There is one door into Lua for handlers, and it is here: arguments are built, the handler
 * is called and its result converted inside the coroutine, so that whatever is raised, out
 * of memory too, ends one task.  A coroutine whose task returned normally is used again;
 * any other is closed, which runs its <close> variables.
 *
 * A suspended task waits for exactly one thing, the wait, which lives in the operation that
 * is waiting (see api_sleep.c, the model) and knows how to be cancelled.
 */
#ifndef SCRIPT_TASK_H
#define SCRIPT_TASK_H

#include <ev.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "script/handler.h"
#include "spop/message.h"

struct script;
struct task;

/* X(identifier, name): what became of a message.  Its name is what the error variable is
 * set to. */
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

/* Where a message came from; what a handler sees as its second parameter. */
struct task_context {
    const char *peer;
    struct span engine_id;
    uint64_t stream_id, frame_id;
};

/* How it ended. */
struct task_report {
    enum task_result result;
    struct span actions; /* TASK_OK only: a list of actions, there until another task runs */
    const char *text;    /* otherwise: script:line, what happened, a traceback; there during
                            the call */
};

typedef void task_done_fn(void *owner, unsigned slot, const struct task_report *report);

struct task_call {
    struct handler *handler;
    const struct message *message;      /* read before task_start returns, never after */
    const struct task_context *context; /* must live until the task ends */
    size_t room;                        /* the most bytes of actions */
    task_done_fn *done;
    void *owner;
    unsigned slot;
};

LIST_HEAD(task_list, task);

struct task_pool {
    struct task_list waiting, unused;
    unsigned count, unused_count; /* not ended yet; kept for the next */
    struct task *running;         /* whose Lua code is on the C stack, or NULL */
};

/*
 * Runs the handler until it ends or waits.  done is called exactly once unless the task is
 * cancelled: before task_start returns, which is then NULL, or later from the loop.
 */
struct task *task_start(struct script *script, const struct task_call *call);

/* The one it worked for is gone: cancels its wait, closes its coroutine, never calls done.
 * Must not be called from within the task. */
void task_cancel(struct task *task);

/*
 * The hook for budget_open.  It yields, which a handler cannot catch as it can an error, and
 * which leaves hooks enabled for its <close> variables (an error raised in a hook turns
 * them off for good, Lua 5.4.4).  Where nothing can yield it raises, again and again.
 */
void task_expired(lua_State *lua, lua_Debug *about);

/* For a script that ends. */
void task_pool_clear(struct script *script);

/* ---- for the functions of the Lua API that wait ---- */

struct wait {
    struct task *task;
    void (*cancel)(struct wait *wait); /* stop whatever would have called wait_wake */
};

/*
 * `return wait_yield(...)`: suspends the handler that is calling until wait_wake, after
 * which resumed (may be NULL) runs as lua_yieldk has it.  Raises where nothing can wait:
 * outside of a handler, or under a C function that calls back (table.sort, string.gsub).
 * Arm the operation first, so that cancel has something to cancel: it is called if this
 * raises.
 */
int wait_yield(lua_State *lua, struct wait *wait, void (*cancel)(struct wait *wait),
               lua_KFunction resumed);

/* What was waited for is there: goes on with the handler, now.  The wait may be gone when
 * this returns.  Call it from the loop, never from Lua. */
void wait_wake(struct wait *wait);

/* ---- for coroutines that handlers make themselves (api_coroutine.c) ---- */

/* After a resume came back with LUA_YIELD: whether it was meant for the scheduler, so that
 * the coroutine below must yield too. */
bool task_must_pass(const struct script *script);

/* inner is suspended by the scheduler; outer resumed it and yields next. */
void task_pass(struct script *script, lua_State *inner, lua_State *outer);

/* outer cannot yield: undoes the wait (inner is closed) so that outer can raise. */
void task_refuse(struct script *script, lua_State *inner);

/* Whether a coroutine is the scheduler's at the moment, not to be resumed by a handler. */
bool task_owns(lua_State *coroutine);

/* inner is about to be resumed after a wait. */
void task_release(lua_State *inner);

#endif
