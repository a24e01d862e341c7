#include "spop/wire.h"

#include "../unit.h"
#include "exact.h"

/* Every length's first and last number, and the ends of the integer types. */
static const struct {
    uint64_t value;
    size_t size;
    const char *bytes;
} varints[] = {
    {0, 1, "\x00"},
    {1, 1, "\x01"},
    {127, 1, "\x7f"},
    {128, 1, "\x80"},
    {239, 1, "\xef"},
    {240, 2, "\xf0\x00"},
    {2287, 2, "\xff\x7f"},
    {2288, 3, "\xf0\x80\x00"},
    {264431, 3, "\xff\xff\x7f"},
    {264432, 4, "\xf0\x80\x80\x00"},
    {33818863, 4, "\xff\xff\xff\x7f"},
    {33818864, 5, "\xf0\x80\x80\x80\x00"},
    {INT32_MAX, 5, "\xff\xf0\xfe\xfe\x3e"},
    {INT32_MAX + UINT64_C(1), 5, "\xf0\xf1\xfe\xfe\x3e"},
    {UINT32_MAX, 5, "\xff\xf0\xfe\xfe\x7e"},
    {UINT32_MAX + UINT64_C(1), 5, "\xf0\xf1\xfe\xfe\x7e"},
    {4328786159, 5, "\xff\xff\xff\xff\x7f"},
    {4328786160, 6, "\xf0\x80\x80\x80\x80\x00"},
    {554084600047, 6, "\xff\xff\xff\xff\xff\x7f"},
    {554084600048, 7, "\xf0\x80\x80\x80\x80\x80\x00"},
    {70922828777711, 7, "\xff\xff\xff\xff\xff\xff\x7f"},
    {70922828777712, 8, "\xf0\x80\x80\x80\x80\x80\x80\x00"},
    {9078122083518703, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f"},
    {9078122083518704, 9, "\xf0\x80\x80\x80\x80\x80\x80\x80\x00"},
    {1161999626690365679, 9, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
    {1161999626690365680, 10, "\xf0\x80\x80\x80\x80\x80\x80\x80\x80\x00"},
    {INT64_MAX, 10, "\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06"},
    {INT64_MAX + UINT64_C(1), 10, "\xf0\xf1\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06"},
    {UINT64_MAX - INT32_MAX, 10, "\xf0\xf1\xfe\xfe\xbe\xfe\xfe\xfe\xfe\x0e"},
    {UINT64_MAX, 10, "\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"},
};

#define VARINT_COUNT (sizeof varints / sizeof *varints)

static bool decode_varint(struct wire wire)
{
    wire_varint(&wire);
    return !wire.bad;
}

static bool decode_string(struct wire wire)
{
    wire_string(&wire);
    return !wire.bad;
}

START_TEST(varint_has_these_bytes)
{
    for (size_t i = 0; i < VARINT_COUNT; i++) {
        uint8_t bytes[WIRE_VARINT_MAX];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        wire_put_varint(&out, varints[i].value);
        ck_assert(!out.full);
        ck_assert_uint_eq((size_t)(out.at - bytes), varints[i].size);
        ck_assert_mem_eq(bytes, varints[i].bytes, varints[i].size);
        ck_assert_uint_eq(wire_varint_size(varints[i].value), varints[i].size);
    }
}
END_TEST

START_TEST(varint_is_read_exactly)
{
    for (size_t i = 0; i < VARINT_COUNT; i++) {
        uint8_t *block = exact_new(varints[i].bytes, varints[i].size);
        struct wire wire = wire_open(block, varints[i].size);
        ck_assert_uint_eq(wire_varint(&wire), varints[i].value);
        ck_assert(!wire.bad);
        ck_assert_uint_eq(wire_left(&wire), 0);
        exact_free(block, varints[i].size);
    }
}
END_TEST

START_TEST(varint_leaves_what_follows)
{
    for (size_t i = 0; i < VARINT_COUNT; i++) {
        uint8_t bytes[WIRE_VARINT_MAX + 1];
        memcpy(bytes, varints[i].bytes, varints[i].size);
        bytes[varints[i].size] = 77;
        struct wire wire = wire_open(bytes, varints[i].size + 1);
        ck_assert_uint_eq(wire_varint(&wire), varints[i].value);
        ck_assert_uint_eq(wire_byte(&wire), 77);
        ck_assert(!wire.bad && wire_done(&wire));
    }
}
END_TEST

/* Both sides of every power of two, and their neighbours' neighbours. */
START_TEST(varint_round_trips_between_the_edges)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (uint64_t off = 0; off < 5; off++) {
            uint64_t value = (UINT64_C(1) << bit) + off - 2;
            uint8_t bytes[WIRE_VARINT_MAX];
            struct wire_out out = wire_out_open(bytes, sizeof bytes);
            wire_put_varint(&out, value);
            size_t size = (size_t)(out.at - bytes);
            ck_assert_uint_eq(wire_varint_size(value), size);
            struct wire wire = wire_open(bytes, size);
            ck_assert_uint_eq(wire_varint(&wire), value);
            ck_assert(!wire.bad && wire_left(&wire) == 0);
        }
    }
}
END_TEST

