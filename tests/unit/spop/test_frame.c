#include "spop/frame.h"

#include "../unit.h"
#include "exact.h"

#define MAX 16380

/* NOTIFY, FIN, stream 1, frame 1, payload "hi". */
#define NOTIFY "\0\0\0\x09\x03\0\0\0\x01\x01\x01hi"

START_TEST(frame_is_read_exactly)
{
    uint8_t *block = exact_new(BYTES(NOTIFY));
    struct frame frame;
    size_t used;

    ck_assert_uint_eq(frame_get(block, 13, MAX, &frame, &used), FRAME_OK);
    ck_assert_uint_eq(used, 13);
    ck_assert_uint_eq(frame.type, FRAME_NOTIFY);
    ck_assert_uint_eq(frame.flags, FRAME_FIN);
    ck_assert_uint_eq(frame.stream_id, 1);
    ck_assert_uint_eq(frame.frame_id, 1);
    ck_assert(!frame.payload.bad);
    ck_assert_uint_eq(wire_left(&frame.payload), 2);
    ck_assert_ptr_eq(frame.payload.at, block + 11);
    exact_free(block, 13);
}
END_TEST

START_TEST(frame_cut_is_partial_and_tells_its_size)
{
    for (size_t cut = 0; cut < 13; cut++) {
        uint8_t *block = exact_new(NOTIFY, cut);
        struct frame frame;
        size_t used = 999;
        ck_assert_uint_eq(frame_get(block, cut, MAX, &frame, &used), FRAME_PARTIAL);
        ck_assert_uint_eq(used, cut < 4 ? 4 : 13);
        exact_free(block, cut);
    }
}
END_TEST

START_TEST(following_frame_is_left_alone)
{
    uint8_t *block = exact_new(BYTES(NOTIFY "\0\0\0"));
    struct frame frame;
    size_t used;

    ck_assert_uint_eq(frame_get(block, 16, MAX, &frame, &used), FRAME_OK);
    ck_assert_uint_eq(used, 13);
    ck_assert_uint_eq(wire_left(&frame.payload), 2);
    ck_assert_uint_eq(frame_get(block + used, 3, MAX, &frame, &used), FRAME_PARTIAL);
    ck_assert_uint_eq(used, 4);
    exact_free(block, 16);
}
END_TEST

START_TEST(empty_payload_is_a_frame)
{
    struct frame frame;
    size_t used;

    ck_assert_uint_eq(
        frame_get((const uint8_t *)"\0\0\0\x07\x67\0\0\0\x03\0\0", 11, MAX, &frame, &used),
        FRAME_OK);
    ck_assert_uint_eq(used, 11);
    ck_assert_uint_eq(frame.type, FRAME_ACK);
    ck_assert_uint_eq(frame.flags, FRAME_FIN | FRAME_ABORT);
    ck_assert(wire_done(&frame.payload) && !frame.payload.bad);
}
END_TEST

START_TEST(size_is_judged_by_the_length_alone)
{
    struct frame frame;
    size_t used;
    uint8_t length[4] = {0, 0, 0x3f, 0xfc}; /* 16380 */
    uint8_t above[4] = {0, 0, 0x3f, 0xfd};
    uint8_t most[4] = {0xff, 0xff, 0xff, 0xff};

    ck_assert_uint_eq(frame_get(length, 4, MAX, &frame, &used), FRAME_PARTIAL);
    ck_assert_uint_eq(used, 16384);
    ck_assert_uint_eq(frame_get(above, 4, MAX, &frame, &used), FRAME_TOO_BIG);
    ck_assert_uint_eq(frame_get(above, 3, MAX, &frame, &used), FRAME_PARTIAL);
    ck_assert_uint_eq(frame_get(most, 4, MAX, &frame, &used), FRAME_TOO_BIG);
    ck_assert_uint_eq(frame_get(most, 4, UINT32_MAX, &frame, &used), FRAME_PARTIAL);
    ck_assert_uint_eq(used, UINT64_C(0x100000003));
}
END_TEST

START_TEST(too_short_for_its_header_is_invalid)
{
    for (uint8_t length = 0; length < 7; length++) {
        uint8_t bytes[16] = {0, 0, 0, length, FRAME_NOTIFY};
        struct frame frame;
        size_t used;
        ck_assert_uint_eq(frame_get(bytes, sizeof bytes, MAX, &frame, &used), FRAME_INVALID);
        ck_assert_uint_eq(frame_get(bytes, 4, MAX, &frame, &used), FRAME_INVALID);
    }
}
END_TEST

/* An id may not go on behind its frame, even when there are bytes that would end it. */
START_TEST(ids_stay_within_their_frame)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {BYTES("\0\0\0\x07\x03\0\0\0\x01\xf0\x00\x01\x01")},     /* no frame-id left */
        {BYTES("\0\0\0\x07\x03\0\0\0\x01\x01\xf0\x00\x01")},     /* frame-id cut */
        {BYTES("\0\0\0\x07\x03\0\0\0\x01\xff\xff\x00\x01")},     /* stream-id cut */
        {BYTES("\0\0\0\x08\x03\0\0\0\x01\x00\xff\xff\x00\x01")}, /* frame-id cut later */
        {BYTES("\0\0\0\x10\x03\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00")},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *block = exact_new(rows[i].bytes, rows[i].len);
        struct frame frame;
        size_t used;
        ck_assert_uint_eq(frame_get(block, rows[i].len, MAX, &frame, &used), FRAME_INVALID);
        exact_free(block, rows[i].len);
    }
}
END_TEST

