#include "script/arguments.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "script/convert.h"

#define ARGS_MAX    255 /* nb-args is one byte */
#define LAYOUTS_MAX 16  /* of one handler; the one not used for longest makes room */

/* A key of a layout's metatable that no script can name. */
static const char types_key;

struct layout {
    TAILQ_ENTRY(layout) entry;
    int meta, names; /* references in the registry: the metatable, the keys by position */
    unsigned nargs;
    uint8_t *types;
    size_t *lens;
    char *spelled; /* the names, one behind the other */
};

struct argument {
    struct span name;
    struct value value;
};

static bool layout_fits(const struct layout *layout, const struct argument *args, unsigned n)
{
    const char *name = layout->spelled;

    if (layout->nargs != n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (layout->types[i] != args[i].value.type || layout->lens[i] != args[i].name.len ||
            memcmp(name, args[i].name.at, args[i].name.len) != 0)
            return false;
        name += layout->lens[i];
    }
    return true;
}

static void layout_free(struct handler *handler, struct layout *layout)
{
    TAILQ_REMOVE(&handler->layouts, layout, entry);
    handler->nlayouts--;
    free(layout->types);
    free(layout->lens);
    free(layout->spelled);
    free(layout);
}

void arguments_forget(struct handler *handler)
{
    while (!TAILQ_EMPTY(&handler->layouts))
        layout_free(handler, TAILQ_FIRST(&handler->layouts));
}

static int args_len(lua_State *lua)
{
    lua_pushvalue(lua, lua_upvalueindex(1));
    return 1;
}

/* The key under which an argument stands by name: its name, or "arg(k)". */
static void push_key(lua_State *lua, const struct argument *arg, unsigned position)
{
    if (arg->name.len)
        lua_pushlstring(lua, arg->name.at, arg->name.len);
    else
        lua_pushfstring(lua, "arg(%d)", (int)position);
}

/* Pushes { "client_ip", ... } and, above it, the metatable, whose [&types_key] is
 * { [1] = "ipv4", client_ip = "ipv4", ... }. */
static void push_layout(lua_State *lua, const struct argument *args, unsigned n)
{
    lua_createtable(lua, (int)n, 0);
    lua_createtable(lua, 0, 4);
    lua_pushinteger(lua, (lua_Integer)n);
    lua_pushcclosure(lua, args_len, 1);
    lua_setfield(lua, -2, "__len");
    lua_pushliteral(lua, "spoa.args");
    lua_setfield(lua, -2, "__metatable");
    lua_createtable(lua, (int)n, (int)n);
    for (unsigned i = 0; i < n; i++) {
        push_key(lua, &args[i], i);
        lua_pushvalue(lua, -1);
        lua_rawseti(lua, -5, (lua_Integer)i + 1);
        lua_pushstring(lua, value_type_name(args[i].value.type));
        lua_pushvalue(lua, -1);
        lua_rawseti(lua, -4, (lua_Integer)i + 1);
        lua_rawset(lua, -3);
    }
    lua_rawsetp(lua, -2, &types_key);
}

static struct layout *layout_new(lua_State *lua, struct handler *handler,
                                 const struct argument *args, unsigned n)
{
    struct layout *layout;
    size_t total = 0;
    int meta, names;

    push_layout(lua, args, n);
    meta = luaL_ref(lua, LUA_REGISTRYINDEX);
    names = luaL_ref(lua, LUA_REGISTRYINDEX); /* the last that can raise */
    layout = mem_zalloc(sizeof *layout);
    layout->meta = meta;
    layout->names = names;
    layout->nargs = n;
    layout->types = mem_alloc(n * sizeof *layout->types);
    layout->lens = mem_alloc(n * sizeof *layout->lens);
    for (unsigned i = 0; i < n; i++) {
        layout->types[i] = (uint8_t)args[i].value.type;
        layout->lens[i] = args[i].name.len;
        total += args[i].name.len;
    }
    layout->spelled = mem_alloc(total);
    total = 0;
    for (unsigned i = 0; i < n; i++) {
        memcpy(layout->spelled + total, args[i].name.at, args[i].name.len);
        total += args[i].name.len;
    }
    TAILQ_INSERT_HEAD(&handler->layouts, layout, entry);
    handler->nlayouts++;
    return layout;
}

static const struct layout *layout_of(lua_State *lua, struct handler *handler,
                                      const struct argument *args, unsigned n)
{
    struct layout *layout = TAILQ_FIRST(&handler->layouts);

    if (layout && layout_fits(layout, args, n))
        return layout;
    TAILQ_FOREACH (layout, &handler->layouts, entry) {
        if (layout_fits(layout, args, n)) {
            TAILQ_REMOVE(&handler->layouts, layout, entry);
            TAILQ_INSERT_HEAD(&handler->layouts, layout, entry);
            return layout;
        }
    }
    if (handler->nlayouts == LAYOUTS_MAX) {
        layout = TAILQ_LAST(&handler->layouts, layouts);
        luaL_unref(lua, LUA_REGISTRYINDEX, layout->meta);
        luaL_unref(lua, LUA_REGISTRYINDEX, layout->names);
        layout_free(handler, layout);
    }
    return layout_new(lua, handler, args, n);
}

void arguments_push(lua_State *lua, struct handler *handler, const struct message *message)
{
    struct argument args[ARGS_MAX];
    struct wire wire = message->args;
    const struct layout *layout;
    unsigned n = 0;
    int table, names;

    while (n < ARGS_MAX && value_get_pair(&wire, &args[n].name, &args[n].value))
        n++;
    layout = layout_of(lua, handler, args, n);
    lua_createtable(lua, (int)n, (int)n);
    table = lua_gettop(lua);
    names = table + 1;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, layout->names);
    for (unsigned i = 0; i < n; i++) {
        lua_rawgeti(lua, names, (lua_Integer)i + 1);
        convert_push(lua, &args[i].value);
        lua_pushvalue(lua, -1);
        lua_rawseti(lua, table, (lua_Integer)i + 1);
        lua_rawset(lua, table);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, layout->meta);
    lua_setmetatable(lua, table);
    lua_settop(lua, table);
}

void arguments_push_type(lua_State *lua, int args, int key)
{
    if (!lua_getmetatable(lua, args) || lua_rawgetp(lua, -1, &types_key) != LUA_TTABLE)
        luaL_argerror(lua, args, "the table of arguments that the handler was given expected");
    lua_pushvalue(lua, key);
    lua_rawget(lua, -2);
}
