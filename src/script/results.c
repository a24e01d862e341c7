#include "script/results.h"

#include <lauxlib.h>

#include "script/convert.h"

struct results {
    lua_State *lua;
    struct wire_out *out;
};

static void variable_fault(lua_State *lua, enum action_scope scope, struct span name,
                           const char *fault)
{
    lua_pushlstring(lua, name.at, name.len);
    luaL_error(lua, "variable '%s.%s' %s", action_scope_name(scope), lua_tostring(lua, -1), fault);
}

static void put_typed(struct results *results, enum action_scope scope, struct span name,
                      const struct typed *typed)
{
    if (typed->unset) {
        action_put_unset(results->out, scope, name);
        return;
    }
    action_put_head(results->out, scope, name);
    wire_put_bytes(results->out, typed->bytes, typed->len);
}

/* The value is on top of the stack and stays there. */
static void put_variable(struct results *results, enum action_scope scope, struct span name)
{
    lua_State *lua = results->lua;
    const char *fault = action_name_fault(scope, name);
    const struct typed *typed;
    struct value value;

    if (fault)
        variable_fault(lua, scope, name, fault);
    fault = convert_plain(lua, -1, &value);
    if (!fault)
        action_put_set(results->out, scope, name, &value);
    else if ((typed = convert_typed(lua, -1)) != NULL)
        put_typed(results, scope, name, typed);
    else
        variable_fault(lua, scope, name, fault);
}

static struct span key_of(lua_State *lua, int index)
{
    struct span key;

    if (lua_type(lua, index) != LUA_TSTRING)
        luaL_error(lua,
                   "a variable's name must be a string, and this one is a %s: write "
                   "{ [\"txn.score\"] = value } or { txn = { score = value } }",
                   luaL_typename(lua, index));
    key.at = lua_tolstring(lua, index, &key.len);
    return key;
}

/* { txn = { score = 42 } }: every name in the inner table is the rest, dots and all. */
static void put_scope(struct results *results, enum action_scope scope)
{
    lua_State *lua = results->lua;

    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        put_variable(results, scope, key_of(lua, -2));
        lua_pop(lua, 1);
    }
}

static void put_entry(struct results *results, enum action_scope default_scope)
{
    lua_State *lua = results->lua;
    struct span key = key_of(lua, -2);
    enum action_scope scope = default_scope;

    if (lua_type(lua, -1) == LUA_TTABLE && action_scope_find(key, &scope)) {
        put_scope(results, scope);
        return;
    }
    key = action_split(key, &scope);
    put_variable(results, scope, key);
}

void results_put(lua_State *lua, enum action_scope default_scope, struct wire_out *out)
{
    struct results results = {lua, out};
    int type = lua_type(lua, -1);

    if (type == LUA_TNIL)
        return;
    if (type != LUA_TTABLE)
        luaL_error(lua,
                   "a handler returned a %s: return a table of variables such as "
                   "{ [\"txn.score\"] = 42 }, or nothing",
                   lua_typename(lua, type));
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        put_entry(&results, default_scope);
        lua_pop(lua, 1);
    }
}
