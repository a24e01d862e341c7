#include "agent/conn.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/goodbye.h"
#include "agent/handshake.h"
#include "base/mem.h"

/* No HELLO needs more; until there is one, this is all a peer can make us hold. */
#define HELLO_FRAME_MAX 16384u

/* ---- what is wanted of the socket ---- */

/* Whether one more NOTIFY would not be too much. */
/* What NOTIFYs that wait for their turn may take; then no more are started. */
#define WAITING_MAX (1u << 20)

static bool conn_has_room(const struct conn *conn)
{
    const struct agent_options *options = conn->agent->options;

    return conn->state != CONN_RUNNING ||
           (conn->pending < options->max_pending && conn->waiting < WAITING_MAX &&
            buf_len(&conn->out) < options->max_output);
}

bool conn_may_read(const struct conn *conn)
{
    return conn_has_room(conn) && (conn->state != CONN_RUNNING || conn->agent->drain != DRAIN_ALL);
}

static void io_want(struct ev_loop *loop, ev_io *io, bool wanted)
{
    if (wanted == (bool)ev_is_active(io))
        return;
    if (wanted)
        ev_io_start(loop, io);
    else
        ev_io_stop(loop, io);
}

/* The one place that decides which watchers run, after every event. */
static void conn_arm(struct conn *conn)
{
    io_want(conn->agent->loop, &conn->reader, conn_may_read(conn));
    io_want(conn->agent->loop, &conn->writer, conn->blocked);
    patience_arm(conn);
}

void conn_mark_dirty(struct conn *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    LIST_INSERT_HEAD(&conn->agent->dirty, conn, dirty_entry);
}

void conn_enter(struct conn *conn, enum conn_state state)
{
    conn->state = state;
    patience_renew(conn);
    conn_mark_dirty(conn);
}

/* ---- output ---- */

struct wire_out conn_output(struct conn *conn, size_t room)
{
    return wire_out_open(buf_room(&conn->out, room), room);
}

size_t conn_put_length(const struct conn *conn, const struct wire_out *out)
{
    return (size_t)(out->at - (conn->out.bytes + conn->out.end));
}

void conn_written(struct conn *conn, const struct wire_out *out)
{
    buf_added(&conn->out, conn_put_length(conn, out));
    conn_mark_dirty(conn);
}

void conn_refuse(struct conn *conn, enum status status)
{
    if (conn->state == CONN_CLOSING)
        return;
    log_limited(conn->state == CONN_HELLO ? &conn->agent->refusals : &conn->agent->faults,
                LEVEL_WARNING, "%s refused with status %d (%s)",
                conn->state == CONN_HELLO ? "HELLO" : "connection", (int)status,
                status_message(status));
    if (conn->state == CONN_HELLO)
        handshake_refused(conn, status);
    exchange_cancel_all(conn);
    goodbye_say(conn, status);
}

/* ---- frames ---- */

static void frame_notify(struct conn *conn, const struct frame *frame)
{
    if (fragments_open(conn))
        conn_refuse(conn, STATUS_INTERLACED);
    else if (frame->flags & FRAME_ABORT)
        return;
    else if (frame->flags & FRAME_FIN)
        exchange_start(conn, frame->stream_id, frame->frame_id, frame->payload);
    else
        fragments_begin(conn, frame);
}

