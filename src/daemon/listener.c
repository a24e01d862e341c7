#include "daemon/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* HAProxy opens a connection per concurrent request when it starts and twice as many when it
 * reloads; the kernel lowers this to net.core.somaxconn. */
#define BACKLOG 16384

/* So that a flood of connections leaves turns of the loop to those that are there. */
#define ACCEPTS_A_TURN 256

/* Without a descriptor to spare, accept(2) fails at once for as long as somebody waits. */
#define PAUSE 0.1

#define NAME_MAX_LEN (sizeof "unix:" + sizeof((struct sockaddr_un *)NULL)->sun_path)

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

struct listener {
    int fd;
    sa_family_t family;
    char name[NAME_MAX_LEN];
    char *file; /* a unix socket's path, while the file there is the one we made */
    dev_t device;
    ino_t inode;
    unsigned long accepted;
    struct ev_loop *loop; /* NULL before listener_start */
    ev_io io;
    ev_timer pause;
    struct log_limit limit;
    listener_accept_fn *accept;
    void *context;
};

/* ---- opening ---- */

static const char *listener_hint(const struct listener_spec *spec, int error)
{
    bool file = listener_is_file(spec);

    switch (error) {
    case EADDRINUSE:
        return " (is another spoa-lua, or HAProxy itself, bound there?)";
    case EADDRNOTAVAIL:
        return " (no interface of this machine has this address)";
    case EAFNOSUPPORT:
        return " (this machine has no such protocol)";
    case EACCES:
    case EPERM:
        return file
                   ? " (the folder must be writable for this user, and only root gives a file away)"
                   : " (a port below 1024 needs root or CAP_NET_BIND_SERVICE)";
    case ENOENT:
        return file ? " (the folder must exist)" : "";
    case EEXIST:
        return " (what is there is no socket: remove it, or choose another path)";
    default:
        return "";
    }
}

/* Is anybody listening on the unix socket?  0, or the error that says so or is in the way. */
static int file_probe(const struct listener_spec *spec)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;

    if (fd < 0)
        return errno;
    if (connect(fd, (const struct sockaddr *)&spec->address, spec->len) == 0)
        error = EADDRINUSE;
    else if (errno == EAGAIN || errno == EPROTOTYPE) /* a full backlog, a datagram socket */
        error = EADDRINUSE;
    else if (errno != ECONNREFUSED && errno != ENOENT)
        error = errno;
    close(fd);
    return error;
}

/* Removes the file of a socket that nobody listens on any more; 0 or an errno. */
static int file_clean(const struct listener_spec *spec)
{
    const char *path = ((const struct sockaddr_un *)&spec->address)->sun_path;
    struct stat st;
    int error;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(st.st_mode))
        return EEXIST;
    if ((error = file_probe(spec)) != 0)
        return error;
    return unlink(path) < 0 && errno != ENOENT ? errno : 0;
}

/* Binds with the file's mode and owner in place before anybody can connect: until listen(2)
 * a connect(2) is refused, and the umask makes the file with its mode in one step. */
static int file_bind(struct listener *listener, const struct listener_spec *spec)
{
    const char *path = ((const struct sockaddr_un *)&spec->address)->sun_path;
    mode_t mode = spec->mode == (mode_t)-1 ? LISTENER_MODE : spec->mode;
    int error = file_clean(spec);
    struct stat st;
    mode_t umask_before;

    if (error)
        return error;
    umask_before = umask(~mode & 0777);
    error = bind(listener->fd, (const struct sockaddr *)&spec->address, spec->len) < 0 ? errno : 0;
    umask(umask_before);
    if (error)
        return error;
    if (lstat(path, &st) < 0)
        return errno;
    listener->file = mem_strndup(path, strlen(path));
    listener->device = st.st_dev;
    listener->inode = st.st_ino;
    if (spec->owner == (uid_t)-1 && spec->group == (gid_t)-1)
        return 0;
    return lchown(path, spec->owner, spec->group) < 0 ? errno : 0;
}

static int inet_bind(struct listener *listener, const struct listener_spec *spec)
{
    int on = 1;

    if (spec->address.ss_family != AF_UNIX &&
        setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return errno;
    if (spec->address.ss_family == AF_INET6 &&
        setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return errno;
    return bind(listener->fd, (const struct sockaddr *)&spec->address, spec->len) < 0 ? errno : 0;
}

static void inet_name(const union address *address, char *name, size_t room)
{
    char ip[INET6_ADDRSTRLEN];

    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->in6.sin6_addr, ip, sizeof ip);
        snprintf(name, room, "[%s]:%u", ip, (unsigned)ntohs(address->in6.sin6_port));
    } else {
        inet_ntop(AF_INET, &address->in.sin_addr, ip, sizeof ip);
        snprintf(name, room, "%s:%u", ip, (unsigned)ntohs(address->in.sin_port));
    }
}

/* A unix socket's name as the configuration would have it. */
static void unix_name(const struct sockaddr_un *un, socklen_t len, char *name, size_t room)
{
    size_t most = len - offsetof(struct sockaddr_un, sun_path);

    if (most > 0 && un->sun_path[0] == '\0')
        snprintf(name, room, "abns:%.*s", (int)strnlen(un->sun_path + 1, most - 1),
                 un->sun_path + 1);
    else
        snprintf(name, room, "unix:%.*s", (int)strnlen(un->sun_path, most), un->sun_path);
}

