/*
 * handshake: HAPROXY-HELLO and what is agreed on with it: how long frames may be, and whether
 * HAProxy may have several streams at a time on the connection.  A health check is answered
 * and then over.
 */
#ifndef AGENT_HANDSHAKE_H
#define AGENT_HANDSHAKE_H

#include "spop/disconnect.h"
#include "spop/frame.h"

struct conn;

/* The first frame of a connection, of whatever type: the connection runs afterwards, or it is
 * refused. */
void handshake_frame(struct conn *conn, const struct frame *frame);

/* Counts that there was none. */
void handshake_refused(struct conn *conn, enum status status);

#endif
