#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit.h"

#define BLOCK 64

/* n bytes that tell their place in a stream. */
static void put(struct buf *buf, size_t from, size_t n)
{
    uint8_t *room = buf_room(buf, n);

    for (size_t i = 0; i < n; i++)
        room[i] = (uint8_t)((from + i) * 7);
    buf_added(buf, n);
}

/* Check writes down each assertion that holds, so in long loops there is none but this. */
static void must(bool good)
{
    if (!good)
        ck_abort_msg("not the bytes that were put");
}

static void expect(const struct buf *buf, size_t from, size_t n)
{
    must(buf_len(buf) == n);
    for (size_t i = 0; i < n; i++)
        must(buf_head(buf)[i] == (uint8_t)((from + i) * 7));
}

static void pair(int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void unpair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

START_TEST(empty_owns_nothing)
{
    struct buf_pool pool;
    struct buf buf;

    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    ck_assert_uint_eq(buf_len(&buf), 0);
    ck_assert_ptr_null(buf.bytes);
    buf_clear(&buf);
    put(&buf, 0, 10);
    ck_assert_ptr_nonnull(buf.bytes);
    buf_take(&buf, 4);
    expect(&buf, 4, 6);
    ck_assert_uint_eq(pool.count, 0);
    buf_take(&buf, 6);
    ck_assert_ptr_null(buf.bytes);
    ck_assert_uint_eq(buf_len(&buf), 0);
    ck_assert_uint_eq(pool.count, 1);
    buf_clear(&buf);
    ck_assert_uint_eq(pool.count, 1);
    buf_pool_clear(&pool);
    ck_assert_uint_eq(pool.count, 0);
    ck_assert_ptr_null(pool.unused);
}
END_TEST

START_TEST(blocks_are_used_again)
{
    struct buf_pool pool;
    struct buf one, two;
    const uint8_t *block;

    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&one, &pool);
    buf_init(&two, &pool);
    put(&one, 0, 1);
    block = one.bytes;
    buf_clear(&one);
    put(&two, 0, 1);
    ck_assert_ptr_eq(two.bytes, block);
    ck_assert_uint_eq(pool.count, 0);
    buf_clear(&two);
    buf_pool_clear(&pool);
}
END_TEST

START_TEST(pool_keeps_so_many_and_no_more)
{
    struct buf_pool pool;
    struct buf bufs[5];

    buf_pool_init(&pool, BLOCK, 2);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 5; i++) {
            buf_init(&bufs[i], &pool);
            put(&bufs[i], i, BLOCK);
        }
        ck_assert_uint_eq(pool.count, 0);
        for (size_t i = 0; i < 5; i++) {
            expect(&bufs[i], i, BLOCK);
            buf_clear(&bufs[i]);
            ck_assert_uint_eq(pool.count, i < 2 ? i + 1 : 2);
        }
    }
    buf_pool_clear(&pool);
}
END_TEST

START_TEST(what_a_block_holds_is_not_moved)
{
    struct buf_pool pool;
    struct buf buf;
    const uint8_t *block;

    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    put(&buf, 0, 1);
    block = buf.bytes;
    for (size_t n = 1; n < BLOCK; n++)
        put(&buf, n, 1);
    ck_assert_ptr_eq(buf_head(&buf), block);
    expect(&buf, 0, BLOCK);
    buf_clear(&buf);
    buf_pool_clear(&pool);
}
END_TEST

/* Room that taken bytes have left at the front is used before memory is asked for. */
START_TEST(taken_bytes_make_room)
{
    struct buf_pool pool;
    struct buf buf;
    const uint8_t *block;

    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    put(&buf, 0, 60);
    block = buf.bytes;
    buf_take(&buf, 50);
    expect(&buf, 50, 10);
    put(&buf, 60, BLOCK - 10);
    ck_assert_ptr_eq(buf.bytes, block);
    ck_assert_uint_eq(buf.cap, BLOCK);
    expect(&buf, 50, BLOCK);
    buf_clear(&buf);
    buf_pool_clear(&pool);
}
END_TEST

