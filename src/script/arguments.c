#include "script/arguments.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "script/convert.h"

#define ARGS_MAX    255 /* nb-args is one byte */
#define LAYOUTS_MAX 16  /* of one handler; the one not used for longest makes room */
#define TYPINGS_MAX 64  /* of one layout; then they are made anew */

/* Keys that no script can name: in the names, their typings; in a typing, its types and the
 * names. */
static const char typings_key, types_key, names_key;

/*
 * The names of a message's arguments.  A typing, the types that they have, is the metatable of
 * a message's table.  What is NULL fits any typing, since its nil tells, so only arguments that
 * come with several types make more than one.
 */
struct layout {
    TAILQ_ENTRY(layout) entry;
    int names; /* in the registry: { "client_ip", client_ip = 1, [&typings_key] = { ... } } */
    int meta;  /* in the registry: the typing that the last message had */
    unsigned nargs, ntypings;
    uint8_t *types; /* of that typing; VALUE_NULL where nothing else has come yet */
    size_t *lens;
    char *spelled; /* the names, one behind the other */
};

struct argument {
    struct span name;
    struct value value;
};

/* ---- names ---- */

static bool layout_fits(const struct layout *layout, const struct argument *args, unsigned n)
{
    const char *name = layout->spelled;

    if (layout->nargs != n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (layout->lens[i] != args[i].name.len ||
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

/* The key under which an argument stands by name: its name, or "arg(k)". */
static void push_key(lua_State *lua, const struct argument *arg, unsigned position)
{
    if (arg->name.len)
        lua_pushlstring(lua, arg->name.at, arg->name.len);
    else
        lua_pushfstring(lua, "arg(%d)", (int)position);
}

static void push_names(lua_State *lua, const struct argument *args, unsigned n)
{
    lua_createtable(lua, (int)n, (int)n + 1);
    for (unsigned i = 0; i < n; i++) {
        push_key(lua, &args[i], i);
        lua_pushvalue(lua, -1);
        lua_rawseti(lua, -3, (lua_Integer)i + 1);
        lua_pushinteger(lua, (lua_Integer)i + 1);
        lua_rawset(lua, -3);
    }
    lua_newtable(lua);
    lua_rawsetp(lua, -2, &typings_key);
}

/* ---- typings ---- */

static bool typing_fits(const struct layout *layout, const struct argument *args, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (args[i].value.type != layout->types[i] && args[i].value.type != VALUE_NULL)
            return false;
    }
    return true;
}

static int args_len(lua_State *lua)
{
    lua_pushvalue(lua, lua_upvalueindex(1));
    return 1;
}

static void push_typing(lua_State *lua, int names, const uint8_t *types, unsigned n)
{
    lua_createtable(lua, 0, 4);
    lua_pushinteger(lua, (lua_Integer)n);
    lua_pushcclosure(lua, args_len, 1);
    lua_setfield(lua, -2, "__len");
    lua_pushliteral(lua, "spoa.args");
    lua_setfield(lua, -2, "__metatable");
    lua_pushlstring(lua, (const char *)types, n);
    lua_rawsetp(lua, -2, &types_key);
    lua_pushvalue(lua, names);
    lua_rawsetp(lua, -2, &names_key);
}

/* Pushes { [types as bytes] = typing }; not the old one when that is full. */
static void push_typings(lua_State *lua, struct layout *layout, int names)
{
    if (layout->ntypings < TYPINGS_MAX) {
        lua_rawgetp(lua, names, &typings_key);
        return;
    }
    lua_newtable(lua);
    lua_pushvalue(lua, -1);
    lua_rawsetp(lua, names, &typings_key);
    layout->ntypings = 0;
}

/* Makes the typing that this message wants the layout's. */
static void typing_set(lua_State *lua, struct layout *layout, const struct argument *args,
                       unsigned n)
{
    uint8_t types[ARGS_MAX];
    int top = lua_gettop(lua), names = top + 1;

    for (unsigned i = 0; i < n; i++)
        types[i] =
            args[i].value.type == VALUE_NULL ? layout->types[i] : (uint8_t)args[i].value.type;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, layout->names);
    push_typings(lua, layout, names);
    lua_pushlstring(lua, (const char *)types, n);
    lua_pushvalue(lua, -1);
    if (lua_rawget(lua, -3) == LUA_TNIL) {
        lua_pop(lua, 1);
        push_typing(lua, names, types, n);
        lua_pushvalue(lua, -1);
        lua_insert(lua, -3);
        lua_rawset(lua, -4);
        layout->ntypings++;
    }
    lua_rawseti(lua, LUA_REGISTRYINDEX, layout->meta); /* where one is: nothing raises here */
    memcpy(layout->types, types, n);
    lua_settop(lua, top);
}

/* ---- layouts ---- */

static struct layout *layout_new(lua_State *lua, struct handler *handler,
                                 const struct argument *args, unsigned n)
{
    static const uint8_t nothing[ARGS_MAX] = {VALUE_NULL};
    struct layout *layout;
    size_t total = 0;
    int meta, names;

    push_names(lua, args, n);
    push_typing(lua, lua_gettop(lua), nothing, n);
    meta = luaL_ref(lua, LUA_REGISTRYINDEX);
    names = luaL_ref(lua, LUA_REGISTRYINDEX); /* the last that can raise */
    layout = mem_zalloc(sizeof *layout);
    layout->meta = meta;
    layout->names = names;
    layout->nargs = n;
    layout->types = mem_alloc(n * sizeof *layout->types);
    memcpy(layout->types, nothing, n);
    layout->lens = mem_alloc(n * sizeof *layout->lens);
    for (unsigned i = 0; i < n; i++) {
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

static struct layout *layout_of(lua_State *lua, struct handler *handler,
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
    struct layout *layout;
    unsigned n = 0;
    int table, names;

    while (n < ARGS_MAX && value_get_pair(&wire, &args[n].name, &args[n].value))
        n++;
    layout = layout_of(lua, handler, args, n);
    if (!typing_fits(layout, args, n))
        typing_set(lua, layout, args, n);
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
    const char *types;
    lua_Integer position;

    if (!lua_getmetatable(lua, args) || lua_rawgetp(lua, -1, &types_key) != LUA_TSTRING)
        luaL_argerror(lua, args, "the table of arguments that the handler was given expected");
    types = lua_tostring(lua, -1);
    lua_rawgetp(lua, -2, &names_key);
    lua_pushvalue(lua, key);
    if (lua_rawget(lua, -2) == LUA_TNIL)
        return;
    /* By position the name is found, by name the position. */
    position = lua_tointeger(lua, lua_isinteger(lua, -1) ? -1 : key);
    lua_pushvalue(lua, key);
    if (lua_rawget(lua, args) == LUA_TNIL)
        lua_pushstring(lua, value_type_name(VALUE_NULL));
    else
        lua_pushstring(lua, value_type_name((enum value_type)types[position - 1]));
}
