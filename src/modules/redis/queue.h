/*
 * queue: what a connection is to send, what it sent, and who waits for the replies.
 *
 * The part of conn.h that knows tasks and no sockets; these are for conn.c.
 */
#ifndef MODULES_REDIS_QUEUE_H
#define MODULES_REDIS_QUEUE_H

#include "modules/redis/conn.h"

/* Moves what is unsent to the output, until that has so many bytes. */
void redis_queue_gather(struct redis_conn *conn, size_t most);

/* Takes the reply that is due next; it is noted who is to be woken.  False: none is due. */
bool redis_queue_deliver(struct redis_conn *conn, struct redis_reply *reply);

/* Whether somebody waits for the reply that is due next. */
bool redis_queue_awaited(const struct redis_conn *conn);

/* Everything fails; it is noted who is to be woken. */
void redis_queue_fail(struct redis_conn *conn, const char *code, const char *message);

/* Wakes them.  The connection may be gone when this returns. */
void redis_queue_wake(struct redis_conn *conn);

/* Empty; nobody is woken. */
void redis_queue_clear(struct redis_conn *conn);

#endif
