/*
 * Standard functions that would hurt everyone: os.exit ends the process, so here it is an
 * error in the one handler that calls it.
 */
#include <lauxlib.h>

#include "script/api.h"

static int api_exit(lua_State *lua)
{
    return luaL_error(lua, "os.exit would stop the agent for everyone: return, or raise an error");
}

void api_guard_open(lua_State *lua)
{
    lua_getglobal(lua, "os");
    lua_pushcfunction(lua, api_exit);
    lua_setfield(lua, -2, "exit");
    lua_pop(lua, 1);
}
