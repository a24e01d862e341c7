/*
 * api: the global table `spoa`, and the standard functions that mean something else in an
 * agent.  One file a subject, one row each in api.c.
 *
 * An api_*_open function finds the table `spoa` on top of the stack and leaves it there.
 */
#ifndef SCRIPT_API_H
#define SCRIPT_API_H

#include <lua.h>

/* Makes `spoa` and opens every row; may raise. */
void api_open(lua_State *lua);

void api_value_open(lua_State *lua);      /* null, unset, bool ... bin, type */
void api_sleep_open(lua_State *lua);      /* sleep */
void api_task_open(lua_State *lua);       /* spawn, all, now */
void api_background_open(lua_State *lua); /* after, every, at_start */
void api_poll_open(lua_State *lua);       /* poll, closing */
void api_modules_open(lua_State *lua);    /* where require looks */
void api_require_open(lua_State *lua);    /* require */
void api_log_open(lua_State *lua);        /* log; print */
void api_coroutine_open(lua_State *lua);  /* coroutine.resume, wrap, close */
void api_guard_open(lua_State *lua);      /* os.exit, debug, xpcall */

#endif
