/*
 * spoa.after(fn): fn runs once the ACK of the message is on its way.
 * spoa.every(seconds, fn): fn runs again and again, as long as the script serves.
 * spoa.at_start(fn): fn runs, and may wait, before the script serves its first message.
 */
#include <lauxlib.h>

#include "script/api.h"
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

static const luaL_Reg functions[] = {
    {"after", api_after}, {"every", api_every}, {"at_start", api_at_start}, {NULL, NULL}};

void api_background_open(lua_State *lua)
{
    luaL_setfuncs(lua, functions, 0);
}
