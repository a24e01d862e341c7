#include "script/load.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "script/blame.h"
#include "script/budget.h"

/* A script's top level and spoa.at_start run once, may build large tables and wait for what
 * they need: so much CPU time between two waits, in handler-cpu's, and so many seconds. */
#define LOAD_TIMES   100
#define LOAD_TIMEOUT 60.0

struct loading {
    struct task task; /* first: one at a time */
    struct script *script;
    struct job begin;
    bool starting;
    size_t file;             /* the next of options.files */
    int at_start, nat_start; /* a reference to the list of functions; the next of them */
    size_t faults;
    bool given_up; /* nothing comes next */
    script_fault_fn *fault;
    script_loaded_fn *loaded;
    void *context;
    char place[LUA_IDSIZE]; /* of the at_start function that runs */
};

static void load_next(struct loading *loading);

static void load_fault(struct loading *loading, const char *text)
{
    loading->faults++;
    loading->fault(loading->context, text);
}

/* ---- one script ---- */

static void duplicate(struct loading *loading, lua_State *lua, const struct handler *there)
{
    lua_Debug about;

    lua_getinfo(lua, ">S", &about);
    lua_pushfstring(lua,
                    "%s:%d: handler '%s' is already defined at %s:%d: rename one, or make it "
                    "local",
                    loading->task.file, about.linedefined, there->name, there->file, there->line);
    load_fault(loading, lua_tostring(lua, -1));
}

/* Every global function of the environment at index is a handler. */
static void define_handlers(struct loading *loading, lua_State *lua, int env)
{
    struct script *script = loading->script;

    lua_pushnil(lua);
    while (lua_next(lua, env)) {
        const struct handler *there = NULL;
        struct span name;

        if (lua_type(lua, -2) == LUA_TSTRING && lua_isfunction(lua, -1)) {
            name.at = lua_tolstring(lua, -2, &name.len);
            lua_pushvalue(lua, -1);
            there =
                handler_define(&script->handlers, lua, name, loading->task.file, &script->options);
        }
        if (there)
            duplicate(loading, lua, there);
        lua_pop(lua, 1);
    }
}

/* The stack of a script's coroutine: blame_call's slot, and the script's environment. */
#define ENVIRONMENT 2

static int file_returned(lua_State *lua, int status, lua_KContext context)
{
    (void)context;
    if (blame_raised(lua, status))
        return BLAME_RAISED;
    define_handlers((struct loading *)task_of(lua), lua, ENVIRONMENT);
    return 0;
}

static int file_body(lua_State *lua)
{
    struct loading *loading = (struct loading *)task_of(lua);
    int status;

    blame_open(lua);
    lua_newtable(lua);
    lua_createtable(lua, 0, 1);
    lua_pushglobaltable(lua);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, ENVIRONMENT);
    status = luaL_loadfilex(lua, loading->task.file, "t");
    if (blame_raised(lua, status))
        return BLAME_RAISED;
    lua_pushvalue(lua, ENVIRONMENT);
    lua_setupvalue(lua, -2, 1);
    return blame_call(lua, 0, 0, file_returned);
}

/* ---- one function of spoa.at_start ---- */

void script_at_start(lua_State *lua)
{
    struct loading *loading = script_of(lua)->loading;

    if (!loading) {
        luaL_error(lua, "spoa.at_start is for a script's top level: everything has started");
        return;
    }
    if (loading->at_start == LUA_NOREF) {
        lua_newtable(lua);
        loading->at_start = luaL_ref(lua, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, loading->at_start);
    lua_insert(lua, -2);
    lua_rawseti(lua, -2, (lua_Integer)lua_rawlen(lua, -2) + 1);
    lua_pop(lua, 1);
}

static int at_start_returned(lua_State *lua, int status, lua_KContext context)
{
    (void)context;
    return blame_raised(lua, status) ? BLAME_RAISED : 0;
}

static int at_start_body(lua_State *lua)
{
    struct loading *loading = (struct loading *)task_of(lua);

    blame_open(lua);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, loading->at_start);
    lua_rawgeti(lua, -1, loading->nat_start);
    return blame_call(lua, 0, 0, at_start_returned);
}

/* ---- one after the other ---- */

