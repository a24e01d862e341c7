/*
 * Tasks for handlers: spoa.spawn(fn, ...) runs a function beside the caller and returns a
 * task with wait and cancel; spoa.all(f, g, ...) runs several and returns the first result
 * of each.  A child ends with the task that spawned it at the latest.
 */
#include <lauxlib.h>
#include <string.h>

#include "base/log.h"
#include "script/api.h"
#include "script/blame.h"
#include "script/script.h"

#define CHILD "spoa.task"

struct joining;
LIST_HEAD(joining_list, joining);

/* A userdata, which anchors itself in the registry until its coroutine is closed. */
struct child {
    struct task task; /* first */
    int self;
    enum {
        CHILD_RUNNING, /* or waiting, or about to begin */
        CHILD_RETURNED,
        CHILD_FAILED,
        CHILD_CANCELLED,
        CHILD_COLLECTED, /* by Lua, and only a finalizer can still ask */
    } state;
    int nresults;
    struct joining_list joined, closers; /* who waits for its end, and for its being closed */
    char file[LUA_IDSIZE];
};

/* One of the children that somebody waits for. */
struct joining {
    LIST_ENTRY(joining) entry;
    struct child *child; /* NULL when it is over */
    struct gathering *gathering;
};

/* Whoever waits: for one child, or for all of several.  A userdata on its stack. */
struct gathering {
    struct wait wait; /* first */
    int n, left;
    int failed; /* which was the first to fail, from 1; 0 for none */
    struct joining joinings[];
};

/* ---- the child's own life ---- */

static void gathering_cancel(struct wait *wait)
{
    struct gathering *gathering = (struct gathering *)wait;

    for (int i = 0; i < gathering->n; i++) {
        if (gathering->joinings[i].child)
            LIST_REMOVE(&gathering->joinings[i], entry);
        gathering->joinings[i].child = NULL;
    }
}

static void joining_over(struct joining *joining, bool failed)
{
    struct gathering *gathering = joining->gathering;

    LIST_REMOVE(joining, entry);
    joining->child = NULL;
    gathering->left--;
    if (failed && !gathering->failed)
        gathering->failed = (int)(joining - gathering->joinings) + 1;
    if (gathering->left > 0 && !failed)
        return;
    gathering_cancel(&gathering->wait); /* the others' ends are no concern of it any more */
    wait_wake(&gathering->wait);
}

/* Whoever waits goes on. */
static void joinings_over(struct joining_list *list, bool failed)
{
    while (!LIST_EMPTY(list))
        joining_over(LIST_FIRST(list), failed);
}

static void child_ended(struct task *task, const struct task_report *report)
{
    struct child *child = (struct child *)task;

    child->nresults = report->nresults;
    child->state = report->result == TASK_OK ? CHILD_RETURNED : CHILD_FAILED;
    if (child->state == CHILD_FAILED && LIST_EMPTY(&child->joined))
        log_limited(&task->script->background.failures, LEVEL_ERR,
                    "in a spawned task that nobody waits for: %s: %s",
                    task_result_name(report->result), report->text);
    joinings_over(&child->joined, child->state == CHILD_FAILED);
}

static void child_cancelled(struct task *task)
{
    struct child *child = (struct child *)task;

    child->state = CHILD_CANCELLED;
    joinings_over(&child->joined, true);
}

static void child_over(struct task *task)
{
    struct child *child = (struct child *)task;

    luaL_unref(task->script->lua, LUA_REGISTRYINDEX, child->self);
    joinings_over(&child->closers, false);
}

static int child_returned(lua_State *lua, int status, lua_KContext context)
{
    (void)context;
    return blame_raised(lua, status) ? BLAME_RAISED : lua_gettop(lua) - 1;
}

static int child_body(lua_State *lua)
{
    blame_open(lua);
    lua_insert(lua, 1);
    return blame_call(lua, lua_gettop(lua) - 2, LUA_MULTRET, child_returned);
}

static const struct task_kind child_kind = {
    .body = child_body,
    .ended = child_ended,
    .cancelled = child_cancelled,
    .over = child_over,
    .lane = LANE_SHORT, /* its parent's, in fact */
    .keeps = true,
};

