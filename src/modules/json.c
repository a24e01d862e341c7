/*
 * require "spoa.json": JSON to Lua values and back, with integers exact in all 64 bits.
 *
 * jansson reads; what writes is ours (json/encode.c), since jansson would need a second copy
 * of everything and writes 0.1 as 0.10000000000000001.  In the background a long text is parsed
 * in a thread (json/job.h), and made tables of a piece at a time. */
#include "modules/json/json.h"
#include "modules/stay_loaded.h"

#include <jansson.h>
#include <lauxlib.h>
#include <string.h>

void json_options_check(lua_State *lua, int index, const char *const names[])
{
    if (lua_isnoneornil(lua, index))
        return;
    luaL_checktype(lua, index, LUA_TTABLE);
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";
        int i = 0;

        while (names[i] && strcmp(names[i], name) != 0)
            i++;
        if (!names[i])
            luaL_error(lua, "unknown option '%s'", name);
        lua_pop(lua, 1);
    }
}

bool json_options_flag(lua_State *lua, int index, const char *name)
{
    bool flag;

    if (lua_isnoneornil(lua, index))
        return false;
    if (lua_getfield(lua, index, name) != LUA_TNIL && !lua_isboolean(lua, -1))
        luaL_error(lua, "bad option '%s' (true or false expected, got %s)", name,
                   luaL_typename(lua, -1));
    flag = lua_toboolean(lua, -1);
    lua_pop(lua, 1);
    return flag;
}

size_t json_options_size(lua_State *lua, int index, const char *name, size_t otherwise, size_t max)
{
    lua_Integer size;
    int is_integer;

    if (lua_isnoneornil(lua, index))
        return otherwise;
    if (lua_getfield(lua, index, name) == LUA_TNIL) {
        lua_pop(lua, 1);
        return otherwise;
    }
    size = lua_tointegerx(lua, -1, &is_integer);
    if (!is_integer || size < 1 || (lua_Unsigned)size > max)
        luaL_error(lua, "bad option '%s' (an integer from 1 to %I expected)", name,
                   (LUAI_UACINT)max);
    lua_pop(lua, 1);
    return (size_t)size;
}

size_t json_utf8_length(const char *at, const char *end)
{
    static const unsigned smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)*at;
    size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    unsigned code = first & (0x7fu >> len);

    if (len <= 1)
        return len;
    if (first > 0xf4 || len > (size_t)(end - at))
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    if (code < smallest[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    return len;
}

/* table, or a new one, with the metatable in the first upvalue. */
static int mark(lua_State *lua)
{
    if (lua_isnoneornil(lua, 1)) {
        lua_settop(lua, 0);
        lua_newtable(lua);
    }
    luaL_checktype(lua, 1, LUA_TTABLE);
    lua_settop(lua, 1);
    if (lua_getmetatable(lua, 1)) {
        bool ours = lua_rawequal(lua, -1, lua_upvalueindex(1)) ||
                    lua_rawequal(lua, -1, lua_upvalueindex(2));

        luaL_argcheck(lua, ours, 1, "the table has a metatable of its own");
        lua_settop(lua, 1);
    }
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_setmetatable(lua, 1);
    return 1;
}

/* A metatable that says what a table is to be written as. */
static void push_meta(lua_State *lua, const char *name)
{
    lua_createtable(lua, 0, 1);
    lua_pushstring(lua, name);
    lua_setfield(lua, -2, "__name");
}

LUAMOD_API int luaopen_spoa_json(lua_State *lua);

int luaopen_spoa_json(lua_State *lua)
{
    static const luaL_Reg both[] = {{"encode", json_encode}, {"decode", json_decode}, {NULL, NULL}};
    int module, null;

    stay_loaded();
    json_object_seed(0); /* from the system's random numbers, once a process */
    lua_newtable(lua);
    module = lua_gettop(lua);
    null = module + 1;
    lua_getglobal(lua, "spoa");
    lua_getfield(lua, null, "null");
    lua_replace(lua, null);
    push_meta(lua, "json.array");
    push_meta(lua, "json.object");
    lua_pushvalue(lua, null);
    lua_setfield(lua, module, "null");
    lua_pushvalue(lua, null + 1);
    lua_pushvalue(lua, null + 2);
    lua_pushcclosure(lua, mark, 2);
    lua_setfield(lua, module, "array");
    lua_pushvalue(lua, null + 2);
    lua_pushvalue(lua, null + 1);
    lua_pushcclosure(lua, mark, 2);
    lua_setfield(lua, module, "object");
    lua_pushvalue(lua, module);
    lua_insert(lua, null);
    luaL_setfuncs(lua, both, 3);
    return 1;
}
