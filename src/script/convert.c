#include "script/convert.h"

#include <lauxlib.h>

#define TYPED "spoa.value"

_Static_assert(VALUE_TYPE_COUNT == 10, "a new type wants a case in convert_push");

void convert_push(lua_State *lua, const struct value *value)
{
    char text[VALUE_IP_TEXT_MAX];

    switch (value->type) {
    case VALUE_NULL:
        lua_pushnil(lua);
        break;
    case VALUE_BOOL:
        lua_pushboolean(lua, value->integer != 0);
        break;
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_UINT64:
        lua_pushinteger(lua, (lua_Integer)value->integer);
        break;
    case VALUE_IPV4:
    case VALUE_IPV6:
        lua_pushlstring(lua, text, value_ip_text(value, text));
        break;
    case VALUE_STR:
    case VALUE_BIN:
        lua_pushlstring(lua, value->bytes.at, value->bytes.len);
        break;
    }
}

void convert_push_typed(lua_State *lua, const struct value *value, bool unset)
{
    size_t room = unset ? 0 : 1 + WIRE_VARINT_MAX + value->bytes.len;
    struct typed *typed = lua_newuserdatauv(lua, sizeof *typed + room, 0);
    struct wire_out out = wire_out_open(typed->bytes, room);

    typed->unset = unset;
    if (!unset)
        value_put(&out, value);
    typed->len = (size_t)(out.at - typed->bytes);
    luaL_setmetatable(lua, TYPED);
}

const struct typed *convert_typed(lua_State *lua, int index)
{
    return luaL_testudata(lua, index, TYPED);
}

/* tostring(): "spoa.int32(5)", "spoa.unset", for whoever prints a result while debugging. */
static int typed_tostring(lua_State *lua)
{
    const struct typed *typed = luaL_checkudata(lua, 1, TYPED);
    struct wire wire = wire_open(typed->bytes, typed->len);
    struct value value;

    if (typed->unset) {
        lua_pushliteral(lua, "spoa.unset");
        return 1;
    }
    value_get(&wire, &value);
    if (value.type == VALUE_NULL) {
        lua_pushliteral(lua, "spoa.null");
        return 1;
    }
    lua_pushfstring(lua, "spoa.%s(", value_type_name(value.type));
    convert_push(lua, &value);
    luaL_tolstring(lua, -1, NULL);
    lua_remove(lua, -2);
    lua_pushliteral(lua, ")");
    lua_concat(lua, 3);
    return 1;
}

void convert_open(lua_State *lua)
{
    luaL_newmetatable(lua, TYPED);
    lua_pushcfunction(lua, typed_tostring);
    lua_setfield(lua, -2, "__tostring");
    lua_pushliteral(lua, TYPED);
    lua_setfield(lua, -2, "__metatable");
    lua_pop(lua, 1);
}

static const char *plain_number(lua_State *lua, int index, struct value *value)
{
    int exact;
    lua_Integer integer = lua_tointegerx(lua, index, &exact);

    if (!exact)
        return "is a number with a fraction (or too large), which HAProxy does not have: round "
               "it with math.floor, or make it a string with tostring";
    *value = value_integer(VALUE_INT64, (uint64_t)integer);
    return NULL;
}

const char *convert_plain(lua_State *lua, int index, struct value *value)
{
    struct span text;

    switch (lua_type(lua, index)) {
    case LUA_TBOOLEAN:
        *value = value_bool(lua_toboolean(lua, index));
        return NULL;
    case LUA_TNUMBER:
        return plain_number(lua, index, value);
    case LUA_TSTRING:
        text.at = lua_tolstring(lua, index, &text.len);
        *value = value_bytes(VALUE_STR, text);
        return NULL;
    case LUA_TTABLE:
        return "is a table: write one variable for each of its values, or join them into a "
               "string with table.concat";
    case LUA_TFUNCTION:
        return "is a function: call it, and give its result";
    case LUA_TTHREAD:
        return "is a coroutine: resume it, and give its result";
    default:
        return "is a userdata: give a boolean, an integer, a string or one of spoa's values";
    }
}
