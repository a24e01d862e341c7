#include "agent/unread.h"

#include <arpa/inet.h>
#include <sys/ioctl.h>

#include "base/clock.h"

#include "peer.h"

/* What peer.h's HELLO means: its max-frame-size and the four bytes before a frame. */
#define LIMIT (16384 + 4)

static const char handlers[] = "function big(args) return { ['txn.b'] = ('b'):rep(args.n) } end\n";

/* Bytes that the peer could read at once. */
static int readable(const struct peer *peer)
{
    int waiting;

    ck_assert_int_eq(ioctl(peer->fd, FIONREAD, &waiting), 0);
    return waiting;
}

static void ask(struct peer *peer, uint64_t stream_id, unsigned size)
{
    char message[32];

    snprintf(message, sizeof message, "big:%u", size);
    peer_notify(peer, stream_id, 1, message);
    desk_settle(peer->desk);
    ck_assert_int_lt(readable(peer), LIMIT);
}

/* Whether the agent had read the next NOTIFY, and so knew, when it wrote: as turns have it. */
#define ANY_SIZE SIZE_MAX

/* The ACK is next, with about so many bytes: 0 is one without actions. */
static void expect_ack(struct peer *peer, uint64_t stream_id, size_t size)
{
    struct ev_loop *loop = peer->desk->stage.loop;
    struct frame frame;
    size_t used;

    while (frame_get(peer->in + peer->used, peer->len - peer->used, 1u << 20, &frame, &used) !=
           FRAME_OK) {
        ck_assert_int_lt(readable(peer), LIMIT);
        ck_assert(!peer->over);
        if (peer_read(peer))
            continue;
        ev_io_start(loop, &peer->readable);
        stage_turn(&peer->desk->stage);
        ev_io_stop(loop, &peer->readable);
    }
    peer->used += used;
    ck_assert_int_eq(frame.type, FRAME_ACK);
    ck_assert_uint_eq(frame.stream_id, stream_id);
    ck_assert_uint_eq(frame.flags, FRAME_FIN);
    if (size == ANY_SIZE)
        return;
    ck_assert_uint_ge(wire_left(&frame.payload), size);
    ck_assert_uint_le(wire_left(&frame.payload), size ? size + 20 : 0);
}

/* ---- on a unix socket ---- */

/* Two of them fit, and a NOTIFY tells that what is older than the one before has been read. */
START_TEST(below_half_nothing_is_held)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet_single(&peer, &desk);
    for (uint64_t id = 1; id < 20; id += 2) {
        peer_notify(&peer, id, 1, "big:8100");
        desk_settle(&desk);
        ck_assert_int_gt(readable(&peer), 8100 * (int)(id + 1) / 2);
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(held_until_read)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet_single(&peer, &desk);
    for (uint64_t id = 1; id < 20; id += 4) {
        ask(&peer, id, 9000);
        ask(&peer, id + 2, 9000);
        expect_ack(&peer, id, 9000);
        expect_ack(&peer, id + 2, 9000);
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(held_and_given_up)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet_single(&peer, &desk);
    ask(&peer, 1, 16300);
    ask(&peer, 3, 16000);
    ask(&peer, 300000, 12000);
    ask(&peer, 5, 8);
    ask(&peer, 7, 16000);
    expect_ack(&peer, 1, 16300);
    expect_ack(&peer, 3, 0);
    expect_ack(&peer, 300000, 0);
    expect_ack(&peer, 5, 8);
    expect_ack(&peer, 7, 16000);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* Of NOTIFYs that came in one read only the last is waited for. */
START_TEST(given_up_before_they_were_read)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[1024];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    desk_open(&desk, handlers);
    peer_greet_single(&peer, &desk);
    for (uint64_t id = 1; id <= 9; id += 2)
        peer_notify_put(&out, id, 1, "big:16000");
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    for (uint64_t id = 1; id <= 7; id += 2)
        expect_ack(&peer, id, ANY_SIZE);
    expect_ack(&peer, 9, 16000);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(goodbye_is_held_too)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet_single(&peer, &desk);
    ask(&peer, 1, 16350);
    peer_say_goodbye(&peer);
    desk_settle(&desk);
    ck_assert_int_lt(readable(&peer), LIMIT);
    expect_ack(&peer, 1, 16350);
    peer_expect(&peer, "AGENT-DISCONNECT 0");
    peer_expect(&peer, "END");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(held_by_a_peer_that_never_reads)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk.options.write_timeout = 0.02;
    desk_begin(&desk);
    peer_greet_single(&peer, &desk);
    ask(&peer, 1, 9000);
    peer_notify(&peer, 3, 1, "big:9000");
    while (desk.agent->nconns)
        stage_turn(&desk.stage);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(gone_while_held)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet_single(&peer, &desk);
    ask(&peer, 1, 9000);
    ask(&peer, 3, 9000);
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    desk_close(&desk);
}
END_TEST

/* ---- on TCP ---- */

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(ioctl(fds[0], FIONBIO, &(int){1}), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(fds[1], 0);
    close(listener);
}

START_TEST(held_for_a_while)
{
    struct desk desk;
    struct peer peer;
    uint64_t began;
    int fds[2];

    desk_prepare(&desk, handlers);
    desk.options.write_timeout = 0.001; /* which is not for this */
    desk_begin(&desk);
    tcp_pair(fds);
    peer_attach(&peer, &desk, fds);
    peer_hello_single(&peer);
    for (uint64_t id = 1; id < 12; id += 4) {
        began = clock_look();
        peer_notify(&peer, id, 1, "big:9000");
        expect_ack(&peer, id, 9000);
        peer_notify(&peer, id + 2, 1, "big:9000");
        expect_ack(&peer, id + 2, 9000);
        ck_assert_double_ge(clock_seconds(began, clock_look()), 0.05);
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("unread", below_half_nothing_is_held, held_until_read, held_and_given_up,
          given_up_before_they_were_read, goodbye_is_held_too, held_by_a_peer_that_never_reads,
          gone_while_held, held_for_a_while)
