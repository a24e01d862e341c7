/*
 * mmdb/value: data of a MaxMind database as Lua values.
 *
 * Strings and bytes are strings, doubles and floats floats, booleans booleans; integers up to 64
 * bits are integers with the same bits, 128 bits a string of 32 hexadecimal digits; maps and
 * arrays (from 1 on) are tables.
 */
#ifndef MODULES_MMDB_VALUE_H
#define MODULES_MMDB_VALUE_H

#include <lua.h>
#include <maxminddb.h>

/* Pushes a value that is neither map nor array; nil for one of no known type. */
void value_push_scalar(lua_State *lua, const MMDB_entry_data_s *data);

/* Pushes what begins at entry.  Returns MMDB_SUCCESS, or an error with nothing pushed. */
int value_push_entry(lua_State *lua, MMDB_entry_s entry);

/* Pushes the metadata; as value_push_entry. */
int value_push_metadata(lua_State *lua, const MMDB_s *mmdb);

#endif
