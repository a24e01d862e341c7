#include "script/background.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
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

static int body_returned(lua_State *lua, int status, lua_KContext context)
{
    (void)lua;
    (void)status;
    (void)context;
    return 0;
}

static int background_body(lua_State *lua)
{
    const struct background *background = (struct background *)task_of(lua);

    lua_rawgeti(lua, LUA_REGISTRYINDEX, background->function);
    lua_callk(lua, 0, 0, 0, body_returned);
    return 0;
}

static void background_over(struct background *background)
{
    struct script *script = background->task.script;

    if (background->seconds > 0 && !script->retired) {
        ev_timer_set(&background->timer, background->seconds, 0);
        ev_timer_start(script->loop, &background->timer);
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
    background_over((struct background *)task);
}

static void background_cancelled(struct task *task)
{
    background_over((struct background *)task);
}

static const struct task_kind background_kind = {
    .body = background_body,
    .ended = background_ended,
    .cancelled = background_cancelled,
    .allowance = 1,
};

static void background_start(struct background *background)
{
    struct script *script = background->task.script;
    bool gone;

    if (!task_start(&background->task, script, &background_kind, script->options.background_timeout,
                    &gone)) {
        log_limited(&script->background.failures, LEVEL_ERR,
                    "in the background: memory: no memory to begin with");
        background_over(background);
    }
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
    background = background_new(lua);
    script->background.count++;
    script->tasks.count++; /* it is something the script must not be freed under */
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
    if (!ev_is_active(&pool->begin)) {
        ev_timer_set(&pool->begin, 0, 0);
        ev_timer_start(script->loop, &pool->begin);
    }
}

void background_discard(struct script *script, struct background_list *list)
{
    while (!TAILQ_EMPTY(list)) {
        struct background *background = TAILQ_FIRST(list);

        TAILQ_REMOVE(list, background, entry);
        background_free(background);
        script->background.count--;
        script->tasks.count--;
    }
}

/* A timer of nothing: the next turn of the loop, when this one's output has been sent. */
static void background_begin(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct script *script = timer->data;
    struct background_list due = TAILQ_HEAD_INITIALIZER(due);

    (void)loop;
    (void)events;
    TAILQ_CONCAT(&due, &script->background.due, entry);
    script->tasks.count++;
    while (!TAILQ_EMPTY(&due)) {
        struct background *background = TAILQ_FIRST(&due);

        TAILQ_REMOVE(&due, background, entry);
        script->tasks.count--;
        background_start(background);
    }
    script->tasks.count--;
    script_left(script);
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
        ev_timer_start(script->loop, &background->timer);
}

/* ---- the script's ---- */

void background_init(struct script *script)
{
    struct background_pool *pool = &script->background;

    TAILQ_INIT(&pool->due);
    TAILQ_INIT(&pool->repeated);
    ev_timer_init(&pool->begin, background_begin, 0, 0);
    pool->begin.data = script;
}

void background_stop(struct script *script)
{
    struct background *background, *next;

    for (background = TAILQ_FIRST(&script->background.repeated); background; background = next) {
        next = TAILQ_NEXT(background, entry);
        ev_timer_stop(script->loop, &background->timer);
        if (background->task.live)
            continue; /* its last run frees it */
        TAILQ_REMOVE(&script->background.repeated, background, entry);
        background_free(background);
    }
}

void background_forget(struct script *script)
{
    ev_timer_stop(script->loop, &script->background.begin);
    background_discard(script, &script->background.due);
}
