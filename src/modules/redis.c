/*
 * require "spoa.redis": commands to Redis servers that handlers wait for.
 *
 *     local r = redis.new{ host =, port =, unix =, db =, username =, password =, timeout =,
 *                          connect_timeout =, max_reply = }           (redis.connect is the same)
 *     r:get(key), r:command("GET", key), r:pipeline{ { "get", key }, ... }
 *
 * Give what the server replied, or nil, a message and a code.  The operation is a userdata on the
 * coroutine's stack, as in script/api_sleep.c; its user value is its connection.  Clients that
 * are made with the same options share a connection.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "modules/redis/client.h"
#include "modules/redis/command.h"
#include "modules/redis/record.h"
#include "script/script.h"

#define OPERATION "spoa.redis operation"

#define PIPELINE_MAX 10000

/* In the background a long list is made a table of so long at a time; a clock is looked at after
 * so many replies. */
#define PIECE_TIME    CLOCK_MILLISECOND
#define PIECE_REPLIES 64

/* Its user value: the connection. */
struct operation {
    struct wait wait;
    struct redis_request request;
    bool pipeline;
    size_t pushed; /* so many of a list's replies Lua has */
    char name[32]; /* of the command, for messages */
};

/* ---- results ---- */

static int push_failure(lua_State *lua, const struct redis_conn *conn, const char *name,
                        const char *message, const char *code)
{
    lua_pushnil(lua);
    lua_pushfstring(lua, "redis %s %s: %s", conn->where, name, message);
    lua_pushstring(lua, code);
    return 3;
}

/* The first word of what the server says is its code. */
static int push_error(lua_State *lua, const struct redis_conn *conn, const char *name,
                      const struct redis_reply *reply)
{
    push_failure(lua, conn, name, reply->text, "");
    lua_pop(lua, 1);
    lua_pushlstring(lua, reply->text, strcspn(reply->text, " "));
    return 3;
}

static int push_list_again(lua_State *lua, int status, lua_KContext context);

/* The table for a list is on top.  In pieces, what Lua has is freed at once, since all of it at
 * the end would take as long. */
static int push_list(lua_State *lua, struct operation *operation)
{
    struct redis_request *request = &operation->request;
    size_t count = request->count;
    struct redis_reply **list =
        operation->pipeline ? request->replies : redis_reply_list(request->replies[0], &count);
    bool pieces = task_sliced(lua);
    uint64_t began = pieces ? clock_look() : 0;

    while (operation->pushed < count) {
        struct redis_reply **reply = &list[operation->pushed++];

        redis_reply_push(lua, *reply);
        lua_rawseti(lua, -2, (lua_Integer)operation->pushed);
        if (!pieces)
            continue;
        redis_reply_free(*reply);
        *reply = NULL;
        if (operation->pushed % PIECE_REPLIES == 0 && clock_look() - began > PIECE_TIME)
            return task_slice(lua, push_list_again, 0);
    }
    redis_request_end(request);
    return 1;
}

/* The operation, its connection and the table are on top. */
static int push_list_again(lua_State *lua, int status, lua_KContext context)
{
    struct operation *operation = lua_touserdata(lua, -3);

    (void)status;
    (void)context;
    if (!operation->request.conn)
        return luaL_error(lua, "redis: the connection is closed");
    return push_list(lua, operation);
}

static int push_result(lua_State *lua, const struct redis_conn *conn, struct operation *operation)
{
    const struct redis_request *request = &operation->request;
    size_t count;

    if (request->code)
        return push_failure(lua, conn, operation->name, request->message, request->code);
    if (!request->conn)
        return push_failure(lua, conn, operation->name, "the scripts are being closed", "closed");
    if (operation->pipeline) {
        lua_createtable(lua, (int)request->count, 0);
        return push_list(lua, operation);
    }
    if (redis_reply_is_error(request->replies[0]))
        return push_error(lua, conn, operation->name, request->replies[0]);
    if (redis_reply_list(request->replies[0], &count)) {
        lua_createtable(lua, (int)count, 0);
        return push_list(lua, operation);
    }
    redis_reply_push(lua, request->replies[0]);
    if (lua_isboolean(lua, -1)) /* nil at the top is nil */
        lua_pushnil(lua);
    return 1;
}

/* ---- operations ---- */

static int operation_gc(lua_State *lua)
{
    redis_request_end(&((struct operation *)lua_touserdata(lua, 1))->request);
    return 0;
}

static void operation_cancel(struct wait *wait)
{
    redis_request_end(&((struct operation *)wait)->request); /* the wait is its first member */
}

/* If Lua has no memory for the reply this raises, and operation_gc cleans up. */
static int operation_resumed(lua_State *lua, int status, lua_KContext context)
{
    struct operation *operation = lua_touserdata(lua, -1);
    const struct redis_conn *conn;
    int n;

    (void)status;
    (void)context;
    lua_getiuservalue(lua, -1, 1);
    conn = lua_touserdata(lua, -1);
    n = push_result(lua, conn, operation);
    redis_request_end(&operation->request);
    return n;
}

/* The stack of a command under way: 1 client, 2 what to send, 3 its name, 4 how many commands,
 * 5 seconds, 6 whether a pipeline. */
static int command_send(lua_State *lua)
{
    struct redis_conn *conn = redis_client_check(lua)->conn;
    struct operation *operation;
    size_t len;
    const char *bytes = lua_tolstring(lua, 2, &len);

    operation = lua_newuserdatauv(lua, sizeof *operation, 1);
    redis_request_init(&operation->request);
    operation->pipeline = lua_toboolean(lua, 6);
    operation->pushed = 0;
    snprintf(operation->name, sizeof operation->name, "%s", lua_tostring(lua, 3));
    luaL_setmetatable(lua, OPERATION);
    lua_getiuservalue(lua, 1, REDIS_CLIENT_CONN);
    lua_setiuservalue(lua, -2, 1);
    if (!redis_request_send(&operation->request, conn, &operation->wait, bytes, len,
                            (unsigned)lua_tointeger(lua, 4), lua_tonumber(lua, 5)))
        return operation_resumed(lua, LUA_OK, 0);
    return wait_yield(lua, &operation->wait, operation_cancel, operation_resumed);
}

