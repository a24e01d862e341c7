/*
 * spoa.null, spoa.unset, and a function for each SPOP type that makes a value of exactly
 * that type; spoa.type(args, key) tells an argument's.
 */
#include <lauxlib.h>

#include "script/api.h"
#include "script/arguments.h"
#include "script/convert.h"

static int push_typed(lua_State *lua, struct value value)
{
    convert_push_typed(lua, &value, false);
    return 1;
}

static int api_bool(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TBOOLEAN);
    return push_typed(lua, value_bool(lua_toboolean(lua, 1)));
}

static int push_ranged(lua_State *lua, enum value_type type, lua_Integer min, lua_Integer max)
{
    lua_Integer integer = luaL_checkinteger(lua, 1);

    if (integer < min || integer > max)
        return luaL_error(lua, "%I does not fit %s (%I to %I)", (LUAI_UACINT)integer,
                          value_type_name(type), (LUAI_UACINT)min, (LUAI_UACINT)max);
    return push_typed(lua, value_integer(type, (uint64_t)integer));
}

static int api_int32(lua_State *lua)
{
    return push_ranged(lua, VALUE_INT32, INT32_MIN, INT32_MAX);
}

static int api_uint32(lua_State *lua)
{
    return push_ranged(lua, VALUE_UINT32, 0, UINT32_MAX);
}

static int api_int64(lua_State *lua)
{
    return push_ranged(lua, VALUE_INT64, INT64_MIN, INT64_MAX);
}

/* The same 64 bits: an integer below zero is one of 2^63 or more (see math.ult). */
static int api_uint64(lua_State *lua)
{
    return push_ranged(lua, VALUE_UINT64, INT64_MIN, INT64_MAX);
}

static int push_address(lua_State *lua, enum value_type type)
{
    uint8_t bytes[16];
    struct span text;

    text.at = luaL_checklstring(lua, 1, &text.len);
    if (!value_ip_parse(type, text, bytes))
        return luaL_error(lua, "'%s' is no %s address", text.at, value_type_name(type));
    return push_typed(lua,
                      value_bytes(type, (struct span){(char *)bytes, type == VALUE_IPV4 ? 4 : 16}));
}

static int api_ipv4(lua_State *lua)
{
    return push_address(lua, VALUE_IPV4);
}

static int api_ipv6(lua_State *lua)
{
    return push_address(lua, VALUE_IPV6);
}

static int push_text(lua_State *lua, enum value_type type)
{
    struct span text;

    text.at = luaL_checklstring(lua, 1, &text.len);
    return push_typed(lua, value_bytes(type, text));
}

static int api_str(lua_State *lua)
{
    return push_text(lua, VALUE_STR);
}

static int api_bin(lua_State *lua)
{
    return push_text(lua, VALUE_BIN);
}

static int api_type(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_checkany(lua, 2);
    arguments_push_type(lua, 1, 2);
    return 1;
}

static const luaL_Reg functions[] = {
    {"bool", api_bool},     {"int32", api_int32}, {"uint32", api_uint32}, {"int64", api_int64},
    {"uint64", api_uint64}, {"ipv4", api_ipv4},   {"ipv6", api_ipv6},     {"str", api_str},
    {"bin", api_bin},       {"type", api_type},   {NULL, NULL},
};

void api_value_open(lua_State *lua)
{
    struct value null = value_null();

    convert_open(lua);
    luaL_setfuncs(lua, functions, 0);
    convert_push_typed(lua, &null, false);
    lua_setfield(lua, -2, "null");
    convert_push_typed(lua, &null, true);
    lua_setfield(lua, -2, "unset");
}