static void load_ended(struct task *task, const struct task_report *report)
{
    struct loading *loading = (struct loading *)task;

    char *text;

    if (report->result == TASK_OK)
        return;
    /* Lua cuts long names; say the whole one in front then. */
    if (strncmp(report->text, task->file, strlen(task->file)) == 0 ||
        asprintf(&text, "%s: %s", task->file, report->text) < 0) {
        load_fault(loading, report->text);
        return;
    }
    load_fault(loading, text);
    free(text);
}

static void load_cancelled(struct task *task)
{
    ((struct loading *)task)->given_up = true;
}

/* load_forget frees it. */
static void load_done(struct task *task)
{
    struct loading *loading = (struct loading *)task;

    if (!loading->given_up)
        load_next(loading);
}

static const struct task_kind file_kind = {
    .body = file_body,
    .ended = load_ended,
    .cancelled = load_cancelled,
    .over = load_done,
    .lane = LANE_LONG,
};

static const struct task_kind at_start_kind = {
    .body = at_start_body,
    .ended = load_ended,
    .cancelled = load_cancelled,
    .over = load_done,
    .lane = LANE_LONG,
};

/* False when there is no memory to begin with. */
static bool load_task(struct loading *loading, const struct task_kind *kind)
{
    struct task_limits limits = {budget_ticks(loading->script->options.cpu * LOAD_TIMES),
                                 clock_after(clock_look(), LOAD_TIMEOUT)};

    if (!task_init(&loading->task, loading->script, kind, limits)) {
        load_fault(loading, "handler-memory is too small for the scripts");
        return false;
    }
    task_start(&loading->task);
    return true;
}

/* True when there is one more, whose place is then known. */
static bool next_at_start(struct loading *loading)
{
    lua_State *lua = loading->script->lua;
    lua_Debug about;
    bool more = false;

    if (loading->at_start == LUA_NOREF || !loading->starting || loading->faults)
        return false;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, loading->at_start);
    if (lua_rawgeti(lua, -1, ++loading->nat_start) == LUA_TFUNCTION) {
        lua_getinfo(lua, ">S", &about);
        memcpy(loading->place, about.short_src, sizeof loading->place);
        loading->task.file = loading->place;
        loading->task.line = about.linedefined;
        more = true;
        lua_pop(lua, 1);
    } else {
        lua_pop(lua, 2);
    }
    return more;
}

static void load_over(struct loading *loading)
{
    struct script *script = loading->script;
    struct loading done = *loading;

    script->options.files = NULL;
    script->options.paths = NULL;
    script->options.limits = NULL;
    script->options.nfiles = script->options.npaths = script->options.nlimits = 0;
    load_forget(script);
    done.loaded(done.context, script, done.faults == 0);
}

static void load_next(struct loading *loading)
{
    const struct script_options *options = &loading->script->options;

    while (loading->file < options->nfiles) {
        loading->task.file = options->files[loading->file++];
        loading->task.line = 1;
        if (load_task(loading, &file_kind))
            return;
    }
    if (!next_at_start(loading) || !load_task(loading, &at_start_kind))
        load_over(loading);
}

/* A job, so that loaded is called from the loop even where there is nothing to load. */
static void load_begin(struct job *job)
{
    struct loading *loading = (struct loading *)((char *)job - offsetof(struct loading, begin));

    if (loading->faults)
        load_over(loading); /* there is no state to load into */
    else
        load_next(loading);
}

void load_start(struct script *script, bool starting, const char *wrong, script_fault_fn *fault,
                script_loaded_fn *loaded, void *context)
{
    struct loading *loading = mem_zalloc(sizeof *loading);

    script->loading = loading;
    loading->script = script;
    loading->starting = starting;
    loading->at_start = LUA_NOREF;
    loading->fault = fault;
    loading->loaded = loaded;
    loading->context = context;
    if (wrong)
        load_fault(loading, wrong);
    job_init(&loading->begin, load_begin);
    queue_add(script->queue, &loading->begin, LANE_LONG);
}

void load_forget(struct script *script)
{
    if (!script->loading)
        return;
    queue_remove(script->queue, &script->loading->begin);
    if (script->loading->at_start != LUA_NOREF)
        luaL_unref(script->lua, LUA_REGISTRYINDEX, script->loading->at_start);
    free(script->loading);
    script->loading = NULL;
}
