#include "modules/redis/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "script/task.h"

/* Bytes handed to the kernel in one go, and read in one go. */
#define OUT_MAX   (256 * 1024)
#define READ_SIZE (64 * 1024)
/* After a failure, seconds: doubled with each until the most. */
#define RETRY_LEAST 0.05
#define RETRY_MOST  2.0
/* A server from which nothing came for so long is given up, unless somebody waits for the very
 * next reply that is due. */
#define SILENCE 5.0

struct redis_slot {
    TAILQ_ENTRY(redis_slot) entry;
    struct redis_request *request; /* NULL when it was given up */
    unsigned left;                 /* replies that have not come */
    bool sent;
    size_t len;
    char bytes[];
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- slots and those who wait ---- */

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
static void wake_done(struct redis_conn *conn)
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

/* ---- going down ---- */

static void conn_down(struct redis_conn *conn)
{
    ev_io_stop(conn->loop, &conn->readable);
    ev_io_stop(conn->loop, &conn->writable);
    ev_timer_stop(conn->loop, &conn->timer);
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    redis_replies_close(&conn->replies);
    buf_clear(&conn->out);
    conn->phase = REDIS_DOWN;
}

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

/* The connection ends; whoever waits is told why. */
static void conn_fail(struct redis_conn *conn, const char *code, const char *message)
{
    double pause = RETRY_LEAST;

    conn_down(conn);
    for (unsigned i = 0; i < conn->failures && pause < RETRY_MOST; i++)
        pause *= 2;
    if (conn->failures++)
        conn->retry_at = now() + (pause < RETRY_MOST ? pause : RETRY_MOST);
    snprintf(conn->last_error, sizeof conn->last_error, "%s", message);
    fail_slots(conn, &conn->sent, code, message);
    fail_slots(conn, &conn->unsent, code, message);
    wake_done(conn);
}

/* ---- connecting ---- */

static void connect_next(struct redis_conn *conn, int error);

static void conn_start_greeting(struct redis_conn *conn)
{
    redis_replies_open(&conn->replies, conn->max_reply);
    conn->phase = conn->greetings ? REDIS_GREETING : REDIS_UP;
    conn->greeted = 0;
    if (conn->greetings) {
        memcpy(buf_room(&conn->out, conn->greeting_len), conn->greeting, conn->greeting_len);
        buf_added(&conn->out, conn->greeting_len);
    } else {
        ev_timer_stop(conn->loop, &conn->timer);
    }
    ev_io_stop(conn->loop, &conn->writable);
    ev_io_set(&conn->readable, conn->fd, EV_READ);
    ev_io_start(conn->loop, &conn->readable);
    ev_prepare_start(conn->loop, &conn->prepare);
}

static bool connect_start(struct redis_conn *conn)
{
    const struct sockaddr *address = (const struct sockaddr *)&conn->addresses[conn->address];
    int on = 1;

    conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return false;
    if (address->sa_family != AF_UNIX)
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(conn->fd, address, conn->address_len[conn->address]) < 0 && errno != EINPROGRESS)
        return false;
    ev_io_set(&conn->writable, conn->fd, EV_WRITE);
    ev_io_start(conn->loop, &conn->writable);
    return true;
}

/* The next of the addresses, all within connect_timeout. */
static void connect_next(struct redis_conn *conn, int error)
{
    char text[REDIS_MESSAGE_SIZE];

    while (conn->address < conn->address_count) {
        if (connect_start(conn))
            return;
        error = errno;
        if (conn->fd >= 0)
            close(conn->fd);
        conn->fd = -1;
        conn->address++;
    }
    snprintf(text, sizeof text, "cannot connect: %s", strerror(error));
    conn_fail(conn, "connect", text);
}

static void conn_connect(struct redis_conn *conn)
{
    conn->phase = REDIS_CONNECTING;
    conn->address = 0;
    ev_timer_stop(conn->loop, &conn->timer);
    ev_timer_set(&conn->timer, conn->connect_timeout, 0);
    ev_timer_start(conn->loop, &conn->timer);
    connect_next(conn, EADDRNOTAVAIL);
}

static void conn_connected(struct redis_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (!error) {
        conn_start_greeting(conn);
        return;
    }
    ev_io_stop(conn->loop, &conn->writable);
    close(conn->fd);
    conn->fd = -1;
    conn->address++;
    connect_next(conn, error);
}

/* ---- writing ---- */

