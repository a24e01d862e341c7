/*
 * frame: length, type, flags, stream-id, frame-id (SPOE.txt 3.2).  What a payload means
 * is for hello, message, action and disconnect.
 */
#ifndef SPOP_FRAME_H
#define SPOP_FRAME_H

#include "spop/wire.h"

enum frame_type {
    FRAME_UNSET = 0, /* the following fragments of a NOTIFY */
    FRAME_HAPROXY_HELLO = 1,
    FRAME_HAPROXY_DISCONNECT = 2,
    FRAME_NOTIFY = 3,
    FRAME_AGENT_HELLO = 101,
    FRAME_AGENT_DISCONNECT = 102,
    FRAME_ACK = 103,
};

/* The flags: a 32-bit field, two bits of which have a meaning. */
#define FRAME_FIN   1u
#define FRAME_ABORT 2u

/* Length field, type, flags and two ids of the longest form. */
#define FRAME_HEAD_MAX (4 + 1 + 4 + 2 * WIRE_VARINT_MAX)

/* No frame-size below this is legal (SPOE.txt 3.2.4), and none needs more to say HELLO. */
#define FRAME_SIZE_MIN 256

struct frame {
    uint8_t type; /* an enum frame_type, or one we do not know */
    uint32_t flags;
    uint64_t stream_id, frame_id;
    struct wire payload;
};

enum frame_result {
    FRAME_OK,
    FRAME_PARTIAL, /* more bytes are needed */
    FRAME_TOO_BIG, /* its length field is above max; known after four bytes */
    FRAME_INVALID, /* too short for its own header, or an id that is no varint */
};

/*
 * Looks for one frame at the start of len bytes.  FRAME_OK: *frame is filled and *used is
 * what it took with its length field; FRAME_PARTIAL: *used is how many bytes in all the
 * frame will take (4 while its length is not known).  max bounds the length field's value,
 * as max-frame-size does.
 */
enum frame_result frame_get(const uint8_t *bytes, size_t len, uint32_t max, struct frame *frame,
                            size_t *used);

/* Starts a frame and returns where it begins, for frame_end; the payload is put between. */
uint8_t *frame_begin(struct wire_out *out, enum frame_type type, uint32_t flags, uint64_t stream_id,
                     uint64_t frame_id);

/* Fills in the length of a frame begun at begin.  Nothing is done to a full cursor. */
void frame_end(struct wire_out *out, uint8_t *begin);

/* "NOTIFY", "HAPROXY-HELLO" ...; "unknown" for the rest. */
const char *frame_type_name(uint8_t type);

#endif
