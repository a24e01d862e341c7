/*
 * spoa.sleep(seconds): the handler waits, everyone else is served.
 *
 * The model for every function that waits: check the arguments, arm the operation, say how
 * it is cancelled, yield.  The operation lives in a userdata on the coroutine's stack, so
 * that it lasts exactly as long as the wait.
 */
#include <ev.h>
#include <lauxlib.h>
#include <stddef.h>

#include "script/api.h"
#include "script/script.h"

struct sleep {
    struct wait wait;
    struct ev_loop *loop;
    ev_timer timer;
};

static void sleep_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct sleep *sleep = timer->data;

    (void)loop;
    (void)events;
    wait_wake(&sleep->wait);
}

static void sleep_cancel(struct wait *wait)
{
    struct sleep *sleep = (struct sleep *)wait; /* the wait is its first member */

    ev_timer_stop(sleep->loop, &sleep->timer);
}

static int sleep_resumed(lua_State *lua, int status, lua_KContext context)
{
    (void)lua;
    (void)status;
    (void)context;
    return 0;
}

static int api_sleep(lua_State *lua)
{
    lua_Number seconds = luaL_checknumber(lua, 1);
    struct script *script = script_of(lua);
    struct sleep *sleep;

    luaL_argcheck(lua, seconds >= 0 && seconds <= 1e9, 1, "seconds must be 0 or more");
    sleep = lua_newuserdatauv(lua, sizeof *sleep, 0);
    sleep->loop = script->queue->loop;
    ev_timer_init(&sleep->timer, sleep_over, 0, 0);
    sleep->timer.data = sleep;
    clock_timer(sleep->loop, &sleep->timer, seconds);
    return wait_yield(lua, &sleep->wait, sleep_cancel, sleep_resumed);
}

void api_sleep_open(lua_State *lua)
{
    lua_pushcfunction(lua, api_sleep);
    lua_setfield(lua, -2, "sleep");
}
