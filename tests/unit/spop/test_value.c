#include "spop/value.h"

#include "../unit.h"
#include "exact.h"

#include <stdio.h>

#define IP6_BYTES "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"

static const struct {
    struct value value;
    const char *bytes;
    size_t len;
} values[] = {
    {{VALUE_NULL, 0, {"", 0}}, BYTES("\x00")},
    {{VALUE_BOOL, 0, {"", 0}}, BYTES("\x01")},
    {{VALUE_BOOL, 1, {"", 0}}, BYTES("\x11")},
    {{VALUE_INT32, 0, {"", 0}}, BYTES("\x02\x00")},
    {{VALUE_INT32, INT32_MAX, {"", 0}}, BYTES("\x02\xff\xf0\xfe\xfe\x3e")},
    {{VALUE_INT32, UINT64_MAX, {"", 0}}, BYTES("\x02\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e")},
    {{VALUE_INT32, (uint64_t)INT32_MIN, {"", 0}},
     BYTES("\x02\xf0\xf1\xfe\xfe\xbe\xfe\xfe\xfe\xfe\x0e")},
    {{VALUE_UINT32, 0, {"", 0}}, BYTES("\x03\x00")},
    {{VALUE_UINT32, 240, {"", 0}}, BYTES("\x03\xf0\x00")},
    {{VALUE_UINT32, UINT32_MAX, {"", 0}}, BYTES("\x03\xff\xf0\xfe\xfe\x7e")},
    {{VALUE_INT64, 0, {"", 0}}, BYTES("\x04\x00")},
    {{VALUE_INT64, 2287, {"", 0}}, BYTES("\x04\xff\x7f")},
    {{VALUE_INT64, UINT64_MAX, {"", 0}}, BYTES("\x04\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e")},
    {{VALUE_INT64, INT64_MAX, {"", 0}}, BYTES("\x04\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06")},
    {{VALUE_INT64, (uint64_t)INT64_MIN, {"", 0}},
     BYTES("\x04\xf0\xf1\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06")},
    {{VALUE_UINT64, 0, {"", 0}}, BYTES("\x05\x00")},
    {{VALUE_UINT64, UINT64_MAX, {"", 0}}, BYTES("\x05\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e")},
    {{VALUE_IPV4, 0, {"\x7f\0\0\x01", 4}}, BYTES("\x06\x7f\0\0\x01")},
    {{VALUE_IPV6, 0, {IP6_BYTES, 16}}, BYTES("\x07" IP6_BYTES)},
    {{VALUE_STR, 0, {"", 0}}, BYTES("\x08\x00")},
    {{VALUE_STR, 0, {"a\0\xff", 3}},
     BYTES("\x08\x03"
           "a\0\xff")},
    {{VALUE_BIN, 0, {"", 0}}, BYTES("\x09\x00")},
    {{VALUE_BIN, 0, {"\0\0\0\0", 4}}, BYTES("\x09\x04\0\0\0\0")},
};

#define VALUE_COUNT (sizeof values / sizeof *values)

static bool same(const struct value *a, const struct value *b)
{
    return a->type == b->type && a->integer == b->integer && a->bytes.len == b->bytes.len &&
           memcmp(a->bytes.at, b->bytes.at, a->bytes.len) == 0;
}

/* value_skip_pairs must judge every byte string as value_get does. */
static bool decode_value(struct wire wire)
{
    struct wire skipped = wire;
    struct value value;

    value_get(&wire, &value);
    if (wire.bad) {
        ck_assert_uint_eq(value.type, VALUE_NULL);
        ck_assert_uint_eq(value.integer, 0);
        ck_assert_uint_eq(value.bytes.len, 0);
        ck_assert_ptr_nonnull(value.bytes.at);
    }

    size_t len = wire_left(&skipped);
    uint8_t *pair = exact_new(NULL, len + 1);
    pair[0] = 0;
    if (len > 0)
        memcpy(pair + 1, skipped.at, len);
    skipped = wire_open(pair, len + 1);
    value_skip_pairs(&skipped, 1);
    ck_assert_uint_eq(skipped.bad, wire.bad);
    ck_assert_uint_eq(wire_left(&skipped), wire_left(&wire));
    exact_free(pair, len + 1);
    return !wire.bad;
}

