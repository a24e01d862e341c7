#include "script/task.h"

#include <lauxlib.h>
#include <string.h>

#include "script/budget.h"
#include "script/script.h"

/* Tasks run in one go before the loop has its turn again: tasks that only wake one another
 * must not keep it from deadlines and sockets. */
#define READY_MAX 256

#define TOO_MUCH_CPU "more CPU time between two waits than handler-cpu allows"
#define AT_DEADLINE  "still waiting at its deadline"
#define CANNOT_WAIT                                                                                \
    "cannot wait here: a C function (table.sort, string.gsub, require ...) is calling back; "      \
    "wait before or after it"

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
 * The pointer that Lua keeps for us in each coroutine: the task in a task's own, the pool in
 * one that is kept for the next, the next coroutine outwards in one that a handler made and
 * that is waiting, NULL in all others.
 */
static void **owner_of(lua_State *coroutine)
{
    return lua_getextraspace(coroutine);
}

bool task_owns(lua_State *coroutine)
{
    return *owner_of(coroutine) != NULL;
}

struct task *task_of(lua_State *lua)
{
    return *owner_of(lua);
}

/* ---- coroutines ---- */

static int protected_thread(lua_State *lua)
{
    struct coroutine *made = lua_touserdata(lua, 1);

    made->lua = lua_newthread(lua);
    made->anchor = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

/* False when Lua has no memory for another one. */
static bool coroutine_get(struct task *task)
{
    struct script *script = task->script;
    struct task_pool *pool = &script->tasks;
    struct coroutine made;

    if (pool->nunused) {
        made = pool->unused[--pool->nunused];
    } else {
        lua_pushcfunction(script->lua, protected_thread);
        lua_pushlightuserdata(script->lua, &made);
        if (lua_pcall(script->lua, 1, 0, 0) != LUA_OK) {
            lua_pop(script->lua, 1);
            return false;
        }
    }
    task->lua = made.lua;
    task->anchor = made.anchor;
    *owner_of(made.lua) = task;
    return true;
}

static void coroutine_drop(struct script *script, struct coroutine coroutine)
{
    *owner_of(coroutine.lua) = NULL;
    luaL_unref(script->lua, LUA_REGISTRYINDEX, coroutine.anchor);
}

/* Back to the pool, if it came to its end normally. */
static void coroutine_put(struct task *task, bool reusable)
{
    struct task_pool *pool = &task->script->tasks;
    struct coroutine coroutine = {task->lua, task->anchor};

    task->lua = NULL;
    if (!reusable || pool->nunused == TASK_POOL_MAX) {
        coroutine_drop(task->script, coroutine);
        return;
    }
    lua_settop(coroutine.lua, 0);
    *owner_of(coroutine.lua) = pool;
    pool->unused[pool->nunused++] = coroutine;
}

/* Closes the task's coroutines from the innermost outwards: <close> variables run, under a
 * budget of their own. */
static void coroutine_close(struct task *task)
{
    lua_State *coroutine = task->inner ? task->inner : task->lua;
    struct budget_run caller = budget_save(); /* who cancels a child runs on afterwards */

    budget_enter(task->lua, 1);
    while (coroutine != task->lua) {
        lua_State *outer = *owner_of(coroutine);

        budget_switch(coroutine);
        *owner_of(coroutine) = NULL;
        lua_resetthread(coroutine);
        coroutine = outer;
    }
    budget_switch(task->lua);
    if (!task->raised || lua_status(task->lua) == LUA_YIELD)
        lua_resetthread(task->lua);
    budget_leave();
    budget_restore(caller);
    task->inner = NULL;
}

void task_forget(struct task *task)
{
    if (task->lua)
        coroutine_put(task, task->clean);
}

/* ---- ending ---- */

static void run_later(struct script *script);
static void run_ready(struct script *script);

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
 * is still as it was when it failed.  What happened outside of the script's own lines is
 * said to be at the line where they begin.
 */
static int protected_describe(lua_State *lua)
{
    struct task *task = lua_touserdata(lua, 1);
    int status = (int)lua_tointeger(lua, 2);

    lua_pushfstring(lua, "%s:%d: ", task->file, task->line);
    if (status != LUA_YIELD) {
        lua_pushvalue(task->lua, -1);
        lua_xmove(task->lua, lua, 1);
        push_error_text(lua, lua_gettop(lua));
        lua_remove(lua, -2);
    } else if (task->why) {
        lua_pushstring(lua, task->why);
    } else {
        lua_pushliteral(lua, "coroutine.yield outside of a coroutine of its own");
    }
    if (status == LUA_YIELD || task->telling == TELL_PLACE)
        lua_concat(lua, 2);
    if (task->telling == TELL_TRACEBACK)
        luaL_traceback(lua, task->inner ? task->inner : task->lua, lua_tostring(lua, -1), 0);
    return 1;
}

/* Leaves the text on top of the script's own stack. */
static const char *task_describe(struct task *task, int status)
{
    lua_State *lua = task->script->lua;

    budget_enter(lua, 1);
    lua_pushcfunction(lua, protected_describe);
    lua_pushlightuserdata(lua, task);
    lua_pushinteger(lua, status);
    lua_pcall(lua, 2, 1, 0);
    budget_leave();
    return lua_isstring(lua, -1) ? lua_tostring(lua, -1) : "(no text for the error)";
}

static void task_unwait(struct task *task)
{
    struct wait *wait = task->wait;

    task->wait = NULL;
    if (wait)
        wait->cancel(wait);
}

/* What all ends have in common, before `ended` or `cancelled`. */
static void task_detach(struct task *task)
{
    task->live = false;
    if (task->timeout > 0)
        ev_timer_stop(task->script->loop, &task->deadline);
    if (task->queued)
        TAILQ_REMOVE(&task->script->tasks.ready, task, ready);
    task->queued = false;
    task_unwait(task);
    while (!LIST_EMPTY(&task->children))
        task_cancel(LIST_FIRST(&task->children));
    if (task->listed)
        LIST_REMOVE(task, sibling);
    task->listed = false;
    if (task->gone)
        *task->gone = true;
    task->gone = NULL;
}

/* After it: the last task of a retired script takes the script along. */
static void task_leave(struct script *script)
{
    script->tasks.count--;
    script_left(script);
}

static void task_returned(struct task *task, int nresults)
{
    struct script *script = task->script;
    struct task_report report = {.result = TASK_OK, .nresults = nresults};

    task_detach(task);
    task->clean = true;
    if (!task->kind->keeps)
        coroutine_put(task, true);
    task->kind->ended(task, &report);
    task_leave(script);
}

/* Out of memory in a coroutine that a handler made, or caught and raised again, comes as an
 * ordinary error with Lua's own words. */
static enum task_result result_of(const struct task *task, int status)
{
    if (task->fate != TASK_OK)
        return task->fate;
    if (status == LUA_ERRMEM)
        return TASK_MEMORY;
    if (status == LUA_ERRRUN && lua_type(task->lua, -1) == LUA_TSTRING &&
        strcmp(lua_tostring(task->lua, -1), "not enough memory") == 0)
        return TASK_MEMORY;
    return TASK_ERROR;
}

static void task_failed(struct task *task, int status)
{
    struct script *script = task->script;
    struct task_report report = {
        .result = result_of(task, status),
        .text = task_describe(task, status),
    };

    task_detach(task);
    coroutine_close(task);
    if (!task->kind->keeps)
        coroutine_put(task, false);
    task->kind->ended(task, &report);
    lua_pop(script->lua, 1);
    task_leave(script);
}

void task_cancel(struct task *task)
{
    struct script *script = task->script;

    if (!task->live)
        return;
    script->tasks.busy++;
    task_detach(task);
    coroutine_close(task);
    coroutine_put(task, false);
    task->kind->cancelled(task);
    script->tasks.busy--;
    run_later(script);
    task_leave(script);
}

void task_cancel_all(struct script *script)
{
    struct task_list *roots = &script->tasks.roots;

    script->tasks.count++; /* so that the last one does not take the script along */
    while (!LIST_EMPTY(roots))
        task_cancel(LIST_FIRST(roots));
    script->tasks.count--;
}

static void task_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct task *task = timer->data;
    struct script *script = task->script;

    (void)loop;
    (void)events;
    task->fate = TASK_TIMEOUT;
    task->why = AT_DEADLINE;
    script->tasks.count++; /* it must not go away here */
    script->tasks.busy++;
    task_failed(task, LUA_YIELD);
    script->tasks.busy--;
    run_ready(script);
    task_leave(script);
}

