/*
 * background: Lua functions that run for nobody: what spoa.after leaves for when the ACK is
 * on its way, and what spoa.every repeats.
 *
 * Bounded in number (background-concurrency, those that wait to begin included), in time
 * (background-timeout) and in CPU time (background-cpu).  They run in slices: handlers may run
 * between any two of their lines.  An error in one is logged, and that is all.
 */
#ifndef SCRIPT_BACKGROUND_H
#define SCRIPT_BACKGROUND_H

#include <ev.h>
#include <lua.h>
#include <sys/queue.h>

#include "base/log.h"
#include "script/queue.h"

struct script;
struct background;

TAILQ_HEAD(background_list, background);

/* A script's: what is to begin, and what is repeated. */
struct background_pool {
    struct background_list due, repeated;
    unsigned count;   /* of spoa.after's, from being asked for to their end */
    struct job begin; /* the next of those that are due */
    struct log_limit failures;
};

void background_init(struct script *script);

/* Takes the function on top of lua's stack, and puts it on the list, or among those that
 * begin next when list is NULL.  Raises when there are too many. */
void background_after(lua_State *lua, struct background_list *list);

/* Takes the function on top of lua's stack, to be run every so many seconds, counted from
 * the end of the run before, once background_serve is called. */
void background_every(lua_State *lua, double seconds);

/* Moves everything on `from` to the end of `to`. */
void background_move(struct background_list *to, struct background_list *from);

/* The ACK is on its way: the functions on the list begin when their turn comes. */
void background_release(struct script *script, struct background_list *list);

/* There is no ACK to be after: the functions are forgotten. */
void background_discard(struct script *script, struct background_list *list);

/* The script serves from now on: begins what is repeated. */
void background_serve(struct script *script);

/* The script is retired: nothing is repeated any more. */
void background_stop(struct script *script);

/* The script ends: what has not begun never will. */
void background_forget(struct script *script);

#endif
