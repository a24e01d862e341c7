/*
 * json: what the two directions of spoa.json share.
 *
 * null is spoa.null, the program's one null.  An array is a table with the metatable of
 * json.array, or without a metatable of json.object and with the keys 1 to n.
 */
#ifndef MODULES_JSON_JSON_H
#define MODULES_JSON_JSON_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_DEPTH     128  /* max_depth's default */
#define JSON_DEPTH_MAX 1000 /* jansson itself goes to 2048 */

#define JSON_DECODE_SIZE ((size_t)4 << 20)  /* max_size's defaults, in bytes */
#define JSON_ENCODE_SIZE ((size_t)16 << 20) /* of what is written */
#define JSON_SIZE_MAX    ((size_t)256 << 20)

/* Upvalues of json.encode and json.decode. */
enum json_upvalue {
    JSON_NULL_VALUE = 1,
    JSON_ARRAY_META,
    JSON_OBJECT_META,
};

/* json.encode(value [, options]): text; raises for what JSON cannot hold. */
int json_encode(lua_State *lua);

/* json.decode(text [, options]): value; or nil and "line:column: what". */
int json_decode(lua_State *lua);

/* Raises unless the options at index are a table, or none, with these names only. */
void json_options_check(lua_State *lua, int index, const char *const names[]);

/* An option's value; the table at index may not be there. */
bool json_options_flag(lua_State *lua, int index, const char *name);
size_t json_options_size(lua_State *lua, int index, const char *name, size_t otherwise, size_t max);

/* How many bytes the UTF-8 character at the beginning has; 0 when it is none. */
size_t json_utf8_length(const char *at, const char *end);

#endif
