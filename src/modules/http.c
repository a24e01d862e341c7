/*
 * require "spoa.http": requests over HTTP that a handler waits for, by libcurl.
 *
 *     http.get(url [, options])         http.post(url, body [, options])
 *     http.request{ url =, method =, body =, ... }
 *     http.configure{ connections =, connections_per_host = }
 *
 * Give { status, headers, header_list, body }, or nil, a message and a code.  The operation is
 * a userdata on the coroutine's stack, as in script/api_sleep.c; what curl needs for as long as
 * it runs hangs on it.  Everything else belongs to the pool of the Lua state (http/pool.h).
 */
#include <lauxlib.h>

#include "modules/http/pool.h"
#include "modules/http/reply.h"
#include "modules/http/request.h"
#include "modules/http/setup.h"
#include "modules/stay_loaded.h"
#include "script/script.h"

#define PER_HOST         64
#define TOTAL            256
#define CONNECTIONS_MOST 10000

#define OPERATION "spoa.http operation"
#define POOL      "spoa.http pool"

struct operation {
    struct wait wait;
    struct http_transfer *transfer; /* NULL: none, or not any more */
    struct http_request request;
};

/* A finalizer may still call us when the Lua state, and with it the pool, is closed. */
static struct http_pool *pool_of(lua_State *lua)
{
    struct http_pool **pool = lua_touserdata(lua, lua_upvalueindex(1));

    script_check_open(lua);
    if (!*pool)
        luaL_error(lua, "http: it is closed");
    return *pool;
}

/* Nothing of curl's or the pool's is held any more. */
static void operation_end(struct operation *operation)
{
    if (operation->transfer)
        http_pool_put(operation->transfer);
    http_request_clear(&operation->request);
}

static int operation_gc(lua_State *lua)
{
    operation_end(lua_touserdata(lua, 1));
    return 0;
}

static void operation_cancel(struct wait *wait)
{
    operation_end((struct operation *)wait); /* the wait is its first member */
}

/* Its user value keeps the body, which curl reads where Lua has it. */
static struct operation *operation_new(lua_State *lua)
{
    struct operation *operation;

    pool_of(lua); /* or nothing would free what the request has */
    operation = lua_newuserdatauv(lua, sizeof *operation, 1);
    operation->transfer = NULL;
    http_request_init(&operation->request);
    luaL_setmetatable(lua, OPERATION);
    return operation;
}

/* If Lua has no memory for the reply this raises, and operation_gc cleans up. */
static int operation_resumed(lua_State *lua, int status, lua_KContext context)
{
    struct operation *operation = lua_touserdata(lua, -1);
    int n;

    (void)status;
    (void)context;
    n = http_reply_push(lua, operation->transfer);
    operation_end(operation);
    return n;
}

/* `return operation_start(...)`: everything is read; operation is at index. */
static int operation_start(lua_State *lua, struct operation *operation, int index)
{
    struct http_pool *pool = pool_of(lua);
    struct http_request *request = &operation->request;

    if (!request->url)
        return luaL_error(lua, "http: no url");
    http_request_complete(request, lua);
    if (request->body) {
        lua_pushlstring(lua, request->body, request->body_len);
        request->body = lua_tostring(lua, -1);
        lua_setiuservalue(lua, index, 1);
    }
    lua_pushvalue(lua, index);
    if (!http_pool_take(pool, &operation->transfer))
        return luaL_error(lua, "http: not enough memory");
    if (!http_setup(request, operation->transfer) ||
        !http_pool_start(operation->transfer, &operation->wait, request->timeout))
        return operation_resumed(lua, LUA_OK, 0);
    return wait_yield(lua, &operation->wait, operation_cancel, operation_resumed);
}

/* The options at index, if there are any. */
static void read_options(lua_State *lua, struct operation *operation, int index)
{
    if (lua_isnoneornil(lua, index))
        return;
    luaL_argexpected(lua, lua_istable(lua, index), index, "table of options");
    http_request_read(&operation->request, lua, index, false);
}

