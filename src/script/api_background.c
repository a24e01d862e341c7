/*
 * spoa.after(fn): fn runs once the ACK of the message is on its way.
 * spoa.every(seconds, fn): fn runs again and again, as long as the script serves.
 * spoa.at_start(fn): fn runs, and may wait, before the script serves its first message.
 * spoa.atomic(fn, ...): fn runs in one go, also where handlers may run between two lines.
 */
#include <lauxlib.h>

#include "script/api.h"
#include "script/budget.h"
#include "script/script.h"

static int api_after(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TFUNCTION);
    lua_settop(lua, 1);
    background_after(lua, invoke_after(script_of(lua)));
    return 0;
}

static int api_every(lua_State *lua)
{
    lua_Number seconds = luaL_checknumber(lua, 1);

    luaL_argcheck(lua, seconds >= 0.001 && seconds <= 1e9, 1, "seconds must be 0.001 or more");
    luaL_checktype(lua, 2, LUA_TFUNCTION);
    if (!script_of(lua)->loading)
        return luaL_error(lua, "spoa.every is for a script's top level: everything has started");
    lua_settop(lua, 2);
    background_every(lua, seconds);
    return 0;
}

static int api_at_start(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TFUNCTION);
    lua_settop(lua, 1);
    script_at_start(lua);
    return 0;
}

/* What it computes counts for the whole run, too. */
static int atomic_call(lua_State *lua, struct task *task)
{
    struct budget_limits limits = {task->script->ticks, CLOCK_NEVER, false};
    struct budget_run run = budget_save();
    unsigned used;
    int status;

    budget_enter(lua, &limits);
    status = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0);
    used = limits.ticks - budget_leave();
    run.limits.ticks = run.limits.ticks > used ? run.limits.ticks - used : 0;
    budget_restore(&run);
    task->result = TASK_OK; /* over its limit or not, who calls may go on */
    task->why = NULL;
    return status == LUA_OK ? lua_gettop(lua) : lua_error(lua);
}

/* In a handler it is a call: nothing else runs there but where it waits, which fn cannot. */
static int api_atomic(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TFUNCTION);
    if (task_sliced(lua))
        return atomic_call(lua, script_of(lua)->tasks.running);
    lua_call(lua, lua_gettop(lua) - 1, LUA_MULTRET);
    return lua_gettop(lua);
}

static const luaL_Reg functions[] = {{"after", api_after},
                                     {"every", api_every},
                                     {"at_start", api_at_start},
                                     {"atomic", api_atomic},
                                     {NULL, NULL}};

void api_background_open(lua_State *lua)
{
    luaL_setfuncs(lua, functions, 0);
}