START_TEST(growth_gives_the_block_back)
{
    struct buf_pool pool;
    struct buf buf;

    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    put(&buf, 0, 60);
    buf_take(&buf, 7);
    put(&buf, 60, 500);
    ck_assert_uint_eq(pool.count, 1);
    expect(&buf, 7, 553);
    put(&buf, 560, 5000);
    expect(&buf, 7, 5553);
    ck_assert_uint_eq(pool.count, 1);
    buf_take(&buf, 5000);
    expect(&buf, 5007, 553);
    /* Memory of its own is freed, and the next bytes begin in a block again. */
    buf_take(&buf, 553);
    ck_assert_ptr_null(buf.bytes);
    ck_assert_uint_eq(pool.count, 1);
    put(&buf, 0, 1);
    ck_assert_uint_eq(buf.cap, BLOCK);
    ck_assert_uint_eq(pool.count, 0);
    buf_clear(&buf);
    buf_pool_clear(&pool);
}
END_TEST

START_TEST(more_than_a_block_at_once)
{
    struct buf_pool pool;
    struct buf buf;

    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    put(&buf, 3, BLOCK + 1);
    expect(&buf, 3, BLOCK + 1);
    buf_clear(&buf);
    buf_pool_clear(&pool);
}
END_TEST

/* Against a queue that is nothing but two numbers. */
START_TEST(any_order_of_puts_and_takes)
{
    struct buf_pool pool;
    struct buf buf;
    size_t head = 0, tail = 0;

    srand(1);
    buf_pool_init(&pool, BLOCK, 1);
    buf_init(&buf, &pool);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % (rand() % 10 ? 40 : 300);

        if (rand() % 2) {
            put(&buf, tail, n);
            tail += n;
        } else {
            n = n < tail - head ? n : tail - head;
            buf_take(&buf, n);
            head += n;
        }
        expect(&buf, head, tail - head);
    }
    buf_clear(&buf);
    buf_pool_clear(&pool);
}
END_TEST

/* ---- sockets ---- */

START_TEST(fill_takes_what_is_there)
{
    struct buf_pool pool;
    struct buf buf;
    int fds[2];
    bool full = true;

    pair(fds);
    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    ck_assert_int_eq(write(fds[1], "hello", 5), 5);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), 5);
    ck_assert(!full);
    ck_assert_uint_eq(buf_len(&buf), 5);
    ck_assert_int_eq(write(fds[1], " you", 4), 4);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), 4);
    ck_assert_uint_eq(buf_len(&buf), 9);
    ck_assert_mem_eq(buf_head(&buf), "hello you", 9);
    buf_clear(&buf);
    buf_pool_clear(&pool);
    unpair(fds);
}
END_TEST

START_TEST(fill_says_when_its_room_was_used_up)
{
    struct buf_pool pool;
    struct buf buf;
    int fds[2];
    bool full = false;
    char bytes[BLOCK + 10];

    pair(fds);
    memset(bytes, 'x', sizeof bytes);
    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    ck_assert_int_eq(write(fds[1], bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), BLOCK);
    ck_assert(full);
    buf_take(&buf, BLOCK - 4);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), 10);
    ck_assert(!full);
    ck_assert_uint_eq(buf_len(&buf), 14);
    buf_clear(&buf);
    buf_pool_clear(&pool);
    unpair(fds);
}
END_TEST

