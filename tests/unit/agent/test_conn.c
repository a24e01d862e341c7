#include "agent/conn.h"

#include "peer.h"

static const char handlers[] = "function ok(args) return { ['txn.ok'] = args.n } end\n"
                               "function late(args)\n"
                               "  spoa.sleep(0.001)\n"
                               "  return { ['txn.late'] = args.n }\n"
                               "end\n"
                               "function forever() spoa.sleep(1000) end\n"
                               "function big(args) return { ['txn.b'] = ('b'):rep(args.n) } end\n";

/* ---- HELLO ---- */

static void check_hello(enum pipelining pipelining, unsigned capabilities, const char *expected,
                        bool single)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    desk_prepare(&desk, handlers);
    desk.options.pipelining = pipelining;
    desk_begin(&desk);
    peer_open(&peer, &desk, SOCK_STREAM);
    peer_hello_put(&out, capabilities);
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    peer_expect(&peer, expected);
    ck_assert(desk_conn(&desk)->single == single);
    ck_assert_str_eq(desk_conn(&desk)->engine_id, "engine");
    ck_assert_int_eq(desk_conn(&desk)->state, CONN_RUNNING);
    peer_notify(&peer, 1, 1, "ok:1");
    peer_expect(&peer, "ACK 1/1: set-var txn.ok int64 1");
    peer_close(&peer);
    desk_close(&desk);
}

#define PLAIN "AGENT-HELLO 16384 fragmentation"
#define PIPES "AGENT-HELLO 16384 pipelining fragmentation"

START_TEST(pipelining_auto)
{
    check_hello(PIPELINING_AUTO, HELLO_PIPELINING | HELLO_ASYNC, PIPES, false);
    check_hello(PIPELINING_AUTO, HELLO_PIPELINING | HELLO_ASYNC | HELLO_FRAGMENTATION, PIPES,
                false);
    check_hello(PIPELINING_AUTO, HELLO_PIPELINING, PLAIN, true);
    check_hello(PIPELINING_AUTO, HELLO_ASYNC, PLAIN, false);
    check_hello(PIPELINING_AUTO, 0, PLAIN, true);
}
END_TEST

START_TEST(pipelining_on)
{
    check_hello(PIPELINING_ON, HELLO_PIPELINING | HELLO_ASYNC, PIPES, false);
    check_hello(PIPELINING_ON, HELLO_PIPELINING, PIPES, false);
    check_hello(PIPELINING_ON, 0, PLAIN, true);
}
END_TEST

START_TEST(pipelining_off)
{
    check_hello(PIPELINING_OFF, HELLO_PIPELINING | HELLO_ASYNC, PLAIN, false);
    check_hello(PIPELINING_OFF, HELLO_PIPELINING, PLAIN, true);
    check_hello(PIPELINING_OFF, 0, PLAIN, true);
}
END_TEST

static void check_size(uint32_t theirs, uint32_t ours, const char *expected)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    struct hello hello = {.max_frame_size = theirs, .engine_id = {"", 0}};

    desk_prepare(&desk, handlers);
    desk.options.max_frame_size = ours;
    desk_begin(&desk);
    peer_open(&peer, &desk, SOCK_STREAM);
    hello_put_haproxy(&out, &hello);
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    peer_expect(&peer, expected);
    peer_close(&peer);
    desk_close(&desk);
}

START_TEST(the_lower_size)
{
    check_size(16384, 1u << 20, "AGENT-HELLO 16384 fragmentation");
    check_size(16384, 4000, "AGENT-HELLO 4000 fragmentation");
    check_size(256, 4000, "AGENT-HELLO 256 fragmentation");
    check_size(UINT32_MAX, 1u << 20, "AGENT-HELLO 1048576 fragmentation");
    check_size(255, 4000, "AGENT-DISCONNECT 9");
}
END_TEST

START_TEST(healthcheck)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    struct hello hello = {.max_frame_size = 16380, .healthcheck = true, .engine_id = {"", 0}};

    desk_open(&desk, handlers);
    peer_open(&peer, &desk, SOCK_STREAM);
    hello_put_haproxy(&out, &hello);
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    peer_expect(&peer, "AGENT-HELLO 4096 fragmentation");
    peer_expect(&peer, "END");
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_HEALTHCHECKS), 1);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* One byte a record: nothing depends on how bytes come together. */
START_TEST(byte_by_byte)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[1024];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    desk_open(&desk, handlers);
    peer_open(&peer, &desk, SOCK_STREAM);
    peer_hello_put(&out, HELLO_PIPELINING | HELLO_ASYNC);
    peer_notify_put(&out, 1, 1, "ok:1 late:2");
    peer_notify_put(&out, 2, 1, "ok:3");
    for (uint8_t *at = bytes; at < out.at; at++) {
        peer_send(&peer, at, 1);
        ev_run(desk.stage.loop, EVRUN_NOWAIT);
    }
    peer_expect(&peer, PIPES);
    for (int i = 0; i < 2; i++) {
        const char *text = peer_next(&peer);

        ck_assert_msg(
            strcmp(text, "ACK 2/1: set-var txn.ok int64 3") == 0 ||
                strcmp(text, "ACK 1/1: set-var txn.late int64 2; set-var txn.ok int64 1") == 0,
            "%s", text);
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

static void check_refused_first(enum frame_type type, uint32_t flags, uint64_t id,
                                const char *payload, size_t len)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_open(&peer, &desk, SOCK_STREAM);
    peer_frame(&peer, type, flags, id, id, (struct span){payload, len});
    peer_expect(&peer, "AGENT-DISCONNECT 4");
    peer_expect(&peer, "END");
    ck_assert_uint_eq(desk.agent->metrics->refused[STATUS_INVALID], 1);
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    desk_close(&desk);
}

