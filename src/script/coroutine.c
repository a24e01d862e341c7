#include "script/coroutine.h"

#include <lauxlib.h>
#include <stdint.h>

#include "script/budget.h"
#include "script/errfunc.h"
#include "script/script.h"

/* Coroutines that close one another may use so much of the C stack together: Lua 5.4.4 counts
 * the C calls of each alone, and 200 of them take some hundred KiB. */
#define CLOSING_STACK ((size_t)1 << 20)

#define KIND_MASK ((uintptr_t)7)

/* Where Lua keeps it: the pointer, which is aligned, with the kind in its lowest bits. */
static uintptr_t *place_of(lua_State *coroutine)
{
    return lua_getextraspace(coroutine);
}

struct owner coroutine_owner(lua_State *coroutine)
{
    uintptr_t place = *place_of(coroutine);

    if (place)
        return (struct owner){(enum owner_kind)(place & KIND_MASK), (void *)(place & ~KIND_MASK)};
    if (!lua_pushthread(coroutine)) {
        lua_pop(coroutine, 1);
        return (struct owner){OWNER_NOBODY, NULL};
    }
    lua_pop(coroutine, 1);
    return (struct owner){OWNER_MAIN, NULL};
}

void coroutine_own(lua_State *coroutine, enum owner_kind kind, void *by)
{
    *place_of(coroutine) = (uintptr_t)by | (uintptr_t)kind;
}

static int protected_thread(lua_State *lua)
{
    struct coroutine *made = lua_touserdata(lua, 1);
    lua_State *coroutine = lua_newthread(lua);

    coroutine_own(coroutine, OWNER_POOL, NULL); /* a finalizer may see it from here on */
    made->anchor = luaL_ref(lua, LUA_REGISTRYINDEX);
    made->lua = coroutine;
    return 0;
}

bool coroutine_get(struct script *script, struct coroutine *coroutine, void *task)
{
    struct coroutine_pool *pool = &script->coroutines;

    if (pool->nunused) {
        *coroutine = pool->unused[--pool->nunused];
    } else {
        coroutine->lua = NULL;
        if (script_call(script, protected_thread, coroutine, 0) != LUA_OK) {
            lua_pop(script->lua, 1);
            coroutine->lua = NULL;
            return false;
        }
    }
    coroutine_own(coroutine->lua, OWNER_TASK, task);
    return true;
}

void coroutine_drop(struct script *script, struct coroutine *coroutine)
{
    if (coroutine_owner(coroutine->lua).kind != OWNER_STOPPED)
        coroutine_own(coroutine->lua, OWNER_NOBODY, NULL);
    luaL_unref(script->lua, LUA_REGISTRYINDEX, coroutine->anchor);
    coroutine->lua = NULL;
}

void coroutine_put(struct script *script, struct coroutine *coroutine)
{
    struct coroutine_pool *pool = &script->coroutines;

    if (pool->nunused == COROUTINE_POOL_MAX) {
        coroutine_drop(script, coroutine);
        return;
    }
    lua_settop(coroutine->lua, 0);
    coroutine_own(coroutine->lua, OWNER_POOL, NULL);
    pool->unused[pool->nunused++] = *coroutine;
    coroutine->lua = NULL;
}

int coroutine_close(lua_State *coroutine)
{
    static uintptr_t outermost; /* where on the C stack; 0 while none is being closed */
    uintptr_t caller = outermost, here = (uintptr_t)__builtin_frame_address(0);
    lua_State *closer;
    int status;

    if (coroutine_owner(coroutine).kind == OWNER_STOPPED ||
        (caller && caller - here > CLOSING_STACK))
        return lua_status(coroutine);
    outermost = caller ? caller : here;
    coroutine_own(coroutine, OWNER_CLOSING, NULL);
    closer = budget_switch(coroutine);
    errfunc_clear(coroutine);
    status = lua_resetthread(coroutine);
    budget_switch(closer);
    coroutine_own(coroutine, OWNER_NOBODY, NULL);
    outermost = caller;
    return status;
}

void coroutine_stopped(lua_State *coroutine)
{
    coroutine_own(coroutine, OWNER_STOPPED, NULL);
}

void coroutine_pool_clear(struct script *script)
{
    while (script->coroutines.nunused)
        coroutine_drop(script, &script->coroutines.unused[--script->coroutines.nunused]);
}
