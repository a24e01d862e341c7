#include "agent/unread.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "base/clock.h"

/* So long after it has done something HAProxy has read what was there.  With 20 ms one of 400
 * connections stopped on a busy machine, with this none did. */
#define READ_SURELY (50 * CLOCK_MILLISECOND)

/* No machine is so busy that it has not, by then, without having done anything. */
#define READ_AT_LAST CLOCK_SECOND

/* How often a unix socket is asked. */
#define ASK_AGAIN CLOCK_MILLISECOND

static void unread_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    conn_mark_dirty(timer->data);
}

void unread_init(struct conn *conn)
{
    ev_timer_init(&conn->unread.timer, unread_retry, 0, 0);
    conn->unread.timer.data = conn;
}

void unread_clear(struct conn *conn)
{
    ev_timer_stop(conn->agent->loop, &conn->unread.timer);
}

void unread_guard(struct conn *conn, size_t limit)
{
    conn->unread.limit = limit;
}

bool unread_holds(const struct conn *conn)
{
    return conn->unread.asked;
}

/* ---- answers that nobody waits for ---- */

/* Writes an ACK anew, without its actions, at a place before or where it is; its length. */
static size_t put_empty_ack(uint8_t *at, const struct frame *frame)
{
    struct wire_out out = wire_out_open(at, FRAME_HEAD_MAX);

    frame_end(&out, frame_begin(&out, FRAME_ACK, frame->flags, frame->stream_id, frame->frame_id));
    return (size_t)(out.at - at);
}

static void empty_acks(struct buf *out, size_t leaving)
{
    uint8_t *from = buf_head(out) + leaving, *to = from, *end = buf_head(out) + buf_len(out);
    struct frame frame;
    size_t len, kept;

    for (; from < end; from += len, to += kept) {
        /* What we put there is whole. */
        frame_get(from, (size_t)(end - from), UINT32_MAX, &frame, &len);
        if (frame.type == FRAME_ACK) {
            kept = put_empty_ack(to, &frame);
        } else {
            memmove(to, from, len);
            kept = len;
        }
    }
    out->end -= (size_t)(end - to);
}

void unread_notify(struct conn *conn)
{
    struct unread *unread = &conn->unread;

    if (unread->newer && !unread->asked && !ev_is_active(&unread->timer)) {
        uint64_t now = clock_seen();

        if (unread->older < unread->limit / 2 || now - unread->heard >= READ_SURELY) {
            unread->older = 0;
            unread->heard = now;
        }
        unread->older += unread->newer;
        unread->newer = 0;
    }
    if (buf_len(&conn->out) > unread->leaving &&
        unread->older + buf_len(&conn->out) >= unread->limit / 2)
        empty_acks(&conn->out, unread->leaving);
}

/* ---- what may leave ---- */

static bool is_unix(const struct conn *conn)
{
    int domain = AF_UNSPEC;

    getsockopt(conn->fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){sizeof domain});
    return domain == AF_UNIX;
}

/* Of a unix socket these are the bytes that the other end has not taken out of it.  On TCP they
 * would be those that have not got as far as its kernel. */
static bool socket_is_empty(const struct conn *conn)
{
    int waiting = 0;

    return ioctl(conn->fd, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

/* A busy machine may have stopped HAProxy where it was about to read, and its first deed
 * afterwards is to give the stream up and to send the next NOTIFY: from then on time counts. */
static uint64_t unread_on_tcp(const struct unread *unread)
{
    uint64_t since = unread->sent, ago;

    if (unread->heard > since)
        since = unread->heard - since < READ_AT_LAST ? unread->heard : 0;
    ago = clock_look() - since;
    return ago < READ_SURELY ? READ_SURELY - ago : 0;
}

/* 0 when all that was sent has been read, otherwise when to look again, in nanoseconds. */
static uint64_t unread_for(struct conn *conn)
{
    struct unread *unread = &conn->unread;
    bool asked = unread->asked;

    if (is_unix(conn)) {
        unread->asked = !socket_is_empty(conn);
        if (unread->asked && !asked)
            patience_renew(conn);
        return unread->asked ? ASK_AGAIN : 0;
    }
    return unread_on_tcp(unread);
}

/* The length of the frames at the head of the output that are together below so many bytes. */
static size_t whole_frames(const struct buf *out, size_t limit)
{
    size_t len = 0, used;
    struct frame frame;

    while (len < buf_len(out)) {
        frame_get(buf_head(out) + len, buf_len(out) - len, UINT32_MAX, &frame, &used);
        if (len + used >= limit)
            break;
        len += used;
    }
    return len;
}

/* The output and what may be unread reach the limit together. */
static size_t unread_careful(struct conn *conn)
{
    struct unread *unread = &conn->unread;
    uint64_t wait = unread_for(conn);
    size_t len;

    if (wait == 0)
        unread->older = unread->newer = 0;
    len = whole_frames(&conn->out, unread->limit - unread->older - unread->newer);
    if (len == 0)
        clock_timer(conn->agent->loop, &unread->timer, (double)wait / (double)CLOCK_SECOND);
    return len;
}

size_t unread_allowance(struct conn *conn)
{
    struct unread *unread = &conn->unread;
    size_t len = buf_len(&conn->out);

    if (!unread->limit || len == 0)
        return len;
    if (unread->leaving == 0) {
        if (unread->older + unread->newer + len >= unread->limit)
            len = unread_careful(conn);
        unread->leaving = len;
        unread->newer += len;
    }
    return unread->leaving;
}

void unread_sent(struct conn *conn, size_t len)
{
    struct unread *unread = &conn->unread;

    if (!unread->limit)
        return;
    unread->leaving -= len;
    unread->sent = clock_seen();
}
