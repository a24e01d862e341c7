/*
 * record: the commands of a pipeline, as a list or as a function that makes one.
 */
#ifndef MODULES_REDIS_RECORD_H
#define MODULES_REDIS_RECORD_H

#include <lua.h>

#include "modules/redis/command.h"

/* The function at 2 is called with an object whose methods are the commands, and becomes the list
 * of those it called. */
void redis_record(lua_State *lua);

/* Pushes the i-th command of the list at 2, encoded.  Raises when it is none. */
void redis_record_encode(lua_State *lua, lua_Integer i, struct redis_batch *batch);

#endif
