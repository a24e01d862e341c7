#include "modules/mmdb/value.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>

#define LIST "spoa.mmdb list"

/* libmaxminddb's side of a record.  In a userdata, since Lua may raise while it is read. */
struct list {
    MMDB_entry_data_list_s *first;
};

static int list_gc(lua_State *lua)
{
    struct list *list = lua_touserdata(lua, 1);

    MMDB_free_entry_data_list(list->first);
    list->first = NULL;
    return 0;
}

static struct list *push_list(lua_State *lua)
{
    struct list *list = lua_newuserdatauv(lua, sizeof *list, 0);

    list->first = NULL;
    if (luaL_newmetatable(lua, LIST)) {
        lua_pushcfunction(lua, list_gc);
        lua_setfield(lua, -2, "__gc");
    }
    lua_setmetatable(lua, -2);
    return list;
}

static void push_uint128(lua_State *lua, const MMDB_entry_data_s *data)
{
    char text[33];

#if MMDB_UINT128_IS_BYTE_ARRAY
    for (int i = 0; i < 16; i++)
        snprintf(text + (size_t)2 * i, 3, "%02x", data->uint128[i]);
#else
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, (uint64_t)(data->uint128 >> 64),
             (uint64_t)data->uint128);
#endif
    lua_pushstring(lua, text);
}

void value_push_scalar(lua_State *lua, const MMDB_entry_data_s *data)
{
    switch (data->type) {
    case MMDB_DATA_TYPE_UTF8_STRING:
        lua_pushlstring(lua, data->utf8_string, data->data_size);
        break;
    case MMDB_DATA_TYPE_BYTES:
        lua_pushlstring(lua, (const char *)data->bytes, data->data_size);
        break;
    case MMDB_DATA_TYPE_DOUBLE:
        lua_pushnumber(lua, data->double_value);
        break;
    case MMDB_DATA_TYPE_FLOAT:
        lua_pushnumber(lua, (lua_Number)data->float_value);
        break;
    case MMDB_DATA_TYPE_UINT16:
        lua_pushinteger(lua, data->uint16);
        break;
    case MMDB_DATA_TYPE_UINT32:
        lua_pushinteger(lua, data->uint32);
        break;
    case MMDB_DATA_TYPE_INT32:
        lua_pushinteger(lua, data->int32);
        break;
    case MMDB_DATA_TYPE_UINT64:
        lua_pushinteger(lua, (lua_Integer)data->uint64);
        break;
    case MMDB_DATA_TYPE_UINT128:
        push_uint128(lua, data);
        break;
    case MMDB_DATA_TYPE_BOOLEAN:
        lua_pushboolean(lua, data->boolean);
        break;
    default:
        lua_pushnil(lua);
    }
}

/* Pushes the value at *at and returns what is behind it in the list, where a map is followed by
 * its keys and values in turn, an array by its values. */
static const MMDB_entry_data_list_s *push_next(lua_State *lua, const MMDB_entry_data_list_s *at)
{
    const MMDB_entry_data_s *data = &at->entry_data;
    uint32_t count = data->data_size;

    luaL_checkstack(lua, 4, "the record is nested too deep");
    at = at->next;
    if (data->type == MMDB_DATA_TYPE_MAP) {
        lua_newtable(lua);
        for (uint32_t i = 0; i < count && at; i++) {
            lua_pushlstring(lua, at->entry_data.utf8_string, at->entry_data.data_size);
            at = at->next;
            if (at)
                at = push_next(lua, at);
            else
                lua_pushnil(lua);
            lua_rawset(lua, -3);
        }
    } else if (data->type == MMDB_DATA_TYPE_ARRAY) {
        lua_newtable(lua);
        for (uint32_t i = 0; i < count && at; i++) {
            at = push_next(lua, at);
            lua_rawseti(lua, -2, (lua_Integer)i + 1);
        }
    } else {
        value_push_scalar(lua, data);
    }
    return at;
}

/* The list on top of the stack becomes its value. */
static int list_finish(lua_State *lua, struct list *list, int status)
{
    if (status == MMDB_SUCCESS && !list->first)
        status = MMDB_INVALID_DATA_ERROR;
    if (status == MMDB_SUCCESS)
        push_next(lua, list->first);
    MMDB_free_entry_data_list(list->first);
    list->first = NULL;
    if (status == MMDB_SUCCESS)
        lua_remove(lua, -2);
    else
        lua_pop(lua, 1);
    return status;
}

int value_push_entry(lua_State *lua, MMDB_entry_s entry)
{
    struct list *list = push_list(lua);

    return list_finish(lua, list, MMDB_get_entry_data_list(&entry, &list->first));
}

int value_push_metadata(lua_State *lua, const MMDB_s *mmdb)
{
    struct list *list = push_list(lua);

    return list_finish(lua, list, MMDB_get_metadata_as_entry_data_list(mmdb, &list->first));
}
