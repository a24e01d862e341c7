#include "spop/frame.h"

#define LENGTH_SIZE 4

/* Type, flags, and two ids of one byte each. */
#define HEAD_MIN (1 + 4 + 1 + 1)

static uint32_t be32_get(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void be32_put(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)(number >> 24);
    at[1] = (uint8_t)(number >> 16);
    at[2] = (uint8_t)(number >> 8);
    at[3] = (uint8_t)number;
}

enum frame_result frame_get(const uint8_t *bytes, size_t len, uint32_t max, struct frame *frame,
                            size_t *used)
{
    *used = LENGTH_SIZE;
    if (len < LENGTH_SIZE)
        return FRAME_PARTIAL;

    uint32_t length = be32_get(bytes);
    if (length > max)
        return FRAME_TOO_BIG;
    if (length < HEAD_MIN)
        return FRAME_INVALID;

    *used = (size_t)LENGTH_SIZE + length;
    if (len < *used)
        return FRAME_PARTIAL;

    const uint8_t *head = bytes + LENGTH_SIZE;
    frame->type = head[0];
    frame->flags = be32_get(head + 1);
    frame->payload = wire_open(head + 5, length - 5);
    frame->stream_id = wire_varint(&frame->payload);
    frame->frame_id = wire_varint(&frame->payload);
    return frame->payload.bad ? FRAME_INVALID : FRAME_OK;
}

uint8_t *frame_begin(struct wire_out *out, enum frame_type type, uint32_t flags, uint64_t stream_id,
                     uint64_t frame_id)
{
    uint8_t *begin = out->at;
    uint8_t *at = wire_put_room(out, LENGTH_SIZE + 1 + 4);

    if (at) {
        at[LENGTH_SIZE] = (uint8_t)type;
        be32_put(at + LENGTH_SIZE + 1, flags);
    }
    wire_put_varint(out, stream_id);
    wire_put_varint(out, frame_id);
    return begin;
}

void frame_end(struct wire_out *out, uint8_t *begin)
{
    if (!out->full)
        be32_put(begin, (uint32_t)(out->at - begin - LENGTH_SIZE));
}

const char *frame_type_name(uint8_t type)
{
    switch (type) {
    case FRAME_UNSET:
        return "UNSET";
    case FRAME_HAPROXY_HELLO:
        return "HAPROXY-HELLO";
    case FRAME_HAPROXY_DISCONNECT:
        return "HAPROXY-DISCONNECT";
    case FRAME_NOTIFY:
        return "NOTIFY";
    case FRAME_AGENT_HELLO:
        return "AGENT-HELLO";
    case FRAME_AGENT_DISCONNECT:
        return "AGENT-DISCONNECT";
    case FRAME_ACK:
        return "ACK";
    default:
        return "unknown";
    }
}
