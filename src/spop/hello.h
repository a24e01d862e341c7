/*
 * hello: the payloads of HAPROXY-HELLO and AGENT-HELLO (SPOE.txt 3.2.4, 3.2.5).
 *
 * What to answer is the agent's decision; this reads what was offered and writes what was
 * decided.
 */
#ifndef SPOP_HELLO_H
#define SPOP_HELLO_H

#include "spop/disconnect.h"
#include "spop/value.h"

/* Capabilities, one bit each. */
#define HELLO_PIPELINING    1u
#define HELLO_FRAGMENTATION 2u
#define HELLO_ASYNC         4u

struct hello {
    uint32_t max_frame_size;
    unsigned capabilities; /* those we have bits for; unknown ones are ignored */
    bool healthcheck;
    struct span engine_id; /* empty when there is none; borrows the frame's bytes */
};

/*
 * Reads a HAPROXY-HELLO's payload.  STATUS_NORMAL when it can be agreed to, or the status
 * to refuse it with: INVALID for a malformed list or a key of the wrong type, NO_VERSION,
 * NO_FRAME_SIZE, NO_CAPABILITIES for a missing key, BAD_VERSION when none of the offered
 * versions is 2.x, BAD_FRAME_SIZE below FRAME_SIZE_MIN.  A health check need not have
 * capabilities at all.  Keys we do not know are ignored; of a repeated key the last counts.
 */
enum status hello_get(struct wire payload, struct hello *hello);

/* Writes a whole AGENT-HELLO frame: version 2.0, max-frame-size, capabilities. */
void hello_put_agent(struct wire_out *out, uint32_t max_frame_size, unsigned capabilities);

/* Writes a whole HAPROXY-HELLO frame, for the tools that play HAProxy's side. */
void hello_put_haproxy(struct wire_out *out, const struct hello *hello);

/* Reads an AGENT-HELLO's payload, HAProxy's side; false when a key is missing or bad. */
bool hello_get_agent(struct wire payload, struct hello *hello);

#endif
