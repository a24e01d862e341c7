/*
 * channel: what the supervisor and one of its workers say to each other.
 *
 * A socketpair that keeps packets apart; a packet is a type, a number, a text, and sometimes
 * a descriptor.  Whatever the socket does not take at once waits here, in order.  Both ends
 * are one program, so there is no version and nothing to distrust.
 */
#ifndef DAEMON_CHANNEL_H
#define DAEMON_CHANNEL_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* The longest text. */
#define CHANNEL_TEXT (32 * 1024)

enum channel_type {
    /* supervisor to worker */
    CHANNEL_CONN,       /* a new connection: its descriptor, the peer's name */
    CHANNEL_PREPARE,    /* load the configuration and the scripts again, beside the old */
    CHANNEL_COMMIT,     /* ... and serve with them from now on */
    CHANNEL_ABORT,      /* ... or forget them */
    CHANNEL_DRAIN,      /* finish, say goodbye, end */
    CHANNEL_STOP,       /* end at once */
    CHANNEL_LOG_LEVEL,  /* number: the level */
    CHANNEL_LOG_REOPEN, /* the log's file was moved away */
    CHANNEL_ASK,        /* number: the question's; the text is it */
    CHANNEL_FORGET,     /* number: nobody waits for this question's answer any more */
    /* worker to supervisor */
    CHANNEL_FAULT,   /* the text says what is wrong with the configuration or the scripts */
    CHANNEL_LOADED,  /* all is there: at the start, and after PREPARE */
    CHANNEL_FAILED,  /* it is not; FAULTs came before */
    CHANNEL_SERVING, /* COMMIT is carried out */
    CHANNEL_LEAVING, /* it drains without having been told here: no more connections */
    CHANNEL_ENDED,   /* the last connection is gone after DRAIN or STOP */
    CHANNEL_ANSWER,  /* number: of the question; a piece of its answer */
    CHANNEL_END,     /* number: of the question; that was all */
};

struct packet {
    enum channel_type type;
    uint32_t number;
    const char *text; /* ended by NUL; there during the call */
    size_t len;
    int fd; /* the callee's, or -1 */
};

struct channel;
struct unsent;

/* The channel may be closed in it. */
typedef void channel_received_fn(void *context, const struct packet *packet);
/* The other side is gone; called once, nothing comes after it. */
typedef void channel_ended_fn(void *context);

struct channel {
    int fd; /* -1: closed */
    struct ev_loop *loop;
    ev_io reader, writer;
    TAILQ_HEAD(, unsent) unsent;
    channel_received_fn *received;
    channel_ended_fn *ended;
    void *context;
};

/* Both ends, close-on-exec and non-blocking; false with errno. */
bool channel_pair(int ends[2]);

/* Takes over the descriptor. */
void channel_open(struct channel *channel, struct ev_loop *loop, int fd,
                  channel_received_fn *received, channel_ended_fn *ended, void *context);

/* Sends, now or later.  A descriptor is the channel's from here on, unless it is false: the
 * other side is gone.  Text that is longer than CHANNEL_TEXT is cut. */
bool channel_send(struct channel *channel, const struct packet *packet);

/* The other side is behind: packets wait here. */
bool channel_behind(const struct channel *channel);

/* What has not been sent is dropped.  Nothing happens to one that is closed. */
void channel_close(struct channel *channel);

#endif
