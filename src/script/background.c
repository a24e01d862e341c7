#include "script/background.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "script/blame.h"
#include "script/budget.h"
#include "script/script.h"

struct background {
    struct task task; /* first */
    TAILQ_ENTRY(background) entry;
    int function;   /* a reference in the registry */
    double seconds; /* of those that are repeated; 0 for the others */
    ev_timer timer; /* until the next run */
    char file[LUA_IDSIZE];
};

/* Moves the function on top of lua's stack to a new background. */
static struct background *background_new(lua_State *lua)
{
    struct background *background;
    lua_Debug about;
    int function;

    lua_pushvalue(lua, -1);
    lua_getinfo(lua, ">S", &about);
    function = luaL_ref(lua, LUA_REGISTRYINDEX);
    background = mem_zalloc(sizeof *background);
    background->function = function;
    for (size_t i = 0; i < sizeof background->file; i++)
        background->file[i] = about.short_src[i];
    background->task.script = script_of(lua);
    background->task.file = background->file;
    background->task.line = about.linedefined;
    return background;
}

static void background_free(struct background *background)
{
    luaL_unref(background->task.script->lua, LUA_REGISTRYINDEX, background->function);
    free(background);
}

/* ---- one run ---- */

static int background_returned(lua_State *lua, int status, lua_KContext context)
{
    (void)context;
    return blame_raised(lua, status) ? BLAME_RAISED : 0;
}

static int background_body(lua_State *lua)
{
    const struct background *background = (struct background *)task_of(lua);

    blame_open(lua);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, background->function);
    return blame_call(lua, 0, 0, background_returned);
}

static void background_over(struct background *background)
{
    struct script *script = background->task.script;

    if (background->seconds > 0 && !script->retired) {
        clock_timer(script->queue->loop, &background->timer, background->seconds);
        return;
    }
    if (background->seconds > 0)
        TAILQ_REMOVE(&script->background.repeated, background, entry);
    else
        script->background.count--;
    background_free(background);
}

static void background_ended(struct task *task, const struct task_report *report)
{
    if (report->result != TASK_OK)
        log_limited(&task->script->background.failures, LEVEL_ERR, "in the background: %s: %s",
                    task_result_name(report->result), report->text);
}

static void background_cancelled(struct task *task)
{
    (void)task;
}

static void background_done(struct task *task)
{
    background_over((struct background *)task);
}

static const struct task_kind background_kind = {
    .body = background_body,
    .ended = background_ended,
    .cancelled = background_cancelled,
    .over = background_done,
    .lane = LANE_BACKGROUND,
};

static void background_start(struct background *background)
{
    struct script *script = background->task.script;
    const struct script_options *options = &script->options;
    struct task_limits limits = {budget_ticks(options->background_cpu),
                                 clock_after(clock_seen(), options->background_timeout)};

    if (!task_init(&background->task, script, &background_kind, limits)) {
        log_limited(&script->background.failures, LEVEL_ERR,
                    "in the background: memory: no memory to begin with");
        background_over(background);
        return;
    }
    task_start(&background->task);
}

/* ---- spoa.after ---- */

void background_after(lua_State *lua, struct background_list *list)
{
    struct script *script = script_of(lua);
    struct background_list direct = TAILQ_HEAD_INITIALIZER(direct);
    struct background *background;

    if (script->background.count >= script->options.background_concurrency)
        luaL_error(lua, "too many functions in the background (background-concurrency is %d)",
                   (int)script->options.background_concurrency);
    script_check_open(lua);
    background = background_new(lua);
    script->background.count++;
    script->holds++;
    TAILQ_INSERT_TAIL(list ? list : &direct, background, entry);
    if (!list)
        background_release(script, &direct);
}

void background_move(struct background_list *to, struct background_list *from)
{
    TAILQ_CONCAT(to, from, entry);
}

void background_release(struct script *script, struct background_list *list)
{
    struct background_pool *pool = &script->background;

    if (TAILQ_EMPTY(list))
        return;
    TAILQ_CONCAT(&pool->due, list, entry);
    if (!pool->begin.queued)
        queue_add(script->queue, &pool->begin, LANE_BACKGROUND);
}

void background_discard(struct script *script, struct background_list *list)
{
    while (!TAILQ_EMPTY(list)) {
        struct background *background = TAILQ_FIRST(list);

        TAILQ_REMOVE(list, background, entry);
        background_free(background);
        script->background.count--;
        script->holds--;
    }
}

/* A job: the first of those that are due becomes a task, which takes over its hold. */
static void background_begin(struct job *job)
{
    struct background_pool *pool =
        (struct background_pool *)((char *)job - offsetof(struct background_pool, begin));
    struct background *background = TAILQ_FIRST(&pool->due);
    struct script *script = background->task.script;

    TAILQ_REMOVE(&pool->due, background, entry);
    if (!TAILQ_EMPTY(&pool->due))
        queue_add(script->queue, job, LANE_BACKGROUND);
    background_start(background);
    script_release(script);
}

/* ---- spoa.every ---- */

static void background_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    background_start(timer->data);
}

void background_every(lua_State *lua, double seconds)
{
    struct background *background = background_new(lua);

    background->seconds = seconds;
    ev_timer_init(&background->timer, background_again, seconds, 0);
    background->timer.data = background;
    TAILQ_INSERT_TAIL(&background->task.script->background.repeated, background, entry);
}

void background_serve(struct script *script)
{
    struct background *background;

    TAILQ_FOREACH (background, &script->background.repeated, entry)
        clock_timer(script->queue->loop, &background->timer, background->seconds);
}

/* ---- the script's ---- */

void background_init(struct script *script)
{
    struct background_pool *pool = &script->background;

    TAILQ_INIT(&pool->due);
    TAILQ_INIT(&pool->repeated);
    job_init(&pool->begin, background_begin);
}

void background_stop(struct script *script)
{
    struct background *background, *next;

    for (background = TAILQ_FIRST(&script->background.repeated); background; background = next) {
        next = TAILQ_NEXT(background, entry);
        ev_timer_stop(script->queue->loop, &background->timer);
        if (background->task.state != TASK_IS_OVER)
            continue; /* its last run frees it */
        TAILQ_REMOVE(&script->background.repeated, background, entry);
        background_free(background);
    }
}

void background_forget(struct script *script)
{
    queue_remove(script->queue, &script->background.begin);
    background_discard(script, &script->background.due);
}
