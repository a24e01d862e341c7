/*
 * client: what redis.new gives: the options of a server and the connection to it.
 *
 * Clients that are made with the same options share a connection, which is there as long as one
 * of them, or a command under way, is.
 */
#ifndef MODULES_REDIS_CLIENT_H
#define MODULES_REDIS_CLIENT_H

#include <lua.h>

#include "modules/redis/conn.h"

#define REDIS_CLIENT "spoa.redis client" /* its metatable, which the module makes */

/* Its user values: the connection, and spoa.dns's addresses if the host is a name. */
enum { REDIS_CLIENT_CONN = 1, REDIS_CLIENT_ADDRESSES };

struct redis_client {
    struct redis_conn *conn;
    double timeout; /* seconds, of a command */
    int port;
    char host[254];
};

/* Once in a Lua state. */
void redis_client_open(lua_State *lua);

/* redis.new(options) */
int redis_client_new(lua_State *lua);

/* The client at index 1; raises when there is none. */
struct redis_client *redis_client_check(lua_State *lua);

/* The seconds in a field of the table at index; raises when they are none. */
double redis_client_timeout(lua_State *lua, int index, const char *name, double otherwise);

#endif
