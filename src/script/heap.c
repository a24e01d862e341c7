#include "script/heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* malloc keeps this much of its own before each block: so pages lie one beside the other. */
#define PAGE_ROOM_BYTES (HEAP_PAGE - 16)

#define PAGE_FIRST ((sizeof(struct heap_page) + HEAP_STEP - 1) / HEAP_STEP * HEAP_STEP)

void heap_init(struct heap *heap, size_t limit, bool pooled)
{
    *heap = (struct heap){.limit = limit, .small = pooled ? HEAP_SMALL : 0};
    TAILQ_INIT(&heap->pages);
    for (size_t i = 0; i < HEAP_CLASSES; i++) {
        TAILQ_INIT(&heap->room[i]);
        heap->current[i] = &heap->none;
    }
}

void heap_clear(struct heap *heap)
{
    while (!TAILQ_EMPTY(&heap->pages)) {
        struct heap_page *page = TAILQ_FIRST(&heap->pages);

        TAILQ_REMOVE(&heap->pages, page, all);
        free(page);
    }
}

/* ---- pages ---- */

static inline size_t class_of(size_t size)
{
    return (size + HEAP_STEP - 1) / HEAP_STEP;
}

static inline struct heap_page *page_of(const void *block)
{
    return (struct heap_page *)((uintptr_t)block & ~(uintptr_t)(HEAP_PAGE - 1));
}

/* How many blocks a page has. */
static size_t page_blocks(const struct heap_page *page)
{
    return (PAGE_ROOM_BYTES - PAGE_FIRST) / page->size;
}

static struct heap_pages *page_list(struct heap *heap, const struct heap_page *page)
{
    return &heap->room[class_of(page->size)];
}

static bool page_can_give(const struct heap_page *page)
{
    return page->unused ||
           (page->size && (size_t)((const char *)page + PAGE_ROOM_BYTES - page->cut) >= page->size);
}

static struct heap_page *page_new(struct heap *heap)
{
    void *at;
    struct heap_page *page;

    if (posix_memalign(&at, HEAP_PAGE, PAGE_ROOM_BYTES) != 0)
        return NULL;
    page = at;
    TAILQ_INSERT_TAIL(&heap->pages, page, all);
    heap->used += HEAP_PAGE;
    heap->npages++;
    return page;
}

static void page_free(struct heap *heap, struct heap_page *page)
{
    TAILQ_REMOVE(&heap->pages, page, all);
    heap->used -= HEAP_PAGE;
    heap->npages--;
    free(page);
}

/* All of the page's blocks are to be of this size. */
static void page_format(struct heap_page *page, size_t size)
{
    page->unused = NULL;
    page->cut = (char *)page + PAGE_FIRST;
    page->size = size;
    page->left = 0;
}

/* Out of its class's list. */
static void page_unlist(struct heap *heap, struct heap_page *page)
{
    TAILQ_REMOVE(page_list(heap, page), page, entry);
    heap->nempty -= page->state == PAGE_EMPTY;
}

/* One is given back more than there are before anybody looks: the current page stays. */
static void page_make_current(struct heap *heap, struct heap_page *page)
{
    page->state = PAGE_CURRENT;
    page->left++;
    heap->current[class_of(page->size)] = page;
}

/* An empty page of any class, no longer in its list, or NULL. */
static struct heap_page *page_take_empty(struct heap *heap)
{
    for (size_t i = 0; heap->nempty && i < HEAP_CLASSES; i++) {
        struct heap_page *page = TAILQ_LAST(&heap->room[i], heap_pages);

        if (page && page->state == PAGE_EMPTY) {
            page_unlist(heap, page);
            return page;
        }
    }
    return NULL;
}

/* `left` blocks of a page have been given back.  Half of all pages may lie empty: about so many
 * does Lua need again until it collects the next time. */
__attribute__((noinline)) static void *page_turns(struct heap *heap, struct heap_page *page)
{
    if (page->state == PAGE_FULL) {
        page->state = PAGE_ROOM;
        page->left = page_blocks(page) - 1;
        TAILQ_INSERT_HEAD(page_list(heap, page), page, entry);
        return NULL;
    }
    page_unlist(heap, page);
    page->state = PAGE_EMPTY;
    TAILQ_INSERT_TAIL(page_list(heap, page), page, entry);
    heap->nempty++;
    while (heap->nempty > heap->npages / 2)
        page_free(heap, page_take_empty(heap));
    return NULL;
}

/* Whether so much more may be taken from the system, for which empty pages go back to it. */
static bool may_take(struct heap *heap, size_t size)
{
    while (size > heap->limit || heap->used > heap->limit - size) {
        struct heap_page *page = page_take_empty(heap);

        if (!page)
            return false;
        page_free(heap, page);
    }
    return true;
}

