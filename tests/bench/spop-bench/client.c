#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "agent_hello.h"
#include "base/mem.h"
#include "spop/frame.h"

/* Ids start where all of a usual run's take the same number of bytes, as HAProxy's do: up to
 * 3.0 it numbers the streams of all connections from the start of the process. */
#define FIRST_STREAM_ID (1u << 20)

/* What the agent says about its leaving is shown for the first few. */
#define SHOWN_MAX 5

struct overdue {
    uint64_t stream_id;
    uint64_t since;
    UT_hash_handle hh;
};

uint64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- ids: the slot is in the id, and the frame-id follows from it ---- */

static uint64_t stream_id_new(struct client *client, unsigned slot)
{
    return FIRST_STREAM_ID + client->issued++ * client->run->outstanding + slot;
}

static unsigned slot_of(const struct client *client, uint64_t stream_id)
{
    return (unsigned)((stream_id - FIRST_STREAM_ID) % client->run->outstanding);
}

static uint64_t frame_id_of(uint64_t stream_id)
{
    return 1 + stream_id % 5;
}

static bool was_issued(const struct client *client, const struct frame *frame)
{
    return frame->stream_id >= FIRST_STREAM_ID &&
           (frame->stream_id - FIRST_STREAM_ID) / client->run->outstanding < client->issued &&
           frame->frame_id == frame_id_of(frame->stream_id);
}

/* ---- coming and going ---- */

static void client_watch(struct client *client, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (client->blocked ? EPOLLOUT : 0),
                                .data.ptr = client};

    epoll_ctl(client->run->epoll, operation, client->fd, &event);
}

void client_open(struct client *client, struct run *run)
{
    *client = (struct client){.run = run, .fd = target_connect(run->target)};
    client->slots = mem_zalloc(run->outstanding * sizeof *client->slots);
    client->unused = mem_zalloc(run->outstanding * sizeof *client->unused);
    buf_init(&client->in, &run->in_pool);
    buf_init(&client->out, &run->out_pool);
    if (client->fd < 0) {
        client->state = CLIENT_CLOSED;
        run->error = errno;
        run->tally->refused++;
        return;
    }

    struct wire_out out = wire_out_open(buf_room(&client->out, FRAME_SIZE_MIN), FRAME_SIZE_MIN);
    uint8_t *begin = out.at;
    hello_put_haproxy(&out, run->hello);
    buf_added(&client->out, (size_t)(out.at - begin));
    client->blocked = true;
    client_watch(client, EPOLL_CTL_ADD);
}

unsigned client_waiting(const struct client *client)
{
    if (client->state != CLIENT_RUNNING)
        return 0;
    return client->room - client->nunused + HASH_COUNT(client->overdue);
}

void client_close(struct client *client)
{
    struct tally *tally = client->run->tally;

    if (client->state == CLIENT_HELLO)
        tally->refused++;
    else if (client->state == CLIENT_RUNNING)
        tally->lost++;
    tally->missing += client_waiting(client);
    client->state = CLIENT_CLOSED;
    close(client->fd);
    buf_clear(&client->in);
    buf_clear(&client->out);
}

void client_free(struct client *client)
{
    struct overdue *overdue, *next;

    if (client->state != CLIENT_CLOSED) {
        close(client->fd);
        buf_clear(&client->in);
        buf_clear(&client->out);
    }
    HASH_ITER (hh, client->overdue, overdue, next) {
        HASH_DEL(client->overdue, overdue);
        free(overdue);
    }
    free(client->slots);
    free(client->unused);
}

void client_leave(struct client *client)
{
    struct wire_out out = wire_out_open(buf_room(&client->out, FRAME_SIZE_MIN), FRAME_SIZE_MIN);
    uint8_t *begin = out.at;

    client->run->tally->missing += client_waiting(client);
    client->state = CLIENT_LEAVING;
    disconnect_put(&out, FRAME_HAPROXY_DISCONNECT, STATUS_NORMAL);
    buf_added(&client->out, (size_t)(out.at - begin));
    client_flush(client);
}

/* ---- sending ---- */

