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

/* Pushes the error that is on top of inner's stack, where it stays as long as inner is not
 * closed: it may be asked for again. */
static void push_error(lua_State *lua, lua_State *inner)
{
    lua_xmove(inner, lua, 1);
    if (lua_status(inner) == LUA_OK)
        return;
    lua_pushvalue(lua, -1);
    lua_xmove(lua, inner, 1);
}

/* wrap raises what resume returns; the position is put in front as Lua's own wrap does. */
static int inner_failed(lua_State *lua, lua_State *inner, bool wrapped)
{
    struct script *script = script_of(lua);
    bool memory = lua_status(inner) == LUA_ERRMEM;

    wait_failed(script, inner);
    if (!wrapped) {
        lua_pushboolean(lua, 0);
        push_error(lua, inner);
        return 2;
    }
    wait_close(script, inner);
    push_error(lua, inner);
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
    const char *why;
    int status, n;

    for (;;) {
        budget_switch(inner);
        status = lua_resume(inner, lua, nargs, &n);
        budget_switch(lua);
        if (status != LUA_YIELD || !wait_must_pass(script))
            break;
        if (lua_isyieldable(lua)) {
            wait_pass(script, inner, lua);
            return lua_yieldk(lua, 0, wrapped, resume_again);
        }
        why = wait_refuse(script, inner);
        if (why)
            return luaL_error(lua, "%s", why);
        nargs = 0;
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
    coroutine_own(inner, OWNER_NOBODY, NULL);
    return drive(lua, inner, 0, wrapped != 0);
}

/* NULL for one that a script may do with what it likes. */
static const char *taken(lua_State *inner)
{
    switch (coroutine_owner(inner).kind) {
    case OWNER_NOBODY:
    case OWNER_STOPPED:
        return NULL;
    case OWNER_CLOSING:
        return "cannot %s a coroutine that is being closed";
    case OWNER_MAIN:
        return "cannot %s the main coroutine";
    default:
        return "cannot %s a coroutine that waits for something else";
    }
}

static const char *cannot_resume(lua_State *lua, lua_State *inner, int nargs)
{
    const char *why = taken(inner);
    lua_Debug about;
    bool fresh = lua_status(inner) == LUA_OK && lua_getstack(inner, 0, &about) == 0;

    if (why)
        return lua_pushfstring(lua, why, "resume");
    if (lua_status(inner) == LUA_OK && !fresh)
        return "cannot resume non-suspended coroutine";
    if (fresh && lua_gettop(inner) == 0)
        return "cannot resume dead coroutine";
    if (lua_status(inner) != LUA_OK && lua_status(inner) != LUA_YIELD)
        return "cannot resume dead coroutine";
    return lua_checkstack(inner, nargs) ? NULL : "too many arguments to resume";
}

static int start(lua_State *lua, lua_State *inner, int nargs, bool wrapped)
{
    const char *fault = cannot_resume(lua, inner, nargs);

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

/* close(co): true, or false and the error; as Lua's own, with the budget of whoever calls. */
static int api_close(lua_State *lua)
{
    lua_State *inner = inner_of(lua, false);
    const char *why = taken(inner);
    lua_Debug about;
    int status;

    if (why)
        return luaL_error(lua, why, "close");
    if (lua_status(inner) == LUA_OK && lua_getstack(inner, 0, &about) != 0)
        return luaL_error(lua, "cannot close a running coroutine");
    status = wait_close(script_of(lua), inner);
    if (status == LUA_YIELD)
        return luaL_error(lua, "too many coroutines are closing one another");
    lua_pushboolean(lua, status == LUA_OK);
    if (status == LUA_OK)
        return 1;
    push_error(lua, inner);
    return 2;
}

void api_coroutine_open(lua_State *lua)
{
    lua_getglobal(lua, "coroutine");
    lua_pushcfunction(lua, api_resume);
    lua_setfield(lua, -2, "resume");
    lua_pushcfunction(lua, api_wrap);
    lua_setfield(lua, -2, "wrap");
    lua_pushcfunction(lua, api_close);
    lua_setfield(lua, -2, "close");
    lua_pop(lua, 1);
}