static int child_gc(lua_State *lua)
{
    struct child *child = lua_touserdata(lua, 1);

    child->state = CHILD_COLLECTED;
    task_forget(&child->task);
    return 0;
}

/* Makes a child of the function and the nargs arguments on top of the stack, which its
 * userdata takes the place of. */
static void child_push(lua_State *lua, int nargs)
{
    int function = lua_gettop(lua) - nargs;
    struct child *child;
    const char *fault;
    lua_Debug about;

    luaL_checktype(lua, function, LUA_TFUNCTION);
    lua_pushvalue(lua, function);
    lua_getinfo(lua, ">S", &about);
    child = lua_newuserdatauv(lua, sizeof *child, 0);
    child->task.coroutine.lua = NULL;
    child->task.state = TASK_IS_OVER;
    child->task.why = NULL;
    child->state = CHILD_RUNNING;
    child->nresults = 0;
    LIST_INIT(&child->joined);
    LIST_INIT(&child->closers);
    memcpy(child->file, about.short_src, sizeof child->file);
    child->task.file = child->file;
    child->task.line = about.linedefined;
    luaL_setmetatable(lua, CHILD);
    lua_pushvalue(lua, -1);
    child->self = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_insert(lua, function);
    fault = task_spawn(lua, &child->task, &child_kind, nargs);
    if (fault) {
        luaL_unref(lua, LUA_REGISTRYINDEX, child->self);
        luaL_error(lua, "%s", fault);
    }
}

/* ---- waiting for children ---- */

/* Raises what the child raised, or why it did not come to an end of its own. */
static int child_raise(lua_State *lua, struct child *child)
{
    lua_State *from = child->task.coroutine.lua;

    if (child->state == CHILD_CANCELLED)
        return luaL_error(lua, "the task was cancelled");
    if (child->state == CHILD_COLLECTED)
        return luaL_error(lua, "the task has been collected");
    if (child->task.why || !from)
        return luaL_error(lua, "%s", child->task.why ? child->task.why : "the task failed");
    lua_pushvalue(from, -1);
    lua_xmove(from, lua, 1);
    return lua_error(lua);
}

/* Pushes the first n of what the child returned. */
static void child_results(lua_State *lua, struct child *child, int n)
{
    lua_State *from = child->task.coroutine.lua;
    int first = lua_gettop(from) - child->nresults + 1;

    luaL_checkstack(lua, n, "too many results");
    for (int i = 0; i < n; i++) {
        if (i < child->nresults)
            lua_pushvalue(from, first + i);
        else
            lua_pushnil(from);
        lua_xmove(from, lua, 1);
    }
}

static struct gathering *gathering_push(lua_State *lua, int n)
{
    struct gathering *gathering =
        lua_newuserdatauv(lua, sizeof *gathering + (size_t)n * sizeof *gathering->joinings, 0);

    *gathering = (struct gathering){.n = n};
    return gathering;
}

/* Waits for those of the n children at the bottom of the stack that are not over, with the
 * gathering on top of it.  Allocates nothing. */
static int children_wait(lua_State *lua, struct gathering *gathering, lua_KFunction resumed)
{
    for (int i = 0; i < gathering->n; i++) {
        struct child *child = lua_touserdata(lua, i + 1);

        gathering->joinings[i].gathering = gathering;
        gathering->joinings[i].child = NULL;
        if (child->state == CHILD_RUNNING) {
            gathering->joinings[i].child = child;
            LIST_INSERT_HEAD(&child->joined, &gathering->joinings[i], entry);
            gathering->left++;
        } else if (child->state != CHILD_RETURNED) {
            gathering->failed = i + 1;
        }
    }
    if (gathering->left == 0 || gathering->failed) {
        gathering_cancel(&gathering->wait);
        return resumed(lua, LUA_OK, 0);
    }
    return wait_yield(lua, &gathering->wait, gathering_cancel, resumed);
}

/* ---- the API ---- */

static int api_spawn(lua_State *lua)
{
    child_push(lua, lua_gettop(lua) - 1);
    return 1;
}

static int child_gave(lua_State *lua, struct child *child)
{
    if (child->state != CHILD_RETURNED)
        return child_raise(lua, child);
    child_results(lua, child, child->nresults);
    return child->nresults;
}

