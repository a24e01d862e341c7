#include "modules/redis/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "script/wait.h"

struct redis_slot {
    TAILQ_ENTRY(redis_slot) entry;
    struct redis_request *request; /* NULL when it was given up */
    unsigned left;                 /* replies that have not come */
    bool sent;
    size_t len;
    char bytes[];
};

static void slot_free(struct redis_conn *conn, struct redis_slot *slot)
{
    TAILQ_REMOVE(slot->sent ? &conn->sent : &conn->unsent, slot, entry);
    if (!slot->sent)
        conn->unsent_bytes -= slot->len;
    conn->queued--;
    free(slot);
}

static void request_done(struct redis_request *request)
{
    struct redis_conn *conn = request->conn;

    request->slot = NULL;
    ev_timer_stop(conn->loop, &request->timer);
    request->listed = true;
    TAILQ_INSERT_TAIL(&conn->done, request, done);
}

static void request_fail(struct redis_request *request, const char *code, const char *message)
{
    request->code = code;
    snprintf(request->message, sizeof request->message, "%s", message);
}

/* A handler that goes on may end other requests, or the last task of a retired script and so
 * the connection: nothing is held across a wait_wake but the flag. */
void redis_queue_wake(struct redis_conn *conn)
{
    struct redis_request *request;
    bool closed = false, *outer = conn->closed;

    conn->closed = &closed;
    while (!closed && (request = TAILQ_FIRST(&conn->done)) != NULL) {
        TAILQ_REMOVE(&conn->done, request, done);
        request->listed = false;
        wait_wake(request->wait);
    }
    if (!closed)
        conn->closed = outer;
    else if (outer)
        *outer = true;
}

/* ---- for the connection ---- */

static void fail_slots(struct redis_conn *conn, struct redis_slots *slots, const char *code,
                       const char *message)
{
    struct redis_slot *slot;

    while ((slot = TAILQ_FIRST(slots)) != NULL) {
        if (slot->request) {
            request_fail(slot->request, code, message);
            request_done(slot->request);
        }
        slot_free(conn, slot);
    }
}

void redis_queue_fail(struct redis_conn *conn, const char *code, const char *message)
{
    fail_slots(conn, &conn->sent, code, message);
    fail_slots(conn, &conn->unsent, code, message);
}

void redis_queue_gather(struct redis_conn *conn, size_t most)
{
    struct redis_slot *slot;

    while (buf_len(&conn->out) < most && (slot = TAILQ_FIRST(&conn->unsent)) != NULL) {
        memcpy(buf_room(&conn->out, slot->len), slot->bytes, slot->len);
        buf_added(&conn->out, slot->len);
        conn->unsent_bytes -= slot->len;
        TAILQ_REMOVE(&conn->unsent, slot, entry);
        TAILQ_INSERT_TAIL(&conn->sent, slot, entry);
        slot->sent = true;
    }
}

bool redis_queue_deliver(struct redis_conn *conn, struct redis_reply *reply)
{
    struct redis_slot *slot = TAILQ_FIRST(&conn->sent);

    if (!slot) {
        redis_reply_free(reply);
        return false;
    }
    conn->failures = 0;
    if (slot->request)
        slot->request->replies[slot->request->got++] = reply;
    else
        redis_reply_free(reply);
    if (--slot->left == 0) {
        if (slot->request)
            request_done(slot->request);
        slot_free(conn, slot);
    }
    return true;
}

bool redis_queue_awaited(const struct redis_conn *conn)
{
    const struct redis_slot *slot = TAILQ_FIRST(&conn->sent);

    return slot && slot->request;
}

void redis_queue_clear(struct redis_conn *conn)
{
    struct redis_slots *queues[] = {&conn->unsent, &conn->sent};

    while (!LIST_EMPTY(&conn->requests))
        redis_request_end(LIST_FIRST(&conn->requests));
    for (size_t i = 0; i < 2; i++) {
        while (!TAILQ_EMPTY(queues[i]))
            slot_free(conn, TAILQ_FIRST(queues[i]));
    }
}

/* ---- requests ---- */

static void request_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct redis_request *request = timer->data;

    (void)loop;
    (void)events;
    request_fail(request, "timeout", "no reply in time (see timeout)");
    request->slot->request = NULL;
    if (!request->slot->sent)
        slot_free(request->conn, request->slot);
    request->slot = NULL;
    wait_wake(request->wait);
}

void redis_request_init(struct redis_request *request)
{
    *request = (struct redis_request){.conn = NULL};
}

static bool refuse(struct redis_request *request, const struct redis_conn *conn, size_t len)
{
    char text[REDIS_MESSAGE_SIZE];

    if (conn->queued >= REDIS_QUEUE_MAX || len > REDIS_QUEUE_BYTES - conn->unsent_bytes) {
        request_fail(request, "busy", "too many commands are waiting for the server");
        return true;
    }
    if (conn->phase == REDIS_DOWN && !redis_conn_is_down(conn)) {
        snprintf(text, sizeof text, "%.180s (tried again in a moment)", conn->last_error);
        request_fail(request, "connect", text);
        return true;
    }
    return false;
}

bool redis_request_send(struct redis_request *request, struct redis_conn *conn, struct wait *wait,
                        const char *bytes, size_t len, unsigned count, double timeout)
{
    struct redis_slot *slot;

    if (refuse(request, conn, len))
        return false;
    slot = mem_alloc(sizeof *slot + len);
    *slot = (struct redis_slot){.request = request, .left = count, .len = len};
    memcpy(slot->bytes, bytes, len);
    TAILQ_INSERT_TAIL(&conn->unsent, slot, entry);
    conn->unsent_bytes += len;
    conn->queued++;
    request->conn = conn;
    request->wait = wait;
    request->slot = slot;
    request->count = count;
    request->replies = mem_zalloc(count * sizeof *request->replies);
    LIST_INSERT_HEAD(&conn->requests, request, entry);
    ev_init(&request->timer, request_overdue);
    request->timer.data = request;
    clock_timer(conn->loop, &request->timer, timeout);
    ev_prepare_start(conn->loop, &conn->prepare);
    return true;
}

void redis_request_end(struct redis_request *request)
{
    struct redis_conn *conn = request->conn;

    if (!conn)
        return;
    ev_timer_stop(conn->loop, &request->timer);
    if (request->listed)
        TAILQ_REMOVE(&conn->done, request, done);
    if (request->slot) {
        request->slot->request = NULL;
        if (!request->slot->sent)
            slot_free(conn, request->slot);
    }
    for (unsigned i = 0; i < request->got; i++)
        redis_reply_free(request->replies[i]);
    free(request->replies);
    LIST_REMOVE(request, entry);
    redis_request_init(request);
}
