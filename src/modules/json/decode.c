#include <jansson.h>
#include <lauxlib.h>
#include <string.h>

#include "modules/json/json.h"

#define TREE "spoa.json tree"

/* jansson's side of a document.  In a userdata, since Lua may raise while it is read. */
struct tree {
    json_t *root;
};

struct decode {
    lua_State *lua;
    bool null_as_nil;
};

static int tree_gc(lua_State *lua)
{
    struct tree *tree = lua_touserdata(lua, 1);

    json_decref(tree->root);
    tree->root = NULL;
    return 0;
}

static struct tree *push_tree(lua_State *lua)
{
    struct tree *tree = lua_newuserdatauv(lua, sizeof *tree, 0);

    tree->root = NULL;
    if (luaL_newmetatable(lua, TREE)) {
        lua_pushcfunction(lua, tree_gc);
        lua_setfield(lua, -2, "__gc");
    }
    lua_setmetatable(lua, -2);
    return tree;
}

static void push_value(struct decode *decode, const json_t *value);

static void push_object(struct decode *decode, const json_t *object)
{
    lua_State *lua = decode->lua;
    /* json_object_iter takes no const, and changes nothing. */
    json_t *from = (json_t *)(uintptr_t)object;

    lua_createtable(lua, 0, (int)json_object_size(object));
    for (void *at = json_object_iter(from); at; at = json_object_iter_next(from, at)) {
        /* A key has no NUL in it: jansson refuses them. */
        lua_pushstring(lua, json_object_iter_key(at));
        push_value(decode, json_object_iter_value(at));
        lua_rawset(lua, -3);
    }
}

static void push_array(struct decode *decode, const json_t *array)
{
    lua_State *lua = decode->lua;
    size_t size = json_array_size(array);

    lua_createtable(lua, (int)size, 0);
    lua_pushvalue(lua, lua_upvalueindex(JSON_ARRAY_META));
    lua_setmetatable(lua, -2);
    for (size_t i = 0; i < size; i++) {
        push_value(decode, json_array_get(array, i));
        lua_rawseti(lua, -2, (lua_Integer)i + 1);
    }
}

static void push_value(struct decode *decode, const json_t *value)
{
    lua_State *lua = decode->lua;

    luaL_checkstack(lua, 4, "JSON is nested too deep");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        push_object(decode, value);
        break;
    case JSON_ARRAY:
        push_array(decode, value);
        break;
    case JSON_STRING:
        lua_pushlstring(lua, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(lua, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(lua, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(lua, json_is_true(value));
        break;
    case JSON_NULL:
        if (decode->null_as_nil)
            lua_pushnil(lua);
        else
            lua_pushvalue(lua, lua_upvalueindex(JSON_NULL_VALUE));
        break;
    }
}

/*
 * Where the text is nested deeper than max, or NULL: what is not JSON is jansson's to refuse.
 * Before it is parsed, so that depth costs nothing and has a position.
 */
static const char *find_too_deep(const char *text, size_t len, size_t max)
{
    size_t depth = 0;
    bool quoted = false;

    for (const char *at = text, *end = text + len; at < end; at++) {
        if (quoted) {
            if (*at == '\\')
                at++;
            else if (*at == '"')
                quoted = false;
        } else if (*at == '"') {
            quoted = true;
        } else if (*at == '[' || *at == '{') {
            if (++depth > max)
                return at;
        } else if ((*at == ']' || *at == '}') && depth > 0) {
            depth--;
        }
    }
    return NULL;
}

static int refuse_depth(lua_State *lua, const char *text, const char *at, size_t max)
{
    lua_Integer line = 1, column = 1;

    for (const char *p = text; p < at; p++) {
        column += (*p & 0xc0) != 0x80; /* in characters, as jansson counts */
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    lua_pushnil(lua);
    lua_pushfstring(lua, "%I:%I: nested deeper than %I levels", line, column, (LUAI_UACINT)max);
    return 2;
}

int json_decode(lua_State *lua)
{
    static const char *const names[] = {"null_as_nil", "duplicates", "max_depth", "max_size", NULL};
    size_t len, max_depth, max_size, flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    const char *text = luaL_checklstring(lua, 1, &len), *too_deep;
    struct decode decode = {lua, false};
    struct tree *tree;
    json_error_t error;

    json_options_check(lua, 2, names);
    decode.null_as_nil = json_options_flag(lua, 2, "null_as_nil");
    max_depth = json_options_size(lua, 2, "max_depth", JSON_DEPTH, JSON_DEPTH_MAX);
    max_size = json_options_size(lua, 2, "max_size", JSON_DECODE_SIZE, JSON_SIZE_MAX);
    if (!json_options_flag(lua, 2, "duplicates"))
        flags |= JSON_REJECT_DUPLICATES;
    if (len > max_size) {
        lua_pushnil(lua);
        lua_pushfstring(lua, "1:1: %I bytes of JSON, of which %I are allowed (max_size)",
                        (LUAI_UACINT)len, (LUAI_UACINT)max_size);
        return 2;
    }
    if ((too_deep = find_too_deep(text, len, max_depth)) != NULL)
        return refuse_depth(lua, text, too_deep, max_depth);
    tree = push_tree(lua);
    tree->root = json_loadb(text, len, flags, &error);
    if (!tree->root) {
        lua_pushnil(lua);
        lua_pushfstring(lua, "%d:%d: %s", error.line, error.column, error.text);
        return 2;
    }
    push_value(&decode, tree->root);
    json_decref(tree->root);
    tree->root = NULL;
    return 1;
}
