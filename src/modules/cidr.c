/*
 * require "spoa.cidr": sets and maps of IP prefixes, from a table or from a file that is read
 * again when it changes.
 *
 * A set or map is a userdata that owns a prefix_map.  What a map made from a table gives is in
 * a table that is the userdata's user value, by the number in the prefix_map; what one from a
 * file gives is text in memory of its own, so that a reload, which the loop calls, needs no
 * Lua.  Nothing here waits.
 */
#include <lauxlib.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "modules/cidr/prefix_file.h"
#include "modules/file_watch.h"
#include "script/script.h"

#define CIDR "spoa.cidr"

enum { VALUES = 1 }; /* the user value */

struct cidr {
    struct file_watch watch; /* first, so that a watch is its cidr */
    struct prefix_file content;
    struct prefix_list list; /* while a table is read */
    struct prefix_file_options options;
    bool from_file;
    bool closed; /* collected: a finalizer may still ask it */
    char path[];
};

static struct cidr *check_cidr(lua_State *lua)
{
    struct cidr *cidr = luaL_checkudata(lua, 1, CIDR);

    luaL_argcheck(lua, !cidr->closed, 1, "it is closed");
    return cidr;
}

static struct cidr *push_cidr(lua_State *lua, const char *path)
{
    size_t size = strlen(path) + 1;
    struct cidr *cidr;

    script_check_open(lua);
    cidr = lua_newuserdatauv(lua, sizeof *cidr + size, 1);
    memset(cidr, 0, sizeof *cidr);
    memcpy(cidr->path, path, size);
    luaL_setmetatable(lua, CIDR);
    return cidr;
}

/* Whether option name of the table at index is set; it must be a boolean. */
static bool check_flag(lua_State *lua, int index, const char *name)
{
    bool flag;

    if (lua_getfield(lua, index, name) != LUA_TNIL && !lua_isboolean(lua, -1))
        luaL_error(lua, "bad option '%s' (true or false expected, got %s)", name,
                   luaL_typename(lua, -1));
    flag = lua_toboolean(lua, -1);
    lua_pop(lua, 1);
    return flag;
}

static double check_interval(lua_State *lua, int index)
{
    double interval = FILE_WATCH_INTERVAL;

    if (lua_getfield(lua, index, "interval") != LUA_TNIL) {
        int is_number;

        interval = lua_tonumberx(lua, -1, &is_number);
        if (!is_number || !(interval >= FILE_WATCH_INTERVAL_MIN) ||
            interval > FILE_WATCH_INTERVAL_MAX)
            luaL_error(lua, "bad option 'interval' (seconds from %f to %f expected)",
                       (LUAI_UACNUMBER)FILE_WATCH_INTERVAL_MIN,
                       (LUAI_UACNUMBER)FILE_WATCH_INTERVAL_MAX);
    }
    lua_pop(lua, 1);
    return interval;
}

/* An option that is spelled wrong would silently do nothing. */
static void check_options(lua_State *lua, int index, const char *const names[])
{
    if (lua_isnoneornil(lua, index)) {
        lua_settop(lua, index - 1);
        lua_newtable(lua);
        return;
    }
    luaL_checktype(lua, index, LUA_TTABLE);
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";
        int i = 0;

        while (names[i] && strcmp(names[i], name) != 0)
            i++;
        if (!names[i])
            luaL_error(lua, "unknown option '%s'", name);
        lua_pop(lua, 1);
    }
    lua_settop(lua, index);
}

/* ---- from a table ---- */

static void add_prefix(lua_State *lua, struct cidr *cidr, int index, uint32_t value)
{
    char why[PREFIX_WHY_MAX];
    struct prefix prefix;
    size_t len;
    const char *text = lua_tolstring(lua, index, &len);

    if (!prefix_parse(text, len, cidr->options.mask, &prefix, why))
        luaL_argerror(lua, 1, why);
    if (!prefix_list_add(&cidr->list, &prefix, value))
        luaL_argerror(lua, 1, "too many prefixes");
}

