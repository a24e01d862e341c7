/*
 * goodbye: how a connection ends in good order: what HAProxy says of it, and what we say.
 */
#ifndef AGENT_GOODBYE_H
#define AGENT_GOODBYE_H

#include <stdbool.h>

#include "spop/disconnect.h"
#include "spop/frame.h"

struct conn;

/* AGENT-DISCONNECT with this status is our last frame here; a NOTIFY that has come in part is
 * dropped. */
void goodbye_say(struct conn *conn, enum status status);

/* HAPROXY-DISCONNECT: what came whole before it is answered, then we say goodbye too, and that
 * is all. */
void goodbye_heard(struct conn *conn, const struct frame *frame);

/* Whether it is time to say it: HAProxy has, or the agent drains, and nothing is in flight. */
bool goodbye_due(const struct conn *conn);

#endif
