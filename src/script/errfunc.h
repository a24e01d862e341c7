/*
 * errfunc: the message handler that Lua forgets to forget.
 *
 * A coroutine that is closed while it waits inside of xpcall keeps the place of xpcall's message
 * handler (L->errfunc, Lua 5.4.4 to 5.4.6; later ones clear it in lua_closethread).  When a
 * <close> variable fails then, Lua calls what is at that place of the stack by now: anything, or
 * what was freed long ago.  Two lines of plain Lua do it.  No function of Lua's clears it, so we
 * find out once where a lua_State has it, and do.
 */
#ifndef SCRIPT_ERRFUNC_H
#define SCRIPT_ERRFUNC_H

#include <lua.h>

/* Finds the place, with a coroutine of this state; may raise a memory error.  Where there is no
 * one place to be found nothing is ever cleared. */
void errfunc_find(lua_State *lua);

/* For a coroutine that is about to be closed. */
void errfunc_clear(lua_State *coroutine);

#endif
