#include "modules/dict/arguments.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "modules/dict/store.h"

#define TTL_MAX 1e9 /* seconds: thirty years */

struct dict_value dict_check_value(lua_State *lua, int arg, bool key)
{
    struct dict_value value = {.type = DICT_BOOLEAN};

    switch (lua_type(lua, arg)) {
    case LUA_TSTRING:
        value.type = DICT_STRING;
        value.string.at = lua_tolstring(lua, arg, &value.string.len);
        return value;
    case LUA_TBOOLEAN:
        value.boolean = lua_toboolean(lua, arg);
        return value;
    case LUA_TNUMBER:
        /* As in tables: 1.0 and 1 are one key. */
        value.type = lua_isinteger(lua, arg) ? DICT_INTEGER : DICT_FLOAT;
        if (value.type == DICT_INTEGER)
            value.integer = lua_tointeger(lua, arg);
        else
            value.number = lua_tonumber(lua, arg);
        if (key && value.type == DICT_FLOAT) {
            int exact;

            value.type = DICT_INTEGER;
            value.integer = lua_tointegerx(lua, arg, &exact);
            luaL_argcheck(lua, exact, arg, "a float is no key: use a string or an integer");
        }
        return value;
    default:
        luaL_argerror(lua, arg,
                      lua_pushfstring(lua, "a %s must be a string, %s or boolean, not %s",
                                      key ? "key" : "value", key ? "integer" : "number",
                                      luaL_typename(lua, arg)));
        return value;
    }
}

struct dict_value dict_check_number(lua_State *lua, int arg)
{
    luaL_argexpected(lua, lua_type(lua, arg) == LUA_TNUMBER, arg, "number");
    return dict_check_value(lua, arg, false);
}

uint64_t dict_check_expires(lua_State *lua, int arg)
{
    lua_Number ttl;

    if (lua_isnoneornil(lua, arg))
        return 0;
    ttl = luaL_checknumber(lua, arg);
    luaL_argcheck(lua, ttl > 0 && ttl <= TTL_MAX, arg,
                  "ttl must be more than 0 and at most 1e9 seconds (none: it never expires)");
    return dict_store_now() + (uint64_t)ceil(ttl * 1000);
}

/* A whole number of bytes, or a string such as "64m". */
static size_t dict_check_size(lua_State *lua, int at)
{
    static const char units[] = "kmg";
    lua_Number size = -1;

    if (lua_isinteger(lua, at)) {
        size = (lua_Number)lua_tointeger(lua, at);
    } else if (lua_type(lua, at) == LUA_TSTRING) {
        const char *text = lua_tostring(lua, at), *unit;
        size_t digits = strspn(text, "0123456789");

        unit = digits && digits < 16 && text[digits] ? strchr(units, text[digits]) : NULL;
        if (digits && digits < 16 && (!text[digits] || (unit && !text[digits + 1])))
            size = ldexp(strtod(text, NULL), unit ? 10 * (int)(unit - units + 1) : 0);
    }
    if (!(size >= (lua_Number)DICT_SIZE_MIN && size <= (lua_Number)DICT_SIZE_MAX))
        luaL_error(lua, "size must be from 1m to 1024g: a number of bytes, or a string such as "
                        "\"64m\"");
    return (size_t)size;
}

void dict_check_options(lua_State *lua, int arg, size_t *size, const char **path)
{
    *size = DICT_SIZE_DEFAULT;
    *path = NULL;
    if (lua_isnoneornil(lua, arg))
        return;
    luaL_checktype(lua, arg, LUA_TTABLE);
    lua_pushnil(lua);
    while (lua_next(lua, arg)) {
        const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";

        if (strcmp(name, "size") == 0)
            *size = dict_check_size(lua, lua_gettop(lua));
        else if (strcmp(name, "path") == 0 && lua_type(lua, -1) == LUA_TSTRING)
            *path = lua_tostring(lua, -1);
        else if (strcmp(name, "path") == 0)
            luaL_error(lua, "path must be a string");
        else
            luaL_error(lua, "unknown option '%s': there are size and path", name);
        lua_pop(lua, 1);
    }
    if (*path && (**path != '/' || strlen(*path) >= PATH_MAX - 16))
        luaL_error(lua, "path must be the absolute path of a file");
}