static void conn_broken(struct redis_conn *conn, const char *what)
{
    conn_fail(conn, "closed", what);
}

/* Moves what is unsent to the output, as much as is sensible. */
static void gather(struct redis_conn *conn)
{
    struct redis_slot *slot;

    while (buf_len(&conn->out) < OUT_MAX && (slot = TAILQ_FIRST(&conn->unsent)) != NULL) {
        memcpy(buf_room(&conn->out, slot->len), slot->bytes, slot->len);
        buf_added(&conn->out, slot->len);
        conn->unsent_bytes -= slot->len;
        TAILQ_REMOVE(&conn->unsent, slot, entry);
        TAILQ_INSERT_TAIL(&conn->sent, slot, entry);
        slot->sent = true;
    }
    if (!TAILQ_EMPTY(&conn->sent) && !ev_is_active(&conn->timer)) {
        ev_timer_set(&conn->timer, SILENCE, SILENCE);
        ev_timer_start(conn->loop, &conn->timer);
    }
}

static void conn_write(struct redis_conn *conn)
{
    if (conn->phase == REDIS_UP)
        gather(conn);
    if (buf_len(&conn->out) > 0 && buf_flush(&conn->out, conn->fd) < 0 && errno != EAGAIN &&
        errno != EINTR) {
        conn_broken(conn, strerror(errno));
        return;
    }
    if (buf_len(&conn->out) == 0 && (conn->phase != REDIS_UP || TAILQ_EMPTY(&conn->unsent))) {
        ev_io_stop(conn->loop, &conn->writable);
        return;
    }
    if (!ev_is_active(&conn->writable)) {
        ev_io_set(&conn->writable, conn->fd, EV_WRITE);
        ev_io_start(conn->loop, &conn->writable);
    }
}

static void writable(struct ev_loop *loop, ev_io *io, int events)
{
    struct redis_conn *conn = io->data;

    (void)loop;
    (void)events;
    if (conn->phase == REDIS_CONNECTING)
        conn_connected(conn);
    else
        conn_write(conn);
}

/* Before the loop waits: whatever this turn brought goes out in one write. */
static void prepare(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    struct redis_conn *conn = watcher->data;

    (void)events;
    ev_prepare_stop(loop, watcher);
    if (conn->phase == REDIS_DOWN && !TAILQ_EMPTY(&conn->unsent))
        conn_connect(conn);
    else if (conn->phase >= REDIS_GREETING && !ev_is_active(&conn->writable))
        conn_write(conn);
}

/* ---- reading ---- */

static bool greeting_answered(struct redis_conn *conn, struct redis_reply *reply)
{
    char text[REDIS_MESSAGE_SIZE];
    bool good = !redis_reply_is_error(reply);

    if (!good)
        snprintf(text, sizeof text, "AUTH or SELECT: %.200s", reply->text);
    redis_reply_free(reply);
    if (!good) {
        conn->failures += conn->failures == 0; /* it would say the same at once */
        conn_fail(conn, "auth", text);
    } else if (++conn->greeted == conn->greetings) {
        conn->phase = REDIS_UP;
        ev_timer_stop(conn->loop, &conn->timer);
        ev_prepare_start(conn->loop, &conn->prepare);
    }
    return good;
}

/* False: there is nothing it could be the reply to. */
static bool conn_deliver(struct redis_conn *conn, struct redis_reply *reply)
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

/* False when the connection has ended. */
static bool conn_replies(struct redis_conn *conn)
{
    const char *why = NULL;
    struct redis_reply *reply;
    char text[REDIS_MESSAGE_SIZE];

    while ((reply = redis_replies_next(&conn->replies, &why)) != NULL && !why) {
        if (conn->phase == REDIS_GREETING) {
            if (!greeting_answered(conn, reply))
                return false;
        } else if (!conn_deliver(conn, reply)) {
            why = "a reply that nothing was sent for";
            break;
        }
    }
    if (!why)
        return true;
    snprintf(text, sizeof text, "%s", why); /* it may be the reader's, which goes */
    conn->failures += conn->failures == 0;
    conn_fail(conn, strcmp(text, REDIS_TOO_LARGE) == 0 ? "too_big" : "badreply", text);
    return false;
}

