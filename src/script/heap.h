/*
 * heap: the memory of one Lua state: a limit, and pages of small blocks.
 *
 * Almost all that Lua allocates for a message is small and soon garbage, so blocks up to
 * HEAP_SMALL bytes come from pages, each for one class of sizes.  A page that has become empty
 * serves any class, or goes back to the system: so the limit is one on what was taken from the
 * system, whatever the sizes were.  It is in the allocator, before the state is made: beyond it
 * Lua collects, and then raises "not enough memory" in the one handler that asked.
 */
#ifndef SCRIPT_HEAP_H
#define SCRIPT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#define HEAP_PAGE    8192 /* bytes, and what its address is a multiple of */
#define HEAP_SMALL   512
#define HEAP_STEP    16
#define HEAP_CLASSES (HEAP_SMALL / HEAP_STEP + 1)

TAILQ_HEAD(heap_pages, heap_page);

/* At the beginning of its HEAP_PAGE bytes. */
struct heap_page {
    void *unused; /* blocks that were given back, each pointing to the next */
    char *cut;    /* from here on none has been handed out */
    size_t left;  /* so many have to be given back until the page changes its state */
    size_t size;  /* of its blocks */
    enum heap_page_state {
        PAGE_CURRENT, /* blocks of its class come from here */
        PAGE_FULL,    /* changes at the next that is given back */
        PAGE_ROOM,    /* in its class's list, changes when it is empty */
        PAGE_EMPTY,   /* the same, at the end of the list */
    } state;
    TAILQ_ENTRY(heap_page) entry; /* in that list */
    TAILQ_ENTRY(heap_page) all;
};

struct heap {
    size_t used, limit;                      /* bytes taken from the system */
    size_t small;                            /* HEAP_SMALL, or 0: every block from malloc, for the
                                                sanitizers */
    struct heap_page *current[HEAP_CLASSES]; /* never NULL */
    struct heap_pages room[HEAP_CLASSES];
    struct heap_pages pages; /* all */
    size_t npages, nempty;
    struct heap_page none; /* the current one of a class that has none: it has no block */
};

void heap_init(struct heap *heap, size_t limit, bool pooled);

/* Frees every small block at once; the Lua state must have been closed. */
void heap_clear(struct heap *heap);

/* A lua_Alloc; heap is its first argument.  What gets smaller always succeeds, for which the
 * limit may be exceeded by a page. */
void *heap_alloc(void *heap, void *block, size_t old_size, size_t new_size);

#endif