static void listener_named(struct listener *listener, const union address *bound, socklen_t len)
{
    if (listener->family == AF_UNIX)
        unix_name(&bound->un, len, listener->name, sizeof listener->name);
    else
        inet_name(bound, listener->name, sizeof listener->name);
}

static int listener_bind(struct listener *listener, const struct listener_spec *spec)
{
    union address bound = {.any = {0}};
    socklen_t len = sizeof bound;
    int error;

    listener->fd = socket(listener->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0)
        return errno;
    error = listener_is_file(spec) ? file_bind(listener, spec) : inet_bind(listener, spec);
    if (error)
        return error;
    if (listen(listener->fd, BACKLOG) < 0 || getsockname(listener->fd, &bound.any, &len) < 0)
        return errno;
    listener_named(listener, &bound, len);
    return 0;
}

struct listener *listener_open(const struct listener_spec *spec, char *fault, size_t room)
{
    struct listener *listener = mem_zalloc(sizeof *listener);
    int error;

    listener->family = spec->address.ss_family;
    error = listener_bind(listener, spec);
    if (!error)
        return listener;
    snprintf(fault, room, "listen %s: %s%s", spec->text, strerror(error),
             listener_hint(spec, error));
    listener_close(listener);
    errno = error;
    return NULL;
}

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

struct listener *listener_adopt(int fd, char *fault, size_t room)
{
    union address bound = {.any = {0}};
    socklen_t len = sizeof bound;
    struct listener *listener;

    if (socket_option(fd, SO_TYPE) != SOCK_STREAM || socket_option(fd, SO_ACCEPTCONN) != 1 ||
        getsockname(fd, &bound.any, &len) < 0) {
        snprintf(fault, room, "descriptor %d is no stream socket that listens (ListenStream=)", fd);
        close(fd);
        return NULL;
    }
    listener = mem_zalloc(sizeof *listener);
    listener->fd = fd;
    listener->family = bound.any.sa_family;
    listener_named(listener, &bound, len);
    return listener;
}

bool listener_is_at(const struct listener *listener, const struct listener_spec *spec)
{
    struct listener_spec own = {.address = {0}};

    own.len = sizeof own.address;
    if (getsockname(listener->fd, (struct sockaddr *)&own.address, &own.len) < 0)
        return false;
    /* A path may end at its NUL or before it. */
    if (listener_is_file(&own) && listener_is_file(spec))
        return strcmp(listener->name, spec->text) == 0;
    return listener_same(&own, spec);
}

/* ---- accepting ---- */

static void listener_take(struct listener *listener, int fd, const union address *peer)
{
    char name[NAME_MAX_LEN + 24];
    int on = 1;

    listener->accepted++;
    if (listener->family == AF_UNIX) {
        snprintf(name, sizeof name, "%s#%lu", listener->name, listener->accepted);
    } else {
        /* It fails when the peer is gone already, which reading will tell. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        inet_name(peer, name, sizeof name);
    }
    listener->accept(listener->context, fd, name);
}

/* accept(2): errors of the connection that would have been accepted; the next may be fine. */
static bool accept_goes_on(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM:
        return true;
    default:
        return false;
    }
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct listener *listener = io->data;

    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        union address peer = {.any = {0}};
        socklen_t len = sizeof peer;
        int fd = accept4(listener->fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            listener_take(listener, fd, &peer);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!accept_goes_on(errno)) {
            log_limited(&listener->limit, LEVEL_ERR, "%s: accept: %s; trying again in %.0f ms",
                        listener->name, strerror(errno), PAUSE * 1000);
            ev_io_stop(loop, io);
            ev_timer_set(&listener->pause, PAUSE, 0.);
            ev_timer_start(loop, &listener->pause);
            return;
        }
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct listener *listener = timer->data;

    (void)events;
    ev_io_start(loop, &listener->io);
}

void listener_start(struct listener *listener, struct ev_loop *loop, listener_accept_fn *accept,
                    void *context)
{
    listener->loop = loop;
    listener->accept = accept;
    listener->context = context;
    ev_io_init(&listener->io, on_readable, listener->fd, EV_READ);
    ev_timer_init(&listener->pause, on_pause_over, PAUSE, 0.);
    listener->io.data = listener->pause.data = listener;
    ev_io_start(loop, &listener->io);
}

void listener_hold(struct listener *listener, bool hold)
{
    ev_timer_stop(listener->loop, &listener->pause);
    if (hold)
        ev_io_stop(listener->loop, &listener->io);
    else
        ev_io_start(listener->loop, &listener->io);
}

/* ---- the end ---- */

void listener_close(struct listener *listener)
{
    struct stat st;

    if (listener->loop) {
        ev_io_stop(listener->loop, &listener->io);
        ev_timer_stop(listener->loop, &listener->pause);
        log_limit_flush(&listener->limit, LEVEL_ERR, listener->name);
    }
    /* Somebody may have put a socket of their own there in the meantime. */
    if (listener->file && lstat(listener->file, &st) == 0 && st.st_dev == listener->device &&
        st.st_ino == listener->inode)
        unlink(listener->file);
    if (listener->fd >= 0)
        close(listener->fd);
    free(listener->file);
    free(listener);
}

const char *listener_name(const struct listener *listener)
{
    return listener->name;
}
