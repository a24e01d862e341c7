/*
 * arguments: the table that a handler gets for a message's arguments.
 *
 * Messages of one name nearly always have the same argument names, so those are kept as a
 * layout: the names as Lua strings, and a metatable for each set of types that they have had,
 * which knows these and the length.  A message then costs one table and no hashing of names.
 */
#ifndef SCRIPT_ARGUMENTS_H
#define SCRIPT_ARGUMENTS_H

#include <lua.h>

#include "script/handler.h"
#include "spop/message.h"

/* Pushes the table for a message that message_check has passed. */
void arguments_push(lua_State *lua, struct handler *handler, const struct message *message);

/* Pushes the SPOP type's name of args[key] (args and key at these indexes), or nil when
 * there is no such argument; raises when it is no table of arguments. */
void arguments_push_type(lua_State *lua, int args, int key);

/* Frees a handler's layouts; their Lua side goes with the state. */
void arguments_forget(struct handler *handler);

#endif
