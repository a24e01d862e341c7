/*
 * dict_arguments: what a script gives, checked.  Each raises an error that says what is wrong
 * with the argument at index arg, and allocates nothing.
 */
#ifndef MODULES_DICT_ARGUMENTS_H
#define MODULES_DICT_ARGUMENTS_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "modules/dict/entry.h"

/* Strings, integers and booleans, and as values also floats.  A string is Lua's own. */
struct dict_value dict_check_value(lua_State *lua, int arg, bool key);

/* A number, and no string that looks like one. */
struct dict_value dict_check_number(lua_State *lua, int arg);

/* Seconds to live, or none: when that is over, in dict_store_now's milliseconds, or 0. */
uint64_t dict_check_expires(lua_State *lua, int arg);

/* The options of dict.open, or none.  path is the table's string, or NULL. */
void dict_check_options(lua_State *lua, int arg, size_t *size, const char **path);

#endif
