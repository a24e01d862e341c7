/*
 * bench-yardstick PORT [SCRIPT]: the floor, and in addition the least that asking Lua costs:
 * the arguments as a table, the handler looked up by the message's name, a protected call,
 * the returned table as actions.  No limits, no coroutine, no checks of what HAProxy would
 * refuse: a message that fails sets nothing.
 *
 * Handlers are the fields of the global table `on`, by the message's exact name.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answering.h"

static const char builtin[] = "on = { ['get-ip-reputation'] = function(args)\n"
                              "  local ip = args.client_ip\n"
                              "  return { ['sess.score'] = 42 }\n"
                              "end }\n";

/* Types on the wire. */
enum {
    WIRE_BOOL = 1,
    WIRE_INT32,
    WIRE_UINT32,
    WIRE_INT64,
    WIRE_UINT64,
    WIRE_IPV4,
    WIRE_IPV6,
    WIRE_STR,
    WIRE_BIN
};

/* The stack always holds `on` and nothing else between two messages. */
#define ON 1

static lua_State *L;

/* ---- arguments ---- */

static const uint8_t *string_push(const uint8_t *at)
{
    uint64_t len;

    at += varint_get(at, &len);
    lua_pushlstring(L, (const char *)at, len);
    return at + len;
}

static void ipv4_push(const uint8_t *bytes)
{
    char text[16], *at = text;

    for (int i = 0; i < 4; i++) {
        unsigned byte = bytes[i];

        if (byte >= 100)
            *at++ = (char)('0' + byte / 100);
        if (byte >= 10)
            *at++ = (char)('0' + byte / 10 % 10);
        *at++ = (char)('0' + byte % 10);
        *at++ = '.';
    }
    lua_pushlstring(L, text, (size_t)(at - text - 1));
}

static const uint8_t *integer_push(const uint8_t *at)
{
    uint64_t integer;

    at += varint_get(at, &integer);
    lua_pushinteger(L, (lua_Integer)integer);
    return at;
}

static const uint8_t *value_push(const uint8_t *at)
{
    uint8_t type = *at++;

    switch (type & 15) {
    case WIRE_BOOL:
        lua_pushboolean(L, type & 16);
        return at;
    case WIRE_INT32:
    case WIRE_UINT32:
    case WIRE_INT64:
    case WIRE_UINT64:
        return integer_push(at);
    case WIRE_IPV4:
        ipv4_push(at);
        return at + 4;
    case WIRE_IPV6:
        lua_pushlstring(L, (const char *)at, 16);
        return at + 16;
    case WIRE_STR:
    case WIRE_BIN:
        return string_push(at);
    default:
        lua_pushnil(L);
        return at;
    }
}

/* ---- actions ---- */

static const struct {
    char name[8];
    size_t len;
} scopes[] = {{"proc.", 5}, {"sess.", 5}, {"txn.", 4}, {"req.", 4}, {"res.", 4}};

/* The value on top of the stack. */
static size_t value_put(uint8_t *at)
{
    const char *text;
    size_t len, n;

    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        at[0] = lua_toboolean(L, -1) ? WIRE_BOOL | 16 : WIRE_BOOL;
        return 1;
    case LUA_TNUMBER:
        at[0] = WIRE_INT64;
        return 1 + varint_put(at + 1, (uint64_t)lua_tointeger(L, -1));
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &len);
        if (len > ANSWER_MAX / 4)
            len = ANSWER_MAX / 4;
        at[0] = WIRE_STR;
        n = 1 + varint_put(at + 1, len);
        memcpy(at + n, text, len);
        return n + len;
    default:
        at[0] = 0;
        return 1;
    }
}

static size_t action_put(uint8_t *at)
{
    size_t len;
    const char *name = lua_tolstring(L, -2, &len);
    uint8_t scope = 0;

    for (uint8_t i = 0; i < 5; i++) {
        if (len > scopes[i].len && memcmp(name, scopes[i].name, scopes[i].len) == 0) {
            scope = i;
            name += scopes[i].len;
            len -= scopes[i].len;
            break;
        }
    }
    if (len > 64)
        return 0;
    memcpy(at, (const uint8_t[]){1, 3, scope, (uint8_t)len}, 4);
    memcpy(at + 4, name, len);
    return 4 + len + value_put(at + 4 + len);
}

/* The table on top of the stack; what comes behind the first few hundred bytes is left out. */
static size_t actions_put(uint8_t *at)
{
    size_t n = 0;

    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) == LUA_TSTRING && n < ANSWER_MAX / 4)
            n += action_put(at + n);
        lua_pop(L, 1);
    }
    return n;
}

size_t answer(const uint8_t *at, size_t len, uint8_t *actions)
{
    const uint8_t *end = at + len;
    size_t n = 0;

    while (at < end) {
        at = string_push(at);
        lua_gettable(L, ON);

        unsigned nargs = *at++;
        lua_createtable(L, 0, (int)nargs);
        for (unsigned i = 0; i < nargs; i++) {
            at = string_push(at);
            at = value_push(at);
            lua_rawset(L, -3);
        }
        if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_istable(L, -1) && n < ANSWER_MAX / 4)
            n += actions_put(actions + n);
        lua_settop(L, ON);
    }
    return n;
}

int main(int argc, char **argv)
{
    bool failed;

    if (argc < 2 || argc > 3) {
        fputs("usage: bench-yardstick PORT [SCRIPT]\n", stderr);
        return 64;
    }
    L = luaL_newstate();
    luaL_openlibs(L);
    failed = argc == 3 ? luaL_dofile(L, argv[2]) : luaL_dostring(L, builtin);
    if (failed || lua_getglobal(L, "on") != LUA_TTABLE) {
        fprintf(stderr, "bench-yardstick: %s\n", failed ? lua_tostring(L, -1) : "no table `on`");
        return 65;
    }
    answering_run(argv[1]);
}
