#include "script/heap.h"

#include <stdlib.h>
#include <string.h>

#define HEAP_CHUNK (64 * 1024)

void heap_init(struct heap *heap, size_t limit, bool pooled)
{
    *heap = (struct heap){.limit = limit, .small = pooled ? HEAP_SMALL : 0};
}

void heap_clear(struct heap *heap)
{
    while (heap->chunks) {
        void *chunk = heap->chunks;

        memcpy(&heap->chunks, chunk, sizeof heap->chunks);
        free(chunk);
    }
}

/* The list that blocks of this size are on. */
static inline void **list_of(struct heap *heap, size_t size)
{
    return &heap->unused[(size + HEAP_STEP - 1) / HEAP_STEP];
}

/* Cuts one more small block; the rest of a chunk that is too small is left unused. */
static void *small_cut(struct heap *heap, size_t size)
{
    size_t room = (size + HEAP_STEP - 1) / HEAP_STEP * HEAP_STEP;
    char *block;

    if (room > (size_t)(heap->cut_end - heap->cut)) {
        char *chunk = malloc(HEAP_CHUNK);

        if (!chunk)
            return NULL;
        memcpy(chunk, &heap->chunks, sizeof heap->chunks);
        heap->chunks = chunk;
        heap->cut = chunk + HEAP_STEP;
        heap->cut_end = chunk + HEAP_CHUNK;
    }
    block = heap->cut;
    heap->cut += room;
    return block;
}

/* What heap_new and heap_drop are too short for; kept out of line so that they stay short. */
__attribute__((noinline)) static void *heap_new_slowly(struct heap *heap, size_t size)
{
    void *block = size > heap->small ? malloc(size) : small_cut(heap, size);

    if (block)
        heap->used += size;
    return block;
}

/* The limit has been looked at. */
static inline void *heap_new(struct heap *heap, size_t size)
{
    void **list, *block;

    if (size > heap->small)
        return heap_new_slowly(heap, size);
    list = list_of(heap, size);
    block = *list;
    if (!block)
        return heap_new_slowly(heap, size);
    memcpy(list, block, sizeof *list);
    heap->used += size;
    return block;
}

static inline void heap_drop(struct heap *heap, void *block, size_t size)
{
    void **list;

    heap->used -= size;
    if (size > heap->small) {
        free(block);
        return;
    }
    list = list_of(heap, size);
    memcpy(block, list, sizeof *list);
    *list = block;
}

/* Both sizes from malloc: let it move the block, or not. */
static void *heap_realloc(struct heap *heap, void *block, size_t old_size, size_t size)
{
    void *moved = realloc(block, size);

    if (moved)
        heap->used += size - old_size;
    return moved;
}

__attribute__((noinline)) static void *heap_resize(struct heap *heap, void *old, size_t old_size,
                                                   size_t size)
{
    void *block;

    if (size > old_size && size - old_size > heap->limit - heap->used)
        return NULL;
    if (old_size > heap->small && size > heap->small)
        return heap_realloc(heap, old, old_size, size);
    if (old_size <= heap->small && size <= old_size &&
        list_of(heap, old_size) == list_of(heap, size)) {
        heap->used += size - old_size;
        return old;
    }
    block = heap_new(heap, size);
    if (!block)
        return NULL;
    memcpy(block, old, old_size < size ? old_size : size);
    heap_drop(heap, old, old_size);
    return block;
}

void *heap_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    struct heap *heap = ud;

    if (!block) /* old_size is the kind of object then */
        return new_size && new_size <= heap->limit - heap->used ? heap_new(heap, new_size) : NULL;
    if (new_size)
        return heap_resize(heap, block, old_size, new_size);
    heap_drop(heap, block, old_size);
    return NULL;
}
