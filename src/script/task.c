#include "script/task.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "script/arguments.h"
#include "script/budget.h"
#include "script/results.h"
#include "script/script.h"

/* Coroutines that ended normally and are kept: one is about 1 KiB. */
#define UNUSED_MAX 1024

#define TOO_MUCH_CPU "more CPU time between two waits than handler-cpu allows"

struct task {
    LIST_ENTRY(task) entry;
    struct script *script;
    lua_State *lua; /* the coroutine */
    int anchor;     /* its reference in the registry */
    struct task_call call;
    struct wait *wait;     /* what a suspended task waits for */
    lua_State *inner;      /* the coroutine of the handler's own that waits, if it is one */
    enum task_result fate; /* what it is being stopped for, or TASK_OK */
    const char *why;       /* with a fate: the words for it */
    bool returned;         /* the handler's own code is through */
    bool suspended;        /* has waited, so that its deadline runs and it is listed */
    ev_timer deadline;
    size_t used; /* of the scratch memory, by the actions */
};

const char *task_result_name(enum task_result result)
{
    static const char *const names[] = {
#define X(id, name) [TASK_##id] = name,
        TASK_RESULTS(X)
#undef X
    };

    return names[result];
}

/*
 * The pointer that Lua keeps for us in each coroutine: the task in a task's own, the next
 * coroutine outwards in one that a handler made and that is waiting, NULL in all others.
 */
static void **owner_of(lua_State *coroutine)
{
    return lua_getextraspace(coroutine);
}

bool task_owns(lua_State *coroutine)
{
    return *owner_of(coroutine) != NULL;
}

/* ---- inside the coroutine ---- */

static double monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The context may be kept by a handler for longer than its task lives. */
static int context_remaining(lua_State *lua)
{
    lua_Number left = lua_tonumber(lua, lua_upvalueindex(1)) - monotonic();

    lua_pushnumber(lua, left > 0 ? left : 0);
    return 1;
}

static void push_context(lua_State *lua, const struct task *task)
{
    const struct task_context *context = task->call.context;

    lua_createtable(lua, 0, 6);
    lua_pushlstring(lua, task->call.message->name.at, task->call.message->name.len);
    lua_setfield(lua, -2, "message");
    lua_pushinteger(lua, (lua_Integer)context->stream_id);
    lua_setfield(lua, -2, "stream_id");
    lua_pushinteger(lua, (lua_Integer)context->frame_id);
    lua_setfield(lua, -2, "frame_id");
    lua_pushlstring(lua, context->engine_id.at, context->engine_id.len);
    lua_setfield(lua, -2, "engine_id");
    lua_pushstring(lua, context->peer);
    lua_setfield(lua, -2, "peer");
    lua_pushnumber(lua, monotonic() + task->script->options.timeout);
    lua_pushcclosure(lua, context_remaining, 1);
    lua_setfield(lua, -2, "remaining");
}

static int body_returned(lua_State *lua, int status, lua_KContext context)
{
    struct task *task = *owner_of(lua);
    struct script *script = task->script;
    struct wire_out out = wire_out_open(script->scratch, task->call.room);

    (void)status;
    (void)context;
    task->returned = true;
    results_put(lua, script->options.default_scope, &out);
    if (out.full) {
        task->fate = TASK_TOO_BIG;
        return luaL_error(lua,
                          "the actions take more than the %d bytes that an ACK has for them: "
                          "return less, or raise tune.bufsize in HAProxy",
                          (int)task->call.room);
    }
    task->used = (size_t)(out.at - script->scratch);
    return 0;
}

static int task_body(lua_State *lua)
{
    struct task *task = *owner_of(lua);
    struct handler *handler = task->call.handler;
    int nargs = 1;

    lua_rawgeti(lua, LUA_REGISTRYINDEX, handler->function);
    arguments_push(lua, handler, task->call.message);
    if (handler->wants_context) {
        push_context(lua, task);
        nargs++;
    }
    lua_callk(lua, nargs, 1, 0, body_returned);
    return body_returned(lua, LUA_OK, 0);
}

/* ---- coming and going ---- */

