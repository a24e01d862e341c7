#include "script/wait.h"

#include <lauxlib.h>

#include "script/budget.h"
#include "script/script.h"

#define CANNOT_WAIT                                                                                \
    "cannot wait here: a C function (table.sort, string.gsub ...) is calling back; "               \
    "wait before or after it"
#define OUTSIDE "can wait only inside of a handler"
#define ENDING  "cannot wait any more: the task has ended, and is being closed"

#define TOO_MUCH_CPU          "more CPU time between two waits than handler-cpu allows"
#define TOO_MUCH_BACKGROUND   "more CPU time than background-cpu (in spoa.atomic: handler-cpu) allows"
#define COMPUTING_AT_DEADLINE "still computing at its deadline"

/* NULL when whoever runs in lua may wait. */
static const char *why_not(lua_State *lua, const struct task *task)
{
    if (!task)
        return OUTSIDE;
    if (task->state != TASK_IS_RUNNING)
        return ENDING;
    return lua_isyieldable(lua) ? NULL : CANNOT_WAIT;
}

int wait_yield(lua_State *lua, struct wait *wait, void (*cancel)(struct wait *wait),
               lua_KFunction resumed)
{
    struct task *task = script_of(lua)->tasks.running;
    const char *why = why_not(lua, task);

    if (why) {
        cancel(wait);
        return luaL_error(lua, "%s", why);
    }
    wait->task = task;
    wait->cancel = cancel;
    task->wait = wait;
    task->state = TASK_IS_YIELDING;
    return lua_yieldk(lua, 0, 0, resumed);
}

void wait_wake(struct wait *wait)
{
    struct task *task = wait->task;

    if (task->wait != wait)
        return;
    task->wait = NULL;
    if (task->state == TASK_IS_WAITING)
        task_ready(task);
    else
        task->state = TASK_IS_WOKEN;
}

bool task_sliced(lua_State *lua)
{
    const struct task *task = script_of(lua)->tasks.running;

    return !why_not(lua, task) && task->lane == LANE_BACKGROUND;
}

int task_slice(lua_State *lua, lua_KFunction resumed, lua_KContext context)
{
    script_of(lua)->tasks.running->state = TASK_IS_SLICED;
    return lua_yieldk(lua, 0, context, resumed);
}

/* ---- limits ---- */

bool wait_spare(struct task *task, lua_State *lua)
{
    struct budget_limits limits = {task->script->ticks, CLOCK_NEVER, false};

    if (task->spared)
        return false;
    task->spared = true;
    budget_leave();
    budget_enter(lua, &limits);
    return true;
}

static const char *why_over(const struct task *task, enum budget_end end)
{
    if (end == BUDGET_DEADLINE)
        return COMPUTING_AT_DEADLINE;
    return task->lane == LANE_BACKGROUND ? TOO_MUCH_BACKGROUND : TOO_MUCH_CPU;
}

static void hook_raise(lua_State *lua, const char *why)
{
    luaL_where(lua, 0);
    lua_pushstring(lua, why);
    lua_concat(lua, 2);
    lua_error(lua);
}

void wait_expired(lua_State *lua, lua_Debug *about)
{
    enum budget_end end = budget_expired(lua);
    struct task *task = script_of(lua)->tasks.running;
    bool running = task && task->state == TASK_IS_RUNNING;

    if (end == BUDGET_LEFT)
        return;
    if (about->event != LUA_HOOKCOUNT ||
        (end == BUDGET_SLICE && !(running && lua_isyieldable(lua)))) {
        budget_defer(lua);
        return;
    }
    if (end == BUDGET_SLICE) {
        task->state = TASK_IS_SLICED;
        lua_yield(lua, 0);
        return;
    }
    if (running) {
        task->result = TASK_TIMEOUT;
        task->why = why_over(task, end);
    }
    if (running && lua_isyieldable(lua)) {
        task->state = TASK_IS_STOPPED;
        lua_yield(lua, 0);
        return;
    }
    if (task)
        task->raised = lua;
    hook_raise(lua, task ? why_over(task, end) : TOO_MUCH_CPU); /* for none: see script_call */
}

/* ---- coroutines of the script's own ---- */

bool wait_must_pass(const struct script *script)
{
    const struct task *task = script->tasks.running;

    return task && task->state != TASK_IS_RUNNING && task->state != TASK_IS_ENDING;
}

void wait_pass(struct script *script, lua_State *inner, lua_State *outer)
{
    struct task *task = script->tasks.running;

    coroutine_own(inner, OWNER_INNER, outer);
    if (!task->inner)
        task->inner = inner;
}

/* Closes first and those outwards to last. */
static int close_chain(lua_State *first, lua_State *last)
{
    while (first != last) {
        lua_State *outer = coroutine_owner(first).by;

        coroutine_close(first);
        first = outer;
    }
    return coroutine_close(last);
}

/* The same, with time for the <close> variables when whoever runs has none left. */
static int close_in_time(struct task *task, lua_State *first, lua_State *last)
{
    struct budget_run run;
    int status;

    if (!task || !budget_over())
        return close_chain(first, last);
    run = budget_save();
    if (!wait_spare(task, first)) {
        budget_restore(&run);
        return close_chain(first, last);
    }
    status = close_chain(first, last);
    budget_leave();
    budget_restore(&run);
    return status;
}

const char *wait_refuse(struct script *script, lua_State *inner)
{
    struct task *task = script->tasks.running;
    lua_State *innermost = task->inner ? task->inner : inner;
    const char *why = task->state == TASK_IS_STOPPED ? task->why : CANNOT_WAIT;
    bool sliced = task->state == TASK_IS_SLICED;

    task->inner = NULL;
    task->state = TASK_IS_RUNNING;
    if (sliced) {
        budget_stretch(inner);
        return NULL;
    }
    task_unwait(task);
    close_in_time(task, innermost, inner);
    return why;
}

void wait_failed(struct script *script, lua_State *inner)
{
    const struct task *task = script->tasks.running;

    if (task && task->raised == inner)
        coroutine_stopped(inner);
}

int wait_close(struct script *script, lua_State *inner)
{
    return close_in_time(script->tasks.running, inner, inner);
}
