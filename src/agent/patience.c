#include "agent/patience.h"

#include <poll.h>
#include <sys/ioctl.h>

#include "agent/agent.h"

/* How long a peer may take to close after our last frame. */
#define CLOSING_TIMEOUT 2.0

/* A connection that is not read does not tell that its peer is gone: ask so often. */
#define HELD_CHECK 1.0

static enum patience_for patience_for(const struct conn *conn)
{
    if (conn->state == CONN_HELLO)
        return PATIENCE_HELLO;
    if (conn->state == CONN_CLOSING)
        return PATIENCE_CLOSE;
    if (conn->blocked || unread_holds(conn))
        return PATIENCE_READING;
    if (!conn_may_read(conn))
        return PATIENCE_ANSWERS;
    return buf_len(&conn->in) && conn->pending == 0 ? PATIENCE_FRAME : PATIENCE_NOTHING;
}

static double patience_seconds(const struct conn *conn)
{
    const struct agent_options *options = conn->agent->options;

    switch (conn->patience.what) {
    case PATIENCE_NOTHING:
        break;
    case PATIENCE_HELLO:
        return options->hello_timeout;
    case PATIENCE_FRAME:
        return options->fragment_timeout;
    case PATIENCE_ANSWERS:
        return HELD_CHECK;
    case PATIENCE_READING:
        return options->write_timeout;
    case PATIENCE_CLOSE:
        return CLOSING_TIMEOUT;
    }
    return 0;
}

void patience_arm(struct conn *conn)
{
    struct patience *patience = &conn->patience;
    enum patience_for what = patience_for(conn);

    if (what != patience->what)
        patience_renew(conn);
    patience->what = what;
    if (what == PATIENCE_NOTHING || ev_is_active(&patience->timer))
        return;
    clock_timer(conn->agent->loop, &patience->timer, patience_seconds(conn));
}

void patience_renew(struct conn *conn)
{
    ev_timer_stop(conn->agent->loop, &conn->patience.timer);
}

static bool peer_gone(const struct conn *conn)
{
    struct pollfd fd = {.fd = conn->fd, .events = POLLRDHUP};

    return poll(&fd, 1, 0) > 0;
}

/* Bytes that are there to be read: when it was the loop that was late, the peer was not. */
static size_t unread(const struct conn *conn)
{
    int waiting = 0;

    ioctl(conn->fd, FIONREAD, &waiting);
    return (size_t)waiting;
}

/* Whether half a frame is all that there is. */
static bool frame_is_half(const struct conn *conn)
{
    struct frame frame;
    size_t len = buf_len(&conn->in), need;

    if (frame_get(buf_head(&conn->in), len, conn->max_frame_size, &frame, &need) != FRAME_PARTIAL)
        return false;
    return len + unread(conn) < need;
}

static void patience_over(struct conn *conn)
{
    switch (conn->patience.what) {
    case PATIENCE_NOTHING:
        break;
    case PATIENCE_HELLO:
        if (unread(conn))
            patience_arm(conn);
        else if (buf_len(&conn->in))
            conn_refuse(conn, STATUS_TIMEOUT);
        else
            conn_lost(conn);
        break;
    case PATIENCE_FRAME:
        if (frame_is_half(conn))
            conn_refuse(conn, STATUS_TIMEOUT);
        else
            patience_arm(conn);
        break;
    case PATIENCE_ANSWERS:
        if (peer_gone(conn))
            conn_lost(conn);
        else
            patience_arm(conn);
        break;
    case PATIENCE_READING:
        log_limited(&conn->agent->faults, LEVEL_WARNING,
                    "closed: it has not read any of %zu bytes for write-timeout",
                    buf_len(&conn->out));
        conn_lost(conn);
        break;
    case PATIENCE_CLOSE:
        conn_lost(conn);
        break;
    }
}

static void patience_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct conn *conn = timer->data;

    (void)loop;
    (void)events;
    log_about.subject = &conn->about;
    patience_over(conn);
    log_about.subject = NULL;
}

void patience_init(struct conn *conn)
{
    ev_timer_init(&conn->patience.timer, patience_overdue, 0, 0);
    conn->patience.timer.data = conn;
}
