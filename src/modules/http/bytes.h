/*
 * bytes: a block that grows.
 */
#ifndef MODULES_HTTP_BYTES_H
#define MODULES_HTTP_BYTES_H

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct http_bytes {
    char *at;
    size_t len, cap;
};

static inline void http_bytes_add(struct http_bytes *bytes, const char *at, size_t len)
{
    if (!len)
        return;
    if (len > bytes->cap - bytes->len) {
        size_t twice = 2 * bytes->cap, need = bytes->len + len;

        bytes->cap = need > twice ? need : twice;
        if (bytes->cap < 512)
            bytes->cap = 512;
        bytes->at = mem_resize(bytes->at, bytes->cap);
    }
    memcpy(bytes->at + bytes->len, at, len);
    bytes->len += len;
}

/* Empty; the memory stays for the next use unless it is more than keep bytes. */
static inline void http_bytes_reset(struct http_bytes *bytes, size_t keep)
{
    bytes->len = 0;
    if (bytes->cap <= keep)
        return;
    free(bytes->at);
    bytes->at = NULL;
    bytes->cap = 0;
}

#endif
