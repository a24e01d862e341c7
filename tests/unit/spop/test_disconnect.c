#include "spop/disconnect.h"

#include "spop/frame.h"

#include "../unit.h"
#include "exact.h"

/* SPOE.txt 3.3 and haproxy.md, written out once more: the rows must not drift. */
static const struct {
    enum status status;
    uint32_t code;
    const char *message;
} rows[] = {
    {STATUS_NORMAL, 0, "normal"},
    {STATUS_IO, 1, "I/O error"},
    {STATUS_TIMEOUT, 2, "a timeout occurred"},
    {STATUS_TOO_BIG, 3, "frame is too big"},
    {STATUS_INVALID, 4, "invalid frame received"},
    {STATUS_NO_VERSION, 5, "version value not found"},
    {STATUS_NO_FRAME_SIZE, 6, "max-frame-size value not found"},
    {STATUS_NO_CAPABILITIES, 7, "capabilities value not found"},
    {STATUS_BAD_VERSION, 8, "unsupported version"},
    {STATUS_BAD_FRAME_SIZE, 9, "max-frame-size too big or too small"},
    {STATUS_NO_FRAGMENTATION, 10, "payload fragmentation is not supported"},
    {STATUS_INTERLACED, 11, "invalid interlaced frames"},
    {STATUS_NO_FRAME_ID, 12, "frame-id not found"},
    {STATUS_RESOURCES, 13, "resource allocation error"},
    {STATUS_UNKNOWN, 99, "an unknown error occurred"},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

START_TEST(status_codes_and_messages_are_the_specification_s)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        ck_assert_uint_eq(rows[i].status, rows[i].code);
        ck_assert_str_eq(status_message(rows[i].code), rows[i].message);
    }
}
END_TEST

START_TEST(codes_without_a_row_are_unknown)
{
    static const uint32_t codes[] = {14, 98, 100, 256, UINT32_MAX};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        ck_assert_str_eq(status_message(codes[i]), "an unknown error occurred");
}
END_TEST

START_TEST(every_status_comes_back)
{
    static const uint8_t types[] = {FRAME_HAPROXY_DISCONNECT, FRAME_AGENT_DISCONNECT};

    for (size_t i = 0; i < 2 * ROW_COUNT; i++) {
        uint8_t bytes[FRAME_SIZE_MIN];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        struct frame frame;
        struct span message;
        size_t used;
        uint32_t code;
        disconnect_put(&out, types[i % 2], rows[i / 2].status);
        ck_assert(!out.full);
        size_t len = (size_t)(out.at - bytes);
        ck_assert_uint_eq(frame_get(bytes, len, FRAME_SIZE_MIN, &frame, &used), FRAME_OK);
        ck_assert_uint_eq(used, len);
        ck_assert_uint_eq(frame.type, types[i % 2]);
        ck_assert_uint_eq(frame.flags, FRAME_FIN);
        ck_assert_uint_eq(frame.stream_id, 0);
        ck_assert_uint_eq(frame.frame_id, 0);
        disconnect_get(frame.payload, &code, &message);
        ck_assert_uint_eq(code, rows[i / 2].code);
        ck_assert(span_is(message, rows[i / 2].message));
    }
}
END_TEST

static void encode_normal(struct wire_out *out)
{
    disconnect_put(out, FRAME_AGENT_DISCONNECT, STATUS_NORMAL);
}

START_TEST(disconnect_is_written_exactly)
{
    exact_rooms(BYTES("\0\0\0\x25\x66\0\0\0\x01\0\0\x0bstatus-code\x03\0\x07message\x08\x06normal"),
                encode_normal);
}
END_TEST

static void get(const char *bytes, size_t len, uint32_t *code, char text[32])
{
    uint8_t *block = exact_new(bytes, len);
    struct span message;

    disconnect_get(wire_open(block, len), code, &message);
    ck_assert_uint_lt(message.len, 32);
    memcpy(text, message.at, message.len);
    text[message.len] = '\0';
    exact_free(block, len);
}

START_TEST(missing_and_ill_typed_keys_are_99_and_empty)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint32_t code;
        const char *message;
    } payloads[] = {
        {BYTES(""), 99, ""},
        {BYTES("\x0bstatus-code\x03\x02"), 2, ""},
        {BYTES("\x07message\x08\x03"
               "bye"),
         99, "bye"},
        {BYTES("\x07message\x08\x03"
               "bye\x0bstatus-code\x03\x00"),
         0, "bye"},
        {BYTES("\x0bstatus-code\x04\x02\x07message\x08\x03"
               "bye"),
         99, "bye"}, /* INT64 */
        {BYTES("\x0bstatus-code\x02\x02\x07message\x08\x03"
               "bye"),
         99, "bye"}, /* INT32 */
        {BYTES("\x0bstatus-code\x08\x01"
               "2\x07message\x09\x03"
               "bye"),
         99, ""},
        {BYTES("\x0bstatus-code\x00\x07message\x00"), 99, ""},
        {BYTES("\x05other\x11\x0bstatus-code\x03\xf0\x01"), 256, ""},
        {BYTES("\x0bstatus-code\x03"), 99, ""},
        {BYTES("\x0bstatus-code\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), 99, ""},
        {BYTES("\x0bstatus-code\x03\x02\x07message\x08\x7f"
               "bye"),
         2, ""},
        {BYTES("\x0bstatus-code\x03\x02\x07message\x0f"), 2, ""},
        {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), 99, ""},
    };

    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        uint32_t code;
        char message[32];
        get(payloads[i].bytes, payloads[i].len, &code, message);
        ck_assert_msg(code == payloads[i].code, "payload %zu: code %u", i, code);
        ck_assert_str_eq(message, payloads[i].message);
    }
}
END_TEST

START_TEST(cut_disconnect_is_read_no_further)
{
    static const char payload[] = "\x0bstatus-code\x03\x04\x07message\x08\x03"
                                  "bye";

    for (size_t cut = 0; cut < sizeof payload; cut++) {
        uint32_t code;
        char message[32];
        get(payload, cut, &code, message);
        ck_assert_uint_eq(code, cut < 14 ? 99 : 4);
        ck_assert_str_eq(message, cut < sizeof payload - 1 ? "" : "bye");
    }
}
END_TEST

UNIT_MAIN("disconnect", status_codes_and_messages_are_the_specification_s,
          codes_without_a_row_are_unknown, every_status_comes_back, disconnect_is_written_exactly,
          missing_and_ill_typed_keys_are_99_and_empty, cut_disconnect_is_read_no_further)