static void conn_frame(struct conn *conn, const struct frame *frame, size_t len)
{
    struct metrics *metrics = conn->agent->metrics;

    if (conn->patience.what == PATIENCE_FRAME)
        patience_renew(conn);
    if (conn->state == CONN_HELLO) {
        metrics_frame(metrics, METRIC_FRAMES_IN_HELLO, len);
        handshake_frame(conn, frame);
        return;
    }
    switch (frame->type) {
    case FRAME_NOTIFY:
        metrics_frame(metrics, METRIC_FRAMES_IN_NOTIFY, len);
        frame_notify(conn, frame);
        break;
    case FRAME_UNSET:
        metrics_frame(metrics, METRIC_FRAMES_IN_FRAGMENT, len);
        fragments_add(conn, frame);
        break;
    case FRAME_HAPROXY_DISCONNECT:
        metrics_frame(metrics, METRIC_FRAMES_IN_DISCONNECT, len);
        goodbye_heard(conn, frame);
        break;
    case FRAME_HAPROXY_HELLO:
    case FRAME_AGENT_HELLO:
    case FRAME_AGENT_DISCONNECT:
    case FRAME_ACK:
        metrics_frame(metrics, METRIC_FRAMES_IN_OTHER, len);
        conn_refuse(conn, STATUS_INVALID);
        break;
    default:
        metrics_frame(metrics, METRIC_FRAMES_IN_OTHER, len);
        break; /* SPOE.txt 3.2.2: an unknown type is skipped */
    }
}

/* The frame at the head of `in`; false when it is not all there. */
static bool conn_frame_next(struct conn *conn)
{
    uint32_t max = conn->state == CONN_HELLO ? HELLO_FRAME_MAX : conn->max_frame_size;
    struct frame frame;
    size_t used;

    switch (frame_get(buf_head(&conn->in), buf_len(&conn->in), max, &frame, &used)) {
    case FRAME_OK:
        conn_frame(conn, &frame, used);
        buf_take(&conn->in, used);
        return true;
    case FRAME_PARTIAL:
        conn->need = used;
        break;
    case FRAME_TOO_BIG:
        conn_refuse(conn, STATUS_TOO_BIG);
        break;
    case FRAME_INVALID:
        conn_refuse(conn, STATUS_INVALID);
        break;
    }
    return false;
}

/* The whole frames that are here, as far as its bounds and its turn allow. */
static void conn_frames(struct conn *conn)
{
    uint64_t began = clock_seen();
    bool more = true;

    while (more && conn->state == CONN_RUNNING && conn_has_room(conn) &&
           clock_seen() - began < QUEUE_LONG)
        more = conn_frame_next(conn);
    conn->held = more && conn->state == CONN_RUNNING && buf_len(&conn->in);
    if (conn->state > CONN_RUNNING)
        buf_clear(&conn->in);
}

/* ---- events ---- */

void conn_lost(struct conn *conn)
{
    if (conn->pending)
        log_limited(&conn->agent->faults, LEVEL_INFO,
                    "HAProxy went away; %u messages in flight are cancelled", conn->pending);
    conn_close(conn);
}

/* False when the connection is lost. */
static bool conn_read(struct conn *conn)
{
    size_t have = buf_len(&conn->in);
    bool full;
    ssize_t got = buf_fill(&conn->in, conn->fd, conn->need > have ? conn->need - have : 1, &full);

    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return true;
    /* A peer that closed its writing side may still read what is on its way. */
    if (got == 0 && buf_len(&conn->out))
        buf_flush(&conn->out, conn->fd);
    conn_lost(conn);
    return false;
}

/* It has its turn again when frames were held back, and they may go on. */
static void conn_queue(struct conn *conn)
{
    if (conn->held && conn_has_room(conn) && !conn->job.queued)
        queue_add(conn->agent->queue, &conn->job, LANE_SHORT);
}

/* A job: what was held back first, then what the socket has. */
static void conn_turn(struct job *job)
{
    struct conn *conn = (struct conn *)((char *)job - offsetof(struct conn, job));

    log_about.subject = &conn->about;
    if (conn->held || !conn_may_read(conn) || conn_read(conn)) {
        conn_frames(conn);
        conn_queue(conn);
        conn_arm(conn);
    }
    log_about.subject = NULL;
}

/* A HELLO has no turn to wait for: whoever checks our health, or comes anew, is answered however
 * many handlers there are to run. */
static void conn_greeted(struct conn *conn)
{
    log_about.subject = &conn->about;
    if (conn_read(conn)) {
        conn->held = conn_frame_next(conn) && conn->state == CONN_RUNNING && buf_len(&conn->in);
        if (conn->state > CONN_RUNNING)
            buf_clear(&conn->in);
        conn_queue(conn);
        conn_arm(conn);
    }
    log_about.subject = NULL;
}

