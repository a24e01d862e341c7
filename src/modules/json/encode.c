#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/json/json.h"

/* Where the text is kept: index of a userdata on the stack that is replaced by larger ones. */
enum { OUT = 3 };

#define HOLE "an array with a hole: put json.null there"

struct encode {
    lua_State *lua;
    char *out;
    size_t len, room, max_size, max_depth;
    bool sorted, replace;
    size_t depth;
    struct level {
        const void *table;
        const char *key; /* whose value is being written, or NULL */
        lua_Integer index;
    } levels[JSON_DEPTH_MAX];
    char first[1024]; /* what out is at first */
};

/* ---- what went wrong, with where ---- */

/* Pushes "value.user.tags[3]". */
static void push_where(struct encode *encode)
{
    luaL_Buffer where;
    char index[32];

    luaL_buffinit(encode->lua, &where);
    luaL_addstring(&where, "value");
    for (size_t i = 0; i < encode->depth; i++) {
        const struct level *level = &encode->levels[i];

        if (level->key) {
            luaL_addchar(&where, '.');
            luaL_addstring(&where, level->key);
        } else if (level->index) {
            snprintf(index, sizeof index, "[%lld]", (long long)level->index);
            luaL_addstring(&where, index);
        }
    }
    luaL_pushresult(&where);
}

/* Raises "value.a: what". */
static void refuse(struct encode *encode, const char *what)
{
    lua_State *lua = encode->lua;

    push_where(encode);
    luaL_error(lua, "%s: %s", lua_tostring(lua, -1), what);
}

/* ---- text ---- */

static void grow(struct encode *encode, size_t len)
{
    size_t room = 2 * encode->room > encode->len + len ? 2 * encode->room : encode->len + len;
    char *out;

    if (len > encode->max_size - encode->len)
        luaL_error(encode->lua, "more than %I bytes of JSON (max_size)",
                   (LUAI_UACINT)encode->max_size);
    out = lua_newuserdatauv(encode->lua, room, 0);
    memcpy(out, encode->out, encode->len);
    lua_replace(encode->lua, OUT);
    encode->out = out;
    encode->room = room;
}

static inline char *reserve(struct encode *encode, size_t len)
{
    if (len > encode->room - encode->len || encode->len + len > encode->max_size)
        grow(encode, len);
    return encode->out + encode->len;
}

static inline void put(struct encode *encode, const char *text, size_t len)
{
    memcpy(reserve(encode, len), text, len);
    encode->len += len;
}

static inline void put_char(struct encode *encode, char c)
{
    *reserve(encode, 1) = c;
    encode->len++;
}

static void put_escaped(struct encode *encode, char c)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char text[8];

    for (const char *letter = letters; *letter; letter += 2) {
        if (*letter == c) {
            put_char(encode, '\\');
            put_char(encode, letter[1]);
            return;
        }
    }
    snprintf(text, sizeof text, "\\u%04x", (unsigned char)c);
    put(encode, text, 6);
}

static void put_bad_byte(struct encode *encode, size_t position)
{
    char what[128];

    if (encode->replace) {
        put(encode, "\xef\xbf\xbd", 3); /* U+FFFD */
        return;
    }
    snprintf(what, sizeof what,
             "the string is not UTF-8 at byte %zu: encode it, or say replace = true", position);
    refuse(encode, what);
}

static void put_string(struct encode *encode, const char *text, size_t len)
{
    const char *at = text, *end = text + len, *plain = text;

    put_char(encode, '"');
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        size_t char_len = 1;

        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            at++;
            continue;
        }
        if (c >= 0x80 && (char_len = json_utf8_length(at, end)) > 0) {
            at += char_len;
            continue;
        }
        put(encode, plain, (size_t)(at - plain));
        if (c >= 0x80)
            put_bad_byte(encode, (size_t)(at - text) + 1);
        else
            put_escaped(encode, *at);
        plain = ++at;
    }
    put(encode, plain, (size_t)(at - plain));
    put_char(encode, '"');
}

/* ---- numbers ---- */

/* The fewest of 15 to 17 digits that read back as the same number. */
static void put_float(struct encode *encode, double number)
{
    char text[40];
    int len = 0;

    if (!isfinite(number)) {
        refuse(encode, isnan(number) ? "JSON has no NaN" : "JSON has no infinity");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    /* os.setlocale may have made the point a comma. */
    for (char *c = text; *c; c++) {
        if (!strchr("0123456789+-e.", *c))
            *c = '.';
    }
    put(encode, text, (size_t)len);
    if (!strpbrk(text, ".e"))
        put(encode, ".0", 2);
}

static void put_integer(struct encode *encode, lua_Integer integer)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%lld", (long long)integer);

    put(encode, text, (size_t)len);
}

