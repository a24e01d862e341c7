#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

void buf_pool_init(struct buf_pool *pool, size_t block, unsigned keep)
{
    *pool = (struct buf_pool){.block = block, .keep = keep};
}

void buf_pool_clear(struct buf_pool *pool)
{
    while (pool->unused) {
        void *block = pool->unused;

        memcpy(&pool->unused, block, sizeof pool->unused);
        free(block);
    }
    pool->count = 0;
}

static void *pool_get(struct buf_pool *pool)
{
    void *block = pool->unused;

    if (!block)
        return mem_alloc(pool->block);
    memcpy(&pool->unused, block, sizeof pool->unused);
    pool->count--;
    return block;
}

static void pool_put(struct buf_pool *pool, void *block)
{
    if (pool->count == pool->keep) {
        free(block);
        return;
    }
    memcpy(block, &pool->unused, sizeof pool->unused);
    pool->unused = block;
    pool->count++;
}

void buf_init(struct buf *buf, struct buf_pool *pool)
{
    *buf = (struct buf){.pool = pool};
}

void buf_clear(struct buf *buf)
{
    if (buf->cap == buf->pool->block)
        pool_put(buf->pool, buf->bytes);
    else
        free(buf->bytes);
    buf_init(buf, buf->pool);
}

static void buf_grow(struct buf *buf, size_t need)
{
    size_t cap = buf->cap, len = buf_len(buf);
    uint8_t *bytes;

    while (cap < need)
        cap *= 2;
    bytes = mem_alloc(cap);
    memcpy(bytes, buf_head(buf), len);
    buf_clear(buf);
    *buf = (struct buf){.pool = buf->pool, .bytes = bytes, .end = len, .cap = cap};
}

uint8_t *buf_room(struct buf *buf, size_t n)
{
    if (!buf->bytes) {
        buf->bytes = pool_get(buf->pool);
        buf->cap = buf->pool->block;
    }
    if (n <= buf->cap - buf->end)
        return buf->bytes + buf->end;
    if (n + buf_len(buf) > buf->cap) {
        buf_grow(buf, n + buf_len(buf));
    } else {
        memmove(buf->bytes, buf_head(buf), buf_len(buf));
        buf->end -= buf->start;
        buf->start = 0;
    }
    return buf->bytes + buf->end;
}

void buf_take(struct buf *buf, size_t n)
{
    buf->start += n;
    if (buf->start == buf->end)
        buf_clear(buf);
}

ssize_t buf_fill(struct buf *buf, int fd, size_t n, bool *full)
{
    uint8_t *room = buf_room(buf, n);
    size_t size = buf->cap - buf->end;
    ssize_t got = recv(fd, room, size, 0);

    if (got > 0)
        buf_added(buf, (size_t)got);
    else if (buf_len(buf) == 0)
        buf_clear(buf);
    *full = got > 0 && (size_t)got == size;
    return got;
}

ssize_t buf_flush(struct buf *buf, int fd)
{
    return buf_send(buf, fd, buf_len(buf));
}

ssize_t buf_send(struct buf *buf, int fd, size_t most)
{
    ssize_t sent = send(fd, buf_head(buf), most, MSG_NOSIGNAL);

    if (sent > 0)
        buf_take(buf, (size_t)sent);
    return sent;
}
