/*
 * require: Lua's, but a module's top level may wait as a script's may.
 *
 * So two may want one module while it is being loaded.  Whoever comes later waits for the
 * first, and has what the first has: the module, or its error.  When the first was ended on the
 * way, the next loads it.  Who would wait for itself has an error, or, as in Lua, what the
 * module has put into package.loaded already.
 */
#include <lauxlib.h>
#include <sys/queue.h>

#include "script/api.h"
#include "script/script.h"

enum load_state {
    LOAD_UNDER_WAY,
    LOAD_DONE,   /* package.loaded has it */
    LOAD_FAILED, /* its user value is the error */
    LOAD_LEFT,   /* who was loading it was ended */
};

/* A module that is being loaded: a userdata, which lives as long as somebody loads it or waits. */
struct load {
    enum load_state state;
    const struct task *task; /* whose it is, or NULL outside of tasks; only ever compared */
    lua_State *lua;          /* which runs it, kept by the guard */
    LIST_HEAD(, waiter) waiters;
    LIST_ENTRY(load) entry;
};

struct waiter {
    struct wait wait; /* first */
    const struct task *task;
    struct load *load; /* NULL: no longer in its list */
    LIST_ENTRY(waiter) entry;
};

/* A script's loads that are under way. */
LIST_HEAD(loads, load);

/* Keys in the registry: { [name] = load }, weak; the loads; the metatable of a guard. */
static const char names_key, loads_key, guard_key;

/* The stack of require; the last three only for who loads. */
enum { NAME = 1, LOAD, GUARD, SEARCHERS, TEXTS, DATA = SEARCHERS };

/* ---- loads ---- */

static struct loads *loads_of(lua_State *lua)
{
    struct loads *loads;

    lua_rawgetp(lua, LUA_REGISTRYINDEX, &loads_key);
    loads = lua_touserdata(lua, -1);
    lua_pop(lua, 1);
    return loads;
}

/* Whoever waited for it goes on. */
static void load_over(struct load *load, enum load_state state)
{
    load->state = state;
    LIST_REMOVE(load, entry);
    while (!LIST_EMPTY(&load->waiters)) {
        struct waiter *waiter = LIST_FIRST(&load->waiters);

        LIST_REMOVE(waiter, entry);
        waiter->load = NULL;
        wait_wake(&waiter->wait);
    }
}

/* Whether what ends is no error of the module's, but a limit of whoever was loading it. */
static bool is_stopped(const struct script *script)
{
    return script->tasks.running && script->tasks.running->result != TASK_OK;
}

/* A guard's __close, with the error if there is one, and its __gc, for a coroutine that nobody
 * closed.  Its user values are the load and the coroutine. */
static int guard_leave(lua_State *lua)
{
    struct load **guard = lua_touserdata(lua, 1), *load = *guard;

    *guard = NULL;
    if (!load || load->state != LOAD_UNDER_WAY)
        return 0;
    lua_settop(lua, 2);
    lua_getiuservalue(lua, 1, 1);
    lua_pushvalue(lua, 2);
    lua_setiuservalue(lua, -2, 1);
    load_over(load, lua_isnil(lua, 2) || is_stopped(script_of(lua)) ? LOAD_LEFT : LOAD_FAILED);
    return 0;
}

/* Pushes a load and its guard, with which it is over whatever happens. */
static void load_begin(lua_State *lua)
{
    struct load *load = lua_newuserdatauv(lua, sizeof *load, 1);
    struct load **guard = lua_newuserdatauv(lua, sizeof(struct load *), 2);

    *guard = NULL;
    lua_pushvalue(lua, LOAD);
    lua_setiuservalue(lua, GUARD, 1);
    lua_pushthread(lua);
    lua_setiuservalue(lua, GUARD, 2);
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &guard_key);
    lua_setmetatable(lua, GUARD);
    lua_toclose(lua, GUARD);
    load->state = LOAD_UNDER_WAY;
    load->task = script_of(lua)->tasks.running;
    load->lua = lua;
    LIST_INIT(&load->waiters);
    LIST_INSERT_HEAD(loads_of(lua), load, entry);
    *guard = load;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &names_key);
    lua_pushvalue(lua, NAME);
    lua_pushvalue(lua, LOAD);
    lua_rawset(lua, -3);
    lua_settop(lua, GUARD);
}