/* ---- tables ---- */

static void put_value(struct encode *encode, int index);

enum table_kind { KIND_ARRAY, KIND_OBJECT, KIND_PLAIN };

static enum table_kind table_mark(lua_State *lua, int table)
{
    enum table_kind kind = KIND_PLAIN;

    if (!lua_getmetatable(lua, table))
        return kind;
    if (lua_rawequal(lua, -1, lua_upvalueindex(JSON_ARRAY_META)))
        kind = KIND_ARRAY;
    else if (lua_rawequal(lua, -1, lua_upvalueindex(JSON_OBJECT_META)))
        kind = KIND_OBJECT;
    lua_pop(lua, 1);
    return kind;
}

/* The keys are exactly those from 1 to len. */
static void check_array(struct encode *encode, int table, lua_Integer len)
{
    lua_State *lua = encode->lua;
    lua_Integer count = 0;

    for (lua_pushnil(lua); lua_next(lua, table); lua_pop(lua, 1)) {
        if (!lua_isinteger(lua, -2))
            refuse(encode, "a table with both list items and other keys: use one kind of key, or "
                           "json.object");
        if (lua_tointeger(lua, -2) < 1 || lua_tointeger(lua, -2) > len)
            refuse(encode, HOLE);
        count++;
    }
    if (count != len)
        refuse(encode, HOLE);
}

static void put_array(struct encode *encode, int table, struct level *level)
{
    lua_State *lua = encode->lua;
    lua_Integer len = (lua_Integer)lua_rawlen(lua, table);

    check_array(encode, table, len);
    put_char(encode, '[');
    for (lua_Integer i = 1; i <= len; i++) {
        level->index = i;
        if (i > 1)
            put_char(encode, ',');
        lua_rawgeti(lua, table, i);
        put_value(encode, lua_gettop(lua));
        lua_pop(lua, 1);
    }
    put_char(encode, ']');
}

/* The key at index as a string; what is there is not changed, lua_next needs it. */
static void put_key(struct encode *encode, int index)
{
    lua_State *lua = encode->lua;
    const char *key;
    size_t len;

    if (lua_type(lua, index) == LUA_TSTRING) {
        key = lua_tolstring(lua, index, &len);
        put_string(encode, key, len);
    } else if (lua_isinteger(lua, index)) {
        put_char(encode, '"');
        put_integer(encode, lua_tointeger(lua, index));
        put_char(encode, '"');
    } else {
        refuse(encode, "a key that is neither a string nor an integer");
    }
    put_char(encode, ':');
}

static void put_member(struct encode *encode, int key, int value, struct level *level, bool first)
{
    lua_State *lua = encode->lua;
    bool is_text = lua_type(lua, key) == LUA_TSTRING;

    if (!first)
        put_char(encode, ',');
    level->key = NULL;
    level->index = 0;
    put_key(encode, key);
    level->key = is_text ? lua_tostring(lua, key) : NULL;
    level->index = is_text ? 0 : lua_tointeger(lua, key);
    put_value(encode, value);
}

static void put_members(struct encode *encode, int table, struct level *level)
{
    lua_State *lua = encode->lua;
    bool first = true;

    lua_pushnil(lua);
    while (lua_next(lua, table)) {
        int value = lua_gettop(lua);

        put_member(encode, value - 1, value, level, first);
        first = false;
        lua_pop(lua, 1);
    }
}

struct key {
    const char *text; /* the key's own, which the table keeps */
    size_t len;
};

static int compare_keys(const void *one, const void *other)
{
    const struct key *a = one, *b = other;
    int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);

    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* Pushes a userdata with the table's keys in the order of their bytes. */
static struct key *push_sorted_keys(struct encode *encode, int table, size_t *count)
{
    lua_State *lua = encode->lua;
    struct key *keys;
    size_t n = 0;

