/*
 * wait: how a task leaves its coroutine to wait for something, and is woken.
 *
 * Whatever is resumed between the task's own coroutine and the one that waits is the script's
 * own (coroutine.wrap): it yields along, all the way out, and is resumed all the way in.
 */
#ifndef SCRIPT_WAIT_H
#define SCRIPT_WAIT_H

#include <lua.h>
#include <stdbool.h>

struct script;
struct task;

/* ---- for the functions of the Lua API that wait ---- */

struct wait {
    struct task *task;
    void (*cancel)(struct wait *wait); /* stop whatever would have called wait_wake */
};

/*
 * `return wait_yield(...)`: suspends the task that is calling until wait_wake, after which
 * resumed runs as lua_yieldk has it.  Raises where nothing can wait: outside of a task, while
 * it ends, or under a C function that calls back (table.sort, string.gsub).  Arm the operation
 * first, so that cancel has something to cancel: it is called if this raises.  Allocate before
 * that, since a finalizer may undo what was armed.
 */
int wait_yield(lua_State *lua, struct wait *wait, void (*cancel)(struct wait *wait),
               lua_KFunction resumed);

/* What was waited for is there: the task goes on when its turn comes.  From anywhere; runs no
 * Lua. */
void wait_wake(struct wait *wait);

/* ---- for what takes long in the background ---- */

/* Whether lua runs in a background task and can yield, so that task_slice may be called. */
bool task_sliced(lua_State *lua);

/* `return task_slice(...)`: others have their turn, then resumed runs as lua_yieldk has it. */
int task_slice(lua_State *lua, lua_KFunction resumed, lua_KContext context);

/* ---- limits ---- */

/*
 * The hook for budget_open.  It yields, which a handler cannot catch as it can an error, and
 * which leaves hooks enabled for its <close> variables.  Where nothing can yield it raises,
 * again and again, unless only a slice is over.
 */
void wait_expired(lua_State *lua, lua_Debug *about);

/* Time for <close> variables to run in when all that was allowed is used up: lua's, once in a
 * run and then never again (false).  Between budget_save and budget_restore, or for good. */
bool wait_spare(struct task *task, lua_State *lua);

/* ---- for coroutines that handlers make themselves (api_coroutine.c) ---- */

/* After a resume came back with LUA_YIELD: whether it was meant for the scheduler, so that
 * the coroutine below must yield too. */
bool wait_must_pass(const struct script *script);

/* inner is suspended by the scheduler; outer resumed it and yields next. */
void wait_pass(struct script *script, lua_State *inner, lua_State *outer);

/*
 * outer cannot yield.  NULL when that is no matter, for only a slice was over: inner is to be
 * resumed again at once.  Else the wait is undone, inner and all within are closed, and this is
 * what outer is to raise.
 */
const char *wait_refuse(struct script *script, lua_State *inner);

/* inner came back with an error: perhaps one that was raised to stop it. */
void wait_failed(struct script *script, lua_State *inner);

/* Closes a script's coroutine within whatever is running; see coroutine_close. */
int wait_close(struct script *script, lua_State *inner);

#endif
