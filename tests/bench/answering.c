#include "answering.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER     (64u * 1024)
#define FRAME_MAX  16380u
#define EVENTS_MAX 64

/* Length, type, flags; then the ids. */
#define HEAD 9

enum { HAPROXY_HELLO = 1, HAPROXY_DISCONNECT = 2, NOTIFY = 3 };
enum { AGENT_HELLO = 101, AGENT_DISCONNECT = 102, ACK = 103 };

struct peer {
    int fd;
    bool leaving, blocked;
    size_t in, sent, out;
    uint8_t input[BUFFER], output[BUFFER];
};

static int poller;

/* At once: nothing here has an end worth waiting for. */
static void stop(int signal)
{
    (void)signal;
    _exit(EXIT_SUCCESS);
}

/* ---- frames ---- */

static size_t frame_put(uint8_t *at, uint8_t type, const uint8_t *ids, size_t ids_len,
                        size_t payload)
{
    uint32_t length = htonl((uint32_t)(HEAD - 4 + ids_len + payload));

    memcpy(at, &length, 4);
    memcpy(at + 4, (const uint8_t[]){type, 0, 0, 0, 1}, 5);
    memcpy(at + HEAD, ids, ids_len);
    return HEAD + ids_len + payload;
}

/* Pipelining, and frames as long as HAProxy's. */
static size_t hello_put(uint8_t *at, const uint8_t *offer, size_t len)
{
    static const char answer[] = "\007version\010\0032.0\014capabilities\010\012pipelining"
                                 "\016max-frame-size\003";
    const uint8_t *size = memmem(offer, len, "max-frame-size\003", 15);
    uint64_t frame_size = FRAME_MAX;
    size_t n = sizeof answer - 1;

    if (size)
        varint_get(size + 15, &frame_size);
    if (frame_size > FRAME_MAX)
        frame_size = FRAME_MAX;
    memcpy(at + HEAD + 2, answer, n);
    n += varint_put(at + HEAD + 2 + n, frame_size);
    return frame_put(at, AGENT_HELLO, (const uint8_t *)"\0\0", 2, n);
}

static size_t disconnect_put(uint8_t *at)
{
    static const char normal[] = "\013status-code\003\0\007message\010\006normal";

    memcpy(at + HEAD + 2, normal, sizeof normal - 1);
    return frame_put(at, AGENT_DISCONNECT, (const uint8_t *)"\0\0", 2, sizeof normal - 1);
}

/* Answers one frame, from its type on; false when it is nonsense. */
static bool peer_frame(struct peer *peer, const uint8_t *frame, size_t len)
{
    const uint8_t *ids = frame + 5;
    uint8_t *out = peer->output + peer->out;
    uint64_t id;
    size_t ids_len = varint_get(ids, &id);

    ids_len += varint_get(ids + ids_len, &id);

    const uint8_t *payload = ids + ids_len;
    size_t left = len - 5 - ids_len;
    switch (frame[0]) {
    case NOTIFY:
        left = answer(payload, left, out + HEAD + ids_len);
        peer->out += frame_put(out, ACK, ids, ids_len, left);
        return true;
    case HAPROXY_HELLO:
        peer->out += hello_put(out, payload, left);
        peer->leaving = memmem(payload, left, "healthcheck\021", 12) != NULL;
        return true;
    case HAPROXY_DISCONNECT:
        peer->out += disconnect_put(out);
        return peer->leaving = true;
    default:
        return false;
    }
}

/* Answers every whole frame that is here, as far as there is room for the answers. */
static bool peer_frames(struct peer *peer)
{
    size_t at = 0;

    while (peer->in - at >= 4 && BUFFER - peer->out >= ANSWER_MAX && !peer->leaving) {
        uint32_t len;

        memcpy(&len, peer->input + at, 4);
        len = ntohl(len);
        if (len < 7 || len > FRAME_MAX)
            return false;
        if (peer->in - at - 4 < len)
            break;
        if (!peer_frame(peer, peer->input + at + 4, len))
            return false;
        at += 4 + len;
    }
    peer->in -= at;
    if (at > 0 && peer->in > 0)
        memmove(peer->input, peer->input + at, peer->in);
    return true;
}

/* ---- connections ---- */

static void peer_open(int listener)
{
    struct peer *peer = malloc(sizeof *peer);
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (!peer || fd < 0) {
        free(peer);
        return;
    }
    peer->fd = fd;
    peer->leaving = peer->blocked = false;
    peer->in = peer->sent = peer->out = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(poller, EPOLL_CTL_ADD, fd,
              &(struct epoll_event){.events = EPOLLIN, .data.ptr = peer});
}

static void peer_close(struct peer *peer)
{
    close(peer->fd);
    free(peer);
}

/* Sends what there is; false when that was the last of it. */
static bool peer_send(struct peer *peer)
{
    bool blocked;

    while (peer->sent < peer->out) {
        ssize_t sent =
            send(peer->fd, peer->output + peer->sent, peer->out - peer->sent, MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return false;
        peer->sent += (size_t)sent;
    }
    blocked = peer->sent < peer->out;
    if (!blocked)
        peer->sent = peer->out = 0;
    if (blocked != peer->blocked) {
        peer->blocked = blocked;
        epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd,
                  &(struct epoll_event){.events = blocked ? EPOLLOUT : EPOLLIN, .data.ptr = peer});
    }
    return blocked || !peer->leaving;
}

/* False when the connection is to be closed. */
static bool peer_serve(struct peer *peer)
{
    ssize_t got;

    if (peer->blocked) {
        if (!peer_send(peer))
            return false;
    } else {
        got = recv(peer->fd, peer->input + peer->in, BUFFER - peer->in, 0);
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0)
            return false;
        peer->in += (size_t)got;
    }
    /* Again when the output was full before all frames were answered. */
    for (size_t before = 0; !peer->blocked && peer->in != before;) {
        before = peer->in;
        if (!peer_frames(peer) || !peer_send(peer))
            return false;
    }
    return true;
}

/* ---- the program ---- */

static int listener_open(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        perror("listen");
        exit(EXIT_FAILURE);
    }
    fprintf(stderr, "listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    return fd;
}

void answering_run(const char *port)
{
    struct epoll_event events[EVENTS_MAX];
    int listener = listener_open(port);

    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    poller = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener,
              &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS_MAX, -1);

        for (int i = 0; i < n; i++) {
            struct peer *peer = events[i].data.ptr;

            if (!peer)
                peer_open(listener);
            else if (!peer_serve(peer))
                peer_close(peer);
        }
    }
}