/* The number of the value on top, which it pops: the one it has in ids, or the next in values. */
static uint32_t number_value(lua_State *lua, int values, int ids, uint32_t *count)
{
    bool is_nan = lua_type(lua, -1) == LUA_TNUMBER && isnan(lua_tonumber(lua, -1));
    uint32_t id;

    lua_pushvalue(lua, -1);
    if (!is_nan && lua_rawget(lua, ids) == LUA_TNUMBER) {
        id = (uint32_t)lua_tointeger(lua, -1);
        lua_pop(lua, 2);
        return id;
    }
    lua_pop(lua, 1);
    id = ++*count;
    if (!is_nan) {
        lua_pushvalue(lua, -1);
        lua_pushinteger(lua, id);
        lua_rawset(lua, ids);
    }
    lua_rawseti(lua, values, id);
    return id;
}

static void add_map(lua_State *lua, struct cidr *cidr)
{
    int values, ids;
    uint32_t count = 0, id;

    lua_newtable(lua);
    values = lua_gettop(lua);
    lua_newtable(lua);
    ids = values + 1;
    lua_pushnil(lua);
    while (lua_next(lua, 1)) {
        if (lua_type(lua, -2) != LUA_TSTRING)
            luaL_argerror(lua, 1, "either a list of prefixes or a table of prefix = value");
        id = number_value(lua, values, ids, &count);
        add_prefix(lua, cidr, -1, id);
    }
    lua_pop(lua, 1);
    lua_setiuservalue(lua, -2, VALUES);
}

static void add_set(lua_State *lua, struct cidr *cidr)
{
    lua_pushnil(lua);
    while (lua_next(lua, 1)) {
        if (lua_type(lua, -2) != LUA_TNUMBER)
            luaL_argerror(lua, 1, "either a list of prefixes or a table of prefix = value");
        if (lua_type(lua, -1) != LUA_TSTRING)
            luaL_argerror(
                lua, 1,
                lua_pushfstring(lua, "a list of prefixes has a %s in it", luaL_typename(lua, -1)));
        add_prefix(lua, cidr, -1, 1);
        lua_pop(lua, 1);
    }
}

/* cidr.new(prefixes [, options]) */
static int cidr_new(lua_State *lua)
{
    static const char *const names[] = {"mask", NULL};
    struct cidr *cidr;

    luaL_checktype(lua, 1, LUA_TTABLE);
    check_options(lua, 2, names);
    cidr = push_cidr(lua, "");
    cidr->options.mask = check_flag(lua, 2, "mask");
    lua_pushnil(lua);
    cidr->options.map = lua_next(lua, 1) && lua_type(lua, -2) == LUA_TSTRING;
    lua_settop(lua, 3);
    if (cidr->options.map)
        add_map(lua, cidr);
    else
        add_set(lua, cidr);
    prefix_map_build(&cidr->content.map, &cidr->list);
    /* As if Lua had allocated it, so that handlers that make many do not pile them up. */
    lua_gc(lua, LUA_GCSTEP, (int)(prefix_map_size(&cidr->content.map) / 1024));
    return 1;
}

/* ---- from a file ---- */

static bool read_file(struct cidr *cidr, char error[PREFIX_FILE_ERROR_MAX])
{
    struct prefix_file content = {0};

    if (!prefix_file_read(&content, cidr->path, &cidr->options, error))
        return false;
    prefix_file_clear(&cidr->content);
    cidr->content = content;
    return true;
}

static void file_changed(struct file_watch *watch)
{
    struct cidr *cidr = (struct cidr *)watch;
    char error[PREFIX_FILE_ERROR_MAX];

    if (read_file(cidr, error))
        log_write(LEVEL_INFO, "%s: loaded again, %zu prefixes", cidr->path,
                  cidr->content.map.count);
    else
        log_write(LEVEL_ERR, "%s: the %zu prefixes from before go on", error,
                  cidr->content.map.count);
}