static int protected_thread(lua_State *lua)
{
    struct task *task = lua_touserdata(lua, 1);

    task->lua = lua_newthread(lua);
    task->anchor = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

/* NULL when Lua has no memory for another coroutine. */
static struct task *task_get(struct script *script)
{
    struct task *task = LIST_FIRST(&script->tasks.unused);

    if (task) {
        LIST_REMOVE(task, entry);
        script->tasks.unused_count--;
        return task;
    }
    task = mem_zalloc(sizeof *task);
    task->script = script;
    lua_pushcfunction(script->lua, protected_thread);
    lua_pushlightuserdata(script->lua, task);
    if (lua_pcall(script->lua, 1, 0, 0) != LUA_OK) {
        lua_pop(script->lua, 1);
        free(task);
        return NULL;
    }
    *owner_of(task->lua) = task;
    return task;
}

static void task_free(struct task *task)
{
    *owner_of(task->lua) = NULL;
    luaL_unref(task->script->lua, LUA_REGISTRYINDEX, task->anchor);
    free(task);
}

static void task_put(struct task *task)
{
    struct task_pool *pool = &task->script->tasks;

    if (pool->unused_count == UNUSED_MAX) {
        task_free(task);
        return;
    }
    LIST_INSERT_HEAD(&pool->unused, task, entry);
    pool->unused_count++;
}

/* What all ends have in common; the last one of a retired script takes the script along. */
static void task_leave(struct script *script)
{
    script->tasks.count--;
    if (script->retired && script->tasks.count == 0)
        script_free(script);
}

/* Closes the handler's coroutines from the innermost outwards: <close> variables run, under
 * a budget of their own. */
static void task_close(struct task *task)
{
    lua_State *coroutine = task->inner ? task->inner : task->lua;

    budget_enter(task->lua, 1);
    while (coroutine != task->lua) {
        lua_State *outer = *owner_of(coroutine);

        budget_switch(coroutine);
        *owner_of(coroutine) = NULL;
        lua_resetthread(coroutine);
        coroutine = outer;
    }
    budget_switch(task->lua);
    lua_resetthread(task->lua);
    budget_leave();
    task_free(task);
}

static void task_unwait(struct task *task)
{
    struct wait *wait = task->wait;

    task->wait = NULL;
    if (wait)
        wait->cancel(wait);
}

/* ---- ending ---- */

static void push_error_text(lua_State *lua, int index)
{
    if (luaL_callmeta(lua, index, "__tostring") && lua_isstring(lua, -1))
        return;
    if (lua_isstring(lua, index))
        lua_pushvalue(lua, index);
    else
        lua_pushfstring(lua, "(the error is a %s value)", luaL_typename(lua, index));
}

/*
 * describe(task, status): the text of a failure, with a traceback of the coroutine, which
 * is still as it was when it failed.  What happened outside of the handler's own lines is
 * said to be at the line where the handler begins.
 */
static int protected_describe(lua_State *lua)
{
    struct task *task = lua_touserdata(lua, 1);
    int status = (int)lua_tointeger(lua, 2);
    const struct handler *handler = task->call.handler;

    lua_pushfstring(lua, "%s:%d: ", handler->file, handler->line);
    if (status != LUA_YIELD) {
        lua_xmove(task->lua, lua, 1);
        push_error_text(lua, lua_gettop(lua));
        lua_remove(lua, -2);
    } else if (task->why) {
        lua_pushstring(lua, task->why);
    } else {
        lua_pushliteral(lua, "coroutine.yield outside of a coroutine of its own");
    }
    if (status == LUA_YIELD || task->returned)
        lua_concat(lua, 2);
    if (!task->returned)
        luaL_traceback(lua, task->inner ? task->inner : task->lua, lua_tostring(lua, -1), 0);
    return 1;
}

static enum task_result result_of(const struct task *task, int status)
{
    if (task->fate != TASK_OK)
        return task->fate;
    return status == LUA_ERRMEM ? TASK_MEMORY : TASK_ERROR;
}

static void task_failed(struct task *task, int status)
{
    struct script *script = task->script;
    lua_State *lua = script->lua;
    struct task_call call = task->call;
    struct task_report report = {.result = result_of(task, status)};

    budget_enter(lua, 1);
    lua_pushcfunction(lua, protected_describe);
    lua_pushlightuserdata(lua, task);
    lua_pushinteger(lua, status);
    lua_pcall(lua, 2, 1, 0);
    budget_leave();
    report.text = lua_isstring(lua, -1) ? lua_tostring(lua, -1) : "(no text for the error)";
    task_unwait(task);
    task_close(task);
    call.done(call.owner, call.slot, &report);
    lua_pop(lua, 1);
    task_leave(script);
}

static void task_returned(struct task *task)
{
    struct script *script = task->script;
    struct task_call call = task->call;
    struct task_report report = {
        .result = TASK_OK,
        .actions = {(const char *)script->scratch, task->used},
    };

    lua_settop(task->lua, 0);
    task_put(task);
    call.done(call.owner, call.slot, &report);
    task_leave(script);
}

static void task_unlist(struct task *task)
{
    if (!task->suspended)
        return;
    ev_timer_stop(task->script->loop, &task->deadline);
    LIST_REMOVE(task, entry);
}

static void task_end(struct task *task, int status)
{
    task_unlist(task);
    if (status == LUA_OK)
        task_returned(task);
    else
        task_failed(task, status);
}

static void task_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct task *task = timer->data;

    (void)loop;
    (void)events;
    task->fate = TASK_TIMEOUT;
    task->why = "still waiting at its deadline (handler-timeout)";
    task_unwait(task);
    task_end(task, LUA_YIELD);
}

