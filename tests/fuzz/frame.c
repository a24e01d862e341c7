/*
 * A stream of frames: each is found whole or not at all, is what its bytes say and no more,
 * and is written again byte for byte.
 */
#include "spop/frame.h"

#include "spop/disconnect.h"

#include "fuzz.h"

#define MAX 4096

/* There is one encoding of each id, so a frame has one encoding too. */
static void check_written_again(const uint8_t *bytes, size_t used, const struct frame *frame)
{
    uint8_t again[4 + MAX];
    struct wire_out out = wire_out_open(again, used);
    uint8_t *begin = frame_begin(&out, (enum frame_type)frame->type, frame->flags, frame->stream_id,
                                 frame->frame_id);

    wire_put_bytes(&out, frame->payload.at, wire_left(&frame->payload));
    frame_end(&out, begin);
    REQUIRE(!out.full && out.at == out.end);
    REQUIRE(memcmp(again, bytes, used) == 0);
}

static void check_cuts(const uint8_t *bytes, size_t used)
{
    static const size_t cuts[] = {0, 3, 4, 5};
    struct frame frame;
    size_t needed;

    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        REQUIRE(frame_get(bytes, cuts[i], MAX, &frame, &needed) == FRAME_PARTIAL);
        REQUIRE(needed == (cuts[i] < 4 ? 4 : used));
    }
    REQUIRE(frame_get(bytes, used - 1, MAX, &frame, &needed) == FRAME_PARTIAL);
    REQUIRE(needed == used);
}

static void check_disconnect(struct wire payload)
{
    const char *at = (const char *)payload.at, *end = (const char *)payload.end;
    struct span message;
    uint32_t code;

    disconnect_get(payload, &code, &message);
    REQUIRE(message.len == 0 || (message.at >= at && message.at + message.len <= end));
    REQUIRE(status_message(code)[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame;
    size_t used = 0;
    enum frame_result result;

    while ((result = frame_get(data, size, MAX, &frame, &used)) == FRAME_OK) {
        REQUIRE(used <= size && used <= 4 + MAX);
        REQUIRE(frame.payload.end == data + used && frame.payload.at <= frame.payload.end);
        check_written_again(data, used, &frame);
        check_cuts(data, used);
        check_disconnect(frame.payload);
        REQUIRE(frame_type_name(frame.type)[0] != '\0');
        data += used;
        size -= used;
    }
    if (result == FRAME_PARTIAL)
        REQUIRE(used > size && (size < 4 ? used == 4 : used <= 4 + MAX));
    if (result == FRAME_TOO_BIG)
        REQUIRE(size >= 4 && (data[0] || data[1] || data[2] >= MAX >> 8));
    return 0;
}
