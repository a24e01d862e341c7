#include "agent/fragments.h"

#include "peer.h"

static const char handlers[] = "function one(args) return { ['txn.n'] = args.n } end\n"
                               "function len(args) return { ['txn.len'] = #args.body } end\n"
                               "function ok() return { ['txn.ok'] = 1 } end\n";

/* The payload of a NOTIFY with these messages. */
static struct span payload_of(const char *messages)
{
    static uint8_t bytes[4096];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    peer_messages_put(&out, messages);
    return (struct span){(const char *)bytes, (size_t)(out.at - bytes)};
}

static struct span part(struct span whole, size_t from, size_t to)
{
    return (struct span){whole.at + from, to - from};
}

static void begin(struct peer *peer, uint64_t stream_id, struct span payload)
{
    peer_frame(peer, FRAME_NOTIFY, 0, stream_id, 1, payload);
}

static void go_on(struct peer *peer, uint64_t stream_id, struct span payload)
{
    peer_frame(peer, FRAME_UNSET, 0, stream_id, 1, payload);
}

static void end(struct peer *peer, uint64_t stream_id, struct span payload)
{
    peer_frame(peer, FRAME_UNSET, FRAME_FIN, stream_id, 1, payload);
}

static const struct span nothing = {"", 0};

/* Cut anywhere, its ends included, into two and into three. */
START_TEST(every_cut)
{
    struct desk desk;
    struct peer peer;
    struct span whole = payload_of("one:77 ok one:12345678");
    uint64_t id = 0;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    for (size_t a = 0; a <= whole.len; a++) {
        for (size_t b = a; b <= whole.len; b++) {
            char expected[128];

            begin(&peer, ++id, part(whole, 0, a));
            go_on(&peer, id, part(whole, a, b));
            end(&peer, id, part(whole, b, whole.len));
            snprintf(expected, sizeof expected,
                     "ACK %" PRIu64 "/1: set-var txn.n int64 12345678; set-var txn.n int64 77; "
                     "set-var txn.ok int64 1",
                     id);
            peer_expect(&peer, expected);
        }
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(byte_by_byte)
{
    struct desk desk;
    struct peer peer;
    struct span whole = payload_of("one:5");

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, nothing);
    for (size_t i = 0; i < whole.len; i++)
        go_on(&peer, 1, part(whole, i, i + 1));
    peer_silent(&peer);
    end(&peer, 1, nothing);
    peer_expect(&peer, "ACK 1/1: set-var txn.n int64 5");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* All of it empty is a NOTIFY without messages. */
START_TEST(nothing_in_pieces)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, nothing);
    go_on(&peer, 1, nothing);
    end(&peer, 1, nothing);
    peer_expect(&peer, "ACK 1/1");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* A body of so many bytes in frames of 10,000. */
static void send_body(struct peer *peer, uint64_t stream_id, size_t len)
{
    char *body = malloc(len);
    uint8_t *bytes = malloc(len + 64);
    struct wire_out out = wire_out_open(bytes, len + 64);
    struct value value;
    struct span whole;
    size_t at = 0;

    memset(body, 'b', len);
    value = value_bytes(VALUE_BIN, (struct span){body, len});
    message_put(&out, span_of("len"), 1);
    value_put_pair(&out, span_of("body"), &value);
    whole = (struct span){(char *)bytes, (size_t)(out.at - bytes)};
    begin(peer, stream_id, part(whole, 0, 10000));
    for (at = 10000; whole.len - at > 10000; at += 10000)
        go_on(peer, stream_id, part(whole, at, at + 10000));
    end(peer, stream_id, part(whole, at, whole.len));
    free(bytes);
    free(body);
}

START_TEST(large)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    send_body(&peer, 1, 480000);
    peer_expect(&peer, "ACK 1/1: set-var txn.len int64 480000");
    send_body(&peer, 2, 1000000);
    peer_expect(&peer, "ACK 2/1: set-var txn.len int64 1000000");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* Exactly max-payload is all right. */
START_TEST(so_large_and_no_larger)
{
    struct desk desk;
    struct peer peer;
    const size_t head = 1 + 3 + 1 + 1 + 4 + 1 + 3; /* of the message, before the body */

    desk_prepare(&desk, handlers);
    desk.options.max_payload = 50000;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    send_body(&peer, 1, 50000 - head);
    peer_expect(&peer, "ACK 1/1: set-var txn.len int64 49986");
    send_body(&peer, 2, 50000 - head + 1);
    peer_expect(&peer, "ACK ABORT 2/1: set-var txn.spoa_error str too_big");
    peer_silent(&peer);
    /* The pieces behind it are known for what they are, and nothing of them is kept. */
    send_body(&peer, 3, 300000);
    peer_expect(&peer, "ACK ABORT 3/1: set-var txn.spoa_error str too_big");
    peer_silent(&peer);
    ck_assert_ptr_null(desk_conn(&desk)->fragments.bytes);
    peer_notify(&peer, 4, 1, "ok");
    peer_expect(&peer, "ACK 4/1: set-var txn.ok int64 1");
    send_body(&peer, 5, 40000);
    peer_expect(&peer, "ACK 5/1: set-var txn.len int64 40000");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(first_piece_too_large)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk.options.max_payload = 5;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    begin(&peer, 1, payload_of("one:5"));
    peer_expect(&peer, "ACK ABORT 1/1: set-var txn.spoa_error str too_big");
    end(&peer, 1, payload_of("one:5"));
    peer_silent(&peer);
    peer_notify(&peer, 2, 1, "ok");
    peer_expect(&peer, "ACK 2/1: set-var txn.ok int64 1");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(too_slow)
{
    struct desk desk;
    struct peer peer;
    struct span whole = payload_of("one:5");

    desk_prepare(&desk, handlers);
    desk.options.fragment_timeout = 0.01;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    begin(&peer, 1, part(whole, 0, 3));
    peer_expect(&peer, "ACK ABORT 1/1: set-var txn.spoa_error str timeout");
    /* What comes too late is passed over. */
    end(&peer, 1, part(whole, 3, whole.len));
    peer_silent(&peer);
    peer_notify(&peer, 2, 1, "ok");
    peer_expect(&peer, "ACK 2/1: set-var txn.ok int64 1");
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_FRAMES_OUT_ACK), 2);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* Its rest never comes; HAProxy goes on with another. */
START_TEST(refused_and_begun_anew)
{
    struct desk desk;
    struct peer peer;
    struct span whole = payload_of("one:5");

    desk_prepare(&desk, handlers);
    desk.options.max_payload = whole.len;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    begin(&peer, 1, whole);
    go_on(&peer, 1, part(whole, 0, 1));
    peer_expect(&peer, "ACK ABORT 1/1: set-var txn.spoa_error str too_big");
    begin(&peer, 2, part(whole, 0, 3));
    end(&peer, 2, part(whole, 3, whole.len));
    peer_expect(&peer, "ACK 2/1: set-var txn.n int64 5");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* The stream is gone: nobody waits for an answer, and no handler runs on half a payload. */
START_TEST(aborted)
{
    struct desk desk;
    struct peer peer;
    struct span whole = payload_of("one:5 ok");

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, part(whole, 0, 8));
    peer_frame(&peer, FRAME_UNSET, FRAME_FIN | FRAME_ABORT, 1, 1, nothing);
    peer_silent(&peer);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 0);
    begin(&peer, 2, part(whole, 0, 8));
    end(&peer, 2, part(whole, 8, whole.len));
    peer_expect(&peer, "ACK 2/1: set-var txn.n int64 5; set-var txn.ok int64 1");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

static void expect_refused(struct peer *peer, const char *goodbye)
{
    peer_expect(peer, goodbye);
    peer_expect(peer, "END");
    ck_assert_uint_eq(metrics_get(peer->desk->agent->metrics, METRIC_NOTIFIES), 0);
    peer_close(peer);
    desk_close(peer->desk);
}

START_TEST(another_streams_piece)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, payload_of("one:5"));
    end(&peer, 2, nothing);
    expect_refused(&peer, "AGENT-DISCONNECT 11");
}
END_TEST

