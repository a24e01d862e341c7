#include "script/task.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/blame.h"
#include "script/budget.h"
#include "script/handler.h"
#include "script/script.h"

/* Who runs for longer without waiting is named: it computes, or sits in a call that blocks.  One
 * that had no processor meanwhile looks the same, and is left alone as far as can be told. */
#define TASK_BLOCKS        (50 * CLOCK_MILLISECOND)
#define TASK_BLOCKS_SURELY (250 * CLOCK_MILLISECOND)
#define TASK_COMPUTES      0.025 /* seconds of CPU time */

/* What one run can add to what its handler is known to take: a run that had no processor for a
 * while does not make it long by itself, three in a row do. */
#define COST_MOST (4 * QUEUE_LONG)

#define AT_DEADLINE "still waiting at its deadline"

const char *task_result_name(enum task_result result)
{
    static const char *const names[] = {
#define X(id, name) [TASK_##id] = name,
        TASK_RESULTS(X)
#undef X
    };

    return names[result];
}

struct task *task_of(lua_State *lua)
{
    return coroutine_owner(lua).by;
}

enum lane task_lane(const struct task *task)
{
    if (task->lane == LANE_SHORT && task->handler && task->handler->cost > QUEUE_LONG)
        return LANE_LONG;
    return task->lane;
}

void task_ready(struct task *task)
{
    task->state = TASK_IS_READY;
    queue_add(task->script->queue, &task->job, task_lane(task));
}

/* ---- ending ---- */

void task_unwait(struct task *task)
{
    struct wait *wait = task->wait;

    task->wait = NULL;
    if (wait)
        wait->cancel(wait);
}

/* What all ends have in common, before `ended` or `cancelled`: from here on nobody finds it. */
static void task_detach(struct task *task)
{
    task->state = TASK_IS_ENDING;
    task->script->tasks.count--;
    ev_timer_stop(task->script->queue->loop, &task->deadline); /* it may be pending, too */
    queue_remove(task->script->queue, &task->job);
    task_unwait(task);
    LIST_REMOVE(task, sibling);
    task->parent = NULL;
    while (!LIST_EMPTY(&task->children))
        task_cancel(LIST_FIRST(&task->children));
}

/* Its coroutine is to be closed, when its turn comes.  What it works for need not be there any
 * more then. */
static void task_close_later(struct task *task)
{
    LIST_INSERT_HEAD(&task->script->tasks.ending, task, sibling);
    if (task->about.subject)
        task->about.subject = task->subject = log_subject_copy(task->about.subject);
    queue_add(task->script->queue, &task->job, task_lane(task));
}

static void task_over(struct task *task)
{
    struct script *script = task->script;

    task->state = TASK_IS_OVER;
    free(task->subject);
    free(task->told);
    task->kind->over(task);
    script_release(script);
}

void task_cancel(struct task *task)
{
    if (task->state != TASK_IS_NEW && task->state != TASK_IS_READY &&
        task->state != TASK_IS_WAITING)
        return;
    task_detach(task);
    task_close_later(task);
    task->kind->cancelled(task);
}

void task_forget(struct task *task)
{
    if (task->coroutine.lua)
        coroutine_put(task->script, &task->coroutine);
}

static void task_tell(struct task *task, int nresults)
{
    struct task_report report = {task->result, task->told ? task->told : task->why, nresults};

    task->kind->ended(task, &report);
}

/* Its coroutine came to its end, with the error on top when it failed. */
static void task_returned(struct task *task, int nresults)
{
    task_detach(task);
    task_tell(task, nresults);
    if (!task->kind->keeps)
        coroutine_put(task->script, &task->coroutine);
    task_over(task);
}

/* It is stopped where it is, or failed outside of what it called. */
static void task_failed(struct task *task, int status)
{
    if (task->raised == task->coroutine.lua && status != LUA_YIELD)
        coroutine_stopped(task->coroutine.lua);
    task_detach(task);
    blame_task(task, status);
    task_close_later(task);
    task_tell(task, 0);
}

