/*
 * script: one generation of handler scripts: a Lua state, its heap, its handlers.
 *
 * Each script file runs once, as a task that may wait, in an environment of its own that
 * reads through to the standard globals; every global function it defines is a handler.  A
 * reload makes a second generation beside the first, which is retired and frees itself when
 * its last task ended.
 */
#ifndef SCRIPT_SCRIPT_H
#define SCRIPT_SCRIPT_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/metrics.h"
#include "script/background.h"
#include "script/handler.h"
#include "script/heap.h"
#include "script/invoke.h"
#include "script/options.h"
#include "script/queue.h"
#include "script/task.h"
#include "script/wait.h"

/* The most bytes of actions that a message can give: as long as the longest frame. */
#define SCRIPT_ROOM (1024 * 1024)

struct loading;

LIST_HEAD(script_list, script);

struct script {
    LIST_ENTRY(script) entry; /* among those that are retired, when it is listed */
    bool listed;
    struct queue *queue;
    struct script_options options; /* a copy; its lists are only there while loading */
    struct metrics *metrics;
    struct heap heap;
    lua_State *lua;
    struct handler_table handlers;
    struct task_pool tasks;
    struct coroutine_pool coroutines;
    unsigned ticks;                 /* of CPU time between two waits: handler-cpu */
    unsigned holds;                 /* what must be over before it may be freed */
    struct invoke_list invocations; /* unused ones */
    struct background_pool background;
    LIST_HEAD(, poll) polls; /* see api_poll.c */
    uint8_t *scratch;        /* SCRIPT_ROOM, where results are encoded, one task at a time */
    struct loading *loading; /* until all scripts have run */
    bool retired;            /* frees itself with its last hold */
    bool closing;            /* Lua runs for the last time: nothing may be started */
};

/* Told of each error in the scripts: "FILE:LINE: what".  The text is there for the call. */
typedef void script_fault_fn(void *context, const char *text);

/* Told once that loading is over.  When it failed, every error was told before; the script
 * is the callee's in either case. */
typedef void script_loaded_fn(void *context, struct script *script, bool good);

/*
 * Makes the state and runs options->files in order, all of them even if one fails, and then,
 * with `starting`, what spoa.at_start asked for.  loaded is called from the loop, later.
 * options and its lists must live until then.  What is returned may be given up before
 * (script_stop): loaded is not called then.  budget_open comes before this.
 */
struct script *script_load(struct queue *queue, const struct script_options *options, bool starting,
                           script_fault_fn *fault, script_loaded_fn *loaded, void *context);

/* Leaves the function on top of lua's stack for when all scripts have run (spoa.at_start).
 * Raises when they have. */
void script_at_start(lua_State *lua);

/* The script that a Lua state, or a coroutine in it, belongs to. */
struct script *script_of(lua_State *lua);

/* Raises when that is being closed: what is begun then, by a finalizer, is never finalized
 * itself. */
void script_check_open(lua_State *lua);

/* No more messages are started; the script frees itself when the last task has ended, maybe
 * now.  Until then it is on the list, unless that is NULL. */
void script_retire(struct script *script, struct script_list *list);

/* The same, but now: whatever is still running is cancelled.  From the loop, never within a
 * task of the script's own. */
void script_stop(struct script *script);

/* Whether functions of spoa.after are running, or have yet to. */
bool script_is_busy(const struct script *script);

/*
 * Calls function with arg on the state's main stack, protected, for what is done for a script but
 * not within its Lua; a status, with that many results or the error on that stack.  Finalizers
 * may run there, and the coroutines that they resume are held to handler-cpu.
 */
int script_call(struct script *script, lua_CFunction function, void *arg, int nresults);

/* A hold is given up: with the last one a script that is retired is gone. */
void script_release(struct script *script);

#endif