/* spoa.dns has given addresses, or nil, a message and a code. */
static int command_resolved(lua_State *lua, int status, lua_KContext context)
{
    const struct redis_client *client = redis_client_check(lua);

    (void)status;
    (void)context;
    if (!lua_istable(lua, 7))
        return push_failure(lua, client->conn, lua_tostring(lua, 3), lua_tostring(lua, 8),
                            "resolve");
    if (redis_conn_is_down(client->conn)) {
        redis_conn_forget_addresses(client->conn);
        for (lua_Integer i = 1; lua_rawgeti(lua, 7, i) == LUA_TSTRING; i++) {
            redis_conn_add_ip(client->conn, lua_tostring(lua, -1), client->port);
            lua_pop(lua, 1);
        }
    }
    lua_settop(lua, 6);
    return command_send(lua);
}

/* `return command_run(...)`: with the stack as said, but for the seconds, which are there from the
 * options or are the client's. */
static int command_run(lua_State *lua)
{
    const struct redis_client *client = redis_client_check(lua);

    if (!redis_conn_is_down(client->conn) ||
        lua_getiuservalue(lua, 1, REDIS_CLIENT_ADDRESSES) == LUA_TNIL) {
        lua_settop(lua, 6);
        return command_send(lua);
    }
    lua_pushstring(lua, client->host);
    lua_callk(lua, 1, 3, 0, command_resolved);
    return command_resolved(lua, LUA_OK, 0);
}

/* ---- single commands ---- */

/* r:command(NAME, ...) */
static int client_command(lua_State *lua)
{
    double timeout = redis_client_check(lua)->timeout;
    struct redis_batch batch = {.alone = true};

    redis_command_encode(lua, 2, lua_gettop(lua) - 1, &batch);
    lua_insert(lua, 2);
    lua_settop(lua, 3); /* client, bytes, name */
    lua_pushinteger(lua, 1);
    lua_pushnumber(lua, timeout);
    lua_pushboolean(lua, 0);
    return command_run(lua);
}

/* r:NAME(...), with the name as an upvalue. */
static int client_named(lua_State *lua)
{
    redis_client_check(lua);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 2);
    return client_command(lua);
}

/* ---- pipelines ---- */

static int client_pipeline(lua_State *lua)
{
    double timeout = redis_client_check(lua)->timeout;
    struct redis_batch batch = {.inside = false};
    lua_Integer count;

    lua_settop(lua, 3);
    if (!lua_isnil(lua, 3)) {
        luaL_checktype(lua, 3, LUA_TTABLE);
        timeout = redis_client_timeout(lua, 3, "timeout", timeout);
    }
    lua_settop(lua, 2);
    if (lua_isfunction(lua, 2))
        redis_record(lua);
    luaL_argexpected(lua, lua_istable(lua, 2), 2, "list of commands, or function");
    count = (lua_Integer)lua_rawlen(lua, 2);
    luaL_argcheck(lua, count <= PIPELINE_MAX, 2, "at most 10000 commands");
    lua_newtable(lua);
    for (lua_Integer i = 1; i <= count; i++) {
        redis_record_encode(lua, i, &batch);
        lua_rawseti(lua, 3, i);
    }
    if (batch.inside)
        return luaL_error(lua, "redis: MULTI: there is no EXEC in this pipeline");
    if (!count)
        return 1;
    lua_getglobal(lua, "table");
    lua_getfield(lua, -1, "concat");
    lua_pushvalue(lua, 3);
    lua_call(lua, 1, 1);
    lua_replace(lua, 2);
    lua_settop(lua, 2);
    lua_pushliteral(lua, "pipeline");
    lua_pushinteger(lua, count);
    lua_pushnumber(lua, timeout);
    lua_pushboolean(lua, 1);
    return command_run(lua);
}

/* ---- clients ---- */

/* Methods are the commands; each is made once.  The upvalue is a table of them. */
static int client_index(lua_State *lua)
{
    luaL_checkstring(lua, 2);
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    lua_pushvalue(lua, 2);
    lua_pushcclosure(lua, client_named, 1);
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, -2);
    lua_rawset(lua, lua_upvalueindex(1));
    return 1;
}

/* ---- the module ---- */

static void client_metatable(lua_State *lua)
{
    if (luaL_newmetatable(lua, REDIS_CLIENT)) {
        lua_newtable(lua);
        lua_pushcfunction(lua, client_command);
        lua_setfield(lua, -2, "command");
        lua_pushcfunction(lua, client_pipeline);
        lua_setfield(lua, -2, "pipeline");
        lua_pushcclosure(lua, client_index, 1);
        lua_setfield(lua, -2, "__index");
    }
    lua_pop(lua, 1);
}

__attribute__((visibility("default"))) int luaopen_spoa_redis(lua_State *lua);

int luaopen_spoa_redis(lua_State *lua)
{
    static const luaL_Reg library[] = {
        {"new", redis_client_new}, {"connect", redis_client_new}, {NULL, NULL}};

    if (luaL_newmetatable(lua, OPERATION)) {
        lua_pushcfunction(lua, operation_gc);
        lua_setfield(lua, -2, "__gc");
    }
    lua_pop(lua, 1);
    redis_client_open(lua);
    client_metatable(lua);
    luaL_newlib(lua, library);
    return 1;
}