START_TEST(fill_has_the_room_it_was_asked_for)
{
    struct buf_pool pool;
    struct buf buf;
    int fds[2];
    bool full;
    char bytes[5 * BLOCK];

    pair(fds);
    memset(bytes, 'x', sizeof bytes);
    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    ck_assert_int_eq(write(fds[1], bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(buf_fill(&buf, fds[0], sizeof bytes, &full), sizeof bytes);
    ck_assert_uint_eq(buf_len(&buf), sizeof bytes);
    buf_clear(&buf);
    buf_pool_clear(&pool);
    unpair(fds);
}
END_TEST

/* Nothing came: an empty buf gives its block back, another keeps what it has. */
START_TEST(fill_of_nothing)
{
    struct buf_pool pool;
    struct buf buf;
    int fds[2];
    bool full = true;

    pair(fds);
    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert(!full);
    ck_assert_ptr_null(buf.bytes);
    ck_assert_uint_eq(pool.count, 1);
    put(&buf, 0, 3);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), -1);
    expect(&buf, 0, 3);
    close(fds[1]);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), 0);
    expect(&buf, 0, 3);
    buf_take(&buf, 3);
    ck_assert_int_eq(buf_fill(&buf, fds[0], 1, &full), 0);
    ck_assert(!full);
    ck_assert_ptr_null(buf.bytes);
    buf_pool_clear(&pool);
    close(fds[0]);
}
END_TEST

START_TEST(flush_sends_and_forgets)
{
    struct buf_pool pool;
    struct buf buf;
    int fds[2];
    char bytes[16];

    pair(fds);
    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    memcpy(buf_room(&buf, 5), "hello", 5);
    buf_added(&buf, 5);
    buf_take(&buf, 1);
    ck_assert_int_eq(buf_flush(&buf, fds[0]), 4);
    ck_assert_ptr_null(buf.bytes);
    ck_assert_uint_eq(pool.count, 1);
    ck_assert_int_eq(read(fds[1], bytes, sizeof bytes), 4);
    ck_assert_mem_eq(bytes, "ello", 4);
    buf_pool_clear(&pool);
    unpair(fds);
}
END_TEST

/* More than the socket takes: the rest stays, in order, through as many rounds as it needs. */
START_TEST(flush_in_parts)
{
    struct buf_pool pool;
    struct buf buf;
    int fds[2], size = 4096;
    const size_t total = 1u << 20;
    size_t seen = 0;
    unsigned parts = 0;

    pair(fds);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    put(&buf, 0, total);
    while (seen < total) {
        uint8_t bytes[1024];
        ssize_t n;

        if (buf_len(&buf) && buf_flush(&buf, fds[0]) > 0)
            parts++;
        while ((n = read(fds[1], bytes, sizeof bytes)) > 0) {
            for (ssize_t i = 0; i < n; i++, seen++)
                must(bytes[i] == (uint8_t)(seen * 7));
        }
    }
    ck_assert_uint_gt(parts, 1);
    ck_assert_ptr_null(buf.bytes);
    buf_pool_clear(&pool);
    unpair(fds);
}
END_TEST

/* No SIGPIPE, and nothing is lost by the attempt. */
START_TEST(flush_to_nobody)
{
    struct buf_pool pool;
    struct buf buf;
    int fds[2];

    pair(fds);
    close(fds[1]);
    buf_pool_init(&pool, BLOCK, 4);
    buf_init(&buf, &pool);
    put(&buf, 0, 5);
    ck_assert_int_eq(buf_flush(&buf, fds[0]), -1);
    ck_assert_int_eq(errno, EPIPE);
    expect(&buf, 0, 5);
    buf_clear(&buf);
    buf_pool_clear(&pool);
    close(fds[0]);
}
END_TEST

UNIT_MAIN("buf", empty_owns_nothing, blocks_are_used_again, pool_keeps_so_many_and_no_more,
          what_a_block_holds_is_not_moved, taken_bytes_make_room, growth_gives_the_block_back,
          more_than_a_block_at_once, any_order_of_puts_and_takes, fill_takes_what_is_there,
          fill_says_when_its_room_was_used_up, fill_has_the_room_it_was_asked_for, fill_of_nothing,
          flush_sends_and_forgets, flush_in_parts, flush_to_nobody)