/* cidr.load(path [, options]) */
static int cidr_load(lua_State *lua)
{
    static const char *const names[] = {"map", "mask", "interval", NULL};
    const char *path = luaL_checkstring(lua, 1);
    char error[PREFIX_FILE_ERROR_MAX];
    struct cidr *cidr;
    double interval;

    check_options(lua, 2, names);
    interval = check_interval(lua, 2);
    cidr = push_cidr(lua, path);
    cidr->from_file = true;
    cidr->options =
        (struct prefix_file_options){check_flag(lua, 2, "map"), check_flag(lua, 2, "mask")};
    file_watch_init(&cidr->watch, cidr->path, file_changed);
    if (!read_file(cidr, error)) {
        lua_pushnil(lua);
        lua_pushstring(lua, error);
        return 2;
    }
    file_watch_start(&cidr->watch, script_of(lua)->queue->loop, interval);
    return 1;
}

/* ---- using it ---- */

static void push_value(lua_State *lua, const struct cidr *cidr, uint32_t value)
{
    const char *text;
    size_t len;

    if (!cidr->options.map) {
        lua_pushboolean(lua, value != 0);
    } else if (value == 0) {
        lua_pushnil(lua);
    } else if (!cidr->from_file) {
        lua_getiuservalue(lua, 1, VALUES);
        lua_rawgeti(lua, -1, value);
    } else if (value == 1) {
        lua_pushboolean(lua, true);
    } else {
        text = prefix_texts_get(&cidr->content.texts, value - 2, &len);
        lua_pushlstring(lua, text, len);
    }
}

/* set:match(ip) */
static int cidr_match(lua_State *lua)
{
    const struct cidr *cidr = check_cidr(lua);
    size_t len;
    const char *text = luaL_checklstring(lua, 2, &len);
    struct ip ip;

    if (!prefix_parse_ip(text, len, &ip))
        return luaL_argerror(lua, 2, lua_pushfstring(lua, "'%s' is no IP address", text));
    push_value(lua, cidr, prefix_map_find(&cidr->content.map, &ip));
    return 1;
}

/* cidr.family(text): 4, 6 or nil; as match sees it. */
static int cidr_family(lua_State *lua)
{
    size_t len;
    const char *text = lua_type(lua, 1) == LUA_TSTRING ? lua_tolstring(lua, 1, &len) : NULL;
    struct ip ip;

    luaL_checkany(lua, 1);
    if (text && prefix_parse_ip(text, len, &ip))
        lua_pushinteger(lua, ip.v6 ? 6 : 4);
    else
        lua_pushnil(lua);
    return 1;
}

static int cidr_len(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)check_cidr(lua)->content.map.count);
    return 1;
}

static int cidr_tostring(lua_State *lua)
{
    const struct cidr *cidr = luaL_checkudata(lua, 1, CIDR);

    lua_pushfstring(lua, "%s of %I prefixes%s%s", cidr->options.map ? "map" : "set",
                    (LUAI_UACINT)cidr->content.map.count, cidr->from_file ? " from " : "",
                    cidr->path);
    return 1;
}

static int cidr_gc(lua_State *lua)
{
    struct cidr *cidr = luaL_checkudata(lua, 1, CIDR);

    cidr->closed = true;
    file_watch_stop(&cidr->watch);
    prefix_file_clear(&cidr->content);
    prefix_list_clear(&cidr->list);
    return 0;
}

static const luaL_Reg methods[] = {{"match", cidr_match}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {
    {"__len", cidr_len}, {"__tostring", cidr_tostring}, {"__gc", cidr_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"new", cidr_new}, {"load", cidr_load}, {"family", cidr_family}, {NULL, NULL}};

LUAMOD_API int luaopen_spoa_cidr(lua_State *lua);

int luaopen_spoa_cidr(lua_State *lua)
{
    luaL_newmetatable(lua, CIDR);
    luaL_setfuncs(lua, metamethods, 0);
    luaL_newlib(lua, methods);
    lua_setfield(lua, -2, "__index");
    luaL_newlib(lua, functions);
    return 1;
}