/* ---- running ---- */

void task_expired(lua_State *lua, lua_Debug *about)
{
    struct task *task = script_of(lua)->tasks.running;

    (void)about;
    if (!budget_expired(lua))
        return;
    if (task) {
        task->fate = TASK_TIMEOUT;
        task->why = TOO_MUCH_CPU;
    }
    if (task && lua_isyieldable(lua)) {
        lua_yield(lua, 0);
        return;
    }
    if (task)
        task->raised = true;
    luaL_where(lua, 0);
    lua_pushliteral(lua, TOO_MUCH_CPU);
    lua_concat(lua, 2);
    lua_error(lua);
}

/* A task starts in the turn of the loop that brought its cause, and a timer counts from the
 * beginning of the turn: so a message's is the time since its NOTIFY. */
static void task_suspend(struct task *task)
{
    if (task->listed)
        return;
    task->listed = true;
    LIST_INSERT_HEAD(&task->script->tasks.roots, task, sibling);
    if (task->timeout > 0)
        ev_timer_start(task->script->loop, &task->deadline);
}

/* The one door.  What is on top of the coroutine is a function and nargs arguments, or what
 * a wait goes on with. */
static void task_run(struct task *task, int nargs)
{
    struct script *script = task->script;
    struct log_about caller;
    int status, nresults;

    script->tasks.running = task;
    script->metrics->running = task->place;
    caller = log_about;
    log_about = task->about;
    budget_enter(task->lua, task->kind->allowance);
    status = lua_resume(task->lua, script->lua, nargs, &nresults);
    budget_leave();
    script->tasks.running = NULL;
    script->metrics->running = 0;
    log_about = caller;
    if (status == LUA_YIELD && task->wait && task->fate == TASK_OK)
        task_suspend(task);
    else if (status == LUA_OK)
        task_returned(task, nresults);
    else
        task_failed(task, status);
}

