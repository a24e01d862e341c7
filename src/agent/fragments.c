#include "agent/fragments.h"

#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/mem.h"

/* What there was is dropped; `refused` and the ids stay, for the pieces still to come. */
static void fragments_drop(struct fragments *fragments)
{
    free(fragments->bytes);
    fragments->bytes = NULL;
    fragments->len = fragments->cap = 0;
}

static void fragments_end(struct conn *conn)
{
    struct fragments *fragments = &conn->fragments;

    ev_timer_stop(conn->agent->loop, &fragments->timer);
    fragments_drop(fragments);
    fragments->active = fragments->refused = false;
}

static void fragments_refuse(struct conn *conn, enum task_result why)
{
    struct fragments *fragments = &conn->fragments;
    struct log_about caller = log_about;
    struct log_subject about = conn->about;

    about.numbered = true;
    about.stream_id = fragments->stream_id;
    about.frame_id = fragments->frame_id;
    log_about.subject = &about;
    log_limited(&conn->agent->faults, LEVEL_WARNING,
                "fragmented NOTIFY refused: %s, having %zu bytes of it (see max-payload and "
                "fragment-timeout)",
                task_result_name(why), fragments->len);
    log_about = caller;
    ev_timer_stop(conn->agent->loop, &fragments->timer);
    exchange_reject(conn, fragments->stream_id, fragments->frame_id, why);
    fragments_drop(fragments);
    fragments->refused = true;
}

static void fragments_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct conn *conn = timer->data;

    (void)loop;
    (void)events;
    fragments_refuse(conn, TASK_TIMEOUT);
}

void fragments_init(struct fragments *fragments, struct conn *conn)
{
    *fragments = (struct fragments){0};
    ev_timer_init(&fragments->timer, fragments_overdue, 0, 0);
    fragments->timer.data = conn;
}

void fragments_clear(struct conn *conn)
{
    fragments_end(conn);
}

static void fragments_append(struct conn *conn, const struct frame *frame)
{
    struct fragments *fragments = &conn->fragments;
    size_t more = wire_left(&frame->payload), need = fragments->len + more;

    if (fragments->refused)
        return;
    if (need > conn->agent->options->max_payload) {
        fragments_refuse(conn, TASK_TOO_BIG);
        return;
    }
    if (need > fragments->cap) {
        fragments->cap = need * 2;
        fragments->bytes = mem_resize(fragments->bytes, fragments->cap);
    }
    if (more)
        memcpy(fragments->bytes + fragments->len, frame->payload.at, more);
    fragments->len = need;
}

bool fragments_open(const struct conn *conn)
{
    return conn->fragments.active && !conn->fragments.refused;
}

void fragments_begin(struct conn *conn, const struct frame *frame)
{
    struct fragments *fragments = &conn->fragments;

    fragments->active = true;
    fragments->refused = false;
    fragments->stream_id = frame->stream_id;
    fragments->frame_id = frame->frame_id;
    ev_timer_set(&fragments->timer, conn->agent->options->fragment_timeout, 0);
    ev_timer_start(conn->agent->loop, &fragments->timer);
    fragments_append(conn, frame);
}

void fragments_add(struct conn *conn, const struct frame *frame)
{
    struct fragments *fragments = &conn->fragments;
    struct wire payload;

    if (!fragments->active) {
        conn_refuse(conn, STATUS_NO_FRAME_ID);
        return;
    }
    if (frame->stream_id != fragments->stream_id || frame->frame_id != fragments->frame_id) {
        conn_refuse(conn, STATUS_INTERLACED);
        return;
    }
    if (frame->flags & FRAME_ABORT) {
        fragments_end(conn);
        return;
    }
    fragments_append(conn, frame);
    if (!(frame->flags & FRAME_FIN))
        return;
    payload = wire_open(fragments->len ? fragments->bytes : (const uint8_t *)"", fragments->len);
    if (!fragments->refused)
        exchange_start(conn, fragments->stream_id, fragments->frame_id, payload);
    fragments_end(conn);
}
