#include "modules/redis/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "modules/redis/queue.h"

/* Bytes handed to the kernel in one go, and read in one go. */
#define OUT_MAX   (256 * 1024)
#define READ_SIZE (64 * 1024)
/* After a failure, seconds: doubled with each until the most. */
#define RETRY_LEAST 0.05
#define RETRY_MOST  2.0
/* A server from which nothing came for so long is given up, unless somebody waits for the very
 * next reply that is due. */
#define SILENCE 5.0

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

/* The connection ends; whoever waits is told why. */
static void conn_fail(struct redis_conn *conn, const char *code, const char *message)
{
    double pause = RETRY_LEAST;

    conn_down(conn);
    for (unsigned i = 0; i < conn->failures && pause < RETRY_MOST; i++)
        pause *= 2;
    if (conn->failures++)
        conn->retry_at = clock_after(clock_look(), pause < RETRY_MOST ? pause : RETRY_MOST);
    snprintf(conn->last_error, sizeof conn->last_error, "%s", message);
    redis_queue_fail(conn, code, message);
    redis_queue_wake(conn);
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
    clock_timer(conn->loop, &conn->timer, conn->connect_timeout);
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

static void conn_write(struct redis_conn *conn)
{
    if (conn->phase == REDIS_UP)
        redis_queue_gather(conn, OUT_MAX);
    if (!TAILQ_EMPTY(&conn->sent) && !ev_is_active(&conn->timer)) {
        ev_timer_set(&conn->timer, SILENCE, SILENCE);
        ev_timer_start(conn->loop, &conn->timer);
    }
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
        } else if (!redis_queue_deliver(conn, reply)) {
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
    redis_queue_wake(conn);
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
    } else if (!redis_queue_awaited(conn)) {
        conn_broken(conn, "the server is silent");
    }
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
    if (!conn->loop)
        return;
    if (conn->closed)
        *conn->closed = true;
    conn->closed = NULL;
    conn_down(conn);
    redis_queue_clear(conn);
    ev_prepare_stop(conn->loop, &conn->prepare);
    buf_pool_clear(&conn->pool);
    free(conn->where);
    free(conn->greeting);
    conn->loop = NULL;
}

bool redis_conn_is_down(const struct redis_conn *conn)
{
    return conn->phase == REDIS_DOWN && clock_look() >= conn->retry_at;
}