static void readable(struct ev_loop *loop, ev_io *io, int events)
{
    static char bytes[READ_SIZE];
    struct redis_conn *conn = io->data;
    ssize_t n = recv(conn->fd, bytes, sizeof bytes, 0);

    (void)loop;
    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_broken(conn, n < 0 ? strerror(errno) : "the server closed the connection");
        return;
    }
    if (!redis_replies_feed(&conn->replies, bytes, (size_t)n)) {
        conn_broken(conn, "not enough memory");
        return;
    }
    if (!conn_replies(conn))
        return;
    if (conn->phase == REDIS_UP) {
        if (TAILQ_EMPTY(&conn->sent))
            ev_timer_stop(conn->loop, &conn->timer);
        else
            ev_timer_again(conn->loop, &conn->timer);
    }
    wake_done(conn);
}

/* ---- time ---- */

static void timer_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct redis_conn *conn = timer->data;

    (void)loop;
    (void)events;
    if (conn->phase != REDIS_UP) {
        conn->failures += conn->failures == 0;
        conn_fail(conn, "connect",
                  conn->phase == REDIS_GREETING
                      ? "no reply to AUTH or SELECT in time (see connect_timeout)"
                      : "cannot connect in time (see connect_timeout)");
    } else if (!TAILQ_FIRST(&conn->sent)->request) {
        conn_broken(conn, "the server is silent");
    }
}

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

/* ---- requests ---- */

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
    if (conn->phase == REDIS_DOWN && now() < conn->retry_at) {
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
    ev_timer_init(&request->timer, request_overdue, timeout, 0);
    request->timer.data = request;
    ev_timer_start(conn->loop, &request->timer);
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

/* ---- the connection ---- */

void redis_conn_open(struct redis_conn *conn, struct ev_loop *loop, const char *where)
{
    conn->loop = loop;
    conn->where = mem_strndup(where, strlen(where));
    conn->fd = -1;
    TAILQ_INIT(&conn->unsent);
    TAILQ_INIT(&conn->sent);
    TAILQ_INIT(&conn->done);
    LIST_INIT(&conn->requests);
    buf_pool_init(&conn->pool, READ_SIZE, 1);
    buf_init(&conn->out, &conn->pool);
    ev_init(&conn->readable, readable);
    ev_init(&conn->writable, writable);
    ev_init(&conn->timer, timer_over);
    ev_prepare_init(&conn->prepare, prepare);
    conn->readable.data = conn->writable.data = conn->timer.data = conn->prepare.data = conn;
}

void redis_conn_close(struct redis_conn *conn)
{
    struct redis_slots *queues[] = {&conn->unsent, &conn->sent};

    if (!conn->loop)
        return;
    if (conn->closed)
        *conn->closed = true;
    conn->closed = NULL;
    conn_down(conn);
    while (!LIST_EMPTY(&conn->requests))
        redis_request_end(LIST_FIRST(&conn->requests));
    for (size_t i = 0; i < 2; i++) {
        while (!TAILQ_EMPTY(queues[i]))
            slot_free(conn, TAILQ_FIRST(queues[i]));
    }
    ev_prepare_stop(conn->loop, &conn->prepare);
    buf_pool_clear(&conn->pool);
    free(conn->where);
    free(conn->greeting);
    conn->loop = NULL;
}

bool redis_conn_is_down(const struct redis_conn *conn)
{
    return conn->phase == REDIS_DOWN && now() >= conn->retry_at;
}

void redis_conn_forget_addresses(struct redis_conn *conn)
{
    conn->address_count = 0;
}

bool redis_conn_is_ip(const char *text)
{
    struct in6_addr address;

    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

bool redis_conn_add_ip(struct redis_conn *conn, const char *ip, int port)
{
    unsigned i = conn->address_count;
    struct sockaddr_in *four = (struct sockaddr_in *)&conn->addresses[i % REDIS_ADDRESS_MAX];
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)four;

    if (i == REDIS_ADDRESS_MAX)
        return true;
    memset(four, 0, sizeof conn->addresses[0]);
    if (inet_pton(AF_INET, ip, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        conn->address_len[i] = sizeof *four;
    } else if (inet_pton(AF_INET6, ip, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        conn->address_len[i] = sizeof *six;
    } else {
        return false;
    }
    conn->address_count++;
    return true;
}

bool redis_conn_add_unix(struct redis_conn *conn, const char *path)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&conn->addresses[0];

    if (strlen(path) >= sizeof address->sun_path)
        return false;
    memset(address, 0, sizeof conn->addresses[0]);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    conn->address_len[0] = sizeof *address;
    conn->address_count = 1;
    return true;
}
