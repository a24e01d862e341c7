/*
 * coroutine: a Lua coroutine and whose it is.
 *
 * Each has an owner, in the extra space that Lua keeps for us: it tells who may resume and
 * close it.  Scripts may do so with those that are nobody's; all others are in our hands.
 *
 * A coroutine whose task returned normally is kept for the next.
 */
#ifndef SCRIPT_COROUTINE_H
#define SCRIPT_COROUTINE_H

#include <lua.h>
#include <stdbool.h>

struct script;

enum owner_kind {
    OWNER_NOBODY,  /* a script made it, and may do with it what it likes */
    OWNER_TASK,    /* `by` is the struct task that runs in it */
    OWNER_INNER,   /* a script's, waiting in a task: `by` is the coroutine that resumed it */
    OWNER_POOL,    /* kept for the next task */
    OWNER_CLOSING, /* its <close> variables are running */
    OWNER_MAIN,    /* the state's own: what finalizers may be handed by coroutine.running */
    OWNER_STOPPED, /* a hook's error has ended it: see coroutine_close */
};

struct owner {
    enum owner_kind kind;
    void *by;
};

struct owner coroutine_owner(lua_State *coroutine);
void coroutine_own(lua_State *coroutine, enum owner_kind kind, void *by);

struct coroutine {
    lua_State *lua; /* NULL: none */
    int anchor;     /* its reference in the registry */
};

#define COROUTINE_POOL_MAX 1024

struct coroutine_pool {
    struct coroutine unused[COROUTINE_POOL_MAX];
    unsigned nunused;
};

/* One for a task.  False when Lua has no memory for another.  May run finalizers. */
bool coroutine_get(struct script *script, struct coroutine *coroutine, void *task);

/* One that returned normally goes back to the pool, whatever is on its stack. */
void coroutine_put(struct script *script, struct coroutine *coroutine);

/* One that did not is Lua's to collect, and a script's that still has it. */
void coroutine_drop(struct script *script, struct coroutine *coroutine);

/*
 * The one function that closes a coroutine: whatever it did is given up, and its <close>
 * variables run, within the budget of whoever calls.  One error value is left on its stack
 * when it had failed, or a <close> variable did; a status as lua_resetthread has it.  It is
 * nobody's while it is closed, and afterwards.  Not the main one's, nor one that is running.
 *
 * It stays as it is, with its status, when it is the last of so many that close one another
 * that the C stack would not do, and when an error that a hook raised has ended it
 * (coroutine_stopped): Lua 5.4 has hooks off on it for good then, so that nothing could stop
 * its <close> variables.
 */
int coroutine_close(lua_State *coroutine);

/* A hook has raised the error that ended it. */
void coroutine_stopped(lua_State *coroutine);

void coroutine_pool_clear(struct script *script);

#endif
