/*
 * heap: the memory of one Lua state: a limit, and pools of small blocks.
 *
 * Almost all that Lua allocates for a message is small and soon garbage, so blocks up to
 * HEAP_SMALL bytes come from lists by size and go back to them.  The limit is in the
 * allocator, before the state is made: beyond it Lua collects, and then raises "not enough
 * memory" in the one handler that asked.
 */
#ifndef SCRIPT_HEAP_H
#define SCRIPT_HEAP_H

#include <stdbool.h>
#include <stddef.h>

#define HEAP_SMALL 512
#define HEAP_STEP  16

struct heap {
    size_t used, limit; /* bytes, as Lua counts them */
    size_t small;       /* HEAP_SMALL, or 0: every block from malloc, for the sanitizers */
    void *unused[HEAP_SMALL / HEAP_STEP + 1];
    void *chunks; /* what the small blocks are cut from */
    char *cut, *cut_end;
};

void heap_init(struct heap *heap, size_t limit, bool pooled);

/* Frees every small block at once; the Lua state must have been closed. */
void heap_clear(struct heap *heap);

/* A lua_Alloc; heap is its first argument. */
void *heap_alloc(void *heap, void *block, size_t old_size, size_t new_size);

#endif