static void task_queue(struct task *task)
{
    task->queued = true;
    TAILQ_INSERT_TAIL(&task->script->tasks.ready, task, ready);
}

/* The rest of the queue runs in the next turn of the loop. */
static void run_later(struct script *script)
{
    struct task_pool *pool = &script->tasks;

    if (TAILQ_EMPTY(&pool->ready) || ev_is_active(&pool->more))
        return;
    ev_timer_set(&pool->more, 0, 0);
    ev_timer_start(script->loop, &pool->more);
}

static void run_ready(struct script *script)
{
    struct task_pool *pool = &script->tasks;

    pool->count++; /* so that the script does not go away under us */
    pool->busy++;
    for (int i = 0; i < READY_MAX && !TAILQ_EMPTY(&pool->ready); i++) {
        struct task *task = TAILQ_FIRST(&pool->ready);

        TAILQ_REMOVE(&pool->ready, task, ready);
        task->queued = false;
        task_run(task, lua_status(task->lua) == LUA_OK ? lua_gettop(task->lua) - 1 : 0);
    }
    run_later(script);
    pool->busy--;
    task_leave(script);
}

static void run_more(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    run_ready(timer->data);
}

static void task_init(struct task *task, struct script *script, const struct task_kind *kind,
                      double timeout)
{
    task->kind = kind;
    task->script = script;
    task->timeout = timeout;
    task->wait = NULL;
    task->inner = NULL;
    task->fate = TASK_OK;
    task->why = NULL;
    task->telling = TELL_TRACEBACK;
    task->live = task->listed = task->queued = task->clean = task->raised = false;
    task->gone = NULL;
    task->parent = NULL;
    LIST_INIT(&task->children);
    if (timeout > 0) {
        ev_timer_init(&task->deadline, task_overdue, timeout, 0);
        task->deadline.data = task;
    }
}

