#include "agent/handshake.h"

#include <stdlib.h>

#include "agent/agent.h"
#include "base/mem.h"
#include "spop/hello.h"

/* A health check has no use for large frames, and HAProxy 3.1 and later announce one size
 * there and accept only a smaller one. */
#define HEALTHCHECK_FRAME_SIZE 4096u

/* HAProxy up to 3.0 offers `async`, unless its configuration forbids it.  What does not is the
 * multiplexer of 3.1 and later or cannot be told from it, and that can stop for ever when ACKs
 * meet (unread.h).  `no option pipelining` leaves it with nothing at all to offer. */
static bool is_multiplexer(const struct hello *hello)
{
    return !(hello->capabilities & HELLO_ASYNC);
}

static bool grant_pipelining(const struct conn *conn, const struct hello *hello)
{
    if (!(hello->capabilities & HELLO_PIPELINING))
        return false;
    switch (conn->agent->options->pipelining) {
    case PIPELINING_ON:
        return true;
    case PIPELINING_OFF:
        return false;
    case PIPELINING_AUTO:
        break;
    }
    return !is_multiplexer(hello);
}

static void put_agent_hello(struct conn *conn, const struct hello *hello, uint32_t size)
{
    struct wire_out out = conn_output(conn, FRAME_SIZE_MIN);
    unsigned capabilities = HELLO_FRAGMENTATION;

    if (grant_pipelining(conn, hello))
        capabilities |= HELLO_PIPELINING;
    conn->single = !(capabilities & HELLO_PIPELINING) && is_multiplexer(hello);
    hello_put_agent(&out, size, capabilities);
    metrics_frame(conn->agent->metrics, METRIC_FRAMES_OUT_HELLO, conn_put_length(conn, &out));
    conn_written(conn, &out);
}

static uint32_t lower(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void handshake_frame(struct conn *conn, const struct frame *frame)
{
    struct hello hello;
    enum status status = STATUS_INVALID;

    if (frame->type == FRAME_HAPROXY_HELLO && frame->flags == FRAME_FIN && frame->stream_id == 0 &&
        frame->frame_id == 0)
        status = hello_get(frame->payload, &hello);
    if (status != STATUS_NORMAL) {
        conn_refuse(conn, status);
        return;
    }
    if (hello.healthcheck) {
        conn->agent->metrics->n[METRIC_HEALTHCHECKS]++;
        put_agent_hello(conn, &hello, lower(hello.max_frame_size, HEALTHCHECK_FRAME_SIZE));
        conn_enter(conn, CONN_CLOSING);
        return;
    }
    conn->agent->metrics->n[METRIC_HANDSHAKES]++;
    conn->max_frame_size = lower(hello.max_frame_size, conn->agent->options->max_frame_size);
    free(conn->engine_id);
    conn->engine_id = mem_strndup(hello.engine_id.at, hello.engine_id.len);
    conn->about.engine_id = conn->engine_id;
    put_agent_hello(conn, &hello, conn->max_frame_size);
    /* HAProxy's frames are its buffers less four bytes, or smaller. */
    if (conn->single)
        unread_guard(conn, (size_t)hello.max_frame_size + 4);
    log_write(LEVEL_DEBUG, "HELLO, frames up to %u bytes, %s", (unsigned)conn->max_frame_size,
              conn->single ? "one stream at a time" : "pipelining as offered");
    conn_enter(conn, CONN_RUNNING);
}

void handshake_refused(struct conn *conn, enum status status)
{
    struct metrics *metrics = conn->agent->metrics;
    unsigned most = sizeof metrics->refused / sizeof metrics->refused[0] - 1;

    metrics->refused[(unsigned)status < most ? (unsigned)status : most]++;
}
