/*
 * require "spoa.dict": dictionaries shared by all workers of a host, see dict/store.h for
 * what they keep and dict/env.h for how.  Nothing here waits.
 *
 * dict.open(name [, {size=, path=}]) gives the same object for the same file, as long as
 * this Lua state lives; its methods take strings, integers and booleans as keys, these and
 * floats as values, and times to live in seconds.
 */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/dict/arguments.h"
#include "modules/dict/store.h"
#include "script/script.h"

#define DICT_TYPE "spoa.dict"

struct dict {
    struct dict_env *env; /* NULL until it is open */
    size_t size;
    char path[];
};

__attribute__((visibility("default"))) int luaopen_spoa_dict(lua_State *lua);

static int fail(lua_State *lua, const char *text)
{
    luaL_pushfail(lua);
    lua_pushstring(lua, text);
    return 2;
}

/* The dictionary, open in this process: after a fork the child opens it anew.  NULL with
 * nil and a message pushed. */
static struct dict_env *env_of(lua_State *lua)
{
    struct dict *dict = luaL_checkudata(lua, 1, DICT_TYPE);
    struct dict_why why;

    luaL_argcheck(lua, dict->env, 1, "the dictionary is closed");
    if (!dict_env_here(dict->env)) {
        struct dict_env *env = dict_env_open(dict->path, dict->size, &why);

        if (!env) {
            fail(lua, why.text);
            return NULL;
        }
        dict->env = env;
    }
    return dict->env;
}

/* ---- methods ---- */

static void push_value(lua_State *lua, const struct dict_value *value)
{
    switch (value->type) {
    case DICT_STRING:
        lua_pushlstring(lua, value->string.at, value->string.len);
        break;
    case DICT_INTEGER:
        lua_pushinteger(lua, value->integer);
        break;
    case DICT_FLOAT:
        lua_pushnumber(lua, value->number);
        break;
    case DICT_BOOLEAN:
        lua_pushboolean(lua, value->boolean);
        break;
    }
}

/* get(key) -> value; nil if there is none; nil, message */
static int dict_get(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    struct dict_value key = dict_check_value(lua, 2, true), value;
    struct dict_key bytes;
    uint64_t expires;
    int status;

    if (!env)
        return 2;
    if (!dict_key_put(&bytes, &key))
        return fail(lua, "key too long");
    status = dict_store_get(env, &bytes, &value, &expires);
    if (status == DICT_ABSENT) {
        lua_pushnil(lua);
        return 1;
    }
    if (status)
        return fail(lua, dict_store_text(status));
    push_value(lua, &value);
    return 1;
}

/* ttl(key) -> seconds left, math.huge for no end; nil if there is none; nil, message */
static int dict_ttl(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    struct dict_value key = dict_check_value(lua, 2, true), value;
    struct dict_key bytes;
    uint64_t expires, now;
    int status;

    if (!env)
        return 2;
    if (!dict_key_put(&bytes, &key))
        return fail(lua, "key too long");
    status = dict_store_get(env, &bytes, &value, &expires);
    now = dict_store_now();
    if (status == DICT_ABSENT || (!status && expires && expires <= now)) {
        lua_pushnil(lua);
        return 1;
    }
    if (status)
        return fail(lua, dict_store_text(status));
    lua_pushnumber(lua, expires ? (lua_Number)(expires - now) / 1000 : HUGE_VAL);
    return 1;
}

/* Does it; what is left to the caller is what to return when it is DICT_OK.  env is what
 * env_of gave before the arguments were looked at. */
static int change(lua_State *lua, struct dict_env *env, struct dict_change *todo)
{
    struct dict_value key = dict_check_value(lua, 2, true);
    int status;

    if (!env)
        return 2;
    if (!dict_key_put(&todo->key, &key))
        return fail(lua, "key too long");
    status = dict_store_change(env, todo);
    if (status)
        return fail(lua, dict_store_text(status));
    if (todo->verb == DICT_INCR)
        push_value(lua, &todo->value);
    else
        lua_pushboolean(lua, true);
    return 1;
}

static int put(lua_State *lua, enum dict_verb verb)
{
    struct dict_env *env = env_of(lua);
    struct dict_change todo = {.verb = verb};

    todo.value = dict_check_value(lua, 3, false);
    todo.expires = dict_check_expires(lua, 4);
    return change(lua, env, &todo);
}

/* set(key, value [, ttl]) -> true; nil, message */
static int dict_set(lua_State *lua)
{
    return put(lua, DICT_SET);
}

/* add(key, value [, ttl]) -> true; nil, "exists"; nil, message */
static int dict_add(lua_State *lua)
{
    return put(lua, DICT_ADD);
}

/* replace(key, value [, ttl]) -> true; nil, "not found"; nil, message */
static int dict_replace(lua_State *lua)
{
    return put(lua, DICT_REPLACE);
}

/* incr(key [, n [, init [, ttl]]]) -> the new value; nil, message */
static int dict_incr(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    struct dict_change todo = {.verb = DICT_INCR};

    todo.value = (struct dict_value){.type = DICT_INTEGER, .integer = 1};
    if (!lua_isnoneornil(lua, 3))
        todo.value = dict_check_number(lua, 3);
    todo.has_init = !lua_isnoneornil(lua, 4);
    if (todo.has_init)
        todo.init = dict_check_number(lua, 4);
    luaL_argcheck(lua, todo.has_init || lua_isnoneornil(lua, 5), 5,
                  "ttl is for an entry that is not there yet, which needs init");
    todo.expires = dict_check_expires(lua, 5);
    return change(lua, env, &todo);
}

