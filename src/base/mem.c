#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void *mem_must(void *block, size_t size)
{
    if (block)
        return block;
    log_write(LEVEL_ERR, "out of memory: %zu bytes could not be had", size);
    abort();
}

void *mem_alloc(size_t size)
{
    return mem_must(malloc(size ? size : 1), size);
}

void *mem_zalloc(size_t size)
{
    return mem_must(calloc(1, size ? size : 1), size);
}

void *mem_resize(void *old, size_t size)
{
    return mem_must(realloc(old, size ? size : 1), size);
}

char *mem_strndup(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);

    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}
