/*
 * command: commands of handlers, checked and encoded for the server.
 */
#ifndef MODULES_REDIS_COMMAND_H
#define MODULES_REDIS_COMMAND_H

#include <lauxlib.h>
#include <stdbool.h>

/* Whether commands that only make sense together are together so far. */
struct redis_batch {
    bool inside; /* MULTI, and no EXEC yet */
    bool alone;  /* a single command: no MULTI */
};

/*
 * Encodes the command whose name and arguments are at first .. first + n - 1 and leaves it on top
 * of the stack, as a string.  Raises for what is no argument, and for commands that would disturb
 * others on a connection that is shared.
 */
void redis_command_encode(lua_State *lua, int first, int n, struct redis_batch *batch);

/* Appends one command of length-prefixed strings to a buffer, for the greeting. */
void redis_command_add(luaL_Buffer *buffer, int n, const char *const words[]);

#endif