START_TEST(varint_cut_is_bad)
{
    for (size_t i = 0; i < VARINT_COUNT; i++)
        exact_cuts(varints[i].bytes, varints[i].size, decode_varint);
}
END_TEST

START_TEST(varint_above_64_bits_is_bad)
{
    static const struct {
        const char *bytes;
        size_t len;
    } overlong[] = {
        {BYTES("\xf0\xf1\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e")}, /* 2^64 */
        {BYTES("\xf0\xf2\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e")}, /* 2^64 + 16 */
        {BYTES("\xf0\xf0\xff\xfe\xfe\xfe\xfe\xfe\xfe\x0e")}, /* carries out of the sum */
        {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x0f")},
        {BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x1e")}, /* bit 64 set */
        {BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x7f")},
        {BYTES("\xf0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")}, /* an eleventh byte */
        {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00")},
    };

    for (size_t i = 0; i < sizeof overlong / sizeof *overlong; i++) {
        uint8_t *block = exact_new(overlong[i].bytes, overlong[i].len);
        struct wire wire = wire_open(block, overlong[i].len);
        ck_assert_uint_eq(wire_varint(&wire), 0);
        ck_assert_msg(wire.bad, "overlong %zu was taken", i);
        exact_free(block, overlong[i].len);
    }
}
END_TEST

START_TEST(string_keeps_every_byte)
{
    struct wire wire = wire_open(BYTES("\x05"
                                       "a\0b\xff."
                                       "\x00"
                                       "\x01z"));

    struct span span = wire_string(&wire);
    ck_assert_uint_eq(span.len, 5);
    ck_assert_mem_eq(span.at, "a\0b\xff.", 5);
    ck_assert_uint_eq(wire_string(&wire).len, 0);
    ck_assert(!wire.bad);
    ck_assert(span_is(wire_string(&wire), "z"));
    ck_assert(!wire.bad && wire_done(&wire));
}
END_TEST

START_TEST(string_cut_is_bad)
{
    char text[302] = "\xff\x03"; /* 303 = 240 + 15 + 3 * 16 */
    uint8_t *block;

    exact_cuts(BYTES("\x00"), decode_string);
    exact_cuts(BYTES("\x01x"), decode_string);
    exact_cuts(BYTES("\x05hello"), decode_string);
    block = exact_new(text, sizeof text);
    struct wire wire = wire_open(block, sizeof text);
    struct span span = wire_string(&wire);
    ck_assert(wire.bad);
    ck_assert_uint_eq(span.len, 0);
    exact_free(block, sizeof text);
}
END_TEST

/* What looped a peer for ever: a length that is negative once it is signed. */
START_TEST(string_of_negative_length_is_bad)
{
    static const struct {
        const char *bytes;
        size_t len;
    } lengths[] = {
        {BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
               "abcdefgh")}, /* 2^64 - 1 */
        {BYTES("\xfa\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
               "abcdefgh")}, /* 2^64 - 6 */
        {BYTES("\xf0\xf1\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06"
               "abcdefgh")}, /* 2^63 */
        {BYTES("\xff\xf0\xfe\xfe\x7e"
               "abcdefgh")}, /* 2^32 - 1 */
        {BYTES("\xf0\xf1\xfe\xfe\x3e"
               "abcdefgh")}, /* 2^31 */
    };

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t *block = exact_new(lengths[i].bytes, lengths[i].len);
        struct wire wire = wire_open(block, lengths[i].len);
        struct span span = wire_string(&wire);
        ck_assert(wire.bad);
        ck_assert_uint_eq(span.len, 0);
        ck_assert_ptr_nonnull(span.at);
        exact_free(block, lengths[i].len);
    }
}
END_TEST

START_TEST(bad_cursor_stays_bad)
{
    struct wire wire = wire_open(BYTES("\x01\x02\x03\x04"));

    ck_assert_ptr_null(wire_bytes(&wire, 5));
    ck_assert(wire.bad && wire_done(&wire));
    ck_assert_uint_eq(wire_left(&wire), 0);
    ck_assert_uint_eq(wire_byte(&wire), 0);
    ck_assert_uint_eq(wire_varint(&wire), 0);
    ck_assert_uint_eq(wire_string(&wire).len, 0);
    ck_assert_ptr_null(wire_bytes(&wire, 1));
    ck_assert(wire.bad);
}
END_TEST

START_TEST(bytes_give_exactly_what_is_there)
{
    const char *bytes = "abcd";
    struct wire wire = wire_open(bytes, 4);

    ck_assert_ptr_eq(wire_bytes(&wire, 0), bytes);
    ck_assert_ptr_eq(wire_bytes(&wire, 3), bytes);
    ck_assert_uint_eq(wire_left(&wire), 1);
    ck_assert_ptr_eq(wire_bytes(&wire, 1), bytes + 3);
    ck_assert(wire_done(&wire) && !wire.bad);
    ck_assert_ptr_null(wire_bytes(&wire, 1));
    ck_assert(wire.bad);
}
END_TEST

static void encode_everything(struct wire_out *out)
{
    wire_put_byte(out, 7);
    wire_put_varint(out, 239);
    wire_put_varint(out, UINT64_MAX);
    wire_put_string(out, (struct span){BYTES("a\0b")});
    wire_put_string(out, span_of(""));
    wire_put_bytes(out, "xyz", 3);
}

START_TEST(full_cursor_is_never_written_past)
{
    exact_rooms(BYTES("\x07\xef\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e\x03"
                      "a\0b\x00xyz"),
                encode_everything);
}
END_TEST

/* What does not fit must not let something smaller slip in behind it. */
START_TEST(full_cursor_stays_full)
{
    uint8_t bytes[4] = "....";
    struct wire_out out = wire_out_open(bytes, 3);

    wire_put_byte(&out, 'a');
    wire_put_bytes(&out, "bcd", 3);
    ck_assert(out.full);
    wire_put_byte(&out, 'e');
    wire_put_varint(&out, 240);
    wire_put_string(&out, span_of("f"));
    ck_assert_ptr_null(wire_put_room(&out, 1));
    ck_assert(out.full);
    ck_assert_mem_eq(bytes, "a...", 4);
}
END_TEST

START_TEST(span_compares_whole)
{
    ck_assert(span_is(span_of("abc"), "abc"));
    ck_assert(span_is((struct span){"abcd", 3}, "abc"));
    ck_assert(span_is(span_of(""), ""));
    ck_assert(!span_is(span_of("ab"), "abc"));
    ck_assert(!span_is(span_of("abc"), "ab"));
    ck_assert(!span_is((struct span){"ab\0", 3}, "ab"));
}
END_TEST

UNIT_MAIN("wire", varint_has_these_bytes, varint_is_read_exactly, varint_leaves_what_follows,
          varint_round_trips_between_the_edges, varint_cut_is_bad, varint_above_64_bits_is_bad,
          string_keeps_every_byte, string_cut_is_bad, string_of_negative_length_is_bad,
          bad_cursor_stays_bad, bytes_give_exactly_what_is_there, full_cursor_is_never_written_past,
          full_cursor_stays_full, span_compares_whole)
