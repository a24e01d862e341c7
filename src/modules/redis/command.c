#include "modules/redis/command.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SHARED "the connection is shared by all handlers: "

/* Commands that would change the connection for all who share it, or hold all of them up. */
static const struct refusal {
    const char *name, *word; /* of any argument; NULL: the command as such */
    const char *hint;
} refusals[] = {
#define SUBSCRIBING SHARED "subscribing is not possible here"
    {"SUBSCRIBE", NULL, SUBSCRIBING},
    {"PSUBSCRIBE", NULL, SUBSCRIBING},
    {"SSUBSCRIBE", NULL, SUBSCRIBING},
    {"UNSUBSCRIBE", NULL, SUBSCRIBING},
    {"PUNSUBSCRIBE", NULL, SUBSCRIBING},
    {"SUNSUBSCRIBE", NULL, SUBSCRIBING},
    {"MONITOR", NULL, SUBSCRIBING},
    {"SYNC", NULL, SUBSCRIBING},
    {"PSYNC", NULL, SUBSCRIBING},
#define BLOCKING SHARED "use the command that does not block, and spoa.sleep between tries"
    {"BLPOP", NULL, BLOCKING},
    {"BRPOP", NULL, BLOCKING},
    {"BRPOPLPUSH", NULL, BLOCKING},
    {"BLMOVE", NULL, BLOCKING},
    {"BLMPOP", NULL, BLOCKING},
    {"BZPOPMIN", NULL, BLOCKING},
    {"BZPOPMAX", NULL, BLOCKING},
    {"BZMPOP", NULL, BLOCKING},
    {"WAIT", NULL, BLOCKING},
    {"WAITAOF", NULL, BLOCKING},
    {"XREAD", "BLOCK", BLOCKING},
    {"XREADGROUP", "BLOCK", BLOCKING},
    {"WATCH", NULL, SHARED "a script (EVAL) is atomic"},
    {"UNWATCH", NULL, SHARED "a script (EVAL) is atomic"},
    {"SELECT", NULL, SHARED "say db= in redis.new"},
    {"AUTH", NULL, SHARED "say username= and password= in redis.new"},
    {"HELLO", NULL, SHARED "say username= and password= in redis.new"},
    {"QUIT", NULL, SHARED "it is closed when nobody uses it any more"},
    {"RESET", NULL, SHARED "nothing is to be reset"},
    {"CLIENT", "REPLY", SHARED "every command needs its reply"},
    {"CLIENT", "TRACKING", SHARED "tracking is not possible here"},
};

static bool has_word(lua_State *lua, int first, int n, const char *word)
{
    for (int i = first + 1; i < first + n; i++) {
        if (lua_type(lua, i) == LUA_TSTRING && strcasecmp(lua_tostring(lua, i), word) == 0)
            return true;
    }
    return false;
}

static void check_shared(lua_State *lua, const char *name, int first, int n)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *row = &refusals[i];

        if (strcasecmp(name, row->name) == 0 && (!row->word || has_word(lua, first, n, row->word)))
            luaL_error(lua, "redis: %s: %s", row->name, row->hint);
    }
}

static void check_batch(lua_State *lua, const char *name, struct redis_batch *batch)
{
    bool opens = strcasecmp(name, "MULTI") == 0;
    bool closes = strcasecmp(name, "EXEC") == 0 || strcasecmp(name, "DISCARD") == 0;

    if ((opens || closes) && batch->alone)
        luaL_error(lua,
                   "redis: %s: " SHARED
                   "use r:pipeline{ { 'multi' }, ..., { 'exec' } }, or a script (EVAL)",
                   name);
    if (opens ? batch->inside : closes && !batch->inside)
        luaL_error(lua, "redis: %s: a pipeline has MULTI, then commands, then EXEC", name);
    if (opens || closes)
        batch->inside = opens;
}

static void add_word(luaL_Buffer *buffer, const char *text, size_t len)
{
    char head[32];

    luaL_addlstring(buffer, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", len));
    luaL_addlstring(buffer, text, len);
    luaL_addlstring(buffer, "\r\n", 2);
}

static void add_count(luaL_Buffer *buffer, int n)
{
    char head[32];

    luaL_addlstring(buffer, head, (size_t)snprintf(head, sizeof head, "*%d\r\n", n));
}

/* Numbers as Redis reads them: 5.0 is 5. */
static void add_argument(lua_State *lua, luaL_Buffer *buffer, int index)
{
    char text[40];
    size_t len;
    int exact;
    lua_Integer integer = lua_tointegerx(lua, index, &exact);

    if (lua_type(lua, index) == LUA_TSTRING) {
        const char *bytes = lua_tolstring(lua, index, &len);

        add_word(buffer, bytes, len);
        return;
    }
    if (exact)
        len = (size_t)snprintf(text, sizeof text, LUA_INTEGER_FMT, (LUAI_UACINT)integer);
    else
        len = (size_t)snprintf(text, sizeof text, "%.17g", (double)lua_tonumber(lua, index));
    add_word(buffer, text, len);
}

void redis_command_encode(lua_State *lua, int first, int n, struct redis_batch *batch)
{
    luaL_Buffer buffer;
    const char *name;

    if (n < 1 || lua_type(lua, first) != LUA_TSTRING)
        luaL_error(lua, "redis: a command begins with its name, a string such as 'GET'");
    name = lua_tostring(lua, first);
    for (int i = 1; i < n; i++) {
        int type = lua_type(lua, first + i);

        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            luaL_error(lua, "redis: argument #%d of %s is a %s: give a string or a number", i, name,
                       lua_typename(lua, type));
    }
    check_shared(lua, name, first, n);
    check_batch(lua, name, batch);
    luaL_buffinit(lua, &buffer);
    add_count(&buffer, n);
    for (int i = 0; i < n; i++)
        add_argument(lua, &buffer, first + i);
    luaL_pushresult(&buffer);
}

void redis_command_add(luaL_Buffer *buffer, int n, const char *const words[])
{
    add_count(buffer, n);
    for (int i = 0; i < n; i++)
        add_word(buffer, words[i], strlen(words[i]));
}