static bool is_bad(const char *bytes, size_t len)
{
    uint8_t *block = exact_new(bytes, len);
    bool good = decode_value(wire_open(block, len));

    exact_free(block, len);
    return !good;
}

START_TEST(value_is_written_exactly)
{
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        uint8_t bytes[64];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        value_put(&out, &values[i].value);
        ck_assert(!out.full);
        ck_assert_uint_eq((size_t)(out.at - bytes), values[i].len);
        ck_assert_mem_eq(bytes, values[i].bytes, values[i].len);
    }
}
END_TEST

START_TEST(value_is_read_exactly)
{
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        uint8_t *block = exact_new(values[i].bytes, values[i].len);
        struct wire wire = wire_open(block, values[i].len);
        struct value value;
        value_get(&wire, &value);
        ck_assert(!wire.bad && wire_done(&wire));
        ck_assert_msg(same(&value, &values[i].value), "value %zu came back another", i);
        exact_free(block, values[i].len);
    }
}
END_TEST

START_TEST(value_cut_is_bad)
{
    for (size_t i = 0; i < VALUE_COUNT; i++)
        exact_cuts(values[i].bytes, values[i].len, decode_value);
}
END_TEST

START_TEST(value_does_not_fit_a_smaller_room)
{
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        for (size_t room = 0; room < values[i].len; room++) {
            uint8_t *block = exact_new(NULL, room);
            struct wire_out out = wire_out_open(block, room);
            value_put(&out, &values[i].value);
            ck_assert(out.full);
            exact_free(block, room);
        }
    }
}
END_TEST

START_TEST(types_above_bin_are_bad)
{
    for (unsigned type = VALUE_TYPE_COUNT; type < 16; type++) {
        for (unsigned flags = 0; flags < 256; flags += 16) {
            char bytes[17] = {0};
            bytes[0] = (char)(type | flags);
            ck_assert_msg(is_bad(bytes, sizeof bytes), "type byte %#x was taken", type | flags);
        }
    }
}
END_TEST

START_TEST(narrow_integers_out_of_range_are_bad)
{
    ck_assert(is_bad(BYTES("\x02\xf0\xf1\xfe\xfe\x3e")));                     /* 2^31 */
    ck_assert(is_bad(BYTES("\x02\xff\xf0\xfe\xfe\x7e")));                     /* 2^32 - 1 */
    ck_assert(is_bad(BYTES("\x02\xf0\xf1\xfe\xfe\x7e")));                     /* 2^32 */
    ck_assert(is_bad(BYTES("\x02\xff\xf0\xfe\xfe\xbe\xfe\xfe\xfe\xfe\x0e"))); /* -2^31 - 1 */
    ck_assert(is_bad(BYTES("\x02\xf0\xf1\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06"))); /* -2^63 */
    ck_assert(is_bad(BYTES("\x03\xf0\xf1\xfe\xfe\x7e")));                     /* 2^32 */
    ck_assert(is_bad(BYTES("\x03\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"))); /* -1 */
}
END_TEST

START_TEST(negative_lengths_are_bad)
{
    ck_assert(is_bad(BYTES("\x08\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
                           "0123456789")));
    ck_assert(is_bad(BYTES("\x09\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
                           "0123456789")));
}
END_TEST

/* HAProxy takes nothing but 0x11 for true. */
START_TEST(bool_is_true_with_flag_one_alone)
{
    for (unsigned flags = 0; flags < 256; flags += 16) {
        uint8_t byte = (uint8_t)(VALUE_BOOL | flags);
        struct wire wire = wire_open(&byte, 1);
        struct value value;
        value_get(&wire, &value);
        ck_assert_uint_eq(value.type, VALUE_BOOL);
        ck_assert_uint_eq(value.integer, flags == 0x10);
    }
}
END_TEST

START_TEST(flags_of_other_types_mean_nothing)
{
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        if (values[i].value.type == VALUE_BOOL)
            continue;
        char bytes[64];
        memcpy(bytes, values[i].bytes, values[i].len);
        bytes[0] = (char)(bytes[0] | 0x70);
        struct wire wire = wire_open(bytes, values[i].len);
        struct value value;
        value_get(&wire, &value);
        ck_assert(!wire.bad && wire_done(&wire));
        ck_assert(same(&value, &values[i].value));
    }
}
END_TEST

