/*
 * Standard functions that would hurt everyone.
 *
 * os.exit ends the process, so here it is an error in the one handler that calls it.  Most of
 * debug hands out what is the agent's own (its registry, its functions, the metatables and
 * upvalues of its values) or takes away the hook that limits are made of: what looks only is
 * kept.  xpcall calls no message handler once the CPU budget is used up: an error raised in a
 * hook has hooks off until it is caught, so nothing could stop the handler.
 */
#include <lauxlib.h>
#include <string.h>

#include "script/api.h"
#include "script/budget.h"

static int api_exit(lua_State *lua)
{
    return luaL_error(lua, "os.exit would stop the agent for everyone: return, or raise an error");
}

/* ---- debug ---- */

static int debug_gone(lua_State *lua)
{
    return luaL_error(lua,
                      "debug.%s is not there: it reaches into the agent itself, and one mistake "
                      "would take everyone down (debug.traceback and debug.getinfo are there)",
                      lua_tostring(lua, lua_upvalueindex(1)));
}

/* Lua's own, in the upvalue, without the function that it would hand out. */
static int debug_getinfo(lua_State *lua)
{
    lua_State *thread = lua_tothread(lua, 1);
    int about = thread ? 2 : 1;
    const char *what = luaL_optstring(lua, about + 1, "");

    luaL_argcheck(lua, what[strspn(what, "SlnrutLf")] == '\0', about + 1, "invalid option");
    if (!lua_isfunction(lua, about)) {
        lua_Integer level = luaL_checkinteger(lua, about);

        /* One more function is called in between. */
        lua_pushinteger(lua, level >= 0 && (!thread || thread == lua) ? level + 1 : level);
        lua_replace(lua, about);
    }
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, 1);
    if (lua_istable(lua, -1)) {
        lua_pushnil(lua);
        lua_setfield(lua, -2, "func");
    }
    return 1;
}

/* What is to stand under this name for the function on top of the stack, which it replaces. */
static void debug_guard(lua_State *lua, const char *name)
{
    if (strcmp(name, "traceback") == 0)
        return;
    if (strcmp(name, "getinfo") == 0) {
        lua_pushcclosure(lua, debug_getinfo, 1);
        return;
    }
    lua_pop(lua, 1);
    lua_pushstring(lua, name);
    lua_pushcclosure(lua, debug_gone, 1);
}

static void debug_open(lua_State *lua)
{
    lua_getglobal(lua, "debug");
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        const char *name = lua_tostring(lua, -2);

        debug_guard(lua, name);
        lua_setfield(lua, -3, name); /* the walk goes on: no key is new */
    }
    lua_pop(lua, 1);
}

/* ---- xpcall ---- */

/* The message handler is in the upvalue. */
static int guarded_message(lua_State *lua)
{
    lua_settop(lua, 1);
    if (budget_over())
        return 1;
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, 1, 1);
    return 1;
}

/* The stack: the function, the message handler, and what came of it. */
static int xpcall_ended(lua_State *lua, int status, lua_KContext context)
{
    bool good = status == LUA_OK || status == LUA_YIELD;

    (void)context;
    lua_pushboolean(lua, good);
    if (!good) {
        lua_insert(lua, -2);
        return 2;
    }
    lua_replace(lua, 2);
    return lua_gettop(lua) - 1;
}

static int api_xpcall(lua_State *lua)
{
    int nargs = lua_gettop(lua) - 2;

    luaL_checktype(lua, 2, LUA_TFUNCTION);
    /* debug.traceback, in the upvalue, runs no Lua, and would tell of us. */
    if (!lua_rawequal(lua, 2, lua_upvalueindex(1))) {
        lua_pushvalue(lua, 2);
        lua_pushcclosure(lua, guarded_message, 1);
        lua_replace(lua, 2);
    }
    lua_pushvalue(lua, 1);
    lua_insert(lua, 3);
    return xpcall_ended(lua, lua_pcallk(lua, nargs, LUA_MULTRET, 2, 0, xpcall_ended), 0);
}

void api_guard_open(lua_State *lua)
{
    lua_getglobal(lua, "os");
    lua_pushcfunction(lua, api_exit);
    lua_setfield(lua, -2, "exit");
    lua_getglobal(lua, "debug");
    lua_getfield(lua, -1, "traceback");
    lua_pushcclosure(lua, api_xpcall, 1);
    lua_setglobal(lua, "xpcall");
    lua_pop(lua, 2);
    debug_open(lua);
}
