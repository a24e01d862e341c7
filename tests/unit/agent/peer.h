/*
 * peer: HAProxy's side of a connection to an agent that lives in the same loop, frame by
 * frame, as text.
 */
#ifndef PEER_H
#define PEER_H

#include <sys/socket.h>

#include "agent/agent.h"
#include "spop/hello.h"

#include "../script/stage.h"

#define PEER_ROOM (4u << 20)

/* An agent with one script. */
struct desk {
    struct stage stage;
    struct agent_options options;
    struct agent *agent;
};

struct peer {
    struct desk *desk;
    int fd;
    ev_io readable;
    uint8_t *in; /* what came and was not looked at yet */
    size_t len, used;
    bool over; /* the agent has closed */
    char text[STAGE_TEXT];
};

/* ---- the agent ---- */

static inline void desk_prepare(struct desk *desk, const char *source)
{
    stage_prepare(&desk->stage, source);
    desk->options = (struct agent_options){
        .pipelining = PIPELINING_AUTO,
        .max_frame_size = 1u << 20,
        .max_payload = 1u << 20,
        .max_connections = 100,
        .max_pending = 1000,
        .max_output = 1u << 20,
        .hello_timeout = 600,
        .fragment_timeout = 600,
        .write_timeout = 600,
        .error_scope = SCOPE_TXN,
        .error_name = {"spoa_error", 10},
    };
}

static inline void desk_begin(struct desk *desk)
{
    log_set_level((enum log_level)(LEVEL_ERR - 1)); /* what goes wrong here does on purpose */
    *metrics_unseen() = (struct metrics){0};
    stage_begin(&desk->stage);
    desk->agent = agent_new(&desk->stage.queue, &desk->options, desk->stage.script);
}

static inline void desk_open(struct desk *desk, const char *source)
{
    desk_prepare(desk, source);
    desk_begin(desk);
}

/* The agent takes what is still there along, the script included. */
static inline void desk_close(struct desk *desk)
{
    agent_free(desk->agent);
    desk->stage.script = NULL;
    stage_close(&desk->stage);
}

/* Turns of the loop in which nothing is waited for, enough of them for all that can happen
 * without time going by. */
static inline void desk_settle(struct desk *desk)
{
    for (int i = 0; i < 20; i++)
        ev_run(desk->stage.loop, EVRUN_NOWAIT);
}

/* The newest connection. */
static inline struct conn *desk_conn(const struct desk *desk)
{
    return LIST_FIRST(&desk->agent->conns);
}

/* ---- the connection ---- */

static inline void peer_nothing(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
}

/* fds: the peer's end, then the agent's. */
static inline void peer_attach(struct peer *peer, struct desk *desk, const int fds[2])
{
    *peer = (struct peer){.desk = desk, .fd = fds[0]};
    peer->in = malloc(PEER_ROOM);
    ck_assert_ptr_nonnull(peer->in);
    ev_io_init(&peer->readable, peer_nothing, peer->fd, EV_READ);
    agent_take(desk->agent, fds[1], "the peer");
}

/* type: SOCK_STREAM, or SOCK_SEQPACKET, where each of the agent's writes can be told from
 * the next. */
static inline void peer_open(struct peer *peer, struct desk *desk, int type)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    peer_attach(peer, desk, fds);
}

static inline void peer_close(struct peer *peer)
{
    close(peer->fd);
    free(peer->in);
}

/* The agent must read it all, in turns of the loop that wait for nothing. */
static inline void peer_send(struct peer *peer, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (int turn = 0; len; turn++) {
        ssize_t n = send(peer->fd, at, len, MSG_NOSIGNAL);

        if (n < 0) {
            if (errno != EAGAIN || turn > 10000)
                ck_abort_msg("the agent does not read: %s", strerror(errno));
            ev_run(peer->desk->stage.loop, EVRUN_NOWAIT);
            continue;
        }
        at += n;
        len -= (size_t)n;
    }
}

/* One read of what there is; false when there is nothing. */
static inline bool peer_read(struct peer *peer)
{
    ssize_t n;

    if (peer->used) {
        memmove(peer->in, peer->in + peer->used, peer->len - peer->used);
        peer->len -= peer->used;
        peer->used = 0;
    }
    ck_assert_uint_lt(peer->len, PEER_ROOM);
    n = recv(peer->fd, peer->in + peer->len, PEER_ROOM - peer->len, 0);
    if (n < 0) {
        if (errno == ECONNRESET)
            peer->over = true;
        else
            ck_assert_int_eq(errno, EAGAIN);
        return peer->over;
    }
    peer->over = n == 0;
    peer->len += (size_t)n;
    return true;
}

/* ---- frames ---- */

static inline void peer_hello_put(struct wire_out *out, unsigned capabilities)
{
    const struct hello hello = {
        .max_frame_size = 16384,
        .capabilities = capabilities,
        .engine_id = {"engine", 6},
    };

    hello_put_haproxy(out, &hello);
}

/* "one two:5": two messages, the second with the argument n of 5. */
static inline void peer_messages_put(struct wire_out *out, const char *messages)
{
    while (*messages) {
        size_t len = strcspn(messages, ": ");
        struct value value;

        message_put(out, (struct span){messages, len}, messages[len] == ':');
        messages += len;
        if (*messages == ':') {
            char *end;

            value = INT(strtoll(messages + 1, &end, 10));
            value_put_pair(out, span_of("n"), &value);
            messages = end;
        }
        messages += strspn(messages, " ");
    }
}

static inline void peer_notify_put(struct wire_out *out, uint64_t stream_id, uint64_t frame_id,
                                   const char *messages)
{
    uint8_t *begin = frame_begin(out, FRAME_NOTIFY, FRAME_FIN, stream_id, frame_id);

    peer_messages_put(out, messages);
    frame_end(out, begin);
    ck_assert(!out->full);
}

