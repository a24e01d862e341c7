/*
 * blame: what went wrong in a task, and where, as a text.
 *
 * What a body calls is called protected, so that an error is told where it was raised, by the
 * coroutine it was raised in, and <close> variables run there as everywhere in Lua: they may
 * wait, and they have what is left of the task's time.
 */
#ifndef SCRIPT_BLAME_H
#define SCRIPT_BLAME_H

#include <lua.h>
#include <stdbool.h>

struct task;

/* A body begins with it: the slot at index 1 that blame_call wants. */
void blame_open(lua_State *lua);

/*
 * `return blame_call(...)`: calls the function and nargs arguments on top of the stack.
 * returned is called as lua_pcallk's continuation is, now or after waits, and begins with
 *
 *     if (blame_raised(lua, status))
 *         return BLAME_RAISED;
 */
int blame_call(lua_State *lua, int nargs, int nresults, lua_KFunction returned);

/* True when the call failed.  The error is on top of the stack then, and what the task is told
 * to have ended with is set. */
bool blame_raised(lua_State *lua, int status);

#define BLAME_RAISED 1

/* The same for a task that was stopped where it is (task->why says for what), or failed outside
 * of what it called, with that lua_resume's status: task->result and task->told are set.  May
 * run finalizers. */
void blame_task(struct task *task, int status);

#endif
