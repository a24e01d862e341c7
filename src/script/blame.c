#include "script/blame.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "script/budget.h"
#include "script/script.h"

/* text(error): what there is to be read of it.  Of a text that is itself: where a hook has raised
 * one there are no hooks, and nothing would stop the __tostring that strings can have, too. */
static int protected_text(lua_State *lua)
{
    if (lua_isstring(lua, 1))
        lua_pushvalue(lua, 1);
    else if (!luaL_callmeta(lua, 1, "__tostring") || !lua_isstring(lua, -1))
        lua_pushfstring(lua, "(the error is a %s value)", luaL_typename(lua, 1));
    return 1;
}

static void push_text(lua_State *lua, int index)
{
    lua_pushcfunction(lua, protected_text);
    lua_pushvalue(lua, index);
    if (lua_pcall(lua, 1, 1, 0) == LUA_OK || lua_isstring(lua, -1))
        return;
    lua_pop(lua, 1);
    lua_pushliteral(lua, "(no text for the error)");
}

/* The text is the task's, in plain memory: what runs next may be a <close> variable. */
static void tell(struct task *task, const char *text)
{
    free(task->told);
    task->told = mem_strndup(text, strlen(text));
}

/* The message handler.  The error stays what it is, for <close> variables are given it. */
static int blame(lua_State *lua)
{
    struct task *task = task_of(lua);

    lua_settop(lua, 1);
    if (!task)
        return 1; /* Lua 5.4.4 calls it while the coroutine is closed, too */
    push_text(lua, 1);
    luaL_traceback(lua, lua, lua_tostring(lua, 2), 1);
    tell(task, lua_tostring(lua, 3));
    if (budget_over())
        wait_spare(task, lua);
    lua_settop(lua, 1);
    return 1;
}

void blame_open(lua_State *lua)
{
    lua_pushcfunction(lua, blame);
}

int blame_call(lua_State *lua, int nargs, int nresults, lua_KFunction returned)
{
    return returned(lua, lua_pcallk(lua, nargs, nresults, 1, 0, returned), 0);
}

/* Out of memory in a coroutine that a handler made, or caught and raised again, comes as an
 * ordinary error with Lua's own words. */
static enum task_result result_of(lua_State *lua, int status)
{
    if (status == LUA_ERRMEM || (lua_type(lua, -1) == LUA_TSTRING &&
                                 strcmp(lua_tostring(lua, -1), "not enough memory") == 0))
        return TASK_MEMORY;
    return TASK_ERROR;
}

bool blame_raised(lua_State *lua, int status)
{
    struct task *task;

    if (status == LUA_OK || status == LUA_YIELD)
        return false;
    task = task_of(lua);
    if (task->result == TASK_OK)
        task->result = result_of(lua, status);
    /* Of these two Lua makes no call to the message handler. */
    if (!task->told || status == LUA_ERRMEM || status == LUA_ERRERR)
        tell(task, lua_isstring(lua, -1) ? lua_tostring(lua, -1) : "(no text for the error)");
    return true;
}

static const char *happened(struct task *task, int status)
{
    if (!task->why && status == LUA_YIELD)
        task->why = "coroutine.yield outside of a coroutine of its own";
    if (task->why)
        return task->why;
    if (lua_isstring(task->coroutine.lua, -1))
        return lua_tostring(task->coroutine.lua, -1);
    return "(no text for the error)";
}

/* traceback(task): of where it waits or computes. */
static int protected_traceback(lua_State *lua)
{
    const struct task *task = lua_touserdata(lua, 1);

    luaL_traceback(lua, task->inner ? task->inner : task->coroutine.lua, task->told, 0);
    return 1;
}

void blame_task(struct task *task, int status)
{
    lua_State *lua = task->script->lua;
    char *text;

    if (task->result == TASK_OK)
        task->result = status == LUA_YIELD ? TASK_ERROR : result_of(task->coroutine.lua, status);
    if (asprintf(&text, "%s:%d: %s", task->file, task->line, happened(task, status)) >= 0) {
        tell(task, text);
        free(text);
    }
    if (status != LUA_YIELD)
        return;
    if (script_call(task->script, protected_traceback, task, 1) == LUA_OK)
        tell(task, lua_tostring(lua, -1));
    lua_pop(lua, 1);
}
