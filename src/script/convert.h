/*
 * convert: SPOP values to Lua values and back.
 *
 * To Lua as doc/spoa-lua-handlers(7) has it: NULL nil, BOOL boolean, integers integer,
 * addresses as inet_ntop writes them, STR and BIN string.  From Lua: what a plain Lua value
 * means, and values whose type the handler chose (spoa.int32 and its sisters), which are
 * userdata that hold the value as it goes on the wire.
 */
#ifndef SCRIPT_CONVERT_H
#define SCRIPT_CONVERT_H

#include <lua.h>
#include <stdbool.h>

#include "spop/value.h"

/* A value of a chosen type, or spoa.unset. */
struct typed {
    bool unset;
    size_t len;
    uint8_t bytes[]; /* type byte and data, as value_put writes them */
};

/* Makes the metatable of typed values and pushes nothing. */
void convert_open(lua_State *lua);

/* Pushes one value. */
void convert_push(lua_State *lua, const struct value *value);

/* Pushes a typed value that holds *value; unset makes spoa.unset, value is ignored then. */
void convert_push_typed(lua_State *lua, const struct value *value, bool unset);

/* The typed value at index, or NULL when it is none. */
const struct typed *convert_typed(lua_State *lua, int index);

/*
 * Reads the boolean, integer, integral float or string at index as HAProxy will get it.
 * NULL when *value is filled, which then borrows a string's bytes; otherwise what is wrong
 * and what to write instead, as the end of a sentence that begins with a variable's name.
 */
const char *convert_plain(lua_State *lua, int index, struct value *value);

#endif