START_TEST(another_frames_piece)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, payload_of("one:5"));
    peer_frame(&peer, FRAME_UNSET, FRAME_FIN, 1, 2, nothing);
    expect_refused(&peer, "AGENT-DISCONNECT 11");
}
END_TEST

START_TEST(begun_twice)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, payload_of("one:5"));
    begin(&peer, 2, payload_of("one:5"));
    expect_refused(&peer, "AGENT-DISCONNECT 11");
}
END_TEST

START_TEST(whole_one_between)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, payload_of("one:5"));
    peer_notify(&peer, 2, 1, "ok");
    expect_refused(&peer, "AGENT-DISCONNECT 11");
}
END_TEST

START_TEST(stray_piece)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    end(&peer, 1, payload_of("one:5"));
    expect_refused(&peer, "AGENT-DISCONNECT 12");
}
END_TEST

START_TEST(malformed_in_pieces)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, payload_of("one:5"));
    end(&peer, 1, (struct span){"\x05x", 2});
    expect_refused(&peer, "AGENT-DISCONNECT 4");
}
END_TEST

/* Half a payload, and the connection is gone (AddressSanitizer looks). */
START_TEST(gone_in_the_middle)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    begin(&peer, 1, payload_of("one:5"));
    desk_settle(&desk);
    ck_assert(fragments_open(desk_conn(&desk)));
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("fragments", every_cut, byte_by_byte, nothing_in_pieces, large, so_large_and_no_larger,
          first_piece_too_large, too_slow, refused_and_begun_anew, aborted, another_streams_piece,
          another_frames_piece, begun_twice, whole_one_between, stray_piece, malformed_in_pieces,
          gone_in_the_middle)
