/*
 * buf: a queue of bytes that borrows its memory from a pool while it holds any.
 *
 * Connections are mostly idle, so an empty buf owns nothing: it takes a block from its pool
 * when bytes come and gives it back when they are gone.  What needs more room than a block
 * gets memory of its own, which is freed instead of pooled.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf_pool {
    size_t block;  /* bytes */
    unsigned keep; /* unused blocks kept at the most */
    unsigned count;
    void *unused; /* a list through the blocks' first bytes */
};

struct buf {
    struct buf_pool *pool;
    uint8_t *bytes; /* NULL while there is nothing */
    size_t start, end, cap;
};

void buf_pool_init(struct buf_pool *pool, size_t block, unsigned keep);
void buf_pool_clear(struct buf_pool *pool);

void buf_init(struct buf *buf, struct buf_pool *pool);
void buf_clear(struct buf *buf);

static inline size_t buf_len(const struct buf *buf)
{
    return buf->end - buf->start;
}

static inline uint8_t *buf_head(const struct buf *buf)
{
    return buf->bytes + buf->start;
}

/* Room for n bytes behind the last one, moving what is there if need be.  Follow it with
 * buf_added for those that were written. */
uint8_t *buf_room(struct buf *buf, size_t n);

static inline void buf_added(struct buf *buf, size_t n)
{
    buf->end += n;
}

/* Drops the first n bytes. */
void buf_take(struct buf *buf, size_t n);

/*
 * One recv, of at least n bytes' room and as much as the block has.  As recv returns; *full
 * tells whether the room was used up, so that a second recv is only worth it then.
 */
ssize_t buf_fill(struct buf *buf, int fd, size_t n, bool *full);

/* One send of everything; what was sent is dropped.  As send returns. */
ssize_t buf_flush(struct buf *buf, int fd);

/* The same of so many bytes at the most. */
ssize_t buf_send(struct buf *buf, int fd, size_t most);

#endif
