/*
 * pool: the requests and connections of one Lua state: a curl multi handle on the event loop.
 *
 * curl keeps the connections; their sockets and its timer are watchers of the loop.  curl's
 * callbacks collect bytes and nothing else: handlers are woken after curl has returned, so
 * that they may start and cancel requests.  Waking one may end the Lua state, and with it the
 * pool.
 *
 * Resolver threads, which curl starts, have all signals blocked.
 */
#ifndef MODULES_HTTP_POOL_H
#define MODULES_HTTP_POOL_H

#include "modules/http/transfer.h"

TAILQ_HEAD(http_transfer_list, http_transfer);

struct http_pool {
    struct ev_loop *loop;
    CURLM *multi; /* NULL when freed while it wakes handlers */
    ev_timer timer;
    struct http_transfer_list unused, used, done;
    unsigned unused_count;
    LIST_HEAD(, http_socket) sockets;
    bool waking;
};

/* NULL when curl has no memory. */
struct http_pool *http_pool_new(struct ev_loop *loop);

/* Ends everything and wakes no one.  May be called by a handler that is being woken. */
void http_pool_free(struct http_pool *pool);

/* Connections to one host and port, and in all; idle ones count. */
void http_pool_limit(struct http_pool *pool, long per_host, long total);

/*
 * A transfer, reset, lent to whoever holds *owner, which is set to it; set to NULL again by
 * http_pool_put and http_pool_free.  NULL when curl has no memory.
 */
struct http_transfer *http_pool_take(struct http_pool *pool, struct http_transfer **owner);

/* Sends the request; wait is woken from the loop when it has ended, with the transfer in phase
 * HTTP_LENT again, at the latest after so many seconds of the loop's clock.  Never before this
 * returns.  False: it could not be started. */
bool http_pool_start(struct http_transfer *transfer, struct wait *wait, double seconds);

/* Gives a transfer back in whatever phase it is; a running one is ended, its connection closed. */
void http_pool_put(struct http_transfer *transfer);

#endif