static void conn_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct conn *conn = io->data;

    (void)loop;
    (void)events;
    if (conn->state == CONN_HELLO) {
        conn->since = clock_seen();
        conn_greeted(conn);
    } else if (!conn->job.queued && !conn->held) {
        conn->since = clock_seen();
        queue_add(conn->agent->queue, &conn->job, LANE_SHORT);
    }
}

static void conn_writable(struct ev_loop *loop, ev_io *io, int events)
{
    struct conn *conn = io->data;

    (void)loop;
    (void)events;
    conn->blocked = false;
    conn_mark_dirty(conn);
}

/* False when the connection is lost. */
static bool conn_send(struct conn *conn)
{
    size_t may;

    while (!conn->blocked && (may = unread_allowance(conn)) > 0) {
        ssize_t sent = buf_send(&conn->out, conn->fd, may);

        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        conn->blocked = sent < (ssize_t)may;
        if (sent <= 0)
            break;
        unread_sent(conn, (size_t)sent);
        patience_renew(conn);
    }
    return true;
}

static void conn_leave_turn(struct conn *conn)
{
    LIST_REMOVE(conn, dirty_entry);
    conn->dirty = false;
    if (!conn_send(conn)) {
        conn_lost(conn);
        return;
    }
    conn_queue(conn);
    if (goodbye_due(conn))
        goodbye_say(conn, STATUS_NORMAL);
    else if (conn->state == CONN_CLOSING && buf_len(&conn->out) == 0)
        shutdown(conn->fd, SHUT_WR);
    conn_arm(conn);
}

void conn_flush(struct conn *conn)
{
    log_about.subject = &conn->about;
    conn_leave_turn(conn);
    log_about.subject = NULL;
}

void conn_answered(struct conn *conn)
{
    conn_mark_dirty(conn);
}

/* ---- coming and going ---- */

void conn_open(struct agent *agent, int fd, const char *peer)
{
    struct conn *conn = mem_zalloc(sizeof *conn);

    conn->agent = agent;
    conn->fd = fd;
    conn->opened = conn->since = clock_seen();
    job_init(&conn->job, conn_turn);
    conn->peer = mem_strndup(peer, strlen(peer));
    conn->engine_id = mem_strndup("", 0);
    conn->about = (struct log_subject){.peer = conn->peer, .engine_id = conn->engine_id};
    buf_init(&conn->in, &agent->in_pool);
    buf_init(&conn->out, &agent->out_pool);
    LIST_INIT(&conn->exchanges);
    fragments_init(&conn->fragments, conn);
    ev_io_init(&conn->reader, conn_readable, fd, EV_READ);
    ev_io_init(&conn->writer, conn_writable, fd, EV_WRITE);
    patience_init(conn);
    unread_init(conn);
    conn->reader.data = conn->writer.data = conn;
    LIST_INSERT_HEAD(&agent->conns, conn, entry);
    agent->nconns++;
    conn_arm(conn);
    conn_greeted(conn); /* it may be here already, and the next turn of the loop may be far */
}

void conn_close(struct conn *conn)
{
    struct agent *agent = conn->agent;

    exchange_cancel_all(conn);
    fragments_clear(conn);
    ev_io_stop(agent->loop, &conn->reader);
    ev_io_stop(agent->loop, &conn->writer);
    patience_renew(conn);
    queue_remove(agent->queue, &conn->job);
    unread_clear(conn);
    if (conn->dirty)
        LIST_REMOVE(conn, dirty_entry);
    LIST_REMOVE(conn, entry);
    agent->nconns--;
    agent->metrics->n[METRIC_CONNECTIONS_CLOSED]++;
    buf_clear(&conn->in);
    buf_clear(&conn->out);
    close(conn->fd);
    free(conn->peer);
    free(conn->engine_id);
    free(conn);
}
