/*
 * conn: one connection from HAProxy: its socket, its bytes in and out, its state.
 *
 * Bytes that come in become frames here, and NOTIFYs become exchanges.  Whatever goes out is
 * appended to one buffer and leaves in conn_flush, called after each slice of the queue.
 * conn_close alone frees a connection and all that is its own.
 */
#ifndef AGENT_CONN_H
#define AGENT_CONN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent/exchange.h"
#include "agent/fragments.h"
#include "agent/patience.h"
#include "agent/unread.h"
#include "base/buf.h"
#include "base/log.h"
#include "spop/disconnect.h"
#include "spop/frame.h"

struct agent;

enum conn_state {
    CONN_HELLO,   /* connected; nothing but a HAPROXY-HELLO may come */
    CONN_RUNNING, /* NOTIFYs are served */
    CONN_LEAVING, /* HAProxy said goodbye: answers what is in flight, reads no more frames */
    CONN_CLOSING, /* our last frame is on its way; then waits for the peer to close */
};

LIST_HEAD(conn_list, conn);

struct conn {
    LIST_ENTRY(conn) entry, dirty_entry;
    struct agent *agent;
    char *peer;
    char *engine_id;          /* "" until a HELLO had one */
    struct log_subject about; /* the two, for the log */
    int fd;
    enum conn_state state;
    bool dirty;   /* is to be flushed after this slice */
    bool held;    /* whole frames are in `in`, which its turn or its bounds have held back */
    bool blocked; /* the socket takes no more output for now */
    bool single;  /* HAProxy has one stream at a time here; see exchange_start */
    uint32_t max_frame_size;
    struct buf in, out;
    size_t need; /* bytes in all that the frame at the head of `in` takes */
    ev_io reader, writer;
    struct patience patience;
    struct unread unread;
    struct fragments fragments;
    struct exchange_list exchanges;
    unsigned pending; /* how many they are */
    size_t waiting;   /* bytes of those that wait for a turn of their own */
    uint64_t opened;  /* by base/clock */
    uint64_t since;   /* when what is in `in` was there to be read */
    struct job job;   /* its turn, while it has frames or the socket has bytes */
};

/* Adds a connection to its agent. */
void conn_open(struct agent *agent, int fd, const char *peer);

/* Cancels what is in flight, closes, frees. */
void conn_close(struct conn *conn);

/* The peer is gone, or we are done with it: closes, and says what is cancelled by it. */
void conn_lost(struct conn *conn);

/* Whether more bytes are wanted: not while too much is unanswered or unsent, nor at the end of a
 * drain. */
bool conn_may_read(const struct conn *conn);

/* Room for a frame of so many bytes at the end of the output; conn_written must follow. */
struct wire_out conn_output(struct conn *conn, size_t room);
/* How long what has been put there is. */
size_t conn_put_length(const struct conn *conn, const struct wire_out *out);
void conn_written(struct conn *conn, const struct wire_out *out);

/* Another state: its timer starts anew, and it has its turn. */
void conn_enter(struct conn *conn, enum conn_state state);

/* An exchange ended: what was held back because of it may go on. */
void conn_answered(struct conn *conn);

/* Refuses the peer: AGENT-DISCONNECT with this status, and the end of the connection. */
void conn_refuse(struct conn *conn, enum status status);

/* After a slice: sends, and has frames that were held back queued. */
void conn_flush(struct conn *conn);

/* It is flushed after this slice. */
void conn_mark_dirty(struct conn *conn);

#endif
