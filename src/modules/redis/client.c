#include "modules/redis/client.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "modules/redis/command.h"
#include "script/script.h"

#define CONNECTION  "spoa.redis connection"
#define CONNECTIONS "spoa.redis connections" /* in the registry: those in use, by their options */

#define PORT            6379
#define TIMEOUT         1.0
#define CONNECT_TIMEOUT 0.5
#define MAX_REPLY       (16 * 1024 * 1024)
#define SECONDS_MAX     3600.0

struct redis_client *redis_client_check(lua_State *lua)
{
    struct redis_client *client = luaL_checkudata(lua, 1, REDIS_CLIENT);

    script_check_open(lua);
    if (!client->conn->loop)
        luaL_error(lua, "redis: the connection is closed");
    return client;
}

/* ---- options ---- */

double redis_client_timeout(lua_State *lua, int index, const char *name, double otherwise)
{
    double seconds = otherwise;
    int is_number = 1;

    if (lua_getfield(lua, index, name) != LUA_TNIL)
        seconds = lua_tonumberx(lua, -1, &is_number);
    if (!is_number || !(seconds >= 0.001 && seconds <= SECONDS_MAX))
        luaL_error(lua, "redis: %s must be a number of seconds from 0.001 to 3600", name);
    lua_pop(lua, 1);
    return seconds;
}

static lua_Integer check_integer(lua_State *lua, const char *name, lua_Integer otherwise,
                                 lua_Integer least, lua_Integer most)
{
    lua_Integer number = otherwise;
    int is_integer = 1;

    if (lua_getfield(lua, 1, name) != LUA_TNIL)
        number = lua_tointegerx(lua, -1, &is_integer);
    if (!is_integer || number < least || number > most)
        luaL_error(lua, "redis: %s must be an integer from %d to %d", name, (int)least, (int)most);
    lua_pop(lua, 1);
    return number;
}

/* NULL if there is none; else it stays on the stack. */
static const char *check_text(lua_State *lua, const char *name)
{
    if (lua_getfield(lua, 1, name) == LUA_TNIL)
        return NULL;
    if (lua_type(lua, -1) != LUA_TSTRING || strlen(lua_tostring(lua, -1)) != lua_rawlen(lua, -1))
        luaL_error(lua, "redis: %s must be a string without zero bytes", name);
    return lua_tostring(lua, -1);
}

struct options {
    const char *host, *path, *username, *password;
    int port, db;
    double timeout, connect_timeout;
    size_t max_reply;
};

static void check_names(lua_State *lua)
{
    static const char *const known[] = {"host",     "port",     "unix",    "db",
                                        "username", "password", "timeout", "connect_timeout",
                                        "max_reply"};

    for (lua_pushnil(lua); lua_next(lua, 1); lua_pop(lua, 1)) {
        const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "(no string)";
        size_t i = 0, n = sizeof known / sizeof *known;

        while (i < n && strcmp(known[i], name) != 0)
            i++;
        if (i == n)
            luaL_error(lua, "redis: there is no option '%s'", name);
    }
}

/* What is read stays on the stack. */
static void read_options(lua_State *lua, struct options *options)
{
    check_names(lua);
    options->port = (int)check_integer(lua, "port", PORT, 1, 65535);
    options->db = (int)check_integer(lua, "db", 0, 0, INT32_MAX);
    options->max_reply = (size_t)check_integer(lua, "max_reply", MAX_REPLY, 1024, INT32_MAX);
    options->timeout = redis_client_timeout(lua, 1, "timeout", TIMEOUT);
    options->connect_timeout = redis_client_timeout(lua, 1, "connect_timeout", CONNECT_TIMEOUT);
    options->host = check_text(lua, "host");
    options->path = check_text(lua, "unix");
    options->username = check_text(lua, "username");
    options->password = check_text(lua, "password");
    if (options->host && options->path)
        luaL_error(lua, "redis: give host or unix, not both");
    if (options->username && !options->password)
        luaL_error(lua, "redis: username needs password");
    if (!options->host)
        options->host = "127.0.0.1";
}

/* ---- connections ---- */

static int connection_gc(lua_State *lua)
{
    redis_conn_close(lua_touserdata(lua, 1));
    return 0;
}

/* Pushes what is sent first. */
static unsigned push_greeting(lua_State *lua, const struct options *options)
{
    const char *const with_name[] = {"AUTH", options->username, options->password};
    const char *const without[] = {"AUTH", options->password};
    unsigned count = 0;
    char db[16];
    luaL_Buffer buffer;

    luaL_buffinit(lua, &buffer);
    if (options->password) {
        redis_command_add(&buffer, options->username ? 3 : 2,
                          options->username ? with_name : without);
        count++;
    }
    if (options->db) {
        const char *const select[] = {"SELECT", db};

        snprintf(db, sizeof db, "%d", options->db);
        redis_command_add(&buffer, 2, select);
        count++;
    }
    luaL_pushresult(&buffer);
    return count;
}

