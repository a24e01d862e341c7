#include "agent/goodbye.h"

#include "agent/agent.h"

void goodbye_say(struct conn *conn, enum status status)
{
    struct wire_out out = conn_output(conn, FRAME_SIZE_MIN);

    fragments_clear(conn);
    disconnect_put(&out, FRAME_AGENT_DISCONNECT, status);
    metrics_frame(conn->agent->metrics, METRIC_FRAMES_OUT_DISCONNECT, conn_put_length(conn, &out));
    conn_written(conn, &out);
    conn_enter(conn, CONN_CLOSING);
}

/* 0 is goodbye, 2 what HAProxy up to 3.0 says about a connection that was idle for long. */
void goodbye_heard(struct conn *conn, const struct frame *frame)
{
    struct span message;
    uint32_t code;

    disconnect_get(frame->payload, &code, &message);
    log_limited(&conn->agent->faults,
                code == STATUS_NORMAL || code == STATUS_TIMEOUT ? LEVEL_DEBUG : LEVEL_WARNING,
                "HAProxy disconnects with status %u (%.*s)", (unsigned)code,
                (int)(message.len < 256 ? message.len : 256), message.at);
    fragments_clear(conn);
    conn_enter(conn, CONN_LEAVING);
}

/* A whole frame is here that waits for its turn. */
static bool frame_waits(const struct conn *conn)
{
    struct frame frame;
    size_t used;

    return frame_get(buf_head(&conn->in), buf_len(&conn->in), UINT32_MAX, &frame, &used) ==
           FRAME_OK;
}

static bool drained(const struct conn *conn)
{
    switch (conn->agent->drain) {
    case DRAIN_NOT:
        return false;
    case DRAIN_IDLE:
        return buf_len(&conn->in) == 0 && !conn->job.queued && !fragments_open(conn);
    case DRAIN_ALL:
        return !frame_waits(conn);
    }
    return false;
}

bool goodbye_due(const struct conn *conn)
{
    if (conn->pending)
        return false;
    return conn->state == CONN_LEAVING || (conn->state <= CONN_RUNNING && drained(conn));
}
