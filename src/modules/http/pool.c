#include "modules/http/pool.h"

#include <signal.h>

#include "base/clock.h"
#include "base/mem.h"
#include "script/wait.h"

/* Transfers that ended and are kept: one is some 10 KiB, and what BODY_KEEP allows. */
#define UNUSED_MAX 64

struct http_socket {
    LIST_ENTRY(http_socket) entry;
    struct http_pool *pool;
    ev_io io;
};

/* ---- between curl and the loop ---- */

static void transfer_ended(struct http_transfer *transfer)
{
    struct http_pool *pool = transfer->pool;

    ev_timer_stop(pool->loop, &transfer->timer);
    curl_multi_remove_handle(pool->multi, transfer->easy);
    TAILQ_REMOVE(&pool->used, transfer, entry);
    TAILQ_INSERT_TAIL(&pool->done, transfer, entry);
    transfer->phase = HTTP_DONE;
}

static void collect_ended(struct http_pool *pool)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(pool->multi, &left)) != NULL) {
        CURLcode result = message->data.result;
        struct http_transfer *transfer;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &transfer->status);
        transfer->result = result;
        transfer_ended(transfer);
    }
}

/* A handler that goes on may end other requests, or the last task of a retired script, which
 * closes the pool: its memory is left to us then. */
static void wake_ended(struct http_pool *pool)
{
    struct http_transfer *transfer;

    pool->waking = true;
    while ((transfer = TAILQ_FIRST(&pool->done)) != NULL) {
        TAILQ_REMOVE(&pool->done, transfer, entry);
        TAILQ_INSERT_TAIL(&pool->used, transfer, entry);
        transfer->phase = HTTP_LENT;
        wait_wake(transfer->wait);
    }
    pool->waking = false;
    if (!pool->multi)
        free(pool);
}

/* Threads inherit the signals that are blocked where they are made; those of a fault stay. */
static void block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t all;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static void drive(struct http_pool *pool, curl_socket_t fd, int events)
{
    sigset_t before;
    int running;

    block_signals(&before);
    curl_multi_socket_action(pool->multi, fd, events, &running);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    collect_ended(pool);
    wake_ended(pool);
}

static void socket_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct http_socket *sock = io->data;
    int what =
        (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0);

    (void)loop;
    drive(sock->pool, io->fd, what);
}

static void timer_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    drive(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void socket_forget(struct http_socket *sock)
{
    ev_io_stop(sock->pool->loop, &sock->io);
    LIST_REMOVE(sock, entry);
    free(sock);
}

/* A CURLMOPT_SOCKETFUNCTION. */
static int socket_watch(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct http_pool *pool = context;
    struct http_socket *sock = known;
    int events = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (sock)
            socket_forget(sock);
        return 0;
    }
    if (!sock) {
        sock = mem_zalloc(sizeof *sock);
        sock->pool = pool;
        sock->io.data = sock;
        ev_init(&sock->io, socket_ready);
        LIST_INSERT_HEAD(&pool->sockets, sock, entry);
        curl_multi_assign(pool->multi, fd, sock);
    }
    ev_io_stop(pool->loop, &sock->io);
    ev_io_set(&sock->io, fd, events);
    if (events)
        ev_io_start(pool->loop, &sock->io);
    return 0;
}

/* A CURLMOPT_TIMERFUNCTION. */
static int timer_set(CURLM *multi, long ms, void *context)
{
    struct http_pool *pool = context;

    (void)multi;
    if (ms < 0)
        ev_timer_stop(pool->loop, &pool->timer);
    else
        clock_timer(pool->loop, &pool->timer, (double)ms / 1000);
    return 0;
}

/* ---- the pool ---- */

struct http_pool *http_pool_new(struct ev_loop *loop)
{
    CURLM *multi = curl_multi_init();
    struct http_pool *pool;

    if (!multi)
        return NULL;
    pool = mem_zalloc(sizeof *pool);
    pool->loop = loop;
    pool->multi = multi;
    TAILQ_INIT(&pool->unused);
    TAILQ_INIT(&pool->used);
    TAILQ_INIT(&pool->done);
    LIST_INIT(&pool->sockets);
    ev_init(&pool->timer, timer_over);
    pool->timer.data = pool;
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, socket_watch);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, timer_set);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    return pool;
}

static void free_all(struct http_pool *pool, struct http_transfer_list *list)
{
    struct http_transfer *transfer;

    while ((transfer = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, transfer, entry);
        if (transfer->phase == HTTP_RUNNING) {
            ev_timer_stop(pool->loop, &transfer->timer);
            curl_multi_remove_handle(pool->multi, transfer->easy);
        }
        if (transfer->owner)
            *transfer->owner = NULL;
        http_transfer_free(transfer);
    }
}

void http_pool_free(struct http_pool *pool)
{
    free_all(pool, &pool->used);
    free_all(pool, &pool->done);
    free_all(pool, &pool->unused);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, NULL);
    while (!LIST_EMPTY(&pool->sockets))
        socket_forget(LIST_FIRST(&pool->sockets));
    ev_timer_stop(pool->loop, &pool->timer);
    curl_multi_cleanup(pool->multi);
    pool->multi = NULL;
    if (!pool->waking)
        free(pool);
}

void http_pool_limit(struct http_pool *pool, long per_host, long total)
{
    curl_multi_setopt(pool->multi, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
    curl_multi_setopt(pool->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, total);
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, total);
}

/* ---- transfers ---- */

struct http_transfer *http_pool_take(struct http_pool *pool, struct http_transfer **owner)
{
    struct http_transfer *transfer = TAILQ_FIRST(&pool->unused);

    if (transfer) {
        TAILQ_REMOVE(&pool->unused, transfer, entry);
        pool->unused_count--;
    } else {
        transfer = http_transfer_new(pool);
        if (!transfer)
            return NULL;
    }
    TAILQ_INSERT_TAIL(&pool->used, transfer, entry);
    transfer->phase = HTTP_LENT;
    transfer->owner = owner;
    *owner = transfer;
    return transfer;
}

/* curl's own timeout would not count while a request waits for a connection. */
static void transfer_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct http_transfer *transfer = timer->data;
    struct http_pool *pool = transfer->pool;

    (void)loop;
    (void)events;
    transfer->stop = HTTP_OVERDUE;
    transfer_ended(transfer);
    wake_ended(pool);
}

bool http_pool_start(struct http_transfer *transfer, struct wait *wait, double seconds)
{
    struct http_pool *pool = transfer->pool;

    if (curl_multi_add_handle(pool->multi, transfer->easy) != CURLM_OK)
        return false;
    transfer->wait = wait;
    transfer->phase = HTTP_RUNNING;
    ev_init(&transfer->timer, transfer_overdue);
    transfer->timer.data = transfer;
    clock_timer(pool->loop, &transfer->timer, seconds);
    return true;
}

void http_pool_put(struct http_transfer *transfer)
{
    struct http_pool *pool = transfer->pool;

    if (transfer->phase == HTTP_RUNNING) {
        ev_timer_stop(pool->loop, &transfer->timer);
        curl_multi_remove_handle(pool->multi, transfer->easy);
    }
    TAILQ_REMOVE(transfer->phase == HTTP_DONE ? &pool->done : &pool->used, transfer, entry);
    *transfer->owner = NULL;
    transfer->owner = NULL;
    if (pool->unused_count == UNUSED_MAX) {
        http_transfer_free(transfer);
        return;
    }
    http_transfer_reset(transfer);
    transfer->phase = HTTP_UNUSED;
    TAILQ_INSERT_HEAD(&pool->unused, transfer, entry);
    pool->unused_count++;
}
