#include "script/invoke.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "script/arguments.h"
#include "script/budget.h"
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
    lua_pushnumber(lua, monotonic() + invocation->task.timeout);
    lua_pushcclosure(lua, context_remaining, 1);
    lua_setfield(lua, -2, "remaining");
}

static int body_returned(lua_State *lua, int status, lua_KContext ctx)
{
    struct invocation *invocation = (struct invocation *)task_of(lua);
    struct script *script = invocation->task.script;
    struct wire_out out = wire_out_open(script->scratch, invocation->call.room);

    (void)status;
    (void)ctx;
    invocation->task.telling = TELL_PLACE;
    results_put(lua, script->options.default_scope, &out);
    if (out.full) {
        invocation->task.fate = TASK_TOO_BIG;
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

    lua_rawgeti(lua, LUA_REGISTRYINDEX, handler->function);
    arguments_push(lua, handler, invocation->call.message);
    if (handler->wants_context) {
        push_context(lua, invocation);
        nargs++;
    }
    lua_callk(lua, nargs, 1, 0, body_returned);
    return body_returned(lua, LUA_OK, 0);
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

static void invocation_put(struct invocation *invocation)
{
    invocation->call.handler->running--;
    invocation->call.handler->metrics->running--;
    LIST_INSERT_HEAD(&invocation->task.script->invocations, invocation, entry);
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

    invocation->call.done(invocation->call.owner, invocation->call.slot, &report);
    invocation_put(invocation);
}

static void invoke_cancelled(struct task *task)
{
    struct invocation *invocation = (struct invocation *)task;

    background_discard(task->script, &invocation->after);
    invocation_put(invocation);
}

static const struct task_kind invoke_kind = {
    .body = invoke_body,
    .ended = invoke_ended,
    .cancelled = invoke_cancelled,
    .allowance = 1,
};

struct background_list *invoke_after(struct script *script)
{
    struct task *task = script->tasks.running;

    while (task && task->parent)
        task = task->parent;
    return task && task->kind == &invoke_kind ? &((struct invocation *)task)->after : NULL;
}

static void invoke_refuse(const struct invoke_call *call, enum task_result result, const char *text)
{
    struct background_list none = TAILQ_HEAD_INITIALIZER(none);
    struct invoke_report report = {.result = result, .text = text, .after = &none};

    call->done(call->owner, call->slot, &report);
}

/*
 * Handlers that compute, one after the other in one turn of the loop, may use up the time of
 * the next before it begins.  The clock is only looked at when some handler has computed for
 * long since it last showed that there was time.
 */
static bool is_overdue(struct script *script, double timeout)
{
    if (script->beats == budget_beats())
        return false;
    if (ev_time() - ev_now(script->loop) >= timeout)
        return true;
    if (ev_time() - ev_now(script->loop) < timeout / 8)
        script->beats = budget_beats();
    return false;
}

struct task *invoke_start(struct script *script, const struct invoke_call *call)
{
    struct handler *handler = call->handler;
    struct invocation *invocation;
    bool gone = true;

    if (script->tasks.count >= script->options.concurrency ||
        handler->running >= handler->concurrency) {
        invoke_refuse(call, TASK_BUSY, "too many handlers are running");
        return NULL;
    }
    if (is_overdue(script, handler->timeout)) {
        invoke_refuse(call, TASK_TIMEOUT, "handlers before it took all of its time");
        return NULL;
    }
    invocation = invocation_get(script);
    invocation->task.script = script;
    invocation->task.file = handler->file;
    invocation->task.line = handler->line;
    invocation->task.place = handler->place + 1;
    invocation->task.about = (struct log_about){&call->context->subject, handler->name};
    invocation->call = *call;
    invocation->used = 0;
    TAILQ_INIT(&invocation->after);
    handler->running++;
    handler->metrics->running++;
    if (!task_start(&invocation->task, script, &invoke_kind, handler->timeout, &gone)) {
        invocation_put(invocation);
        invoke_refuse(call, TASK_MEMORY, "no memory to begin with");
        return NULL;
    }
    return gone ? NULL : &invocation->task;
}