/* One frame of a NOTIFY with as much of the payload as fits; what is left comes back. */
static size_t put_frame(struct client *client, enum frame_type type, uint64_t stream_id,
                        const uint8_t *payload, size_t len)
{
    size_t most = client->frame_size - (FRAME_HEAD_MAX - 4);
    size_t now = len < most ? len : most;
    size_t room = FRAME_HEAD_MAX + now;
    struct wire_out out = wire_out_open(buf_room(&client->out, room), room);
    uint8_t *begin =
        frame_begin(&out, type, now == len ? FRAME_FIN : 0, stream_id, frame_id_of(stream_id));

    wire_put_bytes(&out, payload, now);
    frame_end(&out, begin);
    buf_added(&client->out, (size_t)(out.at - begin));
    return len - now;
}

void client_notify(struct client *client, uint64_t since, uint64_t now)
{
    const struct notify *notify = client->run->notify;
    unsigned number = client->unused[--client->nunused];
    struct slot *slot = &client->slots[number];
    size_t left;

    *slot = (struct slot){true, stream_id_new(client, number), since, now};
    left = put_frame(client, FRAME_NOTIFY, slot->stream_id, notify->bytes, notify->len);
    while (left > 0)
        left = put_frame(client, FRAME_UNSET, slot->stream_id, notify->bytes + notify->len - left,
                         left);
    client->run->tally->sent++;
}

void client_flush(struct client *client)
{
    struct run *run = client->run;
    bool was_blocked = client->blocked;

    client->blocked = false;
    while (buf_len(&client->out) > 0 && !client->blocked) {
        ssize_t sent = buf_flush(&client->out, client->fd);

        if (sent < 0 && errno == EAGAIN) {
            client->blocked = true;
        } else if (sent < 0 && errno != EINTR) {
            run->error = errno;
            client_close(client);
            return;
        } else if (sent > 0 && run->measured) {
            run->tally->window.writes++;
            run->tally->window.bytes_out += (uint64_t)sent;
        }
    }
    if (client->blocked != was_blocked)
        client_watch(client, EPOLL_CTL_MOD);
}

/* ---- ACKs ---- */

static void slot_release(struct client *client, struct slot *slot)
{
    slot->busy = false;
    client->unused[client->nunused++] = (unsigned)(slot - client->slots);
}

void client_expire(struct client *client, uint64_t now)
{
    uint64_t timeout = client->run->timeout;

    for (unsigned i = 0; i < client->room; i++) {
        struct slot *slot = &client->slots[i];

        if (!slot->busy || now - slot->sent < timeout)
            continue;

        struct overdue *overdue = mem_zalloc(sizeof *overdue);
        overdue->stream_id = slot->stream_id;
        overdue->since = slot->since;
        HASH_ADD(hh, client->overdue, stream_id, sizeof overdue->stream_id, overdue);
        slot_release(client, slot);
    }
}

static void judge(struct run *run, const struct frame *ack)
{
    /* No HAProxy accepts an ACK in fragments. */
    if (!(ack->flags & FRAME_FIN)) {
        run->tally->malformed++;
        return;
    }
    if (ack->flags & FRAME_ABORT)
        run->tally->aborted++;
    switch (expectation_judge(run->expectation, ack->payload)) {
    case VERDICT_GOOD:
        break;
    case VERDICT_WRONG:
        run->tally->wrong++;
        break;
    case VERDICT_MALFORMED:
        run->tally->malformed++;
        break;
    }
}

static void ack_count(struct run *run, const struct frame *ack, uint64_t latency, bool late)
{
    run->tally->answered++;
    run->tally->late += late;
    if (run->measured) {
        histogram_add(&run->tally->latency, latency);
        run->tally->window.acks += !late;
    }
    judge(run, ack);
}

/* One that is not expected any more, or never was. */
static void ack_stray(struct client *client, const struct frame *ack, uint64_t now)
{
    struct overdue *overdue;

    HASH_FIND(hh, client->overdue, &ack->stream_id, sizeof ack->stream_id, overdue);
    if (!was_issued(client, ack)) {
        client->run->tally->unknown++;
    } else if (overdue) {
        ack_count(client->run, ack, now - overdue->since, true);
        HASH_DEL(client->overdue, overdue);
        free(overdue);
    } else {
        client->run->tally->duplicate++;
    }
}

