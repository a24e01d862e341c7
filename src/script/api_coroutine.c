/*
 * coroutine.resume, wrap and close for handlers that make coroutines of their own.
 *
 * They are Lua's, with one thing added: when the coroutine waits (spoa.sleep and all that
 * is like it), or is stopped, its yield is meant for the scheduler and not for whoever
 * resumed it.  So the resumer yields too, all the way out to the task's coroutine, and goes
 * on with the inner one when it is woken.  Iterators made with coroutine.wrap may wait.
 */
#include <lauxlib.h>

#include "script/api.h"
#include "script/budget.h"
#include "script/script.h"

static int resume_again(lua_State *lua, int status, lua_KContext wrapped);

/* wrap raises what resume returns; the position is put in front as Lua's own wrap does. */
static int inner_failed(lua_State *lua, lua_State *inner, bool wrapped)
{
    bool memory;

    if (!wrapped) {
        lua_pushboolean(lua, 0);
        lua_xmove(inner, lua, 1);
        return 2;
    }
    memory = lua_status(inner) == LUA_ERRMEM;
    task_close_failed(script_of(lua), inner);
    lua_xmove(inner, lua, 1);
    if (lua_type(lua, -1) == LUA_TSTRING && !memory) {
        luaL_where(lua, 1);
        lua_insert(lua, -2);
        lua_concat(lua, 2);
    }
    return lua_error(lua);
}

static int inner_gave(lua_State *lua, lua_State *inner, int n, bool wrapped)
{
    if (!lua_checkstack(lua, n + 1)) {
        lua_pop(inner, n);
        return luaL_error(lua, "too many results to resume");
    }
    if (!wrapped)
        lua_pushboolean(lua, 1);
    lua_xmove(inner, lua, n);
    return wrapped ? n : n + 1;
}

static int drive(lua_State *lua, lua_State *inner, int nargs, bool wrapped)
{
    struct script *script = script_of(lua);
    int status, n;

    budget_switch(inner);
    status = lua_resume(inner, lua, nargs, &n);
    budget_switch(lua);
    if (status == LUA_YIELD && task_must_pass(script)) {
        if (!lua_isyieldable(lua))
            return luaL_error(lua, "%s", task_refuse(script, inner));
        task_pass(script, inner, lua);
        return lua_yieldk(lua, 0, wrapped, resume_again);
    }
    if (status == LUA_OK || status == LUA_YIELD)
        return inner_gave(lua, inner, n, wrapped);
    return inner_failed(lua, inner, wrapped);
}

static lua_State *inner_of(lua_State *lua, bool wrapped)
{
    lua_State *inner = lua_tothread(lua, wrapped ? lua_upvalueindex(1) : 1);

    luaL_argexpected(lua, inner, 1, "coroutine");
    return inner;
}

static int resume_again(lua_State *lua, int status, lua_KContext wrapped)
{
    lua_State *inner = inner_of(lua, wrapped != 0);

    (void)status;
    task_release(inner);
    return drive(lua, inner, 0, wrapped != 0);
}

static const char *cannot_resume(lua_State *inner, int nargs)
{
    lua_Debug about;
    bool fresh = lua_status(inner) == LUA_OK && lua_getstack(inner, 0, &about) == 0;

    if (task_owns(inner))
        return "cannot resume a coroutine that waits for something else";
    if (lua_status(inner) == LUA_OK && !fresh)
        return "cannot resume non-suspended coroutine";
    if (fresh && lua_gettop(inner) == 0)
        return "cannot resume dead coroutine";
    return lua_checkstack(inner, nargs) ? NULL : "too many arguments to resume";
}

static int start(lua_State *lua, lua_State *inner, int nargs, bool wrapped)
{
    const char *fault = cannot_resume(inner, nargs);

    if (!fault && lua_status(inner) != LUA_OK && lua_status(inner) != LUA_YIELD)
        fault = "cannot resume dead coroutine";
    if (fault && wrapped)
        return luaL_error(lua, "%s", fault);
    if (fault) {
        lua_pushboolean(lua, 0);
        lua_pushstring(lua, fault);
        return 2;
    }
    lua_xmove(lua, inner, nargs);
    return drive(lua, inner, nargs, wrapped);
}

static int api_resume(lua_State *lua)
{
    return start(lua, inner_of(lua, false), lua_gettop(lua) - 1, false);
}

static int wrapped_call(lua_State *lua)
{
    return start(lua, inner_of(lua, true), lua_gettop(lua), true);
}

static int api_wrap(lua_State *lua)
{
    lua_State *inner;

    luaL_checktype(lua, 1, LUA_TFUNCTION);
    inner = lua_newthread(lua);
    lua_pushvalue(lua, 1);
    lua_xmove(lua, inner, 1);
    lua_pushcclosure(lua, wrapped_call, 1);
    return 1;
}

/* close(co): Lua's own does the work; it must not close what the scheduler will resume. */
static int api_close(lua_State *lua)
{
    if (task_owns(inner_of(lua, false)))
        return luaL_error(lua, "cannot close a coroutine that waits for something else");
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, LUA_MULTRET);
    return lua_gettop(lua);
}

void api_coroutine_open(lua_State *lua)
{
    lua_getglobal(lua, "coroutine");
    lua_pushcfunction(lua, api_resume);
    lua_setfield(lua, -2, "resume");
    lua_pushcfunction(lua, api_wrap);
    lua_setfield(lua, -2, "wrap");
    lua_getfield(lua, -1, "close");
    lua_pushcclosure(lua, api_close, 1);
    lua_setfield(lua, -2, "close");
    lua_pop(lua, 1);
}