static void task_stop(struct task *task, const char *why)
{
    task->result = TASK_TIMEOUT;
    task->why = why;
    task_failed(task, LUA_YIELD);
}

static void task_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    task_stop(timer->data, AT_DEADLINE);
}

/* ---- running ---- */

__attribute__((noinline)) static void task_blocked(struct task *task, uint64_t took, unsigned ticks)
{
    struct script *script = task->script;

    if (took < TASK_BLOCKS_SURELY && ticks < budget_ticks(TASK_COMPUTES) && !task->spared)
        return;
    if (!task->handler && !script->queue->flush)
        return; /* it loads, and nobody is there to be held */
    if (task->handler)
        task->handler->metrics->blocked++;
    else
        script->metrics->n[METRIC_BLOCKED_OTHERS]++;
    log_limited(&script->tasks.blockers, LEVEL_WARNING,
                "%s (%s:%d) has held the worker for %u ms without waiting, and everybody else "
                "meanwhile",
                task->handler ? task->handler->name : "a function", task->file, task->line,
                (unsigned)(took / CLOCK_MILLISECOND));
}

/* Lua code is about to run for the task; the log's subject until now. */
static struct log_about task_enter(struct task *task, const struct budget_limits *limits)
{
    struct script *script = task->script;
    struct log_about caller = log_about;

    script->tasks.running = task;
    script->metrics->running = task->handler ? task->handler->place + 1 : 0;
    log_about = task->about;
    budget_enter(task->coroutine.lua, limits);
    return caller;
}

static unsigned task_leave(struct task *task, const struct budget_limits *limits,
                           struct log_about caller, uint64_t began)
{
    struct script *script = task->script;
    unsigned left = budget_leave();
    uint64_t took = clock_look() - began;

    script->tasks.running = NULL;
    script->metrics->running = 0;
    if (task->handler)
        task->handler->cost += (took < COST_MOST ? took : COST_MOST) / 8 - task->handler->cost / 8;
    if (took > TASK_BLOCKS)
        task_blocked(task, took, limits->ticks > left ? limits->ticks - left : 0);
    log_about = caller;
    return left;
}

/* Closes its coroutines, from the innermost outwards. */
static void task_close(struct task *task)
{
    struct budget_limits limits = {task->script->ticks, CLOCK_NEVER, false};
    uint64_t began = clock_seen();
    struct log_about caller = task_enter(task, &limits);
    lua_State *coroutine = task->inner ? task->inner : task->coroutine.lua;

    LIST_REMOVE(task, sibling);
    task->inner = NULL;
    while (coroutine != task->coroutine.lua) {
        lua_State *outer = coroutine_owner(coroutine).by;

        coroutine_close(coroutine);
        coroutine = outer;
    }
    coroutine_close(coroutine);
    task_leave(task, &limits, caller, began);
    coroutine_drop(task->script, &task->coroutine);
    task_over(task);
}

/* It waits from now on. */
static void task_suspend(struct task *task)
{
    task->state = TASK_IS_WAITING;
    if (task->until != CLOCK_NEVER && !ev_is_active(&task->deadline))
        clock_timer(task->script->queue->loop, &task->deadline,
                    clock_seconds(clock_seen(), task->until));
}

/* lua_resume came back. */
static void task_came_back(struct task *task, int status, int nresults)
{
    if (status == LUA_OK)
        task_returned(task, nresults);
    else if (task->state == TASK_IS_YIELDING)
        task_suspend(task);
    else if (task->state == TASK_IS_WOKEN || task->state == TASK_IS_SLICED)
        task_ready(task);
    else
        task_failed(task, status);
}

/* The one door.  What is on top of the coroutine is a function and nargs arguments, or what a
 * wait goes on with. */
