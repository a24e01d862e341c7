/*
 * script: one generation of handler scripts: a Lua state, its heap, its handlers.
 *
 * Each script file runs once, in an environment of its own that reads through to the
 * standard globals; every global function it defines is a handler.  A reload makes a second
 * generation beside the first, which is retired and frees itself when its last task ended.
 */
#ifndef SCRIPT_SCRIPT_H
#define SCRIPT_SCRIPT_H

#include <ev.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "script/handler.h"
#include "script/heap.h"
#include "script/options.h"
#include "script/task.h"

struct script {
    struct ev_loop *loop;
    struct script_options options; /* a copy; its lists are only there while loading */
    struct heap heap;
    lua_State *lua;
    struct handler_table handlers;
    struct task_pool tasks;
    uint8_t *scratch; /* where results are encoded, one task at a time */
    size_t scratch_size;
    bool retired;
};

/* Told of each error in the scripts: "FILE:LINE: what".  The text is the callee's to copy. */
typedef void script_fault_fn(void *context, const char *text);

/*
 * Makes the state and runs options->files in order, all of them even if one fails.  NULL
 * when there was an error; every one was told to fault.  action_room is the most bytes of
 * actions a message may give.
 */
struct script *script_new(struct ev_loop *loop, const struct script_options *options,
                          size_t action_room, script_fault_fn *fault, void *context);

/* The script that a Lua state, or a coroutine in it, belongs to. */
struct script *script_of(lua_State *lua);

/* No more tasks are started; frees the script when the last one has ended, maybe now. */
void script_retire(struct script *script);

/* For the task pool: the last task of a retired script ended. */
void script_free(struct script *script);

#endif
