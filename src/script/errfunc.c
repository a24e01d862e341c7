#include "script/errfunc.h"

#include <stddef.h>
#include <string.h>

/* The words at the beginning of a lua_State; it has no less in any Lua 5.4. */
#define WORDS 25

/* It is the distance in bytes of the handler's slot from the stack's first. */
#define SLOT ((ptrdiff_t)16)

static size_t place; /* in words; 0: not known */

static int look(lua_State *lua)
{
    memcpy(lua_touserdata(lua, 1), lua, WORDS * sizeof(ptrdiff_t));
    return 0;
}

/* The words while the handler of a protected call is at index, or there is none (0). */
static void look_with(lua_State *coroutine, int index, ptrdiff_t words[WORDS])
{
    lua_settop(coroutine, index);
    lua_pushcfunction(coroutine, look);
    lua_pushlightuserdata(coroutine, words);
    lua_pcall(coroutine, 1, 0, index);
    lua_settop(coroutine, 0);
}

void errfunc_find(lua_State *lua)
{
    lua_State *coroutine = lua_newthread(lua);
    ptrdiff_t none[WORDS], second[WORDS], fifth[WORDS];

    look_with(coroutine, 0, none);
    look_with(coroutine, 2, second);
    look_with(coroutine, 5, fifth);
    lua_pop(lua, 1);
    place = 0;
    for (size_t word = 1; word < WORDS; word++) {
        if (none[word] == 0 && second[word] == 2 * SLOT && fifth[word] == 5 * SLOT) {
            place = word;
            return;
        }
    }
}

void errfunc_clear(lua_State *coroutine)
{
    if (place)
        memset((ptrdiff_t *)(void *)coroutine + place, 0, sizeof(ptrdiff_t));
}