/* Of a coroutine that failed where its <close> variables could not run nobody has said so. */
static bool load_is_dead(const struct load *load)
{
    return lua_status(load->lua) != LUA_OK && lua_status(load->lua) != LUA_YIELD;
}

/* Pushes the load of this name; NULL when none is under way. */
static struct load *load_find(lua_State *lua)
{
    struct load *load;

    lua_rawgetp(lua, LUA_REGISTRYINDEX, &names_key);
    lua_pushvalue(lua, NAME);
    lua_rawget(lua, -2);
    lua_replace(lua, LOAD);
    load = lua_touserdata(lua, LOAD);
    if (!load || load->state != LOAD_UNDER_WAY)
        return NULL;
    if (load_is_dead(load))
        load_over(load, LOAD_LEFT);
    return load->state == LOAD_UNDER_WAY ? load : NULL;
}

/* ---- waiting for another's ---- */

static const struct load *awaited_by(const struct loads *loads, const struct task *task)
{
    const struct load *load;
    const struct waiter *waiter;

    LIST_FOREACH (load, loads, entry) {
        LIST_FOREACH (waiter, &load->waiters, entry) {
            if (waiter->task == task)
                return load;
        }
    }
    return NULL;
}

/* Whether the task is loading it further down, or a parent of the task is. */
static bool load_is_of(const struct load *load, const struct task *task)
{
    if (load->task == task && lua_status(load->lua) == LUA_OK)
        return true;
    for (task = task ? task->parent : NULL; task; task = task->parent) {
        if (load->task == task)
            return true;
    }
    return false;
}

/* Whether it cannot be over before the task goes on: it is the task's, or who loads it waits for
 * one that is.  So many steps as there are loads, for there may be a ring of others: one that is
 * left in a coroutine nobody resumes counts as nobody's own. */
static bool load_needs(const struct loads *loads, const struct load *load, const struct task *task)
{
    const struct load *each;

    LIST_FOREACH (each, loads, entry) {
        if (!load || load_is_of(load, task))
            break;
        load = load->task ? awaited_by(loads, load->task) : NULL;
    }
    return load && load_is_of(load, task);
}

static void waiter_cancel(struct wait *wait)
{
    struct waiter *waiter = (struct waiter *)wait;

    if (waiter->load)
        LIST_REMOVE(waiter, entry);
    waiter->load = NULL;
}

static int require(lua_State *lua);