    *count = 0;
    for (lua_pushnil(lua); lua_next(lua, table); lua_pop(lua, 1))
        ++*count;
    keys = lua_newuserdatauv(lua, (*count + 1) * sizeof *keys, 0);
    for (lua_pushnil(lua); lua_next(lua, table); lua_pop(lua, 1)) {
        if (lua_type(lua, -2) != LUA_TSTRING)
            refuse(encode, "keys can only be sorted when all are strings");
        keys[n].text = lua_tolstring(lua, -2, &keys[n].len);
        n++;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    return keys;
}

static void put_sorted_members(struct encode *encode, int table, struct level *level)
{
    lua_State *lua = encode->lua;
    size_t count;
    struct key *keys = push_sorted_keys(encode, table, &count);

    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(lua, keys[i].text, keys[i].len);
        lua_pushvalue(lua, -1);
        lua_rawget(lua, table);
        put_member(encode, lua_gettop(lua) - 1, lua_gettop(lua), level, i == 0);
        lua_pop(lua, 2);
    }
    lua_pop(lua, 1);
}

/* A table without a mark: the keys it has say what it is; one without keys is an object. */
static bool is_array(lua_State *lua, int table)
{
    switch (table_mark(lua, table)) {
    case KIND_ARRAY:
        return true;
    case KIND_OBJECT:
        return false;
    case KIND_PLAIN:
        break;
    }
    lua_pushnil(lua);
    if (!lua_next(lua, table))
        return false;
    lua_pop(lua, 2);
    return lua_rawlen(lua, table) > 0;
}

static void check_plain_object(struct encode *encode, int table)
{
    lua_State *lua = encode->lua;

    if (table_mark(lua, table) == KIND_OBJECT)
        return;
    for (lua_pushnil(lua); lua_next(lua, table); lua_pop(lua, 1)) {
        if (lua_type(lua, -2) == LUA_TNUMBER)
            refuse(encode, "a table with holes or number keys: use json.array with json.null in "
                           "the holes, or json.object, which makes integers strings");
    }
}

static void put_table(struct encode *encode, int table)
{
    struct level *level = &encode->levels[encode->depth];
    const void *itself = lua_topointer(encode->lua, table);

    for (size_t i = 0; i < encode->depth; i++) {
        if (encode->levels[i].table == itself)
            refuse(encode, "a table that contains itself");
    }
    if (encode->depth == encode->max_depth)
        refuse(encode, "nested deeper than max_depth");
    *level = (struct level){.table = itself};
    encode->depth++;
    if (is_array(encode->lua, table)) {
        put_array(encode, table, level);
    } else {
        check_plain_object(encode, table);
        put_char(encode, '{');
        if (encode->sorted)
            put_sorted_members(encode, table, level);
        else
            put_members(encode, table, level);
        put_char(encode, '}');
    }
    encode->depth--;
}

static void refuse_type(struct encode *encode, int index)
{
    char what[128];

    snprintf(what, sizeof what, "a %s has no place in JSON", luaL_typename(encode->lua, index));
    refuse(encode, what);
}

static void put_value(struct encode *encode, int index)
{
    lua_State *lua = encode->lua;
    const char *text;
    size_t len;

    luaL_checkstack(lua, 8, "JSON is nested too deep");
    switch (lua_type(lua, index)) {
    case LUA_TSTRING:
        text = lua_tolstring(lua, index, &len);
        put_string(encode, text, len);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(lua, index))
            put_integer(encode, lua_tointeger(lua, index));
        else
            put_float(encode, lua_tonumber(lua, index));
        break;
    case LUA_TBOOLEAN:
        if (lua_toboolean(lua, index))
            put(encode, "true", 4);
        else
            put(encode, "false", 5);
        break;
    case LUA_TNIL:
        put(encode, "null", 4);
        break;
    case LUA_TTABLE:
        put_table(encode, index);
        break;
    default:
        if (lua_rawequal(lua, index, lua_upvalueindex(JSON_NULL_VALUE)))
            put(encode, "null", 4);
        else
            refuse_type(encode, index);
    }
}

int json_encode(lua_State *lua)
{
    static const char *const names[] = {"sorted", "replace", "max_depth", "max_size", NULL};
    struct encode encode;

    luaL_checkany(lua, 1);
    json_options_check(lua, 2, names);
    lua_settop(lua, OUT);
    encode.lua = lua;
    encode.out = encode.first;
    encode.len = 0;
    encode.room = sizeof encode.first;
    encode.depth = 0;
    encode.sorted = json_options_flag(lua, 2, "sorted");
    encode.replace = json_options_flag(lua, 2, "replace");
    encode.max_depth = json_options_size(lua, 2, "max_depth", JSON_DEPTH, JSON_DEPTH_MAX);
    encode.max_size = json_options_size(lua, 2, "max_size", JSON_ENCODE_SIZE, JSON_SIZE_MAX);
    put_value(&encode, 1);
    lua_pushlstring(lua, encode.out, encode.len);
    return 1;
}
