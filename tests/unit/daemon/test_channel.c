#include "daemon/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit.h"

/* One end and what it was told; the other end is plain, or another of these. */
struct side {
    struct channel channel;
    unsigned packets;
    bool ended;
    struct packet last;
    char text[CHANNEL_TEXT + 1];
    uint32_t expected; /* numbers must come in order from here */
};

static void on_received(void *context, const struct packet *packet)
{
    struct side *side = context;

    ck_assert_uint_eq(packet->number, side->expected + side->packets);
    ck_assert_uint_eq(strlen(packet->text), packet->len);
    side->packets++;
    side->last = *packet;
    memcpy(side->text, packet->text, packet->len + 1);
}

static void on_ended(void *context)
{
    ((struct side *)context)->ended = true;
}

static struct ev_loop *sides_open(struct side *one, struct side *other)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    int ends[2];

    *one = *other = (struct side){.packets = 0};
    ck_assert(channel_pair(ends));
    channel_open(&one->channel, loop, ends[0], on_received, on_ended, one);
    channel_open(&other->channel, loop, ends[1], on_received, on_ended, other);
    return loop;
}

static void settle(struct ev_loop *loop)
{
    for (int i = 0; i < 100; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

static struct packet packet_of(uint32_t number, const char *text, int fd)
{
    return (struct packet){CHANNEL_CONN, number, text, strlen(text), fd};
}

START_TEST(a_packet_with_a_descriptor)
{
    struct side one, other;
    struct ev_loop *loop = sides_open(&one, &other);
    struct packet packet;
    char byte;
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    packet = packet_of(0, "127.0.0.1:4242", ends[0]);
    ck_assert(channel_send(&one.channel, &packet));
    ck_assert_int_eq(read(ends[0], &byte, 1), -1); /* it was closed here */
    settle(loop);
    ck_assert_uint_eq(other.packets, 1);
    ck_assert_int_eq(other.last.type, CHANNEL_CONN);
    ck_assert_str_eq(other.text, "127.0.0.1:4242");
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    ck_assert_int_eq(read(other.last.fd, &byte, 1), 1);
    close(ends[1]);
    close(other.last.fd);
    packet = packet_of(0, "", -1);
    ck_assert(channel_send(&other.channel, &packet));
    settle(loop);
    ck_assert_uint_eq(one.packets, 1);
    ck_assert_int_eq(one.last.fd, -1);
    channel_close(&one.channel);
    channel_close(&other.channel);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(what_the_socket_does_not_take_waits_in_order)
{
    struct side one, other;
    struct ev_loop *loop = sides_open(&one, &other);
    static char text[8192];
    unsigned sent = 0;

    memset(text, 'x', sizeof text - 1);
    while (!channel_behind(&one.channel) || sent < 200) {
        struct packet packet = packet_of(sent++, text, -1);

        ck_assert(channel_send(&one.channel, &packet));
        ck_assert_uint_lt(sent, 100000);
    }
    settle(loop);
    ck_assert(!channel_behind(&one.channel));
    ck_assert_uint_eq(other.packets, sent);
    channel_close(&one.channel);
    channel_close(&other.channel);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(the_other_side_is_gone)
{
    struct side one, other;
    struct ev_loop *loop = sides_open(&one, &other);
    struct packet packet;
    int ends[2];

    channel_close(&other.channel);
    ck_assert_int_eq(pipe(ends), 0);
    packet = packet_of(0, "", ends[0]);
    ck_assert(!channel_send(&one.channel, &packet));
    ck_assert_int_eq(close(ends[0]), 0); /* it is still ours */
    close(ends[1]);
    settle(loop);
    ck_assert(one.ended);
    ck_assert_uint_eq(one.packets, 0);
    channel_close(&one.channel);
    channel_close(&one.channel);
    ck_assert(!channel_send(&one.channel, &(struct packet){.text = "", .fd = -1}));
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(what_waits_is_dropped_at_the_end)
{
    struct side one, other;
    struct ev_loop *loop = sides_open(&one, &other);
    static char text[8192];
    unsigned sent = 0;
    int ends[2];
    struct packet last;
    char byte;

    memset(text, 'x', sizeof text - 1);
    while (!channel_behind(&one.channel)) {
        struct packet packet = packet_of(sent++, text, -1);

        ck_assert(channel_send(&one.channel, &packet));
    }
    ck_assert_int_eq(pipe(ends), 0);
    last = packet_of(sent, "", ends[1]);
    ck_assert(channel_send(&one.channel, &last));
    channel_close(&one.channel);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* the descriptor that waited is closed */
    close(ends[0]);
    channel_close(&other.channel);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(long_texts_are_cut)
{
    struct side one, other;
    struct ev_loop *loop = sides_open(&one, &other);
    static char text[2 * CHANNEL_TEXT];
    struct packet packet;

    memset(text, 'x', sizeof text - 1);
    packet = packet_of(0, text, -1);
    ck_assert(channel_send(&one.channel, &packet));
    settle(loop);
    ck_assert_uint_eq(other.last.len, CHANNEL_TEXT);
    channel_close(&one.channel);
    channel_close(&other.channel);
    ev_loop_destroy(loop);
}
END_TEST

UNIT_MAIN("channel", a_packet_with_a_descriptor, what_the_socket_does_not_take_waits_in_order,
          the_other_side_is_gone, what_waits_is_dropped_at_the_end, long_texts_are_cut)
