/*
 * transfer: one request on its way and what came of it so far: a curl easy handle, the
 * response's head and body in C memory, bounded.
 *
 * Nothing here knows Lua.  A transfer belongs to a pool, which lends it to one operation at
 * a time (see pool.h).
 */
#ifndef MODULES_HTTP_TRANSFER_H
#define MODULES_HTTP_TRANSFER_H

#include <curl/curl.h>
#include <ev.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "modules/http/bytes.h"
#include "modules/http/head.h"

struct http_pool;
struct wait;

enum http_phase {
    HTTP_UNUSED,
    HTTP_LENT, /* not started, or woken: the operation's to look at */
    HTTP_RUNNING,
    HTTP_DONE, /* ended, its handler not woken yet */
};

/* What stopped a transfer before curl had a result. */
enum http_stop { HTTP_NOT_STOPPED, HTTP_OVERDUE, HTTP_BODY_TOO_BIG, HTTP_HEAD_TOO_BIG };

struct http_transfer {
    TAILQ_ENTRY(http_transfer) entry;
    struct http_pool *pool;
    enum http_phase phase;
    struct wait *wait;            /* whom to wake */
    struct http_transfer **owner; /* where the operation points here; set to NULL when the
                                     pool goes first */
    CURL *easy;
    ev_timer timer; /* all of the request, waiting for a connection included */
    struct http_head head;
    struct http_bytes body;
    size_t max_body;
    double timeout;  /* seconds */
    char where[300]; /* scheme://host:port, for messages */
    /* how it ended: */
    enum http_stop stop;
    CURLcode result;
    long status;
    char error[CURL_ERROR_SIZE];
};

/* NULL when curl has no memory. */
struct http_transfer *http_transfer_new(struct http_pool *pool);
void http_transfer_free(struct http_transfer *transfer);

/* Fresh for the next request, with the options every request has. */
void http_transfer_reset(struct http_transfer *transfer);

#endif
