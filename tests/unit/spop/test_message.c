#include "spop/message.h"

#include "../unit.h"
#include "exact.h"

static bool check(const char *bytes, size_t len, size_t *count)
{
    uint8_t *block = exact_new(bytes, len);
    bool good = message_check(wire_open(block, len), count);

    exact_free(block, len);
    return good;
}

START_TEST(empty_payload_has_no_messages)
{
    struct wire payload = wire_open("", 0);
    struct message message;
    size_t count = 999;

    ck_assert(message_check(payload, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert(!message_next(&payload, &message));
    ck_assert(!payload.bad);
}
END_TEST

/* A peer read the second message as the arguments of a first that had none. */
START_TEST(message_without_arguments_takes_none_of_the_next)
{
    struct wire payload = wire_open(BYTES("\x03one\x00\x03two\x01\x01k\x08\x01v\x05three\x00"));
    struct message message;
    struct span key;
    struct value value;
    size_t count;

    ck_assert(message_check(payload, &count));
    ck_assert_uint_eq(count, 3);

    ck_assert(message_next(&payload, &message));
    ck_assert(span_is(message.name, "one"));
    ck_assert_uint_eq(message.nargs, 0);
    ck_assert_uint_eq(wire_left(&message.args), 0);
    ck_assert(!value_get_pair(&message.args, &key, &value));
    ck_assert(!message.args.bad);

    ck_assert(message_next(&payload, &message));
    ck_assert(span_is(message.name, "two"));
    ck_assert_uint_eq(message.nargs, 1);
    ck_assert(value_get_pair(&message.args, &key, &value));
    ck_assert(span_is(key, "k"));
    ck_assert(span_is(value.bytes, "v"));
    ck_assert(!value_get_pair(&message.args, &key, &value));
    ck_assert(!message.args.bad);

    ck_assert(message_next(&payload, &message));
    ck_assert(span_is(message.name, "three"));
    ck_assert(!message_next(&payload, &message));
    ck_assert(!payload.bad);
}
END_TEST

/* A reader that asks one message for too much gets nothing of the next. */
START_TEST(arguments_end_with_their_message)
{
    struct wire payload = wire_open(BYTES("\x01"
                                          "a\x01\x00\x02\x05\x01"
                                          "b\x00"));
    struct message message;
    struct span key;
    struct value value;

    ck_assert(message_next(&payload, &message));
    ck_assert_uint_eq(wire_left(&message.args), 3);
    ck_assert(value_get_pair(&message.args, &key, &value));
    ck_assert_uint_eq(value.integer, 5);
    ck_assert_ptr_null(wire_bytes(&message.args, 1));
    ck_assert(message.args.bad && !payload.bad);
    ck_assert(message_next(&payload, &message));
    ck_assert(span_is(message.name, "b"));
}
END_TEST

START_TEST(message_may_have_255_arguments)
{
    enum { PAIR = 4 };
    uint8_t bytes[1 + 3 + 1 + 255 * PAIR + 8];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    size_t count;

    message_put(&out, span_of("all"), 255);
    for (unsigned i = 0; i < 255; i++) {
        char name = (char)i;
        struct value value = value_integer(VALUE_INT64, i % 240);
        value_put_pair(&out, (struct span){&name, 1}, &value);
    }
    ck_assert_uint_eq((size_t)(out.at - bytes), 5 + 255 * PAIR);
    message_put(&out, span_of("none"), 0);

    size_t len = (size_t)(out.at - bytes);
    struct wire payload = wire_open(bytes, len);
    struct message message;
    struct span key;
    struct value value;
    ck_assert(check((const char *)bytes, len, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert(message_next(&payload, &message));
    ck_assert_uint_eq(message.nargs, 255);
    for (unsigned i = 0; i < 255; i++) {
        ck_assert(value_get_pair(&message.args, &key, &value));
        ck_assert_uint_eq((uint8_t)key.at[0], i);
        ck_assert_uint_eq(value.integer, i % 240);
    }
    ck_assert(wire_done(&message.args) && !message.args.bad);
    ck_assert(message_next(&payload, &message));
    ck_assert(span_is(message.name, "none"));
    ck_assert(!message_next(&payload, &message) && !payload.bad);
}
END_TEST

/* Every type, a nameless and a repeated argument; the cuts run through all of them. */
#define MIXED                                                                                      \
    "\x05mixed\x0b"                                                                                \
    "\x01n\x00"                                                                                    \
    "\x01t\x11"                                                                                    \
    "\x00\x02\xff\xf0\xfe\xfe\x3e"                                                                 \
    "\x00\x03\xf0\x00"                                                                             \
    "\x01i\x04\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"                                            \
    "\x01i\x05\x07"                                                                                \
    "\x01"                                                                                         \
    "4\x06\x7f\x00\x00\x01"                                                                        \
    "\x01"                                                                                         \
    "6\x07"                                                                                        \
    "0123456789abcdef"                                                                             \
    "\x01s\x08\x04text"                                                                            \
    "\x01"                                                                                         \
    "b\x09\x02\x00\x00"                                                                            \
    "\x01"                                                                                         \
    "e\x08\x00"

START_TEST(message_cut_anywhere_is_bad)
{
    static const char whole[] = MIXED;
    size_t count;

    for (size_t cut = 1; cut < sizeof whole; cut++) {
        uint8_t *block = exact_new(whole, cut);
        struct wire payload = wire_open(block, cut);
        struct message message;
        bool good = cut == sizeof whole - 1;
        ck_assert_msg(message_check(payload, &count) == good, "cut at %zu", cut);
        ck_assert_uint_eq(count, good);
        ck_assert_uint_eq(message_next(&payload, &message), good);
        ck_assert_uint_eq(payload.bad, !good);
        exact_free(block, cut);
    }
}
END_TEST

START_TEST(second_message_cut_anywhere_makes_the_payload_bad)
{
    static const char whole[] = MIXED MIXED;
    const size_t first = sizeof MIXED - 1;
    size_t count;

    for (size_t cut = first; cut < sizeof whole; cut++) {
        bool good = cut == first || cut == sizeof whole - 1;
        ck_assert_msg(check(whole, cut, &count) == good, "cut at %zu", cut);
        ck_assert_uint_eq(count, cut == sizeof whole - 1 ? 2 : 1);
    }
}
END_TEST

START_TEST(trailing_garbage_is_bad)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {BYTES(MIXED "\x01")},     /* half a name */
        {BYTES(MIXED "\x01x")},    /* a name and no count */
        {BYTES(MIXED "\x00")},     /* an empty name and no count */
        {BYTES(MIXED "\x00\x01")}, /* a count and nothing to count */
        {BYTES(MIXED "\xf0")},     /* half a varint */
        {BYTES(MIXED "\x01x\x01\x0f")},
    };
    size_t count;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(!check(rows[i].bytes, rows[i].len, &count), "row %zu", i);
}
END_TEST

START_TEST(malformed_arguments_are_bad)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {BYTES("\x01m\x02\x00\x00")},                     /* fewer than announced */
        {BYTES("\x01m\x01\x00\x0a")},                     /* no such type */
        {BYTES("\x01m\x01\x00\x0f")},                     /* no such type */
        {BYTES("\x01m\x01\x00\x02\xf0\xf1\xfe\xfe\x3e")}, /* INT32 of 2^31 */
        {BYTES("\x01m\x01\x00\x03\xf0\xf1\xfe\xfe\x7e")}, /* UINT32 of 2^32 */
        {BYTES("\x01m\x01\x00\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")},
        {BYTES("\x01m\x01\x00\x08\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e")},
        {BYTES("\x01m\x01\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e\x00")},
        {BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0em\x00")},
        {BYTES("\x01m\xff\x00\x00")}, /* 255 announced, one there */
    };
    size_t count;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(!check(rows[i].bytes, rows[i].len, &count), "row %zu", i);
}
END_TEST

START_TEST(bad_payload_gives_no_more_messages)
{
    struct wire payload = wire_open(BYTES("\x01"
                                          "a\x01\x00\x0f\x01"
                                          "b\x00"));
    struct message message;

    ck_assert(!message_next(&payload, &message));
    ck_assert(payload.bad);
    ck_assert(!message_next(&payload, &message));
    ck_assert(payload.bad);
}
END_TEST

/* What message_next finds by walking, message_last finds at the payload's end. */
START_TEST(last_message_is_the_same_unwalked)
{
    static const char *const lasts[] = {"\x01m\x00", "\x01m\x01\x01k\x11",
                                        "\x00\x02\x00\x00\x00\x08\x01v"};
    static const size_t lens[] = {3, 6, 8};

    for (size_t i = 0; i < sizeof lasts / sizeof *lasts; i++) {
        uint8_t *block = exact_new(lasts[i], lens[i]);
        struct wire payload = wire_open(block, lens[i]), unwalked = payload;
        struct message message, last;
        ck_assert(message_next(&payload, &message));
        message_last(&unwalked, &last);
        ck_assert_ptr_eq(last.name.at, message.name.at);
        ck_assert_uint_eq(last.name.len, message.name.len);
        ck_assert_uint_eq(last.nargs, message.nargs);
        ck_assert_ptr_eq(last.args.at, message.args.at);
        ck_assert_ptr_eq(last.args.end, message.args.end);
        ck_assert(!last.args.bad && !unwalked.bad);
        ck_assert(!message_next(&unwalked, &last) && !unwalked.bad);
        exact_free(block, lens[i]);
    }
}
END_TEST

START_TEST(many_messages_are_counted)
{
    uint8_t bytes[3000];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    size_t count;

    for (int i = 0; i < 1000; i++)
        message_put(&out, span_of("m"), 0);
    ck_assert(!out.full);
    ck_assert(check((const char *)bytes, 3000, &count));
    ck_assert_uint_eq(count, 1000);
}
END_TEST

static void encode_message(struct wire_out *out)
{
    struct value value = value_bool(true);

    message_put(out, span_of("get-ip"), 2);
    value_put_pair(out, span_of("ip"), &value);
    value_put_pair(out, span_of(""), &value);
}

START_TEST(message_is_written_exactly)
{
    exact_rooms(BYTES("\x06get-ip\x02\x02ip\x11\x00\x11"), encode_message);
}
END_TEST

UNIT_MAIN("message", empty_payload_has_no_messages,
          message_without_arguments_takes_none_of_the_next, arguments_end_with_their_message,
          message_may_have_255_arguments, message_cut_anywhere_is_bad,
          second_message_cut_anywhere_makes_the_payload_bad, trailing_garbage_is_bad,
          malformed_arguments_are_bad, bad_payload_gives_no_more_messages,
          last_message_is_the_same_unwalked, many_messages_are_counted, message_is_written_exactly)
