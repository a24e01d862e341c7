#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSLOG_SOCKET "/dev/log"

/* For a moment in which the reader is not there, so that few lines are lost: as much as every
 * user may have (pipe(7), pipe-max-size). */
#define PIPE_SIZE (1 << 20)

/* How the descriptor is written to. */
enum way {
    WAY_PLAIN,  /* it waits for nobody, or for a disk, or may */
    WAY_SHARED, /* it would wait, and is others' too */
    WAY_SOCKET, /* send(2) can be told not to */
};

static struct {
    enum log_sink_kind kind;
    enum way way;
    int fd;
    char *path; /* NULL for stderr */
    bool torn;  /* the last line has no end */
} sink = {.fd = STDERR_FILENO};

enum log_sink_kind log_sink_kind(void)
{
    return sink.kind;
}

const char *log_sink_path(void)
{
    return sink.path;
}

int log_sink_descriptor(void)
{
    return sink.kind == LOG_SINK_STDERR ? -1 : sink.fd;
}

/* ---- opening ---- */

static int syslog_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, error;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* It may be a FIFO, which must not wait for a reader either: with O_RDWR there is one. */
static int file_open(const char *path)
{
    int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, O_WRONLY | flags, 0640);

    if (fd < 0 && errno == ENXIO)
        fd = open(path, O_RDWR | flags, 0640);
    if (fd >= 0)
        fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE); /* does nothing to a file */
    return fd;
}

/* stderr's pipe or terminal, opened by us, in stderr's place; nobody else shares its flags. */
static bool stderr_own(void)
{
    int fd;

    if (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK)
        return true; /* we have been here, or somebody has */
    fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return false; /* it is another user's, or has no reader */
    dup2(fd, STDERR_FILENO);
    close(fd);
    return true;
}

static enum way stderr_way(void)
{
    struct stat st;

    if (fstat(STDERR_FILENO, &st) < 0)
        return WAY_PLAIN; /* closed: every write says so */
    if (S_ISSOCK(st.st_mode))
        return WAY_SOCKET;
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return WAY_PLAIN;
    fcntl(STDERR_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
    return stderr_own() ? WAY_PLAIN : WAY_SHARED;
}

static void sink_use(enum log_sink_kind kind, enum way way, int fd, const char *path)
{
    char *copy = path ? strdup(path) : NULL; /* it may be the one that is freed */

    if (sink.kind != LOG_SINK_STDERR)
        close(sink.fd);
    free(sink.path);
    sink.kind = kind;
    sink.way = way;
    sink.fd = fd;
    sink.path = copy;
    sink.torn = false;
}

static bool sink_open(enum log_sink_kind kind, const char *path)
{
    bool is_file = kind == LOG_SINK_FILE;
    int fd = is_file ? file_open(path) : syslog_open(path);

    if (fd >= 0)
        sink_use(kind, is_file ? WAY_PLAIN : WAY_SOCKET, fd, path);
    return fd >= 0;
}

bool log_sink_open(const char *target)
{
    if (strcmp(target, "stderr") == 0) {
        sink_use(LOG_SINK_STDERR, stderr_way(), STDERR_FILENO, NULL);
        return true;
    }
    if (strcmp(target, "syslog") == 0)
        return sink_open(LOG_SINK_SYSLOG, SYSLOG_SOCKET);
    if (strncmp(target, "syslog:", 7) == 0)
        return sink_open(LOG_SINK_SYSLOG, target + 7);
    return sink_open(LOG_SINK_FILE, target);
}

bool log_sink_reopen(void)
{
    return sink.kind == LOG_SINK_STDERR || sink_open(sink.kind, sink.path);
}

/* ---- writing ---- */

/*
 * Linux can be asked not to wait in this one write.  Kernels that cannot, for a pipe, are asked
 * before whether a page is free, which another process may still fill first: nearer one does not
 * come while the description has to stay as it is.
 */
static ssize_t shared_write(const char *bytes, size_t len)
{
    struct iovec piece = {(char *)bytes, len};
    struct pollfd room = {.fd = sink.fd, .events = POLLOUT};
    ssize_t n = pwritev2(sink.fd, &piece, 1, -1, RWF_NOWAIT);

    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
        return n;
    if (poll(&room, 1, 0) == 1 && !(room.revents & POLLNVAL))
        return write(sink.fd, bytes, len < PIPE_BUF ? len : PIPE_BUF);
    errno = EAGAIN;
    return -1;
}

static ssize_t write_some(const char *bytes, size_t len)
{
    switch (sink.way) {
    case WAY_SOCKET:
        return send(sink.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WAY_SHARED:
        return shared_write(bytes, len);
    case WAY_PLAIN:
        break;
    }
    return write(sink.fd, bytes, len);
}

/* How much of it was taken; errno says why not all. */
static size_t write_all(const char *bytes, size_t len)
{
    size_t done = 0;
    ssize_t n;

    while (done < len) {
        n = write_some(bytes + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

/* A packet needs no line end.  A syslogd that was started anew has a new socket. */
static bool syslog_put(const char *line, size_t len)
{
    int fd;

    if (write_some(line, len - 1) >= 0)
        return true;
    if (errno == EAGAIN || (fd = syslog_open(sink.path)) < 0)
        return false;
    close(sink.fd);
    sink.fd = fd;
    return write_some(line, len - 1) >= 0;
}

bool log_sink_put(const char *line, size_t len)
{
    size_t done;

    if (sink.kind == LOG_SINK_SYSLOG)
        return syslog_put(line, len);
    if (sink.torn && write_all("\n", 1) == 0)
        return false;
    done = write_all(line, len);
    sink.torn = done > 0 && done < len;
    return done == len;
}
