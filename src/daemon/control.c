#include "daemon/control.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define CLIENTS_MAX 32
#define COMMAND_MAX 1024
/* Of an answer that the client does not read: the largest is a list of connections. */
#define ANSWER_MAX (8 * 1024 * 1024)

/* How long a client may take to say what it wants, and to take any of the answer. */
#define PATIENCE 10.0

struct client {
    LIST_ENTRY(client) entry;
    struct control *control;
    int fd;
    ev_io reader, writer;
    ev_timer patience;
    struct query *query;
    bool asked, done; /* its line is there; its answer is whole */
    bool gone;        /* it has closed, while a reload goes on that will report to it */
    uint64_t dropped;
    unsigned long rows, wanted;
    size_t heard;
    char line[COMMAND_MAX + 1];
    char *answer;
    size_t len, sent, room;
};

struct control {
    struct ev_loop *loop;
    struct supervisor *supervisor;
    struct listener *listener;
    LIST_HEAD(, client) clients;
    unsigned nclients;
};

struct supervisor *client_supervisor(const struct client *client)
{
    return client->control->supervisor;
}

/* ---- the end of a client ---- */

static void client_stop(struct client *client)
{
    struct ev_loop *loop = client->control->loop;

    ev_io_stop(loop, &client->reader);
    ev_io_stop(loop, &client->writer);
    ev_timer_stop(loop, &client->patience);
    if (client->query)
        supervisor_forget(client->control->supervisor, client->query);
    client->query = NULL;
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

static void client_free(struct client *client)
{
    client_stop(client);
    LIST_REMOVE(client, entry);
    client->control->nclients--;
    free(client->answer);
    free(client);
}

/* It is gone; but a command that cannot be given up will still report to it. */
static void client_lost(struct client *client)
{
    bool reports = client->asked && !client->done && !client->query;

    if (!reports) {
        client_free(client);
        return;
    }
    client_stop(client);
    client->gone = true;
}

/* ---- the answer ---- */

/* Nothing to send at the moment; more is to come. */
static bool client_is_idle(const struct client *client)
{
    return client->len == client->sent && !client->done;
}

static void client_arm(struct client *client)
{
    ev_timer_stop(client->control->loop, &client->patience);
    if (client_is_idle(client))
        ev_io_stop(client->control->loop, &client->writer);
    else
        ev_io_start(client->control->loop, &client->writer);
    ev_timer_set(&client->patience, PATIENCE, 0);
    ev_timer_start(client->control->loop, &client->patience);
}

void client_say(struct client *client, const char *text, size_t len)
{
    if (client->gone || len == 0)
        return;
    if (client->sent > 0 && client->sent == client->len)
        client->sent = client->len = 0;
    if (client->len + len > ANSWER_MAX) {
        client->dropped++;
        return;
    }
    if (client->len + len > client->room) {
        client->room = (client->len + len) * 2;
        client->answer = mem_resize(client->answer, client->room);
    }
    memcpy(client->answer + client->len, text, len);
    client->len += len;
    client_arm(client);
}

void client_done(struct client *client)
{
    char note[80];

    client->query = NULL;
    if (client->gone) {
        client_free(client);
        return;
    }
    if (client->dropped) {
        uint64_t dropped = client->dropped;

        client->len = client->sent; /* its reader is slow: this has to fit */
        client_say(client, note,
                   (size_t)snprintf(note, sizeof note,
                                    "error: %" PRIu64 " pieces were dropped: read faster\n",
                                    dropped));
    }
    client->done = true;
    client_arm(client);
}

unsigned long client_row(struct client *client)
{
    return client->rows++;
}

void client_want(struct client *client, unsigned long rows)
{
    client->wanted = rows;
}

bool client_has_all(const struct client *client)
{
    return client->wanted > 0 && client->rows >= client->wanted;
}

void client_cut(struct client *client)
{
    supervisor_forget(client->control->supervisor, client->query);
    client_done(client);
}

void client_waits(struct client *client, struct query *query)
{
    client->query = query;
}

static void client_writable(struct ev_loop *loop, ev_io *io, int events)
{
    struct client *client = io->data;
    size_t left = client->len - client->sent;
    ssize_t n = left ? send(client->fd, client->answer + client->sent, left, MSG_NOSIGNAL) : 0;

    (void)loop;
    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_lost(client);
        return;
    }
    client->sent += (size_t)n;
    if (client->done && client->sent == client->len)
        client_free(client);
    else
        client_arm(client);
}