/* Pushes "127.0.0.1:6379", "[::1]:6379" or the path. */
static void push_where(lua_State *lua, const struct options *options)
{
    if (options->path)
        lua_pushstring(lua, options->path);
    else
        lua_pushfstring(lua, strchr(options->host, ':') ? "[%s]:%d" : "%s:%d", options->host,
                        options->port);
}

/* A new connection on top of where and greeting. */
static struct redis_conn *connection_new(lua_State *lua, const struct options *options,
                                         unsigned greetings)
{
    struct redis_conn *conn;
    size_t len;
    const char *greeting;

    script_check_open(lua);
    conn = lua_newuserdatauv(lua, sizeof *conn, 0);
    memset(conn, 0, sizeof *conn);
    luaL_setmetatable(lua, CONNECTION);
    redis_conn_open(conn, script_of(lua)->queue->loop, lua_tostring(lua, -3));
    greeting = lua_tolstring(lua, -2, &len);
    conn->greeting = mem_strndup(greeting, len);
    conn->greeting_len = len;
    conn->greetings = greetings;
    conn->max_reply = options->max_reply;
    conn->connect_timeout = options->connect_timeout;
    if (options->path && !redis_conn_add_unix(conn, options->path))
        luaL_error(lua, "redis: unix: the path is too long");
    return conn;
}

/* Pushes the connection that clients with such options share. */
static struct redis_conn *push_connection(lua_State *lua, const struct options *options)
{
    unsigned greetings;
    struct redis_conn *conn;
    int top = lua_gettop(lua);

    luaL_getsubtable(lua, LUA_REGISTRYINDEX, CONNECTIONS); /* top + 1 */
    push_where(lua, options);
    greetings = push_greeting(lua, options);
    lua_pushfstring(lua, "%s %f %d ", lua_tostring(lua, -2), options->connect_timeout,
                    (int)options->max_reply);
    lua_pushvalue(lua, -2);
    lua_concat(lua, 2); /* top + 4: the key */
    lua_pushvalue(lua, -1);
    if (lua_rawget(lua, top + 1) == LUA_TNIL) {
        lua_settop(lua, top + 4);
        lua_pushvalue(lua, top + 2);
        lua_pushvalue(lua, top + 3);
        connection_new(lua, options, greetings);
        lua_pushvalue(lua, top + 4);
        lua_pushvalue(lua, -2);
        lua_rawset(lua, top + 1);
    }
    conn = lua_touserdata(lua, -1);
    lua_replace(lua, top + 1);
    lua_settop(lua, top + 1);
    return conn;
}

/* A host that is a name needs spoa.dns: its addresses becomes the client's. */
static void use_dns(lua_State *lua, int client)
{
    lua_getglobal(lua, "require");
    lua_pushliteral(lua, "spoa.dns");
    lua_call(lua, 1, 1);
    lua_getfield(lua, -1, "addresses");
    lua_setiuservalue(lua, client, REDIS_CLIENT_ADDRESSES);
    lua_pop(lua, 1);
}

int redis_client_new(lua_State *lua)
{
    struct options options;
    struct redis_client *client;
    int at;

    if (lua_isnone(lua, 1))
        lua_newtable(lua);
    luaL_argexpected(lua, lua_istable(lua, 1), 1, "table of options");
    lua_settop(lua, 1);
    read_options(lua, &options);
    client = lua_newuserdatauv(lua, sizeof *client, 2);
    at = lua_gettop(lua);
    client->timeout = options.timeout;
    client->port = options.port;
    if (strlen(options.host) >= sizeof client->host)
        return luaL_error(lua, "redis: host is too long");
    snprintf(client->host, sizeof client->host, "%s", options.host);
    client->conn = push_connection(lua, &options);
    lua_setiuservalue(lua, at, REDIS_CLIENT_CONN);
    if (!options.path && !redis_conn_is_ip(options.host))
        use_dns(lua, at);
    else if (!client->conn->address_count)
        redis_conn_add_ip(client->conn, options.host, options.port);
    luaL_setmetatable(lua, REDIS_CLIENT);
    return 1;
}

void redis_client_open(lua_State *lua)
{
    if (luaL_newmetatable(lua, CONNECTION)) {
        lua_pushcfunction(lua, connection_gc);
        lua_setfield(lua, -2, "__gc");
    }
    luaL_getsubtable(lua, LUA_REGISTRYINDEX, CONNECTIONS);
    lua_createtable(lua, 0, 1);
    lua_pushliteral(lua, "v");
    lua_setfield(lua, -2, "__mode");
    lua_setmetatable(lua, -2);
    lua_pop(lua, 2);
}