START_TEST(nothing_before_hello)
{
    check_refused_first(FRAME_NOTIFY, FRAME_FIN, 1, "\x02ok\x00", 4);
    check_refused_first(FRAME_UNSET, FRAME_FIN, 1, "", 0);
    check_refused_first(FRAME_HAPROXY_DISCONNECT, FRAME_FIN, 0, "", 0);
    check_refused_first(FRAME_AGENT_HELLO, FRAME_FIN, 0, "", 0);
    check_refused_first(FRAME_HAPROXY_HELLO, 0, 0, "", 0);
    check_refused_first(FRAME_HAPROXY_HELLO, FRAME_FIN, 1, "", 0);
    check_refused_first((enum frame_type)50, FRAME_FIN, 0, "", 0);
}
END_TEST

START_TEST(frames_that_do_not_belong_here)
{
    static const enum frame_type types[] = {FRAME_HAPROXY_HELLO, FRAME_AGENT_HELLO,
                                            FRAME_AGENT_DISCONNECT, FRAME_ACK};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct desk desk;
        struct peer peer;

        desk_open(&desk, handlers);
        peer_greet(&peer, &desk);
        /* Unknown ones are skipped. */
        peer_frame(&peer, (enum frame_type)50, FRAME_FIN, 1, 1, (struct span){"junk", 4});
        peer_notify(&peer, 1, 1, "ok:1");
        peer_expect(&peer, "ACK 1/1: set-var txn.ok int64 1");
        peer_frame(&peer, types[i], FRAME_FIN, 0, 0, (struct span){"", 0});
        peer_expect(&peer, "AGENT-DISCONNECT 4");
        peer_expect(&peer, "END");
        peer_close(&peer);
        desk_close(&desk);
    }
}
END_TEST

START_TEST(frame_too_big)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    /* Refused for its length field alone: the frame never comes. */
    peer_send(&peer, "\x00\x00\x40\x01", 4);
    peer_expect(&peer, "AGENT-DISCONNECT 3");
    peer_expect(&peer, "END");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(hello_too_big)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_open(&peer, &desk, SOCK_STREAM);
    peer_send(&peer, "GET / HTTP/1.1\r\n\r\n", 18);
    peer_expect(&peer, "AGENT-DISCONNECT 3");
    peer_expect(&peer, "END");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* What a refused peer sends besides is not looked at. */
START_TEST(nothing_after_a_refusal)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    frame_end(&out, frame_begin(&out, FRAME_ACK, FRAME_FIN, 1, 1));
    peer_notify_put(&out, 1, 1, "ok:1");
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    peer_notify(&peer, 2, 1, "ok:1");
    peer_expect(&peer, "AGENT-DISCONNECT 4");
    peer_expect(&peer, "END");
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 0);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* Time goes on only while nothing else is under way, and anew with each frame that came whole. */
START_TEST(half_a_frame)
{
    struct desk desk;
    struct peer stuck, busy;
    uint8_t bytes[256];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    size_t half;

    desk_prepare(&desk, handlers);
    desk.options.fragment_timeout = 0.05;
    desk_begin(&desk);
    peer_greet(&busy, &desk);
    peer_notify(&busy, 1, 1, "forever");
    peer_notify_put(&out, 2, 1, "ok:2");
    half = (size_t)(out.at - bytes) / 2;
    peer_send(&busy, bytes, half);
    desk_settle(&desk);

    peer_greet(&stuck, &desk);
    peer_send(&stuck, bytes, half);
    peer_expect(&stuck, "AGENT-DISCONNECT 2");
    peer_expect(&stuck, "END");

    peer_send(&busy, bytes + half, (size_t)(out.at - bytes) - half);
    peer_expect(&busy, "ACK 2/1: set-var txn.ok int64 2");
    peer_close(&busy);
    peer_close(&stuck);
    desk_close(&desk);
}
END_TEST

