/*
 * results: the table that a handler returns, as actions.
 */
#ifndef SCRIPT_RESULTS_H
#define SCRIPT_RESULTS_H

#include <lua.h>

#include "spop/action.h"

/*
 * Encodes what is on top of the stack (nil, or a table in either spelling) into out.  Raises a Lua
 * error, whose text names the variable and says what to write instead, when any part of it
 * is no action; out is then of no use.  A full cursor is the caller's to look at.
 */
void results_put(lua_State *lua, enum action_scope default_scope, struct wire_out *out);

#endif