static inline void peer_frame(struct peer *peer, enum frame_type type, uint32_t flags,
                              uint64_t stream_id, uint64_t frame_id, struct span payload)
{
    size_t room = FRAME_HEAD_MAX + payload.len;
    uint8_t *bytes = malloc(room), *begin;
    struct wire_out out = wire_out_open(bytes, room);

    begin = frame_begin(&out, type, flags, stream_id, frame_id);
    wire_put_bytes(&out, payload.at, payload.len);
    frame_end(&out, begin);
    peer_send(peer, bytes, (size_t)(out.at - bytes));
    free(bytes);
}

static inline void peer_notify(struct peer *peer, uint64_t stream_id, uint64_t frame_id,
                               const char *messages)
{
    static uint8_t bytes[1u << 16];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    peer_notify_put(&out, stream_id, frame_id, messages);
    peer_send(peer, bytes, (size_t)(out.at - bytes));
}

/* So many at once, with stream-ids from first on. */
static inline void peer_notify_many(struct peer *peer, uint64_t first, uint64_t last,
                                    const char *messages)
{
    static uint8_t bytes[1u << 16];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    for (uint64_t id = first; id <= last; id++)
        peer_notify_put(&out, id, 1, messages);
    peer_send(peer, bytes, (size_t)(out.at - bytes));
}

static inline void peer_say_goodbye(struct peer *peer)
{
    uint8_t bytes[FRAME_SIZE_MIN];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    disconnect_put(&out, FRAME_HAPROXY_DISCONNECT, STATUS_NORMAL);
    peer_send(peer, bytes, (size_t)(out.at - bytes));
}

static inline void peer_text(struct peer *peer, const struct frame *frame)
{
    size_t len =
        (size_t)snprintf(peer->text, sizeof peer->text, "%s", frame_type_name(frame->type));
    char actions[STAGE_TEXT];
    struct hello hello;
    struct span message;
    uint32_t code;

    switch (frame->type) {
    case FRAME_AGENT_HELLO:
        ck_assert(hello_get_agent(frame->payload, &hello));
        snprintf(peer->text + len, sizeof peer->text - len, " %u%s%s",
                 (unsigned)hello.max_frame_size,
                 hello.capabilities & HELLO_PIPELINING ? " pipelining" : "",
                 hello.capabilities & HELLO_FRAGMENTATION ? " fragmentation" : "");
        break;
    case FRAME_AGENT_DISCONNECT:
        disconnect_get(frame->payload, &code, &message);
        snprintf(peer->text + len, sizeof peer->text - len, " %u", (unsigned)code);
        break;
    case FRAME_ACK:
        stage_print_actions(
            actions, (struct span){(const char *)frame->payload.at, wire_left(&frame->payload)});
        snprintf(peer->text + len, sizeof peer->text - len, "%s %" PRIu64 "/%" PRIu64 "%s%s",
                 frame->flags & FRAME_ABORT ? " ABORT" : "", frame->stream_id, frame->frame_id,
                 *actions ? ": " : "", actions);
        break;
    default:
        ck_abort_msg("a frame of type %u", frame->type);
    }
    ck_assert_uint_eq(frame->flags & FRAME_FIN, FRAME_FIN);
}

/* The next frame that is here already, as text; NULL when there is none. */
static inline const char *peer_here(struct peer *peer)
{
    struct frame frame;
    size_t used;

    if (frame_get(peer->in + peer->used, peer->len - peer->used, 1u << 20, &frame, &used) !=
        FRAME_OK)
        return NULL;
    peer_text(peer, &frame);
    peer->used += used;
    return peer->text;
}

/* The next frame as text, or "END" when the agent has closed. */
static inline const char *peer_next(struct peer *peer)
{
    struct ev_loop *loop = peer->desk->stage.loop;
    const char *text;

    while ((text = peer_here(peer)) == NULL) {
        if (peer->over)
            return peer->len > peer->used ? "END in a frame" : "END";
        if (peer_read(peer))
            continue;
        ev_io_start(loop, &peer->readable);
        stage_turn(&peer->desk->stage);
        ev_io_stop(loop, &peer->readable);
    }
    return text;
}

#define peer_expect(peer, expected) ck_assert_str_eq(peer_next(peer), expected)

/* Nothing comes, unless time goes by. */
static inline void peer_silent(struct peer *peer)
{
    desk_settle(peer->desk);
    while (!peer->over && peer_read(peer))
        continue;
    ck_assert_msg(!peer_here(peer), "%s", peer->text);
    ck_assert(!peer->over);
}

/* Connects and says HELLO, as HAProxy up to 3.0 does. */
static inline void peer_greet(struct peer *peer, struct desk *desk)
{
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    peer_open(peer, desk, SOCK_STREAM);
    peer_hello_put(&out, HELLO_PIPELINING | HELLO_ASYNC);
    peer_send(peer, bytes, (size_t)(out.at - bytes));
    peer_expect(peer, "AGENT-HELLO 16384 pipelining fragmentation");
}

/* Says HELLO as HAProxy from 3.1 on, which gets one stream at a time by default. */
static inline void peer_hello_single(struct peer *peer)
{
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    peer_hello_put(&out, HELLO_PIPELINING);
    peer_send(peer, bytes, (size_t)(out.at - bytes));
    peer_expect(peer, "AGENT-HELLO 16384 fragmentation");
}

static inline void peer_greet_single(struct peer *peer, struct desk *desk)
{
    peer_open(peer, desk, SOCK_STREAM);
    peer_hello_single(peer);
}

#endif
