/*
 * spoa.poll(fd, "r" | "w" | "rw" [, timeout]): the handler waits until the descriptor can be
 * read or written; everything that talks to sockets in Lua stands on it.
 *
 * fd is a number or an object with a getfd method (LuaSocket's).  Gives "r", "w" or "rw", or
 * nil and "timeout" after so many seconds, or nil and "closed" when somebody was about to
 * close the descriptor and said so with spoa.closing(fd).
 */
#include <ev.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>

#include "script/api.h"
#include "script/script.h"

struct poll {
    struct wait wait; /* first */
    struct ev_loop *loop;
    ev_io io;
    ev_timer timer;
    int events; /* what happened; 0 for the timeout */
    bool closed;
    LIST_ENTRY(poll) entry;
};

static void poll_stop(struct poll *poll)
{
    ev_io_stop(poll->loop, &poll->io);
    ev_timer_stop(poll->loop, &poll->timer);
    LIST_REMOVE(poll, entry);
}

static void poll_cancel(struct wait *wait)
{
    poll_stop((struct poll *)wait);
}

static void poll_over(struct poll *poll, int events)
{
    poll->events = events;
    poll_stop(poll);
    wait_wake(&poll->wait);
}

static void poll_ready(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    poll_over(io->data, events);
}

static void poll_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    poll_over(timer->data, 0);
}

static int poll_resumed(lua_State *lua, int status, lua_KContext context)
{
    static const char *const names[] = {"timeout", "r", "w", "rw"};
    const struct poll *poll = lua_touserdata(lua, -1);
    int ready = (poll->events & EV_READ ? 1 : 0) | (poll->events & EV_WRITE ? 2 : 0);

    (void)status;
    (void)context;
    if (ready && !poll->closed) {
        lua_pushstring(lua, names[ready]);
        return 1;
    }
    lua_pushnil(lua);
    lua_pushstring(lua, poll->closed ? "closed" : "timeout");
    return 2;
}

/* The descriptor that the value at index is or has. */
static int check_fd(lua_State *lua, int index)
{
    lua_Integer fd;

    if (lua_istable(lua, index) || lua_isuserdata(lua, index)) {
        lua_getfield(lua, index, "getfd");
        lua_pushvalue(lua, index);
        lua_call(lua, 1, 1);
        fd = lua_tointeger(lua, -1);
        lua_pop(lua, 1);
    } else {
        fd = luaL_checkinteger(lua, index);
    }
    luaL_argcheck(lua, fd >= 0 && fd <= INT32_MAX, index, "a descriptor, or an object with getfd");
    return (int)fd;
}

/* libev aborts on one that is not open.  To be asked last: any allocation may run a finalizer
 * that closes it. */
static void check_open(lua_State *lua, int fd, int index)
{
    luaL_argcheck(lua, fcntl(fd, F_GETFD) >= 0, index, "the descriptor is not open");
}

static int check_events(lua_State *lua, int index)
{
    static const char *const names[] = {"r", "w", "rw", NULL};
    static const int events[] = {EV_READ, EV_WRITE, EV_READ | EV_WRITE};

    return events[luaL_checkoption(lua, index, NULL, names)];
}

static int api_poll(lua_State *lua)
{
    struct script *script = script_of(lua);
    int fd = check_fd(lua, 1), events = check_events(lua, 2);
    lua_Number timeout = luaL_optnumber(lua, 3, -1);
    struct poll *poll;

    luaL_argcheck(lua, lua_isnoneornil(lua, 3) || (timeout >= 0 && timeout <= 1e9), 3,
                  "seconds must be 0 or more");
    poll = lua_newuserdatauv(lua, sizeof *poll, 0);
    check_open(lua, fd, 1);
    poll->loop = script->queue->loop;
    poll->closed = false;
    ev_io_init(&poll->io, poll_ready, fd, events);
    ev_timer_init(&poll->timer, poll_overdue, 0, 0);
    poll->io.data = poll->timer.data = poll;
    LIST_INSERT_HEAD(&script->polls, poll, entry);
    ev_io_start(poll->loop, &poll->io);
    if (timeout >= 0)
        clock_timer(poll->loop, &poll->timer, timeout);
    return wait_yield(lua, &poll->wait, poll_cancel, poll_resumed);
}

/* spoa.closing(fd): whoever polls the descriptor goes on with nil, "closed". */
static int api_closing(lua_State *lua)
{
    int fd = check_fd(lua, 1);
    struct poll *poll, *next;

    check_open(lua, fd, 1);
    for (poll = LIST_FIRST(&script_of(lua)->polls); poll; poll = next) {
        next = LIST_NEXT(poll, entry);
        if (poll->io.fd == fd) {
            poll->closed = true;
            poll_over(poll, 0);
        }
    }
    return 0;
}

static const luaL_Reg functions[] = {{"poll", api_poll}, {"closing", api_closing}, {NULL, NULL}};

void api_poll_open(lua_State *lua)
{
    luaL_setfuncs(lua, functions, 0);
}