/* expire(key [, ttl]) -> true; nil, "not found"; nil, message */
static int dict_expire(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    struct dict_change todo = {.verb = DICT_EXPIRE};

    todo.expires = dict_check_expires(lua, 3);
    return change(lua, env, &todo);
}

/* delete(key) -> true; nil, "not found"; nil, message */
static int dict_delete(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    struct dict_change todo = {.verb = DICT_DELETE};

    return change(lua, env, &todo);
}

/* flush_expired([max]) -> how many; nil, message */
static int dict_flush_expired(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    lua_Integer max = luaL_optinteger(lua, 2, 1000);
    uint64_t removed;
    int status;

    luaL_argcheck(lua, max >= 1, 2, "max must be 1 or more");
    if (!env)
        return 2;
    status = dict_store_flush(env, (uint64_t)max, &removed);
    if (status)
        return fail(lua, dict_store_text(status));
    lua_pushinteger(lua, (lua_Integer)removed);
    return 1;
}

/* clear() -> true; nil, message */
static int dict_clear(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    int status;

    if (!env)
        return 2;
    status = dict_store_clear(env);
    if (status)
        return fail(lua, dict_store_text(status));
    lua_pushboolean(lua, true);
    return 1;
}

/* info() -> { entries=, used=, size=, path= }; nil, message */
static int dict_info(lua_State *lua)
{
    struct dict_env *env = env_of(lua);
    struct dict_usage usage;
    int status;

    if (!env)
        return 2;
    status = dict_store_usage(env, &usage);
    if (status)
        return fail(lua, dict_store_text(status));
    lua_createtable(lua, 0, 4);
    lua_pushinteger(lua, (lua_Integer)usage.entries);
    lua_setfield(lua, -2, "entries");
    lua_pushinteger(lua, (lua_Integer)usage.used);
    lua_setfield(lua, -2, "used");
    lua_pushinteger(lua, (lua_Integer)usage.size);
    lua_setfield(lua, -2, "size");
    lua_pushstring(lua, ((struct dict *)lua_touserdata(lua, 1))->path);
    lua_setfield(lua, -2, "path");
    return 1;
}

static int dict_tostring(lua_State *lua)
{
    struct dict *dict = luaL_checkudata(lua, 1, DICT_TYPE);

    lua_pushfstring(lua, "spoa.dict (%s)", dict->path);
    return 1;
}

static int dict_gc(lua_State *lua)
{
    struct dict *dict = luaL_checkudata(lua, 1, DICT_TYPE);

    if (dict->env)
        dict_env_close(dict->env);
    dict->env = NULL;
    return 0;
}

/* ---- opening ---- */

/* The object of this file in this state, or a new one; at the top of the stack. */
static struct dict *object_of(lua_State *lua, const char *path)
{
    struct dict *dict;

    if (lua_getfield(lua, lua_upvalueindex(1), path) == LUA_TUSERDATA)
        return lua_touserdata(lua, -1);
    lua_pop(lua, 1);
    dict = lua_newuserdatauv(lua, sizeof *dict + strlen(path) + 1, 0);
    dict->env = NULL;
    dict->size = 0;
    memcpy(dict->path, path, strlen(path) + 1);
    luaL_setmetatable(lua, DICT_TYPE);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, lua_upvalueindex(1), path);
    return dict;
}

/* open(name [, {size=, path=}]) -> dictionary; nil, message */
static int dict_open(lua_State *lua)
{
    size_t len, size;
    const char *name = luaL_checklstring(lua, 1, &len), *path;
    char place[PATH_MAX];
    struct dict_why why = {""};
    struct dict_env *env;
    struct dict *dict;

    luaL_argcheck(lua, dict_name_valid(name, len), 1,
                  "a name has 1 to 64 of A-Z a-z 0-9 _ - . and does not begin with a dot");
    dict_check_options(lua, 2, &size, &path);
    if (path)
        snprintf(place, sizeof place, "%s", path);
    else if (!dict_place_of(name, place, &why))
        return fail(lua, why.text);
    script_check_open(lua);
    dict = object_of(lua, place);
    env = dict_env_open(place, size, &why);
    if (!env)
        return fail(lua, why.text);
    if (dict->env)
        dict_env_close(dict->env);
    dict->env = env;
    dict->size = size > dict->size ? size : dict->size;
    return 1;
}

int luaopen_spoa_dict(lua_State *lua)
{
    static const luaL_Reg methods[] = {
        {"get", dict_get},
        {"set", dict_set},
        {"add", dict_add},
        {"replace", dict_replace},
        {"incr", dict_incr},
        {"delete", dict_delete},
        {"ttl", dict_ttl},
        {"expire", dict_expire},
        {"flush_expired", dict_flush_expired},
        {"clear", dict_clear},
        {"info", dict_info},
        {"__tostring", dict_tostring},
        {"__gc", dict_gc},
        {NULL, NULL},
    };

    luaL_newmetatable(lua, DICT_TYPE);
    luaL_setfuncs(lua, methods, 0);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -2, "__index");
    lua_createtable(lua, 0, 1);
    lua_newtable(lua); /* path -> dictionary */
    lua_pushcclosure(lua, dict_open, 1);
    lua_setfield(lua, -2, "open");
    return 1;
}