/* ---- output ---- */

/* How many whole frames there are in the next thing the agent wrote. */
static unsigned frames_in_a_write(struct peer *peer)
{
    unsigned n = 0;

    ck_assert_uint_eq(peer->len, peer->used);
    while (!peer_read(peer)) {
        ev_io_start(peer->desk->stage.loop, &peer->readable);
        stage_turn(&peer->desk->stage);
        ev_io_stop(peer->desk->stage.loop, &peer->readable);
    }
    while (peer_here(peer))
        n++;
    ck_assert_uint_eq(peer->len, peer->used);
    return n;
}

START_TEST(many_frames_one_write)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[4096];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    desk_open(&desk, handlers);
    peer_open(&peer, &desk, SOCK_SEQPACKET);
    peer_hello_put(&out, HELLO_PIPELINING | HELLO_ASYNC);
    for (uint64_t i = 1; i <= 20; i++)
        peer_notify_put(&out, i, 1, "ok:1");
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    ck_assert_uint_eq(frames_in_a_write(&peer), 1); /* a HELLO waits for no turn */
    ck_assert_uint_eq(frames_in_a_write(&peer), 20);

    out = wire_out_open(bytes, sizeof bytes);
    peer_notify_put(&out, 21, 1, "forever");
    for (uint64_t i = 22; i <= 24; i++)
        peer_notify_put(&out, i, 1, "ok:1");
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    ck_assert_uint_eq(frames_in_a_write(&peer), 3);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(out_of_order)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify_put(&out, 1, 1, "late:1");
    peer_notify_put(&out, 2, 1, "ok:2");
    peer_notify_put(&out, 3, 1, "ok:3");
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    peer_expect(&peer, "ACK 2/1: set-var txn.ok int64 2");
    peer_expect(&peer, "ACK 3/1: set-var txn.ok int64 3");
    peer_expect(&peer, "ACK 1/1: set-var txn.late int64 1");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* ---- back-pressure ---- */

START_TEST(max_pending_holds)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk.options.max_pending = 3;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    peer_notify_many(&peer, 1, 10, "forever");
    peer_silent(&peer);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 3);
    ck_assert_uint_eq(desk_conn(&desk)->pending, 3);
    ck_assert(!ev_is_active(&desk_conn(&desk)->reader));
    peer_notify_many(&peer, 11, 300, "ok:1");
    peer_silent(&peer);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 3);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(max_pending_goes_on)
{
    enum { MANY = 300 };
    struct desk desk;
    struct peer peer;
    static uint8_t bytes[1u << 16];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    bool seen[MANY + 1] = {false};

    desk_prepare(&desk, handlers);
    desk.options.max_pending = 2;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    for (uint64_t i = 1; i <= MANY; i += 3) {
        peer_notify_put(&out, i, 1, "ok:1");
        peer_notify_put(&out, i + 1, 1, "late:1");
        peer_notify_put(&out, i + 2, 1, "ok:1");
    }
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    for (int i = 0; i < MANY; i++) {
        unsigned id;

        ck_assert_int_eq(sscanf(peer_next(&peer), "ACK %u/1: set-var", &id), 1);
        ck_assert(id >= 1 && id <= MANY && !seen[id]);
        seen[id] = true;
        ck_assert_uint_le(desk_conn(&desk)->pending, 2);
    }
    peer_silent(&peer);
    ck_assert(ev_is_active(&desk_conn(&desk)->reader));
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* A connection that is not read: its end is noticed all the same. */
START_TEST(gone_while_held)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk.options.max_pending = 1;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "forever");
    peer_silent(&peer);
    ck_assert(!ev_is_active(&desk_conn(&desk)->reader));
    peer_close(&peer);
    while (desk.agent->nconns)
        stage_turn(&desk.stage);
    ck_assert_uint_eq(desk.agent->script->tasks.count, 0);
    desk_close(&desk);
}
END_TEST

/* Nobody reads the replies: after max-output bytes of them no more NOTIFYs are read, and all go
 * on when somebody does. */
