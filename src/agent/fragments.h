/*
 * fragments: a NOTIFY that arrives in pieces (SPOE.txt 3.2.6): the first frame is a NOTIFY
 * without FIN, the next are of type UNSET with the same ids, the last has FIN.  HAProxy up
 * to 3.0 does this, and never with two payloads at a time.
 *
 * Bounded in bytes and in time.  A payload that is refused is remembered until its last
 * piece, so that the pieces that are already on their way are known for what they are.
 */
#ifndef AGENT_FRAGMENTS_H
#define AGENT_FRAGMENTS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "spop/frame.h"

struct conn;

struct fragments {
    bool active, refused;
    uint64_t stream_id, frame_id;
    uint8_t *bytes;
    size_t len, cap;
    ev_timer timer;
};

void fragments_init(struct fragments *fragments, struct conn *conn);
void fragments_clear(struct conn *conn);

/* Whether a payload is being put together, so that no other NOTIFY may come. */
bool fragments_open(const struct conn *conn);

/* A NOTIFY without FIN, while none is open. */
void fragments_begin(struct conn *conn, const struct frame *frame);

/* A frame of type UNSET. */
void fragments_add(struct conn *conn, const struct frame *frame);

#endif