/* ---- small blocks ---- */

/* The class's current page has a block to give; false when none has. */
static bool class_ready(struct heap *heap, size_t class)
{
    struct heap_page *page = heap->current[class];

    if (page_can_give(page))
        return true;
    if (TAILQ_EMPTY(&heap->room[class]))
        return false;
    if (page != &heap->none) {
        page->state = PAGE_FULL;
        page->left = 1;
    }
    page = TAILQ_FIRST(&heap->room[class]);
    page_unlist(heap, page);
    page_make_current(heap, page);
    return true;
}

/* Another page for the class, which has no block left; within the limit unless it must. */
static bool class_grow(struct heap *heap, size_t class, bool must)
{
    struct heap_page *full = heap->current[class], *page = page_take_empty(heap);

    if (!page && (must || may_take(heap, HEAP_PAGE)))
        page = page_new(heap);
    if (!page)
        return false;
    if (full != &heap->none) {
        full->state = PAGE_FULL;
        full->left = 1;
    }
    page_format(page, class * HEAP_STEP);
    page_make_current(heap, page);
    return true;
}

static void *class_take(struct heap *heap, size_t class)
{
    struct heap_page *page = heap->current[class];
    void *block = page->unused;

    if (block) {
        memcpy(&page->unused, block, sizeof page->unused);
    } else {
        block = page->cut;
        page->cut += page->size;
    }
    page->left++;
    return block;
}

/* What heap_new is too short for; at the limit a larger class's block will do. */
__attribute__((noinline)) static void *small_new(struct heap *heap, size_t size, bool must)
{
    size_t class = class_of(size);

    if (class_ready(heap, class) || class_grow(heap, class, false))
        return class_take(heap, class);
    for (size_t other = class + 1; other < HEAP_CLASSES; other++) {
        if (class_ready(heap, other))
            return class_take(heap, other);
    }
    return must && class_grow(heap, class, true) ? class_take(heap, class) : NULL;
}

/* ---- large blocks ---- */

__attribute__((noinline)) static void *large_new(struct heap *heap, size_t size)
{
    void *block = may_take(heap, size) ? malloc(size) : NULL;

    if (block)
        heap->used += size;
    return block;
}

__attribute__((noinline)) static void *large_drop(struct heap *heap, void *block, size_t size)
{
    heap->used -= size;
    free(block);
    return NULL;
}

static void *large_resize(struct heap *heap, void *block, size_t old_size, size_t size)
{
    void *moved;

    if (size > old_size && !may_take(heap, size - old_size))
        return NULL;
    moved = realloc(block, size);
    if (moved)
        heap->used += size - old_size;
    return moved;
}

/* ---- for Lua ---- */

/* These two are what a message costs: they end in jumps, which is why those that drop return
 * NULL. */

static inline void *heap_new(struct heap *heap, size_t size)
{
    struct heap_page *page;
    void *block;

    if (size > heap->small)
        return large_new(heap, size);
    page = heap->current[class_of(size)];
    block = page->unused;
    if (!block)
        return small_new(heap, size, false);
    memcpy(&page->unused, block, sizeof page->unused);
    page->left++;
    return block;
}

static inline void *heap_drop(struct heap *heap, void *block, size_t size)
{
    struct heap_page *page;

    if (size > heap->small)
        return large_drop(heap, block, size);
    page = page_of(block);
    memcpy(block, &page->unused, sizeof page->unused);
    page->unused = block;
    return --page->left == 0 ? page_turns(heap, page) : NULL;
}

__attribute__((noinline)) static void *heap_resize(struct heap *heap, void *old, size_t old_size,
                                                   size_t size)
{
    bool smaller = size <= old_size;
    void *block;

    if (old_size > heap->small && size > heap->small)
        return large_resize(heap, old, old_size, size);
    if (old_size <= heap->small && size <= heap->small && class_of(old_size) == class_of(size))
        return old;
    block = heap_new(heap, size);
    if (!block && smaller) {
        if (old_size <= heap->small)
            return old; /* a page knows its blocks' size by itself */
        block = small_new(heap, size, true);
    }
    if (!block)
        return NULL;
    memcpy(block, old, smaller ? size : old_size);
    heap_drop(heap, old, old_size);
    return block;
}

void *heap_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    struct heap *heap = ud;

    if (!block) /* old_size is the kind of object then */
        return new_size ? heap_new(heap, new_size) : NULL;
    if (new_size)
        return heap_resize(heap, block, old_size, new_size);
    return heap_drop(heap, block, old_size);
}