START_TEST(max_output)
{
    enum { MANY = 400 };
    struct desk desk;
    struct peer peer;
    struct conn *conn;
    int size = 4096;

    desk_prepare(&desk, handlers);
    desk.options.max_output = 20000;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    conn = desk_conn(&desk);
    ck_assert_int_eq(setsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    for (uint64_t i = 1; i <= MANY; i += 40) {
        peer_notify_many(&peer, i, i + 39, "big:3000");
        desk_settle(&desk);
        ck_assert_uint_lt(buf_len(&conn->out), 20000 + 3100);
    }
    ck_assert_uint_lt(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 100);
    ck_assert(!ev_is_active(&conn->reader));
    for (uint64_t i = 1; i <= MANY; i++) {
        char expected[64];

        snprintf(expected, sizeof expected, "ACK %" PRIu64 "/1: set-var txn.b str bbbbb", i);
        ck_assert_int_eq(strncmp(peer_next(&peer), expected, strlen(expected)), 0);
    }
    peer_silent(&peer);
    ck_assert(ev_is_active(&conn->reader));
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* ---- time ---- */

START_TEST(hello_that_never_comes)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk.options.hello_timeout = 0.01;
    desk_begin(&desk);
    peer_open(&peer, &desk, SOCK_STREAM);
    peer_expect(&peer, "END");
    ck_assert_uint_eq(desk.agent->nconns, 0);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(hello_that_stops_halfway)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_open(&peer, &desk, SOCK_STREAM);
    peer_send(&peer, "\x00\x00", 2);
    desk_settle(&desk);
    ck_assert_uint_eq(buf_len(&desk_conn(&desk)->in), 2);
    ck_assert(ev_is_active(&desk_conn(&desk)->patience.timer));
    ev_feed_event(desk.stage.loop, &desk_conn(&desk)->patience.timer, EV_TIMER);
    peer_expect(&peer, "AGENT-DISCONNECT 2");
    peer_expect(&peer, "END");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* The HELLO's time is not a connection's: it may be idle for ever. */
START_TEST(idle)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    ck_assert(!ev_is_active(&desk_conn(&desk)->patience.timer));
    peer_notify(&peer, 1, 1, "ok:1");
    peer_expect(&peer, "ACK 1/1: set-var txn.ok int64 1");
    ck_assert(!ev_is_active(&desk_conn(&desk)->patience.timer));
    /* An empty buffer owns nothing. */
    ck_assert_ptr_null(desk_conn(&desk)->in.bytes);
    ck_assert_ptr_null(desk_conn(&desk)->out.bytes);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(peer_that_never_reads)
{
    struct desk desk;
    struct peer peer;
    int size = 4096;

    desk_prepare(&desk, handlers);
    desk.options.write_timeout = 0.01;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    ck_assert_int_eq(setsockopt(desk_conn(&desk)->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size),
                     0);
    peer_notify_many(&peer, 1, 50, "big:10000 forever");
    peer_notify_many(&peer, 51, 100, "big:10000");
    while (desk.agent->nconns)
        stage_turn(&desk.stage);
    ck_assert_uint_eq(desk.agent->script->tasks.count, 0);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* ---- the end ---- */

START_TEST(goodbye)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_say_goodbye(&peer);
    peer_expect(&peer, "AGENT-DISCONNECT 0");
    peer_expect(&peer, "END");
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    desk_close(&desk);
}
END_TEST

/* What is in flight is answered first; what comes after a goodbye is not read. */
START_TEST(goodbye_with_work_in_flight)
{
    struct desk desk;
    struct peer peer;
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify_put(&out, 1, 1, "late:1");
    disconnect_put(&out, FRAME_HAPROXY_DISCONNECT, STATUS_NORMAL);
    peer_notify_put(&out, 2, 1, "ok:2");
    peer_send(&peer, bytes, (size_t)(out.at - bytes));
    peer_notify(&peer, 3, 1, "ok:3");
    peer_expect(&peer, "ACK 1/1: set-var txn.late int64 1");
    peer_expect(&peer, "AGENT-DISCONNECT 0");
    peer_expect(&peer, "END");
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 1);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(peer_stops_writing)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "ok:1");
    peer_notify(&peer, 2, 1, "forever");
    ck_assert_int_eq(shutdown(peer.fd, SHUT_WR), 0);
    peer_expect(&peer, "ACK 1/1: set-var txn.ok int64 1");
    peer_expect(&peer, "END");
    ck_assert_uint_eq(desk.agent->script->tasks.count, 0);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(gone_with_half_a_frame)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_send(&peer, "\x00\x00\x10\x00\x03", 5);
    desk_settle(&desk);
    ck_assert_uint_eq(buf_len(&desk_conn(&desk)->in), 5);
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    desk_close(&desk);
}
END_TEST

START_TEST(gone_before_its_answer)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    for (uint64_t i = 1; i <= 20; i++)
        peer_notify(&peer, i, 1, "ok:1 late:2");
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    ck_assert_uint_eq(desk.agent->script->tasks.count, 0);
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("conn", half_a_frame, pipelining_auto, pipelining_on, pipelining_off, the_lower_size,
          healthcheck, byte_by_byte, nothing_before_hello, frames_that_do_not_belong_here,
          frame_too_big, hello_too_big, nothing_after_a_refusal, many_frames_one_write,
          out_of_order, max_pending_holds, max_pending_goes_on, gone_while_held, max_output,
          hello_that_never_comes, hello_that_stops_halfway, idle, peer_that_never_reads, goodbye,
          goodbye_with_work_in_flight, peer_stops_writing, gone_with_half_a_frame,
          gone_before_its_answer)