static void task_run(struct task *task, int nargs)
{
    struct script *script = task->script;
    bool background = task->lane == LANE_BACKGROUND;
    struct budget_limits limits = {task->ticks, task->until, background};
    uint64_t began = clock_seen();
    struct log_about caller = task_enter(task, &limits);
    unsigned left;
    int status, nresults;

    task->state = TASK_IS_RUNNING;
    task->inner = NULL;
    task->raised = NULL;
    task->spared = false;
    status = lua_resume(task->coroutine.lua, script->lua, nargs, &nresults);
    left = task_leave(task, &limits, caller, began);
    if (background)
        task->ticks = left;
    task_came_back(task, status, nresults);
}

/* A job's run: its turn has come. */
static void task_turn(struct job *job)
{
    struct task *task = (struct task *)((char *)job - offsetof(struct task, job));
    lua_State *lua = task->coroutine.lua;

    if (task->state == TASK_IS_ENDING) {
        task_close(task);
        return;
    }
    /* What its handler takes may have been learned since. */
    if (job->lane != task_lane(task)) {
        task_ready(task);
        return;
    }
    if (clock_seen() >= task->until) {
        while (task->parent)
            task = task->parent;
        task_stop(task, AT_DEADLINE);
        return;
    }
    task_run(task, lua_status(lua) == LUA_OK ? lua_gettop(lua) - 1 : 0);
}

/* ---- starting ---- */

bool task_init(struct task *task, struct script *script, const struct task_kind *kind,
               struct task_limits limits)
{
    if (!coroutine_get(script, &task->coroutine, task))
        return false;
    task->kind = kind;
    task->script = script;
    task->state = TASK_IS_NEW;
    task->lane = kind->lane;
    task->inner = NULL;
    task->wait = NULL;
    task->until = limits.until;
    task->ticks = limits.ticks;
    task->result = TASK_OK;
    task->why = NULL;
    task->told = NULL;
    task->subject = NULL;
    task->raised = NULL;
    task->spared = false;
    task->parent = NULL;
    LIST_INIT(&task->children);
    job_init(&task->job, task_turn);
    ev_timer_init(&task->deadline, task_overdue, 0, 0);
    task->deadline.data = task;
    script->holds++;
    script->tasks.count++;
    LIST_INSERT_HEAD(&script->tasks.roots, task, sibling);
    lua_pushcfunction(task->coroutine.lua, kind->body);
    return true;
}

/* Nobody has seen it yet. */
static void task_undo(struct task *task)
{
    task_detach(task);
    task->state = TASK_IS_OVER;
    coroutine_put(task->script, &task->coroutine);
    task->script->holds--;
}

void task_start(struct task *task)
{
    task_ready(task);
}

void task_start_now(struct task *task)
{
    task_run(task, 0);
}

const char *task_spawn(lua_State *lua, struct task *task, const struct task_kind *kind, int nargs)
{
    struct script *script = script_of(lua);
    struct task *parent = script->tasks.running;

    if (!parent || parent->state != TASK_IS_RUNNING)
        return "tasks can be spawned only inside of a handler";
    if (script->tasks.count >= script->options.concurrency)
        return "too many tasks (handler-concurrency)";
    task->handler = parent->handler;
    task->about = parent->about;
    if (!task_init(task, script, kind, (struct task_limits){script->ticks, parent->until}))
        return "not enough memory";
    if (!lua_checkstack(task->coroutine.lua, nargs + 1)) {
        task_undo(task);
        return "too many arguments";
    }
    task->lane = parent->lane;
    task->parent = parent;
    LIST_REMOVE(task, sibling);
    LIST_INSERT_HEAD(&parent->children, task, sibling);
    lua_xmove(lua, task->coroutine.lua, nargs + 1);
    task_ready(task);
    return NULL;
}

/* ---- the script's ---- */

void task_pool_init(struct script *script)
{
    LIST_INIT(&script->tasks.roots);
    LIST_INIT(&script->tasks.ending);
}

void task_end_all(struct script *script)
{
    struct task_pool *pool = &script->tasks;

    while (!LIST_EMPTY(&pool->roots))
        task_cancel(LIST_FIRST(&pool->roots));
    while (!LIST_EMPTY(&pool->ending)) {
        struct task *task = LIST_FIRST(&pool->ending);

        queue_remove(script->queue, &task->job);
        task_close(task);
    }
}