bool task_start(struct task *task, struct script *script, const struct task_kind *kind,
                double timeout, bool *gone)
{
    task_init(task, script, kind, timeout);
    if (!coroutine_get(task))
        return false;
    script->tasks.count += 2; /* its own, and one so that the script does not go away here */
    *gone = false;
    task->live = true;
    task->gone = gone;
    lua_pushcfunction(task->lua, kind->body);
    script->tasks.busy++;
    task_run(task, 0);
    script->tasks.busy--;
    /* What a task that is over has encoded is still to be used by the caller: whoever it woke
     * runs later then. */
    if (!script->tasks.busy && !*gone)
        run_ready(script);
    else
        run_later(script);
    if (!*gone)
        task->gone = NULL;
    task_leave(script);
    return true;
}

const char *task_spawn(lua_State *lua, struct task *task, const struct task_kind *kind, int nargs)
{
    struct script *script = script_of(lua);
    struct task *parent = script->tasks.running;

    if (!parent)
        return "tasks can be spawned only inside of a handler";
    if (script->tasks.count >= script->options.concurrency)
        return "too many tasks (handler-concurrency)";
    task_init(task, script, kind, 0);
    if (!coroutine_get(task))
        return "not enough memory";
    if (!lua_checkstack(task->lua, nargs + 2)) {
        coroutine_put(task, true);
        return "too many arguments";
    }
    lua_pushcfunction(task->lua, kind->body);
    lua_xmove(lua, task->lua, nargs + 1);
    script->tasks.count++;
    task->live = task->listed = true;
    task->parent = parent;
    LIST_INSERT_HEAD(&parent->children, task, sibling);
    task_queue(task);
    return NULL;
}

void task_pool_init(struct script *script)
{
    struct task_pool *pool = &script->tasks;

    LIST_INIT(&pool->roots);
    TAILQ_INIT(&pool->ready);
    ev_timer_init(&pool->more, run_more, 0, 0);
    pool->more.data = script;
}

void task_pool_clear(struct script *script)
{
    struct task_pool *pool = &script->tasks;

    ev_timer_stop(script->loop, &pool->more);
    while (pool->nunused)
        coroutine_drop(script, pool->unused[--pool->nunused]);
}

/* ---- waiting ---- */

int wait_yield(lua_State *lua, struct wait *wait, void (*cancel)(struct wait *wait),
               lua_KFunction resumed)
{
    struct task *task = script_of(lua)->tasks.running;

    if (!task || !lua_isyieldable(lua)) {
        cancel(wait);
        return luaL_error(lua, task ? CANNOT_WAIT : "can wait only inside of a handler");
    }
    wait->task = task;
    wait->cancel = cancel;
    task->wait = wait;
    return lua_yieldk(lua, 0, 0, resumed);
}

void wait_wake(struct wait *wait)
{
    struct task *task = wait->task;
    struct script *script = task->script;

    task->wait = NULL;
    task->inner = NULL;
    task_queue(task);
    if (!script->tasks.busy)
        run_ready(script);
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

const char *task_refuse(struct script *script, lua_State *inner)
{
    struct task *task = script->tasks.running;
    lua_State *coroutine = task->inner;

    task_unwait(task);
    while (coroutine && coroutine != inner) {
        lua_State *outer = *owner_of(coroutine);

        *owner_of(coroutine) = NULL;
        lua_resetthread(coroutine);
        coroutine = outer;
    }
    task->inner = NULL;
    lua_resetthread(inner);
    return task->fate != TASK_OK ? task->why : CANNOT_WAIT;
}

void task_close_failed(struct script *script, lua_State *inner)
{
    const struct task *task = script->tasks.running;

    if (!task || !task->raised)
        lua_resetthread(inner);
}

void task_release(lua_State *inner)
{
    *owner_of(inner) = NULL;
}