/* ---- the command ---- */

static void client_runs(struct client *client)
{
    client->asked = true;
    client_arm(client);
    control_run(client, client->line);
}

static void client_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct client *client = io->data;
    char *at = client->line + client->heard, *end, ignored[256];
    ssize_t n = client->asked ? recv(client->fd, ignored, sizeof ignored, 0)
                              : recv(client->fd, at, COMMAND_MAX - client->heard, 0);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_lost(client);
        return;
    }
    /* socat closes its writing side behind the line, and still reads. */
    if (n == 0)
        ev_io_stop(loop, io);
    if (client->asked)
        return;
    client->heard += (size_t)n;
    client->line[client->heard] = '\0';
    if ((end = strpbrk(client->line, "\r\n")) != NULL || n == 0) {
        if (end)
            *end = '\0';
        client_runs(client);
    } else if (client->heard == COMMAND_MAX || strlen(client->line) < client->heard) {
        static const char fault[] = "error: the command is no line of at most 1024 bytes\n";

        client->asked = true;
        client_say(client, fault, sizeof fault - 1);
        client_done(client);
    }
}

static void client_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct client *client = timer->data;
    struct pollfd fd = {.fd = client->fd};

    (void)loop;
    (void)events;
    /* It waits for us, not we for it, if it is still there. */
    if (client->asked && client_is_idle(client) && poll(&fd, 1, 0) == 0)
        client_arm(client);
    else
        client_lost(client);
}

/* A listener_accept_fn. */
static void accepted(void *context, int fd, const char *peer)
{
    static const char full[] = "error: 32 clients are there already\n";
    struct control *control = context;
    struct client *client;

    log_write(LEVEL_DEBUG, "%s: control connection", peer);
    if (control->nclients == CLIENTS_MAX) {
        send(fd, full, sizeof full - 1, MSG_NOSIGNAL);
        close(fd);
        return;
    }
    client = mem_zalloc(sizeof *client);
    client->control = control;
    client->fd = fd;
    ev_io_init(&client->reader, client_readable, fd, EV_READ);
    ev_io_init(&client->writer, client_writable, fd, EV_WRITE);
    ev_timer_init(&client->patience, client_overdue, PATIENCE, 0);
    client->reader.data = client->writer.data = client->patience.data = client;
    ev_io_start(control->loop, &client->reader);
    ev_timer_start(control->loop, &client->patience);
    LIST_INSERT_HEAD(&control->clients, client, entry);
    control->nclients++;
}

/* ---- coming and going ---- */

struct control *control_open(struct ev_loop *loop, struct supervisor *supervisor,
                             const struct listener_spec *spec, char *fault, size_t room)
{
    struct listener *listener = listener_open(spec, fault, room);
    struct control *control;

    if (!listener)
        return NULL;
    control = mem_zalloc(sizeof *control);
    control->loop = loop;
    control->supervisor = supervisor;
    control->listener = listener;
    LIST_INIT(&control->clients);
    listener_start(listener, loop, accepted, control);
    return control;
}

void control_close(struct control *control)
{
    while (!LIST_EMPTY(&control->clients)) {
        struct client *client = LIST_FIRST(&control->clients);

        if (client->fd >= 0 && client->len > client->sent)
            send(client->fd, client->answer + client->sent, client->len - client->sent,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
        client_free(client);
    }
    listener_close(control->listener);
    free(control);
}
