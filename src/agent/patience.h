/*
 * patience: what a connection waits for at the moment, and how long it does.
 */
#ifndef AGENT_PATIENCE_H
#define AGENT_PATIENCE_H

#include <ev.h>

struct conn;

enum patience_for {
    PATIENCE_NOTHING, /* idle, or its handlers run: they have limits of their own */
    PATIENCE_HELLO,   /* the peer's first frame */
    PATIENCE_FRAME,   /* the rest of a frame, while nothing else is to be done */
    PATIENCE_ANSWERS, /* ours: until there are some, the connection is not read */
    PATIENCE_READING, /* the peer's: it has output to read */
    PATIENCE_CLOSE,   /* the peer's, after our last frame */
};

struct patience {
    enum patience_for what;
    ev_timer timer;
};

void patience_init(struct conn *conn);

/* To be called after every event: looks at what there is to wait for now.  Time goes on where
 * that is the same as before. */
void patience_arm(struct conn *conn);

/* There was progress: time starts anew. */
void patience_renew(struct conn *conn);

#endif