/* Pushes package.loaded[name]; whether it counts as loaded. */
static bool push_loaded(lua_State *lua)
{
    lua_getfield(lua, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(lua, -1, lua_tostring(lua, NAME));
    return lua_toboolean(lua, -1);
}

static int waited(lua_State *lua, int status, lua_KContext context)
{
    const struct load *load = lua_touserdata(lua, LOAD);

    (void)status;
    (void)context;
    switch (load->state) {
    case LOAD_DONE:
        push_loaded(lua);
        return 1;
    case LOAD_FAILED:
        lua_getiuservalue(lua, LOAD, 1);
        return lua_error(lua);
    case LOAD_UNDER_WAY:
    case LOAD_LEFT:
        break;
    }
    return require(lua);
}

static int wait_for(lua_State *lua, struct load *load)
{
    const struct task *task = script_of(lua)->tasks.running;
    struct waiter *waiter;

    if (load_needs(loads_of(lua), load, task)) {
        if (push_loaded(lua))
            return 1;
        return luaL_error(lua,
                          "module '%s' is required while it is being loaded, by itself or by what "
                          "it requires: require one of them later, in a function",
                          lua_tostring(lua, NAME));
    }
    waiter = lua_newuserdatauv(lua, sizeof *waiter, 0);
    waiter->task = task;
    waiter->load = load;
    LIST_INSERT_HEAD(&load->waiters, waiter, entry);
    return wait_yield(lua, &waiter->wait, waiter_cancel, waited);
}

/* ---- loading it ---- */

/* What the loader returned is on top. */
static int loader_returned(lua_State *lua, int status, lua_KContext context)
{
    struct load *load = lua_touserdata(lua, LOAD);
    const char *name = lua_tostring(lua, NAME);

    (void)status;
    (void)context;
    lua_getfield(lua, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_insert(lua, -2);
    if (!lua_isnil(lua, -1))
        lua_setfield(lua, -2, name);
    else
        lua_pop(lua, 1);
    if (lua_getfield(lua, -1, name) == LUA_TNIL) {
        lua_pushboolean(lua, true);
        lua_replace(lua, -2);
        lua_pushvalue(lua, -1);
        lua_setfield(lua, -3, name);
    }
    load_over(load, LOAD_DONE);
    lua_pushvalue(lua, DATA);
    return 2;
}

/* What a searcher found, the loader and what that is given, is on top. */
static int run_loader(lua_State *lua)
{
    lua_replace(lua, DATA);
    lua_pushvalue(lua, NAME);
    lua_pushvalue(lua, DATA);
    lua_callk(lua, 2, 1, 0, loader_returned);
    return loader_returned(lua, LUA_OK, 0);
}

/* What a searcher returned is on top.  Whether it is a loader; if not, its text is kept. */
static bool is_loader(lua_State *lua)
{
    if (lua_isfunction(lua, -2))
        return true;
    lua_pop(lua, 1);
    if (lua_isstring(lua, -1)) {
        lua_pushliteral(lua, "\n\t");
        lua_insert(lua, -2);
        lua_concat(lua, 3);
    }
    lua_settop(lua, TEXTS);
    return false;
}

static int searched(lua_State *lua, int status, lua_KContext i);

static int search(lua_State *lua, lua_Integer i)
{
    for (;; i++) {
        if (lua_rawgeti(lua, SEARCHERS, i) == LUA_TNIL)
            return luaL_error(lua, "module '%s' not found:%s", lua_tostring(lua, NAME),
                              lua_tostring(lua, TEXTS));
        lua_pushvalue(lua, NAME);
        lua_callk(lua, 1, 2, i, searched);
        if (is_loader(lua))
            return run_loader(lua);
    }
}

static int searched(lua_State *lua, int status, lua_KContext i)
{
    (void)status;
    return is_loader(lua) ? run_loader(lua) : search(lua, i + 1);
}

/* ---- require ---- */

static int require(lua_State *lua)
{
    struct load *load;

    lua_settop(lua, NAME);
    load = load_find(lua);
    if (load)
        return wait_for(lua, load);
    lua_settop(lua, NAME);
    if (push_loaded(lua))
        return 1;
    lua_settop(lua, NAME);
    load_begin(lua);
    if (lua_getfield(lua, lua_upvalueindex(1), "searchers") != LUA_TTABLE)
        return luaL_error(lua, "'package.searchers' must be a table");
    lua_pushliteral(lua, "");
    return search(lua, 1);
}

/* require(name): the module, and where it was found when it has been loaded now. */
static int api_require(lua_State *lua)
{
    luaL_checkstring(lua, NAME);
    return require(lua);
}

void api_require_open(lua_State *lua)
{
    struct loads *loads = lua_newuserdatauv(lua, sizeof *loads, 0);

    LIST_INIT(loads);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &loads_key);
    lua_newtable(lua);
    lua_createtable(lua, 0, 1);
    lua_pushliteral(lua, "v");
    lua_setfield(lua, -2, "__mode");
    lua_setmetatable(lua, -2);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &names_key);
    lua_createtable(lua, 0, 2);
    lua_pushcfunction(lua, guard_leave);
    lua_setfield(lua, -2, "__close");
    lua_pushcfunction(lua, guard_leave);
    lua_setfield(lua, -2, "__gc");
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &guard_key);
    lua_getglobal(lua, "package");
    lua_pushcclosure(lua, api_require, 1);
    lua_setglobal(lua, "require");
}
