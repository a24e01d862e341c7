/*
 * faulty: a Lua allocator that fails where a test wants it.
 */
#ifndef FAULTY_H
#define FAULTY_H

#include <dlfcn.h>

#include "stage.h"

/* An allocator in front of the heap's: what asks for more memory is counted. */
struct faulty {
    lua_Alloc alloc;
    void *heap;
    unsigned long asked; /* so far */
    unsigned long first; /* fails, as the first; 0 for none */
    bool on;             /* and all behind it */
};

static inline void *faulty_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    struct faulty *faulty = ud;

    if (new_size > 0 && (!block || new_size > old_size)) {
        unsigned long n = ++faulty->asked;

        if (faulty->first && (n == faulty->first || (faulty->on && n > faulty->first)))
            return NULL;
    }
    return faulty->alloc(faulty->heap, block, old_size, new_size);
}

static inline void faulty_from(struct faulty *faulty, unsigned long first, bool on)
{
    faulty->asked = 0;
    faulty->first = first;
    faulty->on = on;
}

static inline bool faulty_reached(const struct faulty *faulty)
{
    return faulty->asked >= faulty->first;
}

/* script_new makes its state with lua_newstate; with `loading` set it gets this one, which
 * puts the faulty allocator in front of the heap's. */
static struct faulty *loading;

lua_State *lua_newstate(lua_Alloc alloc, void *heap)
{
    static lua_State *(*newstate)(lua_Alloc, void *);

    if (!newstate)
        *(void **)&newstate = dlsym(RTLD_NEXT, "lua_newstate");
    ck_assert(newstate != NULL);
    if (!loading)
        return newstate(alloc, heap);
    loading->alloc = alloc;
    loading->heap = heap;
    return newstate(faulty_alloc, loading);
}

#endif
