/*
 * disconnect: HAPROXY-DISCONNECT and AGENT-DISCONNECT (SPOE.txt 3.2.8, 3.2.9) and the
 * status codes both carry (3.3), one row a code.
 */
#ifndef SPOP_DISCONNECT_H
#define SPOP_DISCONNECT_H

#include "spop/wire.h"

/* X(identifier, status-code, message) */
#define STATUS_CODES(X)                                                                            \
    X(NORMAL, 0, "normal")                                                                         \
    X(IO, 1, "I/O error")                                                                          \
    X(TIMEOUT, 2, "a timeout occurred")                                                            \
    X(TOO_BIG, 3, "frame is too big")                                                              \
    X(INVALID, 4, "invalid frame received")                                                        \
    X(NO_VERSION, 5, "version value not found")                                                    \
    X(NO_FRAME_SIZE, 6, "max-frame-size value not found")                                          \
    X(NO_CAPABILITIES, 7, "capabilities value not found")                                          \
    X(BAD_VERSION, 8, "unsupported version")                                                       \
    X(BAD_FRAME_SIZE, 9, "max-frame-size too big or too small")                                    \
    X(NO_FRAGMENTATION, 10, "payload fragmentation is not supported")                              \
    X(INTERLACED, 11, "invalid interlaced frames")                                                 \
    X(NO_FRAME_ID, 12, "frame-id not found")                                                       \
    X(RESOURCES, 13, "resource allocation error")                                                  \
    X(UNKNOWN, 99, "an unknown error occurred")

enum status {
#define X(id, code, message) STATUS_##id = code,
    STATUS_CODES(X)
#undef X
};

/* The row's message; that of UNKNOWN for a code we have no row for. */
const char *status_message(uint32_t code);

/* Writes a whole DISCONNECT frame of the given type with a status-code and its message. */
void disconnect_put(struct wire_out *out, uint8_t frame_type, enum status status);

/*
 * Reads the payload of a DISCONNECT.  Both keys are mandatory; a peer that is leaving is
 * not argued with, so what is missing or ill-typed comes back as status-code 99 and an
 * empty message.
 */
void disconnect_get(struct wire payload, uint32_t *code, struct span *message);

#endif
