/*
 * unread: what HAProxy may not have read yet, where too much of that would stop it for ever.
 *
 * HAProxy 3.1 and later never reads a connection again on which tune.bufsize bytes were there to
 * be read at once: the buffer that its multiplexer reads into is full, and what is in it is not
 * looked at while it is.  An ACK alone is shorter, and these peers get one stream at a time; but
 * HAProxy also gives up a stream whose ACK lies in the socket, and sends the next NOTIFY behind.
 * So of a connection's output as much leaves as cannot fill that buffer together with what may
 * still be unread, in whole frames, and the rest is held until that has been read: a unix socket
 * tells when, on others so much time goes by that any HAProxy that lives has read it.
 *
 * Replies below half a buffer are never held, and cost a few additions.
 */
#ifndef AGENT_UNREAD_H
#define AGENT_UNREAD_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

struct unread {
    size_t limit;        /* so many bytes at once stop the peer; 0 when nothing does */
    size_t older, newer; /* which it may not have read: from before its last NOTIFY, and since */
    size_t leaving;      /* at the head of the output: may be sent, and is counted already */
    uint64_t sent;       /* clock: when the last of them left */
    uint64_t heard;      /* clock: the first NOTIFY since `older` were sent */
    bool asked;          /* output is held until the socket says that all has been read */
    ev_timer timer;      /* when to look again */
};

void unread_init(struct conn *conn);
void unread_clear(struct conn *conn);

/* The peer is one of these, with buffers of at least so many bytes. */
void unread_guard(struct conn *conn, size_t limit);

/* A NOTIFY has come.  HAProxy reads what is there between two of them, so what is older than
 * the last has been read.  A busy HAProxy may not have: where that would be more than half of the
 * limit, or something is held already, only time tells.  And nobody waits any more for the
 * answers that are not sent yet: where they are that large, they go out without actions. */
void unread_notify(struct conn *conn);

/* How many bytes of the output may be sent now; 0: none, its turn comes when there are more. */
size_t unread_allowance(struct conn *conn);

/* So many of them were. */
void unread_sent(struct conn *conn, size_t len);

/* Whether output is held for as long as the peer does not read. */
bool unread_holds(const struct conn *conn);

#endif
