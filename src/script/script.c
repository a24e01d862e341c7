#include "script/script.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "script/api.h"
#include "script/budget.h"
#include "script/errfunc.h"
#include "script/load.h"

/* The sanitizers want to see every block, so their builds turn the pools off. */
#ifndef HEAP_POOLED
#define HEAP_POOLED true
#endif

static const char script_key;

struct script *script_of(lua_State *lua)
{
    struct script *script;

    lua_rawgetp(lua, LUA_REGISTRYINDEX, &script_key);
    script = lua_touserdata(lua, -1);
    lua_pop(lua, 1);
    return script;
}

void script_check_open(lua_State *lua)
{
    if (script_of(lua)->closing)
        luaL_error(lua, "the scripts are being closed");
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
    const char *slash = strrchr(file, '/'), *other_slash = strrchr(other, '/');

    if (!slash || !other_slash)
        return slash == other_slash;
    return slash - file == other_slash - other && strncmp(file, other, (size_t)(slash - file)) == 0;
}

static int protected_open(lua_State *lua)
{
    struct script *script = lua_touserdata(lua, 1);
    const struct script_options *options = &script->options;

    lua_rawsetp(lua, LUA_REGISTRYINDEX, &script_key);
    errfunc_find(lua);
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

/* Everything that can raise is behind a lua_pcall or a lua_resume: this is our bug. */
static int panicked(lua_State *lua)
{
    log_write(LEVEL_ERR, "bug: a Lua error outside of a protected call: %s", lua_tostring(lua, -1));
    return 0; /* Lua aborts */
}

/* NULL when the state could be made, or what is wrong. */
static const char *script_open(struct script *script)
{
    lua_State *lua = lua_newstate(heap_alloc, &script->heap);

    script->lua = lua;
    if (!lua)
        return "handler-memory is too small for Lua itself";
    lua_atpanic(lua, panicked);
    coroutine_own(lua, OWNER_NOBODY, NULL); /* every coroutine begins with a copy of this */
    lua_pushcfunction(lua, protected_open);
    lua_pushlightuserdata(lua, script);
    return lua_pcall(lua, 1, 0, 0) == LUA_OK ? NULL : lua_tostring(lua, -1);
}

struct script *script_load(struct queue *queue, const struct script_options *options, bool starting,
                           script_fault_fn *fault, script_loaded_fn *loaded, void *context)
{
    struct script *script = mem_zalloc(sizeof *script);

    script->queue = queue;
    script->options = *options;
    script->metrics = options->metrics ? options->metrics : metrics_unseen();
    script->options.metrics = script->metrics;
    script->ticks = budget_ticks(options->cpu);
    script->scratch = mem_alloc(SCRIPT_ROOM);
    heap_init(&script->heap, options->memory, HEAP_POOLED);
    task_pool_init(script);
    LIST_INIT(&script->invocations);
    LIST_INIT(&script->polls);
    background_init(script);
    load_start(script, starting, script_open(script), fault, loaded, context);
    return script;
}

/* A run for those who have none: finalizers, and what they resume. */
static bool script_enter(const struct script *script)
{
    struct budget_limits limits = {script->ticks, CLOCK_NEVER, false};

    if (budget_is_running())
        return false;
    budget_enter(script->lua, &limits);
    return true;
}

int script_call(struct script *script, lua_CFunction function, void *arg, int nresults)
{
    bool entered = script_enter(script);
    int status;

    lua_pushcfunction(script->lua, function);
    lua_pushlightuserdata(script->lua, arg);
    status = lua_pcall(script->lua, 1, nresults, 0);
    if (entered)
        budget_leave();
    return status;
}

static void script_free(struct script *script)
{
    if (script->listed)
        LIST_REMOVE(script, entry);
    background_forget(script);
    load_forget(script);
    script->closing = true;
    coroutine_pool_clear(script);
    invoke_pool_clear(script);
    log_limit_flush(&script->background.failures, LEVEL_ERR, "in the background");
    log_limit_flush(&script->tasks.blockers, LEVEL_WARNING, "without waiting");
    if (script->lua) {
        handler_table_clear(&script->handlers);
        script_enter(script);
        lua_close(script->lua);
        budget_gone();
    }
    heap_clear(&script->heap);
    free(script->scratch);
    free(script);
}

static void script_let_go(struct script *script)
{
    if (script->retired && script->holds == 0)
        script_free(script);
}

void script_release(struct script *script)
{
    script->holds--;
    script_let_go(script);
}

bool script_is_busy(const struct script *script)
{
    return script->background.count > 0;
}

void script_retire(struct script *script, struct script_list *list)
{
    if (list)
        LIST_INSERT_HEAD(list, script, entry);
    script->listed = list != NULL;
    script->retired = true;
    background_stop(script);
    script_let_go(script);
}

void script_stop(struct script *script)
{
    script->holds++; /* so that it does not go away under us */
    if (!script->retired)
        script_retire(script, NULL);
    script->closing = true;
    background_forget(script);
    task_end_all(script);
    script_release(script);
}
