/*
 * conn: one connection to a Redis server, which all handlers of a Lua state share.
 *
 * It connects when there is something to send, sends what has gathered once per turn of the
 * loop, gives replies to those who wait in the order of what they sent, and is closed and made
 * anew, after a while, when the server does not keep to that.  A request that was given up is
 * not sent if it was not yet; else its replies are dropped when they come.  Nothing is sent
 * twice.
 *
 * Everything happens from the loop, nothing within the functions below.  Waking a request may end
 * the Lua state, and with it the connection.
 */
#ifndef MODULES_REDIS_CONN_H
#define MODULES_REDIS_CONN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "modules/redis/reply.h"

#define REDIS_QUEUE_MAX    10000
#define REDIS_QUEUE_BYTES  (64u << 20)
#define REDIS_ADDRESS_MAX  8
#define REDIS_MESSAGE_SIZE 256

struct redis_conn;
struct redis_slot;
struct wait;

/* Somebody who waits for the replies to a batch of commands; embedded there. */
struct redis_request {
    struct redis_conn *conn; /* NULL: nothing of its is held */
    struct wait *wait;
    struct redis_slot *slot; /* NULL: all is there, or it failed */
    unsigned count, got;     /* replies, */
    struct redis_reply **replies;
    const char *code; /* NULL, or why there are not all */
    char message[REDIS_MESSAGE_SIZE];
    bool listed; /* to be woken */
    ev_timer timer;
    LIST_ENTRY(redis_request) entry;
    TAILQ_ENTRY(redis_request) done;
};

enum redis_phase { REDIS_DOWN, REDIS_CONNECTING, REDIS_GREETING, REDIS_UP };

TAILQ_HEAD(redis_slots, redis_slot);

struct redis_conn {
    struct ev_loop *loop; /* NULL when closed for good */
    /* What it is to be, from redis_conn_open: */
    char *where;    /* for messages: host:port or the socket's path */
    char *greeting; /* the commands sent first, and how many */
    size_t greeting_len;
    unsigned greetings;
    size_t max_reply;
    double connect_timeout;
    struct sockaddr_storage addresses[REDIS_ADDRESS_MAX];
    socklen_t address_len[REDIS_ADDRESS_MAX];
    unsigned address_count;
    /* What it is: */
    enum redis_phase phase;
    int fd;
    unsigned address; /* the one in use */
    unsigned failures;
    uint64_t retry_at; /* not to connect before, base/clock */
    char last_error[REDIS_MESSAGE_SIZE];
    unsigned greeted;
    struct redis_replies replies;
    struct redis_slots unsent, sent;
    unsigned queued;
    size_t unsent_bytes;
    struct buf_pool pool;
    struct buf out;
    ev_io readable, writable;
    ev_timer timer; /* for connecting, then for a server that is silent */
    ev_prepare prepare;
    LIST_HEAD(, redis_request) requests;
    TAILQ_HEAD(redis_done, redis_request) done;
    bool *closed; /* of whoever is waking requests, to be told */
};

/* At an address that does not change, and which was all zeroes. */
void redis_conn_open(struct redis_conn *conn, struct ev_loop *loop, const char *where);

/* Ends everything, wakes no one; a second time does nothing. */
void redis_conn_close(struct redis_conn *conn);

/* Whether it needs addresses before it can send: it is down. */
bool redis_conn_is_down(const struct redis_conn *conn);

void redis_conn_forget_addresses(struct redis_conn *conn);

bool redis_conn_is_ip(const char *text);

/* One more address to connect to; those too many are left out.  False: it is no address. */
bool redis_conn_add_ip(struct redis_conn *conn, const char *ip, int port);
bool redis_conn_add_unix(struct redis_conn *conn, const char *path);

void redis_request_init(struct redis_request *request);

/*
 * Queues so many commands, encoded, which is copied; wait is woken from the loop when all replies
 * are there, or it failed, or after so many seconds.  False: it failed already, as code and
 * message say.
 */
bool redis_request_send(struct redis_request *request, struct redis_conn *conn, struct wait *wait,
                        const char *bytes, size_t len, unsigned count, double timeout);

/* Holds nothing any more, in whatever state it is; a second time does nothing. */
void redis_request_end(struct redis_request *request);

#endif
