#include "script/invoke.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "script/arguments.h"
#include "script/blame.h"
#include "script/results.h"
#include "script/script.h"

struct invocation {
    struct task task; /* first */
    LIST_ENTRY(invocation) entry;
    struct invoke_call call;
    size_t used; /* of the scratch memory, by the actions */
    struct background_list after;
};

/* ---- inside the coroutine ---- */

/* The context may be kept by a handler for longer than its task lives. */
static int context_remaining(lua_State *lua)
{
    uint64_t until = (uint64_t)lua_tointeger(lua, lua_upvalueindex(1));
    double left = clock_seconds(clock_look(), until);

    lua_pushnumber(lua, left > 0 ? left : 0);
    return 1;
}

static void push_context(lua_State *lua, const struct invocation *invocation)
{
    const struct log_subject *context = &invocation->call.context->subject;
    struct span name = invocation->call.message->name;

    lua_createtable(lua, 0, 6);
    lua_pushlstring(lua, name.at, name.len);
    lua_setfield(lua, -2, "message");
    lua_pushinteger(lua, (lua_Integer)context->stream_id);
    lua_setfield(lua, -2, "stream_id");
    lua_pushinteger(lua, (lua_Integer)context->frame_id);
    lua_setfield(lua, -2, "frame_id");
    lua_pushstring(lua, context->engine_id);
    lua_setfield(lua, -2, "engine_id");
    lua_pushstring(lua, context->peer);
    lua_setfield(lua, -2, "peer");
    lua_pushinteger(lua, (lua_Integer)invocation->task.until);
    lua_pushcclosure(lua, context_remaining, 1);
    lua_setfield(lua, -2, "remaining");
}

static int invoke_returned(lua_State *lua, int status, lua_KContext context)
{
    struct invocation *invocation = (struct invocation *)task_of(lua);
    struct script *script = invocation->task.script;
    struct wire_out out = wire_out_open(script->scratch, invocation->call.room);

    (void)context;
    if (blame_raised(lua, status))
        return BLAME_RAISED;
    results_put(lua, script->options.default_scope, &out);
    if (out.full) {
        invocation->task.result = TASK_TOO_BIG;
        return luaL_error(lua,
                          "the actions take more than the %d bytes that an ACK has for them: "
                          "return less, or raise tune.bufsize in HAProxy",
                          (int)invocation->call.room);
    }
    invocation->used = (size_t)(out.at - script->scratch);
    return 0;
}

static int invoke_body(lua_State *lua)
{
    struct invocation *invocation = (struct invocation *)task_of(lua);
    struct handler *handler = invocation->call.handler;
    int nargs = 1;

    blame_open(lua);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, handler->function);
    arguments_push(lua, handler, invocation->call.message);
    if (handler->wants_context) {
        push_context(lua, invocation);
        nargs++;
    }
    return blame_call(lua, nargs, 1, invoke_returned);
}

/* ---- coming and going ---- */

static struct invocation *invocation_get(struct script *script)
{
    struct invocation *invocation = LIST_FIRST(&script->invocations);

    if (!invocation)
        return mem_alloc(sizeof *invocation);
    LIST_REMOVE(invocation, entry);
    return invocation;
}

static void invocation_left(struct invocation *invocation)
{
    invocation->call.handler->running--;
    invocation->call.handler->metrics->running--;
}

void invoke_pool_clear(struct script *script)
{
    while (!LIST_EMPTY(&script->invocations)) {
        struct invocation *invocation = LIST_FIRST(&script->invocations);

        LIST_REMOVE(invocation, entry);
        free(invocation);
    }
}

static void invoke_ended(struct task *task, const struct task_report *ended)
{
    struct invocation *invocation = (struct invocation *)task;
    struct invoke_report report = {
        .result = ended->result,
        .actions = {(const char *)task->script->scratch, invocation->used},
        .text = ended->text,
        .after = &invocation->after,
    };

    invocation_left(invocation);
    invocation->call.done(invocation->call.owner, invocation->call.slot, &report);
}

static void invoke_cancelled(struct task *task)
{
    struct invocation *invocation = (struct invocation *)task;

    invocation_left(invocation);
    background_discard(task->script, &invocation->after);
}

static void invoke_over(struct task *task)
{
    LIST_INSERT_HEAD(&task->script->invocations, (struct invocation *)task, entry);
}

static const struct task_kind invoke_kind = {
    .body = invoke_body,
    .ended = invoke_ended,
    .cancelled = invoke_cancelled,
    .over = invoke_over,
    .lane = LANE_SHORT,
};

struct background_list *invoke_after(struct script *script)
{
    struct task *task = script->tasks.running;

    while (task && task->parent)
        task = task->parent;
    if (!task || task->kind != &invoke_kind || task_is_over(task))
        return NULL;
    return &((struct invocation *)task)->after;
}

static void invoke_refuse(const struct invoke_call *call, enum task_result result, const char *text)
{
    struct background_list none = TAILQ_HEAD_INITIALIZER(none);
    struct invoke_report report = {.result = result, .text = text, .after = &none};

    call->done(call->owner, call->slot, &report);
}

struct task *invoke_start(struct script *script, const struct invoke_call *call)
{
    struct handler *handler = call->handler;
    struct task_limits limits = {script->ticks, clock_after(call->since, handler->timeout)};
    struct invocation *invocation;

    if (script->tasks.count >= script->options.concurrency ||
        handler->running >= handler->concurrency) {
        invoke_refuse(call, TASK_BUSY, "too many handlers are running");
        return NULL;
    }
    if (clock_seen() >= limits.until) {
        invoke_refuse(call, TASK_TIMEOUT, "its turn came after its deadline: the worker is busy");
        return NULL;
    }
    invocation = invocation_get(script);
    invocation->task.file = handler->file;
    invocation->task.line = handler->line;
    invocation->task.handler = handler;
    invocation->task.about = (struct log_about){&call->context->subject, handler->name};
    invocation->call = *call;
    invocation->used = 0;
    TAILQ_INIT(&invocation->after);
    if (!task_init(&invocation->task, script, &invoke_kind, limits)) {
        LIST_INSERT_HEAD(&script->invocations, invocation, entry);
        invoke_refuse(call, TASK_MEMORY, "no memory to begin with");
        return NULL;
    }
    handler->running++;
    handler->metrics->running++;
    task_start_now(&invocation->task);
    return task_is_over(&invocation->task) ? NULL : &invocation->task;
}
