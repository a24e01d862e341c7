#include "daemon/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

/* A worker that computes holds up its channel, never the loop of whoever is faster. */
#define PACKETS_A_TURN 256

struct head {
    enum channel_type type;
    uint32_t number;
};

struct unsent {
    TAILQ_ENTRY(unsent) entry;
    struct head head;
    int fd;
    size_t len;
    char text[];
};

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

bool channel_pair(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0;
}

/* ---- sending ---- */

/* 0 or an errno. */
static int packet_put(int fd, const struct packet *packet)
{
    struct head head = {packet->type, packet->number};
    struct iovec parts[] = {{&head, sizeof head}, {(char *)packet->text, packet->len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    union control control = {.bytes = {0}};

    if (packet->fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.head), &packet->fd, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* Worth another try when the socket says so: ETOOMANYREFS is about descriptors that are on
 * their way and have not been taken. */
static bool is_for_later(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ETOOMANYREFS;
}

static void packet_keep(struct channel *channel, const struct packet *packet)
{
    struct unsent *unsent = mem_alloc(sizeof *unsent + packet->len);

    unsent->head = (struct head){packet->type, packet->number};
    unsent->fd = packet->fd;
    unsent->len = packet->len;
    if (packet->len)
        memcpy(unsent->text, packet->text, packet->len);
    TAILQ_INSERT_TAIL(&channel->unsent, unsent, entry);
    ev_io_start(channel->loop, &channel->writer);
}

static void drop_descriptor(int fd)
{
    if (fd >= 0)
        close(fd);
}

bool channel_send(struct channel *channel, const struct packet *packet)
{
    struct packet sent = *packet;
    int error;

    if (sent.len > CHANNEL_TEXT)
        sent.len = CHANNEL_TEXT;
    if (channel->fd < 0)
        return false;
    error = TAILQ_EMPTY(&channel->unsent) ? packet_put(channel->fd, &sent) : EAGAIN;
    if (is_for_later(error)) {
        packet_keep(channel, &sent);
        return true;
    }
    if (error)
        return false;
    drop_descriptor(sent.fd);
    return true;
}

bool channel_behind(const struct channel *channel)
{
    return !TAILQ_EMPTY(&channel->unsent);
}

static void unsent_free(struct channel *channel, struct unsent *unsent)
{
    TAILQ_REMOVE(&channel->unsent, unsent, entry);
    drop_descriptor(unsent->fd);
    free(unsent);
}

static void channel_writable(struct ev_loop *loop, ev_io *io, int events)
{
    struct channel *channel = io->data;

    (void)events;
    while (!TAILQ_EMPTY(&channel->unsent)) {
        struct unsent *unsent = TAILQ_FIRST(&channel->unsent);
        struct packet packet = {unsent->head.type, unsent->head.number, unsent->text, unsent->len,
                                unsent->fd};

        if (is_for_later(packet_put(channel->fd, &packet)))
            return;
        unsent_free(channel, unsent);
    }
    ev_io_stop(loop, io);
}

/* ---- receiving ---- */

static int taken_descriptor(struct msghdr *message)
{
    const struct cmsghdr *control = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

static void channel_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct channel *channel = io->data;
    char text[CHANNEL_TEXT + 1];

    (void)loop;
    (void)events;
    for (int i = 0; i < PACKETS_A_TURN && channel->fd >= 0; i++) {
        union control control = {.bytes = {0}};
        struct head head;
        struct iovec parts[] = {{&head, sizeof head}, {text, CHANNEL_TEXT}};
        struct msghdr message = {.msg_iov = parts,
                                 .msg_iovlen = 2,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes};
        ssize_t got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got < (ssize_t)sizeof head) {
            ev_io_stop(channel->loop, &channel->reader);
            channel->ended(channel->context);
            return;
        }
        text[got - (ssize_t)sizeof head] = '\0';
        channel->received(channel->context,
                          &(struct packet){head.type, head.number, text, (size_t)got - sizeof head,
                                           taken_descriptor(&message)});
    }
}

/* ---- coming and going ---- */

void channel_open(struct channel *channel, struct ev_loop *loop, int fd,
                  channel_received_fn *received, channel_ended_fn *ended, void *context)
{
    *channel = (struct channel){
        .fd = fd, .loop = loop, .received = received, .ended = ended, .context = context};
    TAILQ_INIT(&channel->unsent);
    ev_io_init(&channel->reader, channel_readable, fd, EV_READ);
    ev_io_init(&channel->writer, channel_writable, fd, EV_WRITE);
    channel->reader.data = channel->writer.data = channel;
    ev_io_start(loop, &channel->reader);
}

void channel_close(struct channel *channel)
{
    if (channel->fd < 0)
        return;
    ev_io_stop(channel->loop, &channel->reader);
    ev_io_stop(channel->loop, &channel->writer);
    while (!TAILQ_EMPTY(&channel->unsent))
        unsent_free(channel, TAILQ_FIRST(&channel->unsent));
    close(channel->fd);
    channel->fd = -1;
}