/* ---- running ---- */

void task_expired(lua_State *lua, lua_Debug *about)
{
    struct task *task = script_of(lua)->tasks.running;

    (void)about;
    if (!budget_expired(lua))
        return;
    if (!task || !lua_isyieldable(lua)) {
        luaL_error(lua, TOO_MUCH_CPU);
        return;
    }
    task->fate = TASK_TIMEOUT;
    task->why = TOO_MUCH_CPU;
    lua_yield(lua, 0);
}

/* A task starts in the turn of the loop that read its NOTIFY, and a timer counts from the
 * beginning of the turn: so this is the time since the NOTIFY. */
static void task_suspend(struct task *task)
{
    struct script *script = task->script;

    if (task->suspended)
        return;
    task->suspended = true;
    ev_timer_init(&task->deadline, task_overdue, script->options.timeout, 0);
    task->deadline.data = task;
    ev_timer_start(script->loop, &task->deadline);
    LIST_INSERT_HEAD(&script->tasks.waiting, task, entry);
}

/* The one door.  True when the task is suspended, false when it ended and is gone. */
static bool task_run(struct task *task)
{
    struct script *script = task->script;
    int status, n;

    script->tasks.running = task;
    budget_enter(task->lua, 1);
    status = lua_resume(task->lua, script->lua, 0, &n);
    budget_leave();
    script->tasks.running = NULL;
    if (status == LUA_YIELD && task->wait && task->fate == TASK_OK) {
        task_suspend(task);
        return true;
    }
    task_end(task, status);
    return false;
}

struct task *task_start(struct script *script, const struct task_call *call)
{
    struct task_report refused = {.result = TASK_BUSY, .text = "handler-concurrency is reached"};
    struct task *task = NULL;

    if (script->tasks.count < script->options.concurrency) {
        refused = (struct task_report){.result = TASK_MEMORY, .text = "no memory to begin with"};
        task = task_get(script);
    }
    if (!task) {
        call->done(call->owner, call->slot, &refused);
        return NULL;
    }
    script->tasks.count++;
    task->call = *call;
    task->wait = NULL;
    task->inner = NULL;
    task->fate = TASK_OK;
    task->why = NULL;
    task->returned = task->suspended = false;
    task->used = 0;
    lua_pushcfunction(task->lua, task_body);
    return task_run(task) ? task : NULL;
}

void task_cancel(struct task *task)
{
    struct script *script = task->script;

    task_unlist(task);
    task_unwait(task);
    task_close(task);
    task_leave(script);
}

void task_pool_clear(struct script *script)
{
    struct task *task;

    while ((task = LIST_FIRST(&script->tasks.unused)) != NULL) {
        LIST_REMOVE(task, entry);
        task_free(task);
    }
    script->tasks.unused_count = 0;
}

/* ---- waiting ---- */

int wait_yield(lua_State *lua, struct wait *wait, void (*cancel)(struct wait *wait),
               lua_KFunction resumed)
{
    struct task *task = script_of(lua)->tasks.running;

    if (!task || !lua_isyieldable(lua)) {
        cancel(wait);
        return luaL_error(lua, task ? "cannot wait here: a C function (table.sort, string.gsub, "
                                      "require ...) is calling back; wait before or after it"
                                    : "can wait only inside of a handler");
    }
    wait->task = task;
    wait->cancel = cancel;
    task->wait = wait;
    return lua_yieldk(lua, 0, 0, resumed);
}

void wait_wake(struct wait *wait)
{
    struct task *task = wait->task;

    task->wait = NULL;
    task->inner = NULL;
    task_run(task);
}

bool task_must_pass(const struct script *script)
{
    const struct task *task = script->tasks.running;

    return task && (task->wait || task->fate != TASK_OK);
}

void task_pass(struct script *script, lua_State *inner, lua_State *outer)
{
    struct task *task = script->tasks.running;

    *owner_of(inner) = outer;
    if (!task->inner)
        task->inner = inner;
}

void task_refuse(struct script *script, lua_State *inner)
{
    task_unwait(script->tasks.running);
    lua_resetthread(inner);
}

void task_release(lua_State *inner)
{
    *owner_of(inner) = NULL;
}
