/*
 * budget: how long Lua code may compute: CPU time between two waits, until a point on the
 * clock, and in slices.
 *
 * A timer of the thread's own CPU clock ticks while the thread works, and never while it
 * sleeps.  The tick that finds a run over one of its limits arms a count hook on the coroutine
 * that is running; nothing else ever sets a hook, since a permanent one halves tight loops.
 * The hook is the caller's, and asks budget_expired what is the matter.  Code inside C
 * (string.find on a hostile pattern) is not interrupted before it returns to Lua, and nothing
 * interrupts a finalizer: Lua has hooks off there.
 *
 * One thread, one budget: the state is global because a signal handler has no other way.
 */
#ifndef SCRIPT_BUDGET_H
#define SCRIPT_BUDGET_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

enum budget_end {
    BUDGET_LEFT,     /* nothing is the matter */
    BUDGET_SLICE,    /* others have their turn */
    BUDGET_CPU,      /* too much CPU time */
    BUDGET_DEADLINE, /* the clock is past `until` */
};

/* What one run may use. */
struct budget_limits {
    unsigned ticks; /* of CPU time, see budget_ticks */
    uint64_t until; /* base/clock, or CLOCK_NEVER */
    bool sliced;    /* a slice of it at a time */
};

/* Starts the timers.  False when the system has no such timers, with errno. */
bool budget_open(lua_Hook expired);
void budget_close(void);

/* So many seconds as ticks, rounded up. */
unsigned budget_ticks(double seconds);

/* A run begins: lua is what runs. */
void budget_enter(lua_State *lua, const struct budget_limits *limits);

/* The run ended; a hook that is still armed is taken off.  The ticks that are left. */
unsigned budget_leave(void);

/* The run ended with the state that it ran in. */
void budget_gone(void);

bool budget_is_running(void);

/* Within a run another coroutine goes on; nothing is reset.  The one that did until now. */
lua_State *budget_switch(lua_State *lua);

/* A run within a run, with limits of its own and not sliced; the outer one goes on afterwards
 * with what it had left, its slice too. */
struct budget_run {
    lua_State *running;
    enum budget_end end;
    struct budget_limits limits;
};

struct budget_run budget_save(void);
void budget_restore(const struct budget_run *run);

/*
 * For the hook: why it was called.  A coroutine that was left for good with the hook on may be
 * resumed by a later run, whose budget is its own: then the hook is taken off, and it is
 * BUDGET_LEFT.
 */
enum budget_end budget_expired(lua_State *lua);

/* For the hook, where the coroutine cannot yield: the slice goes on until it can, which it is
 * asked for whenever a function returns.  To be called from there too (LUA_HOOKRET): no hook but
 * that of an instruction may yield. */
void budget_defer(lua_State *lua);

/* Where whoever resumed the coroutine cannot yield: the slice goes on for a while. */
void budget_stretch(lua_State *lua);

/* Whether the run is over its CPU time or its deadline, so that it is being stopped. */
bool budget_over(void);

#endif
