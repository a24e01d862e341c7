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

static size_t class_of(size_t size)
{
    return (size + HEAP_STEP - 1) / HEAP_STEP;
}

/* Cuts one more block of a class; the rest of a chunk that is too small is left unused. */
static void *small_cut(struct heap *heap, size_t class)
{
    size_t size = class * HEAP_STEP;
    char *block;

    if (size > (size_t)(heap->cut_end - heap->cut)) {
        char *chunk = malloc(HEAP_CHUNK);

        if (!chunk)
            return NULL;
        memcpy(chunk, &heap->chunks, sizeof heap->chunks);
        heap->chunks = chunk;
        heap->cut = chunk + HEAP_STEP;
        heap->cut_end = chunk + HEAP_CHUNK;
    }
    block = heap->cut;
    heap->cut += size;
    return block;
}

static void *block_new(struct heap *heap, size_t size)
{
    size_t class = class_of(size);
    void *block;

    if (size > heap->small)
        return malloc(size);
    block = heap->unused[class];
    if (!block)
        return small_cut(heap, class);
    memcpy(&heap->unused[class], block, sizeof block);
    return block;
}

static void block_free(struct heap *heap, void *block, size_t size)
{
    size_t class = class_of(size);

    if (size > heap->small) {
        free(block);
        return;
    }
    memcpy(block, &heap->unused[class], sizeof block);
    heap->unused[class] = block;
}

static void *block_resize(struct heap *heap, void *old, size_t old_size, size_t size)
{
    void *block;

    if (old_size > heap->small && size > heap->small)
        return realloc(old, size);
    if (old_size <= heap->small && size <= heap->small && class_of(old_size) == class_of(size))
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

    if (!block)
        old_size = 0; /* Lua passes the kind of object there */
    if (new_size == 0) {
        if (block)
            block_free(heap, block, old_size);
        heap->used -= old_size;
        return NULL;
    }
    if (new_size > old_size && new_size - old_size > heap->limit - heap->used)
        return NULL;
    block = block ? block_resize(heap, block, old_size, new_size) : block_new(heap, new_size);
    if (block)
        heap->used += new_size - old_size;
    return block;
}
