/*
 * spoa.log(level, ...): one line in the agent's log, with where it was called; the values
 * are joined by spaces as print joins them by tabs.  print(...) is spoa.log("info", ...):
 * standard output is nobody's in a daemon.
 */
#include <lauxlib.h>

#include "base/log.h"
#include "script/api.h"

static const char *const level_names[] = {"err", "warning", "notice", "info", "debug", NULL};
static const enum log_level levels[] = {LEVEL_ERR, LEVEL_WARNING, LEVEL_NOTICE, LEVEL_INFO,
                                        LEVEL_DEBUG};

static int log_values(lua_State *lua, enum log_level level, int first)
{
    int last = lua_gettop(lua);
    luaL_Buffer text;

    if (!log_enabled(level))
        return 0;
    luaL_buffinit(lua, &text);
    luaL_where(lua, 1);
    luaL_addvalue(&text);
    for (int i = first; i <= last; i++) {
        if (i > first)
            luaL_addchar(&text, ' ');
        luaL_tolstring(lua, i, NULL);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    log_write(level, "%s", lua_tostring(lua, -1));
    return 0;
}

static int api_log(lua_State *lua)
{
    return log_values(lua, levels[luaL_checkoption(lua, 1, NULL, level_names)], 2);
}

static int api_print(lua_State *lua)
{
    return log_values(lua, LEVEL_INFO, 1);
}

void api_log_open(lua_State *lua)
{
    lua_pushcfunction(lua, api_log);
    lua_setfield(lua, -2, "log");
    lua_pushcfunction(lua, api_print);
    lua_setglobal(lua, "print");
}