START_TEST(integers_are_reduced_to_their_type)
{
    static const struct {
        enum value_type type;
        uint64_t integer, comes_back;
    } rows[] = {
        {VALUE_INT32, 0x1234567800000001, 1},
        {VALUE_INT32, 0x80000000, (uint64_t)INT32_MIN},
        {VALUE_INT32, 0x00000000ffffffff, UINT64_MAX},
        {VALUE_UINT32, UINT64_MAX, UINT32_MAX},
        {VALUE_UINT32, UINT64_C(1) << 32, 0},
        {VALUE_BOOL, 2, 1},
        {VALUE_BOOL, UINT64_C(1) << 63, 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[16];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        struct value value = value_integer(rows[i].type, rows[i].integer);
        value_put(&out, &value);
        struct wire wire = wire_open(bytes, (size_t)(out.at - bytes));
        value_get(&wire, &value);
        ck_assert(!wire.bad && wire_done(&wire));
        ck_assert_uint_eq(value.type, rows[i].type);
        ck_assert_uint_eq(value.integer, rows[i].comes_back);
    }
}
END_TEST

START_TEST(constructors_leave_unused_fields_empty)
{
    struct value null = value_null();
    struct value boolean = value_bool(true);
    struct value integer = value_integer(VALUE_UINT64, UINT64_MAX);
    struct value bytes = value_bytes(VALUE_BIN, span_of("x"));

    ck_assert(same(&null, &(struct value){VALUE_NULL, 0, {"", 0}}));
    ck_assert(same(&boolean, &(struct value){VALUE_BOOL, 1, {"", 0}}));
    ck_assert(same(&integer, &(struct value){VALUE_UINT64, UINT64_MAX, {"", 0}}));
    ck_assert(same(&bytes, &(struct value){VALUE_BIN, 0, {"x", 1}}));
}
END_TEST

START_TEST(types_have_names_and_are_found_by_them)
{
    static const char *const names[] = {"null",   "bool", "int32", "uint32", "int64",
                                        "uint64", "ipv4", "ipv6",  "str",    "bin"};
    enum value_type type;

    for (unsigned i = 0; i < VALUE_TYPE_COUNT; i++) {
        ck_assert_str_eq(value_type_name((enum value_type)i), names[i]);
        ck_assert(value_type_find(span_of(names[i]), &type));
        ck_assert_uint_eq(type, i);
    }
    ck_assert(!value_type_find(span_of(""), &type));
    ck_assert(!value_type_find(span_of("int"), &type));
    ck_assert(!value_type_find(span_of("STR"), &type));
    ck_assert(!value_type_find((struct span){"bin\0", 4}, &type));
}
END_TEST

START_TEST(addresses_are_written_as_inet_ntop_does)
{
    static const struct {
        enum value_type type;
        const char *bytes, *text;
    } rows[] = {
        {VALUE_IPV4, "\0\0\0\0", "0.0.0.0"},
        {VALUE_IPV4, "\x01\x0a\x63\x64", "1.10.99.100"},
        {VALUE_IPV4, "\xff\xff\xff\xff", "255.255.255.255"},
        {VALUE_IPV4, "\xc8\x09\x6d\xd2", "200.9.109.210"},
        {VALUE_IPV6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "::"},
        {VALUE_IPV6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", "::1"},
        {VALUE_IPV6, IP6_BYTES, "2001:db8::1"},
        {VALUE_IPV6, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01", "::ffff:127.0.0.1"},
        {VALUE_IPV6, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = rows[i].type == VALUE_IPV4 ? 4 : 16;
        struct value value = value_bytes(rows[i].type, (struct span){rows[i].bytes, len});
        char text[VALUE_IP_TEXT_MAX];
        uint8_t bytes[16];
        ck_assert_uint_eq(value_ip_text(&value, text), strlen(rows[i].text));
        ck_assert_str_eq(text, rows[i].text);
        ck_assert(value_ip_parse(rows[i].type, span_of(text), bytes));
        ck_assert_mem_eq(bytes, rows[i].bytes, len);
    }
}
END_TEST

START_TEST(every_byte_of_an_ipv4_is_written)
{
    for (unsigned number = 0; number < 256; number++) {
        char byte = (char)number, text[VALUE_IP_TEXT_MAX], expected[VALUE_IP_TEXT_MAX];
        char bytes[4] = {byte, byte, byte, byte};
        struct value value = value_bytes(VALUE_IPV4, (struct span){bytes, 4});
        int len =
            snprintf(expected, sizeof expected, "%u.%u.%u.%u", number, number, number, number);
        ck_assert_uint_eq(value_ip_text(&value, text), (size_t)len);
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

START_TEST(what_is_no_address_has_no_text)
{
    char text[VALUE_IP_TEXT_MAX] = "unchanged";
    struct value value = value_bytes(VALUE_STR, span_of("1.2.3.4"));

    ck_assert_uint_eq(value_ip_text(&value, text), 0);
    ck_assert_str_eq(text, "");
    value = value_bytes(VALUE_IPV4, span_of("12345"));
    ck_assert_uint_eq(value_ip_text(&value, text), 0);
    value = value_bytes(VALUE_IPV6, span_of("1234"));
    ck_assert_uint_eq(value_ip_text(&value, text), 0);
}
END_TEST

START_TEST(what_is_no_address_is_not_parsed)
{
    static const struct {
        enum value_type type;
        const char *text;
        size_t len;
    } rows[] = {
        {VALUE_IPV4, BYTES("")},
        {VALUE_IPV4, BYTES("nope")},
        {VALUE_IPV4, BYTES("1.2.3")},
        {VALUE_IPV4, BYTES("1.2.3.4.5")},
        {VALUE_IPV4, BYTES("1.2.3.256")},
        {VALUE_IPV4, BYTES("1.2.3.4 ")},
        {VALUE_IPV4, BYTES(" 1.2.3.4")},
        {VALUE_IPV4, BYTES("1.2.3.4\0")},
        {VALUE_IPV4, BYTES("1.2.3.4\0x")},
        {VALUE_IPV4, BYTES("1.2.3.-4")},
        {VALUE_IPV4, BYTES("1.2.3.4/8")},
        {VALUE_IPV4, BYTES("::1")},
        {VALUE_IPV6, BYTES("")},
        {VALUE_IPV6, BYTES("1.2.3.4")},
        {VALUE_IPV6, BYTES(":::")},
        {VALUE_IPV6, BYTES("12345::")},
        {VALUE_IPV6, BYTES("::1%lo")},
        {VALUE_IPV6, BYTES("[::1]")},
        {VALUE_IPV6, BYTES("1:2:3:4:5:6:7:8:9")},
        {VALUE_IPV6, BYTES("0000:0000:0000:0000:0000:0000:0000:0000:00000000000000")},
        {VALUE_IPV6, BYTES("0000:0000:0000:0000:0000:0000:0000:0000:000000")},  /* 46 bytes */
        {VALUE_IPV6, BYTES("0000:0000:0000:0000:0000:0000:0000:0000:0000000")}, /* 47 bytes */
        {VALUE_STR, BYTES("1.2.3.4")},
        {VALUE_NULL, BYTES("::")},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *text = exact_new(rows[i].text, rows[i].len), bytes[16];
        struct span span = {(const char *)text, rows[i].len};
        ck_assert_msg(!value_ip_parse(rows[i].type, span, bytes), "row %zu was parsed", i);
        exact_free(text, rows[i].len);
    }
}
END_TEST

/* The span ends the text, not a NUL: what stands behind it is not looked at. */
START_TEST(address_text_ends_with_its_span)
{
    uint8_t bytes[16];
    static const char longest[] = "0000:0000:0000:0000:0000:ffff:255.255.255.255";

    ck_assert(value_ip_parse(VALUE_IPV4, (struct span){"1.2.3.45", 7}, bytes));
    ck_assert_mem_eq(bytes, "\x01\x02\x03\x04", 4);
    ck_assert(value_ip_parse(VALUE_IPV6, span_of(longest), bytes));
    ck_assert_mem_eq(bytes + 10, "\xff\xff\xff\xff\xff\xff", 6);
}
END_TEST

START_TEST(pairs_are_read_to_the_end_of_the_list)
{
    struct wire wire = wire_open(BYTES("\x01"
                                       "a\x11\x00\x00\x01"
                                       "b\x08\x01"
                                       "c"));
    struct span key;
    struct value value;

    ck_assert(value_get_pair(&wire, &key, &value));
    ck_assert(span_is(key, "a"));
    ck_assert(same(&value, &(struct value){VALUE_BOOL, 1, {"", 0}}));
    ck_assert(value_get_pair(&wire, &key, &value));
    ck_assert(span_is(key, ""));
    ck_assert(same(&value, &(struct value){VALUE_NULL, 0, {"", 0}}));
    ck_assert(value_get_pair(&wire, &key, &value));
    ck_assert(span_is(key, "b"));
    ck_assert(same(&value, &(struct value){VALUE_STR, 0, {"c", 1}}));
    ck_assert(!value_get_pair(&wire, &key, &value));
    ck_assert(!wire.bad);
}
END_TEST

START_TEST(pair_with_a_bad_half_is_none)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {BYTES("\x02"
               "a")},
        {BYTES("\x01"
               "a")},
        {BYTES("\x01"
               "a\x0a")},
        {BYTES("\x01"
               "a\x08\x02"
               "b")},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *block = exact_new(rows[i].bytes, rows[i].len);
        struct wire wire = wire_open(block, rows[i].len);
        struct span key;
        struct value value;
        ck_assert_msg(!value_get_pair(&wire, &key, &value), "row %zu is a pair", i);
        ck_assert(wire.bad);
        ck_assert_uint_eq(value.type, VALUE_NULL);
        ck_assert(!value_get_pair(&wire, &key, &value));
        exact_free(block, rows[i].len);
    }
}
END_TEST

static bool decode_pairs(struct wire wire)
{
    struct wire skipped = wire;
    struct span key;
    struct value value;

    for (int i = 0; i < 2; i++) {
        if (!value_get_pair(&wire, &key, &value))
            wire_fail(&wire);
    }
    value_skip_pairs(&skipped, 2);
    ck_assert_uint_eq(skipped.bad, wire.bad);
    return !wire.bad;
}

START_TEST(pairs_cut_are_bad)
{
    exact_cuts(BYTES("\x03"
                     "abc\x06\x01\x02\x03\x04\x01"
                     "b\x08\x04"
                     "word"),
               decode_pairs);
    exact_cuts(BYTES("\x00\x00\x02xy\x04\xff\x7f"), decode_pairs);
}
END_TEST

START_TEST(skipping_stops_where_reading_does)
{
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    struct span key;
    struct value value;

    for (size_t i = 0; i < VALUE_COUNT; i++)
        value_put_pair(&out, span_of("key"), &values[i].value);
    ck_assert(!out.full);

    struct wire read = wire_open(bytes, (size_t)(out.at - bytes));
    for (unsigned i = 0; i <= VALUE_COUNT; i++) {
        struct wire skip = wire_open(bytes, (size_t)(out.at - bytes));
        value_skip_pairs(&skip, i);
        ck_assert(!skip.bad);
        ck_assert_ptr_eq(skip.at, read.at);
        value_get_pair(&read, &key, &value);
    }
}
END_TEST

START_TEST(pair_is_written_as_it_is_read)
{
    uint8_t bytes[16];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    struct value value = value_integer(VALUE_INT64, 300);

    value_put_pair(&out, span_of("key"), &value);
    ck_assert_uint_eq((size_t)(out.at - bytes), 7);
    ck_assert_mem_eq(bytes, "\x03key\x04\xfc\x03", 7);
}
END_TEST

UNIT_MAIN("value", value_is_written_exactly, value_is_read_exactly, value_cut_is_bad,
          value_does_not_fit_a_smaller_room, types_above_bin_are_bad,
          narrow_integers_out_of_range_are_bad, negative_lengths_are_bad,
          bool_is_true_with_flag_one_alone, flags_of_other_types_mean_nothing,
          integers_are_reduced_to_their_type, constructors_leave_unused_fields_empty,
          types_have_names_and_are_found_by_them, addresses_are_written_as_inet_ntop_does,
          every_byte_of_an_ipv4_is_written, what_is_no_address_has_no_text,
          what_is_no_address_is_not_parsed, address_text_ends_with_its_span,
          pairs_are_read_to_the_end_of_the_list, pair_with_a_bad_half_is_none, pairs_cut_are_bad,
          skipping_stops_where_reading_does, pair_is_written_as_it_is_read)