static int http_get(lua_State *lua)
{
    struct operation *operation;

    lua_settop(lua, 2);
    operation = operation_new(lua);
    http_request_url(&operation->request, lua, 1);
    read_options(lua, operation, 2);
    return operation_start(lua, operation, 3);
}

static int http_post(lua_State *lua)
{
    struct operation *operation;

    lua_settop(lua, 3);
    operation = operation_new(lua);
    operation->request.method = "POST";
    http_request_url(&operation->request, lua, 1);
    http_request_body(&operation->request, lua, 2);
    read_options(lua, operation, 3);
    return operation_start(lua, operation, 4);
}

static int http_request(lua_State *lua)
{
    struct operation *operation;

    luaL_checktype(lua, 1, LUA_TTABLE);
    lua_settop(lua, 1);
    operation = operation_new(lua);
    http_request_read(&operation->request, lua, 1, true);
    return operation_start(lua, operation, 2);
}

/* ---- the pool of the Lua state ---- */

static int pool_gc(lua_State *lua)
{
    struct http_pool **pool = lua_touserdata(lua, 1);

    if (*pool)
        http_pool_free(*pool);
    *pool = NULL;
    return 0;
}

static lua_Integer connections_of(lua_State *lua, const char *name, lua_Integer otherwise)
{
    lua_Integer number = otherwise;
    int is_integer = 1;

    if (lua_getfield(lua, 1, name) != LUA_TNIL)
        number = lua_tointegerx(lua, -1, &is_integer);
    lua_pop(lua, 1);
    if (!is_integer || number < 1 || number > CONNECTIONS_MOST)
        luaL_error(lua, "http.configure: %s must be an integer from 1 to %d", name,
                   CONNECTIONS_MOST);
    return number;
}

static int http_configure(lua_State *lua)
{
    struct http_pool *pool = pool_of(lua);
    lua_Integer total, per_host;

    luaL_checktype(lua, 1, LUA_TTABLE);
    for (lua_pushnil(lua); lua_next(lua, 1); lua_pop(lua, 1)) {
        const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";

        if (strcmp(name, "connections") != 0 && strcmp(name, "connections_per_host") != 0)
            return luaL_error(lua, "http.configure: there is no option '%s'", name);
    }
    total = connections_of(lua, "connections", TOTAL);
    per_host = connections_of(lua, "connections_per_host", PER_HOST);
    http_pool_limit(pool, (long)per_host, (long)total);
    return 0;
}

static void pool_new(lua_State *lua)
{
    struct http_pool **pool;

    script_check_open(lua);
    pool = lua_newuserdatauv(lua, sizeof *pool, 0);
    *pool = NULL;
    if (luaL_newmetatable(lua, POOL)) {
        lua_pushcfunction(lua, pool_gc);
        lua_setfield(lua, -2, "__gc");
    }
    lua_setmetatable(lua, -2);
    *pool = http_pool_new(script_of(lua)->queue->loop);
    if (!*pool)
        luaL_error(lua, "http: not enough memory");
    http_pool_limit(*pool, PER_HOST, TOTAL);
}

__attribute__((visibility("default"))) int luaopen_spoa_http(lua_State *lua);

int luaopen_spoa_http(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"get", http_get},
        {"post", http_post},
        {"request", http_request},
        {"configure", http_configure},
        {NULL, NULL},
    };

    stay_loaded();
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* counted; only the first works */
        return luaL_error(lua, "spoa.http: libcurl does not start");
    if (luaL_newmetatable(lua, OPERATION)) {
        lua_pushcfunction(lua, operation_gc);
        lua_setfield(lua, -2, "__gc");
    }
    luaL_newlibtable(lua, functions);
    pool_new(lua);
    luaL_setfuncs(lua, functions, 1);
    return 1;
}
