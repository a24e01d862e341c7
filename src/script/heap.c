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

static inline void *block_new(struct heap *heap, size_t size)
{
    void **list, *block;

    if (size > heap->small)
        return malloc(size);
    list = list_of(heap, size);
    block = *list;
    if (!block)
        return small_cut(heap, size);
    memcpy(list, block, sizeof *list);
    return block;
}

static inline void block_free(struct heap *heap, void *block, size_t size)
{
    void **list;

    if (size > heap->small) {
        free(block);
        return;
    }
    list = list_of(heap, size);
    memcpy(block, list, sizeof *list);
    *list = block;
}

static void *block_resize(struct heap *heap, void *old, size_t old_size, size_t size)
{
    void *block;

    if (old_size > heap->small && size > heap->small)
        return realloc(old, size);
    if (old_size <= heap->small && size <= heap->small &&
        list_of(heap, old_size) == list_of(heap, size))
        return old;
    block = block_new(heap, size);
    if (!block)
        return NULL;
    memcpy(block, old, old_size < size ? old_size : size);
    block_free(heap, old, old_size);
    return block;
}

void *heap_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    struct heap *heap = ud;

    if (new_size == 0) {
        if (!block)
            return NULL;
        heap->used -= old_size;
        block_free(heap, block, old_size);
        return NULL;
    }
    if (!block)
        old_size = 0; /* Lua passes the kind of object there */
    if (new_size > old_size && new_size - old_size > heap->limit - heap->used)
        return NULL;
    block = block ? block_resize(heap, block, old_size, new_size) : block_new(heap, new_size);
    if (block)
        heap->used += new_size - old_size;
    return block;
}