START_TEST(ids_are_exact_at_every_edge)
{
    static const uint64_t ids[] = {0,
                                   1,
                                   239,
                                   240,
                                   2287,
                                   2288,
                                   INT32_MAX,
                                   UINT32_MAX,
                                   INT64_MAX,
                                   33818863,
                                   33818864,
                                   UINT64_MAX,
                                   UINT64_MAX - 1,
                                   264431,
                                   264432,
                                   INT64_MAX + UINT64_C(1)};
    const size_t count = sizeof ids / sizeof *ids;

    for (size_t i = 0; i < count * count; i++) {
        uint8_t bytes[FRAME_HEAD_MAX];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        uint64_t stream_id = ids[i / count], frame_id = ids[i % count];
        struct frame frame;
        size_t used;
        frame_end(&out, frame_begin(&out, FRAME_ACK, FRAME_FIN, stream_id, frame_id));
        ck_assert(!out.full);
        size_t len = (size_t)(out.at - bytes);
        ck_assert_uint_eq(frame_get(bytes, len, FRAME_SIZE_MIN, &frame, &used), FRAME_OK);
        ck_assert_uint_eq(used, len);
        ck_assert_uint_eq(frame.stream_id, stream_id);
        ck_assert_uint_eq(frame.frame_id, frame_id);
        ck_assert(wire_done(&frame.payload));
    }
}
END_TEST

START_TEST(longest_header_is_as_long_as_its_constant)
{
    uint8_t bytes[FRAME_HEAD_MAX];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    frame_begin(&out, FRAME_ACK, UINT32_MAX, UINT64_MAX, UINT64_MAX);
    ck_assert(!out.full);
    ck_assert_ptr_eq(out.at, out.end);
}
END_TEST

START_TEST(flags_are_big_endian)
{
    uint8_t bytes[FRAME_HEAD_MAX];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    struct frame frame;
    size_t used;

    frame_end(&out, frame_begin(&out, FRAME_UNSET, 0x80010203, 5, 6));
    ck_assert_mem_eq(bytes, "\0\0\0\x07\0\x80\x01\x02\x03\x05\x06", 11);
    ck_assert_uint_eq(frame_get(bytes, 11, MAX, &frame, &used), FRAME_OK);
    ck_assert_uint_eq(frame.flags, 0x80010203);
    ck_assert_uint_eq(frame.type, FRAME_UNSET);
}
END_TEST

static void encode_notify(struct wire_out *out)
{
    uint8_t *begin = frame_begin(out, FRAME_NOTIFY, FRAME_FIN, 1, 1);

    wire_put_bytes(out, "hi", 2);
    frame_end(out, begin);
}

START_TEST(frame_that_does_not_fit_leaves_a_full_cursor)
{
    exact_rooms(BYTES(NOTIFY), encode_notify);
}
END_TEST

/* Several frames share one buffer, and each length is its own. */
START_TEST(frames_are_written_one_behind_another)
{
    uint8_t bytes[700];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    struct frame frame;
    size_t used;
    uint8_t *begin;

    encode_notify(&out);
    begin = frame_begin(&out, FRAME_ACK, FRAME_FIN, 240, 0);
    ck_assert_ptr_eq(begin, bytes + 13);
    ck_assert_ptr_nonnull(memset(wire_put_room(&out, 600), 'x', 600));
    frame_end(&out, begin);
    ck_assert(!out.full);

    size_t len = (size_t)(out.at - bytes);
    ck_assert_uint_eq(frame_get(bytes, len, MAX, &frame, &used), FRAME_OK);
    ck_assert_uint_eq(used, 13);
    ck_assert_uint_eq(frame_get(bytes + 13, len - 13, MAX, &frame, &used), FRAME_OK);
    ck_assert_uint_eq(used, len - 13);
    ck_assert_uint_eq(frame.stream_id, 240);
    ck_assert_uint_eq(wire_left(&frame.payload), 600);
}
END_TEST

START_TEST(types_have_the_specification_s_names)
{
    static const struct {
        uint8_t type;
        const char *name;
    } rows[] = {
        {0, "UNSET"},     {1, "HAPROXY-HELLO"}, {2, "HAPROXY-DISCONNECT"},
        {3, "NOTIFY"},    {101, "AGENT-HELLO"}, {102, "AGENT-DISCONNECT"},
        {103, "ACK"},     {4, "unknown"},       {100, "unknown"},
        {104, "unknown"}, {255, "unknown"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(frame_type_name(rows[i].type), rows[i].name);
}
END_TEST

UNIT_MAIN("frame", frame_is_read_exactly, frame_cut_is_partial_and_tells_its_size,
          following_frame_is_left_alone, empty_payload_is_a_frame,
          size_is_judged_by_the_length_alone, too_short_for_its_header_is_invalid,
          ids_stay_within_their_frame, ids_are_exact_at_every_edge,
          longest_header_is_as_long_as_its_constant, flags_are_big_endian,
          frame_that_does_not_fit_leaves_a_full_cursor, frames_are_written_one_behind_another,
          types_have_the_specification_s_names)
