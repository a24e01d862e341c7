#include "modules/redis/record.h"

#include <lauxlib.h>
#include <string.h>

/* Recording: p:incr("a") and p:command("INCR", "a") append to the list p. */
static int record_named(lua_State *lua)
{
    int n = lua_gettop(lua);

    luaL_checktype(lua, 1, LUA_TTABLE);
    lua_createtable(lua, n, 0);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_rawseti(lua, -2, 1);
    for (int i = 2; i <= n; i++) {
        lua_pushvalue(lua, i);
        lua_rawseti(lua, -2, i);
    }
    lua_pushinteger(lua, n);
    lua_setfield(lua, -2, "n");
    lua_rawseti(lua, 1, (lua_Integer)lua_rawlen(lua, 1) + 1);
    return 0;
}

static int record_command(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_checkstring(lua, 2);
    lua_pushvalue(lua, 2);
    lua_pushcclosure(lua, record_named, 1);
    lua_pushvalue(lua, 1);
    lua_replace(lua, 2);
    lua_replace(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, 0);
    return 0;
}

static int record_index(lua_State *lua)
{
    const char *name = luaL_checkstring(lua, 2);

    if (strcmp(name, "command") == 0) {
        lua_pushcfunction(lua, record_command);
    } else {
        lua_pushvalue(lua, 2);
        lua_pushcclosure(lua, record_named, 1);
    }
    return 1;
}

/* The function at 2 becomes the list of what it recorded. */
void redis_record(lua_State *lua)
{
    lua_newtable(lua);
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, record_index);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, -2);
    lua_call(lua, 1, 0);
    lua_replace(lua, 2);
}

/* Pushes the encoded i-th command of the list at 2. */
void redis_record_encode(lua_State *lua, lua_Integer i, struct redis_batch *batch)
{
    int first = lua_gettop(lua) + 2, n;

    if (lua_rawgeti(lua, 2, i) != LUA_TTABLE)
        luaL_error(lua,
                   "redis: a pipeline is a list of commands such as { 'GET', key }: #%d is a %s",
                   (int)i, luaL_typename(lua, -1));
    n = lua_getfield(lua, -1, "n") == LUA_TNUMBER ? (int)lua_tointeger(lua, -1)
                                                  : (int)lua_rawlen(lua, -2);
    lua_pop(lua, 1);
    luaL_checkstack(lua, n + 10, "a command");
    for (int k = 1; k <= n; k++)
        lua_rawgeti(lua, first - 1, k);
    redis_command_encode(lua, first, n, batch);
    lua_replace(lua, first - 1);
    lua_settop(lua, first - 1);
}