static int wait_resumed(lua_State *lua, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return child_gave(lua, lua_touserdata(lua, 1));
}

static bool is_running(const struct script *script, const struct child *child)
{
    const struct task *task = script->tasks.running;

    while (task && task != &child->task)
        task = task->parent;
    return task != NULL;
}

/* task:wait() -> what the function returned; raises what it raised. */
static int child_wait(lua_State *lua)
{
    struct child *child = luaL_checkudata(lua, 1, CHILD);
    struct gathering *gathering;

    lua_settop(lua, 1);
    if (child->state == CHILD_RUNNING && is_running(script_of(lua), child))
        return luaL_error(lua, "a task cannot wait for itself, nor for one it is part of");
    gathering = gathering_push(lua, 1);
    if (child->state != CHILD_RUNNING) /* by now: a finalizer may have cancelled it */
        return child_gave(lua, child);
    return children_wait(lua, gathering, wait_resumed);
}

/* task:cancel(): its wait ends, and its <close> variables run next; nothing if it is over. */
static int child_cancel(lua_State *lua)
{
    struct child *child = luaL_checkudata(lua, 1, CHILD);

    if (is_running(script_of(lua), child))
        return luaL_error(lua, "a task cannot cancel itself, nor one it is part of: return");
    task_cancel(&child->task);
    return 0;
}

/* One has failed, and none of the others goes on any more. */
static int all_closed(lua_State *lua, int status, lua_KContext context)
{
    const struct gathering *gathering = lua_touserdata(lua, -1);

    (void)status;
    (void)context;
    return child_raise(lua, lua_touserdata(lua, gathering->failed));
}

/* Cancels all of them, and waits until their <close> variables have run. */
static int all_failed(lua_State *lua, struct gathering *gathering)
{
    for (int i = 0; i < gathering->n; i++) {
        struct child *child = lua_touserdata(lua, i + 1);

        task_cancel(&child->task);
        if (child->task.state == TASK_IS_ENDING) {
            gathering->joinings[i].child = child;
            LIST_INSERT_HEAD(&child->closers, &gathering->joinings[i], entry);
            gathering->left++;
        }
    }
    if (gathering->left == 0)
        return all_closed(lua, LUA_OK, 0);
    return wait_yield(lua, &gathering->wait, gathering_cancel, all_closed);
}

static int all_resumed(lua_State *lua, int status, lua_KContext context)
{
    struct gathering *gathering = lua_touserdata(lua, -1);
    int n = gathering->n;

    (void)status;
    (void)context;
    gathering->left = 0;
    if (gathering->failed)
        return all_failed(lua, gathering);
    for (int i = 1; i <= n; i++)
        child_results(lua, lua_touserdata(lua, i), 1);
    return n;
}

static int api_all(lua_State *lua)
{
    int n = lua_gettop(lua);

    for (int i = 1; i <= n; i++)
        luaL_checktype(lua, i, LUA_TFUNCTION);
    for (int i = 1; i <= n; i++) {
        lua_pushvalue(lua, i);
        child_push(lua, 0);
        lua_replace(lua, i);
    }
    return n == 0 ? 0 : children_wait(lua, gathering_push(lua, n), all_resumed);
}

/* spoa.now() -> seconds of a clock that only goes forward, with a fraction. */
static int api_now(lua_State *lua)
{
    lua_pushnumber(lua, clock_seconds(0, clock_look()));
    return 1;
}

static const luaL_Reg methods[] = {{"wait", child_wait}, {"cancel", child_cancel}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"spawn", api_spawn}, {"all", api_all}, {"now", api_now}, {NULL, NULL}};

void api_task_open(lua_State *lua)
{
    luaL_newmetatable(lua, CHILD);
    lua_pushcfunction(lua, child_gc);
    lua_setfield(lua, -2, "__gc");
    luaL_newlib(lua, methods);
    lua_setfield(lua, -2, "__index");
    lua_pushliteral(lua, CHILD);
    lua_setfield(lua, -2, "__metatable");
    lua_pop(lua, 1);
    luaL_setfuncs(lua, functions, 0);
}
