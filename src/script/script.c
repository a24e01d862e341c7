#include "script/script.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "script/api.h"
#include "script/budget.h"

/* The sanitizers want to see every block, so their builds turn the pools off. */
#ifndef HEAP_POOLED
#define HEAP_POOLED true
#endif

/* What a script's top level may use of CPU time, in handler-cpu's: it runs once, and may
 * build large tables. */
#define LOAD_ALLOWANCE 100

static const char script_key;

struct loading {
    struct script *script;
    script_fault_fn *fault;
    void *context;
    size_t faults;
};

struct script *script_of(lua_State *lua)
{
    struct script *script;

    lua_rawgetp(lua, LUA_REGISTRYINDEX, &script_key);
    script = lua_touserdata(lua, -1);
    lua_pop(lua, 1);
    return script;
}

static void loading_fault(struct loading *loading, const char *text)
{
    loading->faults++;
    loading->fault(loading->context, text);
}

static void prepend(lua_State *lua, const char *field, const char *pattern)
{
    lua_getglobal(lua, "package");
    lua_pushfstring(lua, "%s;", pattern);
    lua_getfield(lua, -2, field);
    lua_concat(lua, 2);
    lua_setfield(lua, -2, field);
    lua_pop(lua, 1);
}

/* The folder of a script is where its modules are looked for first. */
static void prepend_folder(lua_State *lua, const char *file)
{
    const char *slash = strrchr(file, '/');

    lua_pushlstring(lua, slash ? file : "./", slash ? (size_t)(slash - file) + 1 : 2);
    lua_pushliteral(lua, "?.lua");
    lua_concat(lua, 2);
    prepend(lua, "path", lua_tostring(lua, -1));
    lua_pop(lua, 1);
}

static bool same_folder(const char *file, const char *other)
{
    size_t len = (size_t)((strrchr(file, '/') ? strrchr(file, '/') : file) - file);

    return strncmp(file, other, len) == 0 && !strchr(other + len + 1, '/');
}

static int protected_open(lua_State *lua)
{
    struct script *script = lua_touserdata(lua, 1);
    const struct script_options *options = &script->options;

    lua_rawsetp(lua, LUA_REGISTRYINDEX, &script_key);
    luaL_openlibs(lua);
    api_open(lua);
    for (size_t i = options->nfiles; i-- > 0;) {
        if (i == 0 || !same_folder(options->files[i], options->files[i - 1]))
            prepend_folder(lua, options->files[i]);
    }
    /* As HAProxy has it: of several lua-prepend-path the last is looked at first. */
    for (size_t i = 0; i < options->npaths; i++)
        prepend(lua, options->paths[i].cpath ? "cpath" : "path", options->paths[i].pattern);
    return 0;
}

/* Every global function of the environment at index is a handler. */
static void define_handlers(struct loading *loading, lua_State *lua, int env, const char *file)
{
    lua_pushnil(lua);
    while (lua_next(lua, env)) {
        const struct handler *there = NULL;
        struct span name;

        if (lua_type(lua, -2) != LUA_TSTRING || !lua_isfunction(lua, -1)) {
            lua_pop(lua, 1);
            continue;
        }
        name.at = lua_tolstring(lua, -2, &name.len);
        lua_pushvalue(lua, -1);
        there = handler_define(&loading->script->handlers, lua, name, file);
        if (there) {
            lua_Debug about;

            lua_getinfo(lua, ">S", &about);
            loading_fault(loading, lua_pushfstring(lua,
                                                   "%s:%d: handler '%s' is already defined at "
                                                   "%s:%d: rename one, or make it local",
                                                   file, about.linedefined, there->name,
                                                   there->file, there->line));
        }
        lua_pop(lua, 1);
    }
}

static int with_traceback(lua_State *lua)
{
    luaL_traceback(lua, lua, luaL_tolstring(lua, 1, NULL), 1);
    return 1;
}

/* load(loading, file): runs one script in an environment of its own. */
static int protected_load(lua_State *lua)
{
    struct loading *loading = lua_touserdata(lua, 1);
    const char *file = lua_tostring(lua, 2);
    int env;

    lua_pushcfunction(lua, with_traceback);
    lua_newtable(lua);
    env = lua_gettop(lua);
    lua_createtable(lua, 0, 1);
    lua_pushglobaltable(lua);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, env);
    if (luaL_loadfilex(lua, file, "t") != LUA_OK)
        return lua_error(lua);
    lua_pushvalue(lua, env);
    lua_setupvalue(lua, -2, 1);
    if (lua_pcall(lua, 0, 0, env - 1) != LUA_OK)
        return lua_error(lua);
    define_handlers(loading, lua, env, file);
    return 0;
}

static void load_file(struct loading *loading, const char *file)
{
    lua_State *lua = loading->script->lua;
    const char *text;

    lua_pushcfunction(lua, protected_load);
    lua_pushlightuserdata(lua, loading);
    lua_pushstring(lua, file);
    budget_enter(lua, LOAD_ALLOWANCE);
    if (lua_pcall(lua, 2, 0, 0) != LUA_OK) {
        text = lua_tostring(lua, -1);
        /* Lua cuts long names; say the whole one in front then. */
        if (strncmp(text, file, strlen(file)) != 0)
            text = lua_pushfstring(lua, "%s: %s", file, text);
        loading_fault(loading, text);
    }
    budget_leave();
    lua_settop(lua, 0);
}

/* Everything that can raise is behind a lua_pcall or a lua_resume: this is our bug. */
static int panicked(lua_State *lua)
{
    log_write(LEVEL_ERR, "bug: a Lua error outside of a protected call: %s", lua_tostring(lua, -1));
    return 0; /* Lua aborts */
}

struct script *script_new(struct ev_loop *loop, const struct script_options *options,
                          size_t action_room, script_fault_fn *fault, void *context)
{
    struct script *script = mem_zalloc(sizeof *script);
    struct loading loading = {script, fault, context, 0};

    script->loop = loop;
    script->options = *options;
    script->scratch = mem_alloc(action_room);
    script->scratch_size = action_room;
    heap_init(&script->heap, options->memory, HEAP_POOLED);
    script->lua = lua_newstate(heap_alloc, &script->heap);
    if (!script->lua) {
        loading_fault(&loading, "handler-memory is too small for Lua itself");
        script_free(script);
        return NULL;
    }
    /* Every coroutine begins with a copy of this: no task owns it (task.c). */
    *(void **)lua_getextraspace(script->lua) = NULL;
    lua_pushcfunction(script->lua, protected_open);
    lua_pushlightuserdata(script->lua, script);
    lua_atpanic(script->lua, panicked);
    if (lua_pcall(script->lua, 1, 0, 0) != LUA_OK) {
        loading_fault(&loading, lua_tostring(script->lua, -1));
        script_free(script);
        return NULL;
    }
    for (size_t i = 0; i < options->nfiles; i++)
        load_file(&loading, options->files[i]);
    if (loading.faults) {
        script_free(script);
        return NULL;
    }
    script->options.files = NULL;
    script->options.paths = NULL;
    script->options.nfiles = script->options.npaths = 0;
    return script;
}

void script_retire(struct script *script)
{
    script->retired = true;
    if (script->tasks.count == 0)
        script_free(script);
}

void script_free(struct script *script)
{
    if (script->lua) {
        task_pool_clear(script);
        handler_table_clear(&script->handlers);
        lua_close(script->lua);
    }
    heap_clear(&script->heap);
    free(script->scratch);
    free(script);
}
