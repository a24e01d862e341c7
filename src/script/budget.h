/*
 * budget: how much CPU time Lua code may use between two waits.
 *
 * A timer of the thread's own CPU clock ticks while the thread works, and never while it
 * sleeps.  When one run has seen too many ticks, the tick arms a count hook on the
 * coroutine that is running; nothing else ever sets a hook, since a permanent one halves
 * tight loops.  The hook is the caller's; it must ask budget_expired first.  Code inside C
 * (string.find on a hostile pattern) is not interrupted before it returns to Lua.
 *
 * One thread, one budget: the state is global because a signal handler has no other way.
 */
#ifndef SCRIPT_BUDGET_H
#define SCRIPT_BUDGET_H

#include <lua.h>
#include <stdbool.h>

/* Starts the timer; seconds is what one run may use (it is noticed up to a quarter later).
 * False when the system has no such timer, with errno. */
bool budget_open(double seconds, lua_Hook expired);
void budget_close(void);

/* A run within a run (a handler cancels a child, whose <close> variables run): the outer one
 * is put aside, and goes on afterwards with what it had left. */
struct budget_run {
    lua_State *running, *armed;
    unsigned ticks;
};

struct budget_run budget_save(void);
void budget_restore(struct budget_run run);

/* A run begins: lua is what runs.  allowance multiplies the budget (1 for handlers). */
void budget_enter(lua_State *lua, unsigned allowance);

/* Within a run another coroutine goes on; nothing is reset. */
void budget_switch(lua_State *lua);

/* How often the timer has ticked while Lua ran; as long as it does not change there is no
 * need to look at a clock. */
unsigned long budget_beats(void);

/* Whether this run is over its budget.  A coroutine that was left for good with the hook on
 * may be resumed by a later run, whose budget is its own: then the hook is taken off here. */
bool budget_expired(lua_State *lua);

/* Whether the current run is over its limits, so that it is being stopped. */
bool budget_over(void);

/* The run ended.  A hook that is still armed is taken off. */
void budget_leave(void);

#endif