static void client_ack(struct client *client, const struct frame *ack, uint64_t now)
{
    struct slot *slot = &client->slots[slot_of(client, ack->stream_id)];

    if (!slot->busy || slot->stream_id != ack->stream_id ||
        frame_id_of(ack->stream_id) != ack->frame_id) {
        ack_stray(client, ack, now);
        return;
    }
    ack_count(client->run, ack, now - slot->since, now - slot->sent > client->run->timeout);
    slot_release(client, slot);
}

/* ---- other frames ---- */

/* False when there is nothing to be agreed to. */
static bool client_hello(struct client *client, const struct frame *frame)
{
    struct run *run = client->run;
    struct hello agreed;
    const char *fault = agent_hello_get(frame, run->hello, &agreed);
    bool fragments = agreed.capabilities & HELLO_FRAGMENTATION;

    if (!fault && !fragments && run->notify->len > agreed.max_frame_size - (FRAME_HEAD_MAX - 4))
        fault = "a NOTIFY does not fit its max-frame-size, and it has no fragmentation";
    if (fault) {
        if (run->tally->refused < SHOWN_MAX)
            fprintf(stderr, "spop-bench: AGENT-HELLO: %s\n", fault);
        return false;
    }
    run->agreed = agreed;
    client->state = CLIENT_RUNNING;
    client->frame_size = agreed.max_frame_size;
    client->room = agreed.capabilities & HELLO_PIPELINING ? run->outstanding : 1;
    while (client->nunused < client->room) {
        client->unused[client->nunused] = client->room - 1 - client->nunused;
        client->nunused++;
    }
    return true;
}

static void client_disconnect(struct client *client, const struct frame *frame)
{
    struct tally *tally = client->run->tally;
    struct span message;
    uint32_t code;

    if (client->state == CLIENT_LEAVING)
        return;
    disconnect_get(frame->payload, &code, &message);
    if (tally->disconnects++ < SHOWN_MAX)
        fprintf(stderr, "spop-bench: AGENT-DISCONNECT: status-code %" PRIu32 " (%.*s)\n", code,
                (int)(message.len < 256 ? message.len : 256), message.at);
}

/* False when the connection is of no more use. */
static bool client_frame(struct client *client, const struct frame *frame, uint64_t now)
{
    if (frame->type == FRAME_AGENT_DISCONNECT) {
        client_disconnect(client, frame);
        return false;
    }
    if (client->state == CLIENT_HELLO)
        return client_hello(client, frame);
    if (frame->type == FRAME_ACK) {
        /* Behind the goodbye nothing is counted: what was open then is missing. */
        if (client->state == CLIENT_RUNNING)
            client_ack(client, frame, now);
        return true;
    }
    client->run->tally->malformed++;
    return false;
}

static bool client_frames(struct client *client, uint64_t now)
{
    uint32_t max = client->frame_size ? client->frame_size : client->run->hello->max_frame_size;
    struct frame frame;
    size_t used;

    for (;;) {
        switch (frame_get(buf_head(&client->in), buf_len(&client->in), max, &frame, &used)) {
        case FRAME_OK:
            if (!client_frame(client, &frame, now))
                return false;
            buf_take(&client->in, used);
            break;
        case FRAME_PARTIAL:
            return true;
        case FRAME_TOO_BIG:
        case FRAME_INVALID:
            client->run->tally->malformed++;
            return false;
        }
    }
}

static void client_readable(struct client *client)
{
    struct tally *tally = client->run->tally;
    bool full;
    ssize_t got = buf_fill(&client->in, client->fd, client->run->hello->max_frame_size + 4, &full);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && client->run->measured) {
        tally->window.reads++;
        tally->window.bytes_in += (uint64_t)got;
    }
    if (got < 0)
        client->run->error = errno;
    if (got <= 0 || !client_frames(client, clock_now()))
        client_close(client);
}

void client_event(struct client *client, uint32_t events)
{
    if (client->state != CLIENT_CLOSED && events & EPOLLOUT)
        client_flush(client);
    if (client->state != CLIENT_CLOSED && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        client_readable(client);
}
